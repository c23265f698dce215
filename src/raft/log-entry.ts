import { type Checksum, ChecksumType } from './environment.js'
import { AssertionError, assert } from './errors.js'
import { type LogId, type LogIndex, plus, type Term } from './types.js'

/** Kind of a log entry (braft EntryType). */
export const EntryType = { NO_OP: 1, DATA: 2, CONFIGURATION: 3 } as const
export type EntryType = (typeof EntryType)[keyof typeof EntryType]

/** Every entry starts with this many bytes (braft's segment format). */
export const ENTRY_HEADER_BYTES = 24

/** One entry before it is encoded. */
export interface NewEntry {
  readonly type: EntryType
  readonly data: Uint8Array
  /** Its data was left out: a witness is told that there is such an entry, and no more. */
  readonly bare?: boolean
}

/** In the last byte of a header's second word, which braft neither reads nor writes other than 0. */
const BARE = 1
const NO_DATA = Buffer.alloc(0)

/**
 * A run of consecutive entries in the bytes of braft's segments: for each a 24-byte header (term, type, checksums,
 * length) and its data. The same bytes go to the disk and to the followers; an entry is never an object of its own.
 *
 * header: u64 term | u8 type | u8 checksum type | u16 0, 1 for a bare entry | u32 data length | u32 data checksum | u32 checksum of bytes 0..20
 * (all big-endian). The index of an entry is not in its bytes: it is `firstIndex` plus its ordinal.
 */
export class EntryBatch {
  private constructor(
    readonly firstIndex: LogIndex,
    readonly count: number,
    /** The entries' bytes, back to back. */
    readonly bytes: Buffer,
    /** offsets[i] is where entry i starts in `bytes`; offsets[count] is where the last one ends. */
    private readonly offsets: Uint32Array,
    private readonly start: number,
  ) {}

  /** Index of the last entry in it. */
  get lastIndex(): LogIndex {
    return (this.firstIndex + this.count - 1) as LogIndex
  }

  /** Index and term of the last entry in it. */
  get lastId(): LogId {
    return { index: this.lastIndex, term: this.termAt(this.lastIndex) }
  }

  /** Bytes of all entries, headers included. */
  get byteLength(): number {
    return this.bytes.length
  }

  private offset(index: LogIndex): number {
    const ordinal = index - this.firstIndex
    // Not assert(): this runs for every entry, and the context object would be made every time.
    if (ordinal < 0 || ordinal > this.count)
      throw new AssertionError(`index ${index} outside of the batch from ${this.firstIndex} of ${this.count}`)
    return this.offsets[this.start + ordinal]! - this.offsets[this.start]!
  }

  /** Term of the entry at an index that is in it. */
  termAt(index: LogIndex): Term {
    const at = this.offset(index)
    return (this.bytes.readUInt32BE(at) * 0x1_0000_0000 + this.bytes.readUInt32BE(at + 4)) as Term
  }

  /** Kind of the entry at an index that is in it. */
  typeAt(index: LogIndex): EntryType {
    return this.bytes[this.offset(index) + 8]! as EntryType
  }

  /** Its data was left out for a witness: it is not what was proposed. */
  isBareAt(index: LogIndex): boolean {
    return isBareHeader(this.bytes, this.offset(index))
  }

  /** The newest bare entry in it; null when all are whole. */
  get newestBare(): LogIndex | null {
    for (let index = this.lastIndex; index >= this.firstIndex; index = plus(index, -1)) if (this.isBareAt(index)) return index
    return null
  }

  /** The same entries as a witness is sent them: tasks without their data, marked so. */
  withoutData(checksum: Checksum): EntryBatch {
    const bare: EntryBatch[] = []
    let run: NewEntry[] = []
    let first = this.firstIndex
    for (let index = first; index <= this.lastIndex; index = plus(index, 1)) {
      const [type, data, term] = [this.typeAt(index), this.dataAt(index), this.termAt(index)]
      const isBare = type === EntryType.DATA && (data.length > 0 || this.isBareAt(index))
      run.push({ type, data: isBare ? NO_DATA : data, bare: isBare })
      if (index < this.lastIndex && this.termAt(plus(index, 1)) === term) continue
      bare.push(EntryBatch.encode(first, term, run, checksum))
      first = plus(index, 1)
      run = []
    }
    return EntryBatch.concat(bare)
  }

  /** The data of an entry; a view, not a copy. */
  dataAt(index: LogIndex): Buffer {
    return this.bytes.subarray(this.offset(index) + ENTRY_HEADER_BYTES, this.offset(plus(index, 1)))
  }

