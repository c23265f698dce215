import sortedBtree from 'sorted-btree'
import { assert } from '../../raft/errors.js'
import type { KvFailure } from './failure.js'
import { COMPACTED, FUTURE_REVISION } from './failure.js'
import { type ByteString, compareBytes, type KeyRange } from './keys.js'
import { Valued, Values } from './values.js'

const BTree = sortedBtree.default
type KeyTree = InstanceType<typeof BTree<ByteString, Version>>

/** What is known of one state of a key, its value aside. */
export interface VersionFields {
  readonly key: ByteString
  readonly modRevision: number
  /** Place of the change within its revision, from 0. */
  readonly subRevision: number
  readonly deleted: boolean
  readonly createRevision: number
  /** Puts since the key was created. */
  readonly version: number
  readonly lease: number
  /** The state before; null when there was none or compaction let go of it. */
  readonly previous: Version | null
}

/** One state of a key: what a put or a delete made of it. Newest first, linked. */
export class Version extends Valued implements VersionFields {
  readonly key: ByteString
  readonly modRevision: number
  readonly subRevision: number
  readonly deleted: boolean
  readonly createRevision: number
  readonly version: number
  readonly lease: number
  previous: Version | null

  constructor({ key, modRevision, subRevision, deleted, createRevision, version, lease, previous }: VersionFields) {
    super()
    this.key = key
    this.modRevision = modRevision
    this.subRevision = subRevision
    this.deleted = deleted
    this.createRevision = createRevision
    this.version = version
    this.lease = lease
    this.previous = previous
  }
}

/** Changes looked at per write while a compaction is being carried out: memory is freed a little at a time. */
const TRIM_PER_WRITE = 128

/** What a store is made of. `changes` holds every version of `keys`, in order of (modRevision, subRevision). */
export interface StoreContents {
  readonly revision: number
  readonly compactedRevision: number
  readonly keys: KeyTree
  readonly changes: Version[]
  /** Where the values of those versions are. */
  readonly values: Values
}

export function emptyKeys(): KeyTree {
  return new BTree<ByteString, Version>(undefined, compareBytes)
}

/**
 * Every key at every revision since the last compaction (etcd's mvcc).
 *
 * Owns the tree of keys, each with its newest version, and the list of changes in order of revision. The state machine
 * is the only writer, one WriteTransaction at a time.
 *
 * Invariants
 * - `revision` starts at 1 and grows by one with each transaction that changed something.
 * - A key's versions have descending (modRevision, subRevision) along `previous`.
 * - What can be read at revisions ≥ `compactedRevision` is never freed; how much of the rest was freed is invisible.
 * - What a frozen store can read is never freed while it is held, and never changes.
 */
export class KvStore {
  /** Newest revision. */
  revision: number
  /** Oldest revision that can be read; -1 before the first compaction. */
  compactedRevision: number
  private readonly keys: KeyTree
  /** In order of (modRevision, subRevision); those below `trimmed` are done with. */
  private readonly changes: Version[]
  private readonly values: Values
  private trimmed = 0
  private writing = false
  private readonly frozen = new Set<FrozenStore>()

  constructor(contents: StoreContents = { revision: 1, compactedRevision: -1, keys: emptyKeys(), changes: [], values: new Values() }) {
    this.revision = contents.revision
    this.compactedRevision = contents.compactedRevision
    this.keys = contents.keys
    this.changes = contents.changes
    this.values = contents.values
  }

  /** Null when a read at `revision` can be answered; 0 and less mean the newest. */
  checkRevision(revision: number): KvFailure | null {
    if (revision > this.revision) return FUTURE_REVISION
    return revision > 0 && revision < this.compactedRevision ? COMPACTED : null
  }

  /** The key as of `revision` (newest, uncommitted included, when 0); null when it did not exist. */
  get(key: ByteString, revision = 0): Version | null {
    return at(this.keys.get(key), revision)
  }

  /** Keys of a range in order, at most `limit` of them (0: all), and how many there are. */
  range(range: KeyRange, options: { revision?: number; limit?: number; countOnly?: boolean } = {}): { versions: Version[]; count: number } {
    const { revision = 0, limit = 0, countOnly = false } = options
    const versions: Version[] = []
    let count = 0
    this.scan(range, (newest) => {
      const version = at(newest, revision)
      if (version === null) return
      count++
      if (!countOnly && (limit <= 0 || versions.length < limit)) versions.push(version)
    })
    return { versions, count }
  }

  begin(): WriteTransaction {
    assert(!this.writing, 'a write transaction is open')
    this.writing = true
    this.trim(TRIM_PER_WRITE)
    const { keys, changes, values } = this
    return new WriteTransaction(this.revision + 1, { keys, changes, values }, (changed) => {
      this.writing = false
      if (changed) this.revision++
    })
  }

  /** Forgets what can only be read below `revision`. */
  compact(revision: number): KvFailure | null {
    if (revision <= this.compactedRevision) return COMPACTED
    if (revision > this.revision) return FUTURE_REVISION
    this.compactedRevision = revision
    this.trim(TRIM_PER_WRITE)
    return null
  }

  /** The store as it is now, whatever is written, compacted or flipped later. Costs a few objects; whoever took it releases it. */
  freeze(): FrozenStore {
    assert(!this.writing, 'frozen within a write transaction')
    const { revision, compactedRevision } = this
    const frozen = new FrozenStore({ revision, compactedRevision, keys: this.keys.clone() }, () => this.frozen.delete(frozen))
    this.frozen.add(frozen)
    return frozen
  }

