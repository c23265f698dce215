import type { Done } from '../raft/closure.js'
import type { Checksum, FileSystem } from '../raft/environment.js'
import { assert, ErrorCode, Status } from '../raft/errors.js'
import type { RaftMeta } from '../raft/storage.js'
import { decodeFramed, frame, LENGTH_BYTES, type MessageCodec, readWholeFile, replaceFile } from './protobuf-file.js'

/** Where braft keeps term and vote. ENOENT: nothing is there. ECORRUPT: it cannot be read. A save is durable when it is answered. */
export interface MetaPlace {
  /** For messages. */
  readonly path: string
  load(done: (status: Status, meta?: RaftMeta) => void): void
  save(meta: RaftMeta, done: Done): void
}

/** Disks write a sector whole or not at all. */
const META_FILE_BYTES = 512
const CRC_BYTES = 4

/**
 * Term and vote in a file `raft_meta`, as braft reads it. The first save of a process replaces it. From then on it is written over: one
 * synced write, where a new name takes two journal commits of the file system, and both the candidate and its voters wait for them.
 *
 * file: u32 length | message | u32 CRC-32C of both (big-endian) | zeros, up to one sector. braft reads the message and nothing behind it,
 * and writes nothing behind it. The checksum tells what a write that ended early left of two messages from what braft wrote.
 */
export class FileMetaPlace implements MetaPlace {
  /** A sector of ours is durable under this name. */
  private isPlaced = false

  constructor(
    private readonly fileSystem: FileSystem,
    private readonly checksum: Checksum,
    readonly path: string,
    private readonly codec: MessageCodec<RaftMeta>,
  ) {}

  load(done: (status: Status, meta?: RaftMeta) => void): void {
    readWholeFile(this.fileSystem, this.path, (status, bytes) => {
      if (!status.ok) return done(status)
      const decoded = decodeMetaFile(bytes!, this.codec, this.checksum)
      if ('problem' in decoded) return done(Status.error(ErrorCode.ECORRUPT, `${this.path} is damaged: ${decoded.problem}`))
      done(Status.OK, decoded.message)
    })
  }

  save(meta: RaftMeta, done: Done): void {
    const bytes = encodeMetaFile(meta, this.codec, this.checksum)
    assert(bytes.length === META_FILE_BYTES, 'term and vote are more than a sector', { bytes: bytes.length })
    if (this.isPlaced) return this.overwrite(bytes, done)
    replaceFile(this.fileSystem, this.path, bytes, (status) => {
      this.isPlaced = status.ok
      done(status)
    })
  }

  private overwrite(bytes: Buffer, done: Done): void {
    this.fileSystem.open(this.path, { write: true, dsync: true }, (status, file) => {
      if (!status.ok) return done(status)
      file!.write([bytes], 0, (written) => file!.close((closed) => done(written.ok ? closed : written)))
    })
  }
}

/** Reads the bytes of a `raft_meta`, ours or braft's: the message, or what is wrong with them. */
export function decodeMetaFile<T>(
  bytes: Buffer,
  codec: MessageCodec<T>,
  checksum: Checksum,
): { readonly message: T } | { readonly problem: string } {
  const decoded = decodeFramed(bytes, codec)
  if ('problem' in decoded) return decoded
  const end = LENGTH_BYTES + bytes.readUInt32BE(0)
  if (end === bytes.length) return decoded
  if (bytes.length - end < CRC_BYTES || bytes.readUInt32BE(end) !== checksum.crc32c(bytes.subarray(0, end)))
    return { problem: 'its checksum does not match' }
  return decoded
}

/** One sector; more where the message is longer than that. */
export function encodeMetaFile<T>(message: T, codec: MessageCodec<T>, checksum: Checksum): Buffer {
  const framed = frame(codec.encode(message).finish())
  const bytes = Buffer.alloc(Math.max(META_FILE_BYTES, framed.length + CRC_BYTES))
  bytes.set(framed, 0)
  bytes.writeUInt32BE(checksum.crc32c(framed), framed.length)
  return bytes
}
