import type { Configuration, ConfigurationEntry } from './configuration.js'
import type { RaftError } from './errors.js'
import type { RaftState } from './events.js'
import type { LeaderLeaseStatus } from './lease.js'
import type { Standing } from './messages.js'
import type { PeerId } from './peer-id.js'
import type { SnapshotProgress } from './snapshot-executor.js'
import type { LogId, LogIndex, Term } from './types.js'
import type { WriteLatencyStatus } from './write-latency.js'

/** How a leader sees one of its peers. */
export interface PeerStatus {
  readonly peerId: PeerId
  /** Newest index the peer is known to hold durably; for one that is being rebuilt, what it holds and is not counted for. */
  readonly matchIndex: LogIndex
  readonly nextIndex: LogIndex
  readonly inflightRequests: number
  readonly inflightBytes: number
  readonly state: 'probe' | 'replicate' | 'snapshot' | 'blocked'
  /** Since the send time of the newest request it answered; null when it never did. */
  readonly lastContactMs: number | null
  readonly consecutiveErrors: number
  readonly lastError: string
  /** It lost its past: it counts for nothing until it holds again what it may have acknowledged. */
  readonly rebuilding: boolean
  /** Its disk runs short: it takes no entries, and is not asked to lead. */
  readonly isShort: boolean
  /** It is in read-only mode: from here on it is sent nothing but configurations. 0: it is not. */
  readonly readonlyIndex: LogIndex
  /** To be leader (precedence.ts). */
  readonly priority: number
  /** It votes and acknowledges entries, and holds no data. */
  readonly witness: boolean
  /** Of the snapshot that it is sent; both 0 when it is sent none, the total also where it is unknown. */
  readonly snapshotBytesSent: number
  /** Of the snapshot that it is sent; 0 when it is sent none, or where the size is unknown. */
  readonly snapshotBytesTotal: number
}

/** One timer as raft_stat prints it. */
export interface TimerStatus {
  readonly timeoutMs: number
  /** Until it fires; null when it is stopped. */
  readonly firesInMs: number | null
}

/** How far a change of members is (braft's stages of ConfigurationCtx). */
export type MembershipStage = 'none' | 'catching_up' | 'joint' | 'stable'

/**
 * catching_up: added members receive the log and count for nothing yet. joint: a quorum of the old and one of the new members
 * decide. stable: the new configuration waits to be committed. On others than the leader only 'none' and 'joint' are known.
 */
export interface MembershipStatus {
  readonly stage: MembershipStage
  /** The voters once the change is done; null without one. */
  readonly target: Configuration | null
}

/** Where a node stands: what changes all the time, and is cheap to ask for. */
export interface NodeProgress {
  readonly state: RaftState
  readonly term: Term
  readonly lastId: LogId
  /** Newest index that is durable here. */
  readonly durableIndex: LogIndex
  readonly committedIndex: LogIndex
  readonly appliedIndex: LogIndex
}

/** A node as it sees itself at one moment (braft NodeStatus, and what raft_stat prints). */
export interface NodeStatus extends NodeProgress {
  readonly groupId: string
  readonly peerId: PeerId
  /** It is in read-only mode, or, as leader, takes no tasks because too many others are. */
  readonly readonly: boolean
  /** To be leader: the highest that is well leads; 0 never campaigns by itself. */
  readonly priority: number
  /** It votes and acknowledges entries, and holds no data: it serves no reads, and takes no tasks. */
  readonly witness: boolean
  readonly votedFor: PeerId
  /** PeerId.EMPTY when unknown. */
  readonly leaderId: PeerId
  /** Since the leader was last heard; null on the leader and without one. */
  readonly leaderContactMs: number | null
  /** Since this leader is followed, or this node leads; null without a leader. */
  readonly leaderForMs: number | null
  /** Since the first entry of this leadership was committed and applied; null on others and before. */
  readonly leaderReadyForMs: number | null
  readonly lease: LeaderLeaseStatus
  /** In force, committed or not. */
  readonly configuration: ConfigurationEntry
  readonly configurationCommitted: boolean
  readonly membership: MembershipStatus
  readonly firstIndex: LogIndex
  /** First index without a decision; 0 when not leading. */
  readonly pendingIndex: LogIndex
  readonly pendingTasks: number
  /** Where the time of writes goes; null when this node never took one as leader. */
  readonly writeLatency: WriteLatencyStatus | null
  /** The newest snapshot; index 0 without one. */
  readonly snapshotId: LogId
  readonly snapshot: SnapshotProgress
  /** What the state machine is busy with, in raft_stat's words. */
  readonly machineActivity: string
  readonly electionTimer: TimerStatus
  readonly voteTimer: TimerStatus
  readonly stepdownTimer: TimerStatus
  readonly snapshotTimer: TimerStatus
  readonly electionTimeoutMs: number
  readonly heartbeatMs: number
  readonly standing: Standing
  readonly incarnation: string
  /** Since when its disk has not finished a write that should be long done; null while it works. */
  readonly diskStalledForMs: number | null
  readonly error: RaftError | null
  /** On the leader only. */
  readonly peers: readonly PeerStatus[]
}
