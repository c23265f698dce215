import { ErrorCode, type Status } from '../../src/raft/errors.js'
import { Administrator } from './administrator.js'
import { InvariantViolation, SimCluster } from './cluster.js'
import { FaultInjector } from './fault-injector.js'
import { encodePut, KvMachine } from './kv-machine.js'
import type { SimMember } from './member.js'
import { RegisterMachine } from './register-machine.js'
import type { SimRandom } from './sim-random.js'
import { planOf, type SwarmPlan } from './swarm-plan.js'

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

/**
 * One seed: a safety phase in which anything may be down, and a liveness phase in which the faults stop and the cluster
 * must come to rest: one leader, equal logs and machines, a fresh write and fresh reads, every closure answered.
 */
export class Swarm {
  readonly cluster: SimCluster
  private readonly plan: SwarmPlan
  private readonly faults: FaultInjector
  private readonly administrator: Administrator
  private readonly clients: SimRandom
  private clientsActive = true
  private sequence = 0

  constructor(seed: number, onTrace: ((line: string) => void) | null = null) {
    const { cluster, ...plan } = planOf(seed)
    this.plan = plan
    const { keyValue, snapshotBytes } = plan
    this.cluster = new SimCluster({
      ...cluster,
      createMachine: (listener, executor) =>
        keyValue ? new KvMachine(listener, executor, snapshotBytes) : new RegisterMachine(listener, snapshotBytes),
    })
    this.cluster.scheduler.onTrace = onTrace
    this.faults = new FaultInjector(this.cluster, plan, this.cluster.random.fork('faults'))
    this.administrator = new Administrator(this.cluster, plan, this.cluster.random.fork('administrator'))
    this.clients = this.cluster.random.fork('clients')
    this.cluster.onStarted = (member, status) => this.onStarted(member, status)
    this.cluster.onEvent = (member, event) => {
      if (event.name === 'node.error') this.onNodeError(member, event.status)
      else if (event.name === 'node.removed') this.administrator.onRemoved(member)
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
      transfers: counts.transfers,
      stalls: counts.stalls,
      diskErrors: counts.diskErrors,
      failedNodes: counts.failedNodes,
      snapshots: counts.snapshots,
      installs: counts.installs,
      wipes: counts.wipes,
      rebuilt: counts.rebuilt,
      ...invariants.committed.changes(),
      removed: counts.removed,
      messages: network.messages.sent,
      lost: network.messages.lost,
      duplicated: network.messages.duplicated,
      violations: violation ? 1 : 0,
    }
  }

  // ---- safety phase ----

  private safety(): void {
    const { cluster, plan } = this
    for (const member of cluster.founders) cluster.start(member)
    this.scheduleClients()
    if (!plan.hostileStart) {
      if (!cluster.runUntil(() => cluster.leader() !== null, 40 * cluster.electionTimeoutMs + 20_000))
        this.stuck('no leader in a fresh cluster without faults')
    }
    this.faults.start()
    this.administrator.start()
    cluster.run(plan.safetyMs)
    this.faults.stop()
    this.administrator.stop()
  }

  // ---- what happens around the nodes ----

  private onStarted(member: SimMember, status: Status): void {
    if (status.ok || status.code === ErrorCode.ESHUTDOWN) return
    if (status.code === ErrorCode.EREBUILD || (status.code === ErrorCode.ECORRUPT && !member.diskFaulted)) {
      this.stuck(`${member.name} does not start: ${status}`)
    }
    if (!this.mayFail(member, status)) this.stuck(`${member.name} does not start, and its disk is fine: ${status}`)
    this.faults.supervise(member)
  }

  private onNodeError(member: SimMember, status: Status): void {
    this.cluster.counts.failedNodes++
    if (!this.mayFail(member, status)) this.stuck(`${member.name} stopped by itself, and its disk is fine: ${status}`)
    this.faults.supervise(member)
  }

  private mayFail(member: SimMember, status: Status): boolean {
    return (member.diskFaulted || member.diskFails) && status.code !== ErrorCode.ECORRUPT
  }

  private stuck(problem: string): never {
    throw new InvariantViolation(problem)
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
    for (let i = 0; i < burst; i++) cluster.write(target, clients.below(plan.keys), { payload: this.payload() })
  }

  /** With the key-value machine a put, a third of them a repetition of one before. */
  private payload(): number | Buffer {
    const { clients, plan } = this
    if (!plan.keyValue) return clients.integer(0, Math.floor(plan.paddingMax))
    if (!clients.chance(0.3)) this.sequence++
    const sequence = Math.max(1, this.sequence - clients.below(4))
    return encodePut({ clientId: 'client', sequence, key: `k${sequence % plan.keys}`, value: `${sequence}` })
  }

