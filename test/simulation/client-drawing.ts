import type { SimRandom } from '../../src/testing/sim-random.js'
import type { SimCluster } from './cluster.js'
import type { Act, Who } from './decisions.js'
import type { SwarmPlan } from './swarm-plan.js'

/** Draws what clients ask for next, and of whom; does nothing. */
export class ClientDrawing {
  private sequence = 0

  constructor(
    private readonly cluster: SimCluster,
    private readonly plan: SwarmPlan,
    private readonly random: SimRandom,
  ) {}

  drawWrites(): readonly Act[] {
    const { random, plan } = this
    const burst = random.chance(plan.burstChance) ? random.integer(2, 40) : 1
    const who = this.drawTarget(0.9)
    if (!who) return []
    return Array.from({ length: burst }, () => ({ kind: 'write', who, key: random.below(plan.world.keys), ...this.drawPayload() }))
  }

  drawReads(): readonly Act[] {
    const who = this.drawTarget(0.5)
    return who ? [{ kind: 'read', who, key: this.random.below(this.plan.world.keys) }] : []
  }

  /** With the key-value machine a third of the puts are a repetition of one before. */
  private drawPayload(): { bytes: number } | { sequence: number } {
    const { random, plan } = this
    if (!plan.world.keyValue) return { bytes: random.integer(0, Math.floor(plan.paddingMax)) }
    if (!random.chance(0.3)) this.sequence++
    return { sequence: Math.max(1, this.sequence - random.below(4)) }
  }

  private drawTarget(preferLeader: number): Who | null {
    const { cluster, random } = this
    const up = cluster.up.filter((member) => !member.process!.stopping)
    const leaders = up.filter((member) => member.node!.isLeader())
    if (leaders.length > 0 && random.chance(preferLeader)) {
      const target = random.pick(leaders)
      return target === cluster.leader() ? 'leader' : target.name
    }
    return up.length > 0 ? random.pick(up).name : null
  }
}
