import type { PeerId } from '../../src/raft/peer-id.js'
import type { SimRandom } from '../../src/testing/sim-random.js'
import type { SimCluster } from './cluster.js'
import { type Act, toMicros, type Who } from './decisions.js'
import { DEEDS, type Deed, drawWeighted, type SwarmPlan } from './swarm-plan.js'

/** Draws what an administrator does next, from a seed's plan and from how the cluster stands; does nothing. */
export class DeedDrawing {
  constructor(
    private readonly cluster: SimCluster,
    private readonly plan: SwarmPlan,
    private readonly random: SimRandom,
  ) {}

  draw(): readonly Act[] {
    const { cluster, random, plan } = this
    const deed = drawWeighted(random, DEEDS, plan.administration.weights)
    switch (deed) {
      case null:
        return []
      case 'snapshot':
        return cluster.up.length > 0 ? [{ kind: 'snapshot', who: random.pick(cluster.up).name }] : []
      case 'vote':
        return cluster.up.length > 0 ? [{ kind: 'vote', who: random.pick(cluster.up).name }] : []
      case 'wipe':
        return [{ kind: 'wipe', who: random.pick(cluster.members).name, forMs: toMicros(random.exponential(plan.electionTimeoutMs)) }]
      case 'transfer':
        return [{ kind: 'transfer', who: 'leader', ...(random.chance(0.7) ? { target: random.pick(cluster.members).name } : {}) }]
      default:
        return this.change(deed)
    }
  }

  private change(deed: 'add' | 'remove' | 'replace' | 'changeMany'): readonly Act[] {
    const { cluster, random } = this
    const leader = cluster.leader()
    if (!leader) return []
    const members = this.drawMembers(deed, leader.node!.status().configuration.conf.peers)
    if (!members || members.length === 0) return []
    return [{ kind: 'change', who: random.chance(0.95) ? 'leader' : random.pick(cluster.up).name, members }]
  }

  private drawMembers(deed: Deed, peers: readonly PeerId[]): Who[] | null {
    const { random, cluster } = this
    const present = peers.map((peer) => cluster.memberOf(peer).name)
    const others = cluster.members.map((member) => member.name).filter((name) => !present.includes(name))
    const added = others.length > 0 ? random.pick(others) : null
    const rest = random.shuffle(present).slice(1)
    if (deed === 'add') return added ? [...present, added] : null
    if (deed === 'remove') return rest
    if (deed === 'replace') return added ? [...rest, added] : null
    const all = random.shuffle([...present, ...others])
    return all.slice(0, random.integer(1, all.length))
  }
}
