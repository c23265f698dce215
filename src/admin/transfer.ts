import { setTimeout as pause } from 'node:timers/promises'
import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { survey } from './discovery.js'
import type { TransferAnswer } from './engines/engine.js'
import { findLeader, LEADING, nameOf } from './leader-claims.js'
import type { MemberRef } from './member-lookup.js'
import { addressOf, type NodeReport, peerKey } from './node-report.js'
import { type Candidate, leadsAlready, planTransfer, type TransferAction, type TransferPlan } from './transfer-plan.js'

/** `data` of `leader transfer` and `leader step-down` with --json. */
export interface TransferOutcome {
  readonly group: string
  /** False with --dry-run. */
  readonly done: boolean
  readonly from: MemberRef
  readonly to: MemberRef
  readonly termBefore: number
  readonly termAfter: number | null
  /** From the last acknowledgement under the old leader to the first commit under the new; null when either is unknown. */
  readonly gapMs: number | null
  /** Of it, since the old leader began to refuse writes. */
  readonly pausedMs: number | null
  readonly chosen: TransferAction['chosen']
  readonly candidates: readonly Candidate[]
  readonly plan: TransferPlan
}

export interface TransferOptions {
  /** Until the new leader takes writes; false answers as soon as it is known. */
  readonly wait: boolean
  readonly signal: AbortSignal
}

const POLL_MS = 10

/** What is known before anything was done; everything, when the target leads already. */
export function plannedOutcome(plan: TransferPlan): TransferOutcome {
  const { from, to, chosen, candidates } = plan.action
  const already = leadsAlready(plan)
  const term = plan.term ?? 0
  const unknown = { gapMs: null, pausedMs: null }
  return {
    group: plan.group,
    done: already,
    from,
    to,
    termBefore: term,
    termAfter: already ? term : null,
    ...unknown,
    chosen,
    candidates,
    plan,
  }
}

/**
 * Hands leadership over as planned and sees to it that the new leader takes writes. The leader may have changed since the
 * plan was made: then it is made anew, once. Throws E_WAIT_TIMEOUT when the target did not take over or does not take
 * writes in time, E_OUTCOME_UNKNOWN when nobody can tell, and whatever the leader refused with.
 */
export async function transfer(client: ClusterClient, plan: TransferPlan, options: TransferOptions): Promise<TransferOutcome> {
  if (leadsAlready(plan)) return plannedOutcome(plan)
  try {
    return await execute(client, plan, options)
  } catch (thrown) {
    const moved = thrown instanceof CliError && thrown.code === 'E_NO_LEADER' && thrown.details.applied === 'no'
    if (!moved || client.connection.direct) throw thrown
    const { plan: again } = await planTransfer(client, plan.action.request)
    return leadsAlready(again) ? plannedOutcome(again) : execute(client, again, options)
  }
}

async function execute(client: ClusterClient, plan: TransferPlan, options: TransferOptions): Promise<TransferOutcome> {
  const { group } = client
  const { timeoutMs } = client.connection
  const answer = await client.engine
    .transferLeader({ endpoint: plan.action.from.address, group, target: plan.action.to.peerId, timeoutMs })
    .catch((thrown) => lookedUp(client, plan, thrown))
  const taken = { ...plannedOutcome(plan), done: true, to: await leaderRef(client, plan, answer), termAfter: answer.newTerm }
  if (!options.wait) return taken
  const ready = await whenReady(client, answer, options.signal)
  const { lastAcknowledgedAtMs, startedAtMs } = answer
  return {
    ...taken,
    to: await leaderRef(client, plan, { newLeader: ready.report.peerId }),
    termAfter: ready.report.term,
    gapMs: since(lastAcknowledgedAtMs, ready.atMs),
    pausedMs: since(startedAtMs, ready.atMs),
  }
}

function since(fromMs: number | null, atMs: number): number | null {
  return fromMs === null ? null : Math.max(0, Math.round((atMs - fromMs) * 10) / 10)
}

/** The old leader gave no verdict. Where a newer leader is confirmed the transfer is over all the same. */
async function lookedUp(client: ClusterClient, plan: TransferPlan, thrown: unknown): Promise<TransferAnswer> {
  if (!(thrown instanceof CliError) || thrown.code !== 'E_OUTCOME_UNKNOWN') throw thrown
  const claim = findLeader(await survey(client))
  if (!claim?.confirmed || claim.term <= (plan.term ?? 0) || claim.report === null) throw thrown
  return { newLeader: claim.leaderId, newTerm: claim.term, startedAtMs: null, lastAcknowledgedAtMs: null }
}

async function leaderRef(client: ClusterClient, plan: TransferPlan, { newLeader }: Pick<TransferAnswer, 'newLeader'>): Promise<MemberRef> {
  const { from, to, candidates } = plan.action
  const known = [to, from, ...candidates].find((member) => peerKey(member.peerId) === peerKey(newLeader))
  if (known) return { id: known.id, address: known.address, peerId: known.peerId }
  return { id: nameOf(await survey(client), newLeader), address: addressOf(newLeader), peerId: newLeader }
}

/** Looks at the new leader until it has committed an entry of its term, and follows on when it lost leadership again. */
async function whenReady(
  client: ClusterClient,
  { newLeader, newTerm }: TransferAnswer,
  signal: AbortSignal,
): Promise<{ readonly report: NodeReport; readonly atMs: number }> {
  const { group } = client
  const { timeoutMs } = client.connection
  const deadline = performance.now() + timeoutMs
  let leader = newLeader
  while (performance.now() < deadline && !signal.aborted) {
    const report = await client.engine.nodeStatus({ endpoint: addressOf(leader), group }).catch(unlessReachable)
    const atMs = performance.now()
    if (report && LEADING.has(report.raftState) && report.term >= newTerm && report.leaderReady)
      return { report, atMs: atMs - (report.leaderReadyForMs ?? 0) }
    if (report && report.term >= newTerm && report.leaderId !== null) leader = report.leaderId
    await pause(POLL_MS, undefined, { signal }).catch(() => {})
  }
  throw new CliError('E_WAIT_TIMEOUT', `${addressOf(leader)} took over in term ${newTerm} and does not take writes after ${timeoutMs} ms`, {
    hint: 'Look at it:  raftctl status',
    details: { leader, term: newTerm },
  })
}

function unlessReachable(thrown: unknown): null {
  if (thrown instanceof CliError && thrown.code === 'E_UNREACHABLE') return null
  throw thrown
}
