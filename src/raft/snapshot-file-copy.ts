import type { File, FileSystem } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import type { GetFileResponse } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import { PacedSync } from './paced-sync.js'
import { formatChecksum, parseChecksum } from './snapshot-checksum.js'
import type { CopyFailure } from './snapshot-copier.js'
import type { SnapshotFetcher } from './snapshot-fetcher.js'
import type { SnapshotFileMeta } from './storage.js'

export const PIECE_BYTES = 256 * 1024
/** Pieces asked for ahead of the one that is written next. */
const PIECES_AHEAD = 4
/** Read at a time while what an earlier copy left is checked. */
const SLICE_BYTES = 1024 * 1024

export interface FileCopyOptions {
  readonly node: NodeImpl
  readonly fetcher: SnapshotFetcher
  readonly fileSystem: FileSystem
  readonly root: string
  readonly name: string
  /** What the source's list says of the file. */
  readonly expected: SnapshotFileMeta
}

type FileCopyDone = (failure: CopyFailure | null, meta?: SnapshotFileMeta) => void

/**
 * Copies one file: pieces are fetched a few ahead and written in order. Where the whole can be checked in the end, it goes on
 * behind what an earlier copy left.
 *
 * Invariants
 * - `position`: everything below is in the file, and `crc32c` is that of these bytes.
 * - one thing at a time happens on the disk; an end waits for it.
 */
export class SnapshotFileCopy {
  position = 0
  private readonly path: string
  private readonly expectedCrc32c: number | null
  private crc32c = 0
  private file: File | null = null
  private output: PacedSync | null = null
  private resumedFrom = 0
  /** The next offset to ask for. */
  private asked = 0
  /** Answers of an earlier epoch are about what was given up. */
  private epoch = 0
  private readonly arrived = new Map<number, GetFileResponse>()
  private isBusy = false
  private ending: CopyFailure | null = null

  constructor(
    private readonly options: FileCopyOptions,
    private readonly done: FileCopyDone,
  ) {
    this.path = `${options.root}/${options.name}`
    this.expectedCrc32c = parseChecksum(options.expected.checksum)
  }

  start(): void {
    const { fileSystem } = this.options
    const parent = this.path.slice(0, this.path.lastIndexOf('/'))
    this.disk<undefined>(
      (next) => fileSystem.mkdir(parent, next),
      () =>
        this.disk<undefined>(
          (next) => this.open({ exclusive: true }, (status) => (status.code === ErrorCode.EEXIST ? this.openPresent(next) : next(status))),
          () => this.goOn(),
        ),
    )
  }

  cancel(): void {
    this.end({ status: Status.error(ErrorCode.ECANCELED, 'the copy was cancelled'), isLocal: false })
  }

  private open(options: { exclusive: boolean }, done: (status: Status) => void): void {
    this.options.fileSystem.open(this.path, { write: true, create: true, ...options }, (status, file) => {
      this.file = file ?? null
      this.output = file ? new PacedSync(file) : null
      done(status)
    })
  }

  /** What an earlier copy left may be a link to a file of the last snapshot: that one must not change. */
  private openPresent(done: (status: Status) => void): void {
    const { fileSystem } = this.options
    fileSystem.stat(this.path, (found, stat) => {
      if (!found.ok) return done(found)
      if (stat!.links <= 1) return this.open({ exclusive: false }, done)
      fileSystem.unlink(this.path, (status) => (status.ok ? this.open({ exclusive: true }, done) : done(status)))
    })
  }

  /** What is there is taken for the beginning of the file when the whole will be checked; else it goes. */
  private goOn(): void {
    if (this.expectedCrc32c === null) return this.restart()
    const step = () =>
      this.disk<Buffer>(
        (next) => this.file!.read(this.position, SLICE_BYTES, next),
        (bytes) => {
          this.crc32c = this.options.node.env.checksum.crc32c(bytes!, this.crc32c)
          this.position += bytes!.length
          if (bytes!.length === SLICE_BYTES) return step()
          const { size } = this.options.expected
          if (size !== undefined && this.position > size) return this.restart()
          this.resumedFrom = this.position
          this.fetchFrom(this.position)
        },
      )
    step()
  }

