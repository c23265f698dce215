import { ErrorCode, type Status } from '../../src/raft/errors.js'
import { InvariantViolation, SimCluster } from './cluster.js'
import type { SimMember } from './member.js'
import type { SimProcess } from './sim-process.js'
import { SimRandom } from './sim-random.js'

/** What one seed decides before anything runs. */
export interface SwarmPlan {
  readonly seed: number
  readonly size: number
  readonly electionTimeoutMs: number
  /** Length of the phase in which things go wrong. */
  readonly safetyMs: number
  /** Between two faults, on average. */
  readonly faultEveryMs: number
  /** How often each kind of fault is drawn; 0 leaves it out. */
  readonly weights: Readonly<Record<FaultKind, number>>
  readonly writeEveryMs: number
  readonly readEveryMs: number
  readonly keys: number
  readonly paddingMax: number
  readonly burstChance: number
  /** Faults begin before the group is founded. */
  readonly hostileStart: boolean
  /** All processes are on a machine each; chance that a power loss takes all at once. */
  readonly allAtOnce: number
}

export type FaultKind = 'power' | 'kill' | 'pause' | 'isolate' | 'split' | 'oneWay' | 'bridge' | 'clog' | 'stall' | 'diskError' | 'full' | 'shutdown'

export const FAULT_KINDS: readonly FaultKind[] = ['power', 'kill', 'pause', 'isolate', 'split', 'oneWay', 'bridge', 'clog', 'stall', 'diskError', 'full', 'shutdown']

export interface SwarmResult {
  readonly seed: number
  readonly plan: SwarmPlan
  readonly hash: string
  readonly simMs: number
  readonly events: number
  readonly counters: Counters
  readonly violation: string | null
  readonly tail: readonly string[]
}

export type Counters = Record<string, number>

/** Draws a regime: sizes, latencies, rates and which faults take part differ from seed to seed (swarm testing). */
export function planOf(seed: number): SwarmPlan & { cluster: ConstructorParameters<typeof SimCluster>[0] } {
  const r = new SimRandom(seed).fork('plan')
  const size = r.pick([3, 3, 3, 3, 5, 5, 5, 1, 2, 4, 7])
  const electionTimeoutMs = r.pick([200, 500, 1000, 1000, 2000])
  const calm = r.chance(0.15)
  const weights = {} as Record<FaultKind, number>
  for (const kind of FAULT_KINDS) weights[kind] = !calm && r.chance(0.5) ? r.between(0.2, 1) : 0
  if (!calm) weights.power = r.between(0.3, 1)
  if (!r.chance(0.3)) weights.diskError = 0
  if (!r.chance(0.2)) weights.full = 0
  // A heartbeat must be able to pass: delays stay well below the election timeout.
  const delayMinMs = r.pick([0.1, 0.1, 1, electionTimeoutMs / 200])
  const delayMeanMs = delayMinMs + r.pick([0.2, 1, electionTimeoutMs / 100, electionTimeoutMs / 30])
  const syncMs = r.pick([0.15, 0.15, 1, 1, 5, electionTimeoutMs / 40])
  const cluster = {
    seed,
    size,
    electionTimeoutMs,
    network: {
      delayMinMs,
      delayMeanMs,
      lossRate: r.chance(0.4) ? r.between(0, 0.15) : 0,
      duplicateRate: r.chance(0.4) ? r.between(0, 0.5) : 0,
      resetRate: r.chance(0.3) ? r.between(0, 0.01) : 0,
    },
    disk: { operationMs: 0.02, syncMs },
    // A new segment costs three syncs: small ones on a slow disk would never catch up with the writers.
    maxSegmentBytes: syncMs > 1 ? 65536 : r.pick([512, 2048, 8192, 16384, 65536]),
    clockDrift: r.chance(0.5) ? 0.01 : 0,
    timerLatenessMs: r.pick([0, 0.5, 5]),
  }
  return {
    seed,
    size,
    electionTimeoutMs,
    safetyMs: electionTimeoutMs * r.between(8, 40),
    faultEveryMs: electionTimeoutMs * r.between(0.2, 3),
    weights,
    writeEveryMs: electionTimeoutMs / r.between(20, 200),
    readEveryMs: electionTimeoutMs / r.between(10, 100),
    keys: r.integer(1, 8),
    // One entry per segment and long restarts would test little and cost much.
    paddingMax: Math.min(r.pick([0, 32, 300, syncMs > 1 ? 300 : 3000]), cluster.maxSegmentBytes / 4),
    burstChance: r.pick([0, 0.05, 0.2]),
    hostileStart: r.chance(0.3),
    allAtOnce: r.pick([0, 0.1, 0.5]),
    cluster,
  }
}

