import type { Done } from './closure.js'
import type { ClosureQueue } from './closure-queue.js'
import { ConfigurationEntry } from './configuration.js'
import type { Environment } from './environment.js'
import { assert, ErrorCode, ErrorType, RaftError, Status } from './errors.js'
import type { EventOrigin } from './events.js'
import { BatchIterator } from './iterator.js'
import { type EntryBatch, EntryType } from './log-entry.js'
import type { LogManager } from './log-manager.js'
import type { LeaderChange, StateMachine } from './raft.js'
import type { SnapshotMeta, SnapshotReader, SnapshotWriter } from './storage.js'
import { type LogId, type LogIndex, maxIndex, minIndex, NO_INDEX, NO_TERM, plus, type Term } from './types.js'

export interface FSMCallerOptions {
  readonly environment: Environment
  readonly origin: EventOrigin
  readonly fsm: StateMachine
  readonly logManager: LogManager
  readonly closures: ClosureQueue
  /** The state machine or a read of the log failed: nothing is applied any more. */
  readonly onError: (error: RaftError) => void
  /** What is queued from inside reaches the state machine before the next entry does. */
  readonly onConfigurationApplied: (entry: ConfigurationEntry) => void
  /** Everything up to `index` is applied. */
  readonly onApplied?: (index: LogIndex) => void
  /** Entries applied in one go; default 1024. */
  readonly maxSliceEntries?: number
  /** Bytes taken out of the log in one go; default 512 KiB. */
  readonly maxSliceBytes?: number
}

/** A snapshot to load: nothing else happens until it is loaded. */
interface Load {
  readonly kind: 'load'
  readonly activity: string
  readonly reader: SnapshotReader
  readonly done: Done
}

/** Entries to apply, one call of the state machine, or a snapshot to load. */
type Work =
  | { readonly kind: 'committed'; index: LogIndex }
  | { readonly kind: 'call'; readonly activity: string; readonly run: () => void }
  | Load

interface Waiter {
  readonly index: LogIndex
  readonly done: Done
}

/**
 * The only caller of StateMachine: one call at a time, in the order in which things happened.
 *
 * Owns what is committed and not applied, the notifications queued among it, and those who wait for an index to be
 * applied. NodeImpl queues; entries come out of LogManager's memory or from disk.
 * Each slice is an event of its own, so that votes and heartbeats run in between (test/README.md, C05).
 *
 * Invariants
 * - Entries are applied once each, in log order, and only when committed; appliedIndex is the last that happened.
 * - After an error nothing is applied; the state machine hears of it once. After onShutdown it hears nothing.
 */
export class FSMCaller {
  private readonly iterator: BatchIterator
  private readonly maxSliceEntries: number
  private readonly maxSliceBytes: number
  private applied: LogId = { index: NO_INDEX, term: NO_TERM }
  private published = NO_INDEX
  private committed = NO_INDEX
  private work: Work[] = []
  /** Calls queued while the node handles an applied configuration; null otherwise. */
  private amidConfiguration: (() => void)[] | null = null
  /** Committed entries taken out of the log and not applied yet. */
  private ahead: EntryBatch | null = null
  private isReading = false
  private loading: Load | null = null
  private stepPosted = false
  private error: RaftError | null = null
  private waiters: Waiter[] = []
  private stopping: Done[] | null = null
  private isStopped = false

  constructor(private readonly options: FSMCallerOptions) {
    this.iterator = new BatchIterator(options.closures)
    this.maxSliceEntries = options.maxSliceEntries ?? 1024
    this.maxSliceBytes = options.maxSliceBytes ?? 512 * 1024
  }

  get appliedIndex(): LogIndex {
    return this.applied.index
  }

  get appliedId(): LogId {
    return this.applied
  }

  /** What the state machine is busy with, in raft_stat's words. */
  get activity(): string {
    const work = this.work[0]
    if (!work) return 'Idle'
    return work.kind !== 'committed' ? work.activity : `Applying log_index=${this.applied.index + 1}`
  }

  /** The state machine already holds everything up to `applied`. Called once, first. */
  start(applied: LogId): void {
    assert(this.committed === NO_INDEX, 'started twice', { committed: this.committed })
    this.applied = applied
    this.published = applied.index
    this.committed = applied.index
  }

