import type { Checksum, FileSystem } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { SnapshotFileMeta, SnapshotReader } from '../raft/storage.js'
import { join, parentOf } from './paths.js'
import { verifyFile } from './snapshot-files.js'
import { inSequence } from './steps.js'

export interface LinkOptions {
  readonly fileSystem: FileSystem
  readonly checksum: Checksum
  /** The snapshot that has the file. */
  readonly reader: SnapshotReader
  /** Where it gets its second name. */
  readonly directory: string
  readonly name: string
  readonly expected: SnapshotFileMeta
}

/**
 * Links a file of a snapshot into another directory when name, checksum and size are the same, and its bytes are still those that
 * its checksum says. Null: it is another file, or damaged, or the disk knows no links; then nothing is there under that name.
 */
export function linkSame(options: LinkOptions, done: (status: Status, meta?: SnapshotFileMeta | null) => void): void {
  const { fileSystem, checksum, reader, directory, name, expected } = options
  const present = reader.fileMeta(name)
  if (!present || !isSame(present, expected)) return done(Status.OK, null)
  const source = join(reader.path, name)
  const target = join(directory, name)
  verifyFile(fileSystem, checksum, source, present, (verified) => {
    if (verified.code === ErrorCode.ECORRUPT) return done(Status.OK, null)
    if (!verified.ok) return done(verified)
    inSequence([(next) => fileSystem.mkdir(parentOf(target), next), (next) => fileSystem.remove(target, next)], (ready) => {
      if (!ready.ok) return done(ready)
      fileSystem.link(source, target, (linked) => {
        if (linked.ok) return done(Status.OK, { ...present, ...expected })
        // Whether the name is there is not known: who copies the file now must not find it.
        fileSystem.remove(target, (removed) => done(removed, removed.ok ? null : undefined))
      })
    })
  })
}

function isSame(a: SnapshotFileMeta, b: SnapshotFileMeta): boolean {
  return a.checksum !== undefined && a.checksum === b.checksum && (a.size === undefined || b.size === undefined || a.size === b.size)
}
