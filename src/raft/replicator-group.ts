import type { ConfigurationEntry } from './configuration.js'
import type { Timer } from './environment.js'
import { Heartbeats } from './heartbeats.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerStatus } from './node-status.js'
import type { PeerId } from './peer-id.js'
import { Replicator } from './replicator.js'
import type { LogIndex } from './types.js'

/** A removed member is told so for at most this many election timeouts. */
const RETIRE_TIMEOUTS = 3
/** Who rests every second time is still heard so often in an election timeout; with longer intervals nobody rests. */
const BEATS_MIN = 5

/** Somebody who was removed by the entry at `index` and has not been told that this is committed. */
interface Retired {
  readonly replicator: Replicator
  readonly index: LogIndex
  readonly timer: Timer
}

/** Who is fit to lead next, and why just that one. */
export interface Candidate {
  readonly replicator: Replicator
  readonly reason: string
}

/**
 * The replicators of one leadership: one for every member but this node, for those who are to become members, and for a
 * while for those who were (braft ReplicatorGroup).
 */
export class ReplicatorGroup {
  private readonly replicators = new Map<string, Replicator>()
  private readonly joining = new Set<Replicator>()
  private readonly retired = new Map<string, Retired>()
  private heartbeatTimer: Timer | null = null

  private readonly beats: Heartbeats

  constructor(private readonly node: NodeImpl) {
    this.beats = node.env.heartbeats ?? new Heartbeats(node.env.clock)
  }

  /** One for each peer that is replicated to. */
  get all(): Iterable<Replicator> {
    return this.replicators.values()
  }

  /** That of a peer; none when it is not replicated to. */
  get(peer: PeerId): Replicator | null {
    return this.replicators.get(peer.key) ?? null
  }

  /** Starts a replicator for every member of `configuration` that has none. */
  startAll(configuration: ConfigurationEntry): void {
    for (const peer of [...configuration.voters, ...configuration.learners]) {
      if (!peer.equals(this.node.serverId) && !this.replicators.has(peer.key)) this.start(peer)
    }
  }

  /** For one who is to become a member and counts for nothing yet. Whatever an earlier life of it acknowledged is forgotten. */
  startJoining(peer: PeerId): Replicator {
    const known = this.replicators.get(peer.key)
    if (known) this.stop(known)
    const replicator = this.start(peer)
    this.joining.add(replicator)
    return replicator
  }

  /** It is in the configuration now. */
  admit(replicator: Replicator): void {
    this.joining.delete(replicator)
  }

  private start(peer: PeerId): Replicator {
    const replicator = new Replicator(this.node, peer)
    this.replicators.set(peer.key, replicator)
    replicator.start()
    if (!this.heartbeatTimer) this.scheduleHeartbeat()
    return replicator
  }

  /** Ends that to a peer. */
  stop(replicator: Replicator): void {
    const { key } = replicator.peerId
    if (this.replicators.get(key) !== replicator) return
    replicator.stop()
    this.replicators.delete(key)
    this.joining.delete(replicator)
    this.retired.get(key)?.timer.cancel()
    this.retired.delete(key)
    this.node.ballotBox.forget(replicator.peerId)
  }

  /** Ends all: the leadership is over. */
  stopAll(): void {
    for (const replicator of this.replicators.values()) replicator.stop()
    for (const { timer } of this.retired.values()) timer.cancel()
    this.heartbeatTimer?.cancel()
    this.heartbeatTimer = null
    this.replicators.clear()
    this.joining.clear()
    this.retired.clear()
  }

  /** `entry` is committed. Who is not in it hears of that, if it can, and then nothing more. */
  retire(entry: ConfigurationEntry): void {
    const { clock } = this.node.env
    const { index } = entry.id
    for (const [key, replicator] of [...this.replicators]) {
      const { peerId } = replicator
      const stays = entry.knows(peerId) || this.joining.has(replicator)
      if (stays || this.retired.has(key)) continue
      this.node.ballotBox.forget(peerId)
      const delayMs = RETIRE_TIMEOUTS * this.node.electionTimeoutMs
      this.retired.set(key, { replicator, index, timer: clock.schedule(delayMs, () => this.stop(replicator), 'replicator.retire') })
      replicator.heartbeat()
    }
  }

  /** It answered: a retired one that knows all it has to know is let go. */
  onContact(replicator: Replicator): void {
    if (this.retired.size === 0) return
    const retired = this.retired.get(replicator.peerId.key)
    if (retired && replicator.toldCommitted >= retired.index) this.stop(replicator)
  }

