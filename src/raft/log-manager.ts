import type { Done } from './closure.js'
import { type Configuration, ConfigurationEntry, decodeConfiguration } from './configuration.js'
import { ConfigurationManager } from './configuration-manager.js'
import { UNWATCHED, type WriteWatch } from './disk-watch.js'
import type { Environment } from './environment.js'
import { assert, ErrorCode, type RaftError, Status } from './errors.js'
import type { EventOrigin } from './events.js'
import { type EntryBatch, EntryType } from './log-entry.js'
import { LogMemory } from './log-memory.js'
import { LogWriter } from './log-writer.js'
import type { LogRecovery, LogStorage, SnapshotMeta } from './storage.js'
import { type LogId, type LogIndex, maxIndex, minIndex, NO_INDEX, NO_TERM, plus, type Term } from './types.js'

export interface LogManagerOptions {
  readonly environment: Environment
  readonly origin: EventOrigin
  readonly storage: LogStorage
  /** In force until the log says otherwise. */
  readonly initialConf: Configuration
  /** Batches that wait for the disk are written together up to this many bytes; default 1 MiB. */
  readonly maxWriteBytes?: number
  /** Entries that are durable and applied stay in memory for followers while all of it costs no more; default 16 MiB. */
  readonly maxCacheBytes?: number
  readonly watch?: WriteWatch
  /** Entries may lack their data here. */
  readonly isWitness?: boolean
  /** Snapshots cut nothing from here on: a peer will need it. Null: nobody needs anything. */
  readonly neededFrom?: () => LogIndex | null
  /** The log can no longer be written or trusted. Called once. */
  readonly onError: (error: RaftError) => void
}

/** A read that the disk is working on. */
interface Read {
  readonly from: LogIndex
  /** Lowered when the end of the log is cut meanwhile. */
  last: LogIndex
  /** The log was cut while the disk was reading: a failure may come of that. */
  disturbed: boolean
}

/**
 * The log in memory and on disk; the only caller of LogStorage.
 *
 * Owns the newest entries (LogMemory), the order of disk changes (LogWriter) and the configurations by index. NodeImpl
 * appends and reconciles, Replicator and FSMCaller read.
 *
 * Invariants
 * - What is visible here (lastIndex, termAt, configurations) changes at the call; the disk follows in the same order.
 * - durableIndex ≤ lastIndex: every entry up to it is on disk exactly as it is here. Cutting the end takes it back, and
 *   a write that was under way then counts no further than what was kept.
 * - An entry leaves memory only when it is durable and applied. Nothing that is committed or applied is ever cut, except
 *   what a durable snapshot holds.
 * - After a failure nothing is written and every waiter has been told.
 */
export class LogManager {
  readonly configurations: ConfigurationManager
  private readonly memory = new LogMemory()
  private readonly writer: LogWriter
  private readonly maxCacheBytes: number
  private first = plus(NO_INDEX, 1)
  private last = NO_INDEX
  /** The entry just below `first`, known when it was cut while this process ran. */
  private base: LogId = { index: NO_INDEX, term: NO_TERM }
  /** The newest snapshot that the log was told of. */
  private snapshot: LogId = { index: NO_INDEX, term: NO_TERM }
  /** Where the log starts once nobody needs what snapshots cover. */
  private coveredBelow = NO_INDEX
  private appended = 0
  private applied = NO_INDEX
  private committed = NO_INDEX
  /** The newest entry that may lack its data. */
  private bare = NO_INDEX
  private readonly reads = new Set<Read>()
  private closed: Done | null = null
  private writerIdle = false
  private isOpening = false

  constructor(private readonly options: LogManagerOptions) {
    this.configurations = new ConfigurationManager(new ConfigurationEntry({ index: NO_INDEX, term: NO_TERM }, options.initialConf))
    this.maxCacheBytes = options.maxCacheBytes ?? 16 * 1024 * 1024
    this.writer = new LogWriter({
      environment: options.environment,
      storage: options.storage,
      maxWriteBytes: options.maxWriteBytes ?? 1024 * 1024,
      watch: options.watch ?? UNWATCHED,
      onDurable: (index) => this.handleDurable(index),
      onError: (error) => options.onError(error),
    })
    options.storage.onUnusable = (status) => this.writer.fail(status)
  }

