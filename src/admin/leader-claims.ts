import type { Survey } from './discovery.js'
import { addressOf, type MemberReport, type NodeReport, type ProgressReport, peerKey } from './node-report.js'

/** Somebody leads, as far as the replies tell. */
export interface LeaderClaim {
  readonly leaderKey: string
  readonly leaderId: string
  readonly term: number
  /** A quorum of voters (both quorums while joint) follows it in this term. */
  readonly confirmed: boolean
  /** What the leader said of itself; null when it did not answer. */
  readonly report: NodeReport | null
  /** Voters that the leader heard from lately, or that said themselves that they follow it. Rebuilding ones do not count. */
  readonly voters: ReadonlySet<string>
}

export const LEADING = new Set(['LEADER', 'TRANSFERRING'])

/** A peer counts as heard when its last answer is younger than this many election timeouts. */
export const FRESH_TIMEOUTS = 2
/** The same for a peer that does not answer us: a leader needs a while to notice that a process died, and rests every second beat. */
const FRESH_HEARTBEATS = 4

export function quorumOf(voters: number): number {
  return Math.floor(voters / 2) + 1
}

export function votersOf(members: readonly MemberReport[]): string[] {
  return members.filter((member) => member.role !== 'learner').map((member) => peerKey(member.peerId))
}

/**
 * Who leads. Every node that names a leader in its term makes a claim; the claim of the highest term that a quorum stands
 * behind is the leader. Without one the highest claim is returned unconfirmed; null when nobody claims anything.
 */
export function findLeader(survey: Survey): LeaderClaim | null {
  const claims = new Map<string, { readonly leaderId: string; readonly term: number }>()
  for (const report of survey.reports.values()) {
    const leaderId = LEADING.has(report.raftState) ? report.peerId : report.leaderId
    if (leaderId !== null) claims.set(`${report.term} ${peerKey(leaderId)}`, { leaderId, term: report.term })
  }
  const weighed = [...claims.values()].sort((a, b) => b.term - a.term).map((claim) => weigh(survey, claim))
  return weighed.find((claim) => claim.confirmed) ?? weighed[0] ?? null
}

function weigh(survey: Survey, { leaderId, term }: { readonly leaderId: string; readonly term: number }): LeaderClaim {
  const leaderKey = peerKey(leaderId)
  const own = survey.reports.get(leaderKey)
  const report = own && own.term === term && LEADING.has(own.raftState) ? own : null
  const voters = report ? heardBy(survey, report) : followersOf(survey, leaderKey, term)
  const { members = [], oldMembers = [] } = survey.membership ?? {}
  const quorate = (set: readonly string[]) => set.length === 0 || set.filter((key) => voters.has(key)).length >= quorumOf(set.length)
  const newVoters = votersOf(members)
  // Followers name a leader for a while after it stepped down; its own word counts for more.
  const denied = own !== undefined && report === null && own.term >= term
  const confirmed = !denied && newVoters.length > 0 && quorate(newVoters) && quorate(votersOf(oldMembers))
  return { leaderKey, leaderId, term, confirmed, report, voters }
}

/** The leader's own view decides; where we cannot reach a peer ourselves it has to be a very recent one. */
function heardBy(survey: Survey, leader: NodeReport): Set<string> {
  const heard = leader.progress.filter(
    (peer) =>
      !peer.rebuilding &&
      survey.reports.get(peerKey(peer.peerId))?.standing !== 'rebuilding' &&
      isHeard(peer, leader, { report: survey.reports.get(peerKey(peer.peerId)), direct: survey.direct }),
  )
  const self = leader.standing === 'rebuilding' ? [] : [peerKey(leader.peerId)]
  return new Set([...self, ...heard.map((peer) => peerKey(peer.peerId))])
}

function isHeard(
  peer: ProgressReport,
  leader: NodeReport,
  { report, direct }: { readonly report: NodeReport | undefined; readonly direct: boolean },
): boolean {
  if (peer.answering !== null) return peer.answering
  if (leader.kind === 'braft') return report !== undefined && follows(report, peerKey(leader.peerId), leader.term)
  if (peer.lastContactMs === null) return false
  if (direct || report !== undefined) return peer.lastContactMs <= FRESH_TIMEOUTS * leader.electionTimeoutMs
  return peer.consecutiveErrors === 0 && peer.lastContactMs <= FRESH_HEARTBEATS * (leader.heartbeatMs ?? 0)
}

/** The leader is out of our reach: those who follow it in its term speak for it, and it for itself. */
function followersOf(survey: Survey, leaderKey: string, term: number): Set<string> {
  const followers = [...survey.reports].filter(
    ([key, report]) => key !== leaderKey && follows(report, leaderKey, term) && report.standing !== 'rebuilding',
  )
  const leaderSpeaks = followers.length > 0 && !survey.reports.has(leaderKey)
  return new Set([...followers.map(([key]) => key), ...(leaderSpeaks ? [leaderKey] : [])])
}

function follows({ term, leaderId, ...report }: NodeReport, leaderKey: string, leaderTerm: number): boolean {
  return term === leaderTerm && leaderId !== null && peerKey(leaderId) === leaderKey && hearsLeader(report)
}

/** It names a leader only for as long as it may still be there. */
export function hearsLeader({ leaderContactMs, electionTimeoutMs }: Pick<NodeReport, 'leaderContactMs' | 'electionTimeoutMs'>): boolean {
  return leaderContactMs === null || leaderContactMs <= FRESH_TIMEOUTS * electionTimeoutMs
}

/** What a member is called: its label in the configuration, its own, or its address. */
export function nameOf(survey: Survey, peerId: string): string {
  const key = peerKey(peerId)
  const { members = [], oldMembers = [] } = survey.membership ?? {}
  const member = [...members, ...oldMembers].find((one) => peerKey(one.peerId) === key)
  if (member?.name) return member.name
  const reported = survey.reports.get(key)
  if (reported?.name) return reported.name
  for (const { membership } of survey.reports.values()) {
    const named = membership?.members.find((one) => peerKey(one.peerId) === key && one.name !== '')
    if (named) return named.name
  }
  return addressOf(peerId)
}
