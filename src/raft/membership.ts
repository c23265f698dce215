import { closure, type Done } from './closure.js'
import { Configuration, type ConfigurationEntry } from './configuration.js'
import type { Timer } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import type { NodeImpl } from './node-impl.js'
import type { MembershipStage, MembershipStatus } from './node-status.js'
import type { PeerId } from './peer-id.js'
import type { Replicator } from './replicator.js'
import { type LogIndex, NO_INDEX } from './types.js'
import { roleProblem, witnessProblem } from './witness.js'

/** How a change of the members may go. */
export interface ChangeOptions {
  /** The change is refused (ESTALE) unless the members were last changed by this entry. */
  readonly expectConfigIndex?: LogIndex
  /** Who receives the log and counts for nothing afterwards; without it, whoever does now and becomes no voter. */
  readonly learners?: readonly PeerId[]
  /** How long all added members together may take to catch up. Without it, as braft: while each of them answers once per T. */
  readonly catchupTimeoutMs?: number
}

const CATCHUP_MARGIN = 1000

/** An added member on its way, or a learner that is to vote; `target` is where the log ended when its newest round of catching up began. */
interface Joiner {
  readonly replicator: Replicator
  target: LogIndex
  since: number
  near: boolean
}

interface Change {
  readonly from: ConfigurationEntry
  readonly target: Configuration
  readonly learners: readonly PeerId[]
  readonly joiners: readonly Joiner[]
  readonly startedAt: number
  readonly timeoutMs: number | null
  readonly done: Done
  timer: Timer | null
}

/**
 * Changes of the members (Raft thesis §4; braft ConfigurationCtx): added members catch up first, then two quorums decide
 * (joint, when more than one member changes), then the new one alone (stable).
 *
 * Lives with one leadership: a successor that finds a joint configuration in its log finishes it, one that finds any that is
 * not committed commits it with its opening entry.
 *
 * Invariants
 * - one change at a time, and none before the first entry of this term is committed: a configuration that an earlier leader
 *   left in the log could otherwise commit beside this one's.
 * - stage joint or stable ⇔ the entry at `entryIndex` is in the log and not applied yet.
 * - a member that catches up counts for nothing.
 */
export class Membership {
  private stage: MembershipStage = 'none'
  private entryIndex: LogIndex = NO_INDEX
  private change: Change | null = null

  constructor(private readonly node: NodeImpl) {}

  /** A change is under way, or the entry that opens this leadership is. */
  get isBusy(): boolean {
    return this.stage !== 'none' || !this.node.leaderReady
  }

  /** Why leadership and members stay as they are for now; null when nothing is under way. */
  get busyWith(): Status | null {
    if (!this.isBusy) return null
    const why = this.stage === 'none' ? 'the first entry of this term is not committed yet' : `${this.stage}, to ${this.status().target}`
    return Status.error(ErrorCode.EBUSY, `Doing another configuration change: ${why}`)
  }

  status(): MembershipStatus {
    const { configuration } = this.node
    if (this.stage === 'catching_up') return { stage: this.stage, target: this.change!.target }
    if (!configuration.isStable) return { stage: 'joint', target: configuration.conf }
    return { stage: this.stage, target: this.stage === 'none' ? null : configuration.conf }
  }

  /** The first entry of a leadership repeats the configuration (braft): it commits what stands before it. */
  onBecomeLeader(): void {
    const { node } = this
    const { configuration } = node
    this.entryIndex = node.proposeConfiguration(configuration, this.repeatedIndex)
    node.env.failpoints.hit('leader.opened')
    if (!configuration.isStable) this.enter('joint', configuration.conf)
  }

  start(target: Configuration, options: ChangeOptions, done: Done): void {
    const { node } = this
    const from = node.configuration
    const refusal = this.refusal(target, options.expectConfigIndex) ?? roleProblem(from.conf, target) ?? witnessProblem(target)
    if (refusal) return done(refusal)
    const { peers: learners } = new Configuration(options.learners ?? from.learners.filter((peer) => !target.contains(peer)))
    const both = learners.find((peer) => target.contains(peer))
    const watching = learners.find((peer) => peer.isWitness)
    if (watching) return done(Status.error(ErrorCode.EINVAL, `${watching} cannot be a witness and a learner: a witness votes`))
    if (both) return done(Status.error(ErrorCode.EINVAL, `${both} cannot be a voter and a learner`))
    if (target.equals(from.conf) && new Configuration(learners).equals(new Configuration(from.learners))) return done(Status.OK)
    const added = [...target.peers.filter((peer) => !from.contains(peer)), ...learners.filter((peer) => !from.knows(peer))]
    const now = node.env.clock.now()
    const { lastIndex } = node.log
    const joiners = added.map((peer) => ({ replicator: this.replicatorFor(peer, from), target: lastIndex, since: now, near: false }))
    const timeoutMs = options.catchupTimeoutMs ?? node.options.catchupTimeoutMs ?? null
    this.change = { from, target, learners, joiners, startedAt: now, timeoutMs, done, timer: null }
    this.enter('catching_up', target)
    if (added.length > 0) this.armDeadline(this.change)
    this.onContact()
  }

