import { Configuration, type ConfigurationEntry } from './configuration.js'
import { ErrorCode, Status } from './errors.js'
import type { RequestVoteRequest } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerId } from './peer-id.js'
import { compareLogId, type LogIndex, NO_INDEX } from './types.js'

/**
 * Finds out that this node was removed from its group, and tells others that they were. A removed node that went on would
 * ask for votes for ever and serve nobody (braft leaves it at that).
 *
 * Its own log says so once the configuration without it is committed and the leader has fallen silent: a member that is
 * added again at the same address passes through its earlier removal while the leader still speaks to it. Where its log ends
 * before that, the others say so, when it asks whether they would elect it.
 */
export class Removal {
  private wasMember = false
  private readonly saidBy = new Set<string>()
  private readonly startedAt: number
  private told = false

  constructor(private readonly node: NodeImpl) {
    this.startedAt = node.env.clock.now()
  }

  /** What the log says below this is said of earlier lives of this directory. */
  get settledAt(): LogIndex {
    return this.node.identity?.settledAt ?? NO_INDEX
  }

  onApplied(entry: ConfigurationEntry): void {
    const { serverId, isRebuilding } = this.node
    if (entry.contains(serverId) && !isRebuilding && entry.id.index >= this.settledAt) this.wasMember = true
  }

  /** The directory counts, and stands for everything up to `upTo`: a removal before that was of an earlier life. */
  onSettled(upTo: LogIndex): void {
    this.wasMember = this.node.log.configurations.at(upTo).contains(this.node.serverId)
  }

  /** A leader speaks to this node: what others said before is past. */
  onLeaderFollowed(): void {
    this.saidBy.clear()
  }

  /** Nobody leads this node, which no configuration in force contains. */
  onSilence(): void {
    const { node } = this
    const heardAt = Math.max(node.stickiness.lastContactAt, this.startedAt)
    if (node.env.clock.now() - heardAt >= node.electionTimeoutMs) this.concludeFromLog()
  }

  /** The log of this node says for good that it is no member, and that it was one. */
  concludeFromLog(): void {
    const { log, configuration, ballotBox, serverId } = this.node
    const { index } = configuration.id
    // Who is being rebuilt has its log from others: what it says of this address may be of another life.
    if (this.node.isRebuilding) return
    if (log.configurations.isByHand || !configuration.isStable || configuration.contains(serverId)) return
    if (configuration.learners.some((learner) => learner.equals(serverId)) || index > ballotBox.lastCommittedIndex) return
    if (this.wasMember || log.configurations.everContained(serverId, this.settledAt))
      this.conclude(`the members are ${configuration.conf} since entry ${configuration.configIndex}`)
  }

  /** `peer` answers that this node is no member. Believed when a majority of the others in its configuration say so. */
  onToldBy(peer: PeerId): void {
    const { configuration } = this.node
    this.saidBy.add(peer.key)
    const halves = configuration.isStable ? [configuration.conf] : [configuration.conf, configuration.old]
    if (halves.every((half) => this.isSaidByMajority(half))) this.conclude(`a majority of ${configuration.conf} says so`)
  }

  private isSaidByMajority(half: Configuration): boolean {
    const others = new Configuration(half.peers.filter((peer) => !peer.equals(this.node.serverId)))
    return !others.isEmpty && others.peers.filter((peer) => this.saidBy.has(peer.key)).length >= others.quorum
  }

  private conclude(reason: string): void {
    if (this.told) return
    this.told = true
    this.node.observe({ name: 'node.removed', reason })
  }

  /**
   * EREMOVED for a candidate that is no member as far as is committed here, and whose log ends before the entry that says
   * so; null for everybody else.
   */
  refusalOf({ serverId, lastLogTerm, lastLogIndex }: RequestVoteRequest): Status | null {
    const { log, ballotBox, configuration } = this.node
    const committed = log.configurations.at(ballotBox.lastCommittedIndex)
    if (committed.id.index === NO_INDEX || committed.id.index > ballotBox.lastCommittedIndex || !committed.isStable) return null
    if (committed.contains(serverId) || configuration.contains(serverId)) return null
    if (compareLogId({ term: lastLogTerm, index: lastLogIndex }, committed.id) >= 0) return null
    return Status.error(ErrorCode.EREMOVED, `${serverId} is no member since entry ${committed.configIndex}: ${committed.conf}`)
  }
}
