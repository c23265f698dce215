import type { Done } from './closure.js'
import type { Timer } from './environment.js'
import { ErrorCode, ErrorType, RaftError, Status } from './errors.js'
import type { NodeImpl } from './node-impl.js'
import type { TimerStatus } from './node-status.js'
import { SnapshotInstaller } from './snapshot-installer.js'
import { SnapshotReaders } from './snapshot-readers.js'
import { SnapshotThrottle } from './snapshot-throttle.js'
import type { SnapshotMeta, SnapshotReader, SnapshotStorage, SnapshotWriter } from './storage.js'
import { type LogId, NO_INDEX, NO_TERM } from './types.js'

const INTERVAL_MS = 3_600_000
/** A snapshot is taken only when at least so many entries were applied since the last one (braft raft_do_snapshot_min_index_gap). */
const MIN_GAP = 1

export type SnapshotDone = (status: Status, meta?: SnapshotMeta) => void

/** What the executor is busy with, and how far a download is. */
export interface SnapshotProgress {
  readonly id: LogId
  readonly state: 'idle' | 'saving' | 'downloading' | 'loading'
  readonly bytesDone: number
  /** 0 while unknown. */
  readonly bytesTotal: number
}

/**
 * Takes snapshots and loads them (braft SnapshotExecutor): on demand, by interval, and at the start.
 *
 * Owns SnapshotStorage and what is under way, at most one thing at a time. The state machine writes into a directory that
 * nobody sees; once that is durable and visible, and not before, the log is cut. Saving goes on beside everything else.
 *
 * Invariants
 * - `lastId` is durable and visible in the storage, and the log was told of it or is about to be.
 * - a snapshot whose save failed leaves everything as it was; a failing disk ends the node.
 */
export class SnapshotExecutor {
  activity: SnapshotProgress['state'] = 'idle'
  readonly installer: SnapshotInstaller
  /** What others read here. */
  readonly readers: SnapshotReaders
  /** How fast this member copies from others. */
  readonly receiving: SnapshotThrottle
  private readonly sending: SnapshotThrottle
  private last: SnapshotMeta | null = null
  private timer: Timer | null = null
  private firesAt = 0
  private isStopped = false
  /** Storage calls under way; a stopping node waits for them. */
  private pending = 0
  private onRest: Done | null = null
  /** Whoever asked for the snapshot that is being saved. */
  private asker: SnapshotDone | null = null

  constructor(private readonly node: NodeImpl) {
    const bytesPerSecond = node.options.snapshotThrottleBytesPerSecond ?? 0
    this.installer = new SnapshotInstaller(node, this)
    this.sending = new SnapshotThrottle(node.env.clock, bytesPerSecond)
    this.readers = new SnapshotReaders(node.env, this.sending)
    this.receiving = new SnapshotThrottle(node.env.clock, bytesPerSecond)
  }

  /** How fast this member copies from now on, each way; copies that run go on at that rate. */
  setThrottle(bytesPerSecond: number): void {
    this.sending.setBytesPerSecond(bytesPerSecond)
    this.receiving.setBytesPerSecond(bytesPerSecond)
  }

  /** What the newest snapshot stands for; index 0 without one. */
  get lastId(): LogId {
    return this.last?.lastIncluded ?? { index: NO_INDEX, term: NO_TERM }
  }

  /** What it is doing, and how far a copy is. */
  get progress(): SnapshotProgress {
    const { bytesDone, bytesTotal } = this.installer
    return { id: this.lastId, state: this.activity, bytesDone, bytesTotal }
  }

  /** When the next snapshot is due by interval. */
  get timerStatus(): TimerStatus {
    const firesInMs = this.timer && !this.isStopped ? Math.max(0, Math.round(this.firesAt - this.node.env.clock.now())) : null
    return { timeoutMs: this.storage ? this.intervalMs : 0, firesInMs }
  }

  private get intervalMs(): number {
    return this.node.options.snapshotIntervalMs ?? INTERVAL_MS
  }

  /** Where the snapshots are kept; null when none are taken. */
  get storage(): SnapshotStorage | null {
    return this.node.options.snapshotStorage ?? null
  }

