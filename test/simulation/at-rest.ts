import { InvariantViolation, type SimCluster } from './cluster.js'
import { HELD_MS } from './fault-budget.js'
import type { SimMember } from './member.js'

/** What must become so of a group once the faults stop: one leader, equal logs and machines, and it serves. */
export class AtRest {
  constructor(private readonly cluster: SimCluster) {}

  /** It comes to that within so many milliseconds, from whatever state the faults left. */
  await(withinMs: number): void {
    const { cluster } = this
    if (!cluster.runUntil(() => this.converged(), withinMs))
      stuck(`not converged ${withinMs} ms after the faults stopped: ${this.describe()}`)
    this.freshOperations(withinMs)
    if (!cluster.runUntil(() => this.converged() && this.machinesAgree(), withinMs)) stuck(`machines differ: ${this.describe()}`)
    this.undisturbed(withinMs)
    // A snapshot that is being saved still is answered when it is done.
    if (!cluster.runUntil(() => cluster.members.every(({ openClosures }) => openClosures === 0), withinMs)) {
      const owing = cluster.members.filter(({ openClosures }) => openClosures !== 0)
      stuck(owing.map(({ name, openClosures }) => `${name} owes ${openClosures} answers`).join(', '))
    }
  }

  /** Whoever is no member any more and still runs leaves those in peace who are. */
  private undisturbed(withinMs: number): void {
    const { cluster } = this
    const leader = cluster.leader()!
    const { life } = leader
    const mayBeTold = cluster.now - cluster.handedOverAt < HELD_MS
    const { term } = leader.node!.progress()
    cluster.run(cluster.electionTimeoutMs * 4)
    if (leader.life !== life) {
      // Damage that it found only now, in this group or in another of its process, had its disk replaced: nobody disturbed it.
      if (!cluster.runUntil(() => this.converged(), withinMs)) stuck(`not converged after ${leader.name} was replaced: ${this.describe()}`)
      return this.undisturbed(withinMs)
    }
    if (cluster.leader() !== leader && mayBeTold) {
      // A leader's word that was held by a cut link may still tell another one to take over: once it is through, nobody is.
      cluster.run(HELD_MS)
      if (!cluster.runUntil(() => this.converged(), withinMs)) stuck(`not converged after a late hand-over: ${this.describe()}`)
      return this.undisturbed(withinMs)
    }
    if (cluster.leader() !== leader || leader.node!.progress().term !== term) stuck(`${leader.name} was disturbed: ${this.describe()}`)
  }

  private freshOperations(bound: number): void {
    const { cluster } = this
    const leader = cluster.leader()!
    const write = cluster.write(leader, 0, { payload: 0 })
    if (!cluster.runUntil(() => write.outcome !== 'pending', bound) || write.outcome !== 'acked')
      stuck(`a fresh write is ${write.outcome}: ${this.describe()}`)
    let answered = 0
    const readers = this.dataHolders
    for (const member of readers) {
      cluster.read(member, 0, bound, (value, status) => {
        if (value !== write.serial) stuck(`a fresh read of ${member.name} answers ${value} (${status}), not ${write.serial}`)
        answered++
      })
    }
    if (!cluster.runUntil(() => answered === readers.length, bound)) stuck(`fresh reads are not answered: ${this.describe()}`)
  }

  /** The members that the last committed configuration has. */
  private get voters(): SimMember[] {
    return this.cluster.invariants.committed.configuration.voters.map((peer) => this.cluster.memberOf(peer))
  }

  private get dataHolders(): SimMember[] {
    return this.voters.filter(({ peerId }) => !peerId.isWitness)
  }

  private converged(): boolean {
    const { cluster } = this
    const leader = cluster.leader()
    if (!leader) return false
    const { lastId, committedIndex, term } = leader.node!.progress()
    if (committedIndex !== lastId.index || lastId.term !== term) return false
    const { membership, configuration } = leader.node!.status()
    if (membership.stage !== 'none' || !configuration.isStable) return false
    return this.voters.every((member) => {
      if (!member.isUp || !member.image.isMember) return false
      if (member.node!.progress().appliedIndex !== lastId.index) return false
      // Where another group on that machine has failed, the operator is about to take all of it away.
      if (member.host.members.some(({ failed }) => failed !== null)) return false
      const status = member.node!.status()
      return (
        // A write that was begun on a slow disk still ends as late: until then a leader may give way.
        status.diskStalledForMs === null &&
        status.term === term &&
        // What it needs to know for a read; a snapshot alone tells it all the rest.
        status.leaderId.equals(leader.peerId) &&
        status.lastId.index === lastId.index &&
        status.lastId.term === lastId.term &&
        status.configuration.conf.equals(configuration.conf)
      )
    })
  }

  /** They are what the committed writes make, and equal each other in what these do not show. */
  private machinesAgree(): boolean {
    const { history, invariants } = this.cluster
    const [first, ...rest] = this.dataHolders
    if (history.differenceAt(invariants.committed.last, first!.machine!)) return false
    return rest.every((member) => member.machine!.stateHash() === first!.machine!.stateHash())
  }

  private describe(): string {
    const { members, groupId } = this.cluster
    const all = members
      .map((member) => {
        if (!member.isUp) return `${member.name} down`
        const { state, term, lastId, committedIndex, appliedIndex, standing, configuration, membership } = member.node!.status()
        return `${member.name} ${state} term ${term} last ${lastId.index}/${lastId.term} committed ${committedIndex} applied ${appliedIndex} ${standing} of {${configuration.conf}}{${configuration.old}} ${membership.stage}${member.failed ? ` ${member.failed}` : ''}`
      })
      .join('; ')
    return `group ${groupId}: ${all}`
  }
}

function stuck(problem: string): never {
  throw new InvariantViolation(problem)
}
