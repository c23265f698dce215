import type { DamageKind } from '../../src/testing/disk-damage.js'
import { SimRandom } from '../../src/testing/sim-random.js'
import type { SimCluster } from './cluster.js'
import type { FaultBudget } from './fault-budget.js'
import type { SimMember } from './member.js'

/**
 * Damages disks within the budget of faults, and does what an operator does about it: the disk of a member that found itself damaged
 * is replaced by an empty one, and in time also that of one that noticed nothing.
 */
export class DamageInjector {
  private active = true

  constructor(
    private readonly cluster: SimCluster,
    /** For what follows from what the nodes do. */
    private readonly random: SimRandom,
    private readonly budget: FaultBudget,
  ) {}

  /** Who notices nothing keeps a damaged disk from now on. */
  stop(): void {
    this.active = false
  }

  /** False when there was nothing to damage, or it must not be. */
  inflict(kind: DamageKind, victim: SimMember, { draw, forMs }: { draw: number; forMs: number }): boolean {
    if (!victim.image.identity() || !this.budget.allowsLoss(victim)) return false
    const what = victim.damage.inflict(kind, new SimRandom(draw))
    if (!what) return false
    this.cluster.scheduler.note(`disk-${kind}`, null, `${victim.name} ${what}`)
    victim.wasDamaged = true
    const { life } = victim
    this.later(forMs, () => {
      if (this.active && victim.life === life && victim.damage.isDamaged) this.replaceDisk(victim)
    })
    return true
  }

  /** A member found that what lies on its disk is not what was written. */
  onFound(member: SimMember): void {
    this.cluster.counts.found++
    const { life } = member
    this.later(this.random.exponential(this.cluster.electionTimeoutMs), () => {
      if (member.life === life) this.replaceDisk(member)
    })
  }

  private replaceDisk(member: SimMember): void {
    const { cluster } = this
    const { life } = member
    if (!this.budget.allowsLoss(member)) {
      return this.later(this.cluster.electionTimeoutMs, () => {
        if (member.life === life) this.replaceDisk(member)
      })
    }
    cluster.wipe(member)
    cluster.counts.replaced++
    this.later(1, () => cluster.start(member))
  }

  private later(ms: number, fn: () => void): void {
    this.cluster.scheduler.schedule(ms, null, 'later', fn)
  }
}
