import type { Done } from './closure.js'
import type { Call, Timer } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import type { Answer, ReleaseRequest, ReleaseResponse, TimeoutNowRequest, TimeoutNowResponse } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerId } from './peer-id.js'
import type { Replicator } from './replicator.js'
import type { Candidate } from './replicator-group.js'
import type { LogIndex, Term } from './types.js'

/** How long the leader waits for its followers to acknowledge that they are released. */
const RELEASE_MS = 20
const CATCHUP_MARGIN = 1000
/** A leader that steps down for one of these has met a newer term: somebody campaigns or leads in it. */
const TAKEN_OVER: ReadonlySet<number> = new Set([ErrorCode.EHIGHERTERMREQUEST, ErrorCode.EHIGHERTERMRESPONSE, ErrorCode.ENEWLEADER])

interface Transfer {
  readonly target: PeerId
  readonly term: Term
  /** The target must hold this before it is told to campaign. */
  readonly lastIndex: LogIndex
  /** Why this node must not lead on, whatever comes of the transfer; null when it may. */
  readonly leaving: Status | null
  readonly done: Done
  readonly timer: Timer
  /** Everything up to `lastIndex` was applied here: whoever proposed it has been told. */
  settled: boolean
  /** The followers are being released, and know it. */
  releasing: boolean
  released: boolean
  asked: boolean
  call: Call | null
}

/**
 * Leadership transfer by timeout_now (Raft thesis §3.10; braft transfer_leadership_to): writes stop, the target catches
 * up, the followers are released from their stickiness, the target is told to campaign at once. When no other leader
 * appears within T, this one goes on.
 */
export class LeadershipTransfer {
  private current: Transfer | null = null
  /** Waits for whoever takes over. */
  private onSuccessor: (() => void) | null = null

  constructor(private readonly node: NodeImpl) {}

  /**
   * `target` null: the best candidate. `done` is OK once this node no longer leads because the target took over. What cannot
   * succeed is refused at once, so that writes do not stop for nothing: EBUSY, EPERM, EINVAL, EHOSTUNREACH, and ECATCHUP for a
   * target that lacks more than `catchupMargin` entries.
   */
  start(target: PeerId | null, done: Done): void {
    const { node } = this
    if (node.state === 'TRANSFERRING') return done(Status.error(ErrorCode.EBUSY, 'is transferring leadership'))
    if (node.state !== 'LEADER') return done(Status.error(ErrorCode.EPERM, 'is not leader'))
    const { busyWith } = node.membership
    if (busyWith) return done(busyWith)
    if (target?.equals(node.serverId)) return done(Status.OK)
    const best = target ? null : node.replicators.bestCandidate()
    const replicator = target ? node.replicators.get(target) : (best?.replicator ?? null)
    const refusal = this.refusalOf(target, replicator)
    if (refusal) return done(refusal)
    this.begin(replicator!, best?.reason ?? 'as asked', null, done)
  }

  private refusalOf(target: PeerId | null, replicator: Replicator | null): Status | null {
    const { configuration, log, options } = this.node
    if (!target && !replicator) return Status.error(ErrorCode.EHOSTUNREACH, 'no voter is fit to lead')
    if (!replicator || !configuration.contains(replicator.peerId))
      return Status.error(ErrorCode.EINVAL, `${target} is not a voter of this group`)
    const { peerId } = replicator
    if (peerId.isWitness) return Status.error(ErrorCode.EINVAL, `${peerId} is a witness: it holds no data to lead with`)
    // It refuses entries, which counts as errors too.
    if (replicator.isShort) return Status.error(ErrorCode.ENOSPC, `the disk of ${peerId} runs short: it takes no entries`)
    if (replicator.consecutiveErrors > 0 || !replicator.answeredOnce)
      return Status.error(ErrorCode.EHOSTUNREACH, `${peerId} does not answer`)
    if (replicator.rebuilding) return Status.error(ErrorCode.ECATCHUP, `${peerId} is being rebuilt`)
    if (replicator.isInstallingSnapshot) return Status.error(ErrorCode.ECATCHUP, `${peerId} is installing a snapshot`)
    if (replicator.isHeldBack)
      return Status.error(ErrorCode.EREADONLY, `${peerId} is in read-only mode and lacks what was written since: it must leave that first`)
    const behind = log.lastIndex - replicator.agreedIndex
    const margin = options.catchupMargin ?? CATCHUP_MARGIN
    return behind > margin
      ? Status.error(ErrorCode.ECATCHUP, `${peerId} lacks ${behind} of ${log.lastIndex} entries; at most ${margin} may be missing`)
      : null
  }

