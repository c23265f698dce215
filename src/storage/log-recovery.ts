import type { Done } from '../raft/closure.js'
import type { ConfigurationEntry } from '../raft/configuration.js'
import type { Checksum, File, FileSystem } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { LogRecovery } from '../raft/storage.js'
import { fromInt64, type LogIndex, logIndex, maxIndex, NO_INDEX, plus } from '../raft/types.js'
import type { DurableMark } from './durable-length.js'
import { FILL_BYTES_MAX } from './filled-file.js'
import type { LogMetaFile } from './log-meta.js'
import { makeDirectory } from './make-directory.js'
import { join, parentOf } from './paths.js'
import type { SealFile } from './seal-file.js'
import { parseSegmentName, Segment, type SegmentName } from './segment.js'
import { type ScanResult, SegmentScan } from './segment-scan.js'
import { forEachInOrder, inSequence } from './steps.js'

/** One write to the log carries at most this many bytes plus the rest of its last entry. */
export const WRITE_BYTES_MAX = 1024 * 1024
/** Entries are not longer than this by default. */
const ENTRY_BYTES_MAX = 1.5 * 1024 * 1024

export interface RecoveredLog {
  readonly recovery: LogRecovery
  readonly segments: Segment[]
  /** The open segment's file, ready for writing; null when there is no open segment. */
  readonly writer: File | null
}

export interface LogRecoveryOptions {
  readonly fileSystem: FileSystem
  readonly checksum: Checksum
  readonly directory: string
  readonly metaFile: LogMetaFile
  /** The stored lower bound of the durable log; null when there is none. */
  readonly mark: DurableMark | null
  /** What sealed segments and log_meta should hold; null when nothing is known of it. */
  readonly seals: SealFile | null
  /** braft wrote here last. */
  readonly adopt: boolean
  /** Every write is durable when it ends: what a crash leaves of the last ones is no longer than one. */
  readonly dsync: boolean
}

/** A segment that does not follow: the log should go on at `expected`. Null: by its own name it ends before it starts. */
export interface SegmentHole {
  readonly segment: SegmentName
  readonly expected: LogIndex | null
}

/** The first segment that leaves a hole before it, by the names alone; `names` in order of their first index. */
export function findHole(names: readonly SegmentName[], logFirstIndex: LogIndex): SegmentHole | null {
  let expected: LogIndex | null = null
  for (const segment of names) {
    const { firstIndex, lastIndex } = segment
    if (lastIndex !== null && lastIndex < firstIndex) return { segment, expected: null }
    const isHole = expected === null ? firstIndex > logFirstIndex : firstIndex !== expected
    if (isHole) return { segment, expected: expected ?? logFirstIndex }
    expected = plus(lastIndex ?? firstIndex, 1)
  }
  return null
}

/** Why what follows the good entries of `segment` cannot be the half-written end of the last write, or zeros; null when it can be, and is cut. */
export function whyNotTorn(found: {
  readonly segment: Segment
  readonly result: ScanResult
  readonly fileBytes: number
  readonly mark: DurableMark | null
  /** Absent: true. */
  readonly dsync?: boolean
}): string | null {
  const { segment, result, fileBytes, mark, dsync = true } = found
  const index = plus(segment.lastIndex, 1)
  const tail = fileBytes - segment.bytes
  const tailMax = !dsync ? Infinity : WRITE_BYTES_MAX + FILL_BYTES_MAX + Math.max(ENTRY_BYTES_MAX, result.badEntryBytes)
  const belowMark =
    mark !== null && (index <= mark.lastIndex || (segment.firstIndex === mark.segmentFirstIndex && segment.bytes < mark.segmentBytes))
  if (belowMark) return `entries up to ${mark.lastIndex} were durable`
  // A good checksum over what cannot be right is no accident of a crash.
  if (result.problem === 'entry type' || result.problem === 'configuration does not parse' || result.problem === 'term went back')
    return 'its checksums are right'
  return tail <= tailMax ? null : `${tail} bytes follow, more than one write`
}

/** What is to be added where only its length keeps a bad end from being a torn one; '' where it is bad for another reason. */
export function ifSyncedLate(found: Parameters<typeof whyNotTorn>[0]): string {
  if (whyNotTorn(found) === null || whyNotTorn({ ...found, dsync: false }) !== null) return ''
  return '. Where it ran with --unsafe-sync a loss of power leaves such an end: start it once more with that flag, which cuts it'
}

/** The same for a log that braft wrote last: it has no bound of its own, and cuts what is too short and nothing else. */
export function whyBraftRefuses({ problem }: ScanResult): string | null {
  if (problem === null || problem === 'short header' || problem === 'short data') return null
  if (problem === 'data checksum')
    return 'its header is whole and its length is there, so braft takes it for good and fails when it reads it'
  return 'braft does not start on it'
}

/**
 * Opens what a log directory holds and decides what a bad entry means: the half-written end of the last write
 * is cut, everything else is corruption and left as it is. Used once, by SegmentLogStorage.init.
 *
 * Order: leftovers of replaced files go; log_meta gives the first index; segments below it go; what remains must follow
 * each other without a hole. At the end file and directory are synced: what was found now counts as durable.
 */
