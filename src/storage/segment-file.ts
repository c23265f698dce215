import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import type { ConfigurationEntry } from '../raft/configuration.js'
import type { File } from '../raft/environment.js'
import { assert, ErrorCode, Status } from '../raft/errors.js'
import { EntryBatch } from '../raft/log-entry.js'
import { type LogIndex, minIndex, plus } from '../raft/types.js'
import { checksum } from './checksum.js'
import { parentOf } from './paths.js'
import { Segment, type SegmentName } from './segment.js'
import { type ScanResult, SegmentScan } from './segment-scan.js'

/** Entries are read in pieces of about this size. */
const PIECE_BYTES = 1024 * 1024

/** The file is shorter than it was a moment ago: whoever owns it cut it. */
export class FileChangedError extends Error {
  override name = 'FileChangedError'
}

/**
 * A segment as it stands on disk, for whoever looks at a log that it does not own: opened for reading only, up to the size that
 * the file had then. The descriptor stays good while a running node seals, renames or removes the file.
 */
export class SegmentFile implements Disposable {
  readonly fileBytes: number
  private readonly descriptor: number
  private scanned: { segment: Segment; result: ScanResult; configurations: readonly ConfigurationEntry[] } | null = null

  constructor(
    readonly name: SegmentName,
    readonly path: string,
  ) {
    this.descriptor = openSync(path, 'r')
    this.fileBytes = fstatSync(this.descriptor).size
  }

  [Symbol.dispose](): void {
    closeSync(this.descriptor)
  }

  /** Finds where each entry lies, up to the first bad one; every checksum is verified. */
  scan(): ScanResult {
    const segment = new Segment(parentOf(this.path), this.name.firstIndex, false)
    const scan = new SegmentScan({ segment, file: this.reader(), fileBytes: this.fileBytes, verifyData: true, checksum })
    let outcome: ScanResult | null = null
    scan.run((status, result) => {
      if (!status.ok) throw new FileChangedError(status.message)
      outcome = result!
    })
    assert(outcome, 'a scan of a file at hand did not end')
    this.scanned = { segment, result: outcome, configurations: scan.configurations }
    return outcome
  }

  get segment(): Segment {
    return this.found.segment
  }

  get result(): ScanResult {
    return this.found.result
  }

  get configurations(): readonly ConfigurationEntry[] {
    return this.found.configurations
  }

  /** The good entries between two indexes, in order, a piece at a time. An entry whose data is bad ends them. */
  *entries(from: LogIndex, to: LogIndex): Generator<EntryBatch> {
    const { segment } = this
    const last = minIndex(to, segment.lastIndex)
    let next = from < segment.firstIndex ? segment.firstIndex : from
    while (next <= last) {
      const end = minIndex(last, segment.lastWithin(next, PIECE_BYTES))
      const start = segment.offsetOf(next)
      const { batch } = EntryBatch.parse(next, this.read(start, segment.offsetOf(plus(end, 1)) - start), checksum)
      if (!batch) return
      yield batch
      if (batch.lastIndex < end) return
      next = plus(end, 1)
    }
  }

  /** Whether nothing but zeros follows `position`. */
  isZeroFrom(position: number): boolean {
    for (let at = position; at < this.fileBytes; at += PIECE_BYTES) {
      const piece = this.read(at, Math.min(PIECE_BYTES, this.fileBytes - at))
      if (piece.some((byte) => byte !== 0)) return false
    }
    return position < this.fileBytes
  }

  private get found() {
    assert(this.scanned, 'a segment was looked into before it was scanned', { path: this.path })
    return this.scanned
  }

  private read(position: number, length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    let filled = 0
    while (filled < length) {
      const count = readSync(this.descriptor, bytes, filled, length - filled, position + filled)
      if (count === 0) throw new FileChangedError(`${this.path} was cut while it was read`)
      filled += count
    }
    return bytes
  }

  private reader(): File {
    const refuse = () => {
      throw new Error(`${this.path} is open for reading only`)
    }
    return {
      read: (position, length, done) => {
        let bytes: Buffer
        try {
          bytes = this.read(position, length)
        } catch (error) {
          return done(Status.error(ErrorCode.EIO, (error as Error).message))
        }
        done(Status.OK, bytes)
      },
      write: refuse,
      datasync: refuse,
      truncate: refuse,
      close: refuse,
    }
  }
}
