/**
 * The library: braft's parts by braft's names. `raft` is the engine; storages and RPC adapters plug into its seams.
 */
export { type Closure, ClosureGuard, closure, type Done } from './raft/closure.js'
export { Configuration, ConfigurationEntry } from './raft/configuration.js'
export type * from './raft/environment.js'
export { ErrorCode, ErrorType, errorName, RaftError, Status } from './raft/errors.js'
export type * from './raft/events.js'
export { EntryBatch, EntryType } from './raft/log-entry.js'
export type * from './raft/messages.js'
export { Node, type NodeOptions } from './raft/node.js'
export type * from './raft/node-status.js'
export { PeerId, PeerRole } from './raft/peer-id.js'
export { type Iterator, type LeaderChange, StateMachine, type Task } from './raft/raft.js'
export { ReplicatorGroup } from './raft/replicator-group.js'
export type * from './raft/storage.js'
export type { LogId, LogIndex, Term } from './raft/types.js'
