import { connectivityState, status as GrpcStatus, type ServiceError } from '@grpc/grpc-js'
import type { raftctl } from '../../generated/raftctl.js'
import { fromInt64 } from '../../raft/types.js'
import { Control } from '../../rpc/control-definition.js'
import { ServiceClient } from '../../rpc/grpc.js'
import type { Connection } from '../../terminal/connection.js'
import { CliError, isErrorCode } from '../../terminal/errors.js'
import { Channels } from '../channels.js'
import {
  isEmptyPeer,
  type MemberReport,
  type MemberRole,
  type MembershipReport,
  type NodeFailure,
  type NodeReport,
  type ProgressReport,
} from '../node-report.js'
import { NO_GRPC, probe } from '../probe.js'
import { isServiceError, neverSent, remoteError } from '../remote-error.js'
import type { ClusterEngine, LeaderReport, NodeCall } from './engine.js'

type Int64 = Parameters<typeof fromInt64>[0]

const PROBE_TIMEOUT_MS = 500

/** Clusters of raftctl nodes, asked over raftctl.v1.Control. Owns its channels. */
export class RaftctlEngine implements ClusterEngine {
  readonly kind = 'raftctl'
  private readonly channels: Channels

  constructor(private readonly connection: Connection) {
    this.channels = new Channels(connection)
  }

  [Symbol.dispose](): void {
    this.channels[Symbol.dispose]()
  }

  async nodeStatus({ endpoint, group }: NodeCall): Promise<NodeReport> {
    const response = await this.call(endpoint, (client, options) => client.call('GetNodeStatus', { group }, options))
    return nodeReport(endpoint, response)
  }

  async confirmLeader({ endpoint, group }: NodeCall): Promise<LeaderReport> {
    const response = await this.call(endpoint, (client, options) => client.call('GetLeader', { group, confirm: true }, options))
    return {
      leaderId: orNull(response.leader_id),
      term: fromInt64(response.term),
      confirmed: response.confirmed,
      leaderForMs: numberOrNull(response.leader_for_ms),
    }
  }

  /** One read with a deadline for the answer and a shorter one for the connection; what fails says how far it came. */
  private async call<T>(endpoint: string, send: (client: ControlClient, options: CallOptions) => Promise<T>): Promise<T> {
    const { timeoutMs, connectTimeoutMs } = this.connection
    const channel = this.channels.to(endpoint)
    const connecting = new AbortController()
    let connectedLate = false
    const timer = setTimeout(() => {
      if (channel.getChannel().getConnectivityState(false) === connectivityState.READY) return
      connectedLate = true
      connecting.abort()
    }, connectTimeoutMs)
    try {
      const client = new ServiceClient(Control, channel)
      return await send(client, { timeoutMs, metadata: this.channels.metadata(), signal: connecting.signal })
    } catch (thrown) {
      if (!isServiceError(thrown)) throw thrown
      throw await this.explain(endpoint, thrown, connectedLate ? `no gRPC connection within ${connectTimeoutMs} ms` : null)
    } finally {
      clearTimeout(timer)
    }
  }

  private async explain(endpoint: string, error: ServiceError, late: string | null): Promise<CliError> {
    const mapped = remoteError(error, { endpoint, kind: 'read' })
    if (mapped.code !== 'E_UNREACHABLE') return mapped
    const answer =
      late ?? (error.code === GrpcStatus.DEADLINE_EXCEEDED ? `no answer within ${this.connection.timeoutMs} ms` : reason(error))
    if (!late && !neverSent(error) && error.code !== GrpcStatus.UNAVAILABLE)
      return unreachable({ endpoint, code: 'E_UNREACHABLE', stage: 'grpc', message: answer })
    const timeoutMs = Math.min(PROBE_TIMEOUT_MS, this.connection.connectTimeoutMs)
    return unreachable(await probe({ endpoint, tls: this.connection.tls !== null, timeoutMs }, answer))
  }
}

type ControlClient = ServiceClient<(typeof Control)['methods']>
type CallOptions = NonNullable<Parameters<ControlClient['call']>[2]>

function reason(error: ServiceError): string {
  const text = error.details || error.message
  return /^No connection established/.test(text) ? NO_GRPC : text
}

function unreachable({ endpoint, code, stage, message }: NodeFailure): CliError {
  return new CliError(isErrorCode(code) ? code : 'E_UNREACHABLE', `${endpoint}: ${message}`, {
    details: { node: endpoint, stage, reason: message },
  })
}

function nodeReport(endpoint: string, status: raftctl.v1.NodeStatus): NodeReport {
  const { snapshot } = status
  return {
    endpoint,
    group: status.group,
    peerId: status.peer_id,
    name: status.name,
    clusterId: orNull(status.cluster_id),
    standing: status.standing || 'member',
    raftState: status.state,
    term: fromInt64(status.term),
    leaderId: isEmptyPeer(status.leader_id) ? null : status.leader_id,
    leaderContactMs: numberOrNull(status.leader_contact_ms),
    leaderForMs: numberOrNull(status.leader_for_ms),
    firstIndex: fromInt64(status.first_index),
    lastIndex: fromInt64(status.last_index),
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
    membership: status.membership ? membershipReport(status.membership) : null,
    progress: (status.progress ?? []).map(progressReport),
    electionTimeoutMs: status.election_timeout_ms,
    heartbeatMs: status.heartbeat_ms,
    logBytes: fromInt64(status.log_bytes),
    dataBytes: fromInt64(status.data_bytes),
    dataDir: status.data_dir,
    version: status.version,
    uptimeMs: fromInt64(status.uptime_ms),
    error: orNull(status.error),
    alarms: status.alarms ?? [],
    readOnly: status.read_only,
    machine: status.machine,
    mixed: status.mixed,
  }
}

function membershipReport(membership: raftctl.v1.Membership.$Properties): MembershipReport {
  return {
    members: (membership.members ?? []).map(memberReport),
    oldMembers: (membership.old_members ?? []).map(memberReport),
    configIndex: fromInt64(membership.config_index as Int64),
    stage: membership.stage || 'none',
    committed: membership.committed === true,
  }
}

function memberReport(member: raftctl.v1.Member.$Properties): MemberReport {
  return { peerId: member.peer_id ?? '', name: member.name ?? '', role: roleOf(member.role) }
}

function roleOf(role: string | null | undefined): MemberRole {
  return role === 'learner' || role === 'witness' ? role : 'voter'
}

function progressReport(progress: raftctl.v1.PeerProgress.$Properties): ProgressReport {
  return {
    peerId: progress.peer_id ?? '',
    matchIndex: fromInt64(progress.match_index as Int64),
    state: progress.state ?? '',
    lastContactMs: numberOrNull(progress.last_contact_ms as Int64),
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
