import type { Done } from '../../src/raft/closure.js'
import { type ConfigurationEntry, decodeConfiguration } from '../../src/raft/configuration.js'
import { assert, ErrorCode, Status } from '../../src/raft/errors.js'
import { EntryBatch, EntryType } from '../../src/raft/log-entry.js'
import type { LogRecovery, LogStorage } from '../../src/raft/storage.js'
import { type LogIndex, plus, type Term } from '../../src/raft/types.js'

interface Pending {
  readonly name: string
  /** Takes effect when the disk gets to it. */
  readonly act: () => void
  readonly done: (status: Status) => void
}

/**
 * A log storage whose disk works only when the test says so: `completeOne` lets the oldest change or read happen.
 * Refuses what LogManager promised never to do: two changes at once, gaps, changes after a failure.
 */
export class FakeLogStorage implements LogStorage {
  /** What recovery found at the end. */
  tornTail: LogRecovery['tornTail'] = null
  onUnusable?: (status: Status) => void
  /** Changes and reads that were asked for, in order. */
  readonly calls: string[] = []
  private entries: EntryBatch[] = []
  private first: LogIndex
  private changing = false
  private failed = false
  private closed = false
  private readonly pending: Pending[] = []

  constructor(options: { batches?: readonly EntryBatch[]; firstIndex?: LogIndex } = {}) {
    this.first = options.firstIndex ?? options.batches?.[0]?.firstIndex ?? (1 as LogIndex)
    for (const batch of options.batches ?? []) this.store(batch)
  }

  get firstLogIndex(): LogIndex {
    return this.first
  }

  get lastLogIndex(): LogIndex {
    return plus(this.first, this.entries.length - 1)
  }

  get isClosed(): boolean {
    return this.closed
  }

  get pendingCount(): number {
    return this.pending.length
  }

  /** Term and data of everything that is on the disk. */
  get content(): string[] {
    return this.entries.map((entry) => `${entry.firstIndex}:${entry.termAt(entry.firstIndex)}:${entry.dataAt(entry.firstIndex).toString()}`)
  }

  init(done: (status: Status, recovery?: LogRecovery) => void): void {
    const recovery = {
      firstIndex: this.first,
      lastIndex: this.lastLogIndex,
      configurations: this.configurations(),
      tornTail: this.tornTail,
    }
    this.enqueue(
      'init',
      () => {},
      (status) => (status.ok ? done(status, recovery) : done(status)),
    )
  }

  appendEntries(batches: readonly EntryBatch[], done: Done): void {
    const name = `append ${batches.map((batch) => (batch.count === 1 ? batch.firstIndex : `${batch.firstIndex}-${batch.lastIndex}`)).join(' ')}`
    const store = () => {
      for (const batch of batches) this.store(batch)
    }
    this.change(name, store, done)
  }

  getEntries(from: LogIndex, maxBytes: number, done: (status: Status, batch?: EntryBatch) => void): void {
    const result: { batch?: EntryBatch } = {}
    const read = () => {
      const found: EntryBatch[] = []
      let bytes = 0
      for (let at = from - this.first; at >= 0 && at < this.entries.length; at++) {
        bytes += this.entries[at]!.byteLength
        if (found.length > 0 && bytes > maxBytes) break
        found.push(this.entries[at]!)
      }
      if (found.length > 0) result.batch = EntryBatch.concat(found)
    }
    this.enqueue(`read ${from}`, read, (status) => {
      if (!status.ok) done(status)
      else if (result.batch) done(status, result.batch)
      else done(Status.error(ErrorCode.ENOENT, `no entry ${from}`))
    })
  }

  getTerm(index: LogIndex): Term {
    return this.entries[index - this.first]?.termAt(index) ?? (0 as Term)
  }

  truncatePrefix(firstKept: LogIndex, done: Done): void {
    this.change(
      `truncatePrefix ${firstKept}`,
      () => {
        this.entries = this.entries.slice(firstKept - this.first)
        this.first = firstKept
      },
      done,
    )
  }

  truncateSuffix(lastKept: LogIndex, done: Done): void {
    this.change(`truncateSuffix ${lastKept}`, () => (this.entries.length = lastKept - this.first + 1), done)
  }

  reset(nextIndex: LogIndex, done: Done): void {
    this.change(
      `reset ${nextIndex}`,
      () => {
        this.entries = []
        this.first = nextIndex
      },
      done,
    )
  }

  close(done: Done): void {
    assert(!this.changing && !this.closed && this.pending.length === 0, 'closed while busy, or twice')
    this.enqueue('close', () => (this.closed = true), done)
  }

  /** The oldest request happens; false when nothing was asked for. */
  completeOne(): boolean {
    const next = this.pending.shift()
    if (!next) return false
    next.act()
    next.done(Status.OK)
    return true
  }

  /** The oldest request fails and changes nothing. */
  failOne(status: Status = Status.error(ErrorCode.EIO, 'the disk is gone')): void {
    const next = this.pending.shift()
    assert(next, 'nothing to fail')
    if (!next.name.startsWith('read')) this.failed = true
    next.done(status)
  }

  private change(name: string, act: () => void, done: Done): void {
    assert(!this.changing, 'two changes at once', { name, calls: this.calls })
    assert(!this.failed, 'a change after a failed one', { name })
    this.changing = true
    this.enqueue(name, act, (status) => {
      this.changing = false
      done(status)
    })
  }

  private enqueue(name: string, act: () => void, done: (status: Status) => void): void {
    assert(!this.closed, 'used after it was closed', { name })
    this.calls.push(name)
    this.pending.push({ name, act, done })
  }

  private store(batch: EntryBatch): void {
    assert(batch.firstIndex === this.lastLogIndex + 1, 'the disk would have a gap', { first: batch.firstIndex, last: this.lastLogIndex })
    for (let index = batch.firstIndex; index <= batch.lastIndex; index = plus(index, 1)) this.entries.push(batch.slice(index, index))
  }

  private configurations(): ConfigurationEntry[] {
    return this.entries
      .filter((entry) => entry.typeAt(entry.firstIndex) === EntryType.CONFIGURATION)
      .map((entry) => decodeConfiguration(entry.dataAt(entry.firstIndex), entry.lastId)!)
  }
}
