import { createHash } from 'node:crypto'
import type { File } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { SnapshotReader } from '../raft/storage.js'
import {
  ARCHIVE_END,
  archiveBytes,
  entryHeader,
  FILES_PREFIX,
  MANIFEST_NAME,
  type ManifestFile,
  manifestBytes,
  paddingOf,
  type SnapshotManifest,
} from './snapshot-archive.js'

/** Bytes read, and sent, at once. */
export const PIECE_BYTES = 256 * 1024

/** A snapshot could not be read, or is not what was recorded when it was taken. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError'

  constructor(readonly status: Status) {
    super(status.message)
  }
}

/** Runs something on the node's executor and waits for its outcome. */
export type OnExecutor = <T>(start: (done: (result: T) => void) => void) => Promise<T>

/** Names, sizes and SHA-256 of a snapshot's files, in their order. A file that is not what the snapshot lists is ECORRUPT. */
export async function describeFiles(
  reader: SnapshotReader,
  { on, crc32c }: { readonly on: OnExecutor; readonly crc32c: (bytes: Uint8Array, previous?: number) => number },
  isOver: () => boolean,
): Promise<ManifestFile[]> {
  const described: ManifestFile[] = []
  for (const name of [...reader.files()].sort()) {
    const hash = createHash('sha256')
    let [size, crc] = [0, 0]
    for await (const piece of readFile(reader, name, on)) {
      if (isOver()) throw new ArchiveError(Status.error(ErrorCode.ECANCELED, 'nobody waits for it'))
      hash.update(piece)
      crc = crc32c(piece, crc)
      size += piece.length
    }
    const listed = reader.fileMeta(name)?.checksum
    const found = `crc32c:${crc.toString(16).padStart(8, '0')}`
    if (listed?.startsWith('crc32c:') && listed !== found) {
      const problem = `${reader.path}/${name} is damaged: its checksum is ${found}, and the snapshot lists ${listed}`
      throw new ArchiveError(Status.error(ErrorCode.ECORRUPT, problem))
    }
    described.push({ name, size, sha256: hash.digest('hex') })
  }
  return described
}

/**
 * The bytes of the archive, in pieces, as they are asked for; the same for the same snapshot every time. Holds one piece.
 * Throws ArchiveError when a file cannot be read or has another length than it had.
 */
export async function* writeArchive(reader: SnapshotReader, manifest: SnapshotManifest, on: OnExecutor): AsyncGenerator<Buffer> {
  const bytes = manifestBytes(manifest)
  yield Buffer.concat([headerOf(MANIFEST_NAME, bytes.length), bytes, Buffer.alloc(paddingOf(bytes.length))])
  for (const file of manifest.files) {
    yield headerOf(`${FILES_PREFIX}${file.name}`, file.size)
    let size = 0
    for await (const piece of readFile(reader, file.name, on)) {
      size += piece.length
      yield piece
    }
    if (size !== file.size) throw new ArchiveError(Status.error(ErrorCode.EIO, `${file.name} has ${size} bytes, and had ${file.size}`))
    if (paddingOf(file.size) > 0) yield Buffer.alloc(paddingOf(file.size))
  }
  yield ARCHIVE_END
}

/** SHA-256 of the whole archive while it is written, and the pieces that begin at `offset`. */
export class ArchiveStream {
  readonly totalBytes: number
  private readonly hash = createHash('sha256')
  private written = 0

  constructor(
    private readonly reader: SnapshotReader,
    private readonly manifest: SnapshotManifest,
    private readonly on: OnExecutor,
  ) {
    this.totalBytes = archiveBytes(manifest)
  }

  /** Only after the last piece. */
  get sha256(): Buffer {
    return this.hash.digest()
  }

  /** What comes before `offset` is read, for the hash, and left out. */
  async *from(offset: number): AsyncGenerator<{ readonly offset: number; readonly bytes: Buffer; readonly isLast: boolean }> {
    for await (const piece of writeArchive(this.reader, this.manifest, this.on)) {
      this.hash.update(piece)
      const start = this.written
      this.written += piece.length
      const skipped = Math.max(0, Math.min(piece.length, offset - start))
      if (skipped === piece.length && this.written < this.totalBytes) continue
      yield { offset: start + skipped, bytes: piece.subarray(skipped), isLast: this.written === this.totalBytes }
    }
  }
}

function headerOf(name: string, size: number): Buffer {
  const header = entryHeader(name, size)
  if (!header) throw new ArchiveError(Status.error(ErrorCode.EINVAL, `the name ${JSON.stringify(name)} does not fit into an archive`))
  return header
}

async function* readFile(reader: SnapshotReader, name: string, on: OnExecutor): AsyncGenerator<Buffer> {
  const file = await must<File>(on, (done) => reader.fileSystem.open(`${reader.path}/${name}`, {}, done))
  try {
    for (let position = 0; ; ) {
      const bytes = await must<Buffer>(on, (done) => file.read(position, PIECE_BYTES, done))
      if (bytes.length === 0) return
      yield bytes
      position += bytes.length
    }
  } finally {
    await on<Status>((done) => file.close(done))
  }
}

async function must<T>(on: OnExecutor, start: (done: (status: Status, value?: T) => void) => void): Promise<T> {
  const { status, value } = await on<{ status: Status; value: T | undefined }>((done) => start((s, v) => done({ status: s, value: v })))
  if (!status.ok) throw new ArchiveError(status)
  return value as T
}
