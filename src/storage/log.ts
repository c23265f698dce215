import type { Done } from '../raft/closure.js'
import type { Checksum, Executor, Failpoints, File, FileSystem } from '../raft/environment.js'
import { assert, ErrorCode, Status } from '../raft/errors.js'
import { NO_FAILPOINTS } from '../raft/failpoints.js'
import type { EntryBatch } from '../raft/log-entry.js'
import type { LogRecovery, LogStorage } from '../raft/storage.js'
import { type LogIndex, logIndex, NO_TERM, plus, type Term } from '../raft/types.js'
import { type DurableLength, type DurableMark, markAt } from './durable-length.js'
import { FilledFile } from './filled-file.js'
import { type LogMetaFile, logMetaFile } from './log-meta.js'
import { LogRecoveryRun } from './log-recovery.js'
import { LogSync, SYNC_IMMEDIATELY, type SyncPolicy } from './log-sync.js'
import { assertFollows, takeWrite } from './log-write.js'
import { makeDirectory } from './make-directory.js'
import { parentOf } from './paths.js'
import { readAndClose } from './protobuf-file.js'
import { Removals } from './removals.js'
import { type SealFile, sealOf } from './seal-file.js'
import { Segment, segmentAt } from './segment.js'
import { checkRead, damageOf } from './segment-read.js'
import { SegmentRenames } from './segment-renames.js'
import { forEachInOrder, inSequence, point, type Step } from './steps.js'

const SEGMENT_BYTES_MAX = 8 * 1024 * 1024

export interface SegmentLogOptions {
  readonly fileSystem: FileSystem
  readonly executor: Executor
  readonly checksum: Checksum
  /** Where log_meta and the segments lie. */
  readonly directory: string
  /** The stored lower bound of the durable length; null does without one. */
  readonly integrity: DurableLength | null
  /** What vouches for sealed segments and for the first index; null does without. */
  readonly seals: SealFile | null
  /** Takes over what braft wrote here: the bound is of before it, and only what braft itself would cut is a torn end. */
  readonly adopt?: boolean
  /** A segment larger than this is sealed before the next entry; braft's raft_max_segment_size. */
  readonly maxSegmentBytes?: number
  /** When appended entries become durable; before they are acknowledged unless said otherwise. */
  readonly sync?: SyncPolicy
  readonly failpoints?: Failpoints
}

/**
 * The log in braft's files: `log_meta`, sealed segments and one open segment, with braft's bytes and stronger
 * promises. Owns the files in its directory and the index of them in memory. LogManager calls it.
 *
 * Invariants
 * - Segments follow each other without a hole; only the last one may be open, and only it is written.
 * - What appendEntries acknowledged is durable, file names included, in every segment that the batch touched; with a weaker policy
 *   (LogSync) so is everything before a segment is sealed, before the log is cut, and when it is closed.
 * - A name changes only after the data under it is durable, and two segments are never open, not even after a crash.
 * - Entries go from the end backwards and each step is durable before the next, so that no cut entry comes back.
 * - The stored bound (DurableLength) never exceeds the durable log.
 * - After one failed change every later change fails with the same status.
 */
export class SegmentLogStorage implements LogStorage {
  private readonly fileSystem: FileSystem
  private readonly executor: Executor
  private readonly checksum: Checksum
  private readonly directory: string
  private readonly integrity: DurableLength | null
  private readonly seals: SealFile | null
  private readonly adopt: boolean
  private readonly maxSegmentBytes: number
  private readonly failpoints: Failpoints
  private readonly sync: LogSync
  private readonly metaFile: LogMetaFile
  private readonly renames: SegmentRenames
  private readonly removals: Removals
  private segments: Segment[] = []
  /** The open segment's file; null while there is none. */
  private writer: File | null = null
  private first = logIndex(1)
  private failure: Status | null = null
  private changing = false
  onUnusable?: (status: Status) => void

