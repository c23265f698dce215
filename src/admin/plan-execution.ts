import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { survey } from './discovery.js'
import { ControlCalls } from './engines/control-calls.js'
import type { CreateOutcome } from './group-create.js'
import {
  executeCreation,
  executeRemoval,
  type GroupCreation,
  type GroupRemoval,
  isOfCreation,
  isOfRemoval,
  recheckGroup,
} from './group-plan.js'
import type { RemoveOutcome } from './group-remove.js'
import { findLeader } from './leader-claims.js'
import { type ExecutionSettings, executionParts, recoveryExecution } from './membership-parts.js'
import { gatesOf, isAwaited, type MembershipPlan } from './membership-plan.js'
import { questionOf, WAIT_STEP } from './membership-words.js'
import { checkPlan, confirmationName, type DraftedPlan, judged, type Plan, type PlanGate } from './plan.js'
import { type RecoveryPlan, recheckRecovery, recoveryQuestion } from './recovery.js'
import { refuseStale } from './stale-plan.js'
import { statusOf } from './status.js'
import { type TransferOutcome, transfer } from './transfer.js'
import { leaderIn, type TransferPlan } from './transfer-plan.js'

/** A plan from a file, looked at again and ready to be confirmed. */
export interface SavedPlan {
  readonly drafted: DraftedPlan
  readonly question: string
  readonly name: string
  /** Looks at it again while its question is open. */
  readonly recheck: () => Promise<DraftedPlan>
  /** Null when it is of another kind. */
  readonly members: MembershipPlan | null
  readonly parts: ReturnType<typeof executionParts>
  /** The same for one that sets the members by hand. */
  readonly recovery: { readonly plan: RecoveryPlan; readonly parts: ReturnType<typeof recoveryExecution> } | null
  /** The same for one that creates or removes a group. */
  readonly group: (() => Promise<GroupOutcome>) | null
  readonly transfer: () => Promise<TransferOutcome>
}

/** What became of a group, and of which part of it nothing did. */
export type GroupOutcome = { readonly error: CliError | null } & (
  | { readonly created: CreateOutcome; readonly removed: null }
  | { readonly created: null; readonly removed: RemoveOutcome }
)

/**
 * Takes a plan that somebody made before. Throws E_PLAN_STALE when it is too old or the members are others by now,
 * E_CLUSTER_MISMATCH on another cluster, E_USAGE for a kind that this version does not execute.
 */
export async function savedPlan(client: ClusterClient, plan: Plan, settings: ExecutionSettings): Promise<SavedPlan> {
  if (!client.connection.anyGroup) refuseGroup(plan, client.group)
  const members = isOfMembers(plan) ? plan : null
  const recovery = isOfRecovery(plan) ? { plan, parts: recoveryExecution(client, settings) } : null
  const group = isOfGroup(plan) ? plan : null
  if (members === null && recovery === null && group === null && !isOfLeadership(plan))
    throw new CliError('E_USAGE', `plan ${plan.id} is of kind ${plan.action.kind}, which this version does not execute`, {
      hint: `Run the command that made it: raftctl ${plan.command}`,
    })
  const recheck = () => (isOfRecovery(plan) ? recheckRecovery(client, plan) : group ? checkedGroup(client, group) : checked(client, plan))
  return {
    drafted: await recheck(),
    question: members ? questionOf(members) : recovery ? recoveryQuestion(recovery.plan) : `${plan.title}?`,
    name: group && isOfRemoval(group) ? group.action.request.group : confirmationName(plan),
    recheck,
    members,
    parts: executionParts(client, settings),
    recovery,
    group: group && (() => executeGroup(client, group, settings.verify)),
    transfer: () => transfer(client, plan as TransferPlan, { wait: settings.verify, signal: settings.signal }),
  }
}

async function checkedGroup(client: ClusterClient, plan: GroupCreation | GroupRemoval): Promise<DraftedPlan> {
  using calls = new ControlCalls(client.connection)
  return await recheckGroup(client, calls, plan)
}

async function executeGroup(client: ClusterClient, plan: GroupCreation | GroupRemoval, wait: boolean): Promise<GroupOutcome> {
  using calls = new ControlCalls(client.connection)
  if (isOfRemoval(plan)) {
    const { outcome, error } = await executeRemoval(calls, plan)
    return { created: null, removed: outcome, error }
  }
  const { outcome, error } = await executeCreation(calls, plan, { wait, timeoutMs: client.connection.timeoutMs })
  return { created: outcome, removed: null, error }
}

function isOfGroup(plan: Plan): plan is GroupCreation | GroupRemoval {
  return isOfCreation(plan) || isOfRemoval(plan)
}

function refuseGroup(plan: Plan, group: string): void {
  if (plan.group === group) return
  throw new CliError('E_USAGE', `plan ${plan.id} is for group ${plan.group}, not ${group}`, { hint: `Add --group ${plan.group}.` })
}

function isOfMembers(plan: Plan): plan is MembershipPlan {
  return plan.action.kind === 'members.change'
}

function isOfRecovery(plan: Plan): plan is RecoveryPlan {
  return plan.action.kind === 'members.reset'
}

function isOfLeadership(plan: Plan): plan is TransferPlan {
  return plan.action.kind === 'leader.transfer'
}

/** The plan with its gates as they are now. What was forced is what the person who planned it saw. */
async function checked(client: ClusterClient, plan: Plan): Promise<DraftedPlan> {
  const found = await survey(client)
  const { status, error } = statusOf(found)
  refuseGroup(plan, found.group)
  checkPlan(plan, { clusterId: found.clusterId })
  if (error) throw error
  refuseStale(plan, status)
  if (!isOfMembers(plan)) return judged(plan)
  const { leader } = leaderIn(status, findLeader(found), client.connection.direct)
  const gates = await gatesOf(client, leader.address, { ...plan.action, configIndex: status.configIndex })
  return judged({ ...plan, ...asTheyAnswer(plan, gates), gates: gates.filter((gate) => gate.gate.startsWith('G')) })
}

/** Who did not run when it was planned may run by now: nobody is told to start it then. */
function asTheyAnswer(
  { facts, steps, action }: MembershipPlan,
  gates: readonly PlanGate[],
): { facts: readonly string[]; steps: readonly string[] } {
  const coming = [...action.add, ...action.learners]
  const silent = coming.filter(({ id }) => gates.some((gate) => isAwaited(gate) && gate.message.startsWith(`${id} `)))
  const started = coming.filter((member) => !silent.includes(member))
  return {
    facts: facts.filter((fact) => !started.some(({ id }) => fact.startsWith(`${id} does not run yet`))),
    steps: silent.length > 0 ? steps : steps.filter((step) => step !== WAIT_STEP && !/^wait until .* answers there$/.test(step)),
  }
}
