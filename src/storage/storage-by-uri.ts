import type { Done } from '../raft/closure.js'
import type { FileSystem } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { NO_FAILPOINTS } from '../raft/failpoints.js'
import type { LogStorage, RaftMetaStorage, SnapshotStorage } from '../raft/storage.js'
import { checksum } from './checksum.js'
import { integrityDirectoryOf, openLocalLog, openLocalRaftMeta, openLocalSnapshot, type StorageContext } from './local-storages.js'
import { MemoryLogStorage } from './memory-log.js'
import { MergedMetaPlace, MixedRaftMetaStorage, parseMixedPath } from './merged-meta.js'
import { metaDatabase } from './meta-database.js'
import { join, parentOf } from './paths.js'
import { FileRaftMetaStorage } from './raft-meta.js'
import { forEachInOrder, inSequence, type Step } from './steps.js'
import { StorageRegistry } from './uri.js'

/** Logs by type: `local`, `memory`, and what a program registers. */
export const logStorages = new StorageRegistry<LogStorage, StorageContext>('log')
/** Terms and votes by type: `local`, `local-merged` and `local-mixed` (LevelDB), and what a program registers. There is no `memory`: a vote that is forgotten is given twice. */
export const raftMetaStorages = new StorageRegistry<RaftMetaStorage, StorageContext>('raft meta')
/** Snapshots by type: `local`, and what a program registers. */
export const snapshotStorages = new StorageRegistry<SnapshotStorage, StorageContext>('snapshot')

logStorages.register('local', { open: inDirectory(openLocalLog), gc: gcLocal })

logStorages.register('memory', {
  open: (_name, { executor }) => new MemoryLogStorage(executor),
  gc: (_name, _context, done) => done(Status.OK),
})

raftMetaStorages.register('local', { open: inDirectory(openLocalRaftMeta), gc: gcLocal })
raftMetaStorages.register('local-merged', { open: openMerged, gc: gcMerged })

raftMetaStorages.register('local-mixed', {
  open: (parameter, context) => {
    const paths = mixedPathsIn(parameter)
    if (paths instanceof Status) return paths
    const single = inDirectory(openLocalRaftMeta)(paths.single, context)
    const merged = openMerged(paths.merged, context)
    if (single instanceof Status) return single
    return merged instanceof Status ? merged : new MixedRaftMetaStorage(single, merged)
  },
  gc: (parameter, context, done) => {
    const paths = mixedPathsIn(parameter)
    if (paths instanceof Status) return done(paths)
    inSequence([(next) => gcLocal(paths.single, context, next), (next) => gcMerged(paths.merged, context, next)], done)
  },
})

function openMerged(parameter: string, context: StorageContext): FileRaftMetaStorage | Status {
  const { fileSystem, executor, adopt = false, failpoints = NO_FAILPOINTS } = context
  const found = mergedPlaceIn(parameter, context)
  if (found instanceof Status) return found
  return new FileRaftMetaStorage({ ...found, fileSystem, executor, checksum, adopt, failpoints })
}

/** What vouches goes first, as in gcLocal. */
function gcMerged(parameter: string, context: StorageContext, done: Done): void {
  const found = mergedPlaceIn(parameter, context)
  if (found instanceof Status) return done(found)
  const { fileSystem } = context
  inSequence(
    [
      (next) => gcDirectory(fileSystem, found.integrityDirectory, next),
      (next) => fileSystem.mkdir(found.directory, next),
      (next) => found.place.remove(next),
    ],
    done,
  )
}

function mergedPlaceIn(parameter: string, { executor, versionedGroupId }: StorageContext) {
  const directory = directoryIn(parameter)
  if (directory instanceof Status) return directory
  if (!versionedGroupId)
    return Status.error(ErrorCode.EINVAL, `"${directory}" is shared by many members: versionedGroupId must say whose term and vote it is`)
  const place = new MergedMetaPlace(metaDatabase(directory), versionedGroupId, executor)
  return {
    directory,
    dataDirectory: parentOf(directory),
    place,
    integrityDirectory: join(integrityDirectoryOf(directory), encodeURIComponent(versionedGroupId)),
  }
}

function mixedPathsIn(parameter: string): { readonly merged: string; readonly single: string } | Status {
  const expected = 'local-mixed://merged_path=DIR&&single_path=DIR'
  return parseMixedPath(parameter) ?? Status.error(ErrorCode.EINVAL, `"${parameter}" does not name two directories: ${expected}`)
}

snapshotStorages.register('local', { open: inDirectory(openLocalSnapshot), gc: gcLocal })

/** Where the data of one member of one group lies (braft GCOptions). */
export interface GCOptions {
  readonly logUri: string
  readonly raftMetaUri: string
  /** Absent: it took no snapshots. */
  readonly snapshotUri?: string
}

/**
 * Deletes all data of a member that does not run any more, with what raftctl keeps beside it, its identity too (braft gc_raft_data).
 * All parts are tried; `done` has the first error. EINVAL: an address is none, and nothing was deleted.
 */
export function gcRaftData(options: GCOptions, context: StorageContext, done: Done): void {
  const { logUri, raftMetaUri, snapshotUri } = options
  const found = [logStorages.open(logUri, context), raftMetaStorages.open(raftMetaUri, context)]
  if (snapshotUri !== undefined) found.push(snapshotStorages.open(snapshotUri, context) as never)
  const invalid = found.find((each) => each instanceof Status)
  if (invalid) return done(invalid as Status)
  const parts: Step[] = [
    (next) => logStorages.gc(logUri, context, next),
    (next) => raftMetaStorages.gc(raftMetaUri, context, next),
    (next) => (snapshotUri === undefined ? next(Status.OK) : snapshotStorages.gc(snapshotUri, context, next)),
  ]
  let first: Status = Status.OK
  forEachInOrder(
    parts,
    (part, next) =>
      part((status) => {
        if (first.ok) first = status
        next(Status.OK)
      }),
    () => done(first),
  )
}

function inDirectory<Storage>(open: (directory: string, context: StorageContext) => Storage) {
  return (parameter: string, context: StorageContext): Storage | Status => {
    const directory = directoryIn(parameter)
    return directory instanceof Status ? directory : open(directory, context)
  }
}

function directoryIn(parameter: string): string | Status {
  const directory = parameter.replace(/\/+$/, '')
  return directory === '' ? Status.error(ErrorCode.EINVAL, `"local://${parameter}" names no directory`) : directory
}

/**
 * What vouches goes first: what is left after a crash then is refused as damaged, never taken for a log, or a vote, that is whole.
 */
function gcLocal(parameter: string, { fileSystem }: StorageContext, done: Done): void {
  const directory = directoryIn(parameter)
  if (directory instanceof Status) return done(directory)
  inSequence(
    [(next) => gcDirectory(fileSystem, integrityDirectoryOf(directory), next), (next) => gcDirectory(fileSystem, directory, next)],
    done,
  )
}

/** By a name of its own first, as braft does, so that what a crash leaves is no directory of a storage. */
function gcDirectory(fileSystem: FileSystem, directory: string, done: Done): void {
  const doomed = `${directory}.tmp`
  fileSystem.remove(doomed, (cleared) => {
    if (!cleared.ok) return done(cleared)
    fileSystem.rename(directory, doomed, (renamed) => {
      if (renamed.code === ErrorCode.ENOENT) return done(Status.OK)
      if (!renamed.ok) return done(renamed)
      inSequence([(next) => fileSystem.syncDir(parentOf(directory), next), (next) => fileSystem.remove(doomed, next)], done)
    })
  })
}