  constructor(options: SegmentLogOptions) {
    this.fileSystem = options.fileSystem
    this.executor = options.executor
    this.checksum = options.checksum
    this.directory = options.directory
    this.integrity = options.integrity
    this.seals = options.seals
    this.adopt = options.adopt ?? false
    this.maxSegmentBytes = options.maxSegmentBytes ?? SEGMENT_BYTES_MAX
    this.failpoints = options.failpoints ?? NO_FAILPOINTS
    this.sync = new LogSync(options.sync ?? SYNC_IMMEDIATELY)
    this.metaFile = logMetaFile(options.fileSystem, options.directory)
    this.renames = new SegmentRenames(options.fileSystem)
    assert(this.maxSegmentBytes >= 1 && this.maxSegmentBytes <= 0x4000_0000, 'maxSegmentBytes out of range')
    const { fileSystem, directory, failpoints } = this
    this.removals = new Removals({ fileSystem, directory, failpoints }, (status) =>
      this.failBetween('remove what was cut off from', status),
    )
    if (this.integrity) this.integrity.onFailure = (status) => this.failBetween('store how much is durable of', status)
  }

  get firstLogIndex(): LogIndex {
    return this.first
  }

  get acknowledgesEarly(): boolean {
    return !this.sync.isImmediate
  }

  /** The last index in it; one less than the first when it is empty. */
  get lastLogIndex(): LogIndex {
    return this.segments.at(-1)?.lastIndex ?? plus(this.first, -1)
  }

  /** ECORRUPT, with nothing changed, when the directory holds what no crash can have left. */
  init(done: (status: Status, recovery?: LogRecovery) => void): void {
    let recovery: LogRecovery | undefined
    const loadSeals: Step = (next) => (this.seals ? this.seals.load(next) : next(Status.OK))
    const recover: Step = (next) =>
      this.loadMark((status, mark) => {
        if (!status.ok) return next(status)
        const { fileSystem, checksum, directory, metaFile, seals, adopt } = this
        const { isImmediate: dsync } = this.sync
        new LogRecoveryRun({ fileSystem, checksum, directory, metaFile, mark: mark ?? null, seals, adopt, dsync }).run((recovered, log) => {
          if (!recovered.ok) return next(recovered)
          recovery = log!.recovery
          this.segments = log!.segments
          this.writer = this.filled(log!.segments.at(-1), log!.writer)
          this.first = recovery.firstIndex
          next(Status.OK)
        })
      })
    const makeParent: Step = (next) =>
      this.integrity ? makeDirectory(this.fileSystem, parentOf(this.integrity.path), next) : next(Status.OK)
    this.change(
      'open the log',
      (finish) => inSequence([makeParent, loadSeals, recover, (next) => this.settleSeals(next), (next) => this.storeMark(next)], finish),
      (status) => done(status, status.ok ? recovery : undefined),
    )
  }

  appendEntries(batches: readonly EntryBatch[], done: Done): void {
    assertFollows(batches, plus(this.lastLogIndex, 1))
    this.change('append to the log', (finish) => (batches.length > 0 ? this.appendQueue([...batches], finish) : this.later(finish)), done)
  }

  getEntries(from: LogIndex, maxBytes: number, done: (status: Status, batch?: EntryBatch) => void): void {
    this.readEntries(from, maxBytes, done)
  }

  getTerm(index: LogIndex): Term {
    if (index < this.first || index > this.lastLogIndex) return NO_TERM
    return segmentAt(this.segments, index).termAt(index)
  }

  /** Drops whole segments before `firstKept`; what lies before it in the segment that holds it stays on disk and is not read. */
  truncatePrefix(firstKept: LogIndex, done: Done): void {
    if (firstKept <= this.first) return this.change('cut the log', (finish) => this.later(finish), done)
    this.changeDurable('cut the start of the log', (finish) => this.movePrefix(firstKept, finish), done)
  }

  /** Drops what lies behind `lastKept`, from the end backwards. */
  truncateSuffix(lastKept: LogIndex, done: Done): void {
    if (lastKept >= this.lastLogIndex) return this.change('cut the log', (finish) => this.later(finish), done)
    assert(lastKept >= this.first - 1, 'cut before the start of the log', { lastKept, first: this.first })
    this.changeDurable('cut the end of the log', (finish) => this.cutSuffix(lastKept, finish), done)
  }

