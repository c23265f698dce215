import { ErrorCode, Status } from './errors.js'
import type { TermLeader } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerId } from './peer-id.js'
import type { Term } from './types.js'

/**
 * Leader stickiness: who hears a healthy leader refuses to elect another (Raft thesis §4.2.3), so that a partitioned,
 * removed or restarted peer cannot disturb the group.
 *
 * A follower is sticky while it heard from its leader within T; a leader while a quorum answered it within T. It ends
 * early when the leader hands over (`release`, or a vote that names it as disrupted leader), or when its process is known
 * to be gone: its stream broke and nobody listens at its address any more, or a newer process answers there.
 *
 * With leader leases it is a promise, which the leader relies on: it outlives the loss of the leader and a restart, and only the
 * leader itself ends it early, by `release`.
 */
export class Stickiness {
  private lastContact = Number.NEGATIVE_INFINITY
  /** With leases: votes for nobody before that. */
  private promisedUntil = Number.NEGATIVE_INFINITY
  private leaderBootId: string | null = null
  /** The leadership that no longer protects itself. */
  private released: { term: Term; until: number } | null = null
  private gone: (TermLeader & { readonly at: number }) | null = null
  private lastDialAt = Number.NEGATIVE_INFINITY
  private investigating: (() => void)[] | null = null

  constructor(private readonly node: NodeImpl) {}

  /** The leader was heard. */
  noteContact(): void {
    const { lease, env, meta } = this.node
    this.lastContact = env.clock.now()
    if (lease.isEnabled && this.released?.term !== meta.term) this.promisedUntil = this.lastContact + lease.promiseMs
  }

  /** What this process promised before it was started it does not know. Who has not even a term to lose promised nothing. */
  onStarted(): void {
    const { lease, env, election } = this.node
    if (lease.isEnabled && !election.isNewGroup) this.promisedUntil = env.clock.now() + lease.promiseMs
  }

  /** For how long no vote may be given, its own included, whoever asks. */
  get promisedForMs(): number {
    return Math.max(0, this.promisedUntil - this.node.env.clock.now())
  }

  get lastContactAt(): number {
    return this.lastContact
  }

  /** Follower: when to campaign, if nothing is heard before. Without a leader only the timer counts. */
  contactDeadline(jitter: number): number {
    if (this.node.leaderId.isEmpty || this.isGone()) return Number.NEGATIVE_INFINITY
    return this.lastContact + this.node.electionTimeoutMs * (1 + jitter / 2)
  }

  /** Why a follower gives its leader up. */
  get lossReason(): Status {
    return this.isGone()
      ? Status.error(ErrorCode.EHOSTDOWN, 'its process is gone')
      : Status.error(ErrorCode.ERAFTTIMEDOUT, 'the leader was not heard in time')
  }

  /** A new leader is followed: learn which process it is. */
  onLeaderFollowed(leader: PeerId): void {
    const { node } = this
    const { term } = node.meta
    this.leaderBootId = null
    this.lastDialAt = Number.NEGATIVE_INFINITY
    this.hello(leader, (_status, bootId) => {
      if (node.meta.term === term && node.leaderId.equals(leader) && bootId) this.leaderBootId = bootId
    })
  }

  /** The leader of `term` hands over: its followers may elect another for the next T. */
  release(term: Term): void {
    this.released = { term, until: this.node.env.clock.now() + this.node.electionTimeoutMs }
    this.promisedUntil = Number.NEGATIVE_INFINITY
  }

  /** Whether the current leadership is still protected against this candidate. */
  holds(disrupted: TermLeader | null): boolean {
    const { node } = this
    const now = node.env.clock.now()
    if (node.state === 'LEADER') return node.checkQuorum.contactAt > now - node.electionTimeoutMs
    if (this.promisedForMs > 0) return true
    if (node.state !== 'FOLLOWER' || node.leaderId.isEmpty) return false
    if (disrupted && disrupted.term === node.meta.term && disrupted.peerId.equals(node.leaderId)) return false
    if (this.released && this.released.term === node.meta.term && now < this.released.until) return false
    if (this.isGone()) return false
    return now - this.lastContact < node.electionTimeoutMs
  }

  /** As `holds`, but a follower makes sure first that the leader's process is still there. */
  check(disrupted: TermLeader | null, then: (sticky: boolean) => void): void {
    const { node } = this
    if (!this.holds(disrupted)) return then(false)
    if (node.state !== 'FOLLOWER') return then(true)
    this.investigate(() => then(this.holds(disrupted)))
  }

  /** The append stream from the leader broke: is its process gone? */
  onStreamBroken(peer: PeerId): void {
    if (this.node.state !== 'FOLLOWER' || !peer.equals(this.node.leaderId)) return
    this.lastDialAt = Number.NEGATIVE_INFINITY
    this.investigate(() => {})
  }

  private isGone(): boolean {
    return this.wasGone() && this.lastContact <= this.gone!.at
  }

  /** Once in this leadership, also if it was heard again. */
  private wasGone(): boolean {
    return this.gone !== null && this.gone.term === this.node.meta.term && this.gone.peerId.equals(this.node.leaderId)
  }

  private investigate(then: () => void): void {
    const { node } = this
    if (this.investigating) {
      this.investigating.push(then)
      return
    }
    const now = node.env.clock.now()
    const timeoutMs = node.electionTimeoutMs / 10
    if (now - this.lastDialAt < timeoutMs) return then()
    this.lastDialAt = now
    this.investigating = [then]
    const leader = node.leaderId
    const { term } = node.meta
    const conclude = (gone: boolean) => {
      const waiting = this.investigating ?? []
      this.investigating = null
      if (gone && node.state === 'FOLLOWER' && node.meta.term === term && node.leaderId.equals(leader)) this.leaderGone(leader, term)
      for (const next of waiting) next()
    }
    this.look(leader, now + timeoutMs, conclude)
  }

  /** A dying process accepts until its socket is closed, which takes a while: look again until nobody listens, or `until`. */
  private look(leader: PeerId, until: number, conclude: (gone: boolean) => void): void {
    const { clock, transport } = this.node.env
    const timeoutMs = this.node.electionTimeoutMs / 10
    transport.dial(leader, timeoutMs, (result) => {
      const known = this.leaderBootId
      if (result !== 'accepted' || known === null) return conclude(result === 'refused')
      this.hello(leader, (status, bootId) => {
        const failed = !status.ok && status.code !== ErrorCode.ETIMEDOUT
        if (!failed || clock.now() >= until) return conclude(bootId !== null && bootId !== known)
        clock.schedule(timeoutMs / 10, () => this.look(leader, until, conclude), 'stickiness.look')
      })
    })
  }

  private hello(leader: PeerId, then: (status: Status, bootId: string | null) => void): void {
    const { node } = this
    const { incarnation, standing } = node.identity!
    const request = { groupId: node.groupId, serverId: node.serverId, peerId: leader, incarnation, standing }
    node.env.transport.call(leader, 'hello', request, node.electionTimeoutMs / 10, (status, response) =>
      then(status, status.ok ? response!.bootId : null),
    )
  }

  private leaderGone(leader: PeerId, term: Term): void {
    if (this.wasGone()) return
    this.gone = { peerId: leader, term, at: this.node.env.clock.now() }
    this.node.election.campaignSoon()
  }
}