  /** Test fault: changes one byte of the newest value of the first key that has one, on this member only. */
  flipByte(): ByteString | null {
    for (const version of this.keys.values()) {
      if (version.valueBytes === 0) continue
      const value = Buffer.from(version.value)
      value[0]! ^= 1
      const flipped = new Version(version)
      this.values.put(flipped, value)
      this.keys.set(version.key, flipped)
      this.changes[this.changes.lastIndexOf(version)] = flipped
      return version.key
    }
    return null
  }

  private scan(range: KeyRange, visit: (newest: Version) => void): void {
    const last = range.end ?? this.keys.maxKey()
    if (last === undefined || last < range.start) return
    this.keys.forRange(range.start, last, range.end === null, (_key, newest) => visit(newest))
  }

  private trim(budget: number): void {
    const end = Math.min(this.changes.length, this.trimmed + budget)
    const readable = this.oldestReadable()
    for (; this.trimmed < end; this.trimmed++) {
      const version = this.changes[this.trimmed] as Version
      if (version.modRevision >= readable) break
      if (version.previous !== null) this.values.release(version.previous)
      version.previous = null
      if (version.deleted && this.keys.get(version.key) === version) this.keys.delete(version.key)
    }
    if (this.trimmed >= 4096 && this.trimmed * 2 >= this.changes.length) {
      this.changes.splice(0, this.trimmed)
      this.trimmed = 0
    }
  }

  /** Oldest revision that can be read here or in a frozen store. */
  private oldestReadable(): number {
    let oldest = this.compactedRevision
    for (const { compactedRevision } of this.frozen) oldest = Math.min(oldest, compactedRevision)
    return oldest
  }
}

/** A store at one moment. It keeps what it can read from being freed until `release`. */
export class FrozenStore {
  readonly revision: number
  readonly compactedRevision: number
  private readonly keys: KeyTree

  constructor(
    contents: Pick<StoreContents, 'revision' | 'compactedRevision' | 'keys'>,
    /** Once; nothing may be read after it. */
    readonly release: () => void,
  ) {
    this.revision = contents.revision
    this.compactedRevision = contents.compactedRevision
    this.keys = contents.keys
  }

  /**
   * Every key with the versions that can be read, oldest first; keys in order of their bytes. A long history comes in several
   * pieces, cut by what is in it and nothing else. Null: nothing yet, a place to pause.
   */
  *histories(): Generator<readonly Version[] | null> {
    for (const newest of this.keys.values()) {
      const versions: Version[] = []
      for (let version: Version | null = newest; version !== null; version = version.previous) {
        const base = version.modRevision <= this.compactedRevision
        if (!(base && version.deleted && version.modRevision < this.compactedRevision)) versions.push(version)
        if (base) break
        if ((versions.length & 1023) === 0) yield null
      }
      if (versions.length > 0) yield* pieces(versions.reverse())
    }
  }
}

/** A piece of a history ends with the version that brings it to one of these. */
export const PIECE_VERSIONS = 256
export const PIECE_VALUE_BYTES = 64 * 1024

function* pieces(versions: readonly Version[]): Generator<readonly Version[]> {
  let start = 0
  let bytes = 0
  for (let i = 0; i < versions.length; i++) {
    bytes += (versions[i] as Version).valueBytes
    if (i + 1 - start < PIECE_VERSIONS && bytes < PIECE_VALUE_BYTES) continue
    yield versions.slice(start, i + 1)
    start = i + 1
    bytes = 0
  }
  if (start === 0) yield versions
  else if (start < versions.length) yield versions.slice(start)
}

function at(newest: Version | undefined, revision: number): Version | null {
  let version: Version | null = newest ?? null
  if (revision > 0) while (version !== null && version.modRevision > revision) version = version.previous
  return version === null || version.deleted ? null : version
}

/** The changes of one revision. Reads of the store see them at once; `end` or `rollback` closes it, once. */
export class WriteTransaction {
  private count = 0

  constructor(
    /** The revision that the changes carry. */
    readonly revision: number,
    private readonly contents: Pick<StoreContents, 'keys' | 'changes' | 'values'>,
    private readonly close: (changed: boolean) => void,
  ) {}

  /** Newest revision as seen from inside: this one's as soon as something changed. */
  get visibleRevision(): number {
    return this.count > 0 ? this.revision : this.revision - 1
  }

  put(key: ByteString, value: Uint8Array, lease: number): void {
    const previous = this.contents.keys.get(key) ?? null
    const alive = previous !== null && !previous.deleted
    const version = new Version({
      key,
      modRevision: this.revision,
      subRevision: this.count,
      deleted: false,
      createRevision: alive ? previous.createRevision : this.revision,
      version: alive ? previous.version + 1 : 1,
      lease,
      previous,
    })
    this.contents.values.put(version, value)
    this.add(version)
  }

  /** `previous` is the key's newest version and alive. */
  delete(previous: Version): void {
    this.add(
      new Version({
        key: previous.key,
        modRevision: this.revision,
        subRevision: this.count,
        deleted: true,
        createRevision: 0,
        version: 0,
        lease: 0,
        previous,
      }),
    )
  }

  end(): void {
    this.close(this.count > 0)
  }

  /** Undoes everything: nothing happened, the revision stays. */
  rollback(): void {
    const { keys, changes, values } = this.contents
    for (; this.count > 0; this.count--) {
      const version = changes.pop() as Version
      if (version.previous === null) keys.delete(version.key)
      else keys.set(version.key, version.previous)
      version.previous = null
      values.release(version)
    }
    this.close(false)
  }

  private add(version: Version): void {
    this.contents.keys.set(version.key, version)
    this.contents.changes.push(version)
    this.count++
  }
}
