import { InvariantViolation, type SimCluster } from './cluster.js'
import type { SimMember } from './member.js'
import type { SimProcess } from './sim-process.js'
import type { SimRandom } from './sim-random.js'
import { FAULT_KINDS, type FaultKind, type SwarmPlan } from './swarm-plan.js'

/**
 * Draws what goes wrong, when and to whom, from a seed's plan, and mends it again some time later. Swarm starts and stops it.
 */
export class FaultInjector {
  /** The process that was asked to stop last: clients leave it alone. */
  stopping: SimProcess | null = null
  private active = false

  constructor(
    private readonly cluster: SimCluster,
    private readonly plan: SwarmPlan,
    private readonly faults: SimRandom,
  ) {}

  start(): void {
    this.active = true
    this.scheduleFault()
  }

  /** Nothing new goes wrong; restarts and the like that were planned still happen. */
  stop(): void {
    this.active = false
  }

  /** Whoever runs the node restarts it some time after it gave up. */
  supervise(member: SimMember): void {
    const { process } = member
    this.later(this.faults.exponential(this.plan.electionTimeoutMs), () => {
      if (member.process !== process) return
      // What a failed disk kept in its cache is gone: the operator's repair is a reboot.
      this.cluster.crash(member, { poweredOn: true })
      this.later(1, () => this.cluster.start(member))
    })
  }

  mendDisk(member: SimMember): void {
    member.profile.writeErrorRate = 0
    member.profile.syncErrorRate = 0
    member.disk.capacityBytes = Infinity
  }

  private later(ms: number, fn: () => void): void {
    this.cluster.scheduler.schedule(ms, null, 'later', fn)
  }

  private scheduleFault(): void {
    const { scheduler } = this.cluster
    scheduler.schedule(this.faults.exponential(this.plan.faultEveryMs), null, 'fault', () => {
      if (!this.active) return
      this.inject(this.drawKind())
      this.scheduleFault()
    })
  }

  private drawKind(): FaultKind | null {
    const { weights } = this.plan
    let total = 0
    for (const kind of FAULT_KINDS) total += weights[kind]
    let at = this.faults.unit() * total
    for (const kind of FAULT_KINDS) {
      at -= weights[kind]
      if (at < 0 && weights[kind] > 0) return kind
    }
    return null
  }

  private inject(kind: FaultKind | null): void {
    if (!kind) return
    const { cluster, faults, plan } = this
    const { up } = cluster
    const t = plan.electionTimeoutMs
    const victim = this.drawVictim()
    if (kind === 'power') return this.powerLoss(victim)
    if (!victim) return
    switch (kind) {
      case 'kill':
        this.endProcess(victim)
        return this.later(faults.exponential(t), () => cluster.start(victim))
      case 'shutdown':
        return this.shutdown(victim)
      case 'transfer':
        return this.transfer()
      case 'pause':
        cluster.pause(victim)
        return this.later(faults.exponential(t * 2), () => cluster.resume(victim))
      case 'stall':
        return cluster.stallDisk(victim, faults.exponential(t))
      case 'clog':
        return cluster.clog(victim, faults.pick(cluster.members), faults.exponential(t))
      case 'diskError':
        return this.diskError(victim)
      case 'full':
        return this.fillDisk(victim)
      default:
        this.partition(kind, victim, up)
    }
  }

  /** Somebody, the leader more often than its share. */
  private drawVictim(): SimMember | null {
    const { cluster, faults } = this
    const { up } = cluster
    if (up.length === 0) return null
    const leader = cluster.leader()
    return leader && faults.chance(0.4) ? leader : faults.pick(up)
  }

  private powerLoss(victim: SimMember | null): void {
    const { cluster, faults, plan } = this
    const victims = faults.chance(plan.allAtOnce) ? cluster.members : victim ? [victim] : []
    const keep = faults.pick([0, 0.2, 0.5, 0.5, 0.8, 1])
    for (const member of victims) {
      cluster.crash(member, { keep, poweredOn: faults.chance(0.5) })
      this.later(faults.exponential(plan.electionTimeoutMs), () => cluster.start(member))
    }
  }

  private transfer(): void {
    const { cluster, faults } = this
    const leader = cluster.leader()
    if (!leader) return
    cluster.counts.transfers++
    const target = faults.chance(0.7) ? faults.pick(cluster.members).peerId : null
    leader.run('client:transfer', (node) => node.transferLeadershipTo(target, () => {}))
  }

  private shutdown(member: SimMember): void {
    const { cluster, faults, plan } = this
    const { process } = member
    this.stopping = process
    member.run('client:shutdown', (node) => {
      node.shutdown(() => {
        // The process exits after what it still has to do in this turn.
        this.later(1, () => {
          if (member.process !== process) return
          if (member.openClosures !== 0) throw new InvariantViolation(`${member.name} stopped and owes ${member.openClosures} answers`)
          this.endProcess(member)
          this.later(faults.exponential(plan.electionTimeoutMs), () => cluster.start(member))
        })
      })
    })
  }

  /** After a failed sync the cache shows what the disk lacks: only a reboot makes such a machine honest again. */
  private endProcess(member: SimMember): void {
    if (member.diskFaulted) this.cluster.crash(member)
    else this.cluster.kill(member)
  }

  private diskError(member: SimMember): void {
    const { cluster, faults, plan } = this
    cluster.scheduler.note('disk-errors', null, member.name)
    cluster.counts.diskErrors++
    member.diskFaulted = true
    const rates = { writeErrorRate: faults.pick([0, 0.05, 1]), syncErrorRate: faults.pick([0, 0.05, 1]) }
    Object.assign(member.profile, rates)
    this.later(faults.exponential(plan.electionTimeoutMs / 2), () => this.mendDisk(member))
  }

  private fillDisk(member: SimMember): void {
    const { cluster, faults, plan } = this
    cluster.scheduler.note('disk-full', null, member.name)
    cluster.counts.diskErrors++
    member.diskFaulted = true
    member.disk.capacityBytes = member.disk.usedBytes() + faults.integer(0, 1000)
    this.later(faults.exponential(plan.electionTimeoutMs), () => this.mendDisk(member))
  }

  private partition(kind: FaultKind, victim: SimMember, up: readonly SimMember[]): void {
    const { cluster, faults, plan } = this
    const others = faults.shuffle(cluster.members.filter((m) => m !== victim))
    if (others.length === 0) return
    const half = faults.integer(0, others.length - 1)
    if (kind === 'isolate') cluster.isolate(victim)
    else if (kind === 'split') cluster.partition([victim, ...others.slice(0, half)], others.slice(half))
    else if (kind === 'bridge' && others.length >= 2) {
      const [bridge, ...rest] = others
      const side = [victim, ...rest.slice(1 + faults.below(rest.length))]
      cluster.partition(
        side,
        rest.filter((m) => !side.includes(m) && m !== bridge),
      )
    } else {
      const outward = faults.chance(0.5)
      for (const other of faults.chance(0.5) ? others : others.slice(0, 1 + half)) {
        if (outward) cluster.cutOneWay(victim, other)
        else cluster.cutOneWay(other, victim)
      }
    }
    if (up.length > 0) this.later(faults.exponential(plan.electionTimeoutMs * 3), () => cluster.heal())
  }
}
