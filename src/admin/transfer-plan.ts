import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { survey } from './discovery.js'
import { findLeader, type LeaderClaim } from './leader-claims.js'
import { findMember, type MemberRef, refOf } from './member-lookup.js'
import { calledAt, type NodeReport, peerKey } from './node-report.js'
import { type DraftedPlan, makePlan, type Plan } from './plan.js'
import { type ClusterStatus, type NodeRow, statusOf } from './status.js'

export interface TransferRequest {
  /** `leader transfer` or `leader step-down`. */
  readonly command: string
  /** Name, address or PeerId of who leads next; null: the best candidate. */
  readonly target: string | null
  /** Who must not lead next; null: nobody in particular. */
  readonly exclude: string | null
  /** Kept in the history. */
  readonly reason: string | null
}

/** A voter besides the leader, and whether it may lead next. */
export interface Candidate extends MemberRef {
  /** Committed entries that the leader does not know it to hold; null when the leader knows nothing of it. */
  readonly lag: number | null
  /** From the leader to it and back; null when it was not measured. */
  readonly rttMs: number | null
  /** Why it cannot lead next; null when it can. */
  readonly unfit: string | null
}

/** Who hands over to whom, and why. */
export interface TransferAction {
  readonly kind: 'leader.transfer'
  readonly from: MemberRef
  readonly to: MemberRef
  readonly chosen: { readonly asked: boolean; readonly lag: number | null; readonly rttMs: number | null; readonly reason: string }
  readonly candidates: readonly Candidate[]
  /** What was asked for, should the leader have changed meanwhile. */
  readonly request: TransferRequest
}

export type TransferPlan = Plan<TransferAction>

/** A target may miss this many committed entries: writes wait until it has them. */
const LAG_MAX = 1000
/** Logs that differ by no more count as equally long: the difference is a moment of load. */
const LEVEL_ENTRIES = 100
const ROUND_TRIP_MS = 300

/**
 * Looks at the cluster and decides who leads next. Throws E_NO_QUORUM or E_NO_LEADER, E_NO_SUCH_NODE, E_NOT_LEADER with
 * --direct, and E_NOT_CAUGHT_UP with the reason when the target, or every voter, is unfit.
 */
export async function planTransfer(client: ClusterClient, request: TransferRequest): Promise<DraftedPlan<TransferAction>> {
  const found = await survey(client)
  const { status, clusterId, error } = statusOf(found)
  if (error) throw error
  const { claim, report, leader } = leaderIn(status, findLeader(found), client.connection.direct)
  const target = request.target === null ? null : findMember(status, request.target)
  const excluded = request.exclude === null ? null : findMember(status, request.exclude)
  const draft = { client, request, status, clusterId, term: claim.term, from: refOf(leader) }
  if (target?.peerId === leader.peerId) {
    const chosen = { asked: true, lag: 0, rttMs: null, reason: `${leader.id} leads already` }
    return drafted(draft, { to: refOf(leader), chosen, candidates: [] })
  }
  const voters = status.nodes.filter((row) => row.role === 'voter' && row.peerId !== leader.peerId)
  if (target && target.role !== 'voter') throw unfit(`${target.id} is a ${target.role} and cannot lead`)
  const byName = target === null ? null : target.peerId
  const judged = voters.map((row) => judge(row, report, { excluded, byName }))
  const candidates = target === null && judged.filter(isFit).length > 1 ? await timed(client, leader.address, judged) : judged
  const chosen = target === null ? best(candidates, leader.id) : asked(candidates, target)
  return drafted(draft, { to: refOf(chosen), chosen: choice(chosen, candidates, target !== null), candidates })
}

interface Draft {
  readonly client: ClusterClient
  readonly request: TransferRequest
  readonly status: ClusterStatus
  readonly clusterId: string | null
  readonly term: number
  readonly from: MemberRef
}

function drafted(
  { client, request, status, clusterId, term, from }: Draft,
  decision: Pick<TransferAction, 'to' | 'chosen' | 'candidates'>,
): DraftedPlan<TransferAction> {
  const { to, chosen, candidates } = decision
  const others = candidates.flatMap((one) => (one.unfit === null ? [] : [`not ${one.id}: it ${one.unfit}`]))
  return makePlan({
    command: request.command,
    title: `leadership ${from.id} → ${to.id}`,
    impact: 'leadership',
    level: 'mild',
    context: client.connection.context?.name ?? null,
    ...{ clusterId, group: status.group, configIndex: status.configIndex, term },
    ...{ before: null, after: null, gates: [], warnings: [] },
    facts: [`chosen: ${chosen.reason}`, ...others],
    steps: [
      `${from.id} holds writes back until ${to.id} has all of them`,
      `${to.id} campaigns at once`,
      `wait until ${to.id} takes writes`,
    ],
    force: false,
    reason: request.reason,
    action: { kind: 'leader.transfer', from, ...decision, request },
  })
}

/** The target leads already: there is nothing to do. */
export function leadsAlready({ action: { from, to } }: TransferPlan): boolean {
  return from.peerId === to.peerId
}

/** The leader, by its own word and by that of a quorum. */
export interface Leading {
  readonly claim: LeaderClaim
  readonly report: NodeReport
  readonly leader: NodeRow & { readonly peerId: string }
}

