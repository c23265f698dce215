import { noteLateness } from './check-quorum.js'
import type { ElectionPass } from './election-gate.js'
import type { Call, Timer } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import { LeaderSearch } from './leader-search.js'
import type { Answer, RequestVoteRequest, RequestVoteResponse, TermLeader } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import type { TimerStatus } from './node-status.js'
import { PeerId } from './peer-id.js'
import { goesBefore } from './turns.js'
import { compareLogId, NO_TERM, type Term } from './types.js'

interface Round {
  readonly kind: 'pre-vote' | 'vote'
  /** The term the node was in when the round began; a round of another term is stale. */
  readonly term: Term
  readonly startedAt: number
  readonly granted: Set<string>
  readonly refused: Set<string>
  readonly calls: Set<Call>
  readonly disruptedLeader: TermLeader | null
}

/** A brand-new group has nobody to disturb: whoever goes first in it asks for votes again within this time. */
const NEW_GROUP_RETRY_MS = 150
/** A vote is waited for at most this many times as long as the first one. */
const VOTE_PATIENCE_MAX = 4

/**
 * Elections: the election timer, pre-votes and votes (Raft §5.2, thesis §9.6; braft NodeImpl::pre_vote, elect_self).
 *
 * A follower waits until it has not heard from its leader for T + U(0, T/2), asks whether it could win (pre-vote), and only
 * then raises the term. A round that is lost or undecided is repeated after T/10 + U(0, T/4). Who grants a pre-vote to one that comes
 * before it (turns.ts) lets that one go first: members that answer slowly would outbid each other. It does so once in a term, since
 * the other may not be able to win.
 *
 * Invariants
 * - a request for votes leaves only when the term and the own vote are durable.
 * - answers count only in the round they were asked in.
 */
export class Election {
  private round: Round | null = null
  private timer: Timer | null = null
  private timerDeadline = 0
  private timerKind: 'election' | 'vote' | null = null
  private jitter: number
  private readonly search: LeaderSearch
  private pass: ElectionPass | null = null
  private passSince = 0
  private gaveWayIn: Term = NO_TERM
  /** Votes in a row that were not decided in time. */
  private undecided = 0

  constructor(private readonly node: NodeImpl) {
    this.jitter = node.env.random.unit()
    this.search = new LeaderSearch(node)
  }

  /**
   * A member that starts knows no leader. It asks after T/4 to T/2 already: where one leads, the others answer that they
   * hear it, and nothing is disturbed; where all were down, the group is back sooner.
   */
  start(): void {
    const { env, electionTimeoutMs } = this.node
    if (this.isNewGroup) this.restartTimer()
    else this.arm('election', (electionTimeoutMs * (1 + env.random.unit())) / 4)
  }

  /** Follower: wait for the leader anew. Called at every step-down. */
  restartTimer(): void {
    this.abandonRound()
    this.leavePass()
    this.jitter = this.node.env.random.unit()
    const { node } = this
    if (this.isNewGroup) return this.arm('election', this.newGroupDelay(this.jitter))
    this.arm('election', node.electionTimeoutMs * (1 + this.jitter / 2))
  }

  /** All members of a new group are there at once: one of them asks, and the others only when nothing comes of that. */
  private newGroupDelay(jitter: number): number {
    const { groupId, meta, serverId, configuration, electionTimeoutMs: t } = this.node
    const isFirst = configuration.voters.every((peer) => peer.isWitness || !goesBefore(groupId, meta.term, peer, serverId))
    return isFirst ? jitter * NEW_GROUP_RETRY_MS : t / 2 + (jitter * t) / 2
  }

  /** Another election timeout holds from now on. Who waits to be added goes on to wait. */
  onTimeoutChanged(): void {
    if (this.timerKind !== null) this.restartTimer()
  }

  stop(): void {
    this.abandonRound()
    this.leavePass()
    this.timer?.cancel()
    this.timer = null
    this.timerKind = null
  }

  /** A leader is followed: grants of a pre-vote that was asked for before must not unseat it. Who waited to be added watches it now. */
  onLeaderFollowed(): void {
    this.undecided = 0
    if (this.round?.kind === 'pre-vote') this.abandonRound()
    this.leavePass()
    if (this.timerKind === null) this.restartTimer()
  }

  /** The leader's process is known to be gone: campaign soon, before the timer would. */
  campaignSoon(): void {
    this.arm('election', this.node.env.random.unit() * (this.node.electionTimeoutMs / 10))
  }

  timerStatus(kind: 'election' | 'vote'): TimerStatus {
    const { electionTimeoutMs, env } = this.node
    return {
      timeoutMs: electionTimeoutMs,
      firesInMs: this.timerKind === kind ? Math.max(0, Math.round(this.timerDeadline - env.clock.now())) : null,
    }
  }