  /** Opens the storage and takes over what it holds. */
  init(done: (status: Status, recovery?: LogRecovery) => void): void {
    this.isOpening = true
    this.options.storage.init((status, recovery) => {
      this.isOpening = false
      if (this.closed) this.closeStorage()
      const failure = status.ok ? this.unusable : status
      if (failure) return done(failure)
      assert(recovery && recovery.firstIndex >= 1 && recovery.lastIndex >= recovery.firstIndex - 1, 'a log opened without a range', {
        recovery,
      })
      this.first = recovery.firstIndex
      this.last = recovery.lastIndex
      this.bare = recovery.newestBare ?? NO_INDEX
      this.writer.start(recovery.lastIndex)
      for (const configuration of recovery.configurations) this.configurations.add(configuration)
      const { environment, origin } = this.options
      if (recovery.tornTail) environment.observer.event({ ...origin, name: 'log.tail-cut', ...recovery.tornTail })
      done(status, recovery)
    })
  }

  /** One more than `lastIndex` when the log is empty. */
  get firstIndex(): LogIndex {
    return this.first
  }

  /** Newest entry, durable or not. */
  get lastIndex(): LogIndex {
    return this.last
  }

  get lastId(): LogId {
    return { index: this.last, term: this.termAt(this.last) }
  }

  /** Bytes of everything that was appended since the start, whether it stayed or not. */
  get appendedBytes(): number {
    return this.appended
  }

  /** Entries in it lack their data: it is the log of a witness, and nobody can be brought up from it. */
  get isBare(): boolean {
    return this.bare >= this.first
  }

  /** Newest entry that is on disk as it is here. */
  get durableIndex(): LogIndex {
    return this.writer.durableIndex
  }

  get durableId(): LogId {
    return { index: this.durableIndex, term: this.termAt(this.durableIndex) }
  }

  /**
   * 0 for index 0 and where the log has nothing. The entry just below the first is known if it was cut in this process, the
   * last of the newest snapshot always.
   */
  termAt(index: LogIndex): Term {
    if (index === this.base.index) return this.base.term
    if (index === this.snapshot.index) return this.snapshot.term
    if (index < this.first || index > this.last) return NO_TERM
    return this.memory.has(index) ? this.memory.termAt(index) : this.options.storage.getTerm(index)
  }

  /** Whether entries may be sent as following `index`. */
  knows(index: LogIndex): boolean {
    return index === NO_INDEX || this.termAt(index) !== NO_TERM
  }

  /** Appends a batch that follows `lastIndex`; `done` when it is durable. */
  append(batch: EntryBatch, done: (status: Status) => void): void {
    if (this.refused(done)) return
    this.put(batch, done)
  }

  /**
   * Follower: makes the log agree with a batch of the leader whose predecessor already matches. What is there with the
   * same terms stays, the first real conflict and all after it goes, the rest is appended. `done` when everything up to
   * the batch's last index is durable. A conflict within what is committed is fatal (ECORRUPT). (Raft §5.3)
   */
  reconcile(batch: EntryBatch, done: (status: Status) => void): void {
    if (this.refused(done)) return
    assert(batch.firstIndex <= this.last + 1, 'a batch leaves a gap', { first: batch.firstIndex, lastIndex: this.last })
    let index = maxIndex(batch.firstIndex, this.first)
    const known = minIndex(batch.lastIndex, this.last)
    while (index <= known && batch.termAt(index) === this.termAt(index)) index = plus(index, 1)

    if (index > batch.lastIndex) return this.writer.wait(batch.lastIndex, done)
    if (index <= this.last) {
      const floor = maxIndex(this.committed, this.applied)
      if (index <= floor) {
        const problem = `the leader sent entry ${index} of term ${batch.termAt(index)}, but ${index} of term ${this.termAt(index)} is committed here`
        this.writer.fail(Status.error(ErrorCode.ECORRUPT, problem))
        this.writer.wait(batch.lastIndex, done)
        return
      }
      this.truncateSuffix(plus(index, -1))
    }
    this.put(batch.slice(index, batch.lastIndex), done)
  }

  /** `done` once everything appended before this call is durable, or the write failed. */
  whenDurable(done: Done): void {
    this.writer.wait(NO_INDEX, done)
  }

  /** Cuts what lies below `firstKept` and was applied; what is not durable yet stays. */
  truncatePrefix(firstKept: LogIndex): void {
    assert(firstKept <= this.applied + 1, 'entries that were not applied would be cut', { firstKept, applied: this.applied })
    const first = minIndex(firstKept, plus(this.durableIndex, 1))
    if (first <= this.first || this.unusable) return
    this.base = { index: plus(first, -1), term: this.termAt(plus(first, -1)) }
    this.first = first
    this.memory.truncatePrefix(first)
    this.configurations.truncatePrefix(first)
    for (const read of this.reads) read.disturbed = true
    this.writer.truncatePrefix(first)
  }

