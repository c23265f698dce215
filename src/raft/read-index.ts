import type { Timer } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import { ForwardedReads } from './forwarded-reads.js'
import type { Answer, ReadIndexRequest, ReadIndexResponse, ReadMode } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import type { Replicator } from './replicator.js'
import type { LogIndex } from './types.js'

export type ReadDone = (status: Status, index?: LogIndex) => void

interface PendingRead {
  /** The confirmation round that proves this read; 0 until it may be given one. */
  round: number
  index: LogIndex
  readonly done: ReadDone
  readonly timer: Timer
}

/**
 * Linearizable reads without writing to the log (Raft thesis §6.4): the leader notes its commit index, confirms by a
 * round of answers from a quorum that it still led after the read arrived, and then waits until it has applied that far.
 *
 * With leader leases a read may do without the round (lease.ts).
 *
 * Rounds are numbers, not times: each request to a follower carries the newest round, and a follower's answer confirms
 * every read given that round or an older one. All reads that wait share one round.
 *
 * Invariants
 * - no read gets an index before the first entry of this term is committed (§6.4 step 1): until then reads wait.
 * - a read's round is opened after the read arrived, so an older answer never confirms it.
 */
export class ReadIndexService {
  /** Carried by every request sent now. */
  currentRound = 0
  private readonly reads: PendingRead[] = []
  private readonly forwarded: ForwardedReads
  private roundPosted = false

  constructor(private readonly node: NodeImpl) {
    this.forwarded = new ForwardedReads(node)
  }

  /** Works on any member: finds out up to where to apply, and waits until that is applied here. */
  readApplied(timeoutMs: number, mode: ReadMode, done: ReadDone): void {
    const { clock } = this.node.env
    const { fsmCaller, witness } = this.node
    if (witness.refusal) return this.node.env.executor.post(() => done(witness.refusal!), 'read-index.witness')
    const deadline = clock.now() + timeoutMs
    this.read(timeoutMs, mode, (status, index) => {
      if (!status.ok) return done(status)
      const told = (applied: Status) => done(applied, applied.ok ? index! : undefined)
      if (index! <= fsmCaller.appliedIndex) return void fsmCaller.whenApplied(index!, told)
      if (this.node.readOnly.isOn && index! > this.node.log.lastIndex) return done(this.heldBack(index!))
      const stopWaiting = fsmCaller.whenApplied(index!, (applied) => {
        timer.cancel()
        told(applied)
      })
      const expire = () => {
        stopWaiting()
        told(
          this.node.readOnly.isOn
            ? this.heldBack(index!)
            : Status.error(ErrorCode.ETIMEDOUT, `entry ${index} was not applied here in time`),
        )
      }
      const timer = clock.schedule(Math.max(0, deadline - clock.now()), expire, 'read-index.apply')
    })
  }

  /** Up to where to apply before reading; asks the leader when this node follows. */
  read(timeoutMs: number, mode: ReadMode, done: ReadDone): void {
    if (this.node.state === 'LEADER' || this.node.state === 'TRANSFERRING') return this.readAsLeader(timeoutMs, mode, done)
    if (this.node.state !== 'FOLLOWER' || this.node.leaderId.isEmpty) return done(Status.error(ErrorCode.EAGAIN, 'no leader is known'))
    this.forwarded.ask(timeoutMs, mode, done)
  }

  /** Its leader sends it nothing before it leaves the mode. */
  private heldBack(index: LogIndex): Status {
    const { serverId } = this.node
    return Status.error(ErrorCode.EREADONLY, `${serverId} is in read-only mode and is not sent entry ${index}: read at the leader`)
  }

  handle({ mode }: ReadIndexRequest, answer: Answer<ReadIndexResponse>): void {
    const refuse = this.node.refusal()
    if (refuse) return answer(refuse)
    this.readAsLeader(this.node.electionTimeoutMs, mode, (status, index) => answer(status, status.ok ? { index: index! } : undefined))
  }

  readAsLeader(timeoutMs: number, mode: ReadMode, done: ReadDone): void {
    if (this.node.state !== 'LEADER' && this.node.state !== 'TRANSFERRING') return done(Status.error(ErrorCode.EPERM, 'is not leader'))
    if (this.node.witness.refusal) return done(this.node.witness.refusal)
    // Valid now, after the read arrived: whatever is committed elsewhere by now is committed here.
    if (mode === 'lease' && this.node.lease.isValid) return done(Status.OK, this.node.ballotBox.lastCommittedIndex)
    const timer = this.node.env.clock.schedule(timeoutMs, () => this.expire(read), 'read-index')
    const read: PendingRead = { round: 0, index: 0 as LogIndex, done, timer }
    this.reads.push(read)
    this.openRound()
  }

  /** The first entry of this term is committed: what waited for it may go on. */
  onLeaderReady(): void {
    this.openRound()
  }

  onContact(replicator: Replicator): void {
    if (this.reads.length > 0 && replicator.ackedRound > 0) this.confirm()
  }

  /** Leadership is gone: nothing can be confirmed any more. */
  onLeaderStop(status: Status): void {
    for (const read of this.reads.splice(0)) {
      read.timer.cancel()
      read.done(status)
    }
  }

  /** The leader that was asked is followed no more: whoever waits for it should ask the next one, not wait for its deadline. */
  onLeaderLost(status: Status): void {
    this.forwarded.end(status)
  }

  shutdown(status: Status): void {
    this.onLeaderStop(status)
    this.onLeaderLost(status)
  }

  /** Posted, so that all reads of this turn share the round; a round under way is left to finish first. */
  private openRound(): void {
    if (this.roundPosted || !this.node.leaderReady || this.reads.length === 0) return
    if (this.reads[0]!.round !== 0) return
    this.roundPosted = true
    this.node.env.executor.post(() => {
      this.roundPosted = false
      this.startRound()
    }, 'read-index.round')
  }

  private startRound(): void {
    if (!this.node.leaderReady || this.reads.length === 0 || this.reads[0]!.round !== 0) return
    this.currentRound++
    for (const read of this.reads) {
      read.round = this.currentRound
      read.index = this.node.ballotBox.lastCommittedIndex
    }
    this.node.replicators.heartbeat()
    this.confirm()
  }

  private confirm(): void {
    const { node } = this
    const confirmed = node.replicators.quorumValue(node.configuration, this.currentRound, (r) => r.ackedRound)
    let count = 0
    while (count < this.reads.length && this.reads[count]!.round !== 0 && this.reads[count]!.round <= confirmed) count++
    for (const read of this.reads.splice(0, count)) {
      read.timer.cancel()
      read.done(Status.OK, read.index)
    }
    this.openRound()
  }

  private expire(read: PendingRead): void {
    const at = this.reads.indexOf(read)
    if (at < 0) return
    this.reads.splice(at, 1)
    read.done(Status.error(ErrorCode.ETIMEDOUT, 'a quorum did not confirm the leader in time'))
    this.openRound()
  }
}
