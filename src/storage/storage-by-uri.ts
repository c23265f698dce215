import type { Done } from '../raft/closure.js'
import type { Clock, Executor, Failpoints, FileSystem } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { NO_FAILPOINTS } from '../raft/failpoints.js'
import type { LogStorage, RaftMetaStorage, SnapshotStorage } from '../raft/storage.js'
import { checksum } from './checksum.js'
import { DurableLength } from './durable-length.js'
import { SegmentLogStorage } from './log.js'
import { SYNC_IMMEDIATELY, type SyncPolicy } from './log-sync.js'
import { MemoryLogStorage } from './memory-log.js'
import { join, parentOf } from './paths.js'
import { FileRaftMetaStorage } from './raft-meta.js'
import { SealFile } from './seal-file.js'
import { LocalSnapshotStorage } from './snapshot.js'
import { SnapshotSeal } from './snapshot-seal.js'
import { forEachInOrder, inSequence, type Step } from './steps.js'
import { StorageRegistry } from './uri.js'

/** What storages are made of. */
export interface StorageContext {
  readonly fileSystem: FileSystem
  readonly executor: Executor
  readonly clock: Clock
  /** Of a local log: when appended entries become durable; before they are acknowledged unless said otherwise. */
  readonly sync?: SyncPolicy
  readonly failpoints?: Failpoints
}

/** Logs by type: `local`, `memory`, and what a program registers. */
export const logStorages = new StorageRegistry<LogStorage, StorageContext>('log')
/** Terms and votes by type: `local`, and what a program registers. There is no `memory`: a vote that is forgotten is given twice. */
export const raftMetaStorages = new StorageRegistry<RaftMetaStorage, StorageContext>('raft meta')
/** Snapshots by type: `local`, and what a program registers. */
export const snapshotStorages = new StorageRegistry<SnapshotStorage, StorageContext>('snapshot')

/** The directories of a group as openStorage and braft's examples lay them out share one directory of integrity data. */
const USUAL: ReadonlySet<string> = new Set(['log', 'raft_meta', 'snapshot'])

/** Where our integrity data of a storage lies: beside its directory, since braft deletes in it by name. */
export function integrityDirectoryOf(directory: string): string {
  const name = directory.slice(directory.lastIndexOf('/') + 1)
  return join(parentOf(directory), USUAL.has(name) ? 'raftctl' : `raftctl-${name}`)
}

logStorages.register('local', {
  open: (parameter, { fileSystem, executor, clock, sync = SYNC_IMMEDIATELY, failpoints = NO_FAILPOINTS }) => {
    const directory = directoryIn(parameter)
    if (directory instanceof Status) return directory
    const beside = integrityDirectoryOf(directory)
    const integrity = new DurableLength({ fileSystem, clock, checksum, path: join(beside, 'durable'), failpoints })
    const seals = new SealFile({ fileSystem, checksum, path: join(beside, 'seals'), adopt: false })
    return new SegmentLogStorage({ fileSystem, executor, checksum, directory, integrity, seals, sync, failpoints })
  },
  gc: gcLocal,
})

logStorages.register('memory', {
  open: (_name, { executor }) => new MemoryLogStorage(executor),
  gc: (_name, _context, done) => done(Status.OK),
})

raftMetaStorages.register('local', {
  open: (parameter, { fileSystem, executor, failpoints = NO_FAILPOINTS }) => {
    const directory = directoryIn(parameter)
    if (directory instanceof Status) return directory
    const integrityDirectory = integrityDirectoryOf(directory)
    return new FileRaftMetaStorage({ fileSystem, executor, checksum, directory, integrityDirectory, failpoints })
  },
  gc: gcLocal,
})

snapshotStorages.register('local', {
  open: (parameter, { fileSystem, executor, failpoints = NO_FAILPOINTS }) => {
    const directory = directoryIn(parameter)
    if (directory instanceof Status) return directory
    const seal = new SnapshotSeal({ fileSystem, checksum, path: join(integrityDirectoryOf(directory), 'snapshot.seal') })
    return new LocalSnapshotStorage({ fileSystem, executor, checksum, directory, seal, failpoints })
  },
  gc: gcLocal,
})

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
