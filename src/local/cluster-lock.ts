import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { CliError } from '../terminal/errors.js'
import { shortPath } from '../terminal/paths.js'
import { processStart } from './process-control.js'

interface Holder {
  readonly pid: number
  readonly processStart: string | null
}

/** A start waits for as long as its leader may take, so that those behind it wait at least as long. */
const PATIENCE_MS = 60_000

/**
 * Runs `act` while no other raftctl of this machine holds the lock of this name in `directory`. The lock is a file that names
 * its holder; one whose holder is dead counts for nothing. It is gone afterwards, however this process ends but by SIGKILL.
 */
export async function withLock<T>(lock: { directory: string; name: string; what: string }, act: () => Promise<T>): Promise<T> {
  const file = join(lock.directory, `.${lock.name}lock`)
  const firstMade = await acquire(file, lock.what)
  const release = () => {
    rmSync(file, { force: true })
    if (firstMade !== null) removeEmpty(lock.directory, firstMade)
  }
  if (held.size === 0) process.on('exit', releaseAll)
  held.add(release)
  try {
    return await act()
  } finally {
    held.delete(release)
    if (held.size === 0) process.off('exit', releaseAll)
    release()
  }
}

const held = new Set<() => void>()

function releaseAll(): void {
  for (const release of held) release()
}

/** Answers the topmost directory it had to make. */
async function acquire(file: string, what: string): Promise<string | null> {
  const own = `${file}.${process.pid}`
  const content: Holder = { pid: process.pid, processStart: await processStart(process.pid) }
  const deadline = performance.now() + PATIENCE_MS
  let firstMade: string | null = null
  for (;;) {
    try {
      firstMade = mkdirSync(dirname(file), { recursive: true }) ?? firstMade
      writeFileSync(own, JSON.stringify(content), { mode: 0o600 })
      linkSync(own, file)
      return firstMade
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      // ENOENT: another raftctl tidied the directory away in between.
      if (code !== 'EEXIST' && code !== 'ENOENT') throw unusable(dirname(file), message)
    } finally {
      if (existsSync(own)) rmSync(own, { force: true })
    }
    if (await removeDead(file)) continue
    if (performance.now() > deadline)
      throw new CliError('E_CONFIG_PENDING', `another raftctl is still changing ${what}`, { hint: `Wait for it. Its lock is ${file}` })
    await pause(20)
  }
}

/** Takes a lock away whose holder is dead; false when it lives. */
async function removeDead(file: string): Promise<boolean> {
  const seen = read(file)
  if (seen === null) return true
  if (seen.holder !== null && (await processStart(seen.holder.pid)) === seen.holder.processStart) return false
  const aside = `${file}.dead-${process.pid}`
  try {
    renameSync(file, aside)
    // Two who saw the same dead lock: the slower one must not take away what the faster one made since.
    if (statSync(aside).ino !== seen.inode) linkSync(aside, file)
    rmSync(aside, { force: true })
  } catch {
    // Somebody else was faster.
  }
  return true
}

function read(file: string): { inode: number; holder: Holder | null } | null {
  try {
    const inode = statSync(file).ino
    return { inode, holder: holderIn(readFileSync(file, 'utf8')) }
  } catch {
    return null
  }
}

/** Null when the text names nobody. */
function holderIn(text: string): Holder | null {
  try {
    const holder = JSON.parse(text) as Partial<Holder> | null
    return typeof holder?.pid === 'number' && typeof holder.processStart === 'string' ? (holder as Holder) : null
  } catch {
    return null
  }
}

export function unusable(path: string, reason: string): CliError {
  return new CliError('E_DATA_DIR', `${shortPath(path)} cannot be used: ${reason}`, {
    hint: 'Make it writable, or choose another place: --dir for the data, XDG_DATA_HOME for everything.',
  })
}

/** Removes `path` and what is above it up to `topmost`, as far as they are empty. */
export function removeEmpty(path: string, topmost: string): void {
  for (let at = path; at === topmost || at.startsWith(`${topmost}/`); at = dirname(at)) {
    try {
      rmdirSync(at)
    } catch {
      return
    }
  }
}