/**
 * One seed: a safety phase in which anything may be down, and a liveness phase in which the faults stop and the cluster
 * must come to rest: one leader, equal logs and machines, a fresh write and fresh reads, every closure answered.
 */
export class Swarm {
  readonly cluster: SimCluster
  private readonly plan: SwarmPlan
  private readonly faults: SimRandom
  private readonly clients: SimRandom
  private hostile = false
  private clientsActive = true
  /** The process that was asked to stop last: clients leave it alone. */
  private stopping: SimProcess | null = null

  constructor(seed: number, onTrace: ((line: string) => void) | null = null) {
    const { cluster, ...plan } = planOf(seed)
    this.plan = plan
    this.cluster = new SimCluster(cluster)
    this.cluster.scheduler.onTrace = onTrace
    this.faults = this.cluster.random.fork('faults')
    this.clients = this.cluster.random.fork('clients')
    this.cluster.onStarted = (member, status) => this.onStarted(member, status)
    this.cluster.onEvent = (member, event) => {
      if (event.name === 'node.error') this.onNodeError(member, event.status)
    }
  }

  run(): SwarmResult {
    let violation: string | null = null
    try {
      this.safety()
      this.liveness()
    } catch (error) {
      violation = error instanceof InvariantViolation ? error.message : `${(error as Error).stack}`
    }
    const { scheduler } = this.cluster
    return {
      seed: this.plan.seed,
      plan: this.plan,
      hash: scheduler.traceHash,
      simMs: scheduler.now,
      events: scheduler.executed,
      counters: this.counters(violation),
      violation,
      tail: violation ? scheduler.tail(120) : [],
    }
  }

  private counters(violation: string | null): Counters {
    const { history, invariants, counts, network } = this.cluster
    const { writes, acked, unknown, refused, reads, readsDone } = history.counts
    return {
      ops: writes + reads,
      acked,
      refused,
      unknown,
      reads: readsDone,
      elections: invariants.counts.elections,
      commits: invariants.counts.commitsChecked,
      crashes: counts.crashes,
      kills: counts.kills,
      torn: counts.torn,
      names: counts.unsyncedNames,
      restarts: counts.restarts,
      pauses: counts.pauses,
      partitions: counts.partitions,
      clogs: counts.clogs,
      stalls: counts.stalls,
      diskErrors: counts.diskErrors,
      failedNodes: counts.failedNodes,
      messages: network.messages.sent,
      lost: network.messages.lost,
      duplicated: network.messages.duplicated,
      violations: violation ? 1 : 0,
    }
  }

  // ---- safety phase ----

  private safety(): void {
    const { cluster, plan } = this
    cluster.startAll()
    this.scheduleClients()
    if (!plan.hostileStart) {
      if (!cluster.runUntil(() => cluster.leader() !== null, 40 * cluster.electionTimeoutMs + 20_000)) this.stuck('no leader in a fresh cluster without faults')
    }
    this.hostile = true
    this.scheduleFault()
    cluster.run(plan.safetyMs)
    this.hostile = false
  }