export class LogRecoveryRun {
  private readonly segments: Segment[] = []
  private readonly configurations: ConfigurationEntry[] = []
  private firstIndex: LogIndex = logIndex(1)
  private newestBare = NO_INDEX
  private tornTail: LogRecovery['tornTail'] = null
  private writer: File | null = null

  constructor(private readonly options: LogRecoveryOptions) {}

  run(done: (status: Status, log?: RecoveredLog) => void): void {
    const { fileSystem, directory } = this.options
    let names: SegmentName[] = []
    const steps = [
      (next: Done) => makeDirectory(fileSystem, directory, next),
      (next: Done) =>
        fileSystem.list(directory, (status, files) => {
          names = (files ?? []).map(parseSegmentName).filter((name) => name !== null)
          if (!status.ok) return next(status)
          const leftovers = files!.filter((name) => name.endsWith('.tmp'))
          forEachInOrder(leftovers, (name, removed) => fileSystem.unlink(join(directory, name), removed), next)
        }),
      // A process that was killed may have left log_meta's new name volatile; what it cuts off goes only when it is durable.
      (next: Done) => fileSystem.syncDir(directory, next),
      (next: Done) => this.loadFirstIndex(names, next),
      (next: Done) => this.loadSegments(names, next),
      (next: Done) => next(this.checkMark()),
      (next: Done) => fileSystem.syncDir(directory, next),
    ]
    inSequence(steps, (status) => {
      if (status.ok) return done(Status.OK, this.result())
      if (!this.writer) return done(status)
      this.writer.close(() => done(status))
    })
  }

  private result(): RecoveredLog {
    const lastIndex = this.segments.at(-1)?.lastIndex ?? plus(this.firstIndex, -1)
    const configurations = this.configurations.filter((entry) => entry.id.index >= this.firstIndex)
    const recovery = { firstIndex: this.firstIndex, lastIndex, configurations, tornTail: this.tornTail }
    const found = this.newestBare < this.firstIndex ? recovery : { ...recovery, newestBare: this.newestBare }
    return { recovery: found, segments: this.segments, writer: this.writer }
  }

  private corrupt(what: string): Status {
    const dataDirectory = parentOf(this.options.directory)
    const act = `nothing was changed. Restore ${dataDirectory} from a copy; the other members keep serving without it`
    return Status.error(ErrorCode.ECORRUPT, `${what}; ${act}`)
  }

  private loadFirstIndex(names: readonly SegmentName[], done: Done): void {
    const { metaFile, mark, directory } = this.options
    metaFile.load((status, meta) => {
      if (status.ok) {
        this.firstIndex = logIndex(fromInt64(meta!.first_log_index))
        const starts = this.options.seals?.starts ?? []
        const isRight = this.firstIndex >= 1 && (starts.length === 0 || starts.includes(this.firstIndex))
        if (isRight) return done(Status.OK)
        const known = starts.length > 0 ? `; it was made to start at ${starts.at(-1)}` : ''
        return done(this.corrupt(`${metaFile.path} says that the log starts at ${this.firstIndex}${known}`))
      }
      if (status.code === ErrorCode.ECORRUPT) return done(this.corrupt(status.message))
      if (status.code !== ErrorCode.ENOENT) return done(status)
      if (names.length > 0) return done(this.corrupt(`${metaFile.path} is missing while ${directory} holds ${names.length} segments`))
      if (mark !== null)
        return done(this.corrupt(`${metaFile.path} is missing, but this directory had a log with entries up to ${mark.lastIndex}`))
      metaFile.save({ first_log_index: 1 }, done)
    })
  }

  private loadSegments(names: readonly SegmentName[], done: Done): void {
    const { fileSystem, directory } = this.options
    const open = names.filter((name) => name.lastIndex === null)
    if (open.length > 1) return done(this.corrupt(`${directory} holds two open segments, ${open.map((name) => name.name).join(' and ')}`))
    const sealed = names.filter((name) => name.lastIndex !== null).sort((a, b) => a.firstIndex - b.firstIndex)
    const obsolete = sealed.filter((name) => name.lastIndex! < this.firstIndex && name.lastIndex! >= name.firstIndex)
    const kept = sealed.filter((name) => !obsolete.includes(name))
    const hole = findHole([...kept, ...open], this.firstIndex)
    if (hole) return done(this.corrupt(this.describeHole(hole)))
    inSequence(
      [
        (next) => forEachInOrder(kept, (name, loaded) => this.loadSealed(name, loaded), next),
        (next) => (open.length > 0 ? this.loadOpen(open[0]!, next) : next(Status.OK)),
        (next) => forEachInOrder(obsolete, (name, removed) => fileSystem.unlink(join(directory, name.name), removed), next),
      ],
      done,
    )
  }

  private describeHole({ segment, expected }: SegmentHole): string {
    if (expected === null) return `${segment.name} ends before it starts`
    const path = join(this.options.directory, segment.name)
    return `a segment is missing before ${path}: the log should go on at index ${expected}`
  }

