import { PeerId, PeerRole } from '../raft/peer-id.js'
import { forAWhile } from '../rpc/words.js'
import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { type Survey, survey } from './discovery.js'
import { findLeader, quorumOf } from './leader-claims.js'
import { findMember, type MemberRef, refOf } from './member-lookup.js'
import { braftAmong, stepsOf, titleOf } from './membership-words.js'
import { type NodeKind, type NodeReport, peerKey } from './node-report.js'
import { type DraftedPlan, makePlan, type Plan, type PlanGate, type PlanSide, type PlanVoter } from './plan.js'
import { type ClusterStatus, type NodeRow, type StatusReading, statusOf } from './status.js'
import { leaderIn, planTransfer } from './transfer-plan.js'

/** A member to be, as it is typed: `n4=10.0.0.4:7004`. */
export interface NewMember {
  readonly id: string
  readonly address: string
  /** It receives the log and counts for nothing. */
  readonly learner?: boolean
  /** It votes, and holds no data. */
  readonly witness?: boolean
}

export interface MembershipRequest {
  readonly command: string
  readonly add: readonly NewMember[]
  /** By name, address or PeerId. */
  readonly remove: readonly string[]
  /** Learners that are to vote, and voters that are to be learners; named as in `remove`. */
  readonly promote?: readonly string[]
  readonly demote?: readonly string[]
  /** PeerId of the member that is removed: the one that is added is the same, at another address now. */
  readonly movedFrom?: string
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
  /** Added as learners. */
  readonly learners: readonly MemberRef[]
  readonly promote: readonly MemberRef[]
  readonly demote: readonly MemberRef[]
  /** PeerId of the member that is removed: the one that is added is the same, at another address now. Null otherwise. */
  readonly movedFrom: string | null
  /** Every learner once it is done. */
  readonly targetLearners: readonly MemberRef[]
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

export type Changes = Pick<ChangeMembersAction, 'add' | 'remove' | 'learners' | 'promote' | 'demote' | 'movedFrom'>

/** As the leader is asked for it. */
export function changesOf({ add, remove, learners, promote, demote, movedFrom }: Changes) {
  const coming = (members: readonly MemberRef[]) => (movedFrom === null ? members : members.map((member) => ({ ...member, movedFrom })))
  return { add: coming(add), remove, learners: coming(learners), promote, demote }
}

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
  const remove = [...new Set(request.remove.map((name) => findMember(status, name)))].map(refOf)
  const wanted = asCalled(request, report).filter((member) => !isMember(status, member, remove))
  refuseReplacementByMember(request, wanted)
  const add = wanted.filter((member) => !member.learner).map(refOfNew)
  const rows = status.nodes.filter((row): row is NodeRow & { peerId: string } => row.role !== null && row.peerId !== null)
  const voters = rows.filter((row) => row.role !== 'learner')
  const roles = rolesOf(status, request, wanted.filter((member) => member.learner).map(refOfNew))
  const { promote, demote, learners } = roles
  const target = [...without(voters, [...remove, ...demote]), ...promote, ...add]
  const targetLearners = [
    ...without(
      rows.filter((row) => row.role === 'learner'),
      [...remove, ...promote],
    ),
    ...demote,
    ...learners,
  ]
  const movedFrom = wanted.length > 0 ? (request.movedFrom ?? null) : null
  const change = { ...{ add, remove, movedFrom }, ...roles, configIndex: status.configIndex }
  const size = add.length + remove.length + learners.length + promote.length + demote.length
  const decided = size === 0 ? [] : await gatesOf(client, leader.address, change)
  const gates = decided.filter((gate) => !(request.starts && isAwaited(gate)))
  const goes = has([...remove, ...demote], leader.peerId)
  const transferTo = goes && isFree(gates) ? await successor(client, request, { target, leader }) : null
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
    ...{ roles, movedFrom, targetLearners },
    target,
    gates,
    transferTo,
  }
  return drafted(picture)
}

/** What becomes of learners. Whoever is already what it is to be is left out. */
export interface Roles {
  readonly learners: readonly MemberRef[]
  readonly promote: readonly MemberRef[]
  readonly demote: readonly MemberRef[]
}

function rolesOf(status: ClusterStatus, { promote = [], demote = [] }: MembershipRequest, learners: readonly MemberRef[]): Roles {
  const found = (names: readonly string[], role: 'learner' | 'voter') =>
    [...new Set(names.map((name) => findMember(status, name)))].filter((row) => row.role === role).map(refOf)
  return { learners, promote: found(promote, 'learner'), demote: found(demote, 'voter') }
}

function without(rows: readonly (NodeRow & { readonly peerId: string })[], gone: readonly MemberRef[]): MemberRef[] {
  return rows.filter((row) => !has(gone, row.peerId)).map(refOf)
}

