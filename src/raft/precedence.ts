import { ErrorCode, Status } from './errors.js'
import type { NodeImpl } from './node-impl.js'
import type { NodeOptions } from './node-options.js'
import type { Replicator } from './replicator.js'

export const DEFAULT_PRIORITY = 100
export const PRIORITY_MAX = 1000

/** Whoever should rather not lead lets the others campaign for this many election timeouts. */
const PATIENCE_TIMEOUTS = 0.5
/** Of priority 0: for this many. It may be the last that holds what was acknowledged, and then nobody else can lead. */
const RELUCTANCE_TIMEOUTS = 5
/** One with a higher priority is handed leadership when it has answered well for this many election timeouts. */
const STEADY_TIMEOUTS = 3
/** A leadership that was handed over and came back sooner than after this many election timeouts did not last. */
const LASTING_TIMEOUTS = 30
/** The wait before it is handed over again doubles up to this many election timeouts. */
const WAIT_TIMEOUTS_MAX = 600

/** Why a node cannot have this priority; null when it can. */
export function priorityProblem({ priority = DEFAULT_PRIORITY }: Pick<NodeOptions, 'priority'>): Status | null {
  if (Number.isInteger(priority) && priority >= 0 && priority <= PRIORITY_MAX) return null
  return Status.error(ErrorCode.EINVAL, `a priority of ${priority}: it is a whole number from 0 to ${PRIORITY_MAX}`)
}

/** Who was handed leadership because of its priority, how often that did not last, and when it may be asked again. */
interface Handed {
  at: number
  failures: number
  notBefore: number
}

/**
 * Who leads rather than another: members have a priority, and the highest that is well leads.
 *
 * Nothing here is needed for safety, and availability goes first. A follower that its leader told of others with a higher priority
 * lets these campaign first, for half an election timeout; then it campaigns itself. A leader hands over to one with a higher
 * priority that answered well for a while and holds all that is committed. Where that does not last, or comes to nothing, it waits longer each
 * time: a bad network must not move leadership to and fro. Priority 0 is handed leadership by name only, and campaigns by itself when
 * nobody led for five election timeouts.
 *
 * Members say their priority in their answers; who says none, a braft node, has the default.
 */
export class Precedence {
  readonly own: number
  /** The leader said that others with a higher priority are well. */
  private isOutranked = false
  /** Since when no leader is known and this node would campaign. */
  private waitingSince: number | null = null
  /** On the leader: since when each with a higher priority has answered well, and when it did so last. */
  private readonly well = new Map<string, { since: number; last: number }>()
  private readonly handed = new Map<string, Handed>()
  private handedTo: string | null = null

  constructor(private readonly node: NodeImpl) {
    this.own = node.options.priority ?? DEFAULT_PRIORITY
  }

  private get isAlone(): boolean {
    const { configuration, serverId } = this.node
    return configuration.voters.every((peer) => peer.equals(serverId))
  }

  /** Asked whenever this node would campaign: whether others should have the chance first. A group of one has nobody else. */
  letsOthersGoFirst(why: 'silence' | 'asked'): boolean {
    const { env, electionTimeoutMs, readOnly } = this.node
    if (why === 'asked' || this.isAlone) return false
    // In read-only mode it would lead without taking tasks.
    if (this.own > 0 && !this.isOutranked && !readOnly.isOn) return false
    const now = env.clock.now()
    this.waitingSince ??= now
    return now - this.waitingSince < (this.own === 0 ? RELUCTANCE_TIMEOUTS : PATIENCE_TIMEOUTS) * electionTimeoutMs
  }

  /** Its leader was heard, and says whether others go first. */
  onLeaderHeard(outranked: boolean): void {
    this.isOutranked = outranked
    this.waitingSince = null
  }

