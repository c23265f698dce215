import type { CliError } from './errors.js'
import { CliError as Refusal } from './errors.js'
import type { ConfirmationLevel, PlanPicture } from './plan-view.js'
import { mayPrompt, type PromptRules } from './prompt.js'

/** The flags of a command that executes a plan (`mutationFlags`), as far as they decide whether it may. */
export interface DecisionFlags {
  readonly yes?: boolean | undefined
  readonly confirm?: string | undefined
}

/** A plan and what stands in its way; null when nothing does, or when it was forced. */
export interface Drafted<P extends PlanPicture> {
  readonly plan: P
  readonly refusal: CliError | null
  /** What a dry run answers although the plan may be executed: the execution waits for it. */
  readonly awaited?: CliError | null
}

export interface ConfirmationOptions<P extends PlanPicture> {
  /** `Remove n3 from prod?` */
  readonly question: string
  /** What is typed for a severe plan: the context, or the beginning of the cluster id. */
  readonly name: string
  /** The context is marked `env: production`: one level more. */
  readonly production: boolean
  /** Makes the plan anew while the question is open. */
  readonly replan?: () => Promise<Drafted<P>>
  /** Shows a plan that has become another one. */
  readonly show: (plan: P) => void
}

/** Asks on a terminal and can be withdrawn; tests put their own in its place. */
export interface Asking {
  yes(message: string, signal: AbortSignal): Promise<boolean>
  typed(message: string, signal: AbortSignal): Promise<string>
}

/** How often a plan is looked at again while its question is open. */
const REVALIDATE_MS = 1000

/** One level more in production. */
export function levelOf(level: ConfirmationLevel, production: boolean): ConfirmationLevel {
  if (!production) return level
  return level === 'mild' ? 'moderate' : 'severe'
}

/** The flag that answers without being asked. */
export function answeringFlag(level: ConfirmationLevel, name: string): string {
  return level === 'severe' ? `--confirm=${name}` : '--yes'
}

/**
 * Answers the plan that was agreed to. Throws E_NOT_CONFIRMED when it was declined, or when nobody can be asked and no
 * flag answered; throws what stands in the way when that arises while the question is open.
 */
export async function confirmPlan<P extends PlanPicture>(
  plan: P,
  flags: DecisionFlags,
  options: ConfirmationOptions<P>,
  rules: PromptRules,
  asking: Asking = inquirerAsking,
): Promise<P> {
  const { name, production, question } = options
  const level = levelOf(plan.level, production)
  if (flags.confirm !== undefined && flags.confirm !== name)
    throw notConfirmed(
      `--confirm=${flags.confirm} does not name ${name}; nothing was changed`,
      `Add --confirm=${name} if that is what is meant.`,
    )
  if (level === 'mild' || flags.confirm === name) return plan
  if (level === 'moderate' && flags.yes) return plan
  const flag = answeringFlag(level, name)
  if (!mayPrompt(rules)) {
    throw new Refusal('E_NOT_CONFIRMED', `needs a yes and nobody can be asked: ${question}`, { hint: `Add ${flag}.`, details: { flag } })
  }
  return askWhileValid(plan, options, async (signal) => {
    if (level === 'moderate') {
      if (!(await asking.yes(question, signal))) throw notConfirmed('declined; nothing was changed', '')
      return
    }
    const typed = await asking.typed(`${question} Type ${name} to continue:`, signal)
    if (typed.trim() !== name) throw notConfirmed(`${JSON.stringify(typed)} is not ${name}; nothing was changed`, '')
  })
}

/** Asks until somebody answered the plan as it is now: a plan that changed is shown and asked about anew, one that may not be executed any more is withdrawn. */
async function askWhileValid<P extends PlanPicture>(
  first: P,
  options: ConfirmationOptions<P>,
  ask: (signal: AbortSignal) => Promise<void>,
): Promise<P> {
  let plan = first
  for (;;) {
    const withdrawal = new AbortController()
    const watching = watch(plan, options, withdrawal)
    try {
      await ask(withdrawal.signal)
      return plan
    } catch (thrown) {
      if (!withdrawal.signal.aborted) throw thrown
    } finally {
      watching.stop()
    }
    const next = withdrawal.signal.reason as Drafted<P>
    if (next.refusal) throw next.refusal
    plan = next.plan
    options.show(plan)
  }
}

/** Looks every second; aborts with the new draft once it is another one. */
function watch<P extends PlanPicture>(plan: P, { replan }: ConfirmationOptions<P>, withdrawal: AbortController): { stop(): void } {
  if (!replan) return { stop: () => {} }
  let stopped = false
  let timer: NodeJS.Timeout
  const look = async () => {
    const draft = await replan().catch((refusal: CliError) => ({ plan, refusal }))
    if (stopped) return
    if (draft.refusal || !sameToReader(plan, draft.plan)) withdrawal.abort(draft)
    else timer = setTimeout(look, REVALIDATE_MS)
  }
  timer = setTimeout(look, REVALIDATE_MS)
  return {
    stop: () => {
      stopped = true
      clearTimeout(timer)
    },
  }
}

/** Numbers that only tell how long something has been so do not make another plan. */
function sameToReader(a: PlanPicture, b: PlanPicture): boolean {
  const essence = ({ title, before, after, gates, warnings, steps }: PlanPicture) =>
    JSON.stringify([title, sets(before), sets(after), gates.map((gate) => [gate.gate, gate.passed]), warnings.length, steps])
  const sets = (side: PlanPicture['before']) =>
    side && [side.voters.map(({ id, leader, reachable }) => [id, leader, reachable]), side.reachable]
  return essence(a) === essence(b)
}

function notConfirmed(message: string, hint: string): Refusal {
  return new Refusal('E_NOT_CONFIRMED', message, { hint })
}

const inquirerAsking: Asking = {
  yes: async (message, signal) => {
    const { confirm } = await import('@inquirer/prompts')
    return confirm({ message, default: false }, { output: process.stderr, signal, clearPromptOnDone: false })
  },
  typed: async (message, signal) => {
    const { input } = await import('@inquirer/prompts')
    return input({ message }, { output: process.stderr, signal })
  },
}
