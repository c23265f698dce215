import type { Done } from '../raft/closure.js'
import { type ConfigurationEntry, decodeConfiguration } from '../raft/configuration.js'
import type { Executor } from '../raft/environment.js'
import { assert, ErrorCode, Status } from '../raft/errors.js'
import { type EntryBatch, EntryType } from '../raft/log-entry.js'
import type { LogRecovery, LogStorage } from '../raft/storage.js'
import { type LogIndex, logIndex, NO_INDEX, NO_TERM, plus, type Term } from '../raft/types.js'

/**
 * A log that lives as long as this object (braft's memory://): for tests and for groups that accept losing it.
 * The same contract as SegmentLogStorage, without durability.
 */
export class MemoryLogStorage implements LogStorage {
  private batches: EntryBatch[] = []
  private first = logIndex(1)

  constructor(private readonly executor: Executor) {}

  get firstLogIndex(): LogIndex {
    return this.first
  }

  /** The last index in it; one less than the first when it is empty. */
  get lastLogIndex(): LogIndex {
    return this.batches.at(-1)?.lastIndex ?? plus(this.first, -1)
  }

  /** Answers what it holds: a log that is opened again is as it was. */
  init(done: (status: Status, recovery?: LogRecovery) => void): void {
    const recovery = {
      firstIndex: this.first,
      lastIndex: this.lastLogIndex,
      configurations: this.configurations(),
      newestBare: this.newestBare,
      tornTail: null,
    }
    this.executor.post(() => done(Status.OK, recovery), 'memory-log')
  }

  appendEntries(batches: readonly EntryBatch[], done: Done): void {
    for (const batch of batches) {
      assert(batch.firstIndex === this.lastLogIndex + 1, 'append leaves a gap', { last: this.lastLogIndex, first: batch.firstIndex })
      this.batches.push(batch)
    }
    this.answer(done)
  }

  getEntries(from: LogIndex, maxBytes: number, done: (status: Status, batch?: EntryBatch) => void): void {
    const batch = from < this.first ? null : this.batchOf(from)
    const status = batch
      ? Status.OK
      : Status.error(ErrorCode.ENOENT, `index ${from} is not in the log [${this.first}, ${this.lastLogIndex}]`)
    const entries = batch?.slice(from, batch.lastWithin(from, maxBytes))
    this.executor.post(() => done(status, entries), 'memory-log')
  }

  getTerm(index: LogIndex): Term {
    return (index < this.first ? null : this.batchOf(index))?.termAt(index) ?? NO_TERM
  }

  /** Drops what lies before `firstKept`. */
  truncatePrefix(firstKept: LogIndex, done: Done): void {
    if (firstKept > this.first) {
      this.first = firstKept
      this.batches = this.batches.filter((batch) => batch.lastIndex >= firstKept)
      const start = this.batches[0]
      if (start && start.firstIndex < firstKept) this.batches[0] = start.slice(firstKept, start.lastIndex)
    }
    this.answer(done)
  }

  /** Drops what lies behind `lastKept`. */
  truncateSuffix(lastKept: LogIndex, done: Done): void {
    assert(lastKept >= this.first - 1, 'cut before the start of the log', { lastKept, first: this.first })
    this.batches = this.batches.filter((batch) => batch.firstIndex <= lastKept)
    const end = this.batches.at(-1)
    if (end && end.lastIndex > lastKept) this.batches[this.batches.length - 1] = end.slice(end.firstIndex, lastKept)
    this.answer(done)
  }

  reset(nextIndex: LogIndex, done: Done): void {
    assert(nextIndex >= 1, 'the log cannot start below 1', { nextIndex })
    this.batches = []
    this.first = nextIndex
    this.answer(done)
  }

  close(done: Done): void {
    this.answer(done)
  }

  private answer(done: Done): void {
    this.executor.post(() => done(Status.OK), 'memory-log')
  }

  private batchOf(index: LogIndex): EntryBatch | null {
    let low = 0
    let high = this.batches.length - 1
    while (low <= high) {
      const middle = (low + high) >>> 1
      const batch = this.batches[middle]!
      if (index < batch.firstIndex) high = middle - 1
      else if (index > batch.lastIndex) low = middle + 1
      else return batch
    }
    return null
  }

  private get newestBare(): LogIndex {
    return this.batches.reduce((newest, batch) => batch.newestBare ?? newest, NO_INDEX)
  }

  private configurations(): ConfigurationEntry[] {
    const found: ConfigurationEntry[] = []
    for (const batch of this.batches) {
      for (let index = batch.firstIndex; index <= batch.lastIndex; index = plus(index, 1)) {
        if (batch.typeAt(index) !== EntryType.CONFIGURATION) continue
        const entry = decodeConfiguration(batch.dataAt(index), { index, term: batch.termAt(index) })
        assert(entry, 'configuration does not parse', { index })
        found.push(entry)
      }
    }
    return found
  }
}
