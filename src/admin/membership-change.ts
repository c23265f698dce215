import { setTimeout as pause } from 'node:timers/promises'
import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { survey } from './discovery.js'
import type { ChangeProgress } from './engines/engine.js'
import { findLeader, quorumOf, votersOf } from './leader-claims.js'
import type { MemberRef } from './member-lookup.js'
import { changesOf, type MembershipPlan } from './membership-plan.js'
import { addressOf, type MembershipReport, peerKey } from './node-report.js'
import { checkPlan } from './plan.js'
import { plannedUpon, refuseStale } from './stale-plan.js'
import { statusOf } from './status.js'
import { transfer } from './transfer.js'
import { planTransfer } from './transfer-plan.js'

/** A member that was asked for the configuration it knows to be committed. */
export interface Verification extends MemberRef {
  readonly ok: boolean
  /** Why it could not say so; null when it did. */
  readonly problem: string | null
}

/** What became of a plan. */
export interface MembershipResult {
  /** The entry that made the members what they are. */
  readonly configIndex: number
  readonly voters: readonly MemberRef[]
  /** Empty when nobody was asked (--no-wait). */
  readonly verified: readonly Verification[]
  readonly tookMs: number
}

export interface ChangeOptions {
  readonly listener: (progress: ChangeProgress) => void
  /** False: answers once the leader has committed it, without asking the members. */
  readonly verify: boolean
  readonly signal: AbortSignal
}

const RETRY_MS = 200
const VERIFY_MS = 100

/**
 * Executes a plan of members: hands over first where the leader goes, has the leader make the change, and reads it back
 * from every member. The configuration it was made upon goes along, so that asking again never changes anything twice.
 *
 * Throws E_PLAN_STALE, E_CONFIG_PENDING, E_WAIT_TIMEOUT or what a gate says with nothing changed; E_OUTCOME_UNKNOWN when
 * nobody can tell.
 */
export async function changeMembership(client: ClusterClient, plan: MembershipPlan, options: ChangeOptions): Promise<MembershipResult> {
  const startedAt = performance.now()
  checkPlan(plan, { clusterId: client.connection.clusterId })
  await handOver(client, plan, options.signal)
  const configIndex = await new Execution(client, plan, options).run()
  const verified = options.verify ? await verifyMembers(client, plan.action.target, { configIndex, planId: plan.id }) : []
  return { configIndex, voters: plan.action.target, verified, tookMs: Math.round(performance.now() - startedAt) }
}

async function handOver(client: ClusterClient, plan: MembershipPlan, signal: AbortSignal): Promise<void> {
  const { transferTo } = plan.action
  if (transferTo === null) return
  const request = { command: plan.command, target: transferTo.peerId, exclude: null, reason: plan.reason }
  const drafted = await planTransfer(client, request)
  checkPlan(plan, { clusterId: drafted.plan.clusterId })
  if (drafted.plan.configIndex !== plan.configIndex) refuseStale(plan, statusOf(await survey(client)).status)
  await transfer(client, drafted.plan, { wait: true, signal })
}

/** The leader is asked until there is a verdict; a leader that is lost meanwhile is looked for again. */
class Execution {
  private readonly deadline: number
  /** A request was sent whose answer never came: from then on what is in force decides. */
  private unanswered: CliError | null = null
  /** The members were changed since, by that request or by somebody else. */
  private overtaken = false

  constructor(
    private readonly client: ClusterClient,
    private readonly plan: MembershipPlan,
    private readonly options: ChangeOptions,
  ) {
    this.deadline = performance.now() + plan.action.catchupTimeoutMs + 2 * client.connection.timeoutMs
  }

  /** Answers the entry that made the change. */
  async run(): Promise<number> {
    for (;;) {
      const leader = await this.leader()
      if (this.unanswered && leader.membership && this.isInForce(leader.membership)) return leader.membership.configIndex
      if (this.overtaken) throw this.unanswered
      try {
        return await this.ask(leader.address)
      } catch (thrown) {
        if (!(thrown instanceof CliError) || !this.mayAskAgain(thrown)) throw thrown
      }
      if (performance.now() > this.deadline || this.options.signal.aborted) throw this.unanswered ?? timedOut(this.plan)
      await pause(RETRY_MS, undefined, { signal: this.options.signal }).catch(() => {})
    }
  }

  private async ask(endpoint: string): Promise<number> {
    const { client, plan, options } = this
    const { force, catchupTimeoutMs } = plan.action
    const last = await client.engine.changeMembers(
      {
        ...{ endpoint, group: client.group, ...changesOf(plan.action), force, catchupTimeoutMs, dryRun: false },
        expectConfigIndex: plan.configIndex,
        expectVoters: plannedUpon(plan.action).map(({ peerId }) => peerId),
        reason: plan.reason,
        signal: options.signal,
      },
      options.listener,
    )
    if (last.stage === 'done' && last.membership) return last.membership.configIndex
    throw new CliError('E_OUTCOME_UNKNOWN', `${endpoint} ended the change without a verdict; it may have been applied`, {
      hint: 'Look before you repeat it:  raftctl member list',
    })
  }