  /** Has the state machine load the newest snapshot and tells the log. ECORRUPT: snapshot and log leave a hole, or it is damaged. */
  init(done: Done): void {
    const { storage } = this
    if (!storage) return done(Status.OK)
    this.track<void>((next) => this.recover(storage, next), done)
  }

  private recover(storage: SnapshotStorage, done: Done): void {
    storage.init((status, newest) => {
      if (!status.ok) return done(status)
      const hole = this.findHole(newest ?? null)
      if (hole || !newest) return done(hole ?? Status.OK)
      storage.open((opened, reader) => {
        if (!opened.ok) return done(opened)
        storage.verify(reader!, (verified) => {
          if (verified.ok) return this.load(reader!, done)
          reader!.close()
          done(verified)
        })
      })
    })
  }

  /** Takes snapshots by interval from now on; the first after a random part of it, so that members do not all save at once. */
  start(): void {
    const { intervalMs } = this
    if (!this.storage || intervalMs <= 0 || this.isStopped) return
    const { node } = this
    const { clock, random } = node.env
    const arm = (delayMs: number) => {
      this.firesAt = clock.now() + delayMs
      this.timer = clock.schedule(
        delayMs,
        () => {
          if (node.error) return
          arm(intervalMs)
          if (this.isDue) this.snapshot(() => {})
        },
        'snapshot',
      )
    }
    arm(1 + random.fork('snapshot').unit() * (intervalMs - 1))
  }

  /**
   * Takes a snapshot. OK with the present one when nothing was applied since; then what the log kept for slow followers goes
   * too, as in braft. EINVAL: not supported, by this group or its state machine. EBUSY: another save, copy or load runs.
   * ENODATA: there is nothing to save yet. EIO: the disk failed, and with it the node.
   */
  snapshot(done: SnapshotDone): void {
    const { node, storage } = this
    if (!storage) return done(Status.error(ErrorCode.EINVAL, 'Snapshot is not supported'))
    const refuse = this.isStopped ? Status.error(ErrorCode.EPERM, 'the node is stopping') : node.refusal()
    if (refuse) return done(refuse)
    if (this.activity !== 'idle') return done(Status.error(ErrorCode.EBUSY, `a snapshot is being ${WORDS[this.activity]}`))
    if (!this.isDue) {
      if (!this.last) return done(Status.error(ErrorCode.ENODATA, 'nothing is applied yet'))
      node.log.cutToSnapshot()
      return done(Status.OK, this.last)
    }
    this.activity = 'saving'
    this.asker = done
    const startedAt = node.env.clock.now()
    const told: SnapshotDone = (saved, meta) => this.tell(saved, meta)
    this.track(storage.create.bind(storage, null), (status, writer) => {
      if (!status.ok) return this.saveFailed(status, told)
      node.fsmCaller.saveSnapshot(writer!, (saved, meta) => {
        if (!saved.ok || this.isStopped || node.error) return this.discard(writer!, saved.ok ? stopping() : saved, told)
        this.commit(writer!, meta!, startedAt, told)
      })
    })
  }

  private tell(status: Status, meta?: SnapshotMeta): void {
    const { asker } = this
    this.asker = null
    asker?.(status, meta)
  }

  /** The newest snapshot, pinned until its reader is closed; ENODATA without one. */
  open(done: (status: Status, reader?: SnapshotReader) => void): void {
    if (this.storage) this.storage.open(done)
    else done(Status.error(ErrorCode.ENODATA, 'Snapshot is not supported'))
  }

  /**
   * The same, once every file was found to be what was written: others copy from it, and not all of them look. ECORRUPT: one is
   * not, and the node ends; another leader has a snapshot of its own.
   */
  openVerified(done: (status: Status, reader?: SnapshotReader) => void): void {
    this.open((opened, reader) => {
      if (!opened.ok) return done(opened)
      this.storage!.verify(reader!, (status) => {
        if (status.ok) return done(status, reader)
        reader!.close()
        if (status.code === ErrorCode.ECORRUPT) this.node.onError(new RaftError(ErrorType.SNAPSHOT, status))
        done(status)
      })
    })
  }

