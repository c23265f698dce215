import type { Done } from '../raft/closure.js'
import type { Checksum, FileSystem } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { type LogIndex, logIndex } from '../raft/types.js'
import { parentOf } from './paths.js'
import { readWholeFile, replaceFile } from './protobuf-file.js'
import type { Segment } from './segment.js'

const RECORD_BYTES = 32
const CRC_AT = 28
const Kind = { START: 1, SEGMENT: 2 } as const
/** Records of what is gone are kept until there are so many of them. */
const LEFTOVERS_MAX = 256

/** What a segment held when it was sealed: the digest of all its entries' headers (Segment.digest). */
export interface SegmentSeal {
  readonly firstIndex: LogIndex
  readonly lastIndex: LogIndex
  readonly digest: number
}

/** What a seal file says. */
export interface Seals {
  readonly starts: readonly LogIndex[]
  /** Of two of the same name the later one counts. */
  readonly segments: readonly SegmentSeal[]
  /** Offsets of records that say nothing any more. */
  readonly badRecords: readonly number[]
}

/**
 * What vouches for the parts of a log that are written once: `<data>/raftctl/seals`, records of 32 bytes with a CRC-32C each,
 * appended before the segment is renamed and before log_meta changes. The entries themselves do not say which index they have: a
 * sealed segment in which a write was lost or landed in the wrong place may still consist of good entries. And log_meta has no
 * checksum: a wrong start would delete segments.
 *
 * record: u32 kind | u64 first index | u64 last index | u32 digest | u32 0 | u32 CRC-32C of everything before (big-endian)
 *
 * A record that is missing or damaged vouches for nothing, and what it stood for is believed; `settle` writes a new one. So a log
 * of braft's, or of before there were seals, can be opened. SegmentLogStorage is the only caller.
 *
 * The open segment has no seal. A write that is lost or lands in the wrong place there looks like the torn end of the last write
 * to the next start: that is outside of the fault model. A process that is up compares what it reads with what it wrote, there too.
 */
export class SealFile {
  private readonly digests = new Map<string, number>()
  private startsFound: LogIndex[] = []
  private badRecords = 0
  private records = 0
  private isNamed = false

  constructor(
    private readonly options: {
      readonly fileSystem: FileSystem
      readonly checksum: Checksum
      readonly path: string
      /** The records are of before braft wrote here: they are not believed, and made anew. */
      readonly adopt?: boolean
    },
  ) {}

  /** Where the log starts, and where it started before: a crash may have come between this record and log_meta. Empty: not known. */
  get starts(): readonly LogIndex[] {
    return this.startsFound.slice(-2)
  }

  /** The digest of the sealed segment of that name; undefined when nothing vouches for it. */
  digestOf(firstIndex: LogIndex, lastIndex: LogIndex): number | undefined {
    return this.digests.get(keyOf(firstIndex, lastIndex))
  }

  load(done: Done): void {
    if (this.options.adopt) return done(Status.OK)
    readWholeFile(this.options.fileSystem, this.options.path, (status, bytes) => {
      if (!status.ok && status.code !== ErrorCode.ENOENT) return done(status)
      if (bytes) this.parse(bytes)
      done(Status.OK)
    })
  }

  /** The log was opened and is like this: replaces the file unless it says just that. */
  settle(start: LogIndex, segments: readonly SegmentSeal[], done: Done): void {
    const isTold =
      this.badRecords === 0 &&
      this.startsFound.at(-1) === start &&
      this.records <= segments.length + LEFTOVERS_MAX &&
      segments.every(({ firstIndex, lastIndex, digest }) => this.digests.get(keyOf(firstIndex, lastIndex)) === digest)
    if (isTold) return done(Status.OK)
    const records = [this.startRecord(start), ...segments.map((seal) => this.segmentRecord(seal))]
    const { fileSystem, path } = this.options
    replaceFile(fileSystem, path, Buffer.concat(records), (status) => {
      if (status.ok) {
        this.digests.clear()
        this.startsFound = []
        this.badRecords = 0
        this.records = 0
        this.parse(Buffer.concat(records))
        this.isNamed = true
      }
      done(status)
    })
  }

  /** Before the segment is renamed. OK means durable. */
  addSegment(seal: SegmentSeal, done: Done): void {
    this.append(this.segmentRecord(seal), done)
  }

  /** Before log_meta changes. OK means durable. */
  addStart(start: LogIndex, done: Done): void {
    this.append(this.startRecord(start), done)
  }

  private append(record: Buffer, done: Done): void {
    const { fileSystem, path } = this.options
    fileSystem.open(path, { write: true, create: true, dsync: true }, (opened, file) => {
      if (!opened.ok) return done(opened)
      file!.write([record], this.records * RECORD_BYTES, (written) =>
        file!.close((closed) => {
          const outcome = written.ok ? closed : written
          if (!outcome.ok) return done(outcome)
          this.parse(record)
          if (this.isNamed) return done(Status.OK)
          fileSystem.syncDir(parentOf(path), (named) => {
            this.isNamed = named.ok
            done(named)
          })
        }),
      )
    })
  }

  private parse(bytes: Buffer): void {
    const { starts, segments, badRecords } = decodeSeals(bytes, this.options.checksum)
    this.startsFound.push(...starts)
    for (const { firstIndex, lastIndex, digest } of segments) this.digests.set(keyOf(firstIndex, lastIndex), digest)
    this.badRecords += badRecords.length
    this.records += Math.ceil(bytes.length / RECORD_BYTES)
  }

  private segmentRecord({ firstIndex, lastIndex, digest }: SegmentSeal): Buffer {
    return this.record(Kind.SEGMENT, firstIndex, lastIndex, digest)
  }

  private startRecord(start: LogIndex): Buffer {
    return this.record(Kind.START, start, 0, 0)
  }

  private record(kind: number, first: number, last: number, digest: number): Buffer {
    const bytes = Buffer.alloc(RECORD_BYTES)
    bytes.writeUInt32BE(kind, 0)
    bytes.writeBigUInt64BE(BigInt(first), 4)
    bytes.writeBigUInt64BE(BigInt(last), 12)
    bytes.writeUInt32BE(digest, 20)
    bytes.writeUInt32BE(this.options.checksum.crc32c(bytes.subarray(0, CRC_AT)), CRC_AT)
    return bytes
  }
}

/** The records of a seal file, in the order they were written; of those that are damaged, where they are. */
export function decodeSeals(bytes: Buffer, checksum: Checksum): Seals {
  const starts: LogIndex[] = []
  const segments: SegmentSeal[] = []
  const badRecords: number[] = []
  for (let at = 0; at < bytes.length; at += RECORD_BYTES) {
    const record = bytes.subarray(at, at + RECORD_BYTES)
    if (record.length < RECORD_BYTES || checksum.crc32c(record.subarray(0, CRC_AT)) !== record.readUInt32BE(CRC_AT)) {
      badRecords.push(at)
      continue
    }
    const firstIndex = logIndex(Number(record.readBigUInt64BE(4)))
    if (record.readUInt32BE(0) === Kind.START) starts.push(firstIndex)
    else segments.push({ firstIndex, lastIndex: logIndex(Number(record.readBigUInt64BE(12))), digest: record.readUInt32BE(20) })
  }
  return { starts, segments, badRecords }
}

export function sealOf(segment: Segment, checksum: Checksum): SegmentSeal {
  const { firstIndex, lastIndex } = segment
  return { firstIndex, lastIndex, digest: segment.digest(checksum) }
}

function keyOf(firstIndex: LogIndex, lastIndex: LogIndex): string {
  return `${firstIndex}-${lastIndex}`
}
