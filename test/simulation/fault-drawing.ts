import type { SimCluster } from './cluster.js'
import { type Act, FAULT_KINDS, type FaultKind, toMicros, type Who } from './decisions.js'
import type { SimMember } from './member.js'
import type { SimRandom } from './sim-random.js'
import { drawWeighted, type SwarmPlan } from './swarm-plan.js'

/** Draws what goes wrong next and to whom, from a seed's plan and from how the cluster stands; does nothing. */
export class FaultDrawing {
  constructor(
    private readonly cluster: SimCluster,
    private readonly plan: SwarmPlan,
    private readonly random: SimRandom,
  ) {}

  draw(): readonly Act[] {
    const kind = drawWeighted(this.random, FAULT_KINDS, this.plan.weights)
    const victim = this.drawVictim()
    if (!kind) return []
    if (kind === 'power') return this.powerLoss(victim)
    return victim ? this.drawFor(kind, victim) : []
  }

  private drawFor(kind: Exclude<FaultKind, 'power'>, who: Who): readonly Act[] {
    const { cluster, random, plan } = this
    const t = plan.electionTimeoutMs
    switch (kind) {
      case 'kill':
      case 'shutdown':
      case 'stall':
        return [{ kind, who, forMs: this.about(t) }]
      case 'pause':
        return [{ kind, who, forMs: this.about(t * 2) }]
      case 'clog':
        return [{ kind, who, towards: random.pick(cluster.members).name, forMs: this.about(t) }]
      case 'diskError':
        return [{ kind, who, writes: random.pick([0, 0.05, 1]), syncs: random.pick([0, 0.05, 1]), forMs: this.about(t / 2) }]
      case 'full':
        return [{ kind, who, bytes: random.integer(0, 1000), forMs: this.about(t) }]
      default:
        return this.partition(kind, who)
    }
  }

  /** Somebody, the leader more often than its share. */
  private drawVictim(): Who | null {
    const { cluster, random } = this
    const { up } = cluster
    if (up.length === 0) return null
    return cluster.leader() && random.chance(0.4) ? 'leader' : random.pick(up).name
  }

  private powerLoss(victim: Who | null): readonly Act[] {
    const { cluster, random, plan } = this
    const victims = random.chance(plan.allAtOnce) ? cluster.up.map((member) => member.name) : victim ? [victim] : []
    const keep = random.pick([0, 0.2, 0.5, 0.5, 0.8, 1])
    return victims.map((who) => ({ kind: 'power', who, keep, poweredOn: random.chance(0.5), forMs: this.about(plan.electionTimeoutMs) }))
  }

  private partition(kind: 'isolate' | 'split' | 'bridge' | 'oneWay', victim: Who): readonly Act[] {
    const { cluster, random, plan } = this
    const itself: SimMember | null = cluster.find(victim)
    const others = random.shuffle(cluster.members.filter((member) => member !== itself)).map((member) => member.name)
    if (others.length === 0) return []
    const forMs = this.about(plan.electionTimeoutMs * 3)
    const half = random.integer(0, others.length - 1)
    if (kind === 'isolate') return [{ kind, who: victim, forMs }]
    if (kind === 'split') return [{ kind, one: [victim, ...others.slice(0, half)], other: others.slice(half), forMs }]
    if (kind === 'bridge' && others.length >= 2) {
      const rest = others.slice(1)
      const with_ = rest.slice(1 + random.below(rest.length))
      return [{ kind, one: [victim, ...with_], other: rest.filter((name) => !with_.includes(name)), forMs }]
    }
    const some = random.chance(0.5) ? others : others.slice(0, 1 + half)
    return [random.chance(0.5) ? { kind: 'oneWay', from: [victim], to: some, forMs } : { kind: 'oneWay', from: some, to: [victim], forMs }]
  }

  private about(ms: number): number {
    return toMicros(this.random.exponential(ms))
  }
}
