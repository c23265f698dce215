import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type MachineKind, machineKindOf } from '../machines/machine.js'
import { checksum } from '../storage/checksum.js'
import { isRemoved } from '../storage/group-directories.js'
import { decodeIdentity, type IdentityRecord } from '../storage/identity-file.js'
import { type LockOwner, lockHolder } from '../storage/lock.js'
import { DEFAULT_GROUP, storagePaths } from '../storage/open-storage.js'
import { CliError } from '../terminal/errors.js'

/** One Raft group in a data directory. */
export interface GroupPlace {
  /** Null for a directory of braft, which does not say. */
  readonly group: string | null
  /** Holds `log`, `raft_meta` and `snapshot`. */
  readonly directory: string
  /** What the group runs, as its identity says; null or absent where it is not known: braft does not say. */
  readonly machine?: MachineKind | null
}

/** A data directory as it was found. Nothing here, or in what reads on from here, ever writes below it. */
export interface DataDirectory {
  readonly path: string
  /** `braft`: no node of ours ever ran on it. */
  readonly kind: 'raftctl' | 'braft'
  readonly groups: readonly GroupPlace[]
  /** The process that uses it now; null when none does. */
  readonly holder: LockOwner | null
}

const PARTS = ['log', 'raft_meta', 'snapshot', 'raftctl'] as const

/** Finds the groups of a directory, or the one that is asked for. Throws E_NO_DATA_DIR and E_NO_GROUP. */
export async function openDataDirectory(path: string, wanted: string | null): Promise<DataDirectory> {
  const names = listDirectory(path)
  if (names === null) throw new CliError('E_NO_DATA_DIR', `${path} does not exist`)
  const own: GroupPlace[] = PARTS.some((part) => names.includes(part) && hasPast(path))
    ? [{ group: null, directory: path, machine: null }]
    : []
  const kind = names.includes('raftctl') || names.includes('groups') ? 'raftctl' : 'braft'
  const below = (names.includes('groups') ? (listDirectory(join(path, 'groups')) ?? []) : []).filter((name) => !isRemoved(name))
  const others = below
    .map((name) => ({ group: groupName(name), directory: join(path, 'groups', name), machine: null }))
    .filter(({ directory }) => hasPast(directory))
  const groups = [
    ...own.map((place) => (kind === 'raftctl' ? { ...place, group: identityOf(path)?.group ?? DEFAULT_GROUP } : place)),
    ...others,
  ].map((place) => (kind === 'raftctl' ? { ...place, machine: machineKindOf(identityOf(place.directory)?.machine ?? 'kv') } : place))
  if (groups.length === 0) throw new CliError('E_NO_DATA_DIR', `${path} holds no data of a Raft node`)
  const chosen = wanted === null ? groups : groups.filter(({ group }) => group === wanted)
  if (chosen.length === 0)
    throw new CliError(
      'E_NO_GROUP',
      `${path} holds no group "${wanted}"; its groups: ${groups.map(({ group }) => group ?? '-').join(', ')}`,
    )
  return { path, kind, groups: chosen, holder: await lockHolder(path) }
}

/** Null when it is missing or damaged, which others report. */
function identityOf(directory: string): IdentityRecord | null {
  const bytes = readWhole(join(storagePaths(directory).integrity, 'node.json'))
  const decoded = bytes && decodeIdentity(bytes, checksum)
  return typeof decoded === 'string' ? null : decoded
}

/** What a directory below `groups` stands for; its own name when that is no encoding of ours. */
function groupName(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}

/** Files of a group, not only the process's lock and names. */
function hasPast(directory: string): boolean {
  const { log, raftMeta, snapshot, integrity } = storagePaths(directory)
  return [log, raftMeta, snapshot, join(integrity, 'node.json')].some((path) => sizeOf(path) !== null)
}

/** Names in a directory, sorted; null when it does not exist. Throws E_DATA_DIR. */
export function listDirectory(path: string): string[] | null {
  return ifThere(path, () => readdirSync(path).sort())
}

/** A whole file; null when it does not exist. Throws E_DATA_DIR. */
export function readWhole(path: string): Buffer | null {
  return ifThere(path, () => readFileSync(path))
}

export function sizeOf(path: string): number | null {
  return ifThere(path, () => statSync(path).size)
}

/** Null when what `read` looks at does not exist; E_DATA_DIR when it may not be read. */
export function ifThere<T>(path: string, read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return null
    if (code === undefined) throw error
    if (code === 'ENOTDIR') throw new CliError('E_NO_DATA_DIR', `${path} is no directory`)
    throw new CliError('E_DATA_DIR', `${path} cannot be read: ${message}`, {
      hint: 'Run it as the user of the node; nothing is ever written.',
      cause: error,
    })
  }
}