  private restart(): void {
    this.disk<undefined>(
      (next) => this.file!.truncate(0, next),
      () => {
        this.crc32c = 0
        this.position = 0
        this.resumedFrom = 0
        this.fetchFrom(0)
      },
    )
  }

  private fetchFrom(offset: number): void {
    this.epoch++
    this.arrived.clear()
    this.asked = offset
    this.pump()
  }

  private pump(): void {
    const { name, fetcher, expected } = this.options
    while (!this.ending && this.asked < this.position + PIECES_AHEAD * PIECE_BYTES) {
      if (expected.size !== undefined && this.asked >= expected.size && this.asked > this.position) return
      const offset = this.asked
      const { epoch } = this
      this.asked += PIECE_BYTES
      fetcher.fetch(name, offset, PIECE_BYTES, (status, piece) => {
        if (this.epoch !== epoch || this.ending) return
        if (!status.ok) return this.end({ status, isLocal: false })
        this.arrived.set(offset, piece!)
        this.writeNext()
      })
    }
  }

  private writeNext(): void {
    const piece = this.arrived.get(this.position)
    if (!piece || this.isBusy) return
    this.arrived.delete(this.position)
    if (this.options.node.space.isShort) return this.end({ status: Status.error(ErrorCode.ENOSPC, 'the disk runs short'), isLocal: true })
    const { data } = piece
    this.disk<undefined>(
      (next) => this.output!.write([data], this.position, next),
      () => {
        this.crc32c = this.options.node.env.checksum.crc32c(data, this.crc32c)
        this.position += data.length
        if (piece.eof) return this.complete()
        // A short piece: what was asked for behind it does not follow it.
        if (data.length < PIECE_BYTES) return this.fetchFrom(this.position)
        this.pump()
        this.writeNext()
      },
    )
  }

  private complete(): void {
    this.epoch++
    const { name, expected } = this.options
    const sizeFits = expected.size === undefined || expected.size === this.position
    if (!sizeFits || (this.expectedCrc32c !== null && this.expectedCrc32c !== this.crc32c)) {
      // What the earlier copy left may be to blame: a power loss spoils what was not synced.
      if (this.resumedFrom > 0) return this.restart()
      const what = sizeFits ? `has checksum ${formatChecksum(this.crc32c)}, not ${expected.checksum}` : `has ${this.position} bytes`
      return this.end({ status: Status.error(ErrorCode.ECORRUPT, `${name} of the source is damaged: it ${what}`), isLocal: false })
    }
    const meta = { ...expected, checksum: expected.checksum ?? formatChecksum(this.crc32c), size: this.position }
    this.disk<undefined>(
      (next) => this.file!.datasync(next),
      () =>
        this.disk<undefined>(
          (next) => this.close(next),
          () => this.done(null, meta),
        ),
    )
  }

  private disk<T>(run: (next: (status: Status, value?: T) => void) => void, then: (value: T | undefined) => void): void {
    this.isBusy = true
    run((status, value) => {
      this.isBusy = false
      if (this.ending) return this.settle()
      if (!status.ok) return this.end({ status, isLocal: true })
      then(value)
    })
  }

  private end(failure: CopyFailure): void {
    if (this.ending) return
    this.ending = failure
    if (!this.isBusy) this.settle()
  }

  private settle(): void {
    this.close(() => this.done(this.ending))
  }

  private close(then: (status: Status) => void): void {
    const { file } = this
    this.file = null
    if (file) file.close(then)
    else this.options.node.env.executor.post(() => then(Status.OK), 'snapshot.file-ended')
  }
}
