import { CliError } from '../terminal/errors.js'
import { urgent } from './alarms.js'
import type { ClusterClient } from './cluster-client.js'
import { membersOf, type Survey, survey } from './discovery.js'
import { findLeader, LEADING, type LeaderClaim, nameOf, quorumOf, votersOf } from './leader-claims.js'
import {
  addressOf,
  calledAt,
  type MemberRole,
  type NodeFailure,
  type NodeKind,
  type NodeReport,
  type ProgressReport,
  peerKey,
  type SnapshotReport,
  type Stage,
} from './node-report.js'
import { type NodeState, stateOf } from './node-state.js'

export type Verdict = 'healthy' | 'degraded' | 'no-quorum' | 'unknown'

/** `data` of `status --json`: one row per configured member, whatever its state. Unknown is null. */
export interface ClusterStatus {
  readonly verdict: Verdict
  readonly group: string
  readonly leader: string | null
  readonly leaderConfirmed: boolean
  readonly leaderForMs: number | null
  readonly term: number | null
  readonly commit: number | null
  readonly voters: number | null
  readonly quorum: number | null
  readonly reachableVoters: number
  readonly tolerates: number
  readonly configIndex: number | null
  /** none | catching_up | joint | stable */
  readonly stage: string | null
  readonly nodes: readonly NodeRow[]
  readonly disagreements: readonly Disagreement[]
}

export interface NodeRow {
  readonly id: string
  /** Null while it does not answer. */
  readonly kind: NodeKind | null
  readonly address: string
  readonly peerId: string | null
  readonly role: MemberRole | null
  readonly reachable: boolean
  readonly leader: boolean
  readonly state: NodeState
  readonly raftState: string | null
  readonly standing: string | null
  readonly term: number | null
  readonly commit: number | null
  readonly applied: number | null
  /** Entries that the cluster committed and this node has not applied. */
  readonly lag: number | null
  /** How far it is, while it is rebuilt or a snapshot is installed; null otherwise. */
  readonly catchUp: CatchUp | null
  /** Newest index that the leader knows it holds. */
  readonly match: number | null
  /** Since the leader last heard from it, or, where a braft leader does not say, it from the leader; null on the leader. */
  readonly lastContactMs: number | null
  readonly log: { readonly first: number; readonly last: number; readonly bytes: number | null } | null
  readonly snapshot: SnapshotReport | null
  readonly dataBytes: number | null
  readonly version: string | null
  /** To be leader; null while it does not answer, and where a node knows no such thing. */
  readonly priority: number | null
  readonly uptimeMs: number | null
  readonly alarms: readonly string[]
  readonly error: { readonly code: string; readonly stage: Stage | null; readonly message: string } | null
}

/** A member on its way back: by the bytes of a snapshot, or by the entries it has applied of those that are committed. */
export interface CatchUp {
  readonly by: 'snapshot' | 'log'
  readonly done: number
  /** 0 while unknown. */
  readonly total: number
}

export interface Disagreement {
  readonly node: string
  readonly leader: string
  readonly term: number
}

export interface StatusReading {
  readonly status: ClusterStatus
  readonly clusterId: string | null
  /** Null when a leader with a quorum exists. */
  readonly error: CliError | null
  readonly warnings: readonly string[]
}

/** Reads the status any number of times, and how fast the commit index moves between two readings. */
export class StatusReader {
  private before: { readonly commit: number; readonly atMs: number } | null = null

  constructor(private readonly client: ClusterClient) {}

  async read(): Promise<StatusReading & { readonly commitRate: number | null }> {
    const reading = statusOf(await survey(this.client))
    const { commit } = reading.status
    const now = commit === null ? null : { commit, atMs: performance.now() }
    const { before } = this
    this.before = now
    const commitRate = before && now ? ((now.commit - before.commit) * 1000) / Math.max(1, now.atMs - before.atMs) : null
    return { ...reading, commitRate }
  }
}

/** Merges everything that was learned. Pure. */
export function statusOf(found: Survey): StatusReading {
  const claim = findLeader(found)
  const rows = rowsOf(found, claim)
  const status = summarise(found, claim, rows)
  return { status, clusterId: found.clusterId, error: errorOf(found, status), warnings: warningsOf(found, claim, status) }
}

