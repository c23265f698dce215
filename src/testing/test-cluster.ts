import { Configuration } from '../raft/configuration.js'
import type { Status } from '../raft/errors.js'
import type { ReadMode } from '../raft/messages.js'
import type { Node } from '../raft/node.js'
import type { StateMachine } from '../raft/raft.js'
import type { SnapshotMeta } from '../raft/storage.js'
import type { LogIndex } from '../raft/types.js'
import { GroupMember } from './group-member.js'
import { type GroupOptions, SimGroup } from './sim-group.js'
import type { SimHost } from './sim-host.js'
import { SimWorld } from './sim-world.js'

/** How long something is waited for that must happen, in election timeouts, unless a test says otherwise. */
const PATIENCE = 20
/** So much of the trace is told with what did not come to pass. */
const TRACE_LINES = 20

/** What a test's cluster is made of. Everything but the machine has a default. */
export interface TestClusterOptions<M extends StateMachine> extends Omit<GroupOptions, 'seed'> {
  /** Called for every start of every process: a machine lives as long as that does. */
  readonly createMachine: () => M
  /** Of all chance there is; another seed is another run. Default 1. */
  readonly seed?: number
}

/** A task that was proposed. */
export interface ProposedTask {
  /** What its closure was run with; null as long as it was not. A process that ends runs none. */
  status: Status | null
}

/**
 * A cluster in memory for the tests of a state machine: real nodes with real storage code on simulated disks, joined by a simulated
 * network, in virtual time. Nothing happens but inside the calls of a test, and the same seed always gives the same run.
 *
 *     const cluster = new TestCluster({ size: 3, createMachine: () => new Counter() }).start()
 *     const leader = cluster.awaitLeader()
 *     cluster.apply(encode(40))
 *     cluster.kill(leader)
 *     cluster.apply(encode(2))
 *     assert.is(cluster.read(cluster.awaitLeader(), (counter) => counter.value), 42n)
 *
 * What waits throws when it waited in vain, and tells how every member stands and what happened last.
 */
export class TestCluster<M extends StateMachine> extends SimGroup<GroupMember<M>> {
  private readonly createMachine: () => M

  constructor(options: TestClusterOptions<M>) {
    const group = { seed: 1, ...options }
    super(group, new SimWorld({ ...group, hosts: options.size + (options.joiners ?? 0) }))
    this.createMachine = options.createMachine
  }

  protected override createMember(host: SimHost): GroupMember<M> {
    return new GroupMember<M>(this.scheduler, host, { ...this.memberOptions(host), createMachine: () => this.createMachine() })
  }

  /** Starts that member; or all, and waits until the founders follow a leader of theirs (`startAll` waits for nothing). */
  override start(member?: GroupMember<M>): this {
    if (member) {
      super.start(member)
      return this
    }
    this.startAll()
    return this.await('all founders follow a leader', () => this.isConverged(this.founders))
  }

  /** A member by its name: `n1`, `n2`… */
  member(name: string): GroupMember<M> {
    const member = this.find(name)
    if (!member) throw this.failure(`no member is called ${name}`)
    return member
  }

  /** The members that run and do not lead. */
  get followers(): GroupMember<M>[] {
    const leader = this.leader()
    return this.up.filter((member) => member !== leader)
  }

  // ---- waiting ----

  /** Lets virtual time pass until `condition` holds, at most `withinMs`; default 20 election timeouts. */
  await(what: string, condition: () => boolean, withinMs = PATIENCE * this.electionTimeoutMs): this {
    if (!this.runUntil(condition, withinMs)) throw this.failure(`${what}: not within ${withinMs} ms`)
    return this
  }

  /** Waits for a leader that has committed and applied an entry of its term, which others than `not` may be. */
  awaitLeader(options: { not?: GroupMember<M>; withinMs?: number } = {}): GroupMember<M> {
    let leader: GroupMember<M> | null = null
    this.await(
      'a leader is ready',
      () => {
        leader = this.readyLeader()
        return leader !== null && leader !== options.not
      },
      options.withinMs,
    )
    return leader!
  }

  /** Waits until these members, or all, have applied the entry at `index`. */
  awaitApplied(index: LogIndex, members: readonly GroupMember<M>[] = this.members, withinMs?: number): this {
    return this.await(
      `entry ${index} is applied`,
      () => members.every((member) => member.isUp && member.node!.progress().appliedIndex >= index),
      withinMs,
    )
  }