  /** Everything up to `index` may be applied. */
  onCommitted(index: LogIndex): void {
    if (this.error || this.stopping || index <= this.committed) return
    this.committed = index
    const newest = this.work.at(-1)
    if (newest?.kind === 'committed') newest.index = index
    else this.push({ kind: 'committed', index })
  }

  onLeaderStart(term: Term): void {
    this.call('Notifying leader start', () => this.options.fsm.onLeaderStart(term))
  }

  onLeaderStop(status: Status): void {
    this.call('Notifying leader stop', () => this.options.fsm.onLeaderStop(status))
  }

  onStartFollowing(change: LeaderChange): void {
    this.call('Notifying start following', () => this.options.fsm.onStartFollowing(change))
  }

  onStopFollowing(change: LeaderChange): void {
    this.call('Notifying stop following', () => this.options.fsm.onStopFollowing(change))
  }

  /** The node failed: the state machine hears of it before all else, once, and nothing is applied any more. */
  onError(error: RaftError): void {
    if (this.error || this.isStopped) return
    this.error = error
    this.ahead = null
    this.isReading = false
    const { loading } = this
    const loads = this.work.filter((work): work is Load => work.kind === 'load' && work !== loading)
    const activity = 'Notifying error'
    const tell: Work = { kind: 'call', activity, run: () => this.guarded(activity, () => this.options.fsm.onError(error)) }
    this.work = [...(loading ? [loading] : []), tell, ...this.work.filter((work) => work.kind === 'call')]
    this.options.environment.executor.post(() => {
      this.failWaiters(error.status)
      for (const load of loads) load.done(error.status)
    }, 'fsm.failed')
    this.postStep()
  }

  /**
   * Has the state as of the last entry applied written into `writer`; `done` with what that snapshot stands for. The state
   * is pinned down in its turn of the queue, what is applied later goes on meanwhile.
   */
  saveSnapshot(writer: SnapshotWriter, done: (status: Status, meta?: SnapshotMeta) => void): void {
    const failure = this.unusable
    if (failure) return this.options.environment.executor.post(() => done(failure), 'fsm.refused')
    this.push({ kind: 'call', activity: 'Saving snapshot', run: () => this.save(writer, done) })
  }

  /**
   * Replaces the state by a snapshot's; ESTALE when it is no newer. `done` runs before anything else is applied. A machine
   * that cannot load it fails the node.
   */
  loadSnapshot(reader: SnapshotReader, done: Done): void {
    const failure = this.unusable
    if (failure) return this.options.environment.executor.post(() => done(failure), 'fsm.refused')
    this.push({ kind: 'load', activity: 'Loading snapshot', reader, done })
  }

  /** `done` once everything up to `index` is applied, or with why that will not happen. Answers how to stop waiting. */
  whenApplied(index: LogIndex, done: Done): () => void {
    const failure = this.error?.status ?? (this.isStopped ? Status.error(ErrorCode.ESHUTDOWN, 'the node is shut down') : null)
    if (failure || index <= this.published) {
      this.options.environment.executor.post(() => done(failure ?? Status.OK), 'fsm.waited')
      return () => {}
    }
    const waiter = { index, done }
    let at = this.waiters.length
    while (at > 0 && this.waiters[at - 1]!.index > index) at--
    this.waiters.splice(at, 0, waiter)
    return () => {
      this.waiters = this.waiters.filter((other) => other !== waiter)
    }
  }

  /**
   * Runs what is queued, fails who still waits with ESHUTDOWN, tells the state machine, then `done`. Committed entries
   * for which nobody here waits are left to the next start.
   */
  shutdown(done: Done): void {
    if (this.isStopped) return this.options.environment.executor.post(() => done(Status.OK), 'fsm.stopped')
    if (this.stopping) {
      this.stopping.push(done)
      return
    }
    this.push({ kind: 'call', activity: 'Idle', run: () => this.stop() })
    this.stopping = [done]
  }

  /** Runs `fn` after all that the state machine is to be told by now. */
  afterwards(fn: () => void): void {
    if (this.stopping) this.options.environment.executor.post(fn, 'fsm.afterwards')
    else this.push({ kind: 'call', activity: 'Idle', run: fn })
  }

  /** Why the state machine is asked nothing any more. */
  private get unusable(): Status | null {
    if (this.error) return Status.error(ErrorCode.EINVAL, `the node failed: ${this.error.status.message}`)
    return this.stopping || this.isStopped ? Status.error(ErrorCode.ESHUTDOWN, 'the node is shut down') : null
  }