  private loadSealed(name: SegmentName, done: Done): void {
    const segment = new Segment(this.options.directory, name.firstIndex, false)
    this.scan(segment, { name: name.name, sealed: true }, (status, result, file, fileBytes) => {
      if (!status.ok) return done(status)
      const isWhole = segment.bytes === fileBytes
      const corrupt = isWhole ? this.sealedProblem(segment, name) : this.corrupt(this.describe(segment, name.name, result!))
      if (!corrupt) {
        segment.seal()
        this.segments.push(segment)
      }
      inSequence([(next) => file!.datasync(next)], (synced) => file!.close((closed) => done(corrupt ?? (synced.ok ? closed : synced))))
    })
  }

  private sealedProblem(segment: Segment, name: SegmentName): Status | null {
    if (segment.lastIndex === name.lastIndex) return this.sealProblem(segment, name)
    return this.corrupt(
      `${join(this.options.directory, name.name)} holds ${segment.count} entries, its name promises ${name.lastIndex! - name.firstIndex + 1}`,
    )
  }

  /** Good entries, and not those that were sealed: a write was lost, or landed in the wrong place. */
  private sealProblem(segment: Segment, name: SegmentName): Status | null {
    const { seals, checksum, directory } = this.options
    const digest = seals?.digestOf(segment.firstIndex, segment.lastIndex)
    if (digest === undefined || digest === segment.digest(checksum)) return null
    return this.corrupt(`${join(directory, name.name)} holds other entries than when it was sealed`)
  }

  private loadOpen(name: SegmentName, done: Done): void {
    const { fileSystem } = this.options
    const segment = new Segment(this.options.directory, name.firstIndex, false)
    this.scan(segment, { name: name.name, sealed: false }, (status, result, file, fileBytes) => {
      if (!status.ok) return done(status)
      this.writer = file!
      const corrupt = segment.bytes === fileBytes ? null : this.judge(segment, name.name, result!, fileBytes!)
      if (corrupt) return done(corrupt)
      if (result!.problem)
        this.tornTail = { file: segment.path, offset: segment.bytes, bytes: fileBytes! - segment.bytes, problem: result!.problem }
      if (this.segments.length === 0 && segment.lastIndex < this.firstIndex && segment.firstIndex !== this.firstIndex) {
        this.writer = null
        return inSequence([(next) => file!.close(next), (next) => fileSystem.unlink(segment.path, next)], done)
      }
      this.segments.push(segment)
      if (segment.bytes === fileBytes) return file!.datasync(done)
      inSequence([(next) => file!.truncate(segment.bytes, next), (next) => file!.datasync(next)], done)
    })
  }

  /** Null when the bad entry is the half-written end of the last write. */
  private judge(segment: Segment, name: string, result: ScanResult, fileBytes: number): Status | null {
    const { mark, adopt, dsync } = this.options
    const why = adopt ? whyBraftRefuses(result) : whyNotTorn({ segment, result, fileBytes, mark, dsync })
    if (why === null) return null
    const late = adopt ? '' : ifSyncedLate({ segment, result, fileBytes, mark, dsync })
    return this.corrupt(`${this.describe(segment, name, result)}: ${why}${late}`)
  }

  private describe(segment: Segment, name: string, result: ScanResult): string {
    const path = join(this.options.directory, name)
    return `${path} is damaged at offset ${segment.bytes} (index ${plus(segment.lastIndex, 1)}): ${result.problem ?? 'the mark of its end'}`
  }

  /** Scans the file of a segment and leaves it open for `done`; closed when the scan itself failed. */
  private scan(
    segment: Segment,
    what: { name: string; sealed: boolean },
    done: (status: Status, result?: ScanResult, file?: File, fileBytes?: number) => void,
  ): void {
    const { fileSystem, checksum, directory } = this.options
    const path = join(directory, what.name)
    fileSystem.stat(path, (found, stat) => {
      if (!found.ok) return done(found)
      fileSystem.open(path, what.sealed ? {} : { write: true, dsync: this.options.dsync }, (opened, file) => {
        if (!opened.ok) return done(opened)
        const scan = new SegmentScan({ segment, file: file!, fileBytes: stat!.size, verifyData: !what.sealed, checksum })
        scan.run((status, result) => {
          if (!status.ok) return file!.close(() => done(status))
          this.configurations.push(...scan.configurations)
          this.newestBare = maxIndex(this.newestBare, scan.newestBare)
          done(Status.OK, result, file, stat!.size)
        })
      })
    })
  }

  private checkMark(): Status {
    const { mark, directory } = this.options
    const lastIndex = this.segments.at(-1)?.lastIndex ?? plus(this.firstIndex, -1)
    if (mark === null || mark.lastIndex < this.firstIndex || lastIndex >= mark.lastIndex) return Status.OK
    return this.corrupt(`${directory} ends at index ${lastIndex}, but entries up to ${mark.lastIndex} were durable`)
  }
}
