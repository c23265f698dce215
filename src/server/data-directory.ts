import { constants } from 'node:fs'
import { access, mkdir, open, readdir, readFile, rmdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Checksum } from '../raft/environment.js'
import { decodeIdentity, type IdentityRecord } from '../storage/identity-file.js'
import { DirectoryLock, DirectoryLockedError } from '../storage/lock.js'
import { DEFAULT_GROUP, groupDirectory, storagePaths } from '../storage/open-storage.js'
import { parseSegmentName } from '../storage/segment.js'
import { StartError } from './start-error.js'

/** Whether the directory could be used, without changing anything: nothing is left behind by a start that fails. */
export async function checkDataDirectory(path: string): Promise<void> {
  for (let at = path; ; at = dirname(at)) {
    const found = await stat(at).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' && at !== dirname(at)) return null
      throw unusable(path, error)
    })
    if (!found) continue
    if (!found.isDirectory()) throw new StartError('E_DATA_DIR', `${at} is not a directory`, 'Give another directory with --data.')
    await access(at, constants.W_OK | constants.X_OK).catch((error) => {
      throw unusable(at, error)
    })
    return
  }
}

/** Creates the directory where it is missing, and takes it for this process alone. */
export async function takeDataDirectory(path: string): Promise<DataDirectory> {
  const firstMade = await makeDirectories(path).catch((error) => {
    throw unusable(path, error)
  })
  try {
    return new DataDirectory(path, await DirectoryLock.acquire(path), firstMade)
  } catch (error) {
    if (!(error instanceof DirectoryLockedError)) throw unusable(path, error as NodeJS.ErrnoException)
    const holder = error.owner ? `process ${error.owner.pid}` : 'another process'
    const hint = error.owner
      ? `Stop that node first (kill ${error.owner.pid}), or give another --data.`
      : 'Stop that node first, or give another --data.'
    throw new StartError('E_DATA_DIR', `${path} is in use by ${holder}`, hint, { cause: error })
  }
}

/**
 * Makes the directory and what is missing above it; answers the topmost that was made. One by one: Node's recursive mkdir
 * never returns where the file system says ENOENT although the parent is there (/proc).
 */
async function makeDirectories(path: string): Promise<string | null> {
  const missing: string[] = []
  for (let at = path; !(await isThere(at)); at = dirname(at)) missing.unshift(at)
  for (const at of missing) await mkdir(at)
  await makeNameDurable(path)
  return missing[0] ?? null
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/**
 * After a power loss the directory is still there, with all that this member promised in it. A process that was killed may have
 * made it and more above it, and left the names in the page cache only; what may not be opened was not made by us.
 */
async function makeNameDurable(path: string): Promise<void> {
  for (let at = dirname(path); ; at = dirname(at)) {
    const directory = await open(at, 'r').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EACCES' || error.code === 'EPERM') return null
      throw error
    })
    try {
      await directory?.sync()
    } catch (error) {
      // Not every file system can sync a directory: /proc cannot.
      if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error
    } finally {
      await directory?.close()
    }
    if (at === dirname(at)) return
  }
}

function unusable(path: string, error: NodeJS.ErrnoException): StartError {
  const reason = REASONS[error.code ?? ''] ?? error.message
  const code = error.code === 'ENOSPC' ? 'E_NO_SPACE' : 'E_DATA_DIR'
  return new StartError(
    code,
    `the data directory ${path} cannot be used: ${reason}`,
    'Give a directory that this user can write to with --data.',
    { cause: error },
  )
}

/**
 * Who a group's directory says it is; null for one that was never used, 'damaged' when it cannot be read. Only looks: whether
 * it may be used is decided when the node opens it.
 */
export async function readIdentity(directory: string, checksum: Checksum): Promise<IdentityRecord | 'damaged' | null> {
  try {
    const decoded = decodeIdentity(await readFile(join(directory, 'raftctl', 'node.json')), checksum)
    return typeof decoded === 'string' ? 'damaged' : decoded
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? null : 'damaged'
  }
}

/**
 * Where the files of a group are, or go, and who they say they are: in the data directory itself, unless they lie below its
 * `groups`. Throws StartError when the directory is another group's.
 */