  reset(nextIndex: LogIndex, done: Done): void {
    assert(nextIndex >= 1, 'the log cannot start below 1', { nextIndex })
    this.changeDurable(
      'reset the log',
      (finish) => {
        if (nextIndex > this.lastLogIndex) return this.movePrefix(nextIndex, finish)
        const steps: Step[] = [
          (next) => this.cutSuffix(plus(this.first, -1), next),
          point(this.failpoints, 'log.reset-emptied'),
          (next) => this.saveStart(nextIndex, next),
        ]
        inSequence(steps, (status) => {
          if (status.ok) this.first = nextIndex
          finish(status)
        })
      },
      done,
    )
  }

  close(done: Done): void {
    const failure = this.failure
    const steps: Step[] = [
      (next) => this.sync.flush(this.writer, next),
      (next) => this.storeMark(next),
      (next) => (this.integrity ? this.integrity.close(next) : next(Status.OK)),
    ]
    // Whoever opens the directory next must not meet a removal that goes on.
    const settle: Step = (next) => this.removals.settled((status) => next(failure ? Status.OK : status))
    assert(!this.changing, 'closed during a change')
    inSequence([(next) => this.later(next), ...(failure ? [] : steps), settle], (status) => {
      const closed: Status = failure ?? status
      this.failure ??= Status.error(ErrorCode.ESHUTDOWN, 'the log is closed')
      this.closeWriter((fileClosed) => done(closed.ok ? fileClosed : closed))
    })
  }

  /** One change at a time; the first that fails makes the storage unusable. */
  private change(what: string, run: Step, done: Done): void {
    assert(!this.changing, 'two changes of the log at a time', { what })
    this.changing = true
    const failed = this.failure ?? this.integrity?.failure ?? null
    const start: Step = failed ? (finish) => this.executor.post(() => finish(failed), 'log-unusable') : run
    start((status) => {
      this.changing = false
      const failure = status.ok ? (this.integrity?.failure ?? null) : status
      if (failure && !this.failure)
        this.failure = new Status(failure.code, failed ? failure.message : `cannot ${what} in ${this.directory}: ${failure.message}`)
      done(this.failure ?? status)
    })
  }

  /** A change that counts on all of the log: what waits to become durable does so first. */
  private changeDurable(what: string, run: Step, done: Done): void {
    this.change(what, (finish) => inSequence([(next) => this.sync.flush(this.writer, next), run], finish), done)
  }

  /** Something that no change waits for came to nothing: the log is unusable all the same. */
  private failBetween(what: string, status: Status): void {
    if (this.failure) return
    this.failure = new Status(status.code, `cannot ${what} the log in ${this.directory}: ${status.message}`)
    if (!this.changing) this.onUnusable?.(this.failure)
  }

  private later(done: Done): void {
    this.executor.post(() => done(Status.OK), 'log-nothing-to-do')
  }

  /** Writes the queued entries, each positioned write into one segment and durable before the next. */
  private appendQueue(queue: EntryBatch[], finish: Done): void {
    const batch = queue[0]
    if (!batch) return finish(Status.OK)
    const open = this.segments.at(-1)
    if (!open || open.sealed || open.bytes > this.maxSegmentBytes) {
      return this.roll((status) => (status.ok ? this.appendQueue(queue, finish) : finish(status)))
    }
    const writer = this.writer!
    const parts = takeWrite(queue, this.maxSegmentBytes - open.bytes)
    writer.write(
      parts.map((part) => part.bytes),
      open.bytes,
      (status) => {
        if (!status.ok) return finish(status)
        for (const part of parts) open.append(part)
        this.sync.afterWrite(writer, parts, (synced, isDurable) => {
          if (!synced.ok) return finish(synced)
          if (isDurable) this.integrity?.raise({ segmentFirstIndex: open.firstIndex, segmentBytes: open.bytes, lastIndex: open.lastIndex })
          this.appendQueue(queue, finish)
        })
      },
    )
    this.failpoints.hit('log.writing')
  }