  private call(activity: string, run: () => void): void {
    if (this.stopping) return
    if (this.amidConfiguration) this.amidConfiguration.push(() => this.guarded(activity, run))
    else this.push({ kind: 'call', activity, run: () => this.guarded(activity, run) })
  }

  private push(work: Work): void {
    this.work.push(work)
    this.postStep()
  }

  private postStep(): void {
    if (this.stepPosted || this.work.length === 0) return
    this.stepPosted = true
    this.options.environment.executor.post(() => {
      this.stepPosted = false
      this.step()
      if (!this.isReading && !this.loading) this.postStep()
    }, 'fsm.step')
  }

  /** One slice or one call. */
  private step(): void {
    const work = this.work[0]
    if (!work || this.loading) return
    if (work.kind === 'call') {
      work.run()
      this.work.splice(this.work.indexOf(work), 1)
    } else if (work.kind === 'load') {
      this.load(work)
    } else if (this.isAbandoned || work.index <= this.applied.index) {
      this.work.shift()
      this.isReading = false
    } else if (!this.isReading) {
      this.applySlice(work.index)
      if (this.work[0] === work && this.applied.index >= work.index) this.work.shift()
    }
  }

  /** Stopping, and nobody here waits for what is left. */
  private get isAbandoned(): boolean {
    return this.stopping !== null && this.options.closures.length === 0
  }

  private guarded(activity: string, run: () => void): void {
    try {
      run()
    } catch (thrown) {
      this.fail(ErrorType.STATE_MACHINE, Status.error(ErrorCode.ESTATEMACHINE, `the state machine threw (${activity}): ${reason(thrown)}`))
    }
  }

  private applySlice(target: LogIndex): void {
    const first = plus(this.applied.index, 1)
    const batch = this.ahead ?? this.options.logManager.cached(first, target, this.maxSliceBytes)
    if (!batch) return this.readAhead(first, target)
    const last = minIndex(batch.lastIndex, plus(first, this.maxSliceEntries - 1))
    this.ahead = last < batch.lastIndex ? batch.slice(plus(last, 1), batch.lastIndex) : null
    for (let index = first; index <= last && !this.error; index = plus(this.applied.index, 1)) this.applyFrom(batch, index, last)
    this.publish()
  }

  private readAhead(from: LogIndex, target: LogIndex): void {
    this.isReading = true
    this.options.logManager.read(from, target, this.maxSliceBytes, (status, batch) => {
      if (!this.isReading) return
      this.isReading = false
      if (status.ok) this.ahead = batch!
      else this.fail(ErrorType.LOG, status)
      this.postStep()
    })
  }

  /** Applies the entry at `index`, and with it the tasks that follow up to `last`. */
  private applyFrom(batch: EntryBatch, index: LogIndex, last: LogIndex): void {
    const type = batch.typeAt(index)
    if (type === EntryType.DATA) return this.applyTasks(batch, index, last)
    const done = this.options.closures.pop(index)
    this.applied = { index, term: batch.termAt(index) }
    if (type === EntryType.CONFIGURATION) this.applyConfiguration(index)
    done?.run(this.error?.status ?? Status.OK)
  }

  private applyTasks(batch: EntryBatch, first: LogIndex, sliceLast: LogIndex): void {
    let last = first
    while (last < sliceLast && batch.typeAt(plus(last, 1)) === EntryType.DATA) last = plus(last, 1)
    let thrown: Status | null = null
    this.iterator.begin(batch, first, last)
    try {
      this.options.fsm.onApply(this.iterator)
    } catch (error) {
      thrown = Status.error(ErrorCode.ESTATEMACHINE, `the state machine threw at entry ${this.iterator.position}: ${reason(error)}`)
    }
    const status = this.iterator.end(thrown)
    const happened = plus(this.iterator.position, -1)
    if (happened >= first) this.applied = { index: happened, term: batch.termAt(happened) }
    if (!status) return
    for (let index = plus(this.iterator.reached, 1); index <= sliceLast; index = plus(index, 1))
      this.options.closures.pop(index)?.run(status)
    this.publish()
    this.fail(ErrorType.STATE_MACHINE, status)
  }

