import type { raftctl } from '../../generated/raftctl.js'
import { fromInt64 } from '../../raft/types.js'
import type { Connection } from '../../terminal/connection.js'
import { CliError } from '../../terminal/errors.js'
import type { LogRow } from '../entry-summary.js'
import { isEmptyPeer, type NodeReport, type ProgressReport } from '../node-report.js'
import { changeMembers } from './change-members.js'
import { type CallOptions, ControlCalls, type ControlClient } from './control-calls.js'
import type {
  ChangeMembersCall,
  ChangeProgress,
  ClusterEngine,
  DiskFigures,
  LeaderReport,
  LogCall,
  LogCount,
  NodeCall,
  ResetMembersCall,
  SentEntry,
  TransferAnswer,
  TransferCall,
} from './engine.js'
import { membershipReport } from './membership-report.js'
import { ControlSnapshots, type SnapshotEngine } from './snapshots.js'

type Int64 = Parameters<typeof fromInt64>[0]

/** Before a node sets its members by hand it asks every voter, and makes it durable. */
const RESET_TIMEOUT_MS = 15_000
/** A disk of which a hundred writes take longer is told as one that does not answer. */
const DISK_TIMEOUT_MS = 30_000

/** Clusters of raftctl nodes, asked over raftctl.v1.Control. Owns its channels. */
export class RaftctlEngine implements ClusterEngine {
  readonly snapshots: SnapshotEngine
  private readonly calls: ControlCalls

  constructor(connection: Connection) {
    this.calls = new ControlCalls(connection)
    this.snapshots = new ControlSnapshots(this.calls)
  }

  [Symbol.dispose](): void {
    this.calls[Symbol.dispose]()
  }

  async nodeStatus({ endpoint, group }: NodeCall): Promise<NodeReport> {
    const response = await this.calls.read(endpoint, (client, options) => client.call('GetNodeStatus', { group }, options))
    return nodeReport(endpoint, response)
  }

  async *readLog({ endpoint, group, from, to, follow, committedOnly, withData }: LogCall, signal: AbortSignal): AsyncGenerator<SentEntry> {
    const request = { group, from, follow, committed_only: committedOnly, with_data: withData, ...(to === null ? {} : { to }) }
    const records = this.calls.stream(endpoint, (client, options) => client.serverStream('ReadLog', request, options), signal)
    for await (const record of records) yield sentEntry(record)
  }

  async checkDisk({ endpoint, samples }: NodeCall & { readonly samples: number }): Promise<DiskFigures> {
    const send = (client: ControlClient, options: CallOptions) => client.call('CheckDisk', { samples }, options)
    const { p50_ms, p99_ms, free_bytes, total_bytes } = await this.calls.read(endpoint, send, { timeoutMs: DISK_TIMEOUT_MS })
    return { p50Ms: p50_ms, p99Ms: p99_ms, freeBytes: fromInt64(free_bytes), totalBytes: fromInt64(total_bytes) }
  }

  async countLog({ endpoint, group }: NodeCall): Promise<LogCount> {
    const count = await this.calls.read(endpoint, (client, options) => client.call('LogStats', { group }, options))
    const plain = (map: { [key: string]: Int64 } | null | undefined) =>
      Object.fromEntries(Object.entries(map ?? {}).map(([key, value]) => [key, fromInt64(value)]))
    return {
      firstIndex: fromInt64(count.first_index),
      lastIndex: fromInt64(count.last_index),
      entries: fromInt64(count.entries),
      bytes: fromInt64(count.bytes),
      segments: count.segments,
      entriesByType: plain(count.entries_by_type),
      bytesByType: plain(count.bytes_by_type),
      snapshotIndex: fromInt64(count.snapshot_index),
      largest: (count.largest ?? []).map((record) => logRow(record)),
    }
  }

  async confirmLeader({ endpoint, group }: NodeCall): Promise<LeaderReport> {
    const response = await this.calls.read(endpoint, (client, options) => client.call('GetLeader', { group, confirm: true }, options))
    return {
      leaderId: orNull(response.leader_id),
      term: fromInt64(response.term),
      confirmed: response.confirmed,
      leaderForMs: numberOrNull(response.leader_for_ms),
    }
  }

  async transferLeader({ endpoint, group, target, timeoutMs }: TransferCall): Promise<TransferAnswer> {
    // The node gives up a little before the call does, so that it can say what it knows.
    const request = { group, target, timeout_ms: Math.max(1, Math.round(timeoutMs * 0.9)) }
    const response = await this.calls.write(endpoint, (client, options) => client.call('TransferLeader', request, options), {
      timeoutMs,
      check: 'raftctl leader show',
    })
    const receivedAtMs = performance.now()
    const age = response.since_last_ack_ms
    return {
      newLeader: response.new_leader,
      newTerm: fromInt64(response.new_term),
      startedAtMs: receivedAtMs - response.paused_ms,
      lastAcknowledgedAtMs: age == null ? null : receivedAtMs - age,
    }
  }

  changeMembers(call: ChangeMembersCall, listener: (progress: ChangeProgress) => void): Promise<ChangeProgress> {
    return changeMembers(this.calls, call, listener)
  }

  async resetMembers({ endpoint, group, members, expectGeneration, expectConfigIndex }: ResetMembersCall): Promise<void> {
    const request = {
      ...{ group, expect_generation: expectGeneration ?? 0, expect_config_index: expectConfigIndex ?? 0 },
      members: members.map(({ id, peerId }) => ({ peer_id: peerId, name: id, role: 'voter' })),
    }
    const send = (client: ControlClient, options: CallOptions) => client.call('ResetPeers', request, options)
    await this.calls.write(endpoint, send, { timeoutMs: RESET_TIMEOUT_MS, check: 'raftctl member list' })
  }

