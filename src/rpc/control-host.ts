import type { raftctl } from '../generated/raftctl.js'
import type { Configuration } from '../raft/configuration.js'
import type { Executor } from '../raft/environment.js'
import type { Status } from '../raft/errors.js'
import type { EntryBatch } from '../raft/log-entry.js'
import type { PeerId } from '../raft/peer-id.js'
import type { SnapshotMeta, SnapshotReader } from '../raft/storage.js'
import type { LogIndex } from '../raft/types.js'
import type { Recovery } from './control-recovery.js'
import type { GroupFacts } from './control-status.js'
import type { EventLog } from './event-log.js'
import type { Faults } from './faults.js'
import type { ProcessIdentity } from './identity.js'
import type { ManagedNode, NodeManager } from './node-manager.js'
import type { PeerKind } from './peer-kinds.js'

/** A command of a state machine in words. */
export interface CommandText {
  /** put, delete, … */
  readonly operation: string
  readonly summary: string
  /** Wall clock of the leader that proposed it; null where the command carries none. */
  readonly timeMs: number | null
}

/** What the control service needs of a node; the engine's Node is one. */
export interface ControlledNode extends ManagedNode {
  resetPeers(conf: Configuration): Status
  readLog(from: LogIndex, last: LogIndex, maxBytes: number, done: (status: Status, batch?: EntryBatch) => void): void
  readIndex(timeoutMs: number, done: (status: Status) => void): void
  whenApplied(index: LogIndex, done: (status: Status) => void): void
  snapshot(done: (status: Status, meta?: SnapshotMeta) => void): void
  openSnapshot(done: (status: Status, reader?: SnapshotReader) => void): void
  changePeers(
    conf: Configuration,
    options: { readonly expectConfigIndex?: LogIndex; readonly learners?: readonly PeerId[]; readonly catchupTimeoutMs?: number },
    done: (status: Status) => void,
  ): void
}

/** A group that was created at run time, as this process knows it. */
export interface HostedGroup {
  readonly group: string
  /** '' where its record is missing or damaged, as are the next two. */
  readonly machine: string
  readonly uid: string
  readonly founders: readonly string[]
  /** Why it does not run here; null while it does. */
  readonly problem: string | null
}

/** What the control service needs of the process. */
export interface ControlHost {
  readonly identity: ProcessIdentity
  readonly nodes: NodeManager<ControlledNode>
  readonly executor: Executor
  readonly events: EventLog
  readonly faults: Faults
  readonly uptimeMs: () => number
  /** Since this member, as leader, last acknowledged a write of the group; null when it never did. */
  sinceLastAckMs(groupId: string): number | null
  /** What the group's machine says about one of its commands; null when it is none. */
  describeCommand(groupId: string, data: Buffer): CommandText | null
  /** Files that hold the group's log. */
  logSegments(groupId: string): Promise<number>
  facts(groupId: string): Promise<GroupFacts>
  /** PeerIds that the group's directory had at other addresses, as long as the group does not know it by this one. */
  movedFrom(groupId: string): readonly string[]
  nameOf(peer: PeerId): string
  /** What runs at the address of a peer; null while nothing was heard of it. */
  kindOf(peer: PeerId): PeerKind | null
  /** A member is called so from now on; '' changes nothing. */
  learnName(peer: PeerId, name: string): void
  /** The groups that were created at run time, those that do not run too. */
  createdGroups(): readonly HostedGroup[]
  /** Hosts a group from now on, durably. EEXIST: another one is called so. EINVAL: this version offers no such group. EPERM: not in a mixed process. EAGAIN: not yet. */
  createGroup(record: Omit<HostedGroup, 'problem'>): Promise<{ readonly status: Status; readonly created: boolean }>
  /** Stops a group and deletes its files. EEXIST: another one is called so by now. EINVAL: it was not created at run time. */
  removeGroup(groupId: string, uid: string): Promise<{ readonly status: Status; readonly removed: boolean }>
  /** How often the members of a group were set by hand, and once more; 0 while it is not known. */
  generationOf(groupId: string): number
  /** Makes durable that the members of a group were set by hand, with a new generation, which it answers. */
  recordRecovery(groupId: string, recovery: Recovery): Promise<number>
  /** Starts a graceful stop; the answer to the caller goes out first. */
  shutdown(graceMs: number): void
  /** Answers the level in force; null when `level` is none. */
  setLogLevel(level: string, ttlMs: number): string | null
  effectiveConfig(): { values: Record<string, string>; origins: Record<string, string> }
  checkDisk(samples: number): Promise<{ p50Ms: number; p99Ms: number; freeBytes: number; totalBytes: number }>
  checkPeers(samples: number): Promise<raftctl.v1.CheckPeersResponse.Peer.$Properties[]>
  /** Proposes a mark: each member remembers its state there. EINVAL: the machine of the group knows no marks. On the executor. */
  mark(groupId: string, done: (status: Status, index?: LogIndex) => void): void
  /** The hash of the state at a mark that was applied here. ENOENT: there is no such mark any more. On the executor. */
  hashAt(groupId: string, index: LogIndex, done: (status: Status, hash?: StateHashFacts) => void): void
  /** Flips one byte in the state of a group's machine; false when that state holds no value yet. Null: no such machine. */
  flipByte(groupId: string): boolean | null
}

/** What the state of a machine was at a mark. */
export interface StateHashFacts {
  /** In hex. */
  readonly sha256: string
  readonly keys: number
}