  /** Bytes of one entry, header included. */
  byteLengthAt(index: LogIndex): number {
    return this.offset(plus(index, 1)) - this.offset(index)
  }

  /** The checksum of an entry's header: it covers term, type, length and the data's checksum, so it names the entry. */
  sumAt(index: LogIndex): number {
    return this.bytes.readUInt32BE(this.offset(index) + 20)
  }

  /** Where the entry starts in `bytes`. */
  offsetAt(index: LogIndex): number {
    return this.offset(index)
  }

  /** Why a leader of `term` cannot hold these entries after one of term `before`: in a log terms never go back. Null when it can. */
  misplaced(before: Term, term: Term): string | null {
    let previous = before
    for (let index = this.firstIndex; index <= this.lastIndex; index = plus(index, 1)) {
      const own = this.termAt(index)
      if (own < previous) return `entry ${index} is of term ${own}, after one of term ${previous}`
      if (own > term) return `entry ${index} is of term ${own}, the request of term ${term}`
      previous = own
    }
    return null
  }

  /** The entries from `first` to `last` inclusive, sharing the bytes. */
  slice(first: LogIndex, last: LogIndex): EntryBatch {
    if (first === this.firstIndex && last === this.lastIndex) return this
    assert(first >= this.firstIndex && last <= this.lastIndex && first <= last, 'slice outside of the batch', {
      first,
      last,
      batchFirst: this.firstIndex,
      batchLast: this.lastIndex,
    })
    const bytes = this.bytes.subarray(this.offset(first), this.offset(plus(last, 1)))
    return new EntryBatch(first, last - first + 1, bytes, this.offsets, this.start + (first - this.firstIndex))
  }

  /**
   * The last index such that the entries from `first` to it stay within `maxBytes`; at least `first` itself.
   */
  lastWithin(first: LogIndex, maxBytes: number): LogIndex {
    const from = this.offset(first)
    let low = first as number
    let high = this.lastIndex as number
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (this.offset((middle + 1) as LogIndex) - from <= maxBytes) low = middle
      else high = middle - 1
    }
    return low as LogIndex
  }

  /** The last entry that starts within the first `bytes`, counting both ends. */
  lastStartingWithin(bytes: number): LogIndex {
    if (this.byteLength <= bytes) return this.lastIndex
    const within = this.lastWithin(this.firstIndex, bytes)
    const next = plus(within, 1)
    return next <= this.lastIndex && this.offset(next) <= bytes ? next : within
  }

  /** Encodes `entries` as the log from `firstIndex` on, all of `term`. The data is copied once, here. */
  static encode(firstIndex: LogIndex, term: Term, entries: readonly NewEntry[], checksum: Checksum): EntryBatch {
    return EntryBatch.build(firstIndex, term, entries, (i) => (entries[i]!.type << 24) | (entries[i]!.bare ? BARE : 0), checksum)
  }

  /** As `encode`, all of type DATA: tasks are encoded as they are, with no object in between. */
  static encodeData(firstIndex: LogIndex, term: Term, tasks: readonly { readonly data: Uint8Array }[], checksum: Checksum): EntryBatch {
    return EntryBatch.build(firstIndex, term, tasks, () => EntryType.DATA << 24, checksum)
  }

  private static build(
    firstIndex: LogIndex,
    term: Term,
    entries: readonly { readonly data: Uint8Array }[],
    /** Type and mark, in their places in the header. */
    kindOf: (i: number) => number,
    checksum: Checksum,
  ): EntryBatch {
    assert(entries.length > 0, 'an empty batch')
    const offsets = new Uint32Array(entries.length + 1)
    for (let i = 0; i < entries.length; i++) offsets[i + 1] = offsets[i]! + ENTRY_HEADER_BYTES + entries[i]!.data.length
    const bytes = Buffer.allocUnsafe(offsets[entries.length]!)
    const { ofEntries: kind } = checksum
    for (let i = 0; i < entries.length; i++) {
      const at = offsets[i]!
      const { data } = entries[i]!
      bytes.set(data, at + ENTRY_HEADER_BYTES)
      bytes.writeUInt32BE(Math.floor(term / 0x1_0000_0000), at)
      bytes.writeUInt32BE(term % 0x1_0000_0000, at + 4)
      bytes.writeUInt32BE((kindOf(i) | (kind << 16)) >>> 0, at + 8)
      bytes.writeUInt32BE(data.length, at + 12)
      bytes.writeUInt32BE(sumOf(kind, data, 0, data.length, checksum), at + 16)
      bytes.writeUInt32BE(sumOf(kind, bytes, at, at + HEADER_SUM_AT, checksum), at + HEADER_SUM_AT)
    }
    return new EntryBatch(firstIndex, entries.length, bytes, offsets, 0)
  }

  /**
   * Reads bytes that came from a disk or a peer. Every header and every data checksum is verified.
   * Answers the entries up to the first bad one and why it is bad; `problem` is null when all bytes are good.
   */
  static parse(firstIndex: LogIndex, bytes: Buffer, checksum: Checksum): ParsedEntries {
    const offsets: number[] = [0]
    let at = 0
    let problem: EntryProblem | null = null
    while (at < bytes.length) {
      problem = checkEntry(bytes, at, checksum)
      if (problem) break
      at += ENTRY_HEADER_BYTES + bytes.readUInt32BE(at + 12)
      offsets.push(at)
    }
    const count = offsets.length - 1
    const batch = count > 0 ? new EntryBatch(firstIndex, count, bytes.subarray(0, at), new Uint32Array(offsets), 0) : null
    return { batch, goodBytes: at, problem }
  }

  /** Joins batches that follow each other into one. */
  static concat(batches: readonly EntryBatch[]): EntryBatch {
    assert(batches.length > 0, 'nothing to join')
    if (batches.length === 1) return batches[0]!
    const count = batches.reduce((sum, b) => sum + b.count, 0)
    const offsets = new Uint32Array(count + 1)
    let i = 0
    let base = 0
    let next = batches[0]!.firstIndex
    for (const batch of batches) {
      assert(batch.firstIndex === next, 'batches do not follow each other', { next, first: batch.firstIndex })
      for (let k = 0; k < batch.count; k++) offsets[i++] = base + batch.offsets[batch.start + k]! - batch.offsets[batch.start]!
      base += batch.byteLength
      next = plus(next, batch.count)
    }
    offsets[count] = base
    return new EntryBatch(
      batches[0]!.firstIndex,
      count,
      Buffer.concat(
        batches.map((b) => b.bytes),
        base,
      ),
      offsets,
      0,
    )
  }
}

