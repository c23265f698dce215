import type { Done } from './closure.js'
import type { Call, Timer } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import type { Answer, ReleaseRequest, ReleaseResponse, TimeoutNowRequest, TimeoutNowResponse } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerId } from './peer-id.js'
import type { Replicator } from './replicator.js'
import type { LogIndex, Term } from './types.js'

/** How long the leader waits for its followers to acknowledge that they are released. */
const RELEASE_MS = 20
/** A leader that steps down for one of these has met a newer term: somebody campaigns or leads in it. */
const TAKEN_OVER: ReadonlySet<number> = new Set([ErrorCode.EHIGHERTERMREQUEST, ErrorCode.EHIGHERTERMRESPONSE, ErrorCode.ENEWLEADER])

interface Transfer {
  readonly target: PeerId
  readonly term: Term
  /** The target must hold this before it is told to campaign. */
  readonly lastIndex: LogIndex
  readonly done: Done
  readonly timer: Timer
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

  constructor(private readonly node: NodeImpl) {}

  /** `target` null: the best candidate. `done` is OK once this node no longer leads because the target took over. */
  start(target: PeerId | null, done: Done): void {
    const { node } = this
    if (node.state === 'TRANSFERRING') return done(Status.error(ErrorCode.EBUSY, 'is transferring leadership'))
    if (node.state !== 'LEADER') return done(Status.error(ErrorCode.EPERM, 'is not leader'))
    if (!node.leaderReady) return done(Status.error(ErrorCode.EBUSY, 'the first entry of this term is not committed yet'))
    const replicator = target ? node.replicators.get(target) : node.replicators.bestCandidate()
    if (target?.equals(node.serverId)) return done(Status.OK)
    if (!replicator || !node.configuration.contains(replicator.peerId)) {
      return done(
        target
          ? Status.error(ErrorCode.EINVAL, `${target} is not a voter of this group`)
          : Status.error(ErrorCode.EHOSTUNREACH, 'no voter is fit to lead'),
      )
    }
    if (replicator.consecutiveErrors > 0 || !replicator.answeredOnce)
      return done(Status.error(ErrorCode.EHOSTUNREACH, `${replicator.peerId} does not answer`))
    node.setState('TRANSFERRING', Status.error(ErrorCode.ETRANSFERLEADERSHIP, `to ${replicator.peerId}`))
    node.fsmCaller.onLeaderStop(Status.error(ErrorCode.ETRANSFERLEADERSHIP, 'leadership is being handed over'))
    node.observe({ name: 'leader.handover', target: replicator.peerId, term: node.meta.term })
    const timer = node.env.clock.schedule(node.electionTimeoutMs, () => this.giveUp(), 'transfer')
    this.current = { target: replicator.peerId, term: node.meta.term, lastIndex: node.log.lastIndex, done, timer, asked: false, call: null }
    this.onProgress(replicator)
  }

  /** A follower acknowledged entries. */
  onProgress(replicator: Replicator): void {
    const transfer = this.current
    if (!transfer || transfer.asked || !replicator.peerId.equals(transfer.target) || replicator.matchIndex < transfer.lastIndex) return
    transfer.asked = true
    this.releaseFollowers(() => {
      if (this.current === transfer && this.node.state === 'TRANSFERRING') this.timeoutNow(transfer)
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
    node.setState('LEADER', Status.error(ErrorCode.ERAFTTIMEDOUT, `${transfer.target} did not take over`))
    node.fsmCaller.onLeaderStart(node.meta.term)
    transfer.done(Status.error(ErrorCode.ERAFTTIMEDOUT, `${transfer.target} did not take over`))
  }

  /** This leadership protects itself no longer. `then` when all followers know, or after 20 ms. */
  releaseFollowers(then: () => void): void {
    const { node } = this
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
    else if (request.term === node.meta.term && node.state === 'FOLLOWER' && node.configuration.contains(node.serverId)) {
      const oldLeader = { peerId: request.serverId, term: request.term }
      node.election.electSelf('timeout_now', oldLeader)
      return node.meta.whenDurable((status) => (status.ok ? answer(status, { term: node.meta.term, success: true }) : answer(status)))
    }
    node.meta.whenDurable((status) => (status.ok ? answer(status, { term: node.meta.term, success: false }) : answer(status)))
  }
}
