import type { Call } from './environment.js'
import { ErrorType, RaftError, type Status } from './errors.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerId } from './peer-id.js'
import type { LogId, Term } from './types.js'

/** What a member says of itself to whoever asks, of either kind. */
export interface MemberStanding {
  readonly term: Term
  readonly leads: boolean
  /** The end of its log. */
  readonly lastId: LogId
  /** Everybody in its configuration, and in the one that it changes to or from. */
  readonly members: readonly PeerId[]
  /** It leads, its newest configuration may not be committed, and it does not say which one was in force before. */
  readonly isChanging: boolean
}

/** Asks a member for its standing; exactly one answer, on the executor, unless it is cancelled. */
export type AskStanding = (peer: PeerId, timeoutMs: number, done: (status: Status, standing?: MemberStanding) => void) => Call

/** The group has no past: nobody has voted, nothing was written. */
export function isFresh({ term, leads, lastId }: MemberStanding): boolean {
  return term <= 1 && !leads && lastId.index === 0
}

/** What this directory must hold before it may vote, and whom that was asked of. */
interface Goal {
  readonly term: Term
  readonly leader: PeerId
  readonly upTo: LogId
  readonly asked: ReadonlySet<string>
}

/**
 * How a directory without a past comes to count in a group with braft members, which know nothing of rebuilding: their leader
 * counts its acknowledgements, and nobody commits a marker without it.
 *
 * It may have lost its term, votes and entries. So it asks the leader that it hears, and then every other member, for their
 * standing, after it was started. Until all of them were found in the term of that leader it acknowledges nothing to braft. Then it
 * does, but votes for nobody until it holds the log of that leader as far as it went then, still in that term.
 *
 * - No term beyond the leader's had begun: a later one is known to whoever gave its leader a vote. So the leader is not one that was
 *   replaced while this member knew it, and what it acknowledges from now on is in terms that it has not forgotten.
 * - What it acknowledged in its life before and was committed is in the leader's log: of an earlier term by the leader's election,
 *   which this member has had no part in since; of the same term below its end.
 * - Whoever is elected without its vote shares a member with every quorum that it acknowledged in.
 * - In the leader's term its vote goes to the leader, durably, before it counts.
 */
export class Survey {
  private goal: Goal | null = null
  private readonly calls = new Set<Call>()
  private attempts = 0
  private isSettling = false

  constructor(private readonly node: NodeImpl) {}

  /** Goes on until the directory counts, or the node ends. */
  start(): void {
    this.node.survey = this
    this.node.meta.mayHaveForgotten = true
    this.later()
  }

  private later(): void {
    const { heartbeatMs, electionTimeoutMs, env } = this.node
    env.clock.schedule(Math.min(heartbeatMs * 2 ** this.attempts, electionTimeoutMs / 2), () => this.step(), 'survey')
  }

  /** A leader is followed: it can be asked. What was asked about the one before it says nothing any more. */
  onLeaderFollowed(): void {
    for (const call of this.calls) call.cancel()
    this.calls.clear()
    this.attempts = 0
    this.advance()
  }

  /** Entries of the leader are on disk: they may be all that was missing, or the configuration with this member. */
  onHeld(): void {
    if (this.goal) this.advance()
  }

  private step(): void {
    const { node } = this
    if (node.isStopping() || node.error) return
    if (!node.isRebuilding) {
      node.meta.mayHaveForgotten = false
      node.survey = null
      return
    }
    this.advance()
    this.later()
  }

  private advance(): void {
    const { node, goal } = this
    if (!node.isRebuilding || this.isSettling || this.calls.size > 0) return
    if (goal && !this.holdsFor(goal)) this.goal = null
    if (!this.goal) this.ask()
    else if (this.isReached(this.goal)) this.settle(this.goal)
  }

  /** Its leader leads on, what it wrote then is not replaced, and nobody became a member who was not asked. */
  private holdsFor({ term, leader, upTo, asked }: Goal): boolean {
    const { meta, leaderId, log, configuration, serverId } = this.node
    if (meta.term !== term || !leaderId.equals(leader)) return false
    if (upTo.index >= log.firstIndex && upTo.index <= log.lastIndex && log.termAt(upTo.index) !== upTo.term) return false
    return configuration.voters.every((peer) => peer.equals(serverId) || asked.has(peer.key))
  }

  private isReached({ upTo }: Goal): boolean {
    const { log, snapshots, configuration, serverId } = this.node
    if (!configuration.contains(serverId) || upTo.index > log.durableIndex || snapshots.installer.isInstalling) return false
    return log.termAt(upTo.index) === upTo.term || upTo.index < log.firstIndex
  }

  /** The leader first: it knows who the members are. */
  private ask(): void {
    const { leaderId: leader, meta } = this.node
    if (leader.isEmpty) {
      this.attempts = 0
      return
    }
    this.attempts++
    const { term } = meta
    this.askOne(leader, term, leader, (standing) => {
      // Who was a member until now must be asked as well.
      if (standing.leads && !standing.isChanging) this.askOthers(term, leader, standing)
    })
  }

  private askOthers(term: Term, leader: PeerId, { lastId, members }: MemberStanding): void {
    const asked = new Set([leader.key])
    const missing = members.filter((peer) => !peer.equals(this.node.serverId) && !peer.equals(leader))
    const conclude = () => {
      if (!missing.every((peer) => asked.has(peer.key))) return
      this.attempts = 0
      this.goal = { term, leader, upTo: lastId, asked }
      this.node.meta.mayHaveForgotten = false
    }
    for (const peer of missing)
      this.askOne(peer, term, leader, () => {
        asked.add(peer.key)
        conclude()
      })
    conclude()
  }

  /** Told only when it is in that term, and that leader is still followed. */
  private askOne(peer: PeerId, term: Term, leader: PeerId, then: (standing: MemberStanding) => void): void {
    const { node } = this
    const call = node.options.askStanding!(peer, node.electionTimeoutMs, (status, standing) => {
      this.calls.delete(call)
      if (status.ok && standing!.term === term && node.meta.term === term && node.leaderId.equals(leader)) then(standing!)
    })
    this.calls.add(call)
  }

  private settle({ term, leader, upTo }: Goal): void {
    const { node } = this
    this.isSettling = true
    if (node.meta.votedFor.isEmpty) node.meta.update(term, leader)
    node.meta.whenDurable((voted) => {
      // Another term began before the vote was on disk, or a raftctl leader has settled it.
      if (!voted.ok || node.meta.term !== term || !node.isRebuilding) {
        this.isSettling = false
        return
      }
      const member = { ...node.identity!, standing: 'member' as const, settledAt: upTo.index }
      node.options.identityStorage!.save(member, (saved) => {
        this.isSettling = false
        if (!saved.ok) return node.onError(new RaftError(ErrorType.STABLE, saved))
        if (!node.isRebuilding) return
        node.identity = member
        node.removal.onSettled(upTo.index)
        node.observe({ name: 'node.rebuilt', term, incarnation: member.incarnation })
      })
    })
  }
}
