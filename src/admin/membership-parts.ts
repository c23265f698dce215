import type { ClusterClient } from './cluster-client.js'
import type { ChangeProgress } from './engines/engine.js'
import { type AddressRequest, planAddress } from './membership-address.js'
import { changeMembership, type MembershipResult } from './membership-change.js'
import { type DeclaredRequest, planDeclared } from './membership-declared.js'
import { changesNothing, type MembershipPlan, type MembershipRequest, planMembership } from './membership-plan.js'
import { questionOf } from './membership-words.js'
import { addressOf, peerKey } from './node-report.js'
import { confirmationName } from './plan.js'
import { writePlan } from './plan-file.js'
import { planRecovery, type RecoveryPlan, type RecoveryRequest, recover, recoveryQuestion } from './recovery.js'

export interface ExecutionSettings {
  /** False: the leader's word is enough (--no-wait). */
  readonly verify: boolean
  readonly signal: AbortSignal
}

/** How a plan of members is asked about, confirmed and kept. */
export const membershipWords = { question: questionOf, name: confirmationName, save: writePlan, nothing: changesNothing }

/** Everything that a command which changes members does, by `request`. */
export function membershipParts(client: ClusterClient, request: MembershipRequest, settings: ExecutionSettings) {
  return { ...membershipWords, draft: () => planMembership(client, request), ...executionParts(client, settings) }
}

/** The same for a file that says who the members shall be. */
export function declaredParts(client: ClusterClient, request: DeclaredRequest, settings: ExecutionSettings) {
  return { ...membershipParts(client, { ...request, add: [], remove: [] }, settings), draft: () => planDeclared(client, request) }
}

/** The same for a member that goes on at another address. */
export function addressParts(client: ClusterClient, request: AddressRequest, settings: ExecutionSettings) {
  return { ...membershipWords, draft: () => planAddress(client, request), ...executionParts(client, settings) }
}

/** A removed member keeps its directory, and it is of no use there. */
function wipeAdvice({ action }: MembershipPlan): string[] {
  if (action.movedFrom !== null) return []
  return action.remove.flatMap(({ id, address }) =>
    action.removedBraft.includes(id)
      ? [`stop the process of ${id}: a braft member need not hear that it was removed, and would go on asking for votes`]
      : [
          `to use the directory of ${id} again:  raftctl node wipe DIR`,
          `then start it with --join, and:  raftctl member add ${id === address ? '' : `${id}=`}${address}`,
        ],
  )
}

/** Everything that a command which sets the members by hand does, by `request`. */
export function recoveryParts(client: ClusterClient, request: RecoveryRequest, settings: ExecutionSettings) {
  return {
    ...{ question: recoveryQuestion, name: confirmationName, save: writePlan, nothing: () => false },
    draft: () => planRecovery(client, request),
    ...recoveryExecution(client, settings),
  }
}

/** The part of it that a plan from a file needs. */
export function recoveryExecution(client: ClusterClient, settings: ExecutionSettings) {
  return {
    epilogue: ({ action }: RecoveryPlan) =>
      action.remove.map(
        ({ id, address }) => `${id}: an empty directory first, then  raftctl member add ${id === address ? '' : `${id}=`}${address}`,
      ),
    execute: (plan: RecoveryPlan): Promise<MembershipResult> => recover(client, plan, settings),
    nameOf: ({ action }: RecoveryPlan, peerId: string): string =>
      action.target.find((member) => peerKey(member.peerId) === peerKey(peerId))?.id ?? addressOf(peerId),
  }
}

/** The part that a plan from a file needs. */
export function executionParts(client: ClusterClient, settings: ExecutionSettings) {
  return {
    epilogue: wipeAdvice,
    execute: (plan: MembershipPlan, listener: (progress: ChangeProgress) => void): Promise<MembershipResult> =>
      changeMembership(client, plan, { ...settings, listener }),
    nameOf: ({ action }: MembershipPlan, peerId: string): string =>
      [...action.add, ...action.target, ...action.targetLearners].find((member) => peerKey(member.peerId) === peerKey(peerId))?.id ??
      addressOf(peerId),
  }
}