  get isNewGroup(): boolean {
    const { meta, log } = this.node
    return meta.term === 1 && meta.votedFor.isEmpty && log.lastIndex === 0
  }

  private arm(kind: 'election' | 'vote', delayMs: number): void {
    const { clock } = this.node.env
    this.timer?.cancel()
    this.timerKind = kind
    this.timerDeadline = clock.now() + delayMs
    this.timer = clock.schedule(delayMs, () => this.onTimer(), kind)
  }

  private onTimer(): void {
    const { node } = this
    noteLateness(node, this.timerDeadline)
    if (node.state === 'CANDIDATE') return this.onVoteTimeout()
    if (node.state !== 'FOLLOWER') return
    const wait = node.stickiness.contactDeadline(this.jitter) - node.env.clock.now()
    // At least a millisecond: a fraction that the clock cannot tell from now would be waited for without end.
    if (wait > 0) return this.arm('election', Math.max(1, wait))
    this.preVote()
  }

  private onVoteTimeout(): void {
    // Another term would have to be saved as well, behind this one.
    if (!this.node.meta.isDurable) {
      this.leavePass()
      return this.arm('vote', this.voteTimeout())
    }
    this.undecided++
    this.node.stepDown(this.node.meta.term, Status.error(ErrorCode.ERAFTTIMEDOUT, 'the vote was not decided in time'))
    this.arm('election', this.retryDelay())
  }

  /** Longer each time that none was decided in time: where all are slow, shorter ones would never be. */
  private voteTimeout(): number {
    const { electionTimeoutMs: t, env } = this.node
    return Math.min(2 ** this.undecided, VOTE_PATIENCE_MAX) * (t / 2 + (env.random.unit() * t) / 4)
  }

  private retryDelay(): number {
    const { electionTimeoutMs: t, env } = this.node
    return this.isNewGroup ? this.newGroupDelay(env.random.unit()) : t / 10 + (env.random.unit() * t) / 4
  }

  /**
   * Members only, and whoever removes itself by an entry that is not known to be committed: when nobody else has that entry,
   * nobody else can win. Its own vote does not count then (Raft thesis §4.2.2; braft stands still there).
   */
  private get mayCampaign(): boolean {
    const { configuration, serverId, log, ballotBox, removal } = this.node
    if (configuration.contains(serverId)) return true
    const isDecided = configuration.id.index <= ballotBox.lastCommittedIndex
    return !isDecided && !log.configurations.isByHand && log.configurations.everContained(serverId, removal.settledAt)
  }

  /** Whatever its configuration says, it must not campaign now. */
  get isUnfit(): boolean {
    const { isRebuilding, snapshots, disk, witness } = this.node
    return isRebuilding || witness.campaignRefusal !== null || snapshots.installer.isInstalling || disk.isStalled
  }

  /** Asks whether an election could be won, without raising any term. */
  preVote(why: 'silence' | 'asked' = 'silence'): void {
    const { node } = this
    if (this.pass?.isOpen && node.env.clock.now() - this.passSince >= node.electionTimeoutMs) this.leavePass()
    const { promisedForMs } = node.stickiness
    // Its own vote is promised away as well.
    if (promisedForMs > 0) return this.arm('election', Math.max(1, promisedForMs) + (node.env.random.unit() * node.electionTimeoutMs) / 4)
    this.arm('election', this.retryDelay())
    node.loseLeader(node.stickiness.lossReason)
    if (!this.mayCampaign) return node.removal.onSilence()
    // Others say so to candidates that were removed; who never is one must ask.
    if (node.witness.campaignRefusal) return node.removal.onLeftOut()
    if (this.isUnfit || node.witness.letsOthersGoFirst(why) || node.space.letsOthersGoFirst() || node.precedence.letsOthersGoFirst(why))
      return
    // A disk that has not even saved this term is no candidate's; the timer asks again.
    if (!node.meta.isDurable) return
    this.inTurn(() => this.search.unlessLed(() => this.askForPreVotes()))
  }

  /** Runs `begin` as soon as there is room for one more election of this process; not at all when none is wanted any more. */
  private inTurn(begin: () => void): void {
    const { env } = this.node
    if (!env.elections || this.pass?.isOpen) return begin()
    if (this.pass) return
    const enter = () => {
      this.passSince = env.clock.now()
      begin()
    }
    this.pass = env.elections.enter(enter)
    if (this.pass.isOpen) enter()
  }

  private leavePass(): void {
    this.pass?.leave()
    this.pass = null
  }

