import { PeerId } from '../raft/peer-id.js'
import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { survey } from './discovery.js'
import { ControlCalls } from './engines/control-calls.js'
import { rowsOf, surveyGroups } from './groups.js'
import { findMember } from './member-lookup.js'
import { type ChangeMembersAction, type MembershipRequest, planMembership } from './membership-plan.js'
import { peerKey } from './node-report.js'
import type { DraftedPlan } from './plan.js'
import { statusOf } from './status.js'

export interface AddressRequest extends Pick<MembershipRequest, 'command' | 'force' | 'reason' | 'catchupTimeoutMs'> {
  /** By name, address or PeerId. */
  readonly member: string
  /** `host:port` where it is from now on. */
  readonly address: string
}

/**
 * A member goes on at another address, with the directory that it has: in the group's eyes that is one who leaves and one who comes,
 * by joint consensus, and the leader looks whether they are the same. A member that is there already changes nothing.
 */
export async function planAddress(client: ClusterClient, request: AddressRequest): Promise<DraftedPlan<ChangeMembersAction>> {
  const { member, address, ...plain } = request
  const peer = PeerId.parse(address)
  if (!peer || peer.port === 0 || peer.idx !== 0)
    throw new CliError('E_USAGE', `--address ${JSON.stringify(address)} is no address`, { hint: 'Write HOST:PORT, such as 10.0.0.4:7004.' })
  const { status, error } = statusOf(await survey(client))
  if (error) throw error
  const row = findMember(status, member)
  if (peerKey(row.peerId) === peer.key) return planMembership(client, { ...plain, add: [], remove: [] })
  const id = row.id === row.address ? peer.address : row.id
  const moved = { id, address: peer.address, learner: row.role === 'learner', witness: row.role === 'witness' }
  using calls = new ControlCalls(client.connection)
  const facts = await othersOf(client, calls, { id: row.id, from: row.address, to: peer.address })
  return planMembership(client, { ...plain, add: [moved], remove: [row.peerId], movedFrom: row.peerId, facts })
}

/** The other groups of its process call it where it was as well, until each of them is told. */
export async function othersOf(
  client: ClusterClient,
  calls: ControlCalls,
  { id, from, to }: { readonly id: string; readonly from: string; readonly to: string },
): Promise<string[]> {
  const found = await surveyGroups(client, calls)
  const others = rowsOf(found).filter(({ group, members }) => group !== client.group && members.includes(found.nameOf(from)))
  return others.map(({ group }) => `${group} has ${id} at ${from} too. Tell it next:  raftctl member set ${id} --address ${to} -g ${group}`)
}
