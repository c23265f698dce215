import { assert } from './errors.js'
import { EntryBatch } from './log-entry.js'
import { type LogIndex, minIndex, NO_INDEX, NO_TERM, plus, type Term } from './types.js'

/** What a batch costs besides its bytes: its object, its offsets, its view. */
const BATCH_OVERHEAD_BYTES = 512
/** Dropped slots at the front are given back once this many have gathered. */
const COMPACT_AT = 1024

/**
 * The newest part of the log, as the batches it arrived in. Owned by LogManager.
 *
 * Invariant: the batches follow each other without a gap.
 */
export class LogMemory {
  private batches: EntryBatch[] = []
  private head = 0
  private size = 0

  get isEmpty(): boolean {
    return this.head === this.batches.length
  }

  /** The oldest index held; 0 when empty. */
  get firstIndex(): LogIndex {
    return this.isEmpty ? NO_INDEX : this.batches[this.head]!.firstIndex
  }

  get lastIndex(): LogIndex {
    return this.isEmpty ? NO_INDEX : this.batches.at(-1)!.lastIndex
  }

  /** What everything here costs. */
  get byteLength(): number {
    return this.size
  }

  has(index: LogIndex): boolean {
    return !this.isEmpty && index >= this.firstIndex && index <= this.lastIndex
  }

  push(batch: EntryBatch): void {
    assert(this.isEmpty || batch.firstIndex === plus(this.lastIndex, 1), 'batches do not follow each other', {
      first: batch.firstIndex,
      last: this.lastIndex,
    })
    this.batches.push(batch)
    this.size += cost(batch)
  }

  /** 0 when the index is not here. */
  termAt(index: LogIndex): Term {
    return this.has(index) ? this.batches[this.find(index)]!.termAt(index) : NO_TERM
  }

  /**
   * The entries from `from` on up to `last` that fit `maxBytes`, at least one; null when `from` is not here.
   * A view where one batch holds them or most of what may be had; small batches are joined, which copies them.
   */
  get(from: LogIndex, last: LogIndex, maxBytes: number): EntryBatch | null {
    if (!this.has(from)) return null
    let at = this.find(from)
    const run = [view(this.batches[at]!, from, last, maxBytes)]
    let bytes = run[0]!.byteLength
    if (bytes * 2 >= maxBytes) return run[0]!
    for (at++; at < this.batches.length; at++) {
      const batch = this.batches[at]!
      if (batch.firstIndex > last || bytes + batch.byteLengthAt(batch.firstIndex) > maxBytes) break
      const part = view(batch, batch.firstIndex, last, maxBytes - bytes)
      run.push(part)
      bytes += part.byteLength
      if (part.lastIndex !== batch.lastIndex) break
    }
    return EntryBatch.concat(run)
  }

  clear(): void {
    this.batches = []
    this.head = 0
    this.size = 0
  }

  truncateSuffix(lastKept: LogIndex): void {
    while (!this.isEmpty && this.lastIndex > lastKept) {
      const batch = this.batches.pop()!
      this.size -= cost(batch)
      if (batch.firstIndex <= lastKept) this.push(batch.slice(batch.firstIndex, lastKept))
    }
  }

  truncatePrefix(firstKept: LogIndex): void {
    while (!this.isEmpty && this.batches[this.head]!.lastIndex < firstKept) this.dropOldest()
    if (this.isEmpty || this.firstIndex >= firstKept) return
    const batch = this.batches[this.head]!
    const kept = batch.slice(firstKept, batch.lastIndex)
    this.batches[this.head] = kept
    this.size += cost(kept) - cost(batch)
  }

  /** Drops whole batches, oldest first, while more than `maxBytes` are held and no entry above `lastDroppable` goes. */
  shrink(maxBytes: number, lastDroppable: LogIndex): void {
    while (this.size > maxBytes && !this.isEmpty && this.batches[this.head]!.lastIndex <= lastDroppable) this.dropOldest()
  }

  private dropOldest(): void {
    this.size -= cost(this.batches[this.head++]!)
    if (this.isEmpty || (this.head >= COMPACT_AT && this.head * 2 >= this.batches.length)) {
      this.batches = this.batches.slice(this.head)
      this.head = 0
    }
  }

  /** Position of the batch that holds `index`. */
  private find(index: LogIndex): number {
    let low = this.head
    let high = this.batches.length - 1
    if (this.batches[high]!.firstIndex <= index) return high
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.batches[middle]!.lastIndex < index) low = middle + 1
      else high = middle
    }
    return low
  }
}

function cost(batch: EntryBatch): number {
  return batch.byteLength + BATCH_OVERHEAD_BYTES
}

function view(batch: EntryBatch, from: LogIndex, last: LogIndex, maxBytes: number): EntryBatch {
  return batch.slice(from, minIndex(last, batch.lastWithin(from, maxBytes)))
}
