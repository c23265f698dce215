import type { FailpointName } from '../../src/raft/failpoints.js'
import type { SimRandom } from '../../src/testing/sim-random.js'
import { POINTS, STORAGE_POINTS } from './armed-points.js'
import type { SimCluster } from './cluster.js'
import { type Act, type Drawn, FAULT_KINDS, type FaultKind, type StrikeKind, toMicros, type Who } from './decisions.js'
import type { SimMember } from './member.js'
import { drawWeighted, type SwarmPlan } from './swarm-plan.js'

const STRIKES: readonly StrikeKind[] = ['power', 'power', 'kill', 'fail', 'pause']

const FIRST_POINTS = 8

/** Reached only where a snapshot is installed, members change or the end of the log is cut. */
const SELDOM: readonly FailpointName[] = [
  'log.suffix-reopened',
  'log.suffix-segment-removed',
  'snapshot.copy-noted',
  'configuration.joint-proposed',
  'configuration.joint-committed',
  'configuration.stable-proposed',
  'configuration.committed',
  'transfer.campaign',
  'install.copied',
  'install.loaded',
  'install.done',
]

/** Draws what goes wrong next and to whom, from a seed's plan and from how the cluster stands; does nothing. */
export class FaultDrawing {
  constructor(
    private readonly cluster: SimCluster,
    private readonly plan: SwarmPlan,
    private readonly random: SimRandom,
  ) {}

  /** The rarer a point, the earlier it must be armed: the first draw arms several. */
  drawFirst(): readonly Act[] {
    return this.plan.weights.point > 0 ? Array.from({ length: FIRST_POINTS }, () => this.point('any')) : []
  }

  draw(): readonly Drawn[] {
    const kind = drawWeighted(this.random, FAULT_KINDS, this.plan.weights)
    const victim = this.drawVictim()
    if (!kind) return []
    if (kind === 'power') return this.powerLoss(victim)
    return victim ? this.drawFor(kind, victim) : []
  }

  private drawFor(kind: Exclude<FaultKind, 'power'>, who: Who): readonly Drawn[] {
    const { cluster, random, plan } = this
    const t = plan.electionTimeoutMs
    switch (kind) {
      case 'kill':
      case 'shutdown':
      case 'stall':
        return [{ kind, who, forMs: this.about(t) }]
      case 'pause':
        return [{ kind, who, forMs: this.about(t * 2) }]
      case 'space':
      case 'readOnly':
        return [{ kind, who, forMs: this.about(t) }]
      case 'slow':
        return [{ kind, who, turnMs: toMicros(random.pick([t / 200, t / 50, t / 10, t / 3])), forMs: this.about(t * 3) }]
      case 'clockJump':
        return [{ kind, who, byMs: toMicros(random.pick([t / 10, t, t * 10, 3_600_000])) }]
      case 'point':
        return [this.point(who)]
      case 'swizzle':
        return this.swizzle(who)
      case 'clog':
        return [{ kind, who, towards: random.pick(cluster.members).name, forMs: this.about(t) }]
      case 'diskError':
        return [{ kind, who, writes: random.pick([0, 0.05, 1]), syncs: random.pick([0, 0.05, 1]), forMs: this.about(t / 2) }]
      case 'full':
        return [{ kind, who, bytes: random.integer(0, 1000), forMs: this.about(t) }]
      case 'readError':
        return [{ kind, who, reads: random.pick([0.1, 1]), forMs: this.about(t) }]
      case 'slowDisk':
        return [{ kind, who, times: random.pick([5, 20, 100]), forMs: this.about(t * 2) }]
      case 'rot':
      case 'misdirected':
      case 'stale': {
        const damage: Act = { kind, who, draw: random.u32(), forMs: this.about(t * 12) }
        // A start looks at more than a running node does.
        return random.chance(0.4) ? [damage, { kind: 'kill', who, forMs: this.about(t) }] : [damage]
      }
      default:
        return this.partition(kind, who)
    }
  }

  /** What tears a write is a loss of power in the middle of it; and what few runs come to is armed in more of them. */
  private drawPoint(): FailpointName {
    const { random } = this
    const dice = random.unit()
    return dice < 0.15 ? 'log.writing' : random.pick(dice < 0.5 ? SELDOM : POINTS)
  }

  /** Only a step of the storage can be made to fail, and a write under way is to be torn. */
  private strikesAt(name: FailpointName): readonly StrikeKind[] {
    if (name === 'log.writing') return ['power', 'power', 'power', 'kill']
    return STORAGE_POINTS.includes(name) ? STRIKES : STRIKES.filter((kind) => kind !== 'fail')
  }

  private point(who: Who): Act {
    const { random, plan } = this
    const name = this.drawPoint()
    const strike = random.pick(this.strikesAt(name))
    const keep = name === 'log.writing' ? 0.5 : random.pick([0, 0.5, 1])
    return { kind: 'point', who: random.chance(0.7) ? 'any' : who, name, strike, keep, forMs: this.about(plan.electionTimeoutMs) }
  }

  /** Links stop one after the other, and pass again in another order. */
  private swizzle(who: Who): readonly Drawn[] {
    const { cluster, random, plan } = this
    const itself = cluster.find(who)
    if (!itself) return []
    const victim = itself.name
    const others = cluster.members.filter((member) => member !== itself).map((member) => member.name)
    const links = random.shuffle(
      others.flatMap((other) => [
        { from: [victim], to: [other] },
        { from: [other], to: [victim] },
      ]),
    )
    const stepMs = plan.electionTimeoutMs * random.between(0.05, 0.5)
    const order = random.shuffle(links.map((_, i) => i))
    return links.map((link, i) => ({
      kind: 'swizzle',
      ...link,
      afterMs: toMicros(i * stepMs),
      forMs: toMicros((links.length - i + order[i]!) * stepMs),
    }))
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
