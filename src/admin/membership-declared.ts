import type { ClusterClient } from './cluster-client.js'
import { survey } from './discovery.js'
import { type ChangeMembersAction, type MembershipRequest, type NewMember, planMembership } from './membership-plan.js'
import type { DraftedPlan } from './plan.js'
import { type ClusterStatus, statusOf } from './status.js'

export interface DeclaredRequest extends Omit<MembershipRequest, 'add' | 'remove' | 'facts'> {
  /** Who the members shall be. */
  readonly wanted: readonly NewMember[]
  /** Members that are not wanted are removed; else they stay. */
  readonly prune: boolean
}

/** What separates the members from those that are wanted, and the plan that gets there. */
export async function planDeclared(client: ClusterClient, request: DeclaredRequest): Promise<DraftedPlan<ChangeMembersAction>> {
  const { status, error } = statusOf(await survey(client))
  if (error) throw error
  const { add, remove, lines } = difference(status, request)
  return planMembership(client, { ...request, add, remove, facts: lines })
}

/** Pure. Members are told apart by address: a name is a label. */
export function difference(
  status: ClusterStatus,
  { wanted, prune }: Pick<DeclaredRequest, 'wanted' | 'prune'>,
): { readonly add: readonly NewMember[]; readonly remove: readonly string[]; readonly lines: readonly string[] } {
  const members = status.nodes.filter((row) => row.role === 'voter' || row.role === 'witness')
  const add = wanted.filter(({ address }) => !members.some((row) => row.address === address))
  const surplus = members.filter((row) => !wanted.some(({ address }) => address === row.address))
  const rows = [
    ...members.filter((row) => !surplus.includes(row)).map((row) => ['=', row.id, row.address, 'stays']),
    ...add.map(({ id, address }) => ['+', id, address, 'is added']),
    ...surplus.map((row) =>
      prune ? ['-', row.id, row.address, 'is removed'] : ['?', row.id, row.address, 'not in the file, stays: --prune removes it'],
    ),
  ]
  const widths = [0, 1, 2].map((at) => Math.max(0, ...rows.map((row) => row[at]!.length)))
  const lines = rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  '))
  return { add, remove: prune ? surplus.map((row) => row.address) : [], lines }
}
