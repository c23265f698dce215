import type { Done } from '../raft/closure.js'
import type { Checksum, Clock, Failpoints, FileSystem, Timer } from '../raft/environment.js'
import { Status } from '../raft/errors.js'
import { NO_FAILPOINTS } from '../raft/failpoints.js'
import { type LogIndex, logIndex, minIndex, NO_INDEX, plus } from '../raft/types.js'
import { AlternatingRecord } from './alternating-record.js'
import type { Segment } from './segment.js'
import { inSequence, point } from './steps.js'

/** How old the stored bound may grow while entries are appended. */
const WRITE_EVERY_MS = 100
/** The two slots lie in different physical sectors. */
export const SECOND_SLOT_AT = 4096
const MARK_BYTES = 24

/** A point up to which the log is known to be durable. */
export interface DurableMark {
  /** First index of the segment that was open. */
  readonly segmentFirstIndex: LogIndex
  /** Bytes of that segment that are durable. */
  readonly segmentBytes: number
  /** Index of the last durable entry; 0 when nothing is promised. */
  readonly lastIndex: LogIndex
}

export const NO_MARK: DurableMark = { segmentFirstIndex: NO_INDEX, segmentBytes: 0, lastIndex: NO_INDEX }

/** The promise that the entries of a segment up to `lastIndex` are durable. */
export function markAt(segment: Segment | undefined, lastIndex: LogIndex): DurableMark {
  if (!segment) return NO_MARK
  const end = minIndex(lastIndex, segment.lastIndex)
  return { segmentFirstIndex: segment.firstIndex, segmentBytes: segment.offsetOf(plus(end, 1)), lastIndex: end }
}

/**
 * The sidecar of the log: a lower bound of its durable length, kept in `<data>/raftctl/durable`. A bad record
 * below the bound cannot be the work of a crash, so it is corruption and no torn tail.
 *
 * Invariant: the stored bound never exceeds what is durable in the log. So it is raised after the entries, lazily, and
 * lowered before they are cut, at once. SegmentLogStorage is the only caller.
 */
export class DurableLength {
  readonly path: string
  private readonly record: AlternatingRecord
  private readonly clock: Clock
  private readonly failpoints: Failpoints
  private latest: DurableMark = NO_MARK
  private timer: Timer | null = null
  private writing = false
  private wanted: DurableMark | null = null
  private waiting: Done[] = []
  private failed: Status | null = null
  private closed = false
  /** The stored bound could not be raised, and nobody waits for that. */
  onFailure: ((status: Status) => void) | null = null

  constructor(options: { fileSystem: FileSystem; clock: Clock; checksum: Checksum; path: string; failpoints?: Failpoints }) {
    this.failpoints = options.failpoints ?? NO_FAILPOINTS
    this.clock = options.clock
    const { path } = options
    this.path = path
    this.record = new AlternatingRecord(options.fileSystem, options.checksum, [
      { path, position: 0 },
      { path, position: SECOND_SLOT_AT },
    ])
  }

  /** The first write that failed; the bound cannot be trusted to keep up after it. */
  get failure(): Status | null {
    return this.failed
  }

  /** The stored bound; null when none was ever stored whole. */
  load(done: (status: Status, mark?: DurableMark | null) => void): void {
    this.record.load((status, stored) => {
      if (!status.ok) return done(status)
      const mark = stored!.payload ? decodeMark(stored!.payload) : null
      this.latest = mark ?? NO_MARK
      done(Status.OK, mark)
    })
  }

  /** Notes that the log is durable up to `mark`; stored within 100 ms. */
  raise(mark: DurableMark): void {
    this.latest = mark
    if (this.closed) return
    this.timer ??= this.clock.schedule(
      WRITE_EVERY_MS,
      () => {
        this.timer = null
        this.wanted = this.latest
        this.pump()
      },
      'durable-length',
    )
  }

  /** Stores `mark` now, higher or lower than before. OK means durable. */
  write(mark: DurableMark, done: Done): void {
    this.latest = mark
    this.wanted = mark
    this.timer?.cancel()
    this.timer = null
    this.waiting.push(done)
    this.pump()
  }

  /** Stores the newest bound; nothing is written later. */
  close(done: Done): void {
    this.closed = true
    this.write(this.latest, done)
  }

  private pump(): void {
    if (this.writing || this.wanted === null) return
    const mark = this.wanted
    const waiting = this.waiting
    this.wanted = null
    this.waiting = []
    this.writing = true
    const save = [
      point(this.failpoints, 'bound.saving'),
      (next: Done) => this.record.save(encodeMark(mark), next),
      point(this.failpoints, 'bound.saved'),
    ]
    inSequence(save, (status) => {
      this.writing = false
      if (!status.ok) this.failed ??= status
      for (const done of waiting) done(status)
      if (!status.ok && waiting.length === 0 && !this.closed) this.onFailure?.(status)
      this.pump()
    })
  }
}

function encodeMark(mark: DurableMark): Buffer {
  const bytes = Buffer.alloc(MARK_BYTES)
  bytes.writeBigUInt64BE(BigInt(mark.segmentFirstIndex), 0)
  bytes.writeBigUInt64BE(BigInt(mark.segmentBytes), 8)
  bytes.writeBigUInt64BE(BigInt(mark.lastIndex), 16)
  return bytes
}

/** The bound in the payload of a slot; null when it is none. */
export function decodeMark(bytes: Buffer): DurableMark | null {
  if (bytes.length !== MARK_BYTES) return null
  const at = (offset: number) => Number(bytes.readBigUInt64BE(offset))
  return { segmentFirstIndex: logIndex(at(0)), segmentBytes: at(8), lastIndex: logIndex(at(16)) }
}
