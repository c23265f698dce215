import type { EntryBatch } from './log-entry.js'
import type { AppendEntriesRequest } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import type { Replicator } from './replicator.js'
import { type LogIndex, NO_INDEX, NO_TERM, type Term } from './types.js'

/** What a leader sends the peer of `to`: entries behind `prev`. */
export function entriesRequest(node: NodeImpl, { peerId }: Replicator, prev: LogIndex, entries: EntryBatch): AppendEntriesRequest {
  const { groupId, serverId, meta, ballotBox } = node
  const prevLogTerm = termAt(node, prev)
  const prevLogIndex = prevLogTerm === NO_TERM ? NO_INDEX : prev
  const committedIndex = ballotBox.lastCommittedIndex
  return { groupId, serverId, peerId, term: meta.term, prevLogIndex, prevLogTerm, committedIndex, entries }
}

/** As entriesRequest, without entries. `last` itself where it says the same: thousands of idle groups say it all day. */
export function emptyRequest(node: NodeImpl, to: Replicator, prev: LogIndex, last: AppendEntriesRequest | null): AppendEntriesRequest {
  const { term } = node.meta
  // What a leader's log holds does not change in its term.
  const isKnown = last !== null && last.term === term && last.prevLogIndex === prev && prev >= node.log.firstIndex
  const prevLogTerm = isKnown ? last.prevLogTerm : termAt(node, prev)
  const prevLogIndex = prevLogTerm === NO_TERM ? NO_INDEX : prev
  const committedIndex = node.ballotBox.lastCommittedIndex
  const outranked = node.precedence.outranks(to)
  const isSame =
    last !== null &&
    last.prevLogIndex === prevLogIndex &&
    last.committedIndex === committedIndex &&
    last.prevLogTerm === prevLogTerm &&
    last.term === term &&
    (last.outranked ?? false) === outranked
  if (isSame) return last
  const { groupId, serverId } = node
  const request = { groupId, serverId, peerId: to.peerId, term, prevLogIndex, prevLogTerm, committedIndex, entries: null }
  return outranked ? { ...request, outranked } : request
}

/** None where nothing is known of it: what is sent follows the beginning of the log then. */
function termAt({ log }: NodeImpl, index: LogIndex): Term {
  return index === NO_INDEX ? NO_TERM : log.termAt(index)
}