  private askForPreVotes(): void {
    const { node } = this
    // Much may have come to pass while a leader was looked for.
    if (!this.mayCampaign || this.isUnfit || !node.meta.isDurable || node.stickiness.promisedForMs > 0) return
    // Grants of an earlier, undecided round in the same term still hold: peers slower than the retry must count too.
    const earlier = this.round?.kind === 'pre-vote' && this.round.term === node.meta.term ? this.round : null
    if (earlier && node.env.clock.now() - earlier.startedAt < node.electionTimeoutMs) {
      for (const peer of node.configuration.voters) if (!earlier.granted.has(peer.key)) this.ask(earlier, peer)
      return
    }
    this.abandonRound()
    this.begin('pre-vote', null)
    node.observe({ name: 'prevote.started', term: node.meta.term })
    this.count()
  }

  /** Raises the term and asks for votes (braft elect_self). */
  electSelf(reason: string, disruptedLeader: TermLeader | null): void {
    const { node } = this
    if (!this.mayCampaign || this.isUnfit) return
    this.abandonRound()
    node.loseLeader(Status.error(ErrorCode.ERAFTTIMEDOUT, reason))
    node.setState('CANDIDATE', Status.OK)
    node.raiseTerm((node.meta.term + 1) as Term, node.serverId)
    node.observe({ name: 'election.started', term: node.meta.term, reason })
    this.arm('vote', this.voteTimeout())
    const round = this.open('vote', disruptedLeader)
    node.meta.whenDurable((status) => {
      if (!status.ok || this.round !== round) return
      node.env.failpoints.hit('candidate.durable')
      round.granted.add(node.serverId.key)
      for (const peer of node.configuration.voters) this.ask(round, peer)
      this.count()
    })
  }

  private open(kind: Round['kind'], disruptedLeader: TermLeader | null): Round {
    const { meta, env, removal } = this.node
    removal.onRound()
    this.round = {
      kind,
      term: meta.term,
      startedAt: env.clock.now(),
      granted: new Set(),
      refused: new Set(),
      calls: new Set(),
      disruptedLeader,
    }
    return this.round
  }

  private begin(kind: Round['kind'], disruptedLeader: TermLeader | null): void {
    const round = this.open(kind, disruptedLeader)
    round.granted.add(this.node.serverId.key)
    for (const peer of this.node.configuration.voters) this.ask(round, peer)
  }

  private ask(round: Round, peer: PeerId): void {
    const { node } = this
    if (peer.equals(node.serverId)) return
    // What is not on this disk yet may be lost by a crash: it is no reason to be elected.
    const last = node.log.durableId
    const request: RequestVoteRequest = {
      groupId: node.groupId,
      serverId: node.serverId,
      peerId: peer,
      term: round.kind === 'pre-vote' ? ((round.term + 1) as Term) : round.term,
      lastLogTerm: last.term,
      lastLogIndex: last.index,
      disruptedLeader: round.disruptedLeader,
    }
    const method = round.kind === 'pre-vote' ? 'preVote' : 'requestVote'
    // How long a vote is waited for says its timer.
    const timeoutMs = node.electionTimeoutMs * (round.kind === 'vote' ? VOTE_PATIENCE_MAX : 1)
    const call = node.env.transport.call(peer, method, request, timeoutMs, (status, response) => {
      round.calls.delete(call)
      if (this.round !== round || node.meta.term !== round.term) return
      if (status.ok) this.onAnswer(round, peer, response!)
      else if (status.code === ErrorCode.EREMOVED) node.removal.onToldBy(peer)
      else if (round.kind === 'vote') this.onNoAnswer(round, peer)
    })
    round.calls.add(call)
  }

  private onAnswer(round: Round, peer: PeerId, response: RequestVoteResponse): void {
    const { node } = this
    if (response.term > node.meta.term) return node.onHigherTerm(response.term, peer)
    if (response.granted) {
      round.granted.add(peer.key)
      round.refused.delete(peer.key)
    } else round.refused.add(peer.key)
    this.count()
  }

  /** Whoever cannot be reached gives no vote in time: a vote that is split without it is lost now, not at its timeout. */
  private onNoAnswer(round: Round, peer: PeerId): void {
    round.refused.add(peer.key)
    this.count()
  }

  private count(): void {
    const { node, round } = this
    if (!round) return
    if (node.configuration.hasQuorum((peer) => round.granted.has(peer.key))) {
      this.abandonRound()
      if (round.kind === 'pre-vote') return this.electSelf('pre-vote won', round.disruptedLeader)
      const votes = node.configuration.voters.filter((peer) => round.granted.has(peer.key)).length
      const afterMs = node.env.clock.now() - round.startedAt
      node.observe({ name: 'election.won', term: round.term, votes, voters: node.configuration.voters.length, afterMs })
      this.undecided = 0
      return node.becomeLeader()
    }
    const lost = !node.configuration.hasQuorum((peer) => !round.refused.has(peer.key))
    if (!lost) return
    this.abandonRound()
    this.leavePass()
    if (round.kind === 'vote') node.stepDown(node.meta.term, Status.error(ErrorCode.ERAFTTIMEDOUT, 'the vote was lost'))
    this.arm('election', this.retryDelay())
  }

