import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Configuration } from '../../src/raft/configuration.js'
import { Status } from '../../src/raft/errors.js'
import type { ReadMode } from '../../src/raft/messages.js'
import { type ClusterOptions, SimCluster } from '../simulation/cluster.js'
import type { WriteRecord } from '../simulation/history.js'
import type { SimMember } from '../simulation/member.js'

/** How long a story waits for something that must happen, in election timeouts. */
const PATIENCE = 20

/**
 * A simulated cluster as a story tells it: what happens, and what must then be so. Time is virtual and moves only when the
 * story waits. Every invariant is checked at every event on the way.
 */
export class Story {
  readonly cluster: SimCluster
  /** One election timeout. */
  readonly T: number

  constructor(options: Partial<ClusterOptions> & { size: number }) {
    this.cluster = new SimCluster({ seed: 1, ...options })
    this.T = this.cluster.electionTimeoutMs
  }

  member(name: string): SimMember {
    return this.cluster.members[Number(name.slice(1)) - 1]!
  }

  get members(): readonly SimMember[] {
    return this.cluster.members
  }

  get leader(): SimMember {
    const leader = this.cluster.leader()
    assert.ok(leader, 'no leader')
    return leader!
  }

  get followers(): SimMember[] {
    const { leader } = this
    return this.members.filter((member) => member !== leader && member.isUp)
  }

  // ---- what happens ----

  /** Starts every member and waits for a leader that is ready; with a name, that one is handed the leadership. */
  start(leader?: string): this {
    this.cluster.startAll()
    this.awaitLeader()
    this.await('all follow', () => this.members.every((member) => !this.isVoter(member) || !member.isUp || this.follows(member)))
    if (leader !== undefined && this.leader.name !== leader) {
      const target = this.member(leader)
      // A member that joined this moment may not have answered yet.
      for (let i = 0; i < PATIENCE && this.leader !== target; i++) {
        this.leader.run('story:transfer', (node) => node.transferLeadershipTo(target.peerId, () => {}))
        this.cluster.run(this.T)
        this.awaitLeader()
      }
      this.await(`${leader} leads`, () => this.cluster.readyLeader() === target)
    }
    return this
  }

  wait(ms: number): this {
    this.cluster.run(ms)
    return this
  }

  /** Waits until `condition` holds; fails when it does not come to hold. */
  await(what: string, condition: () => boolean, withinMs = PATIENCE * this.T): this {
    assert.ok(this.cluster.runUntil(condition, withinMs), `${what}: not within ${withinMs} ms; ${this.describe()}`)
    return this
  }

  /** A leader that has committed an entry of its term, and whom all that run and are reachable follow. */
  awaitLeader(withinMs = PATIENCE * this.T): SimMember {
    this.await('a leader is ready', () => this.cluster.readyLeader() !== null, withinMs)
    return this.leader
  }

  restart(...members: readonly SimMember[]): this {
    for (const member of members) this.cluster.start(member)
    return this
  }

  /** The disks of these members are lost; `restart` then has them rebuilt. */
  wipe(...members: readonly SimMember[]): this {
    for (const member of members) this.cluster.wipe(member)
    return this
  }

  /** Waits until the disks of these members say that they count again. */
  awaitSettled(...members: readonly SimMember[]): this {
    return this.await('they count again', () => members.every((member) => member.image.isMember))
  }

  /** Takes a snapshot there and waits for it; answers the index up to which it goes. */
  snapshot(member: SimMember): number {
    let outcome: Status | null = null
    this.cluster.snapshot(member, (status) => (outcome = status))
    this.await(`a snapshot of ${member.name}`, () => outcome !== null)
    assert.ok(outcome!.ok, String(outcome))
    return member.image.snapshotIndex
  }

  /** Makes these the members and waits until that is done. */
  change(...members: readonly SimMember[]): this {
    let outcome: Status | null = null
    const target = new Configuration(members.map((member) => member.peerId))
    this.cluster.change(this.leader, target, { catchupTimeoutMs: PATIENCE * this.T }, (status) => (outcome = status))
    this.await(`the members are ${members.map((member) => member.name)}`, () => outcome !== null, 2 * PATIENCE * this.T)
    assert.ok(outcome!.ok, String(outcome))
    return this
  }

  /** Proposes writes and does not wait for them. */
  propose(count: number, through: SimMember = this.leader, paddingBytes = 16): WriteRecord[] {
    return Array.from({ length: count }, (_, key) => this.cluster.write(through, key, { payload: paddingBytes }))
  }

  /** Proposes writes and waits until all are acknowledged. */
  write(count: number, through: SimMember = this.leader): WriteRecord[] {
    const records = this.propose(count, through)
    this.await('writes are acknowledged', () => records.every((record) => record.outcome === 'acked'))
    return records
  }

  /** What a linearizable read through `member` answers; null when it fails within an election timeout. */
  read(member: SimMember, key: number, mode?: ReadMode): { answered: boolean; value: number | null; status: Status } {
    const result = { answered: false, value: null as number | null, status: Status.OK }
    this.cluster.read(member, key, this.T, (value, status) => Object.assign(result, { answered: true, value, status }), mode)
    return result
  }

  // ---- what must be so ----

  expectLeader(member: SimMember): this {
    assert.is(this.cluster.leader()?.name, member.name, this.describe())
    return this
  }

  expectOutcome(records: readonly WriteRecord[], outcome: WriteRecord['outcome']): this {
    for (const record of records) assert.is(record.outcome, outcome, `write ${record.serial}`)
    return this
  }

  /** Everybody runs, follows one leader, and has applied the same log; every closure was run; acknowledged writes are there. */
  expectConverged(): this {
    this.await('all members agree', () => this.cluster.isConverged())
    const [first, ...rest] = this.members.filter(({ peerId }) => !peerId.isWitness)
    for (const other of rest)
      assert.is(other.machine!.stateHash(), first!.machine!.stateHash(), `${other.name} differs from ${first!.name}`)
    for (const member of this.members) assert.is(member.openClosures, 0, `${member.name} owes answers`)
    for (const record of this.cluster.history.writes.values()) {
      if (record.outcome === 'acked') assert.ok(this.cluster.history.committed.has(record.index), `write ${record.serial} is gone`)
    }
    return this
  }

  describe(): string {
    return this.cluster.describe()
  }

  private isVoter({ peerId }: SimMember): boolean {
    return this.leader.node!.status().configuration.contains(peerId)
  }

  private follows(member: SimMember): boolean {
    const { term, lastId, leaderId } = member.node!.status()
    const leader = this.cluster.leader()
    return leader !== null && leaderId.equals(leader.peerId) && lastId.index === leader.node!.status().lastId.index && term === lastId.term
  }
}

/** A promise, told as a story. `killedBy` names the mutant that turns it red. */
export function scenario(
  promise: string,
  options: Partial<ClusterOptions> & { size: number; killedBy?: string },
  tell: (story: Story) => void,
): void {
  test(promise, () => {
    const { killedBy: _, ...cluster } = options
    const story = new Story(cluster)
    try {
      tell(story)
    } catch (error) {
      const { scheduler } = story.cluster
      ;(error as Error).message += `\n  ${scheduler.tail(25).join('\n  ')}`
      throw error
    }
    assert.equal(story.cluster.violations, [])
  })
}