  /** Whether another follower that is well has a higher priority than this one. */
  outranks(peer: Replicator): boolean {
    const { replicators } = this.node
    for (const other of replicators.all)
      if (!other.peerId.isWitness && other.priority > peer.priority && this.rank(other) > peer.priority && replicators.isFit(other))
        return true
    return false
  }

  /** What a successor is chosen by: the priority counts for those that hold all that is committed. */
  rank(replicator: Replicator): number {
    if (replicator.readonlyGate.isClosed) return -1
    return replicator.matchIndex >= this.node.ballotBox.lastCommittedIndex ? replicator.priority : 0
  }

  onBecomeLeader(): void {
    this.well.clear()
    this.waitingSince = null
    this.isOutranked = false
    if (this.handedTo !== null) this.cameBack(this.handedTo)
    this.handedTo = null
  }

  /** A follower answered. */
  onContact(replicator: Replicator): void {
    const { node } = this
    if (replicator.priority <= this.own || node.state !== 'LEADER' || replicator.peerId.isWitness) return
    const { key } = replicator.peerId
    const now = node.env.clock.now()
    if (!node.replicators.isFit(replicator) || replicator.readonlyGate.isClosed) return void this.well.delete(key)
    const before = this.well.get(key)
    const isNew = !before || now - before.last > node.electionTimeoutMs / 2
    this.well.set(key, { since: isNew ? now : before.since, last: now })
    if (isNew || now - before.since < STEADY_TIMEOUTS * node.electionTimeoutMs) return
    this.consider(now)
  }

  private consider(now: number): void {
    const { node } = this
    if (!node.leaderReady || node.membership.isBusy || !node.configuration.isStable) return
    const best = node.replicators.bestCandidate((replicator) => this.isDue(replicator, now))
    // One that is better still is waited for when it is well.
    if (!best || node.replicators.bestCandidate((other) => this.mayBeHanded(other, now))?.replicator !== best.replicator) return
    const { peerId, priority } = best.replicator
    this.well.clear()
    this.handedTo = peerId.key
    this.recordOf(peerId.key).at = now
    node.transfer.offer(best, `it has priority ${priority}, this leader ${this.own}`, (status) => this.onHandedOver(peerId.key, status))
  }

  private isDue(replicator: Replicator, now: number): boolean {
    const { since, last } = this.well.get(replicator.peerId.key) ?? { since: 0, last: 0 }
    return this.mayBeHanded(replicator, now) && last - since >= STEADY_TIMEOUTS * this.node.electionTimeoutMs
  }

  private mayBeHanded(replicator: Replicator, now: number): boolean {
    const { key } = replicator.peerId
    const well = this.well.get(key)
    const isHeard = well !== undefined && now - well.last <= this.node.electionTimeoutMs / 2
    return isHeard && this.rank(replicator) > this.own && now >= this.recordOf(key).notBefore
  }

  private onHandedOver(key: string, status: Status): void {
    if (status.ok || this.node.state !== 'LEADER') return
    this.handedTo = null
    this.wait(key)
  }

  /** It leads again. Where others would rather lead, did they do so for long? */
  private cameBack(key: string): void {
    const record = this.recordOf(key)
    const lasted = this.node.env.clock.now() - record.at
    if (lasted >= this.waitMs(record.failures) + LASTING_TIMEOUTS * this.node.electionTimeoutMs) record.failures = 0
    else this.wait(key)
  }

  private wait(key: string): void {
    const record = this.recordOf(key)
    record.failures++
    record.notBefore = this.node.env.clock.now() + this.waitMs(record.failures)
  }

  private waitMs(failures: number): number {
    if (failures === 0) return 0
    return Math.min(STEADY_TIMEOUTS * 2 ** failures, WAIT_TIMEOUTS_MAX) * this.node.electionTimeoutMs
  }

  private recordOf(key: string): Handed {
    let record = this.handed.get(key)
    if (!record) this.handed.set(key, (record = { at: 0, failures: 0, notBefore: 0 }))
    return record
  }
}
