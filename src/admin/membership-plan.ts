import { PeerId } from '../raft/peer-id.js'
import { forAWhile } from '../rpc/words.js'
import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { type Survey, survey } from './discovery.js'
import { findLeader, quorumOf } from './leader-claims.js'
import { findMember, type MemberRef, refOf } from './member-lookup.js'
import { type NodeKind, type NodeReport, peerKey } from './node-report.js'
import { type DraftedPlan, makePlan, type Plan, type PlanGate, type PlanSide, type PlanVoter } from './plan.js'
import { type ClusterStatus, type NodeRow, type StatusReading, statusOf } from './status.js'
import { leaderIn, planTransfer } from './transfer-plan.js'

/** A member to be, as it is typed: `n4=10.0.0.4:7004`. */
export interface NewMember {
  readonly id: string
  readonly address: string
}

export interface MembershipRequest {
  readonly command: string
  readonly add: readonly NewMember[]
  /** By name, address or PeerId. */
  readonly remove: readonly string[]
  readonly force: boolean
  readonly reason: string | null
  /** How long the new members may take to run and to catch up. */
  readonly catchupTimeoutMs: number
  /** Lines for the plan beyond those that say how to start a member. */
  readonly facts?: readonly string[]
  /** Whoever executes the plan starts the new members: nobody is waited for. */
  readonly starts?: boolean
}

export interface ChangeMembersAction {
  readonly kind: 'members.change'
  readonly add: readonly MemberRef[]
  readonly remove: readonly MemberRef[]
  /** Who leads before the leader is removed; null when it stays, or when nobody else can lead. */
  readonly transferTo: MemberRef | null
  /** Every voter once it is done. */
  readonly target: readonly MemberRef[]
  /** What the leader is: a braft leader leaves more to whoever changes the members. */
  readonly leaderKind: NodeKind
  /** Ids of removed members of braft, which are not told. */
  readonly removedBraft: readonly string[]
  readonly force: boolean
  readonly catchupTimeoutMs: number
}

export type MembershipPlan = Plan<ChangeMembersAction>

/** The step that falls away once they run. */
export const WAIT_STEP = 'wait until all new members run'

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/

/** Reads `ID=HOST:PORT`, or `HOST:PORT` for a member of a braft group: those have no names. Throws E_USAGE. */
export function parseNewMember(text: string): NewMember {
  const at = text.indexOf('=')
  const [id, address] = [text.slice(0, Math.max(0, at)), text.slice(at + 1)]
  const peer = at === 0 ? null : PeerId.parse(address)
  if (peer && peer.port > 0 && at < 0) return { id: peer.address, address: peer.address }
  if (peer && peer.port > 0 && NAME.test(id)) return { id, address: peer.address }
  throw unnamed(text)
}

function unnamed(text: string): CliError {
  return new CliError('E_USAGE', `${JSON.stringify(text)} does not say what the member is called and where it is`, {
    hint: 'Write NAME=HOST:PORT, such as n4=10.0.0.4:7004.',
  })
}

/**
 * Looks at the cluster, has the leader decide the gates, and says what would be done. Throws what makes planning
 * impossible: no leader, no such member, a name or an address that is taken.
 */
export async function planMembership(client: ClusterClient, request: MembershipRequest): Promise<DraftedPlan<ChangeMembersAction>> {
  const found = await survey(client)
  const reading = statusOf(found)
  if (reading.error) throw reading.error
  const { status } = reading
  const { claim, report, leader } = leaderIn(status, findLeader(found), client.connection.direct)
  const remove = request.remove.map((name) => refOf(findMember(status, name)))
  const wanted = asCalled(request.add, report)
  const add = wanted.filter((member) => !isMember(status, member, remove)).map(refOfNew)
  const voters = status.nodes.filter((row): row is NodeRow & { peerId: string } => row.role === 'voter' && row.peerId !== null)
  const target = [...voters.filter((row) => !has(remove, row.peerId)).map(refOf), ...add]
  const change = { add, remove, configIndex: status.configIndex }
  const decided = add.length + remove.length === 0 ? [] : await gatesOf(client, leader.address, change)
  const gates = decided.filter((gate) => !(request.starts && isAwaited(gate)))
  const transferTo = has(remove, leader.peerId) && isFree(gates) ? await successor(client, request, { target, leader }) : null
  const picture = {
    client,
    found,
    reading,
    request,
    claim,
    leaderKind: report.kind,
    isMixed: report.mixed,
    machine: report.machine,
    leader: refOf(leader),
    voters,
    add,
    remove,
    target,
    gates,
    transferTo,
  }
  return drafted(picture)
}

