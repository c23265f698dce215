import type { Configuration } from '../../src/raft/configuration.js'
import type { PeerId } from '../../src/raft/peer-id.js'
import { witnessProblem } from '../../src/raft/witness.js'
import type { SimWorld } from '../../src/testing/sim-world.js'
import type { SimCluster } from './cluster.js'
import { halvesOf } from './committed-log.js'
import type { SimMember } from './member.js'

/** A message that was held by a cut link may still arrive this much later. */
export const HELD_MS = 10_000

/** Of each group in a world: a machine is lost only within the budget of all. */
const BUDGETS = new WeakMap<SimWorld, readonly FaultBudget[]>()

/** A change of the members that was asked for. */
interface Asked {
  readonly target: Configuration
  endedAt: number
}

/**
 * Which disks may be lost or damaged without losing what was acknowledged: in every configuration that may be in force, at most a
 * minority at a time has a damaged disk, or has lost its past and does not count again yet. So one good copy of each committed
 * entry is left in every quorum, and what breaks within that is a bug of the code.
 */
export class FaultBudget {
  private asked: Asked[] = []

  constructor(private readonly cluster: SimCluster) {
    const budgets = BUDGETS.get(cluster.world) ?? []
    BUDGETS.set(cluster.world, [...budgets, this])
  }

  /** Through that member these may come into force from now on; answers how to say that the caller was told the outcome. */
  askedFor(member: SimMember, target: Configuration): () => void {
    const asked: Asked = { target, endedAt: Infinity }
    const end = () => {
      asked.endedAt = Math.min(asked.endedAt, this.cluster.now)
    }
    // Not when somebody asks next: a run must not depend on what was refused in it.
    if (member.process) member.process.onDeath.push(end)
    else end()
    this.asked.push(asked)
    return end
  }

  /** May the disk of this member be lost now, or something on it? All groups on that machine must allow it. */
  allowsLoss(victim: SimMember): boolean {
    return BUDGETS.get(this.cluster.world)!.every((budget) => budget.allowsHere(victim.peerId))
  }

  private allowsHere(victim: PeerId): boolean {
    if (!this.isFounded) return false
    return this.configurations().every((conf) => {
      if (!conf.contains(victim)) return true
      // What was committed with a witness may be on the disk of one other member alone.
      if (conf.witnesses.length > 0 && !victim.isWitness) return false
      const unsettled = conf.peers.filter((peer) => peer.equals(victim) || !this.isSettled(peer.key)).length
      return unsettled <= (conf.size - 1) >> 1
    })
  }

  /** Could these members commit anything, if those that lost their past or are damaged never came back? */
  allowsChange(target: Configuration): boolean {
    if (witnessProblem(target)) return false
    // With a witness, what is committed may be on one disk alone: on none of them may anything be damaged.
    if (target.witnesses.length > 0 && target.peers.some(({ key, isWitness }) => !isWitness && this.isDamaged(key))) return false
    const current = this.cluster.invariants.committed.configuration
    // A newcomer will be settled before it counts, but only on a disk that is whole.
    const able = target.peers.filter((peer) => this.isSettled(peer.key) || (!current.contains(peer) && !this.isDamaged(peer.key)))
    return able.length >= target.quorum
  }

  private get isFounded(): boolean {
    return this.cluster.founders.every((member) => member.life > 0 || member.image.isMember)
  }

  private isSettled(key: string): boolean {
    return this.memberAt(key).image.isMember && !this.isDamaged(key)
  }

  private isDamaged(key: string): boolean {
    return this.memberAt(key).wasDamaged
  }

  private memberAt(key: string): SimMember {
    return this.cluster.members.find((other) => other.peerId.key === key)!
  }

  /** Everything that is or may come into force: committed last, in a log after that, or asked for and not over. */
  private configurations(): Configuration[] {
    const { members, invariants, now } = this.cluster
    const { configuration } = invariants.committed
    const found = [...halvesOf(configuration)]
    for (const member of members) {
      for (const entry of member.image.log.configurationsAbove(configuration.id.index)) found.push(...halvesOf(entry))
      // Who was removed may believe in an old one for ever.
      const believed = member.isUp ? member.node!.status().configuration : null
      if (believed && believed.id.index >= configuration.id.index) found.push(...halvesOf(believed))
    }
    this.asked = this.asked.filter((asked) => asked.endedAt + HELD_MS > now)
    found.push(...this.asked.map((asked) => asked.target))
    return found.filter((conf) => !conf.isEmpty)
  }
}
