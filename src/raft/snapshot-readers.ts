import type { Environment } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import type { SnapshotThrottle } from './snapshot-throttle.js'
import { SNAPSHOT_LIST, type SnapshotReader } from './storage.js'

/** What one request is given at most. */
const PIECE_BYTES_MAX = 1024 * 1024
/** A request is taken only when the throttle lets it run within this time. */
const BACKLOG_MS_MAX = 500

export interface Piece {
  readonly data: Buffer
  readonly eof: boolean
}

interface OpenReader {
  readonly reader: SnapshotReader
  sentBytes: number
  readonly totalBytes: number
}

/**
 * The snapshots of this member that others read, by the id that an install request named (braft FileService's registry).
 *
 * Ids are unlike each other in a process, whatever groups it has: they count from a random number of 52 bits.
 * Any part of any file may be asked for, in any order; names that are not listed are refused (braft EPERM).
 */
export class SnapshotReaders {
  private readonly open = new Map<string, OpenReader>()
  private nextId: number

  constructor(
    environment: Environment,
    private readonly throttle: SnapshotThrottle,
  ) {
    const random = environment.random.fork('snapshot readers')
    this.nextId = (random.u32() & 0xfffff) * 2 ** 32 + random.u32()
  }

  register(reader: SnapshotReader): string {
    const id = String(this.nextId++)
    let totalBytes = 0
    for (const name of reader.files()) totalBytes += reader.fileMeta(name)?.size ?? 0
    this.open.set(id, { reader, sentBytes: 0, totalBytes })
    return id
  }

  release(id: string): void {
    this.open.get(id)?.reader.close()
    this.open.delete(id)
  }

  progress(id: string): { sentBytes: number; totalBytes: number } | null {
    return this.open.get(id) ?? null
  }

  /**
   * ENOENT: no such reader. EREQUEST: no such range. EPERM: the snapshot has no such file. EAGAIN: the throttle is behind. A
   * range behind the end is empty.
   */
  read(id: string, filename: string, offset: number, count: number, done: (status: Status, piece?: Piece) => void): void {
    const opened = this.open.get(id)
    if (!opened) return done(Status.error(ErrorCode.ENOENT, `no snapshot is read here as ${id}`))
    if (count <= 0 || offset < 0) return done(Status.error(ErrorCode.EREQUEST, `no range: ${count} bytes at ${offset}`))
    const { reader } = opened
    if (filename === SNAPSHOT_LIST) return done(Status.OK, { data: reader.list(), eof: true })
    const meta = reader.fileMeta(filename)
    if (!meta) return done(Status.error(ErrorCode.EPERM, `the snapshot has no file ${filename}`))
    // Who waits too long gives up, and would have been served for nothing: it had better come again (braft EAGAIN).
    if (this.throttle.backlogMs > BACKLOG_MS_MAX) return done(Status.error(ErrorCode.EAGAIN, 'too many read here at a time'))
    const length = Math.min(count, PIECE_BYTES_MAX)
    this.throttle.take(length, () =>
      readPiece(reader, filename, offset, length, (status, piece) => {
        if (status.ok) opened.sentBytes += piece!.data.length
        done(status, piece)
      }),
    )
  }
}

function readPiece(
  reader: SnapshotReader,
  filename: string,
  offset: number,
  length: number,
  done: (status: Status, piece?: Piece) => void,
): void {
  const path = `${reader.path}/${filename}`
  reader.fileSystem.open(path, {}, (opened, file) => {
    if (!opened.ok) return done(opened)
    // One byte more tells whether this is the end, also of files whose size nobody wrote down.
    file!.read(offset, length + 1, (status, bytes) =>
      file!.close((closed) => {
        if (!status.ok || !closed.ok) return done(status.ok ? closed : status)
        done(Status.OK, { data: bytes!.subarray(0, length), eof: bytes!.length <= length })
      }),
    )
  })
}