  /** Index of the last entry of the newest snapshot that the log was told of; 0 without one. */
  get snapshotIndex(): LogIndex {
    return this.snapshot.index
  }

  /**
   * A snapshot is durable and visible, and the state machine holds it: what it covers may be cut. Entries back to the
   * snapshot before stay for slow followers, and those further back that somebody needs who is sent an older one. A log that ends before the snapshot, or disagrees with it, starts anew behind
   * it. An older snapshot changes nothing. (braft LogManager::set_snapshot)
   */
  setSnapshot({ lastIncluded, configuration }: SnapshotMeta): void {
    const previous = this.snapshot
    if (lastIncluded.index <= previous.index || this.unusable) return
    const known = lastIncluded.index === this.first - 1 && this.termAt(lastIncluded.index) === NO_TERM
    const term = known ? lastIncluded.term : this.termAt(lastIncluded.index)
    this.snapshot = lastIncluded
    if (term === lastIncluded.term) {
      this.configurations.setSnapshot(configuration)
      this.noteCovered(lastIncluded.index)
      if (previous.index > 0) this.coveredBelow = plus(previous.index, 1)
      return this.cutCovered()
    }
    this.reset(lastIncluded, configuration)
  }

  /** Cuts what snapshots cover and nobody needs. */
  cutCovered(): void {
    const needed = this.options.neededFrom?.() ?? null
    this.truncatePrefix(needed === null ? this.coveredBelow : minIndex(this.coveredBelow, needed))
  }

  /** Cuts the log up to the newest snapshot, also what was kept for slow followers (braft clear_bufferred_logs). */
  cutToSnapshot(): void {
    if (this.snapshot.index > 0) this.truncatePrefix(plus(this.snapshot.index, 1))
  }

  private reset(lastIncluded: LogId, configuration: ConfigurationEntry): void {
    assert(lastIncluded.index >= this.committed, 'committed entries behind a snapshot would be cut', {
      index: lastIncluded.index,
      committed: this.committed,
    })
    const next = plus(lastIncluded.index, 1)
    this.memory.clear()
    this.configurations.reset(configuration)
    this.base = lastIncluded
    this.first = next
    this.last = lastIncluded.index
    for (const read of this.reads) {
      read.last = minIndex(read.last, lastIncluded.index)
      read.disturbed = true
    }
    this.noteCovered(lastIncluded.index)
    this.writer.reset(next)
    this.options.environment.observer.event({ ...this.options.origin, name: 'log.reset', nextIndex: next })
  }

  private noteCovered(index: LogIndex): void {
    this.applied = maxIndex(this.applied, index)
    this.committed = maxIndex(this.committed, index)
  }

  /** Entries out of memory, at least one, within `maxBytes` and up to `last`; null when `from` is not in memory. */
  cached(from: LogIndex, last: LogIndex, maxBytes: number): EntryBatch | null {
    return from > last ? null : this.memory.get(from, last, maxBytes)
  }

  /** As `cached`, else from disk. ELOGDELETED: cut off at the front. ECANCELED: cut off at the end meanwhile. */
  read(from: LogIndex, last: LogIndex, maxBytes: number, done: (status: Status, batch?: EntryBatch) => void): void {
    assert(from <= last && last <= this.last, 'read outside of the log', { from, last, lastIndex: this.last })
    const failure = this.unusable ?? this.outOfReach(from)
    const batch = failure ? null : this.cached(from, last, maxBytes)
    if (failure || batch) {
      this.options.environment.executor.post(() => (failure ? done(failure) : done(Status.OK, batch!)), 'log.read')
      return
    }
    const onDisk = this.memory.isEmpty ? last : minIndex(last, plus(this.memory.firstIndex, -1))
    this.readStorage({ from, last: onDisk, disturbed: false }, maxBytes, done)
  }

  /** As `read`, for those who do not know the range: ERANGE when `from` is not there yet, ELOGDELETED when not any more. */
  readForOthers(from: LogIndex, last: LogIndex, maxBytes: number, done: (status: Status, batch?: EntryBatch) => void): void {
    const end = minIndex(last, this.last)
    if (from >= this.first && from <= end) return this.read(from, end, maxBytes, done)
    const beyond = Status.error(ErrorCode.ERANGE, `entry ${from} is not there, the log ends at ${this.last}`)
    const status = this.unusable ?? this.outOfReach(from) ?? beyond
    this.options.environment.executor.post(() => done(status), 'log.out-of-range')
  }

