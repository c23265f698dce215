import type { Done } from './closure.js'
import type { WriteWatch } from './disk-watch.js'
import type { Environment } from './environment.js'
import { ErrorCode, ErrorType, RaftError, Status } from './errors.js'
import type { EntryBatch } from './log-entry.js'
import type { LogStorage } from './storage.js'
import { type LogIndex, maxIndex, minIndex, NO_INDEX, plus } from './types.js'

export interface LogWriterOptions {
  readonly environment: Environment
  readonly storage: LogStorage
  readonly maxWriteBytes: number
  readonly watch: WriteWatch
  readonly onDurable: (index: LogIndex) => void
  readonly onError: (error: RaftError) => void
}

/** An append, or a wait for what is before it when `batch` is null. */
interface Append {
  readonly kind: 'append'
  readonly batch: EntryBatch | null
  /** What `done` promises to be durable. */
  readonly last: LogIndex
  /** How much of that still stands: lowered when the end of the log is cut. */
  standing: LogIndex
  readonly done: Done | null
}

interface Truncation {
  readonly kind: 'truncatePrefix' | 'truncateSuffix' | 'reset'
  readonly index: LogIndex
}

type Change = Append | Truncation

/**
 * Brings the changes of the log to the disk in the order they were made, one at a time.
 *
 * Owns the changes that wait and the one under way, and durableIndex. LogManager is the only caller.
 * Appends that wait are written together, up to `maxWriteBytes` or one entry: nothing waits for a write to fill up.
 *
 * Invariants
 * - durableIndex counts only what still stands when its write completes (test/README.md, B09: a late completion never vouches
 *   for entries that were cut and written anew).
 * - After a failure nothing is written.
 */
export class LogWriter {
  private durable: LogIndex = NO_INDEX
  private waiting: Change[] = []
  private underWay: readonly Change[] | null = null
  private pumpPosted = false
  private failed: Status | null = null
  private onIdle: (() => void) | null = null

  constructor(private readonly options: LogWriterOptions) {}

  get durableIndex(): LogIndex {
    return this.durable
  }

  /** Why nothing is written any more. */
  get failure(): Status | null {
    return this.failed
  }

  /** The storage was opened and holds everything up to `durableIndex`. */
  start(durableIndex: LogIndex): void {
    this.durable = durableIndex
  }

  append(batch: EntryBatch, done: Done): void {
    let first = batch.firstIndex
    for (;;) {
      const last = batch.lastWithin(first, this.options.maxWriteBytes)
      const isEnd = last === batch.lastIndex
      this.waiting.push({ kind: 'append', batch: batch.slice(first, last), last, standing: last, done: isEnd ? done : null })
      if (isEnd) break
      first = plus(last, 1)
    }
    this.postPump()
  }

  /** `done` when all that was given so far is on disk; ECANCELED if entries up to `last` were cut meanwhile. */
  wait(last: LogIndex, done: Done): void {
    const failure = this.failed
    if (failure) return this.options.environment.executor.post(() => done(failure), 'log.failed')
    this.waiting.push({ kind: 'append', batch: null, last, standing: last, done })
    this.postPump()
  }

  truncateSuffix(lastKept: LogIndex): void {
    this.durable = minIndex(this.durable, lastKept)
    for (const change of this.underWay ?? []) cut(change, lastKept)
    for (const change of this.waiting) cut(change, lastKept)
    this.waiting.push({ kind: 'truncateSuffix', index: lastKept })
    this.postPump()
  }

  truncatePrefix(firstKept: LogIndex): void {
    this.waiting.push({ kind: 'truncatePrefix', index: firstKept })
    this.postPump()
  }

  /** Nothing of the log stands any more; a durable snapshot holds everything below `nextIndex`. */
  reset(nextIndex: LogIndex): void {
    for (const change of this.underWay ?? []) cut(change, NO_INDEX)
    for (const change of this.waiting) cut(change, NO_INDEX)
    this.durable = plus(nextIndex, -1)
    this.waiting.push({ kind: 'reset', index: nextIndex })
    this.postPump()
  }

