import { randomUUID } from 'node:crypto'
import { CliError, isErrorCode } from '../terminal/errors.js'

/** How long a plan may be executed after it was made. */
export const PLAN_LIFE_MS = 5 * 60_000

export interface PlanVoter {
  readonly id: string
  readonly leader: boolean
  readonly reachable: boolean
  /** Why it is not reachable, such as `down 4m12s`; null when it is, or when nobody can say. */
  readonly note: string | null
}

/** A set of voters, and what it can bear. */
export interface PlanSide {
  readonly voters: readonly PlanVoter[]
  readonly quorum: number
  readonly reachable: number
  /** How many more may fail before writes stop. */
  readonly tolerates: number
}

/** One condition, as the server decided it. */
export interface PlanGate {
  readonly gate: string
  readonly passed: boolean
  readonly forcible: boolean
  /** Of the error it makes when it does not hold; null when it holds. */
  readonly code: string | null
  readonly message: string
  /** What to do instead; null when there is nothing better. */
  readonly instead: string | null
}

/**
 * What a mutation will do: built, printed, confirmed, then executed, and the executor takes nothing else.
 *
 * `action` is what the executor of its `kind` reads; everything besides it is for people.
 */
export interface Plan<Action extends PlanAction = PlanAction> {
  readonly schema: 'raftctl.plan/1'
  readonly id: string
  /** The command that made it. */
  readonly command: string
  /** `remove n3`. */
  readonly title: string
  readonly impact: 'leadership' | 'membership' | 'data' | 'unsafe'
  readonly level: 'mild' | 'moderate' | 'severe'
  readonly context: string | null
  readonly clusterId: string | null
  readonly group: string
  /** The members it was made upon; a change since then makes it stale. */
  readonly configIndex: number | null
  readonly term: number | null
  readonly before: PlanSide | null
  readonly after: PlanSide | null
  readonly facts: readonly string[]
  readonly gates: readonly PlanGate[]
  readonly warnings: readonly string[]
  readonly steps: readonly string[]
  /** A gate that does not hold is overridden. */
  readonly forced: boolean
  readonly reason: string | null
  readonly createdAt: string
  readonly expiresAt: string
  readonly action: Action
}

/** What is executed; the fields besides `kind` belong to its executor. */
export interface PlanAction {
  readonly kind: string
}

export type PlanDraft<Action extends PlanAction> = Omit<Plan<Action>, 'schema' | 'id' | 'createdAt' | 'expiresAt' | 'forced'> & {
  /** The person said --force. */
  readonly force: boolean
}

/** A plan and what stands in its way; null when nothing does. */
export interface DraftedPlan<Action extends PlanAction = PlanAction> {
  readonly plan: Plan<Action>
  readonly refusal: CliError | null
  /** What a dry run answers although the plan may be executed: the execution waits for it. */
  readonly awaited: CliError | null
}

/** A gate of this code does not stand in the way: executing the plan begins with waiting for it. */
export const AWAITED = 'E_WAIT_TIMEOUT'

/** Stamps a draft. Gates that may be overridden are, with `force`, and the plan is severe then. */
export function makePlan<Action extends PlanAction>(draft: PlanDraft<Action>, now: Date = new Date()): DraftedPlan<Action> {
  const { force, ...rest } = draft
  const forced = force && rest.gates.some((gate) => !gate.passed && gate.forcible)
  const plan: Plan<Action> = {
    schema: 'raftctl.plan/1',
    id: randomUUID().slice(0, 8),
    ...rest,
    level: forced ? 'severe' : rest.level,
    forced,
    createdAt: now.toISOString(),
    expiresAt: new Date(now.getTime() + PLAN_LIFE_MS).toISOString(),
  }
  return judged(plan)
}

/** What stands in the way of a plan by its own gates. */
export function judged<Action extends PlanAction>(plan: Plan<Action>): DraftedPlan<Action> {
  const failing = plan.gates.filter((gate) => !gate.passed)
  const standing = failing.find((gate) => gate.code !== AWAITED && !(plan.forced && gate.forcible))
  const awaited = failing.find((gate) => gate.code === AWAITED)
  return { plan, refusal: standing ? refusalOf(standing, plan) : null, awaited: awaited ? refusalOf(awaited, plan) : null }
}

function refusalOf(gate: PlanGate, plan: Plan): CliError {
  const code = gate.code !== null && isErrorCode(gate.code) ? gate.code : 'E_INTERNAL'
  const hint = [
    gate.instead === null ? null : `do instead:  ${gate.instead}`,
    gate.forcible ? `override:    --force   (you will be asked to type "${confirmationName(plan)}")` : null,
  ].filter((line) => line !== null)
  if (code === AWAITED) hint.push('Start it first, or let the execution wait for it, as long as --catchup-timeout says.')
  return new CliError(code, gate.message, {
    ...(hint.length > 0 ? { hint: hint.join('\n') } : {}),
    details: { gate: gate.gate, forcible: gate.forcible },
  })
}

/** The name a severe plan is confirmed by: the context, or the beginning of the cluster id. */
export function confirmationName(plan: Pick<Plan, 'context' | 'clusterId' | 'group'>): string {
  return plan.context ?? plan.clusterId?.slice(0, 8) ?? plan.group
}

/** Throws E_PLAN_STALE when it is too old, E_CLUSTER_MISMATCH when it was made for another cluster than `clusterId`. */
export function checkPlan(plan: Plan, { clusterId, now = new Date() }: { readonly clusterId: string | null; readonly now?: Date }): void {
  if (plan.clusterId !== null && clusterId !== null && plan.clusterId !== clusterId) {
    throw new CliError('E_CLUSTER_MISMATCH', `plan ${plan.id} was made for cluster ${plan.clusterId}, and this is ${clusterId}`, {
      hint: 'Name the context that the plan was made in: --context NAME',
      details: { plan: plan.clusterId, cluster: clusterId },
    })
  }
  if (now.getTime() <= Date.parse(plan.expiresAt)) return
  throw new CliError('E_PLAN_STALE', `plan ${plan.id} (${plan.title}) expired at ${plan.expiresAt}`, {
    details: { expiresAt: plan.expiresAt },
  })
}
