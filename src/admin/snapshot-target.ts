import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { CliError } from '../terminal/errors.js'

/** Where an archive goes, piece by piece. */
export interface SnapshotTarget {
  /** What a person calls it. */
  readonly name: string
  /** Bytes that are there already. */
  readonly held: number
  /** Those bytes, from the beginning. */
  existing(): AsyncIterable<Buffer>
  write(bytes: Buffer): Promise<void>
  /** What is there is of no use. */
  restart(): void
  /** It is whole and good: from now on it exists under its name, durably. */
  finish(): void
  /** It is bad: nothing of it may be used. */
  discard(): void
  /** It broke off: what is there may be gone on with. */
  close(): void
}

const PIECE_BYTES = 256 * 1024

/**
 * A file that is called FILE.partial until it is whole and good. Throws E_EXISTS when there is a file of its final name,
 * E_DATA_DIR when it cannot be written.
 */
export class FileTarget implements SnapshotTarget {
  readonly name: string
  held = 0
  private readonly partial: string
  private readonly fd: number

  constructor(file: string, { resume }: { readonly resume: boolean }) {
    this.name = file
    this.partial = `${file}.partial`
    if (existsSync(file)) throw new CliError('E_EXISTS', `${file} exists`, { hint: 'Give another name, or remove it first.' })
    if (resume && existsSync(this.partial)) this.held = statSync(this.partial).size
    this.fd = this.attempt(() => openSync(this.partial, this.held > 0 ? 'r+' : 'w'))
  }

  existing(): AsyncIterable<Buffer> {
    return createReadStream(this.partial, { highWaterMark: PIECE_BYTES, end: Math.max(0, this.held - 1) })
  }

  restart(): void {
    this.attempt(() => ftruncateSync(this.fd, 0))
    this.held = 0
  }

  async write(bytes: Buffer): Promise<void> {
    this.attempt(() => {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.fd, bytes, at, bytes.length - at, this.held + at)
    })
    this.held += bytes.length
  }

  finish(): void {
    this.attempt(() => {
      fsyncSync(this.fd)
      closeSync(this.fd)
      renameSync(this.partial, this.name)
      const directory = openSync(dirname(this.name), 'r')
      fsyncSync(directory)
      closeSync(directory)
    })
  }

  discard(): void {
    closeSync(this.fd)
    rmSync(this.partial, { force: true })
  }

  close(): void {
    closeSync(this.fd)
  }

  private attempt<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw new CliError('E_DATA_DIR', `${this.name} cannot be written: ${(error as Error).message}`, {
        hint:
          this.held > 0
            ? `What came is kept: make room and give the same command with --resume, or remove ${this.partial}.`
            : 'Give a path that can be written to, on a disk with room.',
      })
    }
  }
}

/** Standard output: whoever reads it must not use it unless the exit code is 0. */
export class StreamTarget implements SnapshotTarget {
  readonly name = '-'
  held = 0

  constructor(private readonly stream: NodeJS.WritableStream) {}

  async *existing(): AsyncGenerator<Buffer> {}

  restart(): void {}

  async write(bytes: Buffer): Promise<void> {
    this.held += bytes.length
    if (!this.stream.write(bytes)) await new Promise<void>((resolve) => this.stream.once('drain', resolve))
  }

  finish(): void {}

  discard(): void {}

  close(): void {}
}