function summarise(found: Survey, claim: LeaderClaim | null, nodes: readonly NodeRow[]): ClusterStatus {
  const reports = [...found.reports.values()]
  const voterKeys = found.membership ? votersOf(found.membership.members) : null
  const quorum = voterKeys ? quorumOf(voterKeys.length) : null
  const reachable = reachableVoters(found, claim, voterKeys ?? [])
  const known = claim !== null && (claim.confirmed || found.direct)
  // Nodes of different kinds count changes differently: whoever decides about one goes by its own count.
  const inForce = claim?.confirmed ? claim.report?.membership : null
  const forMs =
    claim?.report?.leaderForMs ??
    reports.find((report) => claim !== null && report.leaderId !== null && peerKey(report.leaderId) === claim.leaderKey)?.leaderForMs
  return {
    verdict: verdictOf(found, claim, nodes),
    group: found.group,
    leader: known ? nameOf(found, claim.leaderId) : null,
    leaderConfirmed: claim?.confirmed ?? false,
    leaderForMs: known ? (forMs ?? null) : null,
    term: reports.length > 0 ? Math.max(...reports.map((report) => report.term)) : null,
    commit: clusterCommit(found, claim),
    voters: voterKeys ? voterKeys.length : null,
    quorum,
    reachableVoters: reachable,
    tolerates: quorum === null ? 0 : Math.max(0, reachable - quorum),
    configIndex: (inForce ?? found.membership)?.configIndex ?? null,
    stage: (inForce ?? found.membership)?.stage ?? null,
    nodes,
    disagreements: disagreementsOf(found, claim),
  }
}

/** The leader's view decides where there is one; else those that answer and may vote. */
function reachableVoters(found: Survey, claim: LeaderClaim | null, voterKeys: readonly string[]): number {
  if (claim?.confirmed && claim.report) return voterKeys.filter((key) => claim.voters.has(key)).length
  const answering = voterKeys.filter((key) => canVote(found.reports.get(key)))
  if (!claim?.confirmed) return answering.length
  return new Set([...answering, ...voterKeys.filter((key) => claim.voters.has(key))]).size
}

function canVote(report: NodeReport | undefined): boolean {
  return report !== undefined && report.standing !== 'rebuilding' && report.raftState !== 'ERROR' && report.raftState !== 'SHUTDOWN'
}

function verdictOf(found: Survey, claim: LeaderClaim | null, nodes: readonly NodeRow[]): Verdict {
  if (found.reports.size === 0) return 'unknown'
  if (found.direct && nodes.some((row) => row.state === 'unasked')) return 'unknown'
  if (!claim?.confirmed) return 'no-quorum'
  const voterKeys = votersOf(found.membership?.members ?? [])
  const allReachable = reachableVoters(found, claim, voterKeys) === voterKeys.length
  const sound = nodes.every((row) => row.role === null || isSound(row))
  return allReachable && sound && disagreementsOf(found, claim).length === 0 ? 'healthy' : 'degraded'
}

function isSound(row: NodeRow): boolean {
  return row.state === 'ok' && urgent(row.alarms).length === 0
}

function clusterCommit(found: Survey, claim: LeaderClaim | null): number | null {
  if (claim?.report) return claim.report.commitIndex
  const commits = [...found.reports.values()].map((report) => report.commitIndex)
  return commits.length > 0 ? Math.max(...commits) : null
}

/** Configured members in the order of the configuration, then answering nodes that are in no configuration. */
function rowsOf(found: Survey, claim: LeaderClaim | null): NodeRow[] {
  const rows: NodeRow[] = []
  const seen = new Set<string>()
  const commit = clusterCommit(found, claim)
  for (const member of membersOf(found.membership)) {
    const key = peerKey(member.peerId)
    if (seen.has(key)) continue
    seen.add(key)
    rows.push(rowOf(found, claim, { peerId: member.peerId, role: member.role, commit }))
  }
  for (const [key, report] of found.reports)
    if (!seen.has(key)) rows.push(rowOf(found, claim, { peerId: report.peerId, role: null, commit }))
  if (found.reports.size === 0) rows.push(...[...found.failures.values()].map(unknownRow))
  return rows
}

interface RowSubject {
  readonly peerId: string
  readonly role: MemberRole | null
  readonly commit: number | null
}

