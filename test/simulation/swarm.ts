import { ErrorCode, type Status } from '../../src/raft/errors.js'
import { Administrator } from './administrator.js'
import type { PointCount } from './armed-points.js'
import { Clients } from './clients.js'
import { InvariantViolation, SimCluster } from './cluster.js'
import { DamageInjector } from './damage-injector.js'
import { ScriptedDecider } from './deciders.js'
import { type Decision, KINDS, type Kind } from './decisions.js'
import { type Deciders, drawnDeciders } from './drawn-deciders.js'
import { FaultBudget } from './fault-budget.js'
import { FaultInjector } from './fault-injector.js'
import { KvMachine } from './kv-machine.js'
import type { SimMember } from './member.js'
import { RegisterMachine } from './register-machine.js'
import type { Script } from './script.js'
import { planOf, type World } from './swarm-plan.js'

/** In the first anything may be down, in the second the cluster must come to rest. */
export type Phase = 'safety' | 'liveness'

export interface SwarmResult {
  readonly world: World
  /** How far it came. */
  readonly phase: Phase
  readonly hash: string
  readonly simMs: number
  readonly events: number
  readonly counters: Counters
  /** By name of the point: how often it was reached, and how often somebody was struck there. */
  readonly points: ReadonlyMap<string, PointCount>
  readonly violation: string | null
  readonly tail: readonly string[]
}

export type Counters = Record<string, number>

/**
 * One run: a safety phase in which anything may be down, and a liveness phase in which the faults stop and the cluster
 * must come to rest: one leader, equal logs and machines, a fresh write and fresh reads, every closure answered.
 *
 * What happens to the cluster is drawn from a seed, or is what a script says. Both are done by the same hands and
 * recorded: the script of a run does the same again.
 */
export class Swarm {
  readonly cluster: SimCluster
  /** What was done so far. */
  readonly decisions: Decision[] = []
  private readonly damage: DamageInjector
  private readonly faults: FaultInjector
  private readonly administrator: Administrator
  private readonly clients: Clients
  private readonly deciders: Deciders
  /** How often each kind of decision could be done. */
  private readonly performed = Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<Kind, number>

  private phase: Phase = 'safety'

  private constructor(
    readonly world: World,
    decidersOf: (cluster: SimCluster) => Deciders,
  ) {
    const { keyValue, snapshotBytes } = world
    this.cluster = new SimCluster({
      ...world.cluster,
      createMachine: (listener, executor) =>
        keyValue ? new KvMachine(listener, executor, snapshotBytes) : new RegisterMachine(listener, snapshotBytes),
    })
    const budget = new FaultBudget(this.cluster)
    this.damage = new DamageInjector(this.cluster, this.cluster.random.fork('damage'), budget)
    this.faults = new FaultInjector(this.cluster, this.cluster.random.fork('supervisor'), this.damage)
    this.administrator = new Administrator(this.cluster, world, budget)
    this.clients = new Clients(this.cluster, world)
    this.deciders = decidersOf(this.cluster)
    this.cluster.onStarted = (member, status) => this.onStarted(member, status)
    this.cluster.onEvent = (member, event) => {
      if (event.name === 'node.error') this.onNodeError(member, event.status)
      else if (event.name === 'node.removed') this.administrator.onRemoved(member)
    }
  }

  /** The run that this seed draws. */
  static ofSeed(seed: number): Swarm {
    const plan = planOf(seed)
    return new Swarm(plan.world, (cluster) => drawnDeciders(cluster, plan))
  }

  /** The run that this script tells. */
  static ofScript(script: Script): Swarm {
    return new Swarm(script.world, (cluster) => ({ fromStart: [new ScriptedDecider(cluster, script.decisions)], onceFounded: [] }))
  }

  /** Does what the run did so far once more. */
  get script(): Script {
    return { world: this.world, decisions: this.decisions }
  }

  /** Up to the end of that phase. */
  run(upTo: Phase = 'liveness'): SwarmResult {
    let violation: string | null = null
    try {
      this.safety()
      if (upTo === 'liveness') {
        this.phase = upTo
        this.liveness()
        this.clients.conclude()
        this.cluster.judge()
      }
    } catch (error) {
      violation = error instanceof InvariantViolation ? error.message : `${(error as Error).stack}`
    }
    const { scheduler } = this.cluster
    return {
      world: this.world,
      phase: this.phase,
      hash: scheduler.traceHash,
      simMs: scheduler.now,
      events: scheduler.executed,
      counters: this.counters(violation),
      points: this.cluster.points.counts,
      violation,
      tail: violation ? scheduler.tail(120) : [],
    }
  }

