import type { Checksum } from '../raft/environment.js'
import { assert } from '../raft/errors.js'
import { ENTRY_HEADER_BYTES, type EntryBatch } from '../raft/log-entry.js'
import { type LogIndex, logIndex, plus, type Term } from '../raft/types.js'
import { join } from './paths.js'

const OPEN_NAME = /^log_inprogress_(\d{20})$/
const SEALED_NAME = /^log_(\d{20})_(\d{20})$/
const OFFSETS_AT_FIRST = 64
const FILE_BYTES_MAX = 0xffff_ffff

/** What a file name in the log directory says. `lastIndex` is null for the open segment. */
export interface SegmentName {
  readonly name: string
  readonly firstIndex: LogIndex
  readonly lastIndex: LogIndex | null
}

/** Reads braft's `log_inprogress_FIRST` or `log_FIRST_LAST`; null for any other file. */
export function parseSegmentName(name: string): SegmentName | null {
  const open = OPEN_NAME.exec(name)
  if (open) return { name, firstIndex: logIndex(Number(open[1])), lastIndex: null }
  const sealed = SEALED_NAME.exec(name)
  if (sealed) return { name, firstIndex: logIndex(Number(sealed[1])), lastIndex: logIndex(Number(sealed[2])) }
  return null
}

const digits = (index: LogIndex) => String(index).padStart(20, '0')

/**
 * The index of one segment file in memory: where each entry starts and the runs of equal terms. It does no input or output.
 * Owned by SegmentLogStorage; filled by a scan at start and by every durable append.
 *
 * Invariants: offsets[0] = 0, offsets[count] is where the next entry goes; terms never decrease.
 */
export class Segment {
  private offsets = new Uint32Array(OFFSETS_AT_FIRST)
  /** The header checksum of each entry: it covers term, type, length and the data's checksum, so it names the entry. */
  private sums = new Uint32Array(OFFSETS_AT_FIRST)
  private entries = 0
  /** Ordinal where each run of equal terms starts, and its term. */
  private readonly runStarts: number[] = []
  private readonly runTerms: Term[] = []

  constructor(
    private readonly directory: string,
    /** Index of the first entry in the file; it may lie below the log's first index. */
    readonly firstIndex: LogIndex,
    private isSealed: boolean,
  ) {}

  get sealed(): boolean {
    return this.isSealed
  }

  get count(): number {
    return this.entries
  }

  /** Index of the last entry, inclusive; firstIndex - 1 when the segment is empty. */
  get lastIndex(): LogIndex {
    return plus(this.firstIndex, this.entries - 1)
  }

  get lastTerm(): Term {
    return this.runTerms.at(-1) ?? (0 as Term)
  }

  /** Bytes of all entries. */
  get bytes(): number {
    return this.offsets[this.entries]!
  }

  get path(): string {
    return this.isSealed ? this.sealedPath : this.openPath
  }

  get openPath(): string {
    return join(this.directory, `log_inprogress_${digits(this.firstIndex)}`)
  }

  get sealedPath(): string {
    return join(this.directory, `log_${digits(this.firstIndex)}_${digits(this.lastIndex)}`)
  }

  seal(): void {
    this.isSealed = true
    this.offsets = this.offsets.slice(0, this.entries + 1)
    this.sums = this.sums.slice(0, this.entries + 1)
  }

  reopen(): void {
    this.isSealed = false
  }

  /** Notes entries at the end. */
  append(batch: EntryBatch): void {
    for (let index = batch.firstIndex; index <= batch.lastIndex; index = plus(index, 1))
      this.push(batch.termAt(index), batch.byteLengthAt(index), batch.sumAt(index))
  }

  /** Notes one more entry at the end; `sum` is its header checksum. */
  push(term: Term, byteLength: number, sum: number): void {
    const end = this.bytes + byteLength
    assert(byteLength >= ENTRY_HEADER_BYTES && end <= FILE_BYTES_MAX, 'entry does not fit the segment', { byteLength, end })
    if (this.entries + 2 > this.offsets.length) this.grow()
    if (this.runTerms.length === 0 || this.lastTerm !== term) {
      assert(term > this.lastTerm, 'term of the log went back', { index: this.lastIndex + 1, term, last: this.lastTerm })
      this.runStarts.push(this.entries)
      this.runTerms.push(term)
    }
    this.sums[this.entries] = sum
    this.offsets[++this.entries] = end
  }

  /** The header checksum of an entry. */
  sumAt(index: LogIndex): number {
    return this.sums[index - this.firstIndex]!
  }

  /** Stands for every entry in the segment, in its place. */
  digest(checksum: Checksum): number {
    const bytes = Buffer.alloc(8 + 4 * this.entries)
    bytes.writeBigUInt64BE(BigInt(this.firstIndex))
    for (let i = 0; i < this.entries; i++) bytes.writeUInt32BE(this.sums[i]!, 8 + 4 * i)
    return checksum.crc32c(bytes)
  }

  /** Where the entry starts in the file; for lastIndex + 1, where the next one goes. */
  offsetOf(index: LogIndex): number {
    const ordinal = index - this.firstIndex
    assert(ordinal >= 0 && ordinal <= this.entries, 'index outside of the segment', { index, first: this.firstIndex, count: this.entries })
    return this.offsets[ordinal]!
  }

  termAt(index: LogIndex): Term {
    const ordinal = index - this.firstIndex
    assert(ordinal >= 0 && ordinal < this.entries, 'index outside of the segment', { index, first: this.firstIndex, count: this.entries })
    let run = this.runStarts.length - 1
    while (this.runStarts[run]! > ordinal) run--
    return this.runTerms[run]!
  }

  /** The last index such that the entries from `from` to it stay within `bytesMax`; at least `from`. */
  lastWithin(from: LogIndex, bytesMax: number): LogIndex {
    const start = this.offsetOf(from)
    let low: number = from
    let high: number = this.lastIndex
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (this.offsets[middle + 1 - this.firstIndex]! - start <= bytesMax) low = middle
      else high = middle - 1
    }
    return logIndex(low)
  }

  /** Forgets the entries behind `lastKept`. */
  truncateTo(lastKept: LogIndex): void {
    const count = lastKept - this.firstIndex + 1
    assert(count >= 0 && count <= this.entries, 'cut outside of the segment', { lastKept, first: this.firstIndex, count: this.entries })
    this.entries = count
    while (this.runStarts.length > 0 && this.runStarts.at(-1)! >= count) {
      this.runStarts.pop()
      this.runTerms.pop()
    }
  }

  private grow(): void {
    const larger = new Uint32Array(Math.max(this.offsets.length * 2, OFFSETS_AT_FIRST))
    larger.set(this.offsets)
    this.offsets = larger
    const sums = new Uint32Array(larger.length)
    sums.set(this.sums)
    this.sums = sums
  }
}

/** The segment that holds `index`, of several that follow each other and hold it somewhere. */
export function segmentAt(segments: readonly Segment[], index: LogIndex): Segment {
  let low = 0
  let high = segments.length - 1
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (segments[middle]!.firstIndex <= index) low = middle
    else high = middle - 1
  }
  return segments[low]!
}
