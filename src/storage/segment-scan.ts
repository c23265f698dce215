import { type ConfigurationEntry, decodeConfiguration } from '../raft/configuration.js'
import type { Checksum, File } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { checkEntry, checkEntryHeader, ENTRY_HEADER_BYTES, type EntryProblem, EntryType, isBareHeader } from '../raft/log-entry.js'
import { asTerm, NO_INDEX, plus, type Term } from '../raft/types.js'
import { isEndMark } from './end-mark.js'
import type { Segment } from './segment.js'

const CHUNK_BYTES = 1024 * 1024

/** Why a scan stopped before the end of a file. */
export type ScanProblem = EntryProblem | 'term went back' | 'configuration does not parse'

export interface ScanResult {
  /** Null when every byte of the file, or every one before the mark of their end, belongs to a good entry. */
  readonly problem: ScanProblem | null
  /** Bytes that the first bad entry claims to have, header included; 0 when its header is not good. */
  readonly badEntryBytes: number
}

/**
 * Reads a segment file from its start and fills `segment` with what it finds, up to the first bad entry. Headers and the
 * data of configurations are always verified, other data when `verifyData` is set. Every length is bounded by the file.
 */
export class SegmentScan {
  readonly configurations: ConfigurationEntry[] = []
  /** The newest entry that lacks its data, as those of a witness do; 0 without one. */
  newestBare = NO_INDEX
  private readonly segment: Segment
  private readonly file: File
  private readonly fileBytes: number
  private readonly verifyData: boolean
  private readonly checksum: Checksum

  constructor(options: { segment: Segment; file: File; fileBytes: number; verifyData: boolean; checksum: Checksum }) {
    this.segment = options.segment
    this.file = options.file
    this.fileBytes = options.fileBytes
    this.verifyData = options.verifyData
    this.checksum = options.checksum
  }

  run(done: (status: Status, result?: ScanResult) => void): void {
    this.readFrom(0, CHUNK_BYTES, done)
  }

  private readFrom(position: number, bytesMax: number, done: (status: Status, result?: ScanResult) => void): void {
    if (position === this.fileBytes) return done(Status.OK, { problem: null, badEntryBytes: 0 })
    const length = Math.min(bytesMax, this.fileBytes - position)
    this.file.read(position, length, (status, chunk) => {
      if (!status.ok) return done(status)
      if (chunk!.length !== length) return done(Status.error(ErrorCode.EIO, `${this.segment.path} changed while it was read`))
      this.consume(chunk!, position, done)
    })
  }

  /** Takes the entries of one chunk and reads on behind them, or again from the entry that does not fit the chunk. */
  private consume(chunk: Buffer, base: number, done: (status: Status, result?: ScanResult) => void): void {
    let at = 0
    while (at < chunk.length) {
      const rest = chunk.length - at
      const atEnd = base + chunk.length === this.fileBytes
      if (rest < ENTRY_HEADER_BYTES && !atEnd) return this.readFrom(base + at, CHUNK_BYTES, done)
      if (isEndMark(chunk, at)) return done(Status.OK, { problem: null, badEntryBytes: 0 })
      const badHeader = checkEntryHeader(chunk, at, this.checksum)
      if (badHeader) return done(Status.OK, { problem: badHeader, badEntryBytes: 0 })

      const entryBytes = ENTRY_HEADER_BYTES + chunk.readUInt32BE(at + 12)
      const stop = (problem: ScanProblem) => done(Status.OK, { problem, badEntryBytes: entryBytes })
      if (entryBytes > this.fileBytes - base - at) return stop('short data')
      const isConfiguration = chunk[at + 8] === EntryType.CONFIGURATION
      if (this.verifyData || isConfiguration) {
        if (entryBytes > rest) return this.readFrom(base + at, Math.max(CHUNK_BYTES, entryBytes), done)
        const badData = checkEntry(chunk, at, this.checksum)
        if (badData) return stop(badData)
      }
      const term = asTerm(chunk.readUInt32BE(at) * 0x1_0000_0000 + chunk.readUInt32BE(at + 4))
      if (term < this.segment.lastTerm || term < 1) return stop('term went back')
      if (isConfiguration && !this.noteConfiguration(chunk.subarray(at + ENTRY_HEADER_BYTES, at + entryBytes), term)) {
        return stop('configuration does not parse')
      }
      if (isBareHeader(chunk, at)) this.newestBare = plus(this.segment.lastIndex, 1)
      this.segment.push(term, entryBytes, chunk.readUInt32BE(at + 20))
      at += entryBytes
    }
    this.readFrom(base + at, CHUNK_BYTES, done)
  }

  private noteConfiguration(data: Buffer, term: Term): boolean {
    const entry = decodeConfiguration(data, { index: plus(this.segment.lastIndex, 1), term })
    if (entry) this.configurations.push(entry)
    return entry !== null
  }
}
