import type { Executor, FileSystem } from '../../src/raft/environment.js'
import type { Status } from '../../src/raft/errors.js'
import type { RaftMeta, SnapshotMeta } from '../../src/raft/storage.js'
import { checksum } from '../../src/storage/checksum.js'
import { DEFAULT_GROUP, groupDirectory, storagePaths } from '../../src/storage/open-storage.js'
import { join } from '../../src/storage/paths.js'
import { readWholeFile } from '../../src/storage/protobuf-file.js'
import { FileRaftMetaStorage } from '../../src/storage/raft-meta.js'
import { LocalSnapshotStorage } from '../../src/storage/snapshot.js'
import { DATA_DIRECTORY } from '../../src/testing/member-storage.js'
import { FILLER_FILE, STATE_FILE } from './register-machine.js'

export const GROUP = DEFAULT_GROUP

/** Where a group keeps its files. */
export function directoryOf(groupId: string): string {
  return groupDirectory(DATA_DIRECTORY, groupId)
}

/** Those of the first group. */
export const PATHS = storagePaths(directoryOf(GROUP))

/** Term and vote as the real storage reads them from that file system. */
export function readMeta(
  directory: string,
  fileSystem: FileSystem,
  executor: Executor,
  done: (status: Status, meta?: RaftMeta) => void,
): void {
  const { raftMeta, integrity } = storagePaths(directory)
  new FileRaftMetaStorage({ fileSystem, executor, checksum, directory: raftMeta, integrityDirectory: integrity }).load(done)
}

export interface WholeSnapshot {
  readonly meta: SnapshotMeta
  /** Null where it has no files: that of a witness. */
  readonly state: Buffer | null
  readonly filler: Buffer | null
}

/** The newest snapshot as the real storage reads it from that file system; a text when it cannot be read, null without one. */
export function readSnapshot(
  directory: string,
  fileSystem: FileSystem,
  executor: Executor,
  done: (found: WholeSnapshot | string | null) => void,
): void {
  const storage = new LocalSnapshotStorage({ fileSystem, executor, checksum, directory: storagePaths(directory).snapshot, seal: null })
  storage.init((status, newest) => {
    if (!status.ok || !newest) return done(status.ok ? null : status.toString())
    storage.open((opened, reader) => {
      if (!opened.ok) return done(opened.toString())
      if (reader!.files().length === 0) return done({ meta: reader!.meta, state: null, filler: null })
      readWholeFile(fileSystem, join(reader!.path, STATE_FILE), (stateRead, state) => {
        if (!stateRead.ok) return done(stateRead.toString())
        readWholeFile(fileSystem, join(reader!.path, FILLER_FILE), (fillerRead, filler) =>
          done(fillerRead.ok ? { meta: reader!.meta, state: state!, filler: filler! } : fillerRead.toString()),
        )
      })
    })
  })
}
