import { setTimeout as pause } from 'node:timers/promises'
import { grouped } from '../rpc/words.js'
import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { type Survey, survey } from './discovery.js'
import { findLeader, hearsLeader, nameOf, quorumOf } from './leader-claims.js'
import { findMember, type MemberRef, refOf } from './member-lookup.js'
import { type ChangeOptions, type MembershipResult, verifyMembers } from './membership-change.js'
import { type NodeReport, peerKey } from './node-report.js'
import { checkPlan, type DraftedPlan, judged, makePlan, type Plan, type PlanGate, type PlanSide } from './plan.js'
import { type NodeRow, statusOf } from './status.js'

export interface RecoveryRequest {
  readonly command: string
  /** Who is gone for good, by name, address or PeerId; null: everybody who does not answer. */
  readonly lost: readonly string[] | null
  readonly reason: string | null
}

/** The members set by hand: those that are left become all there are. */
export interface ResetMembersAction {
  readonly kind: 'members.reset'
  readonly add: readonly MemberRef[]
  /** The lost ones. */
  readonly remove: readonly MemberRef[]
  /** Who is left, the one that holds most first. */
  readonly target: readonly MemberRef[]
  /** What each that is left said of itself, by PeerId; null where a node knows no such thing. */
  readonly expected: Readonly<Record<string, { readonly generation: number | null; readonly configIndex: number | null }>>
}

export type RecoveryPlan = Plan<ResetMembersAction>

type Voter = NodeRow & { readonly peerId: string }

const POLL_MS = 100
/** An election takes that many timeouts at most, where everybody who counts is there. */
const ELECTION_TIMEOUTS = 5

/**
 * What would be done about a group whose majority is gone for good. Throws E_UNREACHABLE when nobody is left, E_NO_SUCH_NODE, E_USAGE
 * for a lost one that answers; whether it may be done the gates say.
 */
export async function planRecovery(client: ClusterClient, request: RecoveryRequest): Promise<DraftedPlan<ResetMembersAction>> {
  const found = await survey(client)
  const { status, clusterId, error } = statusOf(found)
  const voters = votersIn(found)
  if (voters.length === 0) throw error ?? new CliError('E_UNREACHABLE', 'nothing answers that knows the members')
  const lost = request.lost === null ? voters.filter((row) => !row.reachable) : request.lost.map((name) => findMember(status, name))
  if (lost.length === 0)
    throw new CliError('E_QUORUM_ALIVE', `every member answers (${names(voters)}): nothing is lost`, { hint: 'raftctl status' })
  const alive = lost.find((row) => row.reachable)
  if (alive)
    throw new CliError('E_USAGE', `${alive.id} is not lost: it answers`, { hint: 'Name those that are down, or leave out --lost.' })
  const left = voters.filter((row) => !has(lost, row)).sort((a, b) => byLog(reportOf(found, b), reportOf(found, a)))
  const target = left.map(refOf)
  return makePlan({
    command: request.command,
    title: `set the members to ${names(target)} by hand, without ${names(lost)}`,
    ...{ impact: 'unsafe', level: 'severe', context: client.connection.context?.name ?? null, clusterId, group: status.group },
    ...{ configIndex: status.configIndex, term: status.term },
    before: sideOf(voters, voters),
    after: sideOf(voters, left),
    facts: factsOf(found, left, lost),
    gates: gatesOf(found, left),
    warnings: ['what only the lost members held is gone for good, acknowledged or not', ...warningsOf(found, lost)],
    steps: stepsOf(found, target, lost),
    force: false,
    reason: request.reason,
    action: {
      ...{ kind: 'members.reset', add: [], remove: lost.map(refOf), target },
      expected: Object.fromEntries(left.map((row) => [row.peerId, expectedOf(reportOf(found, row))])),
    },
  })
}

export function recoveryQuestion({ action }: RecoveryPlan): string {
  return `Give ${names(action.remove)} up for lost and go on with ${names(action.target)}?`
}

/** The plan with its gates as they are now. Throws E_PLAN_STALE when the members are others. */
export async function recheckRecovery(client: ClusterClient, plan: RecoveryPlan): Promise<DraftedPlan<ResetMembersAction>> {
  const found = await survey(client)
  checkPlan(plan, { clusterId: found.clusterId })
  const voters = votersIn(found)
  const planned = [...plan.action.target, ...plan.action.remove]
  if (voters.length !== planned.length || !voters.every((row) => has(planned, row)))
    throw new CliError('E_PLAN_STALE', `the members are ${names(voters)}, and plan ${plan.id} was made upon ${names(planned)}`)
  const left = voters.filter((row) => has(plan.action.target, row))
  return judged({ ...plan, gates: gatesOf(found, left) })
}

