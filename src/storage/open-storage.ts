import type { Clock, Executor, Failpoints, FileSystem, Random } from '../raft/environment.js'
import { NO_FAILPOINTS } from '../raft/failpoints.js'
import type { PeerId } from '../raft/peer-id.js'
import { checksum } from './checksum.js'
import { DurableLength } from './durable-length.js'
import { SegmentLogStorage } from './log.js'
import { SYNC_IMMEDIATELY, type SyncPolicy } from './log-sync.js'
import { NodeIdentityStorage } from './node-identity.js'
import { join } from './paths.js'
import { FileRaftMetaStorage } from './raft-meta.js'
import { SealFile } from './seal-file.js'
import { LocalSnapshotStorage } from './snapshot.js'
import { SnapshotSeal } from './snapshot-seal.js'

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

export interface OpenStorageOptions {
  readonly fileSystem: FileSystem
  readonly executor: Executor
  readonly clock: Clock
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
  /** Takes over what braft wrote. */
  readonly adopt?: boolean
  readonly maxSegmentBytes?: number
  /** When appended entries become durable; before they are acknowledged unless said otherwise. */
  readonly sync?: SyncPolicy
  readonly failpoints?: Failpoints
}

export interface NodeStorage {
  readonly logStorage: SegmentLogStorage
  readonly metaStorage: FileRaftMetaStorage
  readonly snapshotStorage: LocalSnapshotStorage
  readonly identityStorage: NodeIdentityStorage
}

/** The storages of one group in one data directory. Nothing is read or written before each is loaded by the node. */
export function openStorage(options: OpenStorageOptions): NodeStorage {
  const { fileSystem, executor, clock, random, directory, peerId, clusterId, name, adopt, failpoints = NO_FAILPOINTS } = options
  const paths = storagePaths(directory)
  const integrity = new DurableLength({ fileSystem, clock, checksum, path: join(paths.integrity, 'durable'), failpoints })
  const seals = new SealFile({ fileSystem, checksum, path: join(paths.integrity, 'seals'), adopt: adopt ?? false })
  const log = {
    fileSystem,
    executor,
    checksum,
    directory: paths.log,
    integrity,
    seals,
    adopt: adopt ?? false,
    sync: options.sync ?? SYNC_IMMEDIATELY,
    failpoints,
  }
  return {
    logStorage: new SegmentLogStorage(options.maxSegmentBytes === undefined ? log : { ...log, maxSegmentBytes: options.maxSegmentBytes }),
    metaStorage: new FileRaftMetaStorage({
      fileSystem,
      executor,
      checksum,
      directory: paths.raftMeta,
      integrityDirectory: paths.integrity,
      adopt: adopt ?? false,
      failpoints,
    }),
    snapshotStorage: new LocalSnapshotStorage({
      fileSystem,
      executor,
      checksum,
      directory: paths.snapshot,
      seal: new SnapshotSeal({ fileSystem, checksum, path: join(paths.integrity, 'snapshot.seal') }),
      adopt: adopt ?? false,
      failpoints,
    }),
    identityStorage: new NodeIdentityStorage({
      fileSystem,
      executor,
      random,
      checksum,
      directory,
      clusterId,
      peerId,
      name,
      group: options.group ?? DEFAULT_GROUP,
      machine: options.machine ?? 'kv',
      moved: options.moved ?? false,
      adopt: adopt ?? false,
      failpoints,
    }),
  }
}