  /**
   * Hands over to whoever is fit, also amid a change of the members, and does not lead on whatever comes of it. `done` runs
   * in any case, and not before the successor is known or T / 2 has passed: it may need the vote of this node.
   */
  handOver(leaving: Status, done: () => void, isEligible?: (replicator: Replicator) => boolean): void {
    const { node } = this
    const best = node.state === 'LEADER' ? node.replicators.bestCandidate(isEligible) : null
    if (!best) return done()
    this.begin(best.replicator, best.reason, leaving, (status) => {
      if (!status.ok || !node.isActive() || !node.configuration.contains(node.serverId)) return done()
      let isOver = false
      const finish = () => {
        if (isOver) return
        isOver = true
        timer.cancel()
        done()
      }
      const timer = node.env.clock.schedule(node.electionTimeoutMs / 2, finish, 'transfer.successor')
      this.onSuccessor = finish
      if (!node.leaderId.isEmpty) this.onLeaderFollowed()
    })
  }

  /** Another leader is followed. Those who wait here for one hear of it first. */
  onLeaderFollowed(): void {
    if (this.onSuccessor) this.node.fsmCaller.afterwards(this.onSuccessor)
    this.onSuccessor = null
  }

  /** The group committed a configuration without this leader: it steps down and wakes the best candidate (braft ELEADERREMOVED). */
  leave(): void {
    const { node } = this
    const removed = Status.error(ErrorCode.ELEADERREMOVED, 'this leader is no member any more')
    this.handOver(removed, () => {
      this.resign(removed)
      node.removal.askOthers()
    })
  }

  /** Whatever comes of handing over to one of those who are eligible: this node does not lead on. */
  giveWay(reason: Status, isEligible: (replicator: Replicator) => boolean): void {
    this.handOver(reason, () => this.resign(reason), isEligible)
  }

  /** Hands over to `best`; when it does not take over this node leads on. */
  offer({ replicator, reason }: Candidate, why: string, done: Done): void {
    this.begin(replicator, `${why}; ${reason}`, null, done)
  }

  /** An operator wants an election: nothing is sent any more before this node campaigns, and nobody is held back. */
  standAgain(): void {
    const { node } = this
    const { term } = node.meta
    this.releaseFollowers(() => {
      if (node.state !== 'LEADER' || node.meta.term !== term) return
      node.stepDown(term, Status.error(ErrorCode.ETRANSFERLEADERSHIP, 'an election was asked for'))
      node.election.preVote('asked')
    })
  }

  private resign(reason: Status): void {
    const { node } = this
    if (!node.leads()) return
    this.releaseFollowers(() => {})
    node.stepDown(node.meta.term, reason)
  }

  private begin(replicator: Replicator, reason: string, leaving: Status | null, done: Done): void {
    const { node } = this
    const target = replicator.peerId
    node.setState('TRANSFERRING', Status.error(ErrorCode.ETRANSFERLEADERSHIP, `to ${target}`))
    node.fsmCaller.onLeaderStop(leaving ?? Status.error(ErrorCode.ETRANSFERLEADERSHIP, 'leadership is being handed over'))
    node.observe({ name: 'leader.handover', target, term: node.meta.term, reason })
    const timer = node.env.clock.schedule(node.electionTimeoutMs, () => this.giveUp(), 'transfer')
    const { term } = node.meta
    const { lastIndex } = node.log
    const settled = node.fsmCaller.appliedIndex >= lastIndex
    const state = { settled, releasing: false, released: false, asked: false, call: null }
    const transfer: Transfer = { target, term, lastIndex, leaving, done, timer, ...state }
    this.current = transfer
    node.env.failpoints.hit('transfer.begun')
    // Meanwhile the target catches up. A lease that is given up does not come back: that waits until it has.
    if (!node.lease.isEnabled) this.release(transfer, replicator)
    if (settled) return this.onProgress(replicator)
    node.fsmCaller.whenApplied(lastIndex, (status) => {
      if (!status.ok || this.current !== transfer) return
      transfer.settled = true
      this.onProgress(replicator)
    })
  }

  /** A follower acknowledged entries. */
  onProgress(replicator: Replicator): void {
    const transfer = this.current
    if (!transfer?.settled || transfer.asked || !replicator.peerId.equals(transfer.target)) return
    if (replicator.matchIndex < transfer.lastIndex) return
    if (!transfer.released) return this.release(transfer, replicator)
    transfer.asked = true
    this.timeoutNow(transfer)
  }