/** Throws E_NO_LEADER, E_NOT_LEADER with --direct, E_UNREACHABLE when the leader does not answer from here. */
export function leaderIn(status: ClusterStatus, claim: LeaderClaim | null, direct: boolean): Leading {
  const leader = status.nodes.find((row): row is NodeRow & { peerId: string } => row.peerId !== null && row.id === status.leader)
  if (claim === null || !leader) throw new CliError('E_NO_LEADER', 'no member that answers knows a leader')
  if (claim.report !== null) return { claim, report: claim.report, leader }
  if (direct) throw new CliError('E_NOT_LEADER', `the node that was asked does not lead: the leader is ${calledAt(leader)}`)
  throw new CliError('E_UNREACHABLE', `${leader.id} leads, but ${leader.address} does not answer from here`, {
    details: { node: leader.address, stage: leader.error?.stage ?? null },
  })
}

/** Who has priority 0 leads only when it is asked for by name. */
function judge(
  row: NodeRow,
  leader: NodeReport,
  { excluded, byName }: { readonly excluded: NodeRow | null; readonly byName: string | null },
): Candidate {
  const progress = leader.progress.find((peer) => row.peerId !== null && peerKey(peer.peerId) === peerKey(row.peerId))
  const known = progress !== undefined && (progress.lastContactMs !== null || progress.answering === true)
  const lag = known && progress.matchIndex !== null ? Math.max(0, leader.commitIndex - progress.matchIndex) : null
  const silent = !known || progress.consecutiveErrors > 0 || (progress.lastContactMs ?? 0) > leader.electionTimeoutMs
  const because = () => {
    if (excluded !== null && row.peerId === excluded.peerId) return 'is excluded'
    if (row.standing === 'rebuilding' || progress?.rebuilding) return 'is rebuilding'
    if (row.alarms.includes('NOSPACE')) return 'is short of space'
    if (row.priority === 0 && row.peerId !== byName) return 'has priority 0'
    if (silent) return 'does not answer the leader'
    if (progress.state === 'snapshot') return 'is receiving a snapshot'
    if (lag === null) return 'holds nobody knows how much of the log'
    return lag > LAG_MAX ? `is ${lag} entries behind, and at most ${LAG_MAX} are allowed` : null
  }
  return { id: row.id, address: row.address, peerId: row.peerId ?? '', lag, rttMs: null, unfit: because() }
}

/** With round trips where the leader can measure them; they only decide between equals. */
async function timed(client: ClusterClient, leader: string, candidates: readonly Candidate[]): Promise<Candidate[]> {
  const { group } = client
  const trips = await client.engine.roundTrips({ endpoint: leader, group }, ROUND_TRIP_MS).catch((thrown) => {
    if (thrown instanceof CliError) return new Map<string, number>()
    throw thrown
  })
  const byKey = new Map([...trips].map(([peer, ms]) => [peerKey(peer), ms]))
  return candidates.map((candidate) => ({ ...candidate, rttMs: byKey.get(peerKey(candidate.peerId)) ?? null }))
}

function best(candidates: readonly Candidate[], leader: string): Candidate {
  const distance = ({ lag }: Candidate) => (lag !== null && lag <= LEVEL_ENTRIES ? 0 : (lag ?? 0))
  const trip = ({ rttMs }: Candidate) => rttMs ?? Number.POSITIVE_INFINITY
  const [first] = candidates.filter(isFit).sort((a, b) => distance(a) - distance(b) || compare(trip(a), trip(b)))
  if (first) return first
  if (candidates.length === 0)
    throw unfit(`${leader} is the only voter: there is nobody to lead instead`, 'Add another first:  raftctl member add NAME=HOST:PORT')
  throw unfit(
    `no voter besides ${leader} is fit to lead: ${candidates.map(({ id, unfit: why }) => `${id} ${why}`).join('; ')}`,
    'raftctl status says who is behind and who is down.',
  )
}

/** Infinity equals itself here. */
function compare(a: number, b: number): number {
  return a === b ? 0 : a - b
}

function asked(candidates: readonly Candidate[], target: NodeRow): Candidate {
  const found = candidates.find((candidate) => candidate.peerId === target.peerId)
  if (found && isFit(found)) return found
  throw unfit(`${target.id} ${found?.unfit ?? 'is no voter'}`, `raftctl wait member=${target.id}:caught-up`)
}

function choice(chosen: Candidate, candidates: readonly Candidate[], wasAsked: boolean): TransferAction['chosen'] {
  const { id, lag, rttMs } = chosen
  const only = !wasAsked && candidates.filter(isFit).length === 1
  const facts = [
    ...(wasAsked ? ['as asked'] : []),
    ...(only ? ['the only voter fit to lead'] : []),
    `lag ${lag ?? 'unknown'}`,
    ...(rttMs === null ? [] : [`rtt ${rttMs.toFixed(1)} ms`]),
  ]
  return { asked: wasAsked, lag, rttMs, reason: `${id} ${facts.join(', ')}` }
}

function isFit(candidate: Candidate): boolean {
  return candidate.unfit === null
}

function unfit(message: string, hint?: string): CliError {
  return new CliError('E_NOT_CAUGHT_UP', message, hint === undefined ? {} : { hint })
}
