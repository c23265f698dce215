import { CliError } from '../terminal/errors.js'
import type { MemberRef } from './member-lookup.js'
import type { ChangeMembersAction } from './membership-plan.js'
import { peerKey } from './node-report.js'
import type { Plan } from './plan.js'
import type { ClusterStatus } from './status.js'

/** The voters that a change was planned upon. */
export function plannedUpon({ target, add, remove, promote, demote }: ChangeMembersAction): readonly MemberRef[] {
  const stay = target.filter((member) => ![...add, ...promote].some((added) => peerKey(added.peerId) === peerKey(member.peerId)))
  return [...stay, ...remove, ...demote]
}

/**
 * Throws E_PLAN_STALE when the members were changed since the plan was made. A braft leader only tells the newest entry that holds
 * them, and every election writes one: there it is stale when the voters are others.
 */
export function refuseStale(plan: Plan, status: ClusterStatus): void {
  if (status.configIndex === plan.configIndex) return
  const leader = status.nodes.find((row) => row.leader)
  if (leader?.kind === 'braft' && (!isOfMembers(plan) || sameVoters(status, plannedUpon(plan.action)))) return
  throw new CliError(
    'E_PLAN_STALE',
    `the members were last changed by entry ${status.configIndex}, and plan ${plan.id} was made upon entry ${plan.configIndex}`,
  )
}

function isOfMembers(plan: Plan): plan is Plan<ChangeMembersAction> {
  return plan.action.kind === 'members.change'
}

function sameVoters(status: ClusterStatus, expected: readonly MemberRef[]): boolean {
  const voters = status.nodes.filter((row) => row.role !== null && row.role !== 'learner' && row.peerId !== null)
  return voters.length === expected.length && voters.every((row) => expected.some((one) => peerKey(one.peerId) === peerKey(row.peerId!)))
}
