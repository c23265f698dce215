import { Configuration } from '../../src/raft/configuration.js'
import type { PeerId } from '../../src/raft/peer-id.js'
import type { SimCluster } from './cluster.js'
import { FaultBudget } from './fault-budget.js'
import type { SimMember } from './member.js'
import type { SimRandom } from './sim-random.js'
import { DEEDS, type Deed, type SwarmPlan } from './swarm-plan.js'

/**
 * What an administrator does, drawn from a seed's plan: takes snapshots, changes the members, and starts members anew whose
 * disk is lost. It never loses more than the budget of faults allows, and asks for no members that could not commit anything.
 */
export class Administrator {
  private readonly budget: FaultBudget
  private active = false

  constructor(
    private readonly cluster: SimCluster,
    private readonly plan: SwarmPlan,
    private readonly random: SimRandom,
  ) {
    this.budget = new FaultBudget(cluster)
  }

  start(): void {
    this.active = true
    this.scheduleDeed()
  }

  /** Begins nothing new. */
  stop(): void {
    this.active = false
  }

  /** A member was told that it is no member any more: a server stops then, and does not start again on that directory. */
  onRemoved(member: SimMember): void {
    if (!this.plan.administration.stopsRemoved) return
    const { process } = member
    this.later(1, () => {
      if (member.process !== process || member.retired) return
      this.cluster.kill(member)
      member.retired = true
    })
  }

  private later(ms: number, fn: () => void): void {
    this.cluster.scheduler.schedule(ms, null, 'later', fn)
  }

  private scheduleDeed(): void {
    const { administration } = this.plan
    this.cluster.scheduler.schedule(this.random.exponential(administration.everyMs), null, 'administrator', () => {
      if (!this.active) return
      const deed = this.drawDeed()
      if (deed) this.perform(deed)
      this.scheduleDeed()
    })
  }

  private drawDeed(): Deed | null {
    const { weights } = this.plan.administration
    let at = this.random.unit() * DEEDS.reduce((sum, deed) => sum + weights[deed], 0)
    for (const deed of DEEDS) {
      at -= weights[deed]
      if (at < 0 && weights[deed] > 0) return deed
    }
    return null
  }

  private perform(deed: Deed): void {
    const { cluster, random } = this
    if (deed === 'snapshot') {
      const { up } = cluster
      if (up.length > 0) cluster.snapshot(random.pick(up))
    } else if (deed === 'wipe') this.wipe(random.pick(cluster.members))
    else this.change(deed)
  }

  private wipe(member: SimMember): void {
    const { cluster, random, plan } = this
    // An empty machine has nothing to lose.
    if (!member.image.identity() || !this.budget.allowsWipe(member)) return
    cluster.wipe(member)
    this.later(random.exponential(plan.electionTimeoutMs), () => cluster.start(member))
  }

  private change(deed: Deed): void {
    const { cluster, random, plan } = this
    const leader = cluster.leader()
    if (!leader) return
    const { conf } = leader.node!.status().configuration
    const target = this.drawTarget(deed, conf.peers)
    if (!target || target.isEmpty || !this.budget.allowsChange(target)) return
    for (const peer of target.peers) if (!conf.contains(peer)) this.prepare(cluster.memberOf(peer))
    const through = random.chance(0.95) ? leader : random.pick(cluster.up)
    const over = this.budget.askedFor(through, target)
    cluster.change(through, target, { catchupTimeoutMs: plan.administration.catchupTimeoutMs }, over)
  }

  private drawTarget(deed: Deed, present: readonly PeerId[]): Configuration | null {
    const { random, cluster } = this
    const others = cluster.members.map((member) => member.peerId).filter((peer) => !present.some((other) => other.equals(peer)))
    const added = others.length > 0 ? random.pick(others) : null
    const rest = random.shuffle(present).slice(1)
    if (deed === 'add') return added && new Configuration([...present, added])
    if (deed === 'remove') return new Configuration(rest)
    if (deed === 'replace') return added && new Configuration([...rest, added])
    const all = random.shuffle([...present, ...others])
    return new Configuration(all.slice(0, random.integer(1, all.length)))
  }

  /** Whoever is to be added must run; the directory of one that was removed is emptied first, as one is told to do. */
  private prepare(member: SimMember): void {
    const { cluster, plan } = this
    const { committed } = cluster.invariants
    const wasMember = plan.administration.stopsRemoved && committed.everContained(member.peerId, member.bornAt)
    if ((member.retired || wasMember) && this.budget.allowsWipe(member)) cluster.wipe(member)
    cluster.start(member)
  }
}