/**
 * Has each member that is left believe that they are all, the one that holds most first, waits until they have a leader and reads
 * the members back. Throws what a gate says with nothing changed, E_PARTIAL when only some took it, E_WAIT_TIMEOUT without a leader.
 */
export async function recover(
  client: ClusterClient,
  plan: RecoveryPlan,
  options: Pick<ChangeOptions, 'verify' | 'signal'>,
): Promise<MembershipResult> {
  const startedAt = performance.now()
  const { refusal } = await recheckRecovery(client, plan)
  if (refusal) throw refusal
  await reset(client, plan)
  const leader = await whenLed(client, plan, options.signal)
  const configIndex = leader.membership?.configIndex ?? 0
  const { target } = plan.action
  const verified = options.verify ? await verifyMembers(client, target, { configIndex, planId: plan.id }) : []
  return { configIndex, voters: target, verified, tookMs: Math.round(performance.now() - startedAt) }
}

async function reset(client: ClusterClient, plan: RecoveryPlan): Promise<void> {
  const { target, expected } = plan.action
  const done: string[] = []
  for (const { id, address, peerId } of target) {
    const call = { endpoint: address, group: client.group, node: peerId, members: target }
    const { generation = null, configIndex = null } = expected[peerId] ?? {}
    try {
      await client.engine.resetMembers({ ...call, expectGeneration: generation, expectConfigIndex: configIndex })
      done.push(id)
    } catch (thrown) {
      if (!(thrown instanceof CliError) || done.length === 0) throw thrown
      throw new CliError('E_PARTIAL', `${done.join(', ')} took the new members, and ${id} did not: ${thrown.message}`, {
        hint: 'Look at them, then do it again:  raftctl status',
        details: { done, failed: id, code: thrown.code },
      })
    }
  }
}

/** The leader by its own word and that of a quorum of those that are left. */
async function whenLed(client: ClusterClient, plan: RecoveryPlan, signal: AbortSignal): Promise<NodeReport> {
  const { target } = plan.action
  const startedAt = performance.now()
  while (!signal.aborted) {
    const found = await survey(client)
    const claim = findLeader(found)
    const slowest = Math.max(0, ...[...found.reports.values()].map((report) => report.electionTimeoutMs))
    const members = claim?.report?.membership?.members ?? []
    const isNew = members.length === target.length && members.every((member) => has(target, member))
    if (claim?.confirmed && claim.report?.leaderReady && isNew) return claim.report
    if (performance.now() - startedAt > client.connection.timeoutMs + ELECTION_TIMEOUTS * slowest) break
    await pause(POLL_MS, undefined, { signal }).catch(() => {})
  }
  throw new CliError('E_WAIT_TIMEOUT', `${names(target)} took the new members, and nobody leads them yet`, {
    hint: 'raftctl status --watch',
  })
}

function gatesOf(found: Survey, left: readonly Voter[]): PlanGate[] {
  const voters = votersIn(found)
  const up = voters.filter((row) => row.reachable && row.standing !== 'rebuilding')
  const silent = left.filter((row) => !row.reachable)
  const rebuilding = left.filter((row) => row.standing === 'rebuilding')
  const witnesses = left.filter((row) => row.role === 'witness')
  const majority = up.length >= quorumOf(voters.length)
  const instead = 'raftctl member replace OLD NEW=HOST:PORT'
  const led = ledElsewhere(found, left)
  return [
    majority
      ? gate(
          'R1',
          'E_QUORUM_ALIVE',
          `${names(up)} of ${voters.length} voters answer, which is a majority: a change of members will do`,
          instead,
        )
      : led !== null
        ? gate('R1', 'E_QUORUM_ALIVE', `${led}: the majority lives on where it is not reached from here`, null)
        : passed('R1', `${up.length} of ${voters.length} voters answer, no majority`),
    silent.length > 0 || left.length === 0
      ? gate(
          'R2',
          'E_QUORUM_AT_RISK',
          left.length === 0
            ? 'nobody is left'
            : `${names(silent)} ${silent.length === 1 ? 'does not answer, and is' : 'do not answer, and are'} not among the lost`,
          null,
        )
      : passed('R2', `${names(left)} ${left.length === 1 ? 'answers' : 'answer'}`),
    ...(witnesses.length > 0
      ? [
          gate(
            'R3',
            'E_NOT_CAUGHT_UP',
            `${names(witnesses)} holds no data, and votes for nobody who lacks what it knows of: count it among the lost`,
            null,
          ),
        ]
      : []),
    ...(rebuilding.length > 0 ? [gate('R3', 'E_NOT_CAUGHT_UP', `${names(rebuilding)} is being rebuilt: it may lack anything`, null)] : []),
  ]
}

