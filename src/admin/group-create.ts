import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { PeerId } from '../raft/peer-id.js'
import { groupNameProblem } from '../storage/group-record.js'
import { CliError, type ErrorCode } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import type { ControlCalls } from './engines/control-calls.js'
import { type Copy, copiesOn, type GroupSurvey, isFounder, membersKnown, rowsOf, sameMembers, surveyGroups } from './groups.js'
import { addressOf } from './node-report.js'

const LOOK_AGAIN_MS = 50

export interface CreateRequest {
  readonly group: string
  readonly machine: string
  /** Names or addresses of the founders; null: every member of the group of the connection. */
  readonly members: readonly string[] | null
  /** Addresses that are to host a group which is there, to be added to it. */
  readonly host: readonly string[] | null
}

/** Why a process did not do what it was asked. */
export interface NodeError {
  readonly code: ErrorCode
  readonly message: string
}

/** What becomes of one process. */
export interface CreateStep {
  readonly node: string
  readonly address: string
  /** founder: it founds the group. joiner: it waits to be added, or to be rebuilt. here: it hosts the group already. */
  readonly as: 'founder' | 'joiner' | 'here'
}

/** What is to be done, and upon what that was decided. */
export interface CreatePlan {
  readonly group: string
  readonly machine: string
  readonly uid: string
  /** PeerIds; those of the members when the group has been founded. */
  readonly founders: readonly string[]
  /** The same by name. */
  readonly members: readonly string[]
  /** new: nobody hosts it. unfinished: some of its members do. there: all of them do. */
  readonly found: 'new' | 'unfinished' | 'there'
  readonly steps: readonly CreateStep[]
  readonly clusterId: string | null
}

/** `data` of `group create --json`. */
export interface CreateOutcome {
  readonly group: string
  readonly uid: string
  readonly members: readonly string[]
  readonly found: CreatePlan['found']
  readonly executed: boolean
  readonly nodes: readonly (CreateStep & { readonly created: boolean; readonly error: NodeError | null })[]
  /** Once it leads; null when nobody waited for that. */
  readonly leader: string | null
}

/**
 * Decides what is missing for the group to be there. Throws E_EXISTS when another one is called so, or has other members,
 * E_UNREACHABLE while one that is to be a member does not answer, E_NO_SUCH_NODE, E_NO_GROUP.
 */
export async function planCreate(client: ClusterClient, calls: ControlCalls, request: CreateRequest): Promise<CreatePlan> {
  const problem = groupNameProblem(request.group)
  if (problem !== null) throw new CliError('E_USAGE', problem)
  const named = [...(request.members ?? []), ...(request.host ?? [])].flatMap((text) => addressIn(text) ?? [])
  const found = await surveyGroups(client, calls, { others: named })
  const copies = found.copies.filter(({ group }) => group === request.group)
  refuseTwins(request.group, copies, found)
  if (request.host !== null) return planHosting(calls, { ...request, host: request.host }, { copies, found })
  const wanted = request.members?.map((text) => peerOf(text, found)) ?? null
  if (copies.length === 0) return planFounding(request, wanted ?? everybody(found), found)
  const members = membersKnown(copies)
  if (wanted !== null && !sameMembers(wanted, members)) {
    const names = members.map(found.nameOf).join(', ')
    throw new CliError('E_EXISTS', `group ${request.group} is there with other members: ${names}`, {
      hint: `Leave --members out to finish it, or change them:  raftctl member add NAME=HOST:PORT -g ${request.group}`,
    })
  }
  return planFinishing(request, copies, found)
}

/** The founders are asked at once; nothing is rolled back: the same command finishes what came to a part only. */
export async function executeCreate(calls: ControlCalls, plan: CreatePlan): Promise<CreateOutcome> {
  const nodes = await Promise.all(
    plan.steps.map(async (step) => {
      if (step.as === 'here') return { ...step, created: false, error: null }
      const { group, machine, uid } = plan
      const founders = step.as === 'founder' ? [...plan.founders] : []
      try {
        const request = { group, machine, uid, founders }
        const { created } = await calls.write(step.address, (call, options) => call.call('CreateGroup', request, options), {
          check: 'raftctl group list',
        })
        return { ...step, created: created === true, error: null }
      } catch (thrown) {
        if (!(thrown instanceof CliError)) throw thrown
        return { ...step, created: false, error: { code: thrown.code, message: thrown.message } }
      }
    }),
  )
  const { group, uid, members, found } = plan
  return { group, uid, members, found, executed: true, nodes, leader: null }
}