/** braft keeps no names: a braft leader is told none, and where braft nodes are members none is needed. */
function asCalled(members: readonly NewMember[], { kind, mixed }: NodeReport): readonly NewMember[] {
  if (kind === 'braft') return members.map(({ address }) => ({ id: address, address }))
  const nameless = members.find(({ id, address }) => id === address)
  if (nameless && !mixed) throw unnamed(nameless.address)
  return members
}

/** The members are what was asked for. */
export function changesNothing({ action }: MembershipPlan): boolean {
  return action.add.length + action.remove.length === 0
}

function refOfNew({ id, address }: NewMember): MemberRef {
  return { id, address, peerId: `${address}:0:0` }
}

function has(members: readonly MemberRef[], peerId: string): boolean {
  return members.some((member) => peerKey(member.peerId) === peerKey(peerId))
}

/** It is there already, under this name. Throws E_EXISTS when the name or the address is somebody else's. */
function isMember(status: ClusterStatus, { id, address }: NewMember, removed: readonly MemberRef[]): boolean {
  const members = status.nodes.filter((row) => row.role !== null && row.peerId !== null)
  const there = members.find((row) => row.address === address)
  const namesake = members.find((row) => row.id === id && !(row.peerId !== null && has(removed, row.peerId)))
  if (there?.peerId && has(removed, there.peerId))
    throw new CliError('E_USAGE', `${address} cannot be removed and added in one step`, {
      hint: 'A member that lost its data comes back by itself: start it with --rebuild.',
    })
  if (namesake && namesake.address !== address)
    throw new CliError('E_EXISTS', `a member is called ${id} already: ${namesake.address}`, { hint: 'Choose another name.' })
  if (there && there.id !== id && there.id !== there.address)
    throw new CliError('E_EXISTS', `${address} is a member already, called ${there.id}`, { hint: 'raftctl member list' })
  return there !== undefined
}

/** Has the leader decide the gates of a change; nothing is changed. Throws E_PLAN_STALE when `configIndex` is another one by now. */
export async function gatesOf(
  client: ClusterClient,
  endpoint: string,
  change: { readonly add: readonly MemberRef[]; readonly remove: readonly MemberRef[]; readonly configIndex: number | null },
): Promise<readonly PlanGate[]> {
  const { add, remove, configIndex } = change
  const answer = await client.engine.changeMembers(
    {
      ...{ endpoint, group: client.group, add, remove, expectConfigIndex: configIndex, expectVoters: null, reason: null },
      ...{ dryRun: true, force: false, catchupTimeoutMs: 0 },
    },
    () => {},
  )
  return answer.gates
}

/** It does not run yet. */
export function isAwaited(gate: PlanGate): boolean {
  return gate.gate === 'G6' && !gate.passed && gate.code === 'E_WAIT_TIMEOUT'
}

function isFree(gates: readonly PlanGate[]): boolean {
  return gates.every((gate) => gate.passed || !['G1', 'G2', 'G4'].includes(gate.gate))
}

/** The best candidate among those that stay; null when nobody who stays can lead: the leader then goes last. */
async function successor(
  client: ClusterClient,
  request: MembershipRequest,
  { target, leader }: { readonly target: readonly MemberRef[]; readonly leader: MemberRef },
): Promise<MemberRef | null> {
  const transfer = { command: request.command, target: null, exclude: leader.id, reason: request.reason }
  const drafted = await planTransfer(client, transfer).catch((thrown) => {
    if (thrown instanceof CliError && thrown.code === 'E_NOT_CAUGHT_UP') return null
    throw thrown
  })
  if (drafted === null) return null
  const { to, candidates } = drafted.plan.action
  const stays = [to, ...candidates.filter((candidate) => candidate.unfit === null)].find((member) => has(target, member.peerId))
  return stays ? refOf(stays) : null
}

