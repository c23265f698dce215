import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { survey } from './discovery.js'
import { findLeader } from './leader-claims.js'
import { type ClusterStatus, statusOf } from './status.js'

/** `data` of `leader show --json`. */
export interface LeaderView {
  readonly group: string
  readonly leader: { readonly id: string; readonly address: string; readonly peerId: string }
  readonly term: number
  /** It proved by a round of heartbeats that it still leads; false: a quorum of members names it. */
  readonly confirmed: boolean
  readonly leaderForMs: number | null
  readonly voters: number | null
  readonly reachableVoters: number
  /** Who follows it, by name. */
  readonly followers: readonly string[]
}

/** Finds the leader and has it prove that it leads. Throws E_NO_LEADER, E_NO_QUORUM or E_UNREACHABLE with what the members said. */
export async function showLeader(client: ClusterClient): Promise<{ readonly view: LeaderView; readonly clusterId: string | null }> {
  const found = await survey(client)
  const { status, clusterId, error } = statusOf(found)
  if (error) throw error
  const claim = findLeader(found)
  const row = status.nodes.find((node) => node.peerId !== null && node.id === status.leader)
  if (claim === null || !row || row.peerId === null) throw new CliError('E_NO_LEADER', 'no member that answers knows a leader')
  const proof = row.reachable ? await confirmed(client, row.address, claim.term) : null
  const view: LeaderView = {
    group: status.group,
    leader: { id: row.id, address: row.address, peerId: row.peerId },
    term: proof?.term ?? claim.term,
    confirmed: proof !== null,
    leaderForMs: proof?.leaderForMs ?? status.leaderForMs,
    voters: status.voters,
    reachableVoters: status.reachableVoters,
    followers: followersOf(status, row.id),
  }
  return { view, clusterId }
}

function followersOf(status: ClusterStatus, leader: string): string[] {
  return status.nodes
    .filter((node) => node.role !== null && node.reachable && node.id !== leader && node.term === status.term)
    .map((node) => node.id)
}

/** Null when the node cannot confirm this way; an answer that denies it leads is E_NO_LEADER. */
async function confirmed(client: ClusterClient, address: string, term: number) {
  try {
    const proof = await client.confirmLeader(address)
    if (proof.confirmed) return proof
    throw new CliError('E_NO_LEADER', `${address} led in term ${term} and could not confirm it`, {
      hint: 'An election may be running: raftctl wait leader --for 10s',
    })
  } catch (thrown) {
    if (thrown instanceof CliError && thrown.code === 'E_UNSUPPORTED') return null
    throw thrown
  }
}
