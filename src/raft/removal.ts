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
  private isAsking = false

  constructor(private readonly node: NodeImpl) {
    this.startedAt = node.env.clock.now()
  }

  /** What the log says below this is said of earlier lives of this directory. */
  get settledAt(): LogIndex {
    return this.node.identity?.settledAt ?? NO_INDEX
  }

  onApplied(entry: ConfigurationEntry): void {
    const { serverId, isRebuilding } = this.node
    if (entry.knows(serverId) && !isRebuilding && entry.id.index >= this.settledAt) this.wasMember = true
  }

  /** The directory counts, and stands for everything up to `upTo`: a removal before that was of an earlier life. */
  onSettled(upTo: LogIndex): void {
    this.wasMember = this.node.log.configurations.at(upTo).knows(this.node.serverId)
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
    if (this.isLastKnown) this.askAll(() => this.isLastKnown)
  }

  /** As `askOthers`, when a leader that knows no less than this node has no place for it, though the log does not say so. */
  onLeftOut(): void {
    const mayBe = () => !this.node.isRebuilding && !this.node.log.configurations.isByHand
    if (mayBe()) this.askAll(mayBe)
  }

  /** One round: believed is a majority of the others, unless one of them counts this node. Whoever does not answer is left out. */
  private askAll(isOpen: () => boolean): void {
    const { node } = this
    const { configuration, serverId, meta } = node
    const others = configuration.voters.filter((peer) => !peer.equals(serverId))
    if (this.isAsking || !meta.isDurable || others.length === 0) return
    this.isAsking = true
    const said = new Set<string>()
    let missing = others.length
    let isCounted = false
    for (const peer of others)
      this.ask(peer, configuration.id, (word) => {
        if (word === 'out') said.add(peer.key)
        else if (word === 'in') isCounted = true
        if (--missing > 0) return
        this.isAsking = false
        if (isCounted || !node.isActive() || !isOpen() || node.configuration.id.index !== configuration.id.index) return
        this.concludeIfSaidBy(said)
      })
  }

  /** Whether this node is a member as far as `peer` knows; null when it does not answer, or knows less than the entry `last`. */
  private ask(peerId: PeerId, last: LogId, then: (word: 'in' | 'out' | null) => void): void {
    const { groupId, serverId, meta, env, electionTimeoutMs, options } = this.node
    if (options.askStanding) {
      options.askStanding(peerId, electionTimeoutMs, (status, standing) => {
        if (!status.ok) return then(null)
        if (standing!.members.some((member) => member.equals(serverId))) return then('in')
        then(compareLogId(standing!.lastId, last) >= 0 ? 'out' : null)
      })
      return
    }
    const { term: lastLogTerm, index: lastLogIndex } = last
    const request = { groupId, serverId, peerId, term: (meta.term + 1) as Term, lastLogTerm, lastLogIndex, disruptedLeader: null }
    env.transport.call(peerId, 'preVote', request, electionTimeoutMs, (status) => {
      if (status.code === ErrorCode.EREMOVED) return then('out')
      then(status.ok ? 'in' : null)
    })
  }

  /** The newest configuration in the log of this node is committed and lacks it, and an earlier one did not. */
  private get isLastKnown(): boolean {
    const { log, configuration, ballotBox, serverId, isRebuilding } = this.node
    const { index } = configuration.id
    // Who is being rebuilt has its log from others: what it says of this address may be of another life.
    if (isRebuilding || log.configurations.isByHand || !configuration.isStable || configuration.knows(serverId)) return false
    if (index > ballotBox.lastCommittedIndex) return false
    return this.wasMember || log.configurations.everKnew(serverId, this.settledAt)
  }

  /** A round of elections begins: what was said in an earlier one may be past. */
  onRound(): void {
    this.saidBy.clear()
  }

  /** `peer` answers a candidate that it is no member. Believed when a majority of the others in its configuration say so. */
  onToldBy(peer: PeerId): void {
    this.saidBy.add(peer.key)
    this.concludeIfSaidBy(this.saidBy)
  }

  private concludeIfSaidBy(said: ReadonlySet<string>): void {
    const { configuration, serverId } = this.node
    const halves = configuration.isStable ? [configuration.conf] : [configuration.conf, configuration.old]
    const isSaid = halves.every((half) => {
      const others = new Configuration(half.peers.filter((peer) => !peer.equals(serverId)))
      return !others.isEmpty && others.peers.filter((peer) => said.has(peer.key)).length >= others.quorum
    })
    if (isSaid) this.conclude(`a majority of ${configuration.conf} says so`)
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
    if (committed.knows(serverId) || configuration.knows(serverId) || replicators.get(serverId)) return null
    if (compareLogId({ term: lastLogTerm, index: lastLogIndex }, committed.id) > 0) return null
    return Status.error(ErrorCode.EREMOVED, `${serverId} is no member since entry ${committed.configIndex}: ${committed.conf}`)
  }
}