  /** Refusals are final, but for those that an earlier request of ours without an answer may be the reason of. */
  private mayAskAgain(error: CliError): boolean {
    if (error.code === 'E_OUTCOME_UNKNOWN') this.unanswered = error
    this.overtaken = error.code === 'E_PLAN_STALE'
    const looksElsewhere = error.code === 'E_NO_LEADER' || error.code === 'E_UNREACHABLE' || error.code === 'E_OUTCOME_UNKNOWN'
    return looksElsewhere || (this.unanswered !== null && (error.code === 'E_CONFIG_PENDING' || error.code === 'E_PLAN_STALE'))
  }

  private async leader(): Promise<{ readonly address: string; readonly membership: MembershipReport | null }> {
    const { client, plan } = this
    const deadline = Math.min(this.deadline, performance.now() + client.connection.timeoutMs)
    for (;;) {
      const found = await survey(client)
      checkPlan(plan, { clusterId: found.clusterId, now: new Date(plan.createdAt) })
      const claim = findLeader(found)
      if (claim?.confirmed && claim.report) return { address: addressOf(claim.leaderId), membership: claim.report.membership }
      if (performance.now() > deadline)
        throw this.unanswered ?? new CliError('E_NO_LEADER', 'no leader that answers from here; nothing was changed')
      await pause(RETRY_MS)
    }
  }

  private isInForce(membership: MembershipReport): boolean {
    return membership.committed && membership.stage !== 'joint' && sameMembers(membership, this.plan.action)
  }
}

function timedOut(plan: MembershipPlan): CliError {
  return new CliError('E_NO_LEADER', `no leader took the change within ${plan.action.catchupTimeoutMs} ms; nothing was changed`)
}

function sameMembers({ members, oldMembers }: MembershipReport, { target, targetLearners }: MembershipPlan['action']): boolean {
  const voters = votersOf(members)
  const learners = members.filter(({ role }) => role === 'learner').map(({ peerId }) => peerKey(peerId))
  return oldMembers.length === 0 && areJust(voters, target) && areJust(learners, targetLearners)
}

function areJust(keys: readonly string[], wanted: readonly MemberRef[]): boolean {
  const found = new Set(keys)
  return found.size === wanted.length && wanted.every((member) => found.has(peerKey(member.peerId)))
}

/**
 * Reads the committed configuration back from every member. One that is down learns it when it comes back; with fewer than
 * a quorum nothing is proven, and that is E_OUTCOME_UNKNOWN.
 */
export async function verifyMembers(
  client: ClusterClient,
  target: readonly MemberRef[],
  { configIndex, planId }: { readonly configIndex: number; readonly planId: string },
): Promise<readonly Verification[]> {
  const deadline = performance.now() + client.connection.timeoutMs
  let rows: readonly Verification[] = []
  for (;;) {
    const waiting = target.filter((member) => !rows.some((row) => row.ok && row.peerId === member.peerId))
    const asked = await Promise.all(waiting.map((member) => verifyOne(client, member, configIndex)))
    rows = target.map((member) => asked.find((row) => row.peerId === member.peerId) ?? rows.find((row) => row.peerId === member.peerId)!)
    const quorate = rows.filter((row) => row.ok).length >= quorumOf(target.length)
    const final = rows.every((row) => row.ok || row.problem !== BEHIND)
    if ((quorate && final) || performance.now() > deadline) {
      if (quorate) return rows
      throw unproven(rows, planId)
    }
    await pause(VERIFY_MS)
  }
}

const BEHIND = 'has not heard of it yet'

async function verifyOne(client: ClusterClient, member: MemberRef, configIndex: number): Promise<Verification> {
  const [reply] = await client.ask([member.address])
  if (!reply || !('report' in reply)) return { ...member, ok: false, problem: reply?.failure.message ?? 'does not answer' }
  const { membership } = reply.report
  const ok = membership?.committed === true && membership.oldMembers.length === 0 && membership.entryIndex >= configIndex
  return { ...member, ok, problem: ok ? null : BEHIND }
}

function unproven(rows: readonly Verification[], planId: string): CliError {
  const silent = rows.filter((row) => !row.ok).map((row) => `${row.id} ${row.problem}`)
  return new CliError('E_OUTCOME_UNKNOWN', `the leader committed it, but too few members say so: ${silent.join('; ')}`, {
    hint: 'Look before you repeat it:  raftctl member list',
    details: { plan: planId, verified: rows },
  })
}
