import { fromInt64 } from '../raft/types.js'
import type { Connection } from '../terminal/connection.js'
import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { membersOf, survey } from './discovery.js'
import { ControlCalls } from './engines/control-calls.js'
import { addressOf, isEmptyPeer, peerKey } from './node-report.js'

/** A process that hosts groups, and what became of asking it. */
export interface GroupNode {
  readonly id: string
  readonly address: string
  /** Null while it does not answer. */
  readonly groups: number | null
  readonly error: { readonly code: string; readonly message: string } | null
}

/** ok: led, and every member runs it. degraded: led. founding: not every founder hosts it yet. */
export type GroupState = 'ok' | 'degraded' | 'no-leader' | 'founding'

/** A group, as those that answer see it together; one whose name was used again stands there twice. */
export interface GroupRow {
  readonly group: string
  /** Null for one that the nodes were started with. */
  readonly uid: string | null
  readonly state: GroupState
  readonly leader: string | null
  readonly term: number
  readonly commit: number
  /** The voters; the founders until it is founded. */
  readonly members: readonly string[]
  /** Where it runs. */
  readonly hosts: readonly string[]
  /** Members that answer and do not host it. */
  readonly missing: readonly string[]
  /** Where it ought to run, or need not lie any more, and why. */
  readonly problems: readonly { readonly node: string; readonly message: string }[]
}

/** `data` of `group list --json`. */
export interface GroupList {
  readonly groups: readonly GroupRow[]
  readonly nodes: readonly GroupNode[]
}

/** What one process says of one group. */
export interface Copy {
  readonly node: string
  readonly address: string
  readonly group: string
  readonly uid: string
  readonly machine: string
  readonly founders: readonly string[]
  readonly members: readonly string[]
  readonly standing: string
  readonly state: string
  readonly leaderId: string
  readonly term: number
  readonly commit: number
  readonly problem: string
  /** PeerIds under which the directory was a member before it moved. */
  readonly movedFrom: readonly string[]
}

/** Everything that the processes of a cluster say of their groups. */
export interface GroupSurvey {
  readonly clusterId: string | null
  readonly nodes: readonly GroupNode[]
  /** Addresses of the members of the group of the connection, and of its endpoints. */
  readonly home: ReadonlySet<string>
  readonly copies: readonly Copy[]
  /** What a PeerId, or an address, is called. */
  nameOf(peer: string): string
}

export interface SurveyOptions {
  /** Addresses of more processes. */
  readonly others?: readonly string[]
  /** A group whose founders are asked as well, members or not: what they hold of it is meant too. */
  readonly foundersOf?: string | null
}

/**
 * Asks every member of the group of the connection, every endpoint and `others` which groups they host, and then whoever is, as far as
 * these know, a member of one of them.
 */
export async function surveyGroups(
  client: ClusterClient,
  calls: ControlCalls,
  { others = [], foundersOf = null }: SurveyOptions = {},
): Promise<GroupSurvey> {
  const { reports, failures, membership, clusterId } = await survey(client)
  const known = membersOf(membership).map(({ peerId, name }) => ({ address: addressOf(peerId), id: name || addressOf(peerId) }))
  const seen = [...reports.values()].map(({ peerId, name }) => ({ address: addressOf(peerId), id: name || addressOf(peerId) }))
  const silent = [...failures.keys()].map((address) => ({ address, id: address }))
  const processes = new Map([...silent, ...seen, ...known].map((one) => [one.address, one]))
  const home = new Set(processes.keys())
  const add = (address: string) => processes.has(address) || processes.set(address, { address, id: address })
  others.forEach(add)
  const copies: Copy[] = []
  const nodes: GroupNode[] = []
  for (let next = [...processes.values()]; next.length > 0; next = [...processes.values()].slice(nodes.length)) {
    const wave = await Promise.all(next.map((one) => askedFor(calls, one)))
    for (const { node, found } of wave) {
      nodes.push(node)
      copies.push(...found)
    }
    for (const life of livesOf(copies)) membersKnown(life).map(addressOf).forEach(add)
    for (const { group, founders } of copies) if (group === foundersOf) founders.map(addressOf).forEach(add)
  }
  const nameOf = (peer: string) => processes.get(peer)?.id ?? processes.get(addressOf(peer))?.id ?? addressOf(peer)
  return { clusterId, nodes, home, copies, nameOf }
}

async function askedFor(calls: ControlCalls, { id, address }: { readonly id: string; readonly address: string }) {
  try {
    const found = await copiesOn(calls, { node: id, address })
    return { node: { id, address, groups: found.length, error: null }, found }
  } catch (thrown) {
    if (!(thrown instanceof CliError)) throw thrown
    const { reason } = thrown.details as { reason?: string }
    return { node: { id, address, groups: null, error: { code: thrown.code, message: reason ?? thrown.message } }, found: [] }
  }
}