  /** A learner that is to vote is sent the log already. */
  private replicatorFor(peer: PeerId, from: ConfigurationEntry): Replicator {
    const { replicators } = this.node
    return (from.hasLearner(peer) ? replicators.get(peer) : null) ?? replicators.startJoining(peer)
  }

  /** The present configuration once more: an entry that changes nothing. */
  repeat(done: (status: Status, index?: LogIndex) => void): void {
    const { node } = this
    const refusal = node.space.isShort
      ? Status.error(ErrorCode.ENOSPC, 'the disk runs short')
      : this.refusal(node.configuration.conf, undefined)
    if (refusal) return done(refusal)
    const index = node.proposeConfiguration(
      node.configuration,
      this.repeatedIndex,
      closure((status) => (status.ok ? done(status, index) : done(status))),
    )
  }

  private refusal(target: Configuration, expectConfigIndex: LogIndex | undefined): Status | null {
    const { node } = this
    if (node.state === 'TRANSFERRING') return Status.error(ErrorCode.EBUSY, 'is transferring leadership')
    if (node.state !== 'LEADER') return Status.error(ErrorCode.EPERM, 'Not leader')
    if (node.witness.refusal) return node.witness.refusal
    if (this.busyWith) return this.busyWith
    // It leads on until another takes over; a change that brought it back would make it follow itself.
    if (!node.configuration.contains(node.serverId))
      return Status.error(ErrorCode.EBUSY, 'this leader is no member any more, and hands over')
    const { configIndex } = node.configuration
    if (expectConfigIndex !== undefined && expectConfigIndex !== configIndex) {
      return Status.error(ErrorCode.ESTALE, `the members were last changed by entry ${configIndex}, not ${expectConfigIndex}`)
    }
    return target.isEmpty ? Status.error(ErrorCode.EINVAL, 'a group needs at least one member') : null
  }

  /** A follower or a joining member answered. */
  onContact(): void {
    const { change } = this
    if (this.stage !== 'catching_up' || !change) return
    let waiting = 0
    for (const joiner of change.joiners) if (!this.isCaughtUp(joiner)) waiting++
    if (waiting === 0) this.leaveCatchup(change)
  }

  /**
   * Rounds as in thesis §4.2.1: what the log held when a round began must arrive within T. Then what is left arrives within
   * about as long, and the group does not stand still for want of the new member.
   */
  private isCaughtUp(joiner: Joiner): boolean {
    const { log, options, env, electionTimeoutMs } = this.node
    const { agreedIndex } = joiner.replicator
    const isClose = this.takesPart(joiner) && agreedIndex + (options.catchupMargin ?? CATCHUP_MARGIN) >= log.lastIndex
    if (!isClose) {
      joiner.near = false
      joiner.target = log.lastIndex
      joiner.since = env.clock.now()
      return false
    }
    if (joiner.near || agreedIndex < joiner.target) return joiner.near
    joiner.near = env.clock.now() - joiner.since <= electionTimeoutMs
    joiner.target = log.lastIndex
    joiner.since = env.clock.now()
    return joiner.near || agreedIndex >= log.lastIndex
  }

  private takesPart({ replicator }: Joiner): boolean {
    return replicator.answeredOnce && replicator.consecutiveErrors === 0 && !replicator.rebuilding && !replicator.isInstallingSnapshot
  }

  private armDeadline(change: Change): void {
    const { clock } = this.node.env
    const delayMs = change.timeoutMs ?? this.node.electionTimeoutMs
    change.timer = clock.schedule(delayMs, () => this.onDeadline(change), 'membership.catchup')
  }

  private onDeadline(change: Change): void {
    if (this.change !== change || this.stage !== 'catching_up') return
    const { env, electionTimeoutMs } = this.node
    const late = change.joiners.filter((joiner) => !this.isCaughtUp(joiner))
    const isAlive = ({ replicator }: Joiner) =>
      replicator.answeredOnce && env.clock.now() - replicator.heardSentAt <= Math.max(electionTimeoutMs, 1)
    if (change.timeoutMs === null && late.every(isAlive)) return this.armDeadline(change)
    const waitedMs = Math.round(env.clock.now() - change.startedAt)
    const reasons = late.map(
      (joiner) => `Peer ${joiner.replicator.peerId} failed to catch up within ${waitedMs} ms: ${this.whyLate(joiner)}`,
    )
    this.abandon(Status.error(ErrorCode.ECATCHUP, reasons.join('; ')))
  }

  private whyLate({ replicator }: Joiner): string {
    const { lastError, consecutiveErrors, rebuilding } = replicator.status()
    if (!replicator.answeredOnce) return `it never answered${lastError === '' ? '' : ` (${lastError})`}`
    if (replicator.isInstallingSnapshot) return 'it is installing a snapshot'
    if (rebuilding) return 'it is being rebuilt'
    if (replicator.isHeldBack) return 'it is in read-only mode'
    const behind = `it is ${this.node.log.lastIndex - replicator.agreedIndex} entries behind`
    return consecutiveErrors > 0 ? `${behind} and answers no more (${lastError})` : behind
  }