interface Picture {
  readonly client: ClusterClient
  readonly found: Survey
  readonly reading: StatusReading
  readonly request: MembershipRequest
  readonly claim: { readonly term: number; readonly voters: ReadonlySet<string> }
  readonly leaderKind: NodeKind
  readonly isMixed: boolean
  readonly machine: string | null
  readonly leader: MemberRef
  readonly voters: readonly (NodeRow & { readonly peerId: string })[]
  readonly add: readonly MemberRef[]
  readonly remove: readonly MemberRef[]
  readonly target: readonly MemberRef[]
  readonly gates: readonly PlanGate[]
  readonly transferTo: MemberRef | null
}

function drafted(picture: Picture): DraftedPlan<ChangeMembersAction> {
  const { client, reading, request, claim, add, remove, target, gates, transferTo } = picture
  const { status, clusterId } = reading
  const silent = gates.filter(isAwaited)
  const isSilent = (member: MemberRef) => silent.some(({ message }) => message.startsWith(`${member.id} `))
  const before = sideOf(picture.voters.map((row) => voterOf(picture, row)))
  const { force, catchupTimeoutMs } = request
  return makePlan({
    command: request.command,
    title: titleOf(picture),
    impact: 'membership',
    level: 'moderate',
    context: client.connection.context?.name ?? null,
    ...{ clusterId, group: status.group, configIndex: status.configIndex, term: claim.term },
    before,
    after: sideOf(target.map((member) => afterwards(picture, before, member))),
    facts: [
      ...(request.facts ?? []),
      ...add.filter(isSilent).map((member) => `${member.id} does not run yet. ${startLine(picture, member)}`),
    ],
    gates: gates.filter((gate) => gate.gate.startsWith('G')),
    warnings: [...gates.filter((gate) => gate.gate.startsWith('W')).map((gate) => gate.message), ...elsewhere(reading)],
    steps: stepsOf(picture, silent.length > 0),
    reason: request.reason,
    force,
    action: {
      kind: 'members.change',
      ...{ add, remove, transferTo, target, leaderKind: picture.leaderKind, removedBraft: braftAmong(picture), force, catchupTimeoutMs },
    },
  })
}

/** The counts that `status` warns of are in the plan in its own words. */
function elsewhere({ warnings }: StatusReading): string[] {
  return warnings.filter((warning) => !/voters tolerate/.test(warning))
}

function voterOf({ claim }: Picture, row: NodeRow & { readonly peerId: string }): PlanVoter {
  const reachable = claim.voters.has(peerKey(row.peerId))
  const since = row.lastContactMs === null ? 'down' : `down ${forAWhile(row.lastContactMs)}`
  return { id: row.id, leader: row.leader, reachable, note: reachable ? null : row.standing === 'rebuilding' ? 'rebuilding' : since }
}

/** An added member is caught up before it counts, so it is reachable by then. */
function afterwards({ voters, transferTo }: Picture, before: PlanSide, member: MemberRef): PlanVoter {
  const at = voters.findIndex((row) => peerKey(row.peerId) === peerKey(member.peerId))
  const now = before.voters[at] ?? { id: member.id, leader: false, reachable: true, note: null }
  return transferTo === null ? now : { ...now, leader: peerKey(transferTo.peerId) === peerKey(member.peerId) }
}

function sideOf(voters: readonly PlanVoter[]): PlanSide {
  const quorum = quorumOf(voters.length)
  const reachable = voters.filter((voter) => voter.reachable).length
  return { voters, quorum, reachable, tolerates: Math.max(0, reachable - quorum) }
}

