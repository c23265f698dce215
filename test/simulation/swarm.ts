import { ErrorCode, type Status } from '../../src/raft/errors.js'
import { Administrator } from './administrator.js'
import type { PointCount } from './armed-points.js'
import { AtRest } from './at-rest.js'
import { Clients } from './clients.js'
import { type ClusterOptions, InvariantViolation, SimCluster } from './cluster.js'
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
import { GROUP } from './storages.js'
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

/** One group of a run, and whoever works on it. */
interface GroupOfRun {
  readonly cluster: SimCluster
  readonly administrator: Administrator
  readonly clients: Clients
  readonly rest: AtRest
}

/**
 * One run: a safety phase in which anything may be down, and a liveness phase in which the faults stop and every group
 * must come to rest: one leader, equal logs and machines, a fresh write and fresh reads, every closure answered.
 *
 * What happens to the cluster is drawn from a seed, or is what a script says. Both are done by the same hands and
 * recorded: the script of a run does the same again.
 */
export class Swarm {
  /** The first group, through which everything happens to the machines that all share. */
  readonly cluster: SimCluster
  /** What was done so far. */
  readonly decisions: Decision[] = []
  private readonly damage: DamageInjector
  private readonly faults: FaultInjector
  private readonly groups: ReadonlyMap<string, GroupOfRun>
  private readonly deciders: Deciders
  /** How often each kind of decision could be done. */
  private readonly performed = Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<Kind, number>

  private phase: Phase = 'safety'

  private constructor(
    readonly world: World,
    decidersOf: (clusters: readonly SimCluster[]) => Deciders,
  ) {
    this.cluster = new SimCluster(optionsOf(world))
    const clusters = [this.cluster]
    for (let n = 2; n <= (world.groups ?? 1); n++) clusters.push(new SimCluster(optionsOf(world), this.cluster.world, `group-${n}`))
    const budgets = clusters.map((cluster) => new FaultBudget(cluster))
    this.damage = new DamageInjector(this.cluster, this.cluster.random.fork('damage'), budgets[0]!)
    this.faults = new FaultInjector(this.cluster, this.cluster.random.fork('supervisor'), this.damage)
    this.groups = new Map(clusters.map((cluster, i) => [cluster.groupId, this.join(cluster, budgets[i]!)]))
    this.deciders = decidersOf(clusters)
  }

  private join(cluster: SimCluster, budget: FaultBudget): GroupOfRun {
    const administrator = new Administrator(cluster, this.world, budget)
    cluster.onStarted = (member, status) => this.onStarted(member, status)
    cluster.onEvent = (member, event) => {
      if (event.name === 'node.error') this.onNodeError(member, event.status)
      else if (event.name === 'node.removed') administrator.onRemoved(member)
    }
    return { cluster, administrator, clients: new Clients(cluster, this.world), rest: new AtRest(cluster) }
  }

  /** The run that this seed draws. */
  static ofSeed(seed: number): Swarm {
    const plan = planOf(seed)
    return new Swarm(plan.world, (clusters) => drawnDeciders(clusters, plan))
  }

  /** The run that this script tells. */
  static ofScript(script: Script): Swarm {
    return new Swarm(script.world, ([cluster]) => ({ fromStart: [new ScriptedDecider(cluster!, script.decisions)], onceFounded: [] }))
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
        for (const { clients, cluster } of this.groups.values()) {
          clients.conclude()
          cluster.judge()
        }
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
    const { network, points } = this.cluster
    return {
      ...summed([...this.groups.values()].map(({ cluster }) => countersOf(cluster))),
      groups: this.groups.size,
      points: points.hits,
      strikes: points.strikes,
      ...this.performed,
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
      // Not all at once: where a third of the messages is lost none leads for long.
      const awaited = new Set(this.groups.values())
      const founded = () => {
        for (const group of awaited) if (group.cluster.leader() !== null) awaited.delete(group)
        return awaited.size === 0
      }
      if (!cluster.runUntil(founded, 40 * cluster.electionTimeoutMs + 20_000)) this.stuck('no leader in a fresh cluster without faults')
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
    const group = this.groups.get(decision.group ?? GROUP)
    if (!group) return false
    switch (decision.kind) {
      case 'write':
      case 'read':
        return group.clients.perform(decision)
      case 'transfer':
      case 'vote':
      case 'snapshot':
      case 'wipe':
      case 'change':
        return group.administrator.perform(decision)
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
      member.process?.slowDown(0)
      this.faults.endShortage(member)
      this.faults.makeWritable(member)
    }
    // Restarts already planned happen; nobody is left behind.
    cluster.run(electionTimeoutMs * 2)
    for (const member of cluster.members) {
      cluster.resume(member)
      if (member.host.members.some(({ failed }) => failed !== null)) cluster.crash(member)
      cluster.start(member)
    }
    for (const { rest } of this.groups.values()) rest.await(electionTimeoutMs * 30 + 20_000)
  }
}

function optionsOf({ cluster, keyValue, snapshotBytes }: World): ClusterOptions {
  return {
    ...cluster,
    createMachine: (listener, executor) =>
      keyValue ? new KvMachine(listener, executor, snapshotBytes) : new RegisterMachine(listener, snapshotBytes),
  }
}

function countersOf({ history, invariants, counts, initialConf }: SimCluster): Counters {
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
    witnesses: initialConf.witnesses.length,
    witnessCommits: invariants.counts.witnessCommits,
    witnessLeaders: invariants.counts.witnessLeaders,
    commits: invariants.counts.commitsChecked,
    crashes: counts.crashes,
    shortLeaders: counts.shortLeaders,
    kills: counts.kills,
    torn: counts.torn,
    midSnapshot: counts.midSnapshot,
    midInstall: counts.midInstall,
    midJoint: counts.midJoint,
    names: counts.unsyncedNames,
    restarts: counts.restarts,
    failedNodes: counts.failedNodes,
    found: counts.found,
    replaced: counts.replaced,
    snapshots: counts.snapshots,
    installs: counts.installs,
    rebuilt: counts.rebuilt,
    ...invariants.committed.changes(),
    removed: counts.removed,
  }
}

function summed(all: readonly Counters[]): Counters {
  const totals: Counters = {}
  for (const counters of all) for (const [name, value] of Object.entries(counters)) totals[name] = (totals[name] ?? 0) + value
  return totals
}