  private abandonRound(): void {
    for (const call of this.round?.calls ?? []) call.cancel()
    this.round = null
  }

  handlePreVote(request: RequestVoteRequest, answer: Answer<RequestVoteResponse>): void {
    const { node } = this
    const refuse = node.refusal()
    if (refuse) return answer(refuse)
    const removed = node.removal.refusalOf(request)
    if (removed) return answer(removed)
    const grantable = request.term >= node.meta.term && this.isUpToDate(request) && !node.isRebuilding
    if (!grantable) return this.answerVote(answer, { granted: false })
    node.stickiness.check(request.disruptedLeader, (sticky) => {
      if (node.refusal()) return answer(node.refusal()!)
      const granted = !sticky && request.term >= node.meta.term
      if (granted) this.giveWay(request.serverId)
      this.answerVote(answer, { granted, rejectedByLease: sticky })
    })
  }

  /** Long enough for `other` to be elected, this member does not campaign. */
  private giveWay(other: PeerId): void {
    const { groupId, meta, serverId, env, electionTimeoutMs: t } = this.node
    if (this.timerKind !== 'election' || this.gaveWayIn === meta.term || !goesBefore(groupId, meta.term, other, serverId)) return
    this.gaveWayIn = meta.term
    const delayMs = t / 2 + (env.random.unit() * t) / 4
    if (this.timerDeadline >= env.clock.now() + delayMs) return
    this.abandonRound()
    this.leavePass()
    this.arm('election', delayMs)
  }

  handleRequestVote(request: RequestVoteRequest, answer: Answer<RequestVoteResponse>): void {
    const { node } = this
    const refuse = node.refusal()
    if (refuse) return answer(refuse)
    const previousTerm = node.meta.term
    if (request.term < node.meta.term) return this.answerVote(answer, { granted: false, previousTerm })
    const upToDate = this.isUpToDate(request)
    // Who is no member, as far as is known here, and knows no more than that, may have raised its term for nothing.
    if (!upToDate && !node.configuration.contains(request.serverId)) return this.answerVote(answer, { granted: false, previousTerm })
    if (node.stickiness.holds(request.disruptedLeader))
      return this.answerVote(answer, { granted: false, rejectedByLease: upToDate, previousTerm })
    const disrupted = request.term > node.meta.term && (node.state === 'LEADER' || node.state === 'TRANSFERRING')
    // What it voted before it lost its past it does not know: it could vote twice.
    const votes = upToDate && !node.isRebuilding
    if (request.term > node.meta.term) {
      const why = Status.error(ErrorCode.EHIGHERTERMREQUEST, `${request.serverId} asks for votes in a higher term`)
      // With the vote in it: one save is waited for, not two.
      node.stepDown(request.term, why, votes ? request.serverId : PeerId.EMPTY)
      // A closure that was told may have stopped this node: then no term was raised.
      if (node.meta.term === request.term && node.meta.votedFor.equals(request.serverId))
        node.observe({ name: 'vote.granted', term: request.term, candidate: request.serverId })
    } else if (votes && node.meta.votedFor.isEmpty && node.state === 'FOLLOWER') {
      node.stepDown(request.term, Status.error(ErrorCode.EVOTEFORCANDIDATE, `votes for ${request.serverId}`))
      node.meta.update(request.term, request.serverId)
      node.observe({ name: 'vote.granted', term: request.term, candidate: request.serverId })
    }
    node.meta.whenDurable((status) => {
      if (!status.ok) return answer(status)
      const granted = request.term === node.meta.term && node.meta.votedFor.equals(request.serverId) && !node.isRebuilding
      if (granted) node.env.failpoints.hit('vote.durable')
      this.answerVote(answer, { granted, disrupted, previousTerm })
    })
  }

  private isUpToDate(request: RequestVoteRequest): boolean {
    return compareLogId({ term: request.lastLogTerm, index: request.lastLogIndex }, this.node.log.lastId) >= 0
  }

  private answerVote(
    answer: Answer<RequestVoteResponse>,
    fields: Pick<RequestVoteResponse, 'granted'> & Partial<RequestVoteResponse>,
  ): void {
    const { node } = this
    node.meta.whenDurable((status) => {
      if (!status.ok) return answer(status)
      const disrupted = node.state === 'LEADER'
      answer(Status.OK, { term: node.meta.term, disrupted, previousTerm: node.meta.term, rejectedByLease: false, ...fields })
    })
  }
}
