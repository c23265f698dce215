import { Configuration } from '../../src/raft/configuration.js'
import type { SimCluster } from './cluster.js'
import type { Act, Who } from './decisions.js'
import type { FaultBudget } from './fault-budget.js'
import type { SimMember } from './member.js'
import type { World } from './swarm-plan.js'

type Deed = Extract<Act, { kind: 'snapshot' | 'wipe' | 'change' | 'transfer' | 'vote' }>

/**
 * Does what an administrator decided: takes snapshots, hands leadership over, changes the members, and starts members anew
 * whose disk is lost. It never loses more than the budget of faults allows, and asks for no members that could not commit
 * anything.
 */
export class Administrator {
  constructor(
    private readonly cluster: SimCluster,
    private readonly world: World,
    private readonly budget: FaultBudget,
  ) {}

  /** False when it could not be done, or must not. */
  perform(deed: Deed): boolean {
    const { cluster } = this
    const member = cluster.find(deed.who)
    if (!member || (member.process?.stopping && deed.kind !== 'wipe')) return false
    switch (deed.kind) {
      case 'wipe':
        return this.wipe(member, deed.forMs)
      case 'change':
        return member.isUp && this.change(member, deed.members)
      case 'snapshot':
        if (member.isUp) cluster.snapshot(member)
        return member.isUp
      case 'vote':
        member.run('client:vote', (node) => node.vote(() => {}))
        return member.isUp
      case 'transfer':
        if (member.isUp) this.transfer(member, deed.target)
        return member.isUp
    }
  }

  /** A member was told that it is no member any more: a server stops then, and does not start again on that directory. */
  onRemoved(member: SimMember): void {
    if (!this.world.stopsRemoved) return
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

  private wipe(member: SimMember, forMs: number): boolean {
    const { cluster } = this
    // An empty machine has nothing to lose.
    if (!member.image.identity() || !this.budget.allowsLoss(member)) return false
    cluster.wipe(member)
    this.later(forMs, () => cluster.start(member))
    return true
  }

  private change(through: SimMember, names: readonly Who[]): boolean {
    const { cluster } = this
    const leader = cluster.leader()
    const members = names.map((name) => cluster.find(name)).filter((member) => member !== null)
    const target = new Configuration(members.map((member) => member.peerId))
    if (!leader || target.isEmpty || !this.budget.allowsChange(target)) return false
    const { conf } = leader.node!.status().configuration
    for (const member of members) if (!conf.contains(member.peerId)) this.prepare(member)
    const over = this.budget.askedFor(through, target)
    cluster.change(through, target, { catchupTimeoutMs: this.world.catchupTimeoutMs }, over)
    return true
  }

  private transfer(member: SimMember, target: Who | undefined): void {
    const { cluster } = this
    cluster.counts.transfers++
    const peer = target === undefined ? null : (cluster.find(target)?.peerId ?? null)
    member.run('client:transfer', (node) => node.transferLeadershipTo(peer, () => {}))
  }

  /** Whoever is to be added must run; the directory of one that was removed is emptied first, as one is told to do. */
  private prepare(member: SimMember): void {
    const { cluster, world } = this
    const { committed } = cluster.invariants
    const wasMember = world.stopsRemoved && committed.everContained(member.peerId, member.bornAt)
    if ((member.retired || wasMember) && this.budget.allowsLoss(member)) cluster.wipe(member)
    cluster.start(member)
  }
}
