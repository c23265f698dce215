import { ErrorCode } from '../raft/errors.js'
import { type DurableClock, SimInode } from './sim-inode.js'
import type { SimRandom } from './sim-random.js'

/** A directory: the names readers see, and those a power loss is sure to leave. */
export class SimDirectory {
  readonly isDirectory = true
  readonly names = new Map<string, SimNode>()
  readonly durableNames = new Map<string, SimNode>()
  /** When on its disk's clock the durable names changed last. */
  durableVersion = 0
  /** Names whose durable meaning changed since a reader last emptied this; null until a reader asks for it. */
  durableChanges: Set<string> | null = null

  setDurable(name: string, node: SimNode | null): void {
    if (node) this.durableNames.set(name, node)
    else this.durableNames.delete(name)
    this.durableVersion = ++this.clock.changes
    this.durableChanges?.add(name)
  }

  constructor(
    readonly id: number,
    private readonly clock: DurableClock,
  ) {
    this.durableVersion = ++clock.changes
  }
}

export type SimNode = SimInode | SimDirectory

/** One name of one directory gets a new meaning; null removes it. */
interface Assignment {
  readonly directory: SimDirectory
  readonly name: string
  readonly node: SimNode | null
}

/** A change of names that is not durable yet. A rename is one change of two names: both or none. */
interface NameChange {
  readonly assignments: readonly Assignment[]
}

/**
 * One machine's disk: a durable image and what was changed since, at the granularity of 512-byte sectors and of single
 * directory operations.
 *
 * Model of a power loss (`crash`)
 * - A sector is atomic. Each sector written since its last sync keeps its old or its new bytes, independently: lost, torn
 *   and reordered writes. A file that grew keeps its durable size, its new one, or one between; sectors that were never
 *   written back in between read as zeros. An unsynced truncation happened or did not.
 * - Names: per crash either every directory keeps a prefix of its unsynced operations (a journalling file system), or any
 *   subset in which an operation is kept only when those on the same name or file before it were. A rename is atomic.
 * - A name is durable only by `syncDir` of its directory; syncing the file does not do it.
 * - A failed sync drops what was dirty: the next sync answers OK and has not written it.
 */
export class SimDisk {
  readonly clock: DurableClock = { changes: 0 }
  readonly root = new SimDirectory(0, this.clock)
  capacityBytes = Infinity
  private nextId = 1
  private pending: NameChange[] = []

  constructor(private readonly random: SimRandom) {}

  /** How many names a power loss could undo. */
  get unsyncedNames(): number {
    return this.pending.length
  }

  /** What is at that path now; null when nothing is. */
  lookup(path: string): SimNode | null {
    return this.find(segments(path))
  }

  /** What a power loss is sure to leave under that path; `visited` takes what the answer depends on. */
  lookupDurable(path: string, visited?: Set<SimNode>): SimNode | null {
    let node: SimNode = this.root
    visited?.add(node)
    for (const name of segments(path)) {
      const next: SimNode | undefined = node.isDirectory ? node.durableNames.get(name) : undefined
      if (!next) return null
      node = next
      visited?.add(node)
    }
    return node
  }

  /** A new file; its name is volatile until its directory is synced. */
  create(path: string): SimInode | number {
    const at = this.parentOf(path)
    if (!at) return ErrorCode.ENOENT
    const inode = new SimInode(this.nextId++, this.clock)
    this.change([{ directory: at.directory, name: at.name, node: inode }])
    return inode
  }

  /** Makes a directory and its parents, durably. */
  mkdir(path: string): number {
    let directory = this.root
    for (const name of segments(path)) {
      let next = directory.names.get(name)
      if (next && !next.isDirectory) return ErrorCode.EEXIST
      if (!next) {
        next = new SimDirectory(this.nextId++, this.clock)
        directory.names.set(name, next)
      }
      if (directory.durableNames.get(name) !== next) {
        directory.setDurable(name, next)
      }
      directory = next as SimDirectory
    }
    return ErrorCode.OK
  }

  /** Answers 0, or the number of an error (ErrorCode). */
  rename(from: string, to: string): number {
    const source = this.parentOf(from)
    const target = this.parentOf(to)
    const node = source?.directory.names.get(source.name)
    if (!source || !target || !node) return ErrorCode.ENOENT
    this.change([
      { directory: source.directory, name: source.name, node: null },
      { directory: target.directory, name: target.name, node },
    ])
    return ErrorCode.OK
  }

  /** Answers 0, or the number of an error (ErrorCode). */
  link(from: string, to: string): number {
    const node = this.lookup(from)
    const target = this.parentOf(to)
    if (!node || !target) return ErrorCode.ENOENT
    if (target.directory.names.has(target.name)) return ErrorCode.EEXIST
    this.change([{ directory: target.directory, name: target.name, node }])
    return ErrorCode.OK
  }

