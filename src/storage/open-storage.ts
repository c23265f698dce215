import type { Random } from '../raft/environment.js'
import { NO_FAILPOINTS } from '../raft/failpoints.js'
import type { PeerId } from '../raft/peer-id.js'
import { checksum } from './checksum.js'
import { openLocalLog, openLocalRaftMeta, openLocalSnapshot, type StorageContext } from './local-storages.js'
import type { SegmentLogStorage } from './log.js'
import { NodeIdentityStorage } from './node-identity.js'
import { join } from './paths.js'
import type { FileRaftMetaStorage } from './raft-meta.js'
import type { LocalSnapshotStorage } from './snapshot.js'

/** What a group is called when nobody says so. */
export const DEFAULT_GROUP = 'kv'

/**
 * Where a group keeps its files beside others: `kv` at `<data>`, others at `<data>/groups/<percent-encoded name>`. A group that is
 * alone may lie at `<data>` whatever it is called, as in braft's examples.
 */
export function groupDirectory(dataDirectory: string, groupId: string): string {
  return groupId === DEFAULT_GROUP ? dataDirectory : join(dataDirectory, 'groups', encodeURIComponent(groupId).replace(/\./g, '%2E'))
}

/** The parts of a group's data directory. */
export function storagePaths(directory: string): { log: string; raftMeta: string; snapshot: string; integrity: string } {
  return {
    log: join(directory, 'log'),
    raftMeta: join(directory, 'raft_meta'),
    snapshot: join(directory, 'snapshot'),
    integrity: join(directory, 'raftctl'),
  }
}

export interface OpenStorageOptions extends StorageContext {
  readonly random: Random
  /** The group's directory. */
  readonly directory: string
  readonly peerId: PeerId
  readonly clusterId: string | null
  readonly name: string | null
  readonly group?: string
  /** What the group runs; the key-value store when left out. */
  readonly machine?: string
  /** Takes over what was written at another address. */
  readonly moved?: boolean
}

export interface NodeStorage {
  readonly logStorage: SegmentLogStorage
  readonly metaStorage: FileRaftMetaStorage
  readonly snapshotStorage: LocalSnapshotStorage
  readonly identityStorage: NodeIdentityStorage
}

/** The storages of one group in one data directory. Nothing is read or written before each is loaded by the node. */
export function openStorage(options: OpenStorageOptions): NodeStorage {
  const { fileSystem, executor, random, directory, peerId, clusterId, name, adopt = false, failpoints = NO_FAILPOINTS } = options
  const { group = DEFAULT_GROUP, machine = 'kv', moved = false } = options
  const paths = storagePaths(directory)
  return {
    logStorage: openLocalLog(paths.log, options),
    metaStorage: openLocalRaftMeta(paths.raftMeta, options),
    snapshotStorage: openLocalSnapshot(paths.snapshot, options),
    identityStorage: new NodeIdentityStorage({
      fileSystem,
      executor,
      random,
      checksum,
      directory,
      clusterId,
      peerId,
      name,
      group,
      machine,
      moved,
      adopt,
      failpoints,
    }),
  }
}
