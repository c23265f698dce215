/**
 * The library: braft's parts by braft's names. The engine (Node and what it is made of) reaches the world only through an
 * Environment and its storages; production's are here too, so that a program can host groups of its own.
 */
export {
  type KvBytes,
  KvClient,
  KvClientError,
  type KvClientOptions,
  type KvConsistency,
  type KvExpectation,
  type KvItem,
  type KvListOptions,
  type KvReadOptions,
  OutcomeUnknownError,
  type ReachStage,
  RefusedError,
  UnreachableError,
} from './machines/kv/client.js'
export { type BootstrapOptions, bootstrap } from './raft/bootstrap.js'
export { Closure, ClosureGuard, closure, type Done, SynchronizedClosure } from './raft/closure.js'
export { Configuration, ConfigurationEntry } from './raft/configuration.js'
export type * from './raft/environment.js'
export { ErrorCode, ErrorType, errorName, RaftError, Status } from './raft/errors.js'
export type * from './raft/events.js'
export { INSTALL_TASKS_MAX, InstallTasks } from './raft/install-tasks.js'
export type { LeaderLeaseStatus, LeaseState } from './raft/lease.js'
export { EntryBatch, EntryType } from './raft/log-entry.js'
export type { ChangeOptions } from './raft/membership.js'
export type * from './raft/messages.js'
export { Node, type NodeOptions } from './raft/node.js'
export type * from './raft/node-status.js'
export { PeerId, PeerRole } from './raft/peer-id.js'
export { type Iterator, type LeaderChange, StateMachine, type Task } from './raft/raft.js'
export { ReplicatorGroup } from './raft/replicator-group.js'
export { SnapshotExecutor } from './raft/snapshot-executor.js'
export { SnapshotThrottle } from './raft/snapshot-throttle.js'
export type * from './raft/storage.js'
export type { LogId, LogIndex, Term } from './raft/types.js'
export type { UserLog } from './raft/user-log.js'
export { type StageLatency, WRITE_LATENCY_BOUNDS_MS, type WriteLatencyStatus, type WriteStage } from './raft/write-latency.js'
export { addBraftServices, addControlService, addPages, addPeerService, type PagesOptions } from './rpc/builtin.js'
export type { AdministeredNode, CliServiceOptions } from './rpc/cli-service.js'
export type { CommandText, ControlHost } from './rpc/control-host.js'
export { EventLog } from './rpc/event-log.js'
export { Faults } from './rpc/faults.js'
export { ProcessIdentity } from './rpc/identity.js'
export { NodeManager } from './rpc/node-manager.js'
export { PeerService } from './rpc/peer-service.js'
export type { RaftServiceOptions } from './rpc/raft-service.js'
export { RouteTable } from './rpc/route-table.js'
export { type ListenAddress, ListenError, RpcServer } from './rpc/server.js'
export { PeerTransport } from './rpc/transport.js'
export { productionEnvironment } from './server/environment.js'
export { EventLoopExecutor } from './server/executor.js'
export { GroupMember, type NodeAnswer } from './server/group-member.js'
export { type GroupMemberOptions, RaftServer, type RaftServerOptions } from './server/raft-server.js'
export { checksum } from './storage/checksum.js'
export type { StorageContext } from './storage/local-storages.js'
export { DirectoryLock, DirectoryLockedError } from './storage/lock.js'
export { SegmentLogStorage } from './storage/log.js'
export { SYNC_IMMEDIATELY, type SyncPolicy } from './storage/log-sync.js'
export { MemoryLogStorage } from './storage/memory-log.js'
export { closeMetaDatabases } from './storage/meta-database.js'
export { NodeFileSystem } from './storage/node-file-system.js'
export { NodeIdentityStorage } from './storage/node-identity.js'
export { openStorage } from './storage/open-storage.js'
export { FileRaftMetaStorage } from './storage/raft-meta.js'
export { LocalSnapshotStorage } from './storage/snapshot.js'
export {
  type GCOptions,
  gcRaftData,
  logStorages,
  raftMetaStorages,
  snapshotStorages,
} from './storage/storage-by-uri.js'
export { parseStorageUri, type StorageKind, StorageRegistry, type StorageUri } from './storage/uri.js'
