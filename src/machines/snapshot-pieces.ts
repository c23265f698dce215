import type { Done } from '../raft/closure.js'
import type { File } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { SnapshotReader, SnapshotWriter } from '../raft/storage.js'

const READ_BYTES = 256 * 1024

export interface Piece {
  readonly position: number
  readonly bytes: Buffer
}

/**
 * Writes a file of a snapshot and lists it. A piece is asked for when the one before is written, so that other work goes on
 * in between; what it is made of must be frozen.
 */
export function writePieces(writer: SnapshotWriter, name: string, pieces: Iterator<Piece>, done: Done): void {
  writer.fileSystem.open(`${writer.path}/${name}`, { write: true, create: true, truncate: true }, (status, file) => {
    if (!file) return done(status)
    const next = () => {
      const { done: isOver, value } = pieces.next()
      if (isOver) return file.close((closed) => done(closed.ok ? writer.addFile(name) : closed))
      file.write([value.bytes], value.position, (written) => (written.ok ? next() : close(file, written, done)))
    }
    next()
  })
}

/** Reads a file of a snapshot from its beginning; `take` says what is wrong with a piece, or null. Then `done`, ECORRUPT if it was. */
export function readPieces(reader: SnapshotReader, name: string, take: (piece: Piece) => string | null, done: Done): void {
  const path = `${reader.path}/${name}`
  if (reader.fileMeta(name) === null) return done(Status.error(ErrorCode.ECORRUPT, `${reader.path} lists no file ${name}`))
  reader.fileSystem.open(path, {}, (status, file) => {
    if (!file) return done(status)
    const next = (position: number) =>
      file.read(position, READ_BYTES, (read, bytes) => {
        if (!read.ok || bytes!.length === 0) return close(file, read, done)
        const problem = take({ position, bytes: bytes! })
        if (problem === null) next(position + bytes!.length)
        else close(file, Status.error(ErrorCode.ECORRUPT, `${path}: ${problem}`), done)
      })
    next(0)
  })
}

function close(file: File, status: Status, done: Done): void {
  file.close((closed) => done(status.ok ? closed : status))
}
