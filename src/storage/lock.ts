import { readFileSync } from 'node:fs'
import { mkdir, open, readFile, rename, stat, unlink } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { processStat } from './process-stat.js'

const LOCK_FILE = 'LOCK'
/** How often a stale lock file is taken away before giving up; each try means that another process came in between. */
const ATTEMPTS_MAX = 5

/** Who holds, or held, a lock. A field is null where the platform does not tell. */
export interface LockOwner {
  readonly pid: number
  /** When that process started, in clock ticks since boot: a reused pid has another. */
  readonly startTime: string | null
  /** Which boot of the machine it ran in. */
  readonly bootId: string | null
}

/** The directory is in use by another process. */
export class DirectoryLockedError extends Error {
  override name = 'DirectoryLockedError'

  constructor(
    readonly directory: string,
    /** Null when the holder cannot be named. */
    readonly owner: LockOwner | null,
  ) {
    super(`${directory} is in use by ${owner ? `process ${owner.pid}` : 'another process'}: stop that node first`)
  }
}

/**
 * Keeps a data directory to one process. On Linux a listening abstract socket named by the directory's device
 * and inode decides among processes of this machine, and frees itself; everywhere the file `raftctl/LOCK`, created
 * exclusively, names the holder and outlives a crash, after which it is recognised as stale.
 */
export class DirectoryLock {
  private constructor(
    private readonly path: string,
    private readonly content: string,
    private readonly socket: Server | null,
  ) {}

  /** Throws DirectoryLockedError when another process, or this one, holds the directory. */
  static async acquire(directory: string): Promise<DirectoryLock> {
    const home = join(directory, 'raftctl')
    await mkdir(home, { recursive: true })
    const path = join(home, LOCK_FILE)
    const socket = process.platform === 'linux' ? await listenAbstract(directory, path) : null
    const self: LockOwner = { pid: process.pid, startTime: ownStart(), bootId: currentBootId() }
    const content = `${JSON.stringify(self)}\n`
    try {
      await createLockFile({ directory, path, content, socketHeld: socket !== null })
    } catch (error) {
      socket?.close()
      throw error
    }
    return new DirectoryLock(path, content, socket)
  }

  /** Gives the directory free. A lock file that is no longer ours stays. */
  async release(): Promise<void> {
    const now = await readFile(this.path, 'utf8').catch(() => '')
    if (now === this.content) await unlink(this.path)
    const { socket } = this
    if (socket) await new Promise<void>((resolve) => socket.close(() => resolve()))
  }
}

/** Who holds the directory now, without touching it; null when nobody does. */
export async function lockHolder(directory: string): Promise<LockOwner | null> {
  const owner = await readOwner(join(directory, 'raftctl', LOCK_FILE))
  return owner && !isGone(owner) ? owner : null
}

async function listenAbstract(directory: string, lockPath: string): Promise<Server> {
  const { dev, ino } = await stat(directory, { bigint: true })
  const server = createServer((connection) => connection.destroy())
  server.unref()
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') return reject(error)
      readOwner(lockPath).then((owner) => reject(new DirectoryLockedError(directory, owner)), reject)
    })
    server.listen({ path: `\0raftctl-${dev}-${ino}` }, resolve)
  })
  return server
}

async function createLockFile(lock: { directory: string; path: string; content: string; socketHeld: boolean }): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    try {
      const file = await open(lock.path, 'wx', 0o644)
      try {
        await file.writeFile(lock.content)
        await file.sync()
      } finally {
        await file.close()
      }
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const found = await readFile(lock.path, 'utf8').catch(() => null)
    if (found === null) continue
    const owner = parseOwner(found)
    // An empty or unreadable file is one that its maker had no time to write: only the socket can tell that it is gone.
    const stale = owner ? isGone(owner) : lock.socketHeld
    if (!stale) throw new DirectoryLockedError(lock.directory, owner)
    await takeAway(lock.path, found)
  }
  throw new DirectoryLockedError(lock.directory, null)
}

/** Removes a stale file by a rename, which only one of two processes wins, and puts back what was not the stale one. */
async function takeAway(path: string, expected: string): Promise<void> {
  const aside = `${path}.stale.${process.pid}`
  try {
    await rename(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if ((await readFile(aside, 'utf8')) === expected) await unlink(aside)
  else await rename(aside, path)
}

async function readOwner(path: string): Promise<LockOwner | null> {
  return parseOwner(await readFile(path, 'utf8').catch(() => ''))
}

function parseOwner(text: string): LockOwner | null {
  try {
    const owner = JSON.parse(text) as Partial<LockOwner>
    if (!Number.isSafeInteger(owner.pid) || owner.pid! < 1) return null
    return { pid: owner.pid!, startTime: owner.startTime ?? null, bootId: owner.bootId ?? null }
  } catch {
    return null
  }
}

/** Whether the process that wrote the lock file cannot be running any more. */
function isGone(owner: LockOwner): boolean {
  const bootId = currentBootId()
  if (owner.bootId !== null && bootId !== null && owner.bootId !== bootId) return true
  if (!isAlive(owner.pid)) return true
  const stat = processStat(owner.pid)
  if (stat === 'gone') return true
  return owner.startTime !== null && stat !== null && owner.startTime !== stat.start
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function ownStart(): string | null {
  const stat = processStat(process.pid)
  return stat === null || stat === 'gone' ? null : stat.start
}

function currentBootId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return null
  }
}
