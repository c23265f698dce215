import * as format from './format.js'
import type { Output } from './output.js'
import type { PlanPicture } from './plan-view.js'
import { whole } from './wrap.js'

interface Ref {
  readonly id: string
}

/** A change of members as far as its outcome is printed. */
export interface MembershipPlanPicture extends PlanPicture {
  readonly action: {
    readonly add: readonly (Ref & { readonly address?: string })[]
    readonly remove: readonly Ref[]
    readonly learners?: readonly (Ref & { readonly address?: string })[]
    readonly promote?: readonly Ref[]
    readonly demote?: readonly Ref[]
    readonly movedFrom?: string | null
  }
}

export interface MembershipResultPicture {
  readonly configIndex: number
  readonly verified: readonly { readonly id: string; readonly ok: boolean; readonly problem: string | null }[]
  readonly tookMs: number
}

/** What was done, on whom it was seen, and how long it took. */
export function printMembership(out: Output, plan: MembershipPlanPicture, result: MembershipResultPicture): void {
  const ok = out.paint('green', out.symbol('ok'))
  const seen = result.verified.filter((row) => row.ok).map((row) => row.id)
  const parts = [
    `${ok} ${whatWasDone(plan)} (config ${format.count(result.configIndex)})`,
    ...(seen.length === 0 ? [] : [`${ok} verified on ${seen.join(' ')}`]),
    `took ${format.duration(result.tookMs)}`,
  ]
  out.prose(parts.map(whole).join('   '))
}

/** Members that could not confirm it, for the warnings. */
export function unverified({ verified }: MembershipResultPicture): string[] {
  return verified.filter((row) => !row.ok).map((row) => `${row.id} could not confirm it: ${row.problem}`)
}

function whatWasDone({ action }: MembershipPlanPicture): string {
  const { add, remove, learners = [], promote = [], demote = [], movedFrom = null } = action
  const names = (members: readonly Ref[]) => members.map(({ id }) => id).join(' ')
  const [moved] = [...add, ...learners]
  if (moved && movedFrom !== null) return `${moved.id} is at ${moved.address}`
  if (promote.length > 0) return `${names(promote)} promoted`
  if (demote.length > 0) return `${names(demote)} demoted`
  if (learners.length > 0 && add.length === 0) return `${names(learners)} added, learner`
  if (remove.length === 0) return `${names(add)} added`
  if (add.length === 0) return `${names(remove)} removed`
  return `${names(remove)} replaced by ${names(add)}`
}
