import { PeerId } from '../raft/peer-id.js'
import type { RaftStat } from './raft-stat-text.js'

/** What a braft process at the address of a member to be shows of the group: its page, or why it has none. */
export interface BraftAnswer {
  readonly stat: RaftStat | null
  /** '' with a page. */
  readonly problem: string
}

/**
 * Why the braft node of this page cannot become a member of a group of these members; null when it can. braft knows no clusters: a
 * log is ours if its last members were some of ours.
 */
export function whyBraftIsUnfit(stat: RaftStat, peer: PeerId, members: readonly PeerId[]): string | null {
  if (!isPeer(stat.peerId, peer)) return `calls itself ${stat.peerId}: add it by that address`
  if (stat.state === 'ERROR' || stat.state.startsWith('SHUT')) return `has stopped taking part: it is in state ${stat.state}`
  if (stat.state === 'LEADER' || stat.state === 'TRANSFERRING') return 'leads a group of its own'
  const others = stat.peers.filter((one) => !isPeer(one, peer))
  const isOurs = others.some((one) => members.some((member) => isPeer(one, member)))
  return stat.peers.length > 0 && !isOurs ? `was started to be of another group of members: ${stat.peers.join(' ')}` : null
}

function isPeer(text: string, peer: PeerId): boolean {
  return PeerId.parse(text)?.equals(peer) === true
}