  private release(transfer: Transfer, replicator: Replicator): void {
    if (transfer.releasing) return
    transfer.releasing = true
    this.releaseFollowers(() => {
      if (this.current !== transfer || this.node.state !== 'TRANSFERRING') return
      transfer.released = true
      this.onProgress(replicator)
    })
  }

  /** This node no longer leads, for `reason`. Told later: the caller may be in the middle of becoming a follower. */
  onStepDown(reason: Status): void {
    const transfer = this.current
    if (!transfer) return
    this.current = null
    transfer.timer.cancel()
    const outcome = TAKEN_OVER.has(reason.code) ? Status.OK : reason
    this.node.env.executor.post(() => transfer.done(outcome), 'transfer.over')
  }

  private timeoutNow(transfer: Transfer): void {
    const { node } = this
    node.env.failpoints.hit('transfer.released')
    const request = {
      groupId: node.groupId,
      serverId: node.serverId,
      peerId: transfer.target,
      term: transfer.term,
      oldLeaderSteppedDown: false,
    }
    transfer.call = node.env.transport.call(transfer.target, 'timeoutNow', request, node.electionTimeoutMs, (status, response) => {
      if (this.current !== transfer) return
      if (status.ok && response!.term > node.meta.term) return node.onHigherTerm(response!.term, transfer.target)
      if (!status.ok || !response!.success) this.giveUp()
    })
  }

  private giveUp(): void {
    const transfer = this.current
    if (!transfer) return
    const { node } = this
    this.current = null
    transfer.timer.cancel()
    transfer.call?.cancel()
    if (transfer.leaving) return transfer.done(Status.error(ErrorCode.ERAFTTIMEDOUT, `${transfer.target} did not take over`))
    node.setState('LEADER', Status.error(ErrorCode.ERAFTTIMEDOUT, `${transfer.target} did not take over`))
    node.lease.renew()
    node.fsmCaller.onLeaderStart(node.meta.term)
    transfer.done(Status.error(ErrorCode.ERAFTTIMEDOUT, `${transfer.target} did not take over`))
  }

  /** This leadership protects itself no longer. `then` when all followers know, or after 20 ms. */
  releaseFollowers(then: () => void): void {
    const { node } = this
    node.lease.forfeit()
    let waiting = 1
    let over = false
    const finish = () => {
      if (over || --waiting > 0) return
      over = true
      then()
    }
    for (const { peerId } of node.replicators.all) {
      waiting++
      const request: ReleaseRequest = { groupId: node.groupId, serverId: node.serverId, peerId, term: node.meta.term }
      node.env.transport.call(peerId, 'release', request, RELEASE_MS, finish)
    }
    node.env.executor.post(finish, 'transfer.release')
  }

  handleRelease(request: ReleaseRequest, answer: Answer<ReleaseResponse>): void {
    const { node } = this
    const refuse = node.refusal()
    if (refuse) return answer(refuse)
    if (request.term === node.meta.term && request.serverId.equals(node.leaderId)) node.stickiness.release(request.term)
    node.meta.whenDurable((status) => (status.ok ? answer(status, { term: node.meta.term }) : answer(status)))
  }

  handleTimeoutNow(request: TimeoutNowRequest, answer: Answer<TimeoutNowResponse>): void {
    const { node } = this
    const refuse = node.refusal()
    if (refuse) return answer(refuse)
    if (request.term > node.meta.term)
      node.stepDown(request.term, Status.error(ErrorCode.EHIGHERTERMREQUEST, 'timeout_now of a higher term'))
    else if (
      request.term === node.meta.term &&
      node.state === 'FOLLOWER' &&
      node.configuration.contains(node.serverId) &&
      !node.election.isUnfit &&
      !node.witness.isOne &&
      !node.space.isShort
    ) {
      node.env.failpoints.hit('transfer.campaign')
      // Who holds leases goes by what its followers are told themselves: nobody may be talked out of a promise (braft).
      const { isEnabled } = node.lease
      node.stickiness.release(request.term)
      node.election.electSelf('timeout_now', isEnabled ? null : { peerId: request.serverId, term: request.term })
      const term = () => (isEnabled ? request.term : node.meta.term)
      return node.meta.whenDurable((status) => (status.ok ? answer(status, { term: term(), success: true }) : answer(status)))
    }
    node.meta.whenDurable((status) => (status.ok ? answer(status, { term: node.meta.term, success: false }) : answer(status)))
  }
}
