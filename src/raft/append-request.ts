import type { EntryBatch } from './log-entry.js'
import type { AppendEntriesRequest } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import type { Replicator } from './replicator.js'
import { type LogIndex, NO_INDEX, NO_TERM } from './types.js'

/** What a leader sends the peer of `to`: entries behind `prev`. */
export function entriesRequest(node: NodeImpl, to: Replicator, prev: LogIndex, entries: EntryBatch): AppendEntriesRequest {
  return {
    ...addressed(node, to),
    ...pointOf(node, prev),
    term: node.meta.term,
    committedIndex: node.ballotBox.lastCommittedIndex,
    entries,
  }
}

/** As entriesRequest, without entries. `last` itself where it says the same: thousands of idle groups say it all day. */
export function emptyRequest(node: NodeImpl, to: Replicator, prev: LogIndex, last: AppendEntriesRequest | null): AppendEntriesRequest {
  const { prevLogIndex, prevLogTerm } = pointOf(node, prev)
  const { term } = node.meta
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
  const request = { ...addressed(node, to), term, prevLogIndex, prevLogTerm, committedIndex, entries: null }
  return outranked ? { ...request, outranked } : request
}

function addressed({ groupId, serverId }: NodeImpl, { peerId }: Replicator) {
  return { groupId, serverId, peerId }
}

/** Where nothing is known of the term at `prev`, the beginning of the log. */
function pointOf({ log }: NodeImpl, prev: LogIndex) {
  const term = prev === NO_INDEX ? NO_TERM : log.termAt(prev)
  return { prevLogIndex: term === NO_TERM ? NO_INDEX : prev, prevLogTerm: term }
}