  private clientRead(): void {
    const { cluster, clients, plan } = this
    const target = this.drawTarget(0.5)
    if (target) cluster.read(target, clients.below(plan.keys), plan.electionTimeoutMs * 2)
  }

  private drawTarget(preferLeader: number): SimMember | null {
    const { cluster, clients } = this
    const up = cluster.up.filter((m) => m.process !== this.faults.stopping)
    const leaders = up.filter((m) => m.node!.isLeader())
    if (leaders.length > 0 && clients.chance(preferLeader)) return clients.pick(leaders)
    return up.length > 0 ? clients.pick(up) : null
  }

  // ---- liveness phase ----

  private liveness(): void {
    const { cluster, plan } = this
    this.clientsActive = false
    cluster.heal()
    Object.assign(cluster.network.profile, { lossRate: 0, resetRate: 0, corruptRate: 0 })
    for (const member of cluster.members) {
      this.faults.mendDisk(member)
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
    if (!cluster.runUntil(() => this.converged(), bound))
      this.stuck(`not converged ${bound} ms after the faults stopped: ${this.describe()}`)
    this.freshOperations(bound)
    if (!cluster.runUntil(() => this.converged() && this.machinesAgree(), bound)) this.stuck(`machines differ: ${this.describe()}`)
    this.undisturbed()
    for (const member of cluster.members) if (member.openClosures !== 0) this.stuck(`${member.name} owes ${member.openClosures} answers`)
  }

  /** Whoever is no member any more and still runs leaves those in peace who are. */
  private undisturbed(): void {
    const { cluster, plan } = this
    const leader = cluster.leader()!
    const { term } = leader.node!.status()
    cluster.run(plan.electionTimeoutMs * 4)
    if (cluster.leader() !== leader || leader.node!.status().term !== term) this.stuck(`${leader.name} was disturbed: ${this.describe()}`)
  }

  private freshOperations(bound: number): void {
    const { cluster } = this
    const leader = cluster.leader()!
    const write = cluster.write(leader, 0, { payload: 0 })
    if (!cluster.runUntil(() => write.outcome !== 'pending', bound) || write.outcome !== 'acked')
      this.stuck(`a fresh write is ${write.outcome}: ${this.describe()}`)
    let answered = 0
    const { voters } = this
    for (const member of voters) {
      cluster.read(member, 0, bound, (value, status) => {
        if (value !== write.serial) this.stuck(`a fresh read of ${member.name} answers ${value} (${status}), not ${write.serial}`)
        answered++
      })
    }
    if (!cluster.runUntil(() => answered === voters.length, bound)) this.stuck(`fresh reads are not answered: ${this.describe()}`)
  }

  /** The members that the last committed configuration has. */
  private get voters(): SimMember[] {
    return this.cluster.invariants.committed.configuration.voters.map((peer) => this.cluster.memberOf(peer))
  }

  private converged(): boolean {
    const { cluster } = this
    const leader = cluster.leader()
    if (!leader) return false
    const { lastId, committedIndex, term, membership, configuration } = leader.node!.status()
    if (committedIndex !== lastId.index || lastId.term !== term || membership.stage !== 'none' || !configuration.isStable) return false
    return this.voters.every((member) => {
      if (!member.isUp || member.failed || !member.image.isMember) return false
      const status = member.node!.status()
      return (
        status.term === term &&
        status.lastId.index === lastId.index &&
        status.lastId.term === lastId.term &&
        status.appliedIndex === lastId.index &&
        status.configuration.conf.equals(configuration.conf)
      )
    })
  }

  /** They are what the committed writes make, and equal each other in what these do not show. */
  private machinesAgree(): boolean {
    const { history, invariants } = this.cluster
    const [first, ...rest] = this.voters
    if (history.differenceAt(invariants.committed.last, first!.machine!)) return false
    return rest.every((member) => member.machine!.stateHash() === first!.machine!.stateHash())
  }

  private describe(): string {
    return this.cluster.members
      .map((member) => {
        if (!member.isUp) return `${member.name} down`
        const { state, term, lastId, committedIndex, appliedIndex, standing, configuration, membership } = member.node!.status()
        return `${member.name} ${state} term ${term} last ${lastId.index}/${lastId.term} committed ${committedIndex} applied ${appliedIndex} ${standing} of {${configuration.conf}}{${configuration.old}} ${membership.stage}${member.failed ? ` ${member.failed}` : ''}`
      })
      .join('; ')
  }
}