  /** Stops for good: everyone who waits is told, after `onError`. */
  fail(status: Status): void {
    if (this.failed) return
    this.failed = status
    const changes = [...(this.underWay ?? []), ...this.waiting]
    this.waiting = []
    this.options.environment.executor.post(() => {
      this.options.onError(new RaftError(ErrorType.LOG, status))
      for (const change of changes) if (change.kind === 'append') change.done?.(status)
    }, 'log.failed')
  }

  /** Calls `fn` once nothing is under way or waits. */
  whenIdle(fn: () => void): void {
    this.onIdle = fn
    this.postPump()
  }

  private postPump(): void {
    if (this.pumpPosted || this.underWay) return
    this.pumpPosted = true
    this.options.environment.executor.post(() => {
      this.pumpPosted = false
      this.pump()
      this.rest()
    }, 'log.write')
  }

  private pump(): void {
    while (!this.underWay && this.waiting.length > 0) {
      const head = this.waiting[0]!
      if (head.kind === 'append') {
        this.settle(this.takeWaits())
        const group = this.takeAppends()
        const batches = group.flatMap((append) => append.batch ?? [])
        if (batches.length > 0) this.startWrite(group, (done) => this.options.storage.appendEntries(batches, done))
      } else {
        this.waiting.shift()
        this.startWrite([head], (done) => this.truncate(head, done))
      }
    }
  }

  private truncate({ kind, index }: Truncation, done: Done): void {
    const { storage } = this.options
    if (kind === 'truncateSuffix') storage.truncateSuffix(index, done)
    else if (kind === 'truncatePrefix') storage.truncatePrefix(index, done)
    else storage.reset(index, done)
  }

  private startWrite(group: readonly Change[], write: (done: Done) => void): void {
    this.underWay = group
    this.options.watch.began()
    write((status) => this.handleWritten(group, status))
  }

  /** The appends at the head of the queue that go into one write. */
  private takeAppends(): Append[] {
    const group: Append[] = []
    let bytes = 0
    for (const change of this.waiting) {
      if (change.kind !== 'append') break
      const size = change.batch?.byteLength ?? 0
      if (bytes > 0 && bytes + size > this.options.maxWriteBytes) break
      bytes += size
      group.push(change)
    }
    this.waiting.splice(0, group.length)
    return group
  }

  /** The waits at the head of the queue: all that they wait for is on disk. */
  private takeWaits(): Change[] {
    const end = this.waiting.findIndex((change) => change.kind !== 'append' || change.batch)
    return this.waiting.splice(0, end < 0 ? this.waiting.length : end)
  }

  private handleWritten(group: readonly Change[], status: Status): void {
    if (!status.ok) this.fail(status)
    this.underWay = null
    this.options.watch.ended()
    if (this.failed) return this.rest()
    const before = this.durable
    for (const change of group) if (change.kind === 'append') this.durable = maxIndex(this.durable, change.standing)
    if (this.durable > before) this.options.onDurable(this.durable)
    // The disk goes on before anybody is told, but the telling keeps the order of the calls.
    const waits = this.takeWaits()
    this.pump()
    this.settle(group)
    this.settle(waits)
    this.rest()
  }

  private settle(group: readonly Change[]): void {
    for (const change of group) {
      if (change.kind !== 'append' || !change.done) continue
      change.done(
        change.standing === change.last
          ? Status.OK
          : Status.error(ErrorCode.ECANCELED, `the log was cut at ${change.standing}, below ${change.last}`),
      )
    }
  }

  private rest(): void {
    if (!this.onIdle || this.underWay || this.waiting.length > 0) return
    const fn = this.onIdle
    this.onIdle = null
    fn()
  }
}

function cut(change: Change, lastKept: LogIndex): void {
  if (change.kind === 'append') change.standing = minIndex(change.standing, lastKept)
}