/** What is said of an outcome of which a part is missing; null when nothing is. */
export function halfCreated({ group, nodes }: CreateOutcome): CliError | null {
  const failed = nodes.filter(({ error }) => error !== null)
  if (failed.length === 0) return null
  const why = failed.map(({ node, error }) => `${node}: ${error!.message}`).join('; ')
  const [{ code }] = failed.map(({ error }) => error!) as [NodeError]
  if (failed.length === nodes.length && failed.every(({ error }) => error!.code === code)) return new CliError(code, why)
  return new CliError('E_PARTIAL', `group ${group} is not hosted by ${failed.map(({ node }) => node).join(', ')}: ${why}`, {
    hint: `It takes no writes before all of its founders host it. Finish it by the same command, or undo it:  raftctl group remove ${group}`,
  })
}

/** Who leads once the first entry of its term is committed; the error when nobody does in time, or a member cannot run it. */
export async function waitForLeader(
  calls: ControlCalls,
  { steps, group, uid, members }: CreatePlan,
  { timeoutMs }: { timeoutMs: number },
): Promise<{ readonly leader: string | null; readonly error: CliError | null }> {
  const deadline = performance.now() + timeoutMs
  const undo = `undo it:  raftctl group remove ${group}`
  for (;;) {
    const copies = (await Promise.all(steps.map((step) => copiesOn(calls, step).catch(() => [])))).flat()
    const own = copies.filter((copy) => copy.group === group && copy.uid === uid)
    const leader = own.find(({ state, commit }) => state === 'LEADER' && commit > 0)
    if (leader) return { leader: leader.node, error: null }
    const broken = own.find(({ problem }) => problem !== '')
    if (broken) {
      const message = `${broken.node} cannot run group ${group}: ${broken.problem}`
      return {
        leader: null,
        error: new CliError('E_DATA_DIR', message, { hint: `The others host it. Mend that and repeat the command, or ${undo}` }),
      }
    }
    if (performance.now() > deadline) {
      const message = `group ${group} is on ${members.join(', ')} and has no leader yet; it goes on looking for one`
      const hint = `See how it stands:  raftctl status -g ${group}\nWait again by the same command, or ${undo}`
      return { leader: null, error: new CliError('E_WAIT_TIMEOUT', message, { hint }) }
    }
    await pause(LOOK_AGAIN_MS)
  }
}

/** Removed while a process was away, and created anew: the old one has to go first. */
function refuseTwins(group: string, copies: readonly Copy[], found: GroupSurvey): void {
  const home = copies.find(({ uid }) => uid === '')
  if (home) throw new CliError('E_EXISTS', `${group} is a group that the nodes were started with`, { hint: 'Use another name.' })
  const lives = rowsOf({ ...found, copies })
  if (lives.length < 2) return
  const where = lives.map(({ uid, hosts, problems }) => `${uid} on ${[...hosts, ...problems.map(({ node }) => node)].join(', ')}`)
  throw new CliError('E_EXISTS', `several groups are called ${group}: ${where.join('; ')}`, {
    hint: `Remove what is left of the old one:  raftctl group remove ${group} --node NODE`,
  })
}

function planFounding(request: CreateRequest, founders: readonly string[], found: GroupSurvey): CreatePlan {
  refuseSilent(founders, found)
  const { group, machine } = request
  return {
    ...{ group, machine, founders, members: founders.map(found.nameOf), uid: randomBytes(16).toString('hex') },
    ...{ found: 'new', clusterId: found.clusterId },
    steps: founders.map((peer) => ({ node: found.nameOf(peer), address: addressOf(peer), as: 'founder' })),
  }
}