  private scheduleFault(): void {
    const { scheduler } = this.cluster
    scheduler.schedule(this.faults.exponential(this.plan.faultEveryMs), null, 'fault', () => {
      if (!this.hostile) return
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

  private shutdown(member: SimMember): void {
    const { cluster, faults, plan } = this
    const { process } = member
    this.stopping = process
    member.run('client:shutdown', (node) => {
      node.shutdown(() => {
        // The process exits after what it still has to do in this turn.
        this.later(1, () => {
          if (member.process !== process) return
          if (member.openClosures !== 0) this.stuck(`${member.name} stopped and owes ${member.openClosures} answers`)
          this.endProcess(member)
        })
      })
    })
    this.later(faults.exponential(plan.electionTimeoutMs) + plan.electionTimeoutMs, () => cluster.start(member))
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

  private mendDisk(member: SimMember): void {
    member.profile.writeErrorRate = 0
    member.profile.syncErrorRate = 0
    member.disk.capacityBytes = Infinity
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
      cluster.partition(side, rest.filter((m) => !side.includes(m) && m !== bridge))
    } else {
      const outward = faults.chance(0.5)
      for (const other of faults.chance(0.5) ? others : others.slice(0, 1 + half)) {
        if (outward) cluster.cutOneWay(victim, other)
        else cluster.cutOneWay(other, victim)
      }
    }
    if (up.length > 0) this.later(faults.exponential(plan.electionTimeoutMs * 3), () => cluster.heal())
  }

  // ---- what happens around the nodes ----

  private onStarted(member: SimMember, status: Status): void {
    if (status.ok || status.code === ErrorCode.ESHUTDOWN) return
    if (status.code === ErrorCode.EREBUILD || (status.code === ErrorCode.ECORRUPT && !member.diskFaulted)) {
      this.stuck(`${member.name} does not start: ${status}`)
    }
    if (!this.mayFail(member, status)) this.stuck(`${member.name} does not start, and its disk is fine: ${status}`)
    this.supervise(member)
  }

  private onNodeError(member: SimMember, status: Status): void {
    this.cluster.counts.failedNodes++
    if (!this.mayFail(member, status)) this.stuck(`${member.name} stopped by itself, and its disk is fine: ${status}`)
    this.supervise(member)
  }

  private mayFail(member: SimMember, status: Status): boolean {
    const { profile, disk } = member
    const faulted = member.diskFaulted || profile.writeErrorRate > 0 || profile.syncErrorRate > 0 || disk.capacityBytes !== Infinity
    return faulted && status.code !== ErrorCode.ECORRUPT
  }

  /** Whoever runs the node restarts it some time after it gave up. */
  private supervise(member: SimMember): void {
    const { process } = member
    this.later(this.faults.exponential(this.plan.electionTimeoutMs), () => {
      if (member.process !== process) return
      // What a failed disk kept in its cache is gone: the operator's repair is a reboot.
      this.cluster.crash(member, { poweredOn: true })
      this.later(1, () => this.cluster.start(member))
    })
  }

  private stuck(problem: string): never {
    throw new InvariantViolation(problem)
  }

  private later(ms: number, fn: () => void): void {
    this.cluster.scheduler.schedule(ms, null, 'later', fn)
  }

  // ---- clients ----

  private scheduleClients(): void {
    this.everySoOften('client', this.plan.writeEveryMs, () => this.clientWrite())
    this.everySoOften('reader', this.plan.readEveryMs, () => this.clientRead())
  }

  private everySoOften(label: string, meanMs: number, fn: () => void): void {
    this.cluster.scheduler.schedule(this.clients.exponential(meanMs), null, label, () => {
      if (!this.clientsActive) return
      fn()
      this.everySoOften(label, meanMs, fn)
    })
  }

  private clientWrite(): void {
    const { cluster, clients, plan } = this
    const burst = clients.chance(plan.burstChance) ? clients.integer(2, 40) : 1
    const target = this.drawTarget(0.9)
    if (!target) return
    for (let i = 0; i < burst; i++) cluster.write(target, clients.below(plan.keys), { paddingBytes: clients.integer(0, Math.floor(plan.paddingMax)) })
  }

  private clientRead(): void {
    const { cluster, clients, plan } = this
    const target = this.drawTarget(0.5)
    if (target) cluster.read(target, clients.below(plan.keys), plan.electionTimeoutMs * 2)
  }

  private drawTarget(preferLeader: number): SimMember | null {
    const { cluster, clients } = this
    const up = cluster.up.filter((m) => m.process !== this.stopping)
    const leaders = up.filter((m) => m.node!.isLeader())
    if (leaders.length > 0 && clients.chance(preferLeader)) return clients.pick(leaders)
    return up.length > 0 ? clients.pick(up) : null
  }

  // ---- liveness phase ----

  private liveness(): void {
    const { cluster, plan } = this
    this.clientsActive = false
    cluster.heal()
    Object.assign(cluster.network.profile, { lossRate: 0, resetRate: 0 })
    for (const member of cluster.members) {
      this.mendDisk(member)
      member.profile.stalledUntil = 0
      cluster.resume(member)
    }
    // Restarts already planned happen; nobody is left behind.
    cluster.run(plan.electionTimeoutMs * 2)
    for (const member of cluster.members) {
      cluster.resume(member)
      if (member.failed) cluster.crash(member)
      cluster.start(member)
    }
    const bound = plan.electionTimeoutMs * 30 + 20_000
    if (!cluster.runUntil(() => this.converged(), bound)) this.stuck(`not converged ${bound} ms after the faults stopped: ${this.describe()}`)
    this.freshOperations(bound)
    if (!cluster.runUntil(() => this.converged() && this.machinesAgree(), bound)) this.stuck(`machines differ: ${this.describe()}`)
    for (const member of cluster.members) if (member.openClosures !== 0) this.stuck(`${member.name} owes ${member.openClosures} answers`)
  }

  private freshOperations(bound: number): void {
    const { cluster } = this
    const leader = cluster.leader()!
    const write = cluster.write(leader, 0)
    if (!cluster.runUntil(() => write.outcome !== 'pending', bound) || write.outcome !== 'acked') this.stuck(`a fresh write is ${write.outcome}: ${this.describe()}`)
    let answered = 0
    for (const member of cluster.members) {
      cluster.read(member, 0, bound, (value, status) => {
        if (value !== write.serial) this.stuck(`a fresh read of ${member.name} answers ${value} (${status}), not ${write.serial}`)
        answered++
      })
    }
    if (!cluster.runUntil(() => answered === cluster.members.length, bound)) this.stuck(`fresh reads are not answered: ${this.describe()}`)
  }

  private converged(): boolean {
    const { cluster } = this
    const leader = cluster.leader()
    if (!leader) return false
    const { lastId, committedIndex, term } = leader.node!.status()
    if (committedIndex !== lastId.index || lastId.term !== term) return false
    return cluster.members.every((member) => {
      if (!member.isUp || member.failed) return false
      const status = member.node!.status()
      return status.term === term && status.lastId.index === lastId.index && status.lastId.term === lastId.term && status.appliedIndex === lastId.index
    })
  }

  private machinesAgree(): boolean {
    const [first, ...rest] = this.cluster.members
    return rest.every((member) => member.machine!.digest === first!.machine!.digest)
  }

  private describe(): string {
    return this.cluster.members
      .map((member) => {
        if (!member.isUp) return `${member.name} down`
        const { state, term, lastId, committedIndex, appliedIndex } = member.node!.status()
        return `${member.name} ${state} term ${term} last ${lastId.index}/${lastId.term} committed ${committedIndex} applied ${appliedIndex}${member.failed ? ` ${member.failed}` : ''}`
      })
      .join('; ')
  }
}
