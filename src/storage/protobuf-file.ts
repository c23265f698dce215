import type { Done } from '../raft/closure.js'
import type { File, FileSystem } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { parentOf } from './paths.js'
import { inSequence } from './steps.js'

export const LENGTH_BYTES = 4

/** What a generated protobuf class offers. */
export interface MessageCodec<T> {
  encode(message: T): { finish(): Uint8Array }
  decode(bytes: Uint8Array): T
}

/**
 * braft's container for small messages on disk: u32 big-endian length, then the message.
 * Replaced as a whole: after a crash a reader finds the old message or the new one. Stricter than braft, whose reader
 * accepts a body that does not parse and whose writer leaves the new name volatile.
 */
export class ProtoBufFile<T> {
  constructor(
    private readonly fileSystem: FileSystem,
    readonly path: string,
    private readonly codec: MessageCodec<T>,
  ) {}

  /** Writes beside, syncs, renames over, syncs the directory. OK means durable. */
  save(message: T, done: Done): void {
    replaceFile(this.fileSystem, this.path, frame(this.codec.encode(message).finish()), done)
  }

  /** ENOENT when the file is missing, ECORRUPT when it is cut short or does not parse; bytes behind the message are ignored. */
  load(done: (status: Status, message?: T) => void): void {
    readWholeFile(this.fileSystem, this.path, (status, bytes) => {
      if (!status.ok) return done(status)
      const decoded = decodeFramed(bytes!, this.codec)
      if ('problem' in decoded) return done(Status.error(ErrorCode.ECORRUPT, `${this.path} is damaged: ${decoded.problem}`))
      done(Status.OK, decoded.message)
    })
  }
}

/** Reads the bytes of a container: the message, or what is wrong with them. */
export function decodeFramed<T>(bytes: Buffer, codec: MessageCodec<T>): { readonly message: T } | { readonly problem: string } {
  if (bytes.length < LENGTH_BYTES) return { problem: `${bytes.length} bytes, not even a length` }
  const length = bytes.readUInt32BE(0)
  if (bytes.length - LENGTH_BYTES < length) return { problem: `${bytes.length - LENGTH_BYTES} of ${length} bytes are there` }
  try {
    return { message: codec.decode(bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + length)) }
  } catch (error) {
    return { problem: `the message does not parse: ${(error as Error).message}` }
  }
}

/** The bytes of a container around an encoded message. */
export function frame(body: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(LENGTH_BYTES + body.length)
  bytes.writeUInt32BE(body.length, 0)
  bytes.set(body, LENGTH_BYTES)
  return bytes
}

/** Replaces `path` by `bytes`, atomically and durably. */
export function replaceFile(fileSystem: FileSystem, path: string, bytes: Uint8Array, done: Done): void {
  const temporary = `${path}.tmp`
  fileSystem.open(temporary, { write: true, create: true, truncate: true }, (status, file) => {
    if (!status.ok) return done(status)
    inSequence([(next) => file!.write([bytes], 0, next), (next) => file!.datasync(next)], (written) =>
      file!.close((closed) => {
        const outcome = written.ok ? closed : written
        if (!outcome.ok) return done(outcome)
        inSequence([(next) => fileSystem.rename(temporary, path, next), (next) => fileSystem.syncDir(parentOf(path), next)], done)
      }),
    )
  })
}

/** Reads a small file to its end. */
export function readWholeFile(fileSystem: FileSystem, path: string, done: (status: Status, bytes?: Buffer) => void): void {
  fileSystem.stat(path, (found, stat) => {
    if (!found.ok) return done(found)
    fileSystem.open(path, {}, (opened, file) => {
      if (!opened.ok) return done(opened)
      readAndClose(file!, 0, stat!.size, done)
    })
  })
}

/** One read, after which the file is closed whatever the outcome. */
export function readAndClose(file: File, position: number, length: number, done: (status: Status, bytes?: Buffer) => void): void {
  file.read(position, length, (status, bytes) =>
    file.close((closed) => (status.ok && closed.ok ? done(Status.OK, bytes) : done(status.ok ? closed : status))),
  )
}