  /** Waits until every member runs, follows one leader and has applied all of its log. */
  awaitConverged(withinMs?: number): this {
    return this.await('all members agree', () => this.isConverged(), withinMs)
  }

  /** Waits until all members agree, and holds the states of those with data against each other: `look` must answer the same text for each. */
  expectSameState(look: (machine: M) => string): this {
    this.awaitConverged()
    const [first, ...rest] = this.members.filter(({ peerId }) => !peerId.isWitness)
    for (const other of rest) {
      const [its, expected] = [look(other.machine!), look(first!.machine!)]
      if (its !== expected) throw this.failure(`${other.name} and ${first!.name} applied the same log and differ: ${its}, ${expected}`)
    }
    return this
  }

  // ---- what is asked of members ----

  /** Proposes a task and does not wait for it. */
  propose(data: Uint8Array, through: GroupMember<M> = this.awaitLeader()): ProposedTask {
    const task: ProposedTask = { status: null }
    const done = through.owed((status) => {
      task.status = status
    })
    through.run('test:apply', (node) => node.apply({ data, done }))
    return task
  }

  /** Proposes a task and waits until its closure was run; throws unless with OK. */
  apply(data: Uint8Array, through?: GroupMember<M>): this {
    const task = this.propose(data, through)
    this.await('a task is answered', () => task.status !== null)
    if (!task.status!.ok) throw this.failure(`a task was answered ${task.status}`)
    return this
  }

  /** Asks a node for something and waits for the answer. */
  ask<T>(
    member: GroupMember<M>,
    what: string,
    question: (node: Node, done: (status: Status, value?: T) => void) => void,
  ): { status: Status; value: T | undefined } {
    let answer: { status: Status; value: T | undefined } | null = null
    member.run(`test:${what}`, (node) =>
      question(node, (status, value) => {
        answer = { status, value }
      }),
    )
    this.await(`${member.name} answers ${what}`, () => answer !== null)
    return answer!
  }

  /** Reads the machine of a member as a linearizable read does: what was acknowledged before the call is there. */
  read<T>(member: GroupMember<M>, look: (machine: M) => T, mode?: ReadMode): T {
    let value: T | undefined
    const timeoutMs = PATIENCE * this.electionTimeoutMs
    const { status } = this.ask<void>(member, 'read', (node, done) => {
      const { machine } = member
      node.readIndex(
        timeoutMs,
        (read) => {
          if (read.ok) value = look(machine!)
          done(read)
        },
        mode,
      )
    })
    if (!status.ok) throw this.failure(`a read was answered ${status}`)
    return value as T
  }

  /** Takes a snapshot there; answers the index up to which it goes. */
  snapshot(member: GroupMember<M>): LogIndex {
    const { status, value } = this.ask<SnapshotMeta>(member, 'snapshot', (node, done) => node.snapshot(done))
    if (!status.ok) throw this.failure(`a snapshot was answered ${status}`)
    return value!.lastIncluded.index
  }

  /** Hands leadership over and waits until `target` leads. */
  transfer(target: GroupMember<M>): this {
    const { status } = this.ask<void>(this.awaitLeader(), 'transfer', (node, done) => node.transferLeadershipTo(target.peerId, done))
    if (!status.ok) throw this.failure(`a transfer to ${target.name} was answered ${status}`)
    return this.await(`${target.name} leads`, () => this.readyLeader() === target)
  }

  /** Makes these the members and waits until that is committed. */
  change(...members: readonly GroupMember<M>[]): this {
    const conf = new Configuration(members.map((member) => member.peerId))
    const catchupTimeoutMs = PATIENCE * this.electionTimeoutMs
    const { status } = this.ask<void>(this.awaitLeader(), 'change', (node, done) => node.changePeers(conf, { catchupTimeoutMs }, done))
    if (!status.ok) throw this.failure(`a change of the members was answered ${status}`)
    return this
  }

  protected override failure(problem: string): Error {
    return new Error(`${problem}; ${this.describe()}\n  ${this.scheduler.tail(TRACE_LINES).join('\n  ')}`)
  }
}