  /**
   * Starts nothing any more; `done` once the storage is at rest. What the state machine still writes is not waited for: whoever
   * asked for it is told before `done`, after which the process may end.
   */
  shutdown(done: Done): void {
    this.isStopped = true
    this.timer?.cancel()
    this.onRest = done
    this.rest()
  }

  private get isDue(): boolean {
    return this.node.fsmCaller.appliedIndex - this.lastId.index >= MIN_GAP
  }

  private load(reader: SnapshotReader, done: Done): void {
    this.activity = 'loading'
    this.node.fsmCaller.loadSnapshot(reader, (status) => {
      this.activity = 'idle'
      reader.close()
      if (status.ok) this.adopt(reader.meta)
      done(status)
    })
  }

  /** The state machine holds this snapshot, which is durable: log and commit index follow. */
  adopt(meta: SnapshotMeta): void {
    const { log, ballotBox, removal } = this.node
    // What is known of having been a member would go with the log.
    removal.onApplied(log.configurations.at(ballotBox.lastCommittedIndex))
    removal.onApplied(meta.configuration)
    this.last = meta
    log.setSnapshot(meta)
    ballotBox.setLastCommitted(meta.lastIncluded.index)
  }

  /** braft starts with a hole between snapshot and log; whoever needs the entries in it would never get them. */
  private findHole(newest: SnapshotMeta | null): Status | null {
    const { firstIndex } = this.node.log
    const end = newest?.lastIncluded.index ?? NO_INDEX
    if (firstIndex - 1 <= end) return null
    const what = newest ? `the newest snapshot ends at ${end}` : 'there is no snapshot'
    return Status.error(
      ErrorCode.ECORRUPT,
      `the log starts at ${firstIndex}, but ${what}: entries ${end + 1} to ${firstIndex - 1} are missing; nothing was changed`,
    )
  }

  private commit(writer: SnapshotWriter, meta: SnapshotMeta, startedAt: number, done: SnapshotDone): void {
    const { node } = this
    this.track(
      (next) => this.storage!.commit(writer, meta, next),
      (status) => {
        if (!status.ok) return this.discard(writer, status, done)
        node.env.failpoints.hit('snapshot.saved')
        this.activity = 'idle'
        this.last = meta
        node.log.setSnapshot(meta)
        const { index, term: snapshotTerm } = meta.lastIncluded
        node.observe({ name: 'snapshot.saved', index, snapshotTerm, tookMs: node.env.clock.now() - startedAt })
        done(Status.OK, meta)
      },
    )
  }

  private discard(writer: SnapshotWriter, why: Status, done: SnapshotDone): void {
    if (this.isStopped || this.node.error) return this.saveFailed(why, done)
    this.track(
      (next) => this.storage!.discard(writer, next),
      () => this.saveFailed(why, done),
    )
  }

  private saveFailed(status: Status, done: SnapshotDone): void {
    this.activity = 'idle'
    const { node } = this
    if (!this.isStopped) node.observe({ name: 'snapshot.failed', what: 'save', status })
    if (status.code === ErrorCode.EIO) node.onError(new RaftError(ErrorType.SNAPSHOT, status))
    done(status)
  }

  /** A storage call that a stopping node waits for. */
  private track<T>(call: (done: (status: Status, value?: T) => void) => void, done: (status: Status, value?: T) => void): void {
    this.hold()
    call((status, value) => {
      done(status, value)
      this.release()
    })
  }

  /** A stopping node waits until what is held is released. */
  hold(): void {
    this.pending++
  }

  /** What is offered under that id is not read any more. */
  release(): void {
    this.pending--
    this.rest()
  }

  private rest(): void {
    if (!this.onRest || this.pending > 0) return
    const done = this.onRest
    this.onRest = null
    this.tell(stopping())
    done(Status.OK)
  }
}

const WORDS = { idle: '', saving: 'saved', downloading: 'copied', loading: 'loaded' } as const

function stopping(): Status {
  return Status.error(ErrorCode.ESHUTDOWN, 'the node is stopping')
}
