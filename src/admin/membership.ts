import { DEFAULT_PRIORITY } from '../raft/precedence.js'
import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { survey } from './discovery.js'
import type { NodeKind } from './node-report.js'
import { type NodeRow, statusOf } from './status.js'

/** `data` of `member list --json`. */
export interface MemberList {
  readonly group: string
  readonly configIndex: number | null
  readonly stage: string | null
  readonly voters: number | null
  readonly quorum: number | null
  readonly leader: string | null
  readonly members: readonly MemberRow[]
}

export interface MemberRow {
  readonly id: string
  readonly address: string
  readonly peerId: string
  /** What runs there, as it says itself or as the leader last knew it; null while nobody knows. */
  readonly kind: NodeKind | null
  readonly role: 'voter' | 'learner' | 'witness'
  readonly leader: boolean
  readonly reachable: boolean
  /** What it is doing, in the words of `status`. */
  readonly state: string
  readonly match: number | null
  readonly lag: number | null
  readonly version: string | null
  /** To be leader; null where it is not known. */
  readonly priority: number | null
}

export interface MemberReading {
  readonly list: MemberList
  readonly clusterId: string | null
  /** Every member answers and takes part. */
  readonly healthy: boolean
  readonly warnings: readonly string[]
}

/** The configured members as any one member knows them; works without a leader. Throws E_UNREACHABLE when nobody answers. */
export async function listMembers(client: ClusterClient): Promise<MemberReading> {
  const found = await survey(client)
  const { status, clusterId, error, warnings } = statusOf(found)
  if (found.reports.size === 0) throw error ?? new CliError('E_UNREACHABLE', 'nothing answers')
  const { group, configIndex, stage, voters, quorum, leader } = status
  const members = status.nodes.flatMap((row) => memberRow(row))
  const list = { group, configIndex, stage, voters, quorum, leader, members }
  return { list, clusterId, healthy: status.verdict === 'healthy', warnings }
}

/** Whether anybody set one. */
export function hasPriorities(members: readonly MemberRow[]): boolean {
  return members.some(({ priority }) => priority !== null && priority !== DEFAULT_PRIORITY)
}

function memberRow(row: NodeRow): MemberRow[] {
  const { id, address, peerId, kind, role, leader, reachable, state, match, lag, version, priority } = row
  if (role === null || peerId === null) return []
  return [{ id, address, peerId, kind, role, leader, reachable, state, match, lag, version, priority }]
}
