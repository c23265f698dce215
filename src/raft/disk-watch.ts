import type { Timer } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import type { DiskWrite } from './events.js'
import type { NodeImpl } from './node-impl.js'
import type { Replicator } from './replicator.js'

/** Told by whoever writes: one write at a time is under way. */
export interface WriteWatch {
  began(): void
  ended(): void
}

export const UNWATCHED: WriteWatch = { began: () => {}, ended: () => {} }

/**
 * Notices a disk that stands still: a write to the log, or of term and vote, that is not done after T.
 *
 * Who has such a disk does not campaign. A leader gives way when others are better off for sure: a quorum without it answers and
 * holds entries that its own disk has not taken. They can elect one of them without its vote, which its disk could not keep.
 * While all disks are slow alike nobody gives way: it would not help.
 *
 * Idle disks cost nothing: the timer runs only while something is written.
 */
export class DiskWatch {
  private readonly since = new Map<DiskWrite, number>()
  private timer: Timer | null = null
  private told: DiskWrite | null = null

  constructor(private readonly node: NodeImpl) {}

  of(write: DiskWrite): WriteWatch {
    return { began: () => this.began(write), ended: () => this.ended(write) }
  }

  /** For how long a write has been under way, when that is longer than a disk may take; else null. */
  get stalledForMs(): number | null {
    const oldest = this.oldest()
    return oldest && oldest.forMs >= this.node.electionTimeoutMs ? oldest.forMs : null
  }

  get isStalled(): boolean {
    return this.stalledForMs !== null
  }

  private oldest(): { write: DiskWrite; forMs: number } | null {
    let oldest: { write: DiskWrite; forMs: number } | null = null
    const now = this.node.env.clock.now()
    for (const [write, since] of this.since) {
      if (!oldest || now - since > oldest.forMs) oldest = { write, forMs: now - since }
    }
    return oldest
  }

  private began(write: DiskWrite): void {
    this.since.set(write, this.node.env.clock.now())
    if (!this.timer) this.arm(this.node.electionTimeoutMs)
  }

  private ended(write: DiskWrite): void {
    const { node } = this
    const forMs = node.env.clock.now() - this.since.get(write)!
    this.since.delete(write)
    if (this.told !== write) return
    this.told = null
    node.observe({ name: 'disk.recovered', write, forMs })
  }

  private arm(delayMs: number): void {
    const { clock } = this.node.env
    const dueAt = clock.now() + delayMs
    this.timer = clock.schedule(delayMs, () => this.check(dueAt), 'disk-watch')
  }

  private check(dueAt: number): void {
    const { node } = this
    this.timer = null
    const oldest = this.oldest()
    if (!oldest || !node.isActive()) return
    const again = node.electionTimeoutMs / 4
    // A process that stood still itself finds its disk's answers waiting: they come first.
    if (node.env.clock.now() - dueAt > again) return this.arm(again)
    // Not sooner than a clock can tell apart from now.
    if (oldest.forMs < node.electionTimeoutMs) return this.arm(Math.max(1, node.electionTimeoutMs - oldest.forMs))
    this.arm(again)
    if (this.told === null) {
      this.told = oldest.write
      node.observe({ name: 'disk.stalled', ...oldest })
    }
    if (node.state === 'LEADER' && this.othersAreBetterOff()) this.giveWay(oldest.forMs)
  }

  private othersAreBetterOff(): boolean {
    const { configuration, replicators } = this.node
    return configuration.hasQuorum((peer) => {
      const replicator = replicators.get(peer)
      return replicator !== null && this.isAhead(replicator)
    })
  }

  /** It answers, and its disk has taken what this one has not. */
  private isAhead(replicator: Replicator): boolean {
    const { log, env, electionTimeoutMs } = this.node
    const isHeard = replicator.consecutiveErrors === 0 && replicator.lastAckedSentAt >= env.clock.now() - electionTimeoutMs
    return isHeard && replicator.matchIndex > log.durableIndex
  }

  /** Hands over, which needs no disk here; steps down when nobody takes over within T. */
  private giveWay(forMs: number): void {
    const { node } = this
    const { term } = node.meta
    const reason = Status.error(ErrorCode.EIO, `its disk has not finished a write for ${Math.round(forMs)} ms`)
    node.observe({ name: 'leader.stalled', term, forMs })
    node.membership.abandon(reason)
    node.transfer.giveWay(reason, (replicator) => this.isAhead(replicator))
  }
}