  private applyConfiguration(index: LogIndex): void {
    const entry = this.options.logManager.configurations.at(index)
    assert(entry.id.index === index, 'an applied configuration is unknown to the log', { index, known: entry.id.index })
    if (entry.isStable) {
      this.guarded('Notifying configuration committed', () => this.options.fsm.onConfigurationCommitted(entry.conf, index))
      this.options.environment.observer.event({
        ...this.options.origin,
        name: 'configuration.committed',
        index,
        peers: entry.conf.toString(),
      })
    }
    if (this.error) return
    this.amidConfiguration = []
    this.options.onConfigurationApplied(entry)
    const calls = this.amidConfiguration
    this.amidConfiguration = null
    for (const run of calls) run()
  }

  private save(writer: SnapshotWriter, done: (status: Status, meta?: SnapshotMeta) => void): void {
    const failure = this.error ? this.unusable : null
    if (failure) return done(failure)
    const lastIncluded = this.applied
    const { conf, old, learners, configIndex } = this.options.logManager.configurations.at(lastIncluded.index)
    const meta = { lastIncluded, configuration: new ConfigurationEntry(lastIncluded, conf, old, learners, configIndex) }
    let isTold = false
    const tell: Done = (status) => {
      assert(!isTold, 'a snapshot was answered twice', { index: lastIncluded.index })
      isTold = true
      done(status, status.ok ? meta : undefined)
    }
    this.guarded('Saving snapshot', () => this.options.fsm.onSnapshotSave(writer, tell))
    if (this.error && !isTold) tell((this.error as RaftError).status)
  }

  private load(work: Load): void {
    const { reader } = work
    const { lastIncluded } = reader.meta
    if (lastIncluded.index <= this.applied.index) {
      this.work.splice(this.work.indexOf(work), 1)
      return work.done(Status.error(ErrorCode.ESTALE, `the snapshot ends at ${lastIncluded.index}, ${this.applied.index} is applied`))
    }
    this.loading = work
    try {
      this.options.fsm.onSnapshotLoad(reader, (status) => this.loaded(work, status))
    } catch (thrown) {
      this.loaded(work, Status.error(ErrorCode.ESTATEMACHINE, `the state machine threw (Loading snapshot): ${reason(thrown)}`))
    }
  }

  private loaded(work: Load, status: Status): void {
    assert(this.loading === work, 'a snapshot was loaded twice', { index: work.reader.meta.lastIncluded.index })
    this.loading = null
    this.work.splice(this.work.indexOf(work), 1)
    if (!this.error && !status.ok) this.fail(ErrorType.SNAPSHOT, status)
    // A log that failed cannot follow, and nothing is applied to what was loaded: its error is on the way here.
    const failure = this.error?.status ?? this.options.logManager.failure
    if (failure) {
      work.done(failure)
      if (this.error) this.postStep()
      return
    }
    const { lastIncluded, configuration } = work.reader.meta
    this.applied = lastIncluded
    this.committed = maxIndex(this.committed, lastIncluded.index)
    this.ahead = null
    if (configuration.isStable)
      this.guarded('Notifying configuration committed', () =>
        this.options.fsm.onConfigurationCommitted(configuration.conf, lastIncluded.index),
      )
    work.done(Status.OK)
    this.publish()
    this.postStep()
  }

  private publish(): void {
    const { index } = this.applied
    if (index === this.published) return
    this.published = index
    this.options.logManager.setApplied(index)
    this.options.onApplied?.(index)
    const { environment, origin } = this.options
    environment.observer.event({ groupId: origin.groupId, peerId: origin.peerId, name: 'apply.advanced', index })
    let ready = 0
    while (ready < this.waiters.length && this.waiters[ready]!.index <= index) ready++
    for (const { done } of this.waiters.splice(0, ready)) done(Status.OK)
  }

  private fail(type: ErrorType, status: Status): void {
    if (this.error || this.isStopped) return
    const error = new RaftError(type, status)
    this.onError(error)
    this.options.onError(error)
  }

  private failWaiters(status: Status): void {
    for (const { done } of this.waiters.splice(0)) done(status)
  }

  private stop(): void {
    const gone = Status.error(ErrorCode.ESHUTDOWN, 'the node is shut down')
    for (const closure of this.options.closures.clear()) closure.run(gone)
    this.failWaiters(gone)
    this.isStopped = true
    let status = Status.OK
    try {
      this.options.fsm.onShutdown()
    } catch (thrown) {
      status = Status.error(ErrorCode.ESTATEMACHINE, `the state machine threw on shutdown: ${reason(thrown)}`)
    }
    for (const done of this.stopping ?? []) done(status)
  }
}

function reason(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}
