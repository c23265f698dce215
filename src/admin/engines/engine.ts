import type { LogRow } from '../entry-summary.js'
import type { MembershipReport, NodeReport } from '../node-report.js'
import type { PlanGate } from '../plan.js'
import type { SnapshotEngine } from './snapshots.js'

export interface NodeCall {
  /** `host:port` of the node. */
  readonly endpoint: string
  readonly group: string
}

/** A leader that a node vouches for. */
export interface LeaderReport {
  readonly leaderId: string | null
  readonly term: number
  /** A round of heartbeats said that it still leads. */
  readonly confirmed: boolean
  readonly leaderForMs: number | null
}

export interface TransferCall extends NodeCall {
  /** PeerId of the member that leads next. */
  readonly target: string
  readonly timeoutMs: number
}

/** Times are on the clock of this process (`performance.now`). */
export interface TransferAnswer {
  readonly newLeader: string
  readonly newTerm: number
  /** When the old leader began to hand over; null when nobody can say. */
  readonly startedAtMs: number | null
  /** When it last acknowledged a write; null when it never did while it led. */
  readonly lastAcknowledgedAtMs: number | null
}

/** A member by its label and its identity. */
export interface NamedPeer {
  readonly id: string
  readonly peerId: string
}

/** A member to be. */
export interface AddedMember extends NamedPeer {
  /** PeerId of the member that it is, at another address now. */
  readonly movedFrom?: string
}

/** Beside the voters that are added and the members that are removed: what becomes of learners. */
export interface LearnerChange {
  /** Added as learners. */
  readonly learners?: readonly AddedMember[]
  readonly promote?: readonly NamedPeer[]
  readonly demote?: readonly NamedPeer[]
}

export interface ChangeMembersCall extends NodeCall, LearnerChange {
  readonly add: readonly AddedMember[]
  readonly remove: readonly NamedPeer[]
  /** The change is refused (E_PLAN_STALE) unless the members were last changed by this entry; null: whatever they are. */
  readonly expectConfigIndex: number | null
  /** The same for nodes that keep no such index: the voters it was planned upon; null: whoever they are. */
  readonly expectVoters: readonly string[] | null
  /** Only the gates. */
  readonly dryRun: boolean
  readonly force: boolean
  readonly catchupTimeoutMs: number
  readonly reason: string | null
  readonly signal?: AbortSignal
}

/** The members of a node set by hand, past every quorum. */
export interface ResetMembersCall extends NodeCall {
  /** PeerId of the node. */
  readonly node: string
  /** Who is left, the node among them. */
  readonly members: readonly NamedPeer[]
  /** What the node said of itself when it was planned; null where it knows no such thing. */
  readonly expectGeneration: number | null
  readonly expectConfigIndex: number | null
}

/** How far a change of members is. */
export interface ChangeProgress {
  /** gates, catching_up, joint, stable, done */
  readonly stage: string
  /** Who catches up; null in the other stages. */
  readonly peerId: string | null
  readonly matchIndex: number
  readonly lastIndex: number
  /** How the leader sees it: probe, replicate, snapshot, blocked. */
  readonly state: string
  readonly snapshotBytesSent: number
  readonly snapshotBytesTotal: number
  /** Why it does not move on; null while it does. */
  readonly stalled: string | null
  readonly rebuilding: boolean
  /** In force once it is done; what the gates were decided upon before. */
  readonly membership: MembershipReport | null
  readonly gates: readonly PlanGate[]
}

/** How long a durable write takes on the disk of a node. */
export interface DiskFigures {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly freeBytes: number
  readonly totalBytes: number
}

/** Which entries of a node's log. */
export interface LogCall extends NodeCall {
  readonly from: number
  /** Null: to the end, which with `follow` never comes. */
  readonly to: number | null
  readonly follow: boolean
  /** Nothing that may still be replaced. */
  readonly committedOnly: boolean
  readonly withData: boolean
}

/** An entry as a node sent it. */
export interface SentEntry extends LogRow {
  /** What the node knew to be committed then. */
  readonly commitIndex: number
  /** Empty unless asked for. */
  readonly data: Buffer
}

/** A node's log in numbers. */
export interface LogCount {
  readonly firstIndex: number
  readonly lastIndex: number
  readonly entries: number
  /** Headers included. */
  readonly bytes: number | null
  readonly segments: number | null
  /** Null: the node does not say. */
  readonly entriesByType: Readonly<Record<string, number>> | null
  readonly bytesByType: Readonly<Record<string, number>> | null
  readonly snapshotIndex: number
  /** At most ten, the largest first. */
  readonly largest: readonly LogRow[] | null
}

/**
 * One kind of cluster as the commands see it. What a kind cannot do throws E_UNSUPPORTED.
 * Every call goes to exactly one node and throws a CliError of the registry; reads are answered without a leader too.
 */
export interface ClusterEngine extends Disposable {
  readonly snapshots: SnapshotEngine
  /** For a group whose majority is gone for good: has one of those that are left believe that they are all. */
  resetMembers(call: ResetMembersCall): Promise<void>
  nodeStatus(call: NodeCall): Promise<NodeReport>
  /** Entries in order; when the end of a followed log is replaced, those come again in their new term. */
  readLog(call: LogCall, signal: AbortSignal): AsyncGenerator<SentEntry>
  countLog(call: NodeCall): Promise<LogCount>
  /** Asks the node that leads to confirm it by a round of heartbeats. */
  confirmLeader(call: NodeCall): Promise<LeaderReport>
  /** Asks the leader to hand over; answers once the new one is known to it. Without an answer it is E_OUTCOME_UNKNOWN. */
  transferLeader(call: TransferCall): Promise<TransferAnswer>
  /** The settings a node runs with, by flag; empty where it does not say. */
  settings(call: NodeCall): Promise<Readonly<Record<string, string>>>
  /** Has the node make so many durable writes of 4 KiB beside its data, one after another. */
  checkDisk(call: NodeCall & { readonly samples: number }): Promise<DiskFigures>
  /** How long the members take to answer the node, in milliseconds by PeerId; those that do not are left out. */
  roundTrips(call: NodeCall, timeoutMs: number): Promise<ReadonlyMap<string, number>>
  /** Asks the leader to change the members and follows it; the last thing it says is the answer. */
  changeMembers(call: ChangeMembersCall, listener: (progress: ChangeProgress) => void): Promise<ChangeProgress>
}