/** Whether the header at `at` is of an entry whose data was left out for a witness. */
export function isBareHeader(bytes: Buffer, at: number): boolean {
  return (bytes[at + 11]! & BARE) !== 0
}

/** The last field of a header: it covers the fields before. */
const HEADER_SUM_AT = 20

/** The sum of a range by the kind that an entry's header names. */
function sumOf(kind: number, bytes: Uint8Array, from: number, to: number, checksum: Checksum): number {
  return kind === ChecksumType.CRC32C ? checksum.crc32c(bytes, 0, from, to) : checksum.murmur32(bytes.subarray(from, to))
}

/** What is wrong with the bytes at an entry: cut short, or not what was written. */
export type EntryProblem = 'short header' | 'short data' | 'header checksum' | 'data checksum' | 'checksum type' | 'entry type'

export interface ParsedEntries {
  readonly batch: EntryBatch | null
  readonly goodBytes: number
  readonly problem: EntryProblem | null
}

/** Verifies the entry that starts at `at`; null when it is good. */
export function checkEntry(bytes: Buffer, at: number, checksum: Checksum): EntryProblem | null {
  const problem = checkEntryHeader(bytes, at, checksum)
  if (problem) return problem
  const length = bytes.readUInt32BE(at + 12)
  const dataAt = at + ENTRY_HEADER_BYTES
  if (bytes.length - dataAt < length) return 'short data'
  return sumOf(bytes[at + 9]!, bytes, dataAt, dataAt + length, checksum) === bytes.readUInt32BE(at + 16) ? null : 'data checksum'
}

/** Verifies the 24-byte header at `at`, not the data behind it; null when it is good. */
export function checkEntryHeader(bytes: Buffer, at: number, checksum: Checksum): EntryProblem | null {
  if (bytes.length - at < ENTRY_HEADER_BYTES) return 'short header'
  const kind = bytes[at + 9]
  if (kind !== ChecksumType.CRC32C && kind !== ChecksumType.MURMUR32) return 'checksum type'
  if (sumOf(kind, bytes, at, at + HEADER_SUM_AT, checksum) !== bytes.readUInt32BE(at + HEADER_SUM_AT)) return 'header checksum'
  const type = bytes[at + 8]!
  return type < EntryType.NO_OP || type > EntryType.CONFIGURATION ? 'entry type' : null
}
