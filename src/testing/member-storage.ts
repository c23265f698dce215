import type { Environment, FileSystem } from '../raft/environment.js'
import { Status } from '../raft/errors.js'
import type { PeerId } from '../raft/peer-id.js'
import type { IdentityStorage, LogStorage, RaftMetaStorage, SnapshotStorage } from '../raft/storage.js'
import type { StorageContext } from '../storage/local-storages.js'
import type { SyncPolicy } from '../storage/log-sync.js'
import { DEFAULT_GROUP, groupDirectory, openStorage, storagePaths } from '../storage/open-storage.js'
import type { Step } from '../storage/steps.js'
import { logStorages, raftMetaStorages, snapshotStorages } from '../storage/storage-by-uri.js'
import { findOrCreateGroup } from './created-group.js'

/** Where every machine keeps the files of its groups, on its own disk. */
export const DATA_DIRECTORY = '/data'

export interface MemberStorageOptions {
  readonly fileSystem: FileSystem
  readonly groupId: string
  readonly peerId: PeerId
  readonly founders: readonly PeerId[]
  readonly moved: boolean
  readonly maxSegmentBytes: number
  readonly sync: SyncPolicy
}

export interface MemberStorage {
  readonly logStorage: LogStorage
  readonly metaStorage: RaftMetaStorage
  readonly snapshotStorage: SnapshotStorage
  readonly identityStorage: IdentityStorage
}

/**
 * What a simulated member keeps. The first group of a machine is opened as the one that a process is started with; a further one as
 * one that was made while the process ran, and by the addresses of its storages, as a program with many groups does it.
 */
export function openMemberStorage(options: MemberStorageOptions, environment: Environment): MemberStorage {
  const { fileSystem, groupId, peerId, founders, moved, maxSegmentBytes, sync } = options
  const { clock, executor, failpoints } = environment
  const context: StorageContext = { fileSystem, executor, clock, maxSegmentBytes, sync, failpoints }
  const directory = groupDirectory(DATA_DIRECTORY, groupId)
  const random = environment.random.fork('storage')
  const own = openStorage({ ...context, random, directory, peerId, clusterId: null, name: null, group: groupId, moved })
  if (groupId === DEFAULT_GROUP) return own
  const paths = storagePaths(directory)
  const record = { group: groupId, machine: 'kv', uid: '0'.repeat(32), founders: founders.map((peer) => peer.key) }
  return {
    logStorage: withGroup(opened(logStorages.open(`local://${paths.log}`, context)), (done) =>
      findOrCreateGroup(fileSystem, DATA_DIRECTORY, record, done),
    ),
    metaStorage: opened(raftMetaStorages.open(`local://${paths.raftMeta}`, context)),
    snapshotStorage: opened(snapshotStorages.open(`local://${paths.snapshot}`, context)),
    identityStorage: own.identityStorage,
  }
}

/** A node begins with its log: nothing of its files is read or written before its group is there. */
function withGroup(log: LogStorage, ready: Step): LogStorage {
  const init = log.init.bind(log)
  log.init = (done) => ready((status) => (status.ok ? init(done) : done(status)))
  return log
}

function opened<Storage>(storage: Storage | Status): Storage {
  if (storage instanceof Status) throw new Error(storage.message)
  return storage
}
