import type { ConfigurationEntry } from './configuration.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerStatus } from './node-status.js'
import type { PeerId } from './peer-id.js'
import { Replicator } from './replicator.js'

/** The replicators of one leadership: one for every member but this node (braft ReplicatorGroup). */
export class ReplicatorGroup {
  private readonly replicators = new Map<string, Replicator>()

  constructor(private readonly node: NodeImpl) {}

  get all(): Iterable<Replicator> {
    return this.replicators.values()
  }

  get(peer: PeerId): Replicator | null {
    return this.replicators.get(peer.key) ?? null
  }

  /** Starts a replicator for every member of `configuration` that has none. */
  startAll(configuration: ConfigurationEntry): void {
    for (const peer of [...configuration.voters, ...configuration.learners]) {
      if (peer.equals(this.node.serverId) || this.replicators.has(peer.key)) continue
      const replicator = new Replicator(this.node, peer)
      this.replicators.set(peer.key, replicator)
      replicator.start()
    }
  }

  stopAll(): void {
    for (const replicator of this.replicators.values()) replicator.stop()
    this.replicators.clear()
  }

  replicate(): void {
    for (const replicator of this.replicators.values()) replicator.replicate()
  }

  heartbeat(): void {
    for (const replicator of this.replicators.values()) replicator.heartbeat()
  }

  status(): PeerStatus[] {
    return [...this.replicators.values()].map((replicator) => replicator.status())
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
        return replicator ? of(replicator) : Number.NEGATIVE_INFINITY
      })
      values.sort((a, b) => b - a)
      value = Math.min(value, values[half.quorum - 1] ?? Number.NEGATIVE_INFINITY)
    }
    return value
  }

  /** The voter best fit to lead next: answering, and with the most of the log; null when none is. */
  bestCandidate(): Replicator | null {
    const { configuration } = this.node
    const since = this.node.env.clock.now() - this.node.electionTimeoutMs
    let best: Replicator | null = null
    for (const replicator of this.replicators.values()) {
      const fit =
        configuration.contains(replicator.peerId) &&
        replicator.answeredOnce &&
        !replicator.rebuilding &&
        replicator.consecutiveErrors === 0 &&
        replicator.lastAckedSentAt >= since
      if (fit && (!best || replicator.matchIndex > best.matchIndex)) best = replicator
    }
    return best
  }
}
