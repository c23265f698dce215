import type { raftctl } from '../generated/raftctl.js'
import type { NodeStatus } from '../raft/node-status.js'
import type { PeerId } from '../raft/peer-id.js'
import { WRITE_STAGES } from '../raft/write-latency.js'
import type { ProcessIdentity } from './identity.js'
import type { PeerKind } from './peer-kinds.js'

/** What a process knows of a group beyond what the engine says. */
export interface GroupFacts {
  readonly dataDir: string
  readonly logBytes: number
  readonly dataBytes: number
  /** Slowest of a hundred recent durable writes; null before the first. */
  readonly syncP99Ms: number | null
  /** kv, counter or atomic. */
  readonly machine: string
  /** Of the key-value machine; null for others. */
  readonly machineRevision: number | null
  readonly alarms: readonly string[]
  /** A snapshot is taken every so often; 0: only on demand. */
  readonly snapshotIntervalMs: number
  /** Braft nodes may be members. */
  readonly mixed: boolean
}

/** Labels of members; '' for one without a name. */
export type NameOf = (peer: PeerId) => string

type MembershipView = Pick<NodeStatus, 'configuration' | 'configurationCommitted' | 'membership'>

/** raftctl.v1.Membership: the members in force, both halves while joint, and how far a change is. */
export function membershipOf(
  { configuration: entry, configurationCommitted: committed, membership }: MembershipView,
  nameOf: NameOf,
): raftctl.v1.Membership.$Properties {
  const member = (peer: PeerId, role: string) => ({ peer_id: peer.toString(), name: nameOf(peer), role })
  const voter = (peer: PeerId) => member(peer, peer.isWitness ? 'witness' : 'voter')
  return {
    members: [...entry.conf.peers.map(voter), ...entry.learners.map((peer) => member(peer, 'learner'))],
    old_members: entry.old.peers.map(voter),
    config_index: entry.configIndex,
    entry_index: entry.id.index,
    stage: membership.stage,
    committed,
  }
}

/** PeerId as the wire has it: '' for nobody. */
export function peerText(peer: PeerId): string {
  return peer.isEmpty ? '' : peer.toString()
}

export interface ProcessView {
  readonly identity: ProcessIdentity
  readonly facts: GroupFacts
  readonly generation: number
  readonly nameOf: NameOf
  /** What the peer runs; null while nobody knows. */
  readonly kindOf: (peer: PeerId) => PeerKind | null
  readonly uptimeMs: number
  readonly faultsEnabled: boolean
}

/** raftctl.v1.NodeStatus: what the engine says of itself, and where and how it runs. */
export function nodeStatusOf(status: NodeStatus, view: ProcessView): raftctl.v1.NodeStatus.$Properties {
  const { identity, facts } = view
  return {
    group: status.groupId,
    peer_id: status.peerId.toString(),
    name: identity.name,
    cluster_id: identity.clusterId ?? '',
    incarnation: status.incarnation,
    boot_id: identity.bootId,
    generation: view.generation,
    standing: status.standing,
    state: status.state,
    term: status.term,
    voted_for: peerText(status.votedFor),
    leader_id: peerText(status.leaderId),
    ...whole('leader_contact_ms', status.leaderContactMs),
    ...whole('leader_for_ms', status.leaderForMs),
    ...(status.leaderReadyForMs === null ? {} : { leader_ready_for_ms: status.leaderReadyForMs }),
    first_index: status.firstIndex,
    last_index: status.lastId.index,
    last_term: status.lastId.term,
    durable_index: status.durableIndex,
    commit_index: status.committedIndex,
    applied_index: status.appliedIndex,
    ...(status.snapshotId.index > 0 ? { snapshot: { index: status.snapshotId.index, term: status.snapshotId.term } } : {}),
    membership: membershipOf(status, view.nameOf),
    progress: status.peers.map((peer) => ({
      peer_id: peer.peerId.toString(),
      match_index: peer.matchIndex,
      next_index: peer.nextIndex,
      inflight_requests: peer.inflightRequests,
      inflight_bytes: peer.inflightBytes,
      state: peer.state,
      ...whole('last_contact_ms', peer.lastContactMs),
      consecutive_errors: peer.consecutiveErrors,
      last_error: peer.lastError,
      rebuilding: peer.rebuilding,
      snapshot_bytes_sent: peer.snapshotBytesSent,
      snapshot_bytes_total: peer.snapshotBytesTotal,
      kind: view.kindOf(peer.peerId) ?? '',
    })),
    election_timeout_ms: status.electionTimeoutMs,
    heartbeat_ms: Math.round(status.heartbeatMs),
    log_bytes: facts.logBytes,
    data_bytes: facts.dataBytes,
    data_dir: facts.dataDir,
    ...(facts.syncP99Ms === null ? {} : { sync_p99_ms: facts.syncP99Ms }),
    version: identity.version,
    pid: process.pid,
    uptime_ms: Math.round(view.uptimeMs),
    error: status.error ? status.error.status.toString() : '',
    alarms: [...facts.alarms, ...(status.diskStalledForMs === null ? [] : ['DISKSTALL']), ...(status.readonly ? ['READONLY'] : [])],
    read_only: status.readonly,
    priority: status.priority,
    faults_enabled: view.faultsEnabled,
    machine: facts.machine,
    ...whole('machine_revision', facts.machineRevision),
    mixed: facts.mixed,
    snapshot_state: status.snapshot.state,
    snapshot_bytes_done: status.snapshot.bytesDone,
    snapshot_bytes_total: status.snapshot.bytesTotal,
    snapshot_interval_ms: facts.snapshotIntervalMs,
    write_stages: writeStagesOf(status),
  }
}

function writeStagesOf({ writeLatency }: NodeStatus): raftctl.v1.WriteStage.$Properties[] {
  return WRITE_STAGES.flatMap((stage) => {
    const { p50Ms = null, p99Ms = null } = writeLatency?.[stage] ?? {}
    return p50Ms === null || p99Ms === null ? [] : [{ stage, p50_ms: microseconds(p50Ms), p99_ms: microseconds(p99Ms) }]
  })
}

/** To the microsecond: no clock here says more. */
function microseconds(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

/** An absent number is unknown, not zero. */
function whole<K extends string>(key: K, value: number | null): { [P in K]?: number } {
  return value === null ? {} : ({ [key]: Math.max(0, Math.round(value)) } as { [P in K]: number })
}