function rowOf(found: Survey, claim: LeaderClaim | null, { peerId, role, commit }: RowSubject): NodeRow {
  const key = peerKey(peerId)
  const report = found.reports.get(key)
  const progress = claim?.report?.progress.find((peer) => peerKey(peer.peerId) === key)
  const leader = claim !== null && claim.leaderKey === key && claim.confirmed
  const error = errorAt(found, addressOf(peerId), report)
  const standing = progress?.rebuilding ? 'rebuilding' : (report?.standing ?? null)
  const state = stateOf({
    reachable: report !== undefined,
    asked: report !== undefined || error !== null,
    errorCode: error?.code ?? null,
    raftState: report?.raftState ?? null,
    standing,
    member: role !== null,
    following: report !== undefined && report.leaderId !== null,
    heard: progress === undefined || claim === null || claim.voters.has(key),
    installing: progress?.state === 'snapshot' || report?.snapshotState === 'downloading' || report?.snapshotState === 'loading',
  })
  const base = {
    id: nameOf(found, peerId),
    address: addressOf(peerId),
    peerId,
    role,
    leader,
    state,
    standing,
    match: matchOf(progress),
    error,
  }
  if (!report) return { ...base, ...blankRow, kind: progress?.kind ?? null, lastContactMs: progress?.lastContactMs ?? null }
  const { raftState, term, dataBytes, version, priority, uptimeMs, alarms, snapshot } = report
  return {
    ...base,
    kind: report.kind,
    ...{ reachable: true, raftState, term, commit: report.commitIndex, applied: report.appliedIndex },
    lag: commit === null ? null : Math.max(0, commit - report.appliedIndex),
    catchUp: catchUpOf(state, report, { progress, commit }),
    lastContactMs: leader ? null : contactOf(report, progress, claim?.report),
    log: { first: report.firstIndex, last: report.lastIndex, bytes: report.logBytes },
    ...{ snapshot, dataBytes, version, priority, uptimeMs, alarms },
  }
}

/** The member itself knows best; what the leader has sent says more than nothing. */
function catchUpOf(
  state: NodeState,
  report: NodeReport,
  { progress, commit }: { readonly progress: ProgressReport | undefined; readonly commit: number | null },
): CatchUp | null {
  if (state !== 'REBUILDING' && state !== 'installing') return null
  if (report.snapshotState === 'downloading' && report.snapshotBytesTotal > 0)
    return { by: 'snapshot', done: report.snapshotBytesDone, total: report.snapshotBytesTotal }
  if (progress?.state === 'snapshot' && progress.snapshotBytesTotal > 0)
    return { by: 'snapshot', done: progress.snapshotBytesSent, total: progress.snapshotBytesTotal }
  return { by: 'log', done: report.appliedIndex, total: commit ?? 0 }
}

/** A leader knows nothing of a member that has not answered it yet, and then reports 0. */
function matchOf(progress: ProgressReport | undefined): number | null {
  return progress === undefined || (progress.lastContactMs === null && progress.matchIndex === 0) ? null : progress.matchIndex
}

function contactOf(report: NodeReport, progress: ProgressReport | undefined, leader: NodeReport | null | undefined): number | null {
  return progress && leader?.kind === 'raftctl' ? progress.lastContactMs : report.leaderContactMs
}

const blankRow = {
  kind: null,
  reachable: false,
  raftState: null,
  term: null,
  commit: null,
  applied: null,
  lag: null,
  catchUp: null,
  lastContactMs: null,
  log: null,
  snapshot: null,
  dataBytes: null,
  version: null,
  priority: null,
  uptimeMs: null,
  alarms: [],
} as const

function unknownRow(failure: NodeFailure): NodeRow {
  const { endpoint } = failure
  return {
    id: endpoint,
    address: endpoint,
    peerId: null,
    role: null,
    leader: false,
    state: 'DOWN',
    standing: null,
    match: null,
    error: errorIn(failure),
    ...blankRow,
  }
}

function errorAt(found: Survey, address: string, report: NodeReport | undefined): NodeRow['error'] {
  if (report) return report.error === null ? null : { code: 'E_UNHEALTHY', stage: null, message: report.error }
  const failure = found.failures.get(address)
  return failure ? errorIn(failure) : null
}

function errorIn({ code, stage, message }: NodeFailure): NodeRow['error'] {
  return { code, stage, message }
}

/** Nodes that name another leader than the one that was found. */
function disagreementsOf(found: Survey, claim: LeaderClaim | null): Disagreement[] {
  if (claim === null) return []
  return [...found.reports.values()].flatMap((report) => {
    const named = LEADING.has(report.raftState) ? report.peerId : report.leaderId
    if (named === null || peerKey(named) === claim.leaderKey) return []
    return [{ node: nameOf(found, report.peerId), leader: nameOf(found, named), term: report.term }]
  })
}

