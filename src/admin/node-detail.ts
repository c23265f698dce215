import { CliError } from '../terminal/errors.js'
import { urgent } from './alarms.js'
import type { ClusterClient } from './cluster-client.js'
import { type Survey, survey } from './discovery.js'
import { nameOf } from './leader-claims.js'
import { findMember } from './member-lookup.js'
import { addressOf, calledAt, type NodeKind, type NodeReport, peerKey, type WriteStageReport } from './node-report.js'
import { type CatchUp, statusOf } from './status.js'

/** `data` of `node status --json`: what one node says of itself. Unknown is null. */
export interface NodeDetail {
  readonly id: string
  readonly kind: NodeKind
  readonly address: string
  readonly peerId: string
  readonly group: string
  /** In the words of `status`. */
  readonly state: string
  readonly role: string | null
  readonly leader: boolean
  readonly raftState: string
  readonly standing: string | null
  readonly incarnation: string | null
  readonly term: number
  /** Whom it voted for in its term. */
  readonly votedFor: string | null
  readonly leaderId: string | null
  readonly leaderForMs: number | null
  readonly leaderContactMs: number | null
  readonly log: {
    readonly first: number
    readonly last: number
    readonly lastTerm: number
    readonly durable: number
    readonly bytes: number | null
  }
  readonly commit: number
  readonly applied: number
  readonly catchUp: CatchUp | null
  readonly snapshot: (NonNullable<NodeReport['snapshot']> & { readonly state: string }) | null
  readonly timers: { readonly electionTimeoutMs: number; readonly heartbeatMs: number | null; readonly snapshotIntervalMs: number }
  readonly disk: { readonly dataDir: string | null; readonly dataBytes: number | null; readonly syncP99Ms: number | null }
  /** Where the time of writes goes, when it leads and has taken some. */
  readonly writeStages: readonly WriteStageReport[]
  readonly machine: { readonly kind: string | null; readonly revision: number | null }
  readonly process: { readonly pid: number | null; readonly version: string | null; readonly uptimeMs: number | null }
  /** How it sees the others, when it leads. */
  readonly peers: readonly PeerDetail[]
  readonly alarms: readonly string[]
  readonly error: string | null
  /** Its settings, by flag. */
  readonly settings: Readonly<Record<string, string>>
}

export interface PeerDetail {
  readonly id: string
  readonly match: number | null
  readonly next: number
  readonly inflight: number
  readonly state: string
  readonly lastContactMs: number | null
  readonly errors: number
  readonly lastError: string | null
}

/** One node in detail: a member, or the first endpoint that answers. Throws E_NO_SUCH_NODE, E_UNREACHABLE. */
export async function nodeDetail(
  client: ClusterClient,
  member: string | null,
): Promise<{ readonly node: NodeDetail; readonly clusterId: string | null; readonly healthy: boolean }> {
  const found = await survey(client)
  const report = reportOf(client, found, member)
  const settings = await client.engine.settings({ endpoint: report.endpoint, group: found.group })
  const node = detailOf(found, report, settings)
  return { node, clusterId: found.clusterId, healthy: node.state === 'ok' && urgent(node.alarms).length === 0 }
}

function reportOf(client: ClusterClient, found: Survey, member: string | null): NodeReport {
  const { status, error } = statusOf(found)
  if (found.reports.size === 0) throw error ?? new CliError('E_UNREACHABLE', 'nothing answers')
  if (member === null) {
    const answering = [...found.reports.values()]
    const first = client.connection.endpoints.map((endpoint) => answering.find((report) => report.endpoint === endpoint)).find(Boolean)
    return first ?? (answering[0] as NodeReport)
  }
  const row = findMember(status, member)
  const report = found.reports.get(peerKey(row.peerId))
  if (report) return report
  const { stage = null, message = row.state } = row.error ?? {}
  throw new CliError('E_UNREACHABLE', `${calledAt(row)} does not answer: ${message}`, { details: { node: row.address, stage } })
}

function detailOf(found: Survey, report: NodeReport, settings: NodeDetail['settings']): NodeDetail {
  const row = statusOf(found).status.nodes.find((one) => one.peerId !== null && peerKey(one.peerId) === peerKey(report.peerId))
  const named = (peerId: string | null) => (peerId === null ? null : nameOf(found, peerId))
  const { group, peerId, raftState, standing, incarnation, term, leaderForMs, leaderContactMs, alarms, error, snapshot } = report
  return {
    ...{ id: nameOf(found, peerId), kind: report.kind, address: addressOf(peerId), peerId, group },
    ...{ state: row?.state ?? 'outside', role: row?.role ?? null, leader: row?.leader ?? false, raftState, standing, incarnation, term },
    votedFor: named(report.votedFor),
    leaderId: named(report.leaderId),
    ...{ leaderForMs, leaderContactMs },
    log: {
      first: report.firstIndex,
      last: report.lastIndex,
      lastTerm: report.lastTerm,
      durable: report.durableIndex,
      bytes: report.logBytes,
    },
    ...{ commit: report.commitIndex, applied: report.appliedIndex, catchUp: row?.catchUp ?? null },
    snapshot: snapshot && { ...snapshot, state: report.snapshotState },
    timers: {
      electionTimeoutMs: report.electionTimeoutMs,
      heartbeatMs: report.heartbeatMs,
      snapshotIntervalMs: report.snapshotIntervalMs,
    },
    disk: { dataDir: report.dataDir, dataBytes: report.dataBytes, syncP99Ms: report.syncP99Ms },
    writeStages: report.writeStages,
    machine: { kind: report.machine, revision: report.machineRevision },
    process: { pid: report.pid, version: report.version, uptimeMs: report.uptimeMs },
    peers: report.progress.map((peer) => ({
      id: nameOf(found, peer.peerId),
      ...{ match: peer.matchIndex, next: peer.nextIndex, inflight: peer.inflightRequests, state: peer.state },
      ...{ lastContactMs: peer.lastContactMs, errors: peer.consecutiveErrors, lastError: peer.lastError || null },
    })),
    ...{ alarms, error, settings },
  }
}
