import { Configuration, type ConfigurationEntry } from './configuration.js'
import { ErrorCode, Status } from './errors.js'
import type { RequestVoteRequest } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerId } from './peer-id.js'
import { compareLogId, type LogId, type LogIndex, NO_INDEX, type Term } from './types.js'

/**
 * Finds out that this node was removed from its group, and tells others that they were. A removed node that went on would
 * ask for votes for ever and serve nobody (braft leaves it at that).
 *
 * The others say so: when it asks whether they would elect it, or, once its own log holds a committed configuration without it
 * and the leader has fallen silent, when it asks just that. Its log alone proves nothing: it may have been added again and cut off
 * before it heard of that. Braft members cannot be asked so: where there may be some, everybody is asked for its members instead.
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
    if (node.env.clock.now() - heardAt >= node.electionTimeoutMs) this.askOthers()
  }

  /** Asks the members that the log of this node ends with whether it is really none of them, when that is what the log says. */
  askOthers(): void {
    const { node } = this
    if (!this.isLastKnown || !node.meta.isDurable) return
    const { id } = node.configuration
    for (const peer of node.configuration.voters)
      this.ask(peer, id, () => {
        if (node.isActive() && this.isLastKnown && node.configuration.id.index === id.index) this.onToldBy(peer)
      })
  }

  /** `then`, when `peer` knows of the configuration `last`, and of no later one that has this node. */
  private ask(peerId: PeerId, last: LogId, then: () => void): void {
    const { groupId, serverId, meta, env, electionTimeoutMs, options } = this.node
    if (options.askStanding) {
      options.askStanding(peerId, electionTimeoutMs, (status, standing) => {
        const isOut = status.ok && !standing!.members.some((member) => member.equals(serverId))
        if (isOut && compareLogId(standing!.lastId, last) >= 0) then()
      })
      return
    }
    const { term: lastLogTerm, index: lastLogIndex } = last
    const request = { groupId, serverId, peerId, term: (meta.term + 1) as Term, lastLogTerm, lastLogIndex, disruptedLeader: null }
    env.transport.call(peerId, 'preVote', request, electionTimeoutMs, ({ code }) => {
      if (code === ErrorCode.EREMOVED) then()
    })
  }

  /** The newest configuration in the log of this node is committed and lacks it, and an earlier one did not. */
  private get isLastKnown(): boolean {
    const { log, configuration, ballotBox, serverId, isRebuilding } = this.node
    const { index } = configuration.id
    // Who is being rebuilt has its log from others: what it says of this address may be of another life.
    if (isRebuilding || log.configurations.isByHand || !configuration.isStable || configuration.contains(serverId)) return false
    if (configuration.learners.some((learner) => learner.equals(serverId)) || index > ballotBox.lastCommittedIndex) return false
    return this.wasMember || log.configurations.everContained(serverId, this.settledAt)
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
   * EREMOVED for a candidate that is no member as far as is committed here, whose log goes no further than the entry that says
   * so, and whom nobody adds; null for everybody else.
   */
  refusalOf({ serverId, lastLogTerm, lastLogIndex }: RequestVoteRequest): Status | null {
    const { log, ballotBox, configuration, replicators } = this.node
    const committed = log.configurations.at(ballotBox.lastCommittedIndex)
    if (committed.id.index === NO_INDEX || committed.id.index > ballotBox.lastCommittedIndex || !committed.isStable) return null
    if (committed.contains(serverId) || configuration.contains(serverId) || replicators.get(serverId)) return null
    if (compareLogId({ term: lastLogTerm, index: lastLogIndex }, committed.id) > 0) return null
    return Status.error(ErrorCode.EREMOVED, `${serverId} is no member since entry ${committed.configIndex}: ${committed.conf}`)
  }
}
