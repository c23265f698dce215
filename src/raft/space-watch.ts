import type { Timer } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import type { NodeImpl } from './node-impl.js'
import type { Candidate } from './replicator-group.js'

/** Whoever is short campaigns only when nobody else has led for this many election timeouts more. */
const PATIENCE_TIMEOUTS = 2
/** Those who were asked to take over and did not are asked again after this many election timeouts. */
const ASK_AGAIN_TIMEOUTS = 4

/**
 * Knows whether the disk runs short (NOSPACE), and finds somebody else to lead then.
 *
 * Who is short refuses entries before a write could fail; reads go on. It is no candidate while others may be: it is not asked to
 * take over, and lets them campaign first. As leader it hands over when that helps for sure: without it a quorum answers and takes
 * entries. Where there is none it stays, for a successor could not even commit the entry that opens its term, and nobody would
 * read any more. It never resigns: when the one it asked does not take over it asks the next, and serves reads meanwhile.
 *
 * A disk with space costs nothing: the timer runs only while it is short.
 */
export class SpaceWatch {
  isShort = false
  private timer: Timer | null = null
  /** Who was asked in vain, until `askAgainAt`. */
  private readonly inVain = new Set<string>()
  private askAgainAt = 0
  /** Since when no leader is known and this node would campaign. */
  private waitingSince: number | null = null
  /** Why this node leads on, as it was told last. */
  private told: string | null = null

  constructor(private readonly node: NodeImpl) {}

  set(state: 'short' | 'ample'): void {
    const { node } = this
    if (this.isShort === (state === 'short')) return
    this.isShort = state === 'short'
    this.inVain.clear()
    this.waitingSince = null
    this.told = null
    node.observe({ name: this.isShort ? 'alarm.raised' : 'alarm.cleared', alarm: 'NOSPACE' })
    if (!this.isShort) return this.timer?.cancel()
    node.log.cutCovered()
    this.check()
  }

  /** Asked whenever this node would campaign: whether those with space should have the chance first. */
  letsOthersGoFirst(): boolean {
    const { configuration, serverId, env, electionTimeoutMs } = this.node
    if (!this.isShort || configuration.voters.every((peer) => peer.equals(serverId))) return false
    const now = env.clock.now()
    this.waitingSince ??= now
    return now - this.waitingSince < PATIENCE_TIMEOUTS * electionTimeoutMs
  }

  private check(): void {
    const { node } = this
    if (node.isStopping() || node.error) return
    this.timer = node.env.clock.schedule(node.heartbeatMs, () => this.check(), 'space-watch')
    if (!node.leaderId.isEmpty) this.waitingSince = null
    if (node.state !== 'LEADER') {
      if (!node.leads()) this.told = null
      return
    }
    const successor = this.successor()
    if (successor) this.handOver(successor)
  }

  private successor(): Candidate | null {
    const { configuration, replicators, env, leaderReady } = this.node
    if (!leaderReady || !configuration.isStable) return null
    if (env.clock.now() >= this.askAgainAt) this.inVain.clear()
    const takers = configuration.voters.filter((peer) => {
      const replicator = replicators.get(peer)
      return replicator !== null && replicators.isFit(replicator) && !replicator.readonlyGate.isClosed
    })
    if (!configuration.hasQuorum((peer) => takers.includes(peer))) {
      this.tell(`only ${takers.length} of ${configuration.voters.length - 1} other voters answer and take entries`)
      return null
    }
    const best = replicators.bestCandidate(({ peerId }) => !this.inVain.has(peerId.key))
    if (!best) this.tell('nobody who was asked took over')
    return best
  }

  private handOver(successor: Candidate): void {
    const { node } = this
    const { key } = successor.replicator.peerId
    node.membership.abandon(Status.error(ErrorCode.ENOSPC, 'the disk of the leader runs short: it hands over'))
    // A configuration on its way is committed first.
    if (node.membership.isBusy) return
    node.transfer.offer(successor, 'its disk runs short', (status) => {
      if (status.ok || node.state !== 'LEADER') return
      this.inVain.add(key)
      this.askAgainAt = node.env.clock.now() + ASK_AGAIN_TIMEOUTS * node.electionTimeoutMs
    })
  }

  private tell(reason: string): void {
    if (this.told === reason) return
    this.told = reason
    this.node.observe({ name: 'leader.short', term: this.node.meta.term, reason })
  }
}