  /** Seals the open segment, when there is one, and opens the next. The seal is durable before a second open name exists. */
  private roll(done: Done): void {
    const next = new Segment(this.directory, plus(this.lastLogIndex, 1), false)
    const steps: Step[] = [
      (sealed) => this.sealOpen(sealed),
      point(this.failpoints, 'log.sealed'),
      (created) =>
        this.fileSystem.open(next.path, { write: true, create: true, truncate: true, dsync: this.sync.isImmediate }, (status, file) => {
          this.writer = this.filled(next, file)
          created(status)
        }),
      point(this.failpoints, 'log.segment-created'),
      (named) => this.fileSystem.syncDir(this.directory, named),
      point(this.failpoints, 'log.segment-named'),
    ]
    inSequence(steps, (status) => {
      if (!status.ok) return done(status)
      this.segments.push(next)
      this.storeMark(done)
    })
  }

  private sealOpen(done: Done): void {
    const open = this.segments.at(-1)
    if (!open || open.sealed) return done(Status.OK)
    const seal = sealOf(open, this.checksum)
    inSequence(
      [
        (next) => this.sync.flush(this.writer, next),
        (next) => (this.seals ? this.seals.addSegment(seal, next) : next(Status.OK)),
        point(this.failpoints, 'log.seal-recorded'),
        (next) => this.closeWriter(next),
        (next) => this.renames.seal(open, next),
        point(this.failpoints, 'log.seal-renamed'),
        (next) => this.fileSystem.syncDir(this.directory, next),
      ],
      done,
    )
  }

  /** What is written before it is acknowledged goes over zeros that were laid out ahead. */
  private filled(open: Segment | undefined, file: File | null | undefined): File | null {
    if (!open || !file || !this.sync.isImmediate) return file ?? null
    const { fileSystem, maxSegmentBytes } = this
    return new FilledFile(file, { fileSystem, path: open.path, end: open.bytes, bytesMax: maxSegmentBytes })
  }

  private closeWriter(done: Done): void {
    const writer = this.writer
    this.writer = null
    if (!writer) return done(Status.OK)
    writer.close(done)
  }

  private saveStart(first: LogIndex, done: Done): void {
    inSequence(
      [
        (next) => (this.seals ? this.seals.addStart(first, next) : next(Status.OK)),
        point(this.failpoints, 'log.start-recorded'),
        (next) => this.metaFile.save({ first_log_index: first }, next),
      ],
      done,
    )
  }

  private settleSeals(done: Done): void {
    if (!this.seals) return done(Status.OK)
    const sealed = this.segments.filter((segment) => segment.sealed).map((segment) => sealOf(segment, this.checksum))
    this.seals.settle(this.first, sealed, done)
  }

  /** log_meta first: from then on a crash leaves segments below the first index, which recovery removes. The open one goes at once. */
  private movePrefix(firstKept: LogIndex, finish: Done): void {
    let dropped: Segment[] = []
    const steps: Step[] = [
      (next) => this.saveStart(firstKept, next),
      point(this.failpoints, 'log.prefix-meta-saved'),
      (next) => {
        dropped = this.segments.filter((segment) => segment.lastIndex < firstKept)
        this.segments = this.segments.slice(dropped.length)
        this.first = firstKept
        if (this.segments.length === 0) this.closeWriter(next)
        else next(Status.OK)
      },
      (next) => forEachInOrder(dropped, (each, removed) => (each.sealed ? removed(Status.OK) : this.removeDurably(each, removed)), next),
    ]
    inSequence(steps, (status) => {
      if (status.ok) this.removals.add(dropped.filter(({ sealed }) => sealed).map(({ path }) => path))
      finish(status)
    })
  }