  /** Everything up to `index` was applied: it may leave memory once it is durable. An older word changes nothing. */
  setApplied(index: LogIndex): void {
    assert(index <= this.last, 'applied beyond the log', { index, lastIndex: this.last })
    this.applied = maxIndex(this.applied, index)
    this.shrink()
  }

  /** Everything up to `index` is committed: it is never cut from the end. An older word changes nothing. */
  setCommitted(index: LogIndex): void {
    assert(index <= this.last, 'committed beyond the log', { index, lastIndex: this.last })
    this.committed = maxIndex(this.committed, index)
  }

  /** Takes no more entries, lets the disk finish what it was given, and closes the storage. */
  close(done: Done): void {
    assert(!this.closed, 'a log is closed twice')
    this.closed = done
    this.writer.whenIdle(() => {
      this.writerIdle = true
      this.closeStorage()
    })
  }

  private closeStorage(): void {
    if (!this.closed || !this.writerIdle || this.isOpening || this.reads.size > 0) return
    this.options.storage.close(this.closed)
  }

  /** Why nothing can be written any more; null while all is well. `onError` follows. */
  get failure(): Status | null {
    return this.writer.failure
  }

  /** Why nothing may be asked of the log any more. */
  private get unusable(): Status | null {
    return this.writer.failure ?? (this.closed ? Status.error(ErrorCode.ESHUTDOWN, 'the log is closed') : null)
  }

  private refused(done: Done): boolean {
    const failure = this.unusable
    if (failure) this.options.environment.executor.post(() => done(failure), 'log.refused')
    return failure !== null
  }

  private put(batch: EntryBatch, done: Done): void {
    assert(batch.firstIndex === this.last + 1, 'a batch does not follow the log', { first: batch.firstIndex, lastIndex: this.last })
    for (let index = batch.firstIndex; index <= batch.lastIndex; index = plus(index, 1)) {
      if (batch.typeAt(index) !== EntryType.CONFIGURATION) continue
      const configuration = decodeConfiguration(batch.dataAt(index), { index, term: batch.termAt(index) })
      assert(configuration, 'a configuration entry holds no configuration', { index })
      this.configurations.add(configuration)
    }
    this.memory.push(batch)
    this.last = batch.lastIndex
    if (this.options.isWitness) this.bare = batch.newestBare ?? this.bare
    this.appended += batch.byteLength
    this.writer.append(batch, done)
  }

  private truncateSuffix(lastKept: LogIndex): void {
    assert(lastKept >= this.committed && lastKept >= this.applied, 'committed entries would be cut', {
      lastKept,
      committed: this.committed,
    })
    this.memory.truncateSuffix(lastKept)
    this.configurations.truncateSuffix(lastKept)
    this.last = lastKept
    this.bare = minIndex(this.bare, lastKept)
    for (const read of this.reads) {
      read.last = minIndex(read.last, lastKept)
      read.disturbed = true
    }
    this.writer.truncateSuffix(lastKept)
    this.options.environment.observer.event({ ...this.options.origin, name: 'log.truncated', lastKept })
  }

  private handleDurable(index: LogIndex): void {
    this.shrink()
    const { environment, origin } = this.options
    environment.observer.event({ groupId: origin.groupId, peerId: origin.peerId, name: 'log.durable', index })
  }

  private shrink(): void {
    this.memory.shrink(this.maxCacheBytes, minIndex(this.applied, this.durableIndex))
  }

  private readStorage(read: Read, maxBytes: number, done: (status: Status, batch?: EntryBatch) => void): void {
    read.disturbed = false
    this.reads.add(read)
    this.options.storage.getEntries(read.from, maxBytes, (status, batch) => {
      this.reads.delete(read)
      const failure = this.unusable ?? this.outOfReach(read.from)
      if (failure) done(failure)
      else if (read.last < read.from) done(Status.error(ErrorCode.ECANCELED, `entry ${read.from} was replaced`))
      else if (status.ok) {
        assert(batch && batch.firstIndex === read.from, 'a log storage answered other entries', {
          from: read.from,
          first: batch?.firstIndex,
        })
        done(status, batch.slice(read.from, minIndex(read.last, batch.lastIndex)))
      } else if (read.disturbed) this.readStorage(read, maxBytes, done)
      else {
        this.writer.fail(status)
        done(status)
      }
      if (this.closed) this.closeStorage()
    })
  }

  private outOfReach(from: LogIndex): Status | null {
    return from < this.first ? Status.error(ErrorCode.ELOGDELETED, `entry ${from} was cut, the log starts at ${this.first}`) : null
  }
}