  /** Answers 0, or the number of an error (ErrorCode). */
  unlink(path: string): number {
    const at = this.parentOf(path)
    if (!at?.directory.names.has(at.name)) return ErrorCode.ENOENT
    this.change([{ directory: at.directory, name: at.name, node: null }])
    return ErrorCode.OK
  }

  /** Removes a file or a tree; each name on its own, children first. */
  remove(path: string): void {
    const node = this.lookup(path)
    if (!node) return
    if (node.isDirectory) for (const name of [...node.names.keys()]) this.remove(`${path}/${name}`)
    this.unlink(path)
  }

  /** Every name of the directory is durable, and what earlier changes of those names took with them. */
  syncDirectory(directory: SimDirectory): void {
    const later: NameChange[] = []
    for (const change of this.pending) {
      if (change.assignments.some((a) => a.directory === directory)) persist(change)
      else later.push(change)
    }
    this.pending = later
  }

  /** How many names something has now. */
  linksOf(node: SimNode): number {
    const count = (directory: SimDirectory): number => {
      let sum = 0
      for (const each of directory.names.values()) sum += (each === node ? 1 : 0) + (each.isDirectory ? count(each) : 0)
      return sum
    }
    return count(this.root)
  }

  /** Of all files on it. */
  usedBytes(): number {
    const seen = new Set<SimNode>()
    const count = (directory: SimDirectory): number => {
      let sum = 0
      for (const node of directory.names.values()) {
        if (seen.has(node)) continue
        seen.add(node)
        sum += node.isDirectory ? count(node) : node.size
      }
      return sum
    }
    return count(this.root)
  }

  /** Power loss. `keep` is the chance of each unsynced thing to have reached the disk. Answers whether a file was torn. */
  crash(keep = 0.5): { torn: boolean } {
    if (this.random.chance(0.5)) this.crashNamesInOrder()
    else this.crashNamesInAnyOrder(keep)
    this.pending = []
    let torn = false
    const seen = new Set<SimNode>()
    const settle = (directory: SimDirectory): void => {
      directory.names.clear()
      for (const [name, node] of directory.durableNames) {
        directory.names.set(name, node)
        if (seen.has(node)) continue
        seen.add(node)
        if (node.isDirectory) settle(node)
        else if (node.crash(this.random, keep)) torn = true
      }
    }
    settle(this.root)
    return { torn }
  }

  /** Empties the disk: a machine whose directory was lost. */
  wipe(): void {
    this.root.names.clear()
    for (const name of [...this.root.durableNames.keys()]) this.root.setDurable(name, null)
    this.pending = []
  }

  private crashNamesInOrder(): void {
    const byDirectory = new Map<SimDirectory, NameChange[]>()
    for (const change of this.pending) {
      const directory = change.assignments[0]!.directory
      byDirectory.set(directory, [...(byDirectory.get(directory) ?? []), change])
    }
    for (const changes of byDirectory.values()) {
      const kept = this.random.integer(0, changes.length)
      for (const change of changes.slice(0, kept)) persist(change)
    }
  }

  private crashNamesInAnyOrder(keep: number): void {
    const droppedNames = new Set<string>()
    const droppedNodes = new Set<SimNode>()
    const nameOf = (a: Assignment): string => `${a.directory.id}/${a.name}`
    for (const change of this.pending) {
      const blocked = change.assignments.some((a) => droppedNames.has(nameOf(a)) || (a.node && droppedNodes.has(a.node)))
      if (!blocked && this.random.chance(keep)) {
        persist(change)
        continue
      }
      for (const a of change.assignments) {
        droppedNames.add(nameOf(a))
        if (a.node) droppedNodes.add(a.node)
      }
    }
  }

  private change(assignments: readonly Assignment[]): void {
    for (const { directory, name, node } of assignments) {
      if (node) directory.names.set(name, node)
      else directory.names.delete(name)
    }
    this.pending.push({ assignments })
  }

  private parentOf(path: string): { directory: SimDirectory; name: string } | null {
    const parts = segments(path)
    const name = parts.at(-1)
    const node = this.find(parts.slice(0, -1))
    return name && node?.isDirectory ? { directory: node, name } : null
  }

  private find(parts: readonly string[]): SimNode | null {
    let node: SimNode = this.root
    for (const name of parts) {
      const next: SimNode | undefined = node.isDirectory ? node.names.get(name) : undefined
      if (!next) return null
      node = next
    }
    return node
  }
}

function persist(change: NameChange): void {
  for (const { directory, name, node } of change.assignments) directory.setDurable(name, node)
}

const segmentsOf = new Map<string, readonly string[]>()

/** Remembered: the same few paths are looked up over and over. */
function segments(path: string): readonly string[] {
  let found = segmentsOf.get(path)
  if (!found) {
    if (segmentsOf.size > 10_000) segmentsOf.clear()
    found = path.split('/').filter((part) => part !== '' && part !== '.')
    segmentsOf.set(path, found)
  }
  return found
}
