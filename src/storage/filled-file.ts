import type { Done } from '../raft/closure.js'
import type { File, FileSystem } from '../raft/environment.js'
import { assert, type Status } from '../raft/errors.js'
import { END_MARK } from './end-mark.js'
import { inSequence } from './steps.js'

/** Zeros are written ahead in pieces of this size, or of an eighth of a segment where that is less. */
export const FILL_BYTES_MAX = 256 * 1024
const PIECES_A_SEGMENT = 8
const ZEROS = Buffer.alloc(FILL_BYTES_MAX)

export interface FilledFileOptions {
  readonly fileSystem: FileSystem
  readonly path: string
  /** Where the next write begins: the file holds nothing behind it. */
  readonly end: number
  /** Of the segment: nothing is filled behind it. */
  readonly bytesMax: number
}

/**
 * The file of the open segment, written from its end on, with zeros laid out ahead of the entries. A synchronous write that
 * makes a file longer waits for the journal of the file system too; one over bytes that are there waits for the data alone.
 *
 * The end of the entries is marked (END_MARK) wherever zeros follow, so that whoever reads the file after a crash, braft
 * included, finds it. Closing the file cuts the zeros off. Small logs and large writes go without: they gain nothing.
 *
 * Invariants
 * - Zeros are never on their way to where entries are written: such a write waits for them.
 * - What could not be filled is written as in any file, unless the disk failed: the system tells the other handle of that, too.
 */
export class FilledFile implements File {
  /** Of the entries. */
  private end: number
  /** The file is no longer than this. */
  private filledTo: number
  private readonly pieceBytes: number
  private filling = false
  private gaveUp = false
  private hasFailed = false
  private waiting: (() => void)[] = []

  constructor(
    private readonly file: File,
    private readonly options: FilledFileOptions,
  ) {
    this.end = options.end
    this.filledTo = options.end
    this.pieceBytes = Math.min(FILL_BYTES_MAX, Math.floor(options.bytesMax / PIECES_A_SEGMENT))
  }

  write(buffers: readonly Uint8Array[], position: number, done: Done): void {
    const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0)
    assert(position === this.end, 'a write that does not go on where the one before ended', { position, end: this.end })
    const end = position + bytes
    if (this.filling && end + END_MARK.length > this.filledTo) {
      this.waiting.push(() => this.write(buffers, position, done))
      return
    }
    const isMarked = end < this.filledTo
    this.file.write(isMarked ? [...buffers, END_MARK] : buffers, position, (status) => {
      if (status.ok) {
        this.end = end
        this.filledTo = Math.max(this.filledTo, isMarked ? end + END_MARK.length : end)
        this.fillAhead(bytes)
      } else this.hasFailed = true
      done(status)
    })
  }

  read(position: number, length: number, done: (status: Status, bytes?: Buffer) => void): void {
    this.file.read(position, length, done)
  }

  datasync(done: Done): void {
    this.file.datasync(done)
  }

  truncate(size: number, done: Done): void {
    this.whenStill(() =>
      this.file.truncate(size, (status) => {
        if (status.ok) this.end = this.filledTo = size
        else this.hasFailed = true
        done(status)
      }),
    )
  }

  /** OK: the zeros are gone, durably. After a write or a cut that failed the file is left as it is. */
  close(done: Done): void {
    this.whenStill(() => {
      if (this.filledTo === this.end || this.hasFailed) return this.file.close(done)
      inSequence([(next) => this.file.truncate(this.end, next), (next) => this.file.datasync(next)], (cut) =>
        this.file.close((closed) => done(cut.ok ? closed : cut)),
      )
    })
  }

  /** Behind a write of so many bytes. */
  private fillAhead(written: number): void {
    const { pieceBytes, end, filledTo } = this
    if (this.filling || this.gaveUp || written > pieceBytes / 2 || end < pieceBytes / 4 || filledTo - end > pieceBytes / 2) return
    const bytes = Math.min(pieceBytes, this.options.bytesMax - filledTo)
    if (bytes < END_MARK.length) return
    this.filling = true
    const piece = filledTo > end ? [ZEROS.subarray(0, bytes)] : [END_MARK, ZEROS.subarray(0, bytes - END_MARK.length)]
    this.fill(piece, filledTo, (status) => {
      this.filling = false
      // Of what failed, some may be there.
      this.filledTo = filledTo + bytes
      this.gaveUp = !status.ok
      const { waiting } = this
      this.waiting = []
      for (const go of waiting) go()
    })
  }

  /** By a handle of its own: on one that is shared, what goes wrong with entries would be reported to the zeros, once. */
  private fill(piece: readonly Uint8Array[], position: number, done: Done): void {
    const { fileSystem, path } = this.options
    fileSystem.open(path, { write: true }, (status, file) => {
      if (!file) return done(status)
      inSequence([(next) => file.write(piece, position, next), (next) => file.datasync(next)], (filled) =>
        file.close((closed) => done(filled.ok ? closed : filled)),
      )
    })
  }

  /** Runs `go` when no zeros are on their way. */
  private whenStill(go: () => void): void {
    if (this.filling) this.waiting.push(go)
    else go()
  }
}
