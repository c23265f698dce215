import { type Ballot, quorumIndex } from './ballot.js'
import type { ConfigurationEntry } from './configuration.js'
import { assert } from './errors.js'
import type { PeerId } from './peer-id.js'
import { type LogIndex, minIndex, NO_INDEX, plus } from './types.js'

/**
 * Counts the leader's acknowledgements and decides what is committed.
 *
 * Owns the ballots of what was proposed in this leadership and is not committed yet, oldest first, one for each range of
 * entries under one configuration, and how far each peer is known to hold the log.
 * NodeImpl calls everything; `onCommitted` goes to FSMCaller. Followers only use `setLastCommitted`.
 *
 * Invariants
 * - lastCommittedIndex never decreases.
 * - pendingIndex is the first index without a decision, or 0 when this node does not lead.
 * - The ballots cover pendingIndex to the newest proposal without a gap.
 * - An index commits only when a quorum of its own configuration (and of the old one while joint) holds it durably;
 *   everything below commits with it, and nothing from before this leadership commits by being counted.
 *   (Raft thesis §3.6.2, §4.3; Raft figure 8)
 */
export class BallotBox {
  private ballots: Ballot[] = []
  private readonly matchIndexes = new Map<string, LogIndex>()
  private committed: LogIndex = NO_INDEX
  private pending: LogIndex = NO_INDEX

  constructor(private readonly onCommitted: (index: LogIndex) => void) {}

  get lastCommittedIndex(): LogIndex {
    return this.committed
  }

  get pendingIndex(): LogIndex {
    return this.pending
  }

  /** How far the peer of that key is known to hold the log in this leadership. */
  matchIndex(key: string): LogIndex | undefined {
    return this.matchIndexes.get(key)
  }

  /** Becoming leader: `firstPending` is the first index that this leadership decides. */
  resetPending(firstPending: LogIndex): void {
    assert(this.pending === NO_INDEX && this.ballots.length === 0, 'already leading', { pending: this.pending })
    assert(firstPending > this.committed, 'a leadership starts within what is committed', { firstPending, committed: this.committed })
    this.pending = firstPending
  }

  /** Stepping down: what has no decision is left to the next leader. */
  clearPending(): void {
    this.pending = NO_INDEX
    this.ballots = []
    this.matchIndexes.clear()
  }

  /** The entries from `first` to `last` were proposed under `configuration`. */
  append(first: LogIndex, last: LogIndex, configuration: ConfigurationEntry): void {
    assert(this.pending !== NO_INDEX, 'proposed without leading', { first, last })
    assert(first <= last && first === plus(this.lastProposed, 1), 'proposals out of order', {
      first,
      last,
      lastProposed: this.lastProposed,
    })
    assert(!configuration.isEmpty, 'proposed under an empty configuration', { first })
    const newest = this.ballots.at(-1)
    if (newest?.configuration === configuration) newest.last = last
    else this.ballots.push({ first, last, configuration })
  }

  /** `peer` holds everything up to `last` durably. Acknowledgements of what was decided before are ignored. */
  commitAt(last: LogIndex, peer: PeerId): void {
    if (this.pending === NO_INDEX || last < this.pending) return
    assert(last <= this.lastProposed, 'acknowledged an entry that was never proposed', {
      last,
      lastProposed: this.lastProposed,
      peer: peer.key,
    })
    if (last <= (this.matchIndexes.get(peer.key) ?? NO_INDEX)) return
    this.matchIndexes.set(peer.key, last)

    for (let i = this.ballots.length - 1; i >= 0; i--) {
      const ballot = this.ballots[i]!
      const index = minIndex(ballot.last, quorumIndex(ballot.configuration, this.matchIndexes))
      if (index < ballot.first || index < this.pending) continue
      this.ballots.splice(0, index === ballot.last ? i + 1 : i)
      this.pending = plus(index, 1)
      this.advanceTo(index)
      return
    }
  }

  /** What `peer` held does not count any more: it was removed, or lost it. */
  forget(peer: PeerId): void {
    this.matchIndexes.delete(peer.key)
  }

  /** Followers: the leader says that everything up to `index` is committed. An older word changes nothing. */
  setLastCommitted(index: LogIndex): void {
    assert(this.pending === NO_INDEX, 'a leader was told what is committed', { index, pending: this.pending })
    if (index > this.committed) this.advanceTo(index)
  }

  private get lastProposed(): LogIndex {
    return this.ballots.at(-1)?.last ?? plus(this.pending, -1)
  }

  private advanceTo(index: LogIndex): void {
    assert(index > this.committed, 'the commit index would not advance', { index, committed: this.committed })
    this.committed = index
    this.onCommitted(index)
  }
}