/** A leader that those who answer still hear, or that hears its quorum: the others are cut off from us, not lost. */
function ledElsewhere(found: Survey, left: readonly Voter[]): string | null {
  const claim = findLeader(found)
  if (claim?.confirmed && claim.report) return `${nameOf(found, claim.leaderId)} leads, and a quorum answers it`
  for (const row of left) {
    const report = reportOf(found, row)
    if (!report || report.leaderId === null || peerKey(report.leaderId) === peerKey(row.peerId) || !hearsLeader(report)) continue
    const since = report.leaderContactMs === null ? '' : ` (${grouped(report.leaderContactMs)} ms ago)`
    return `${row.id} hears ${nameOf(found, report.leaderId)} lead${since}`
  }
  return null
}

function passed(name: string, message: string): PlanGate {
  return { gate: name, passed: true, forcible: false, code: null, message, instead: null }
}

function gate(name: string, code: string, message: string, instead: string | null): PlanGate {
  return { gate: name, passed: false, forcible: false, code, message, instead }
}

function factsOf(found: Survey, left: readonly Voter[], lost: readonly MemberRef[]): string[] {
  const lines = left.flatMap((row) => {
    const report = reportOf(found, row)
    if (!report) return []
    const { lastTerm, lastIndex, commitIndex } = report
    return [
      `${row.id} holds the log up to ${grouped(lastIndex)} (term ${lastTerm}), and knows it to be committed up to ${grouped(commitIndex)}`,
    ]
  })
  const best = left[0] && reportOf(found, left[0])
  if (!best) return lines
  const open = best.lastIndex - best.commitIndex
  return [
    ...lines,
    ...(open > 0 ? [`becomes final: entries ${grouped(best.commitIndex + 1)} to ${grouped(best.lastIndex)}, committed or not`] : []),
    `lost: whatever ${names(lost)} held above ${grouped(best.lastIndex)}, which nobody can know`,
  ]
}

function warningsOf(found: Survey, lost: readonly MemberRef[]): string[] {
  if (![...found.reports.values()].some(({ kind }) => kind === 'braft')) return []
  return [`${names(lost)} must not come back with what they hold: they could elect a leader of their own`]
}

function stepsOf(found: Survey, target: readonly MemberRef[], lost: readonly MemberRef[]): string[] {
  const braft = [...found.reports.values()].some(({ kind }) => kind === 'braft')
  const back = braft ? 'empty the directories of' : 'put the directories aside (raftctl node wipe DIR) of'
  return [
    ...target.map(({ id }) => `tell ${id} that the members are ${names(target)}`),
    'wait until they have elected a leader',
    `verify on ${target.map(({ id }) => id).join(' ')}`,
    `${back} ${names(lost)} before they run again, then raftctl member add`,
  ]
}

function sideOf(all: readonly Voter[], voters: readonly Voter[]): PlanSide {
  const reachable = voters.filter((row) => row.reachable).length
  const quorum = quorumOf(voters.length)
  const note = (row: Voter) => (row.reachable ? null : 'down')
  return {
    voters: all
      .filter((row) => has(voters, row))
      .map((row) => ({ id: row.id, leader: row.leader, reachable: row.reachable, note: note(row) })),
    ...{ quorum, reachable, tolerates: Math.max(0, reachable - quorum) },
  }
}

function votersIn(found: Survey): Voter[] {
  return statusOf(found).status.nodes.filter((row): row is Voter => row.peerId !== null && (row.role === 'voter' || row.role === 'witness'))
}

function reportOf(found: Survey, row: Voter): NodeReport | undefined {
  return found.reports.get(peerKey(row.peerId))
}

function expectedOf(report: NodeReport | undefined) {
  return { generation: report?.generation ?? null, configIndex: report?.membership?.configIndex ?? null }
}

/** Whose log another may vote for. */
function byLog(a: NodeReport | undefined, b: NodeReport | undefined): number {
  return (a?.lastTerm ?? -1) - (b?.lastTerm ?? -1) || (a?.lastIndex ?? -1) - (b?.lastIndex ?? -1)
}

function has(members: readonly { readonly peerId: string }[], { peerId }: { readonly peerId: string }): boolean {
  return members.some((member) => peerKey(member.peerId) === peerKey(peerId))
}

function names(members: readonly { readonly id: string }[]): string {
  return members.length === 0 ? 'nobody' : members.map(({ id }) => id).join(', ')
}