  /** The oldest entry that a peer will need which is sent a snapshot; null when there is none such. */
  get neededFrom(): LogIndex | null {
    let oldest: LogIndex | null = null
    for (const { neededFrom } of this.replicators.values())
      if (neededFrom !== null && (oldest === null || neededFrom < oldest)) oldest = neededFrom
    return oldest
  }

  /** There are new entries: sends what can be sent. */
  replicate(): void {
    for (const replicator of this.replicators.values()) replicator.replicate()
  }

  /** More is durable with its data, or fewer answer: witnesses may be sent more (witness-gate.ts). */
  replicateToWitnesses(): void {
    for (const replicator of this.replicators.values()) if (replicator.peerId.isWitness) replicator.replicate()
  }

  /** Tells all peers that this node leads. */
  heartbeat(): void {
    for (const replicator of this.replicators.values()) replicator.heartbeat()
  }

  /** The interval changed: who waits for a shorter time now must hear of this leader before that, and then again. */
  restartHeartbeats(): void {
    this.heartbeat()
    this.scheduleHeartbeat()
  }

  private scheduleHeartbeat(): void {
    this.heartbeatTimer?.cancel()
    this.heartbeatTimer = this.beats.every(this.node.heartbeatMs, this.onHeartbeat)
  }

  private readonly onHeartbeat = (mayRest: boolean): void => {
    if (mayRest && this.isIdle) return
    this.heartbeat()
    if (this.replicators.size > 0) return
    this.heartbeatTimer?.cancel()
    this.heartbeatTimer = null
  }

  /** All peers know that all of the log is committed, and have answered: half of the heartbeats will do. */
  private get isIdle(): boolean {
    const { heartbeatMs, electionTimeoutMs, lease, log } = this.node
    // A lease is renewed by beats, and others may not have the new election timeout yet.
    if (lease.isEnabled || electionTimeoutMs !== lease.promiseMs || 2 * heartbeatMs * BEATS_MIN > electionTimeoutMs) return false
    for (const replicator of this.replicators.values()) if (!replicator.isIdle(log.lastIndex)) return false
    return this.replicators.size > 0
  }

  /** How the leader sees each of its peers. */
  status(): PeerStatus[] {
    return [...this.replicators].filter(([key]) => !this.retired.has(key)).map(([, replicator]) => replicator.status())
  }

  /**
   * The oldest of the newest `quorum` values of the members, in each half of the configuration, the smaller of both:
   * what a quorum has reached. This node counts as `self`.
   */
  quorumValue(configuration: ConfigurationEntry, self: number, of: (replicator: Replicator) => number): number {
    const halves = configuration.isStable ? [configuration.conf] : [configuration.conf, configuration.old]
    let value = Number.POSITIVE_INFINITY
    for (const half of halves) {
      const values = half.peers.map((peer) => {
        if (peer.equals(this.node.serverId)) return self
        const replicator = this.replicators.get(peer.key)
        return replicator && !replicator.rebuilding ? of(replicator) : Number.NEGATIVE_INFINITY
      })
      values.sort((a, b) => b - a)
      value = Math.min(value, values[half.quorum - 1] ?? Number.NEGATIVE_INFINITY)
    }
    return value
  }

  /** The voter best fit to lead next: answering, and with the most of the log; null when none is. */
  bestCandidate(isEligible: (replicator: Replicator) => boolean = () => true): Candidate | null {
    const { precedence } = this.node
    const fit = [...this.replicators.values()].filter(
      (replicator) => this.isFit(replicator) && !replicator.peerId.isWitness && replicator.priority > 0 && isEligible(replicator),
    )
    // What is under way to it arrives before it is told to campaign; of equals the one that holds more is ready sooner.
    fit.sort((a, b) => precedence.rank(b) - precedence.rank(a) || b.nextIndex - a.nextIndex || b.matchIndex - a.matchIndex)
    const [replicator] = fit
    if (!replicator) return null
    const { lastIndex } = this.node.log
    const behind = lastIndex - replicator.matchIndex
    const log = behind === 0 ? 'it holds the whole log' : `it holds the log but for ${behind} of ${lastIndex} entries`
    return { replicator, reason: `${log}, the most of ${fit.length} voters that answer` }
  }

  /** It answers well and could take over, or help whoever does. */
  isFit(replicator: Replicator): boolean {
    const { configuration, env, electionTimeoutMs } = this.node
    return (
      configuration.conf.contains(replicator.peerId) &&
      replicator.answeredOnce &&
      !replicator.rebuilding &&
      !replicator.isInstallingSnapshot &&
      !replicator.isShort &&
      !replicator.isHeldBack &&
      replicator.consecutiveErrors === 0 &&
      replicator.lastAckedSentAt >= env.clock.now() - electionTimeoutMs
    )
  }
}