export async function placeOfGroup(
  dataDir: string,
  group: string,
  checksum: Checksum,
): Promise<{ readonly directory: string; readonly found: IdentityRecord | 'damaged' | null }> {
  const below = groupDirectory(dataDir, group)
  const isBelow = await stat(below).then(
    () => below !== dataDir,
    () => false,
  )
  if (isBelow && (await isThere(join(below, 'raftctl', 'group.json'))))
    throw new StartError(
      'E_DATA_DIR',
      `group ${group} was created in ${dataDir} while its node ran: it is opened with the group that the node was started with`,
      'Start the node with the --group of before, or without one for kv.',
    )
  const directory = isBelow ? below : dataDir
  const found = await readIdentity(directory, checksum)
  if (isBelow || found === null || found === 'damaged') return { directory, found }
  const { group: holds = DEFAULT_GROUP, machine = 'kv' } = found
  if (holds === group) return { directory, found }
  throw new StartError(
    'E_DATA_DIR',
    `${dataDir} holds group ${holds}, this node is to run ${group}`,
    `Start it with --group ${holds}=${machine}, or give another directory with --data.`,
  )
}

/** Refuses what only braft can have written: it is taken over when that is asked for, and nothing is written before. */
export async function refuseBraft(directory: string, group: string): Promise<void> {
  const { log, raftMeta, snapshot, integrity } = storagePaths(directory)
  const holds = async (path: string, isPast: (name: string) => boolean) => (await readdir(path).catch(() => [])).some(isPast)
  if (await holds(integrity, (name) => name.startsWith('meta.') || name === 'node.json')) return
  const past = await Promise.all([
    holds(log, (name) => parseSegmentName(name) !== null),
    holds(raftMeta, (name) => name === 'raft_meta'),
    holds(snapshot, (name) => name.startsWith('snapshot_')),
  ])
  if (!past.includes(true)) return
  throw new StartError(
    'E_DATA_DIR',
    `${directory} was written by braft: there is no raftctl/node.json beside its log`,
    `Start this node once with --adopt to take it over as group ${group}, or give an empty directory with --data.`,
  )
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'a part of the path is not a directory',
}

/** A data directory that this process holds. */
export class DataDirectory {
  private readonly usage = new Map<string, { readonly at: number; readonly value: Promise<DirectorySizes> }>()

  constructor(
    readonly path: string,
    private readonly lock: DirectoryLock,
    private readonly firstMade: string | null,
  ) {}

  /** Bytes in the directory of a group and in its log, at most two seconds old. */
  sizes(of: string): Promise<DirectorySizes> {
    const now = performance.now()
    for (const [path, { at }] of this.usage) if (now - at > USAGE_FRESH_MS) this.usage.delete(path)
    let found = this.usage.get(of)
    // Other groups lie below that of the node's start.
    if (!found) this.usage.set(of, (found = { at: now, value: sizesOf(of, of === this.path ? 'groups' : null) }))
    return found.value
  }

  release(): Promise<void> {
    return this.lock.release()
  }

  /** After a start that failed before anything was stored: removes what it made, and nothing that holds a file. */
  async removeIfEmpty(): Promise<void> {
    await rmdir(join(this.path, 'raftctl')).catch(() => {})
    for (let at = this.path; this.firstMade && at.startsWith(this.firstMade); at = dirname(at)) {
      const removed = await rmdir(at).then(
        () => true,
        () => false,
      )
      if (!removed) return
    }
  }
}

/** Bytes in the directory of a group, but for those below one directory in it, and in its log. */
export async function sizesOf(directory: string, without: string | null): Promise<DirectorySizes> {
  let logBytes = 0
  let dataBytes = 0
  const top = await readdir(directory, { withFileTypes: true }).catch(() => [])
  const below = top.filter((entry) => entry.isDirectory() && entry.name !== without)
  const inside = await Promise.all(
    below.map(({ name }) => readdir(join(directory, name), { recursive: true, withFileTypes: true }).catch(() => [])),
  )
  for (const entry of [...top, ...inside.flat()]) {
    if (!entry.isFile()) continue
    const { size } = await stat(join(entry.parentPath, entry.name)).catch(() => ({ size: 0 }))
    dataBytes += size
    if (entry.parentPath.endsWith('/log')) logBytes += size
  }
  return { logBytes, dataBytes }
}

const USAGE_FRESH_MS = 2000

interface DirectorySizes {
  readonly logBytes: number
  readonly dataBytes: number
}
