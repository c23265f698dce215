import { PeerId } from '../raft/peer-id.js'
import type { MemberRef } from './member-lookup.js'
import type { Changes, MembershipPlan, Picture } from './membership-plan.js'
import { addressOf, peerKey } from './node-report.js'

/** The step that falls away once they run. */
export const WAIT_STEP = 'wait until all new members run'

const names = (members: readonly MemberRef[]) => members.map(({ id }) => id).join(' ')
const placed = (members: readonly MemberRef[]) => members.map(({ id, address }) => (id === address ? id : `${id}=${address}`)).join(' ')

/** One member at another address; null for any other change. */
function move({
  add,
  movedFrom,
}: Pick<Changes, 'add' | 'movedFrom'>): { readonly id: string; readonly from: string; readonly to: string } | null {
  const [moved] = add
  return moved && movedFrom !== null ? { id: moved.id, from: addressOf(movedFrom), to: moved.address } : null
}

/** What a plan is called. */
export function titleOf({
  request,
  add,
  remove,
  roles,
  movedFrom,
}: Pick<Picture, 'request' | 'add' | 'remove' | 'roles' | 'movedFrom'>): string {
  const moved = move({ add: [...add, ...roles.learners], movedFrom })
  if (moved) return `move ${moved.id} from ${moved.from} to ${moved.to}`
  const { learners, promote, demote } = roles
  const parts = [
    ...(add.length > 0 && remove.length > 0 ? [`replace ${names(remove)} by ${placed(add)}`] : []),
    ...(add.length > 0 && remove.length === 0
      ? [`add ${add.every(({ peerId }) => isWitness(peerId)) ? 'witness ' : ''}${placed(add)}`]
      : []),
    ...(add.length === 0 && remove.length > 0 ? [`remove ${names(remove)}`] : []),
    ...(learners.length > 0 ? [`add learner ${placed(learners)}`] : []),
    ...(promote.length > 0 ? [`promote ${names(promote)}`] : []),
    ...(demote.length > 0 ? [`demote ${names(demote)}`] : []),
  ]
  return parts.join(', ') || `${request.command}: the members are what was asked for`
}

/** The question that is asked about it. */
export function questionOf({ action, context, clusterId }: MembershipPlan): string {
  const { add, remove, learners, promote, demote } = action
  const where = context ?? (clusterId === null ? 'the cluster' : `cluster ${clusterId.slice(0, 8)}`)
  const moved = move({ ...action, add: [...add, ...learners] })
  if (moved) return `Move ${moved.id} to ${moved.to} in ${where}?`
  if (promote.length > 0) return `Make ${names(promote)} a voter of ${where}?`
  if (demote.length > 0) return `Make ${names(demote)} a learner of ${where}?`
  if (learners.length > 0 && add.length === 0) return `Add ${names(learners)} to ${where} as a learner?`
  if (remove.length === 0 && add.every(({ peerId }) => isWitness(peerId))) return `Add ${names(add)} to ${where} as a witness?`
  if (remove.length === 0) return `Add ${names([...add, ...learners])} to ${where}?`
  if (add.length === 0) return `Remove ${names(remove)} from ${where}?`
  return `Replace ${names(remove)} by ${names(add)} in ${where}?`
}

export function stepsOf(picture: Picture, waits: boolean): string[] {
  const { add, remove, target, targetLearners, transferTo, voters, claim, request, leaderKind } = picture
  const { learners, promote, demote } = picture.roles
  const coming = [...add, ...learners, ...promote]
  if (coming.length + remove.length + demote.length === 0) return []
  const isUp = (member: MemberRef) => claim.voters.has(peerKey(member.peerId))
  const gone = remove.filter((member) => voters.some((row) => row.peerId === member.peerId))
  const joint = add.length + promote.length + gone.length + demote.length > 1 ? ', by joint consensus' : ''
  const silent = braftAmong({ remove, voters, leaderKind })
  const called = ({ id, peerId }: MemberRef) => (isWitness(peerId) ? `${id} (witness)` : id)
  const members = [...target.map(called), ...targetLearners.map(({ id }) => `+learner ${id}`)]
  const isMove = picture.movedFrom !== null
  return [
    ...(transferTo === null ? [] : [`hand leadership to ${transferTo.id}`]),
    ...(waits ? [isMove ? `wait until ${names(coming)} answers there` : WAIT_STEP] : []),
    ...(request.starts && add.length > 0 ? [`start ${names(add)} here`] : []),
    ...(coming.length === 0 ? [] : [`${names(coming)} catch${coming.length === 1 ? 'es' : ''} up, without a vote`]),
    `commit the configuration {${members.join(', ')}}${joint}`,
    `verify on ${names(target)}`,
    ...(isMove ? [] : gone.map((member) => afterRemoval(member.id, { isUp: isUp(member), isBraft: silent.includes(member.id) }))),
  ]
}

function isWitness(peerId: string): boolean {
  return PeerId.parse(peerId)?.isWitness === true
}

/** What runs there is what it says, or what the leader last knew. */
export function braftAmong({ remove, voters, leaderKind }: Pick<Picture, 'remove' | 'voters' | 'leaderKind'>): string[] {
  const kindOf = ({ peerId }: MemberRef) => voters.find((row) => row.peerId === peerId)?.kind ?? leaderKind
  return remove.filter((member) => kindOf(member) === 'braft').map(({ id }) => id)
}

/** A member of braft need not hear that it was removed: it would go on asking for votes. */
function afterRemoval(id: string, { isUp, isBraft }: { readonly isUp: boolean; readonly isBraft: boolean }): string {
  if (isBraft) return isUp ? `stop the process of ${id}: it may not hear of it` : `do not start ${id} again`
  return isUp ? `${id} stops by itself` : `${id} is refused if it comes back`
}