/** Who should host it and does not: as a founder while nobody has founded it, to be rebuilt once it has a past. */
function planFinishing({ group }: CreateRequest, copies: readonly Copy[], found: GroupSurvey): CreatePlan {
  const [{ uid }] = copies as [Copy]
  const members = membersKnown(copies)
  const isFounded = copies.some(isFounder)
  const hosts = new Set(copies.map(({ address }) => address))
  if (!members.every((peer) => hosts.has(addressOf(peer)))) refuseSilent(members, found)
  const steps = members.map((peer): CreateStep => {
    const address = addressOf(peer)
    return { node: found.nameOf(peer), address, as: hosts.has(address) ? 'here' : isFounded ? 'joiner' : 'founder' }
  })
  return {
    ...{ group, uid, machine: machineOf(copies), founders: members, members: members.map(found.nameOf), clusterId: found.clusterId },
    ...{ found: steps.every(({ as }) => as === 'here') ? 'there' : 'unfinished', steps },
  }
}

async function planHosting(
  calls: ControlCalls,
  { group, host }: { readonly group: string; readonly host: readonly string[] },
  { copies, found }: { readonly copies: readonly Copy[]; readonly found: GroupSurvey },
): Promise<CreatePlan> {
  const [first] = copies
  if (!first || !copies.some(isFounder))
    throw new CliError('E_NO_GROUP', `no group ${group} that a node could host besides its members`, {
      hint: `Create it first:  raftctl group create ${group}`,
    })
  const steps = await Promise.all(
    host.map(async (text): Promise<CreateStep> => {
      const address = addressOf(peerOf(text, found))
      const there = await copiesOn(calls, { node: found.nameOf(address), address })
      const own = there.find((copy) => copy.group === group)
      if (own && own.uid !== first.uid) throw new CliError('E_EXISTS', `another group ${group} is on ${own.node}`)
      return { node: found.nameOf(address), address, as: own ? 'here' : 'joiner' }
    }),
  )
  const members = membersKnown(copies)
  return {
    ...{
      group,
      uid: first.uid,
      machine: machineOf(copies),
      founders: members,
      members: members.map(found.nameOf),
      clusterId: found.clusterId,
    },
    ...{ found: steps.every(({ as }) => as === 'here') ? 'there' : 'unfinished', steps },
  }
}

function machineOf(copies: readonly Copy[]): string {
  return copies.find(({ machine }) => machine !== '')?.machine ?? 'kv'
}

/** A group with a founder that is away would wait for it, and nobody knows whether an old group of that name lies there. */
function refuseSilent(peers: readonly string[], { nodes, nameOf }: GroupSurvey): void {
  const silent = nodes.filter(({ address, error }) => error !== null && peers.some((peer) => addressOf(peer) === address))
  if (silent.length === 0) return
  const why = silent.map(({ address, error }) => `${nameOf(address)} (${address}): ${error!.message}`).join('; ')
  const only = silent.length === 1 && silent[0]!.error!.code === 'E_UNSUPPORTED'
  throw new CliError(only ? 'E_UNSUPPORTED' : 'E_UNREACHABLE', `${why}; nothing was created`, {
    hint: only ? 'Groups are created on raftctl nodes only.' : 'Start it first, or name other members with --members.',
  })
}

/** Every process that answers for the group of the connection. */
function everybody({ home }: GroupSurvey): string[] {
  return [...home].map(peerIdOf)
}

/** The address that is typed; null for a name. */
function addressIn(text: string): string | null {
  return /:\d+/.test(text) ? (PeerId.parse(text)?.address ?? null) : null
}

/** A member by name or address. */
function peerOf(text: string, { nodes }: GroupSurvey): string {
  const typed = addressIn(text)
  const node = nodes.find(({ id, address }) => id === text || address === typed)
  if (node) return peerIdOf(node.address)
  throw new CliError('E_NO_SUCH_NODE', `no member is called ${JSON.stringify(text)}`, {
    hint: `Members: ${nodes.map(({ id, address }) => (id === address ? id : `${id} (${address})`)).join(', ')}`,
  })
}

function peerIdOf(address: string): string {
  return PeerId.parse(address)!.toString()
}
