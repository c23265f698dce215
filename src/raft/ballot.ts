import type { Configuration, ConfigurationEntry } from './configuration.js'
import type { LogIndex } from './types.js'
import { maxIndex, minIndex, NO_INDEX } from './types.js'

/** One ballot for a range of entries that were proposed under the same configuration. */
export interface Ballot {
  readonly first: LogIndex
  last: LogIndex
  readonly configuration: ConfigurationEntry
}

/** How far each peer is known to hold the log durably, by PeerId key. */
export type MatchIndexes = Pick<ReadonlyMap<string, LogIndex>, 'get'>

/**
 * The newest index held by a quorum of `configuration`, and of its old half while joint (Raft thesis §4.3). Where there are
 * witnesses one of the others must hold it too: what witnesses alone acknowledged nobody could read any more.
 */
export function quorumIndex(configuration: ConfigurationEntry, matchIndexes: MatchIndexes): LogIndex {
  const index = majorityIndex(configuration.conf, matchIndexes)
  return configuration.isStable ? index : minIndex(index, majorityIndex(configuration.old, matchIndexes))
}

/** Match indexes of one half, newest first. Reused: nothing is allocated per acknowledgement. */
const sorted: LogIndex[] = []

function majorityIndex(conf: Configuration, matchIndexes: MatchIndexes): LogIndex {
  if (conf.isEmpty) return NO_INDEX
  sorted.length = 0
  for (const peer of conf.peers) {
    const match = matchIndexes.get(peer.key) ?? NO_INDEX
    let at = sorted.length
    for (; at > 0 && sorted[at - 1]! < match; at--) sorted[at] = sorted[at - 1]!
    sorted[at] = match
  }
  const index = sorted[conf.quorum - 1]!
  return conf.witnesses.length === 0 ? index : minIndex(index, dataIndex(conf, matchIndexes))
}

/** The newest index that a member holds with its data. */
function dataIndex(conf: Configuration, matchIndexes: MatchIndexes): LogIndex {
  let newest = NO_INDEX
  for (const peer of conf.peers) if (!peer.isWitness) newest = maxIndex(newest, matchIndexes.get(peer.key) ?? NO_INDEX)
  return newest
}
