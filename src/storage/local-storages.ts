import type { Clock, Executor, Failpoints, FileSystem } from '../raft/environment.js'
import { NO_FAILPOINTS } from '../raft/failpoints.js'
import { checksum } from './checksum.js'
import { DurableLength } from './durable-length.js'
import { SegmentLogStorage } from './log.js'
import { SYNC_IMMEDIATELY, type SyncPolicy } from './log-sync.js'
import { join, parentOf } from './paths.js'
import { FileRaftMetaStorage } from './raft-meta.js'
import { SealFile } from './seal-file.js'
import { LocalSnapshotStorage } from './snapshot.js'
import { SnapshotSeal } from './snapshot-seal.js'

/** What storages are made of. */
export interface StorageContext {
  readonly fileSystem: FileSystem
  readonly executor: Executor
  readonly clock: Clock
  /** Of a local log: when appended entries become durable; before they are acknowledged unless said otherwise. */
  readonly sync?: SyncPolicy
  /** Of a local log: a new segment begins above this size, in bytes; braft's 8 MiB unless said otherwise. */
  readonly maxSegmentBytes?: number
  /** Takes over what braft wrote there last. */
  readonly adopt?: boolean
  /** Whose term and vote it is, where many share a storage of them: braft's VersionedGroupId, `GROUP_INDEX`. */
  readonly versionedGroupId?: string
  readonly failpoints?: Failpoints
}

/** The directories of a group as openStorage and braft's examples lay them out share one directory of integrity data. */
const USUAL: ReadonlySet<string> = new Set(['log', 'raft_meta', 'snapshot'])

/** Where our integrity data of a storage lies: beside its directory, since braft deletes in it by name. */
export function integrityDirectoryOf(directory: string): string {
  const name = directory.slice(directory.lastIndexOf('/') + 1)
  return join(parentOf(directory), USUAL.has(name) ? 'raftctl' : `raftctl-${name}`)
}

/** The log in the segments of that directory. */
export function openLocalLog(directory: string, context: StorageContext): SegmentLogStorage {
  const { fileSystem, executor, clock, sync = SYNC_IMMEDIATELY, maxSegmentBytes, adopt = false, failpoints = NO_FAILPOINTS } = context
  const beside = integrityDirectoryOf(directory)
  const integrity = new DurableLength({ fileSystem, clock, checksum, path: join(beside, 'durable'), failpoints })
  const seals = new SealFile({ fileSystem, checksum, path: join(beside, 'seals'), adopt })
  const size = maxSegmentBytes === undefined ? {} : { maxSegmentBytes }
  return new SegmentLogStorage({ fileSystem, executor, checksum, directory, integrity, seals, sync, adopt, failpoints, ...size })
}

/** The term and vote in that directory. */
export function openLocalRaftMeta(directory: string, context: StorageContext): FileRaftMetaStorage {
  const { fileSystem, executor, adopt = false, failpoints = NO_FAILPOINTS } = context
  const integrityDirectory = integrityDirectoryOf(directory)
  return new FileRaftMetaStorage({ fileSystem, executor, checksum, directory, integrityDirectory, adopt, failpoints })
}

/** The snapshots in that directory. */
export function openLocalSnapshot(directory: string, context: StorageContext): LocalSnapshotStorage {
  const { fileSystem, executor, adopt = false, failpoints = NO_FAILPOINTS } = context
  const seal = new SnapshotSeal({ fileSystem, checksum, path: join(integrityDirectoryOf(directory), 'snapshot.seal') })
  return new LocalSnapshotStorage({ fileSystem, executor, checksum, directory, seal, adopt, failpoints })
}