function titleOf({ request, add, remove }: Picture): string {
  const added = add.map(({ id, address }) => (id === address ? id : `${id}=${address}`)).join(' ')
  const removed = remove.map(({ id }) => id).join(' ')
  if (add.length === 0 && remove.length === 0) return `${request.command}: the members are what was asked for`
  if (remove.length === 0) return `add ${added}`
  if (add.length === 0) return `remove ${removed}`
  return `replace ${removed} by ${added}`
}

/** The question that is asked about it. */
export function questionOf({ action, context, clusterId }: MembershipPlan): string {
  const names = (members: readonly MemberRef[]) => members.map(({ id }) => id).join(' ')
  const where = context ?? (clusterId === null ? 'the cluster' : `cluster ${clusterId.slice(0, 8)}`)
  if (action.remove.length === 0) return `Add ${names(action.add)} to ${where}?`
  if (action.add.length === 0) return `Remove ${names(action.remove)} from ${where}?`
  return `Replace ${names(action.remove)} by ${names(action.add)} in ${where}?`
}

function stepsOf({ add, remove, target, transferTo, voters, claim, request, leaderKind }: Picture, waits: boolean): string[] {
  if (add.length + remove.length === 0) return []
  const names = (members: readonly MemberRef[]) => members.map(({ id }) => id)
  const isUp = (member: MemberRef) => claim.voters.has(peerKey(member.peerId))
  const joint = add.length + remove.length > 1 ? ', by joint consensus' : ''
  const silent = braftAmong({ remove, voters, leaderKind })
  const gone = remove.filter((member) => voters.some((row) => row.peerId === member.peerId))
  return [
    ...(transferTo === null ? [] : [`hand leadership to ${transferTo.id}`]),
    ...(waits ? [WAIT_STEP] : []),
    ...(request.starts && add.length > 0 ? [`start ${names(add).join(' ')} here`] : []),
    ...(add.length === 0 ? [] : [`${names(add).join(' ')} catch${add.length === 1 ? 'es' : ''} up, without a vote`]),
    `commit the configuration {${names(target).join(', ')}}${joint}`,
    `verify on ${names(target).join(' ')}`,
    ...gone.map((member) => afterRemoval(member.id, { isUp: isUp(member), isBraft: silent.includes(member.id) })),
  ]
}

/** What runs there is what it says, or what the leader last knew. */
function braftAmong({ remove, voters, leaderKind }: Pick<Picture, 'remove' | 'voters' | 'leaderKind'>): string[] {
  const kindOf = ({ peerId }: MemberRef) => voters.find((row) => row.peerId === peerId)?.kind ?? leaderKind
  return remove.filter((member) => kindOf(member) === 'braft').map(({ id }) => id)
}

/** A member of braft need not hear that it was removed: it would go on asking for votes. */
function afterRemoval(id: string, { isUp, isBraft }: { readonly isUp: boolean; readonly isBraft: boolean }): string {
  if (isBraft) return isUp ? `stop the process of ${id}: it may not hear of it` : `do not start ${id} again`
  return isUp ? `${id} stops by itself` : `${id} is refused if it comes back`
}

/** What is typed where a new member shall run. */
function startLine({ leader, leaderKind, isMixed, machine, found, client, reading }: Picture, { id, address }: MemberRef): string {
  const braft = `its braft server with group ${client.group} and an empty initial configuration`
  if (leaderKind === 'braft') return `Start ${braft}.`
  const others = reading.status.nodes.filter((row) => row.role === 'voter' && row.reachable && row.address !== leader.address)
  const join = [leader.address, ...others.map((row) => row.address)].slice(0, 3).join(',')
  const name = id === address ? '' : ` --name ${id}`
  const isOther = machine !== null && machine !== 'kv'
  const group = isOther ? ` --group ${client.group}=${machine}` : found.group === 'kv' ? '' : ` --group ${client.group}`
  const line = `Start it:  raftctl node start${name} --listen ${address} --join ${join} --data ./${id}${group}`
  return isMixed ? `${line} --mixed   (or ${braft})` : line
}