/** braft keeps no names: a braft leader is told none, and where braft nodes are members none is needed. */
function asCalled(request: MembershipRequest, { kind, mixed }: NodeReport): readonly NewMember[] {
  const members = request.add
  if (kind === 'braft') return members.map((member) => ({ ...member, id: member.address }))
  const nameless = members.find(({ id, address }) => id === address)
  if (nameless && !mixed && request.movedFrom === undefined) throw unnamed(nameless.address)
  return members
}

/** The members are what was asked for. */
export function changesNothing({ action }: MembershipPlan): boolean {
  const { add, remove, learners, promote, demote } = action
  return add.length + remove.length + learners.length + promote.length + demote.length === 0
}

function refOfNew({ id, address, witness = false }: NewMember): MemberRef {
  return { id, address, peerId: `${address}:0:${witness ? PeerRole.WITNESS : PeerRole.REPLICA}` }
}

function has(members: readonly MemberRef[], peerId: string): boolean {
  return members.some((member) => peerKey(member.peerId) === peerKey(peerId))
}

/** Who is to take a member's place is one already: the group would only become smaller. */
function refuseReplacementByMember({ add, remove }: MembershipRequest, wanted: readonly NewMember[]): void {
  const there = add.find(({ address }) => !wanted.some((member) => member.address === address))
  if (remove.length === 0 || !there) return
  throw new CliError('E_EXISTS', `${there.address} is a member already, and cannot take the place of ${remove.join(', ')}`, {
    hint: `To make the group smaller:  raftctl member remove ${remove.join(' ')}`,
  })
}

/** It is there already, under this name. Throws E_EXISTS when the name or the address is somebody else's. */
function isMember(
  status: ClusterStatus,
  { id, address, learner = false, witness = false }: NewMember,
  removed: readonly MemberRef[],
): boolean {
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
  if (there && witness !== (there.role === 'witness'))
    throw new CliError('E_EXISTS', `${there.id} is a ${there.role} already`, {
      hint: `A witness and a member with data do not turn into each other: raftctl member remove ${there.id}, then add it with an empty directory.`,
    })
  if (there && learner !== (there.role === 'learner'))
    throw new CliError('E_EXISTS', `${there.id} is a ${there.role} already`, {
      hint: `raftctl member ${learner ? 'demote' : 'promote'} ${there.id}`,
    })
  return there !== undefined
}

/** Has the leader decide the gates of a change; nothing is changed. Throws E_PLAN_STALE when `configIndex` is another one by now. */
export async function gatesOf(
  client: ClusterClient,
  endpoint: string,
  change: Changes & { readonly configIndex: number | null },
): Promise<readonly PlanGate[]> {
  const answer = await client.engine.changeMembers(
    {
      ...{ endpoint, group: client.group, ...changesOf(change), expectConfigIndex: change.configIndex, expectVoters: null, reason: null },
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

export interface Picture {
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
  readonly roles: Roles
  readonly movedFrom: string | null
  readonly targetLearners: readonly MemberRef[]
  readonly gates: readonly PlanGate[]
  readonly transferTo: MemberRef | null
}

function drafted(picture: Picture): DraftedPlan<ChangeMembersAction> {
  const { client, reading, request, claim, add, remove, target, gates, transferTo, roles, movedFrom, targetLearners } = picture
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
      ...[...add, ...roles.learners].filter(isSilent).map((member) => `${member.id} does not run yet. ${startLine(picture, member)}`),
    ],
    gates: gates.filter((gate) => gate.gate.startsWith('G')),
    warnings: [...gates.filter((gate) => gate.gate.startsWith('W')).map((gate) => gate.message), ...elsewhere(reading)],
    steps: stepsOf(picture, silent.length > 0),
    reason: request.reason,
    force,
    action: {
      kind: 'members.change',
      ...{
        add,
        remove,
        ...{ ...roles, movedFrom, targetLearners },
        transferTo,
        target,
        leaderKind: picture.leaderKind,
        removedBraft: braftAmong(picture),
        force,
        catchupTimeoutMs,
      },
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

/** What is typed where a new member shall run. */
function startLine(
  { leader, leaderKind, isMixed, machine, found, client, reading, movedFrom }: Picture,
  { id, address, peerId }: MemberRef,
): string {
  const braft = `its braft server with group ${client.group} and an empty initial configuration`
  if (leaderKind === 'braft') return `Start ${braft}.`
  const others = reading.status.nodes.filter((row) => row.role === 'voter' && row.reachable && row.address !== leader.address)
  const join = [leader.address, ...others.map((row) => row.address)].slice(0, 3).join(',')
  const name = id === address ? '' : ` --name ${id}`
  const isOther = machine !== null && machine !== 'kv'
  const group = isOther ? ` --group ${client.group}=${machine}` : found.group === 'kv' ? '' : ` --group ${client.group}`
  const data = movedFrom === null ? `--data ./${id}` : '--data ITS-DIRECTORY --moved'
  const witness = PeerId.parse(peerId)?.isWitness ? ' --witness' : ''
  const line = `Start it:  raftctl node start${name} --listen ${address} --join ${join} ${data}${group}${witness}`
  return isMixed ? `${line} --mixed   (or ${braft})` : line
}