  private leaveCatchup(change: Change): void {
    const { node } = this
    change.timer?.cancel()
    const { from, target, learners } = change
    const differing = (one: Configuration, other: Configuration) => one.peers.filter((peer) => !other.contains(peer)).length
    const old = differing(target, from.conf) + differing(from.conf, target) > 1 ? from.conf : Configuration.EMPTY
    this.entryIndex = node.proposeConfiguration({ conf: target, old, learners }, null)
    for (const { replicator } of change.joiners) node.replicators.admit(replicator)
    this.enter(old.isEmpty ? 'stable' : 'joint', target)
    node.env.failpoints.hit(old.isEmpty ? 'configuration.stable-proposed' : 'configuration.joint-proposed')
  }

  /** An entry that holds a configuration was committed and applied; on every member. */
  onApplied(entry: ConfigurationEntry): void {
    const { node } = this
    if (!node.leads()) return
    if (entry.id.index === this.entryIndex && this.stage === 'joint') {
      node.env.failpoints.hit('configuration.joint-committed')
      this.entryIndex = node.proposeConfiguration({ ...entry, old: Configuration.EMPTY }, null)
      this.enter('stable', entry.conf)
      node.env.failpoints.hit('configuration.stable-proposed')
    } else if (entry.id.index === this.entryIndex && this.stage === 'stable') this.finish(entry)
    else this.leaveWhenRemoved()
  }

  private leaveWhenRemoved(): void {
    const { node } = this
    const { configuration } = node
    const isDecided = configuration.isStable && configuration.id.index <= node.ballotBox.lastCommittedIndex
    if (node.state === 'LEADER' && isDecided && !configuration.contains(node.serverId)) node.transfer.leave()
  }

  private finish(entry: ConfigurationEntry): void {
    const { node, change } = this
    if (change) node.env.failpoints.hit('configuration.committed')
    this.change = null
    this.enter('none', entry.conf)
    node.replicators.retire(entry)
    change?.done(Status.OK)
    this.leaveWhenRemoved()
  }

  /** Ends a change that is still catching up; the configuration was never touched. */
  abandon(reason: Status): void {
    const { change } = this
    if (!change || this.stage !== 'catching_up') return
    this.change = null
    change.timer?.cancel()
    for (const { replicator } of change.joiners) if (!change.from.hasLearner(replicator.peerId)) this.node.replicators.stop(replicator)
    this.enter('none', change.target, reason)
    change.done(reason)
  }

  /** Leadership is gone. What stands in the log is the successor's; told later: the caller is in the middle of stepping down. */
  onStepDown(reason: Status): void {
    const { change, stage, node } = this
    this.change = null
    if (stage === 'none') return
    const lost = `leader stepped down: ${reason.message}`
    const status =
      stage === 'catching_up'
        ? Status.error(ErrorCode.EPERM, lost)
        : Status.error(ErrorCode.EOUTCOMEUNKNOWN, `${lost}; its successor decides`)
    this.enter('none', node.configuration.conf, status)
    if (!change) return
    change.timer?.cancel()
    node.env.executor.post(() => change.done(status), 'membership.over')
  }

  private enter(stage: MembershipStage, target: Configuration, reason = Status.OK): void {
    this.stage = stage
    if (stage === 'none') this.entryIndex = NO_INDEX
    this.node.observe({ name: 'configuration.stage', stage, target: target.toString(), reason })
  }

  /** Of the entry that last changed the members; null where repeating them is what makes them known. */
  private get repeatedIndex(): LogIndex | null {
    const { configuration, log, options } = this.node
    // braft's followers write down the members alone: the logs stay the same.
    if (options.askStanding) return null
    return configuration.id.index === NO_INDEX || log.configurations.isByHand ? null : configuration.configIndex
  }

  /**
   * Sets the members by hand, past every quorum (braft reset_peers): in memory, and durable only when this node wins an
   * election with them. EINVAL: nobody is left. EPERM: not active. EBUSY: a change is under way here.
   */
  reset(conf: Configuration): Status {
    const { node } = this
    if (conf.isEmpty) return Status.error(ErrorCode.EINVAL, 'a group needs at least one member')
    if (node.witness.refusal) return node.witness.refusal
    if (conf.witnesses.length === conf.size) return Status.error(ErrorCode.EINVAL, `none of ${conf} holds data`)
    if (!node.isActive()) return Status.error(ErrorCode.EPERM, `node is in state ${node.state}`)
    if (node.leads() && this.busyWith) return this.busyWith
    if (node.configuration.isStable && node.configuration.conf.equals(conf)) return Status.OK
    node.log.configurations.setByHand(conf)
    node.observe({ name: 'configuration.reset', peers: conf.toString() })
    node.stepDown((node.meta.term + 1) as typeof node.meta.term, Status.error(ErrorCode.ESETPEER, `the members were set to ${conf}`))
    return Status.OK
  }
}