  async settings({ endpoint }: NodeCall) {
    try {
      const { values } = await this.calls.read(endpoint, (client, options) => client.call('GetEffectiveConfig', {}, options))
      return { ...values }
    } catch (thrown) {
      if (thrown instanceof CliError && thrown.code === 'E_UNSUPPORTED') return {}
      throw thrown
    }
  }

  async roundTrips({ endpoint }: NodeCall, timeoutMs: number): Promise<ReadonlyMap<string, number>> {
    const { peers } = await this.calls.read(endpoint, (client, options) => client.call('CheckPeers', { samples: 3 }, options), {
      timeoutMs,
    })
    return new Map((peers ?? []).flatMap((peer) => (peer.reachable ? [[peer.peer_id ?? '', peer.p50_ms ?? 0] as const] : [])))
  }
}

function logRow(record: raftctl.v1.LogRecord.$Properties): LogRow {
  return {
    index: fromInt64(record.index),
    term: fromInt64(record.term),
    type: record.type === 'configuration' || record.type === 'no_op' ? record.type : 'data',
    bytes: record.bytes ?? 0,
    operation: orNull(record.operation),
    summary: record.summary ?? '',
    timeMs: numberOrNull(record.time_ms),
    committed: record.committed === true,
    applied: record.applied === true,
    hex: null,
  }
}

function sentEntry(record: raftctl.v1.LogRecord.$Properties): SentEntry {
  return { ...logRow(record), commitIndex: fromInt64(record.commit_index), data: Buffer.from(record.data ?? []) }
}

function nodeReport(endpoint: string, status: raftctl.v1.NodeStatus): NodeReport {
  const { snapshot } = status
  return {
    kind: 'raftctl',
    endpoint,
    group: status.group,
    peerId: status.peer_id,
    name: status.name,
    clusterId: orNull(status.cluster_id),
    standing: status.standing || 'member',
    raftState: status.state,
    term: fromInt64(status.term),
    votedFor: isEmptyPeer(status.voted_for) ? null : status.voted_for,
    leaderId: isEmptyPeer(status.leader_id) ? null : status.leader_id,
    leaderContactMs: numberOrNull(status.leader_contact_ms),
    leaderForMs: numberOrNull(status.leader_for_ms),
    firstIndex: fromInt64(status.first_index),
    lastIndex: fromInt64(status.last_index),
    lastTerm: fromInt64(status.last_term),
    durableIndex: fromInt64(status.durable_index),
    commitIndex: fromInt64(status.commit_index),
    appliedIndex: fromInt64(status.applied_index),
    snapshot:
      snapshot && fromInt64(snapshot.index) > 0
        ? {
            index: fromInt64(snapshot.index),
            term: fromInt64(snapshot.term),
            bytes: fromInt64(snapshot.bytes),
            ageMs: fromInt64(snapshot.age_ms),
          }
        : null,
    snapshotState: status.snapshot_state || 'idle',
    snapshotBytesDone: fromInt64(status.snapshot_bytes_done),
    snapshotBytesTotal: fromInt64(status.snapshot_bytes_total),
    snapshotIntervalMs: fromInt64(status.snapshot_interval_ms),
    membership: status.membership ? membershipReport(status.membership) : null,
    progress: (status.progress ?? []).map(progressReport),
    electionTimeoutMs: status.election_timeout_ms,
    heartbeatMs: status.heartbeat_ms,
    logBytes: fromInt64(status.log_bytes),
    dataBytes: fromInt64(status.data_bytes),
    dataDir: status.data_dir,
    syncP99Ms: status.sync_p99_ms ?? null,
    writeStages: (status.write_stages ?? []).map(({ stage, p50_ms, p99_ms }) => ({
      stage: stage ?? '',
      p50Ms: p50_ms ?? 0,
      p99Ms: p99_ms ?? 0,
    })),
    pid: status.pid,
    incarnation: status.incarnation,
    generation: fromInt64(status.generation),
    machineRevision: numberOrNull(status.machine_revision),
    version: status.version,
    uptimeMs: fromInt64(status.uptime_ms),
    leaderReady: status.leader_ready_for_ms != null,
    leaderReadyForMs: status.leader_ready_for_ms ?? null,
    error: orNull(status.error),
    alarms: status.alarms ?? [],
    readOnly: status.read_only,
    priority: status.priority ?? null,
    machine: status.machine,
    mixed: status.mixed,
  }
}

function progressReport(progress: raftctl.v1.PeerProgress.$Properties): ProgressReport {
  return {
    kind: progress.kind === 'raftctl' || progress.kind === 'braft' ? progress.kind : null,
    peerId: progress.peer_id ?? '',
    matchIndex: fromInt64(progress.match_index as Int64),
    nextIndex: fromInt64(progress.next_index as Int64),
    inflightRequests: progress.inflight_requests ?? 0,
    inflightBytes: fromInt64(progress.inflight_bytes as Int64),
    state: progress.state ?? '',
    lastContactMs: numberOrNull(progress.last_contact_ms as Int64),
    answering: null,
    consecutiveErrors: fromInt64(progress.consecutive_errors as Int64),
    lastError: progress.last_error ?? '',
    rebuilding: progress.rebuilding === true,
    snapshotBytesSent: fromInt64(progress.snapshot_bytes_sent as Int64),
    snapshotBytesTotal: fromInt64(progress.snapshot_bytes_total as Int64),
  }
}

function numberOrNull(value: Int64): number | null {
  return value == null ? null : fromInt64(value)
}

function orNull(text: string | null | undefined): string | null {
  return text ? text : null
}