function errorOf(found: Survey, status: ClusterStatus): CliError | null {
  if (found.reports.size === 0) return nothingAnswers(found)
  if (status.leaderConfirmed || (found.direct && status.leader !== null)) return null
  const { reachableVoters: up, voters, quorum } = status
  if (voters === null || quorum === null) return new CliError('E_NO_LEADER', 'no node that answers knows a configuration or a leader')
  const down = status.nodes.filter(
    (row) => row.role !== null && row.role !== 'learner' && (!row.reachable || row.standing === 'rebuilding'),
  )
  if (up < quorum) {
    return new CliError('E_NO_QUORUM', `${up} of ${voters} voters can vote and ${quorum} are needed: nothing can be committed`, {
      hint: `Bring back ${quorum - up === 1 ? 'one' : quorum - up} of: ${down.map(calledAt).join(', ')}\nOr, if they are gone for good:  raftctl recover plan`,
      details: { reachableVoters: up, voters, quorum, down: down.map((row) => row.id) },
    })
  }
  return new CliError(
    'E_NO_LEADER',
    `no leader in term ${status.term}: ${up} of ${voters} voters answer, and none of them leads with a quorum`,
    {
      hint: 'An election may be running: raftctl wait leader --for 10s',
      details: { reachableVoters: up, voters, quorum, term: status.term },
    },
  )
}

function nothingAnswers(found: Survey): CliError {
  const failures = [...found.failures.values()]
  const lines = failures.map((failure) => `${failure.endpoint} (${failure.stage ? `${failure.stage}: ` : ''}${failure.message})`)
  const stages = [...new Set(failures.map((failure) => failure.stage))]
  const tlsOnly = failures.length > 0 && failures.every((failure) => failure.code === 'E_TLS')
  return new CliError(tlsOnly ? 'E_TLS' : 'E_UNREACHABLE', `nothing answers: ${lines.join(', ')}`, {
    details: { stage: stages.length === 1 ? stages[0] : null, nodes: failures },
    ...(stages.length === 1 && stages[0] === 'dns' ? { hint: UNRESOLVED } : {}),
  })
}

const UNRESOLVED = 'The name must resolve on this machine (getent hosts NAME); or give an IP address: 10.0.0.1:7001, [2001:db8::1]:7001.'

/** Members to be are in no configuration, so no row tells of them. */
function changeUnderWay(found: Survey, claim: LeaderClaim | null): string[] {
  const report = claim?.confirmed ? claim.report : null
  const stage = report?.membership?.stage
  if (!report || stage === undefined || !CHANGING.has(stage)) return []
  const members = new Set(membersOf(report.membership).map((member) => peerKey(member.peerId)))
  const coming = report.progress.filter((peer) => !members.has(peerKey(peer.peerId)))
  const held = ({ matchIndex }: ProgressReport) => (matchIndex === null ? 'nobody knows how many' : matchIndex)
  const parts = coming.map((peer) => `${nameOf(found, peer.peerId)} catches up (${held(peer)} of ${report.lastIndex} entries)`)
  return [`a change of the members is under way: ${parts.length > 0 ? parts.join(', ') : stage.replace('_', ' ')}`]
}

const CHANGING = new Set(['catching_up', 'joint'])

function warningsOf(found: Survey, claim: LeaderClaim | null, status: ClusterStatus): string[] {
  const warnings = changeUnderWay(found, claim)
  const members = new Set(status.nodes.map((row) => row.address))
  if (found.reports.size > 0) {
    for (const failure of found.failures.values())
      if (!members.has(failure.endpoint)) warnings.push(`endpoint ${failure.endpoint} does not answer: ${failure.message}`)
  }
  if (claim?.confirmed) {
    for (const row of status.nodes) {
      if (!row.reachable && row.peerId !== null && claim.voters.has(peerKey(row.peerId)))
        warnings.push(`${row.id} is reached by the others but not from here`)
    }
  }
  if (status.voters !== null && status.voters > 1 && status.voters % 2 === 0) {
    warnings.push(`${status.voters} voters tolerate no more failures than ${status.voters - 1}: use an odd number`)
  }
  const unsafe = status.nodes.filter((row) => row.alarms.includes('UNSAFESYNC')).map((row) => row.id)
  if (unsafe.length > 0) warnings.push(`writes that ${unsafe.join(', ')} acknowledged can be lost with power: started with --unsafe-sync`)
  return warnings
}
