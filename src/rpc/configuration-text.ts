import type { ConfigurationEntry } from '../raft/configuration.js'
import type { PeerId } from '../raft/peer-id.js'

/** `voters n1 n2 n3`, then `+learner n4`, then `(joint, from n1 n2)` while two configurations are in force. */
export function configurationText(entry: ConfigurationEntry, nameOf: (peer: PeerId) => string): string {
  const call = (peer: PeerId) => `${nameOf(peer) || peer.address}${peer.isWitness ? ' (witness)' : ''}`
  const voters = `voters ${entry.conf.peers.map(call).join(' ')}`
  const learners = entry.learners.map((peer) => ` +learner ${call(peer)}`).join('')
  const joint = entry.isStable ? '' : ` (joint, from ${entry.old.peers.map(call).join(' ')})`
  return `${voters}${learners}${joint}`
}
