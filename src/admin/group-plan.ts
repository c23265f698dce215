import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import type { ControlCalls } from './engines/control-calls.js'
import {
  type CreateOutcome,
  type CreatePlan,
  type CreateRequest,
  executeCreate,
  halfCreated,
  planCreate,
  waitForLeader,
} from './group-create.js'
import { executeRemove, halfRemoved, planRemove, type RemoveOutcome, type RemovePlan, type RemoveRequest } from './group-remove.js'
import { checkPlan, type DraftedPlan, makePlan, type Plan } from './plan.js'

/** A group that is to be there. */
export interface CreateGroupAction {
  readonly kind: 'group.create'
  readonly request: CreateRequest
  readonly create: CreatePlan
}

/** A group that is to go, with all that it holds. */
export interface RemoveGroupAction {
  readonly kind: 'group.remove'
  readonly request: RemoveRequest
  readonly remove: RemovePlan
}

export type GroupCreation = Plan<CreateGroupAction>
export type GroupRemoval = Plan<RemoveGroupAction>

const AS_STEP = { founder: 'founds it', joiner: 'waits to be added, or rebuilt from the others' } as const

/** As planCreate, as a plan that can be shown, kept and executed by another. */
export async function draftCreation(
  client: ClusterClient,
  calls: ControlCalls,
  { reason, ...request }: CreateRequest & { readonly reason: string | null },
): Promise<DraftedPlan<CreateGroupAction>> {
  const create = await planCreate(client, calls, request)
  const { group, clusterId, members, machine, steps } = create
  return makePlan({
    ...{ command: 'group create', title: `create group ${group}`, impact: 'membership', level: 'mild' },
    ...commonOf(client, clusterId, reason),
    facts: [`members ${members.join(', ')} · machine ${machine}`],
    steps: steps.flatMap(({ node, as }) => (as === 'here' ? [] : [`${node} ${AS_STEP[as]}`])),
    action: { kind: 'group.create', request, create },
  })
}

/** As planRemove, as a plan that can be shown, kept and executed by another. */
export async function draftRemoval(
  client: ClusterClient,
  calls: ControlCalls,
  { reason, ...request }: RemoveRequest & { readonly reason: string | null },
): Promise<DraftedPlan<RemoveGroupAction>> {
  const remove = await planRemove(client, calls, request)
  const { group, clusterId, copies, entries, empty, silent } = remove
  const lost = `its ${entries} committed ${entries === 1 ? 'entry' : 'entries'} on ${copies.map(({ node }) => node).join(', ')} are lost for good`
  return makePlan({
    ...{ command: 'group remove', title: `remove group ${group}`, impact: 'data', level: empty ? 'moderate' : 'severe' },
    ...commonOf(client, clusterId, reason),
    facts: [empty ? 'nobody has founded it: nothing was ever written to it' : lost],
    warnings: silent.map((node) => `${node} does not answer, and keeps what it holds of it`),
    steps: copies.map(({ node }) => `${node} stops it and deletes its files`),
    action: { kind: 'group.remove', request, remove },
  })
}

function commonOf(client: ClusterClient, clusterId: string | null, reason: string | null) {
  const context = client.connection.context?.name ?? null
  return {
    context,
    clusterId,
    group: client.group,
    configIndex: null,
    term: null,
    before: null,
    after: null,
    gates: [],
    warnings: [],
    force: false,
    reason,
  }
}

export function isOfCreation(plan: Plan): plan is GroupCreation {
  return plan.action.kind === 'group.create'
}

export function isOfRemoval(plan: Plan): plan is GroupRemoval {
  return plan.action.kind === 'group.remove'
}

/** Looks at a plan that somebody made before. Throws E_PLAN_STALE when what it was made upon is otherwise by now. */
export async function recheckGroup<P extends GroupCreation | GroupRemoval>(
  client: ClusterClient,
  calls: ControlCalls,
  plan: P,
): Promise<DraftedPlan<P['action']>> {
  const { action } = plan as GroupCreation | GroupRemoval
  const isCreation = action.kind === 'group.create'
  // Its age before anybody is asked: who asks for what is over would be told of something else.
  checkPlan(plan, { clusterId: plan.clusterId })
  const stale = new CliError('E_PLAN_STALE', `who hosts group ${action.request.group} is not what plan ${plan.id} was made upon`, {
    hint: `Plan it anew:  raftctl ${plan.command} ${action.request.group} --plan-out FILE`,
  })
  const look = isCreation ? planCreate(client, calls, action.request) : planRemove(client, calls, action.request)
  const { clusterId, ...now } = await look.catch((thrown: unknown) => {
    // Executed before, or by somebody else.
    throw !isCreation && thrown instanceof CliError && thrown.code === 'E_NO_GROUP' ? stale : thrown
  })
  checkPlan(plan, { clusterId })
  const same = isCreation ? sameCreation(action.create, now as CreatePlan) : sameRemoval(action.remove, now as RemovePlan)
  if (same) return { plan: plan as Plan<P['action']>, refusal: null, awaited: null }
  throw stale
}

/** An id of its own is made up for a new group each time. */
function sameCreation(planned: CreatePlan, now: CreatePlan): boolean {
  const essence = ({ found, uid, machine, founders, steps }: CreatePlan) =>
    JSON.stringify([found, found === 'new' ? null : uid, machine, founders, steps.map(({ address, as }) => [address, as])])
  return essence(planned) === essence(now)
}

/** What was written meanwhile does not matter; that it was founded meanwhile does. */
function sameRemoval(planned: RemovePlan, now: RemovePlan): boolean {
  const essence = ({ copies, empty, silent }: RemovePlan) =>
    JSON.stringify([copies.map(({ address, uid }) => `${address} ${uid}`).sort(), empty, [...silent].sort()])
  return essence(planned) === essence(now)
}

/** Creates the group of a plan, and waits for its leader unless told otherwise. */
export async function executeCreation(
  calls: ControlCalls,
  { action: { create } }: GroupCreation,
  { wait, timeoutMs }: { readonly wait: boolean; readonly timeoutMs: number },
): Promise<{ readonly outcome: CreateOutcome; readonly error: CliError | null }> {
  const outcome = await executeCreate(calls, create)
  const failed = halfCreated(outcome)
  const isFounding = create.steps.some(({ as }) => as !== 'joiner')
  if (failed !== null || !wait || !isFounding) return { outcome, error: failed }
  const { leader, error } = await waitForLeader(calls, create, { timeoutMs })
  return { outcome: { ...outcome, leader }, error }
}

/** Removes the group of a plan. */
export async function executeRemoval(
  calls: ControlCalls,
  { action: { remove } }: GroupRemoval,
): Promise<{ readonly outcome: RemoveOutcome; readonly error: CliError | null }> {
  const outcome = await executeRemove(calls, remove)
  return { outcome, error: halfRemoved(outcome) }
}