  private counters(violation: string | null): Counters {
    const { history, invariants, counts, network, points } = this.cluster
    const { writes, acked, unknown, refused, reads, readsDone, judged } = history.counts
    return {
      ops: writes + reads,
      acked,
      refused,
      unknown,
      reads: readsDone,
      judged,
      leaseReads: counts.leaseReads,
      elections: invariants.counts.elections,
      commits: invariants.counts.commitsChecked,
      crashes: counts.crashes,
      kills: counts.kills,
      torn: counts.torn,
      midSnapshot: counts.midSnapshot,
      midInstall: counts.midInstall,
      midJoint: counts.midJoint,
      points: points.hits,
      strikes: points.strikes,
      names: counts.unsyncedNames,
      restarts: counts.restarts,
      failedNodes: counts.failedNodes,
      ...this.performed,
      found: counts.found,
      replaced: counts.replaced,
      snapshots: counts.snapshots,
      installs: counts.installs,
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
    const { cluster, world, deciders } = this
    for (const member of cluster.founders) cluster.start(member)
    for (const decider of deciders.fromStart) decider.start((decisions) => this.take(decisions))
    if (!world.hostileStart) {
      if (!cluster.runUntil(() => cluster.leader() !== null, 40 * cluster.electionTimeoutMs + 20_000))
        this.stuck('no leader in a fresh cluster without faults')
    }
    for (const decider of deciders.onceFounded) decider.start((decisions) => this.take(decisions))
    cluster.run(world.safetyMs)
    for (const decider of [...deciders.fromStart, ...deciders.onceFounded]) decider.stop()
    this.damage.stop()
  }

  private take(decisions: readonly Decision[]): void {
    for (const decision of decisions) {
      this.decisions.push(decision)
      if (this.perform(decision)) this.performed[decision.kind]++
      else this.decisions.pop()
    }
  }

  private perform(decision: Decision): boolean {
    switch (decision.kind) {
      case 'write':
      case 'read':
        return this.clients.perform(decision)
      case 'transfer':
      case 'vote':
      case 'snapshot':
      case 'wipe':
      case 'change':
        return this.administrator.perform(decision)
      default:
        return this.faults.perform(decision)
    }
  }

  // ---- what happens around the nodes ----

  private onStarted(member: SimMember, status: Status): void {
    if (status.ok || status.code === ErrorCode.ESHUTDOWN) return
    if (status.code === ErrorCode.ECORRUPT && member.wasDamaged) return this.damage.onFound(member)
    if (status.code === ErrorCode.EREBUILD || (status.code === ErrorCode.ECORRUPT && !member.diskFaulted)) {
      this.stuck(`${member.name} does not start: ${status}`)
    }
    if (!this.mayFail(member, status)) this.stuck(`${member.name} does not start, and its disk is fine: ${status}`)
    this.faults.supervise(member)
  }

  private onNodeError(member: SimMember, status: Status): void {
    this.cluster.counts.failedNodes++
    if (status.code === ErrorCode.ECORRUPT && member.wasDamaged) return this.damage.onFound(member)
    if (!this.mayFail(member, status)) this.stuck(`${member.name} stopped by itself, and its disk is fine: ${status}`)
    this.faults.supervise(member)
  }

  private mayFail(member: SimMember, status: Status): boolean {
    return (member.diskFaulted || member.diskFails) && status.code !== ErrorCode.ECORRUPT
  }

  private stuck(problem: string): never {
    throw new InvariantViolation(problem)
  }

  // ---- liveness phase ----

  private liveness(): void {
    const { cluster } = this
    const { electionTimeoutMs } = cluster
    cluster.heal()
    cluster.points.disarm()
    Object.assign(cluster.network.profile, { lossRate: 0, resetRate: 0, corruptRate: 0 })
    for (const member of cluster.members) {
      this.faults.mendDisk(member)
      member.profile.stalledUntil = 0
      cluster.resume(member)
    }
    // Restarts already planned happen; nobody is left behind.
    cluster.run(electionTimeoutMs * 2)
    for (const member of cluster.members) {
      cluster.resume(member)
      if (member.failed) cluster.crash(member)
      cluster.start(member)
    }
    const bound = electionTimeoutMs * 30 + 20_000
    if (!cluster.runUntil(() => this.converged(), bound))
      this.stuck(`not converged ${bound} ms after the faults stopped: ${this.describe()}`)
    this.freshOperations(bound)
    if (!cluster.runUntil(() => this.converged() && this.machinesAgree(), bound)) this.stuck(`machines differ: ${this.describe()}`)
    this.undisturbed()
    for (const member of cluster.members) if (member.openClosures !== 0) this.stuck(`${member.name} owes ${member.openClosures} answers`)
  }

  /** Whoever is no member any more and still runs leaves those in peace who are. */
  private undisturbed(): void {
    const { cluster } = this
    const leader = cluster.leader()!
    const { term } = leader.node!.status()
    cluster.run(cluster.electionTimeoutMs * 4)
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