  private cutSuffix(lastKept: LogIndex, finish: Done): void {
    // A segment of which only entries below the first index would stay goes as a whole.
    const cut = lastKept < this.first ? [...this.segments] : this.segments.filter((segment) => segment.firstIndex > lastKept)
    this.segments = this.segments.slice(0, this.segments.length - cut.length)
    const containing = this.segments.at(-1)
    const steps: Step[] = [
      // A name that waits to be removed may be given again behind this.
      (next) => this.removals.settled(next),
      (next) => this.lowerMark(lastKept, next),
      point(this.failpoints, 'log.suffix-bound-lowered'),
      (next) => (cut.some((segment) => !segment.sealed) ? this.closeWriter(next) : next(Status.OK)),
      (next) => forEachInOrder(cut.reverse(), (segment, removed) => this.removeDurably(segment, removed), next),
      (next) => (containing && containing.lastIndex > lastKept ? this.cutWithin(containing, lastKept, next) : this.later(next)),
    ]
    inSequence(steps, finish)
  }

  private removeDurably(segment: Segment, done: Done): void {
    const steps: Step[] = [
      (next) => this.fileSystem.unlink(segment.path, next),
      (next) => this.fileSystem.syncDir(this.directory, next),
      point(this.failpoints, 'log.suffix-segment-removed'),
    ]
    inSequence(steps, done)
  }

  /** Cuts the end of a segment that keeps its start; a sealed one becomes the open one again first. */
  private cutWithin(segment: Segment, lastKept: LogIndex, done: Done): void {
    const bytes = segment.offsetOf(plus(lastKept, 1))
    const reopen: Step[] = [
      (next) => this.renames.reopen(segment, next),
      (next) => this.fileSystem.syncDir(this.directory, next),
      (next) =>
        this.fileSystem.open(segment.path, { write: true, dsync: this.sync.isImmediate }, (status, file) => {
          this.writer = this.filled(segment, file)
          next(status)
        }),
      point(this.failpoints, 'log.suffix-reopened'),
    ]
    const cut: Step[] = [
      (next) => {
        segment.truncateTo(lastKept)
        this.writer!.truncate(bytes, next)
      },
      point(this.failpoints, 'log.suffix-truncated'),
      (next) => this.writer!.datasync(next),
    ]
    inSequence(segment.sealed ? [...reopen, ...cut] : cut, done)
  }

  private loadMark(done: (status: Status, mark?: DurableMark | null) => void): void {
    if (this.integrity) this.integrity.load((status, mark) => done(status, this.adopt ? null : mark))
    else done(Status.OK, null)
  }

  /** Stores the exact durable length. */
  private storeMark(done: Done): void {
    if (!this.integrity) return done(Status.OK)
    this.integrity.write(markAt(this.segments.at(-1), this.lastLogIndex), done)
  }

  /** Promises no more than the entries up to `lastKept`, before those behind it go. */
  private lowerMark(lastKept: LogIndex, done: Done): void {
    if (!this.integrity) return done(Status.OK)
    this.integrity.write(markAt(this.segments.at(-1), lastKept), done)
  }

  private readEntries(from: LogIndex, maxBytes: number, done: (status: Status, batch?: EntryBatch) => void): void {
    if (from < this.first || from > this.lastLogIndex) {
      const status = Status.error(ErrorCode.ENOENT, `index ${from} is not in the log [${this.first}, ${this.lastLogIndex}]`)
      return this.executor.post(() => done(status), 'log-out-of-range')
    }
    const segment = segmentAt(this.segments, from)
    const { path } = segment
    const last = segment.lastWithin(from, maxBytes)
    const start = segment.offsetOf(from)
    const length = segment.offsetOf(plus(last, 1)) - start
    const moved = () => !this.segments.includes(segment) || segment.path !== path || segment.lastIndex < last
    const again = () => this.readEntries(from, maxBytes, done)
    this.fileSystem.open(path, {}, (opened, file) => {
      if (!opened.ok) {
        if (moved()) return again()
        if (opened.code !== ErrorCode.ENOENT) return done(opened)
        if (this.renames.whenAnswered(again)) return
        return done(Status.error(ErrorCode.ECORRUPT, `${path} is missing`))
      }
      readAndClose(file!, start, length, (status, bytes) => {
        if (!status.ok) return done(status)
        if (moved()) return again()
        const read = checkRead(segment, { from, last, start, path, bytes: bytes! }, this.checksum)
        if (!('problem' in read)) return done(Status.OK, read)
        done(damageOf(path, read, parentOf(this.directory)))
      })
    })
  }
}