/** What one process hosts. Throws what the call failed with. */
export async function copiesOn(calls: ControlCalls, at: { readonly node: string; readonly address: string }): Promise<Copy[]> {
  const { groups } = await calls.read(at.address, (call, options) => call.call('ListGroups', {}, options))
  return (groups ?? []).map((one) => ({
    ...at,
    ...{ group: one.group ?? '', uid: one.uid ?? '', machine: one.machine ?? '', founders: one.founders ?? [], members: one.members ?? [] },
    ...{
      standing: one.standing ?? '',
      state: one.state ?? '',
      leaderId: one.leader_id ?? '',
      problem: one.problem ?? '',
      movedFrom: one.moved_from ?? [],
    },
    ...{ term: fromInt64(one.term ?? 0), commit: fromInt64(one.commit_index ?? 0) },
  }))
}

/** The groups of a cluster. An answer that is missing is an error beside the rows. */
export async function listGroups(client: ClusterClient, connection: Connection) {
  using calls = new ControlCalls(connection)
  const found = await surveyGroups(client, calls)
  const rows = rowsOf(found)
  const silent = found.nodes.filter(({ error }) => error !== null)
  const error = silent.length === 0 ? null : silentError(found, silent)
  const data: GroupList = { groups: rows, nodes: found.nodes }
  return { data, clusterId: found.clusterId, error }
}

function silentError({ nodes }: GroupSurvey, silent: readonly GroupNode[]): CliError {
  const message = silent.map(({ id, error }) => `${id}: ${error!.message}`).join('; ')
  return silent.length === nodes.length
    ? new CliError('E_UNREACHABLE', message)
    : new CliError('E_PARTIAL', `${silent.length} of ${nodes.length} nodes did not say which groups they host: ${message}`)
}

/** One row per group and life of it, by name. */
export function rowsOf(found: GroupSurvey): GroupRow[] {
  const rows = livesOf(found.copies).map((copies) => rowOf(copies, found))
  return rows.sort((a, b) => (a.group < b.group ? -1 : a.group > b.group ? 1 : b.hosts.length - a.hosts.length))
}

/** The copies of each group, and of each life of it. */
function livesOf(copies: readonly Copy[]): Copy[][] {
  const byLife = new Map<string, Copy[]>()
  for (const copy of copies) {
    const key = `${copy.group} ${copy.uid}`
    byLife.set(key, [...(byLife.get(key) ?? []), copy])
  }
  return [...byLife.values()]
}

function rowOf(copies: readonly Copy[], { nodes, nameOf }: GroupSurvey): GroupRow {
  const [{ group, uid }] = copies as [Copy]
  const running = copies.filter(({ problem }) => problem === '')
  const leads = running.filter(({ state }) => state === 'LEADER' || state === 'TRANSFERRING').sort((a, b) => b.term - a.term)[0]
  const newest = leads ?? [...running].sort((a, b) => b.commit - a.commit || b.term - a.term)[0]
  const isFounded = copies.some(isFounder)
  const members = membersKnown(copies)
  const hosts = new Set(running.map(({ address }) => address))
  const answering = new Set(nodes.filter(({ error }) => error === null).map(({ address }) => address))
  const missing = members.map(addressOf).filter((address) => answering.has(address) && !hosts.has(address))
  const down = members.map(addressOf).filter((address) => !hosts.has(address))
  const needless = running.filter((copy) => isFounded && leads && !mayCount(copy, members))
  return {
    ...{ group, uid: uid === '' ? null : uid },
    state: !isFounded ? 'founding' : !leads ? 'no-leader' : down.length > 0 ? 'degraded' : 'ok',
    leader: leads ? leads.node : null,
    ...{ term: newest?.term ?? 0, commit: newest?.commit ?? 0 },
    members: members.map(nameOf),
    hosts: running.map(({ node }) => node),
    missing: missing.map(nameOf),
    problems: [
      ...copies.filter(({ problem }) => problem !== '').map(({ node, problem }) => ({ node, message: problem })),
      ...needless.map(({ node }) => ({ node, message: 'hosts it and is no member' })),
    ],
  }
}

/** Somebody has founded the group: it has a past. */
export function isFounder({ standing, uid }: Copy): boolean {
  return standing === 'member' || (uid === '' && standing !== 'founding')
}

/** It is one of the voters, was one before it moved, or holds what a member holds: a learner, or one that was not told yet that it left. */
export function mayCount(copy: Copy, members: readonly string[]): boolean {
  return (
    isFounder(copy) ||
    members.some((peer) => addressOf(peer) === copy.address || copy.movedFrom.some((from) => peerKey(from) === peerKey(peer)))
  )
}

/** PeerIds of the voters as the leader, or who knows most, has them; of the founders until it is founded. */
export function membersKnown(copies: readonly Copy[]): readonly string[] {
  const founded = copies.filter((copy) => isFounder(copy) && copy.members.length > 0)
  const best = founded.sort(
    (a, b) => Number(b.state === 'LEADER') - Number(a.state === 'LEADER') || b.commit - a.commit || b.term - a.term,
  )[0]
  const members = best?.members ?? copies.find(({ founders }) => founders.length > 0)?.founders ?? []
  return members.filter((peer) => !isEmptyPeer(peer))
}

/** The same members, in whatever order and however their PeerIds are written. */
export function sameMembers(a: readonly string[], b: readonly string[]): boolean {
  const keys = (peers: readonly string[]) => [...new Set(peers.map(peerKey))].sort().join(' ')
  return keys(a) === keys(b)
}
