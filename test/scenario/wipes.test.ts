import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Configuration } from '../../src/raft/configuration.js'
import type { Status } from '../../src/raft/errors.js'
import { SimRandom } from '../../src/testing/sim-random.js'
import { FaultBudget } from '../simulation/fault-budget.js'
import type { SimMember } from '../simulation/member.js'
import { Story, scenario } from './scenario.js'

/** Every seed loses three disks; each invariant is checked at each event on the way. */
const SEEDS = Number(process.env['SEEDS'] ?? 15)
const WIPES = 3

/**
 * Three members lose their disks, each as soon as those before count again (at five members two may be lost at a time),
 * while writes go on, messages are lost, links are cut, members lose power and leadership moves.
 */
class DisksLostInTurn {
  readonly story: Story
  private readonly random: SimRandom
  private readonly budget: FaultBudget
  private active = true

  constructor(size: number, seed: number) {
    this.random = new SimRandom(seed).fork('wipes')
    const { random } = this
    this.story = new Story({
      size,
      seed,
      maxSegmentBytes: random.pick([512, 4096]),
      snapshotIntervalMs: random.pick([0, 1000, 4000]),
      network: { delayMeanMs: random.pick([0.5, 5, 25]), lossRate: random.pick([0, 0.02, 0.1]) },
    })
    this.budget = new FaultBudget(this.story.cluster)
  }

  tell(): void {
    const { story, random } = this
    const { cluster, T } = story
    story.start()
    this.every(T / 100, () => this.write())
    this.every(T, () => this.disturb())
    for (let lost = 0; lost < WIPES; lost++) {
      cluster.run(random.pick([0, random.exponential(T)]))
      const victims = () => story.members.filter((member) => this.budget.allowsLoss(member))
      story.await('another disk may be lost', () => victims().length > 0, 100 * T)
      const victim = random.pick(victims())
      story.wipe(victim)
      this.later(random.exponential(T / 2), () => cluster.start(victim))
    }
    cluster.run(2 * T)
    this.end()
  }

  private end(): void {
    const { story } = this
    const { cluster } = story
    this.active = false
    cluster.heal()
    cluster.network.profile.lossRate = 0
    cluster.run(3 * story.T)
    story.restart(...story.members).awaitSettled(...story.members)
    story.awaitLeader()
    story.write(3)
    story.expectConverged()
    assert.is(cluster.counts.wipes, WIPES)
  }

  private write(): void {
    const { up } = this.story.cluster
    if (up.length > 0) this.story.cluster.write(this.random.pick(up), this.random.below(4))
  }

  private disturb(): void {
    const { story, random } = this
    const { cluster, T } = story
    const { up } = cluster
    if (up.length === 0) return
    const victim: SimMember = random.pick(up)
    const kind = random.below(4)
    if (kind === 0) {
      cluster.crash(victim, { poweredOn: random.chance(0.5) })
      this.later(random.exponential(T), () => cluster.start(victim))
    } else if (kind === 1) {
      cluster.cut(victim, random.pick(story.members))
      this.later(random.exponential(T), () => cluster.heal())
    } else if (kind === 2) cluster.isolate(victim)
    else victim.run('client:transfer', (node) => node.transferLeadershipTo(null, () => {}))
  }

  private later(ms: number, fn: () => void): void {
    this.story.cluster.scheduler.schedule(ms, null, 'later', fn)
  }

  private every(meanMs: number, fn: () => void): void {
    this.later(this.random.exponential(meanMs), () => {
      if (!this.active) return
      fn()
      this.every(meanMs, fn)
    })
  }
}

function loseDisksInTurn(size: number): void {
  for (let seed = 1; seed <= SEEDS; seed++) {
    try {
      new DisksLostInTurn(size, seed).tell()
    } catch (error) {
      ;(error as Error).message = `seed ${seed}: ${(error as Error).message}`
      throw error
    }
  }
}

scenario('E11 three of three members lose their disks in turn under faults, and nothing acknowledged is lost', { size: 3 }, () =>
  loseDisksInTurn(3),
)

scenario('E11 three of five members lose their disks in turn under faults, and nothing acknowledged is lost', { size: 5 }, () =>
  loseDisksInTurn(5),
)

scenario(
  'E11 a member that loses its disk a second time is settled by what was committed after that, not by the marker of the life before',
  { size: 3, killedBy: 'marker-of-another-life' },
  (story) => {
    const { cluster } = story
    const leader = story.start('n1').leader
    const lost = story.member('n3')
    story.write(5)
    story.wipe(lost).restart(lost).awaitSettled(lost)

    // Its word that it counts again never arrives, so that for its leader the work goes on.
    cluster.cutOneWay(lost, leader)
    story.write(5)
    story.await('it holds more than its marker', () => lost.image.log.lastIndex() >= leader.node!.status().lastId.index)
    story.wipe(lost)
    cluster.heal()
    story.restart(lost).awaitSettled(lost)

    story.expectLeader(leader)
    story.write(3)
    story.expectConverged()
  },
)

scenario(
  'E11 members that were removed and come back with empty disks elect nobody who missed their removal',
  { size: 5, killedBy: 'newcomer-settled-at-once' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3, n4, n5] = story.start('n1').members as [SimMember, SimMember, SimMember, SimMember, SimMember]
    story.write(3)
    cluster.isolate(n5)
    story.change(n1, n4, n5)
    story.write(3)
    story.snapshot(n1)
    story.snapshot(n1)
    story.wipe(n2, n3).restart(n2, n3)

    // They are added again, and nothing of the log reaches them; then only the one that is long out of date does.
    cluster.network.profile.corruptRate = 1
    const all = new Configuration(story.members.map((member) => member.peerId))
    let outcome: Status | null = null
    cluster.change(n1, all, { catchupTimeoutMs: 200 * story.T }, (status) => (outcome = status))
    story.wait(5 * story.T)
    cluster.heal()
    cluster.partition([n1, n4], [n2, n3, n5])
    story.wait(10 * story.T)
    story.expectLeader(n1)
    story.write(3)

    cluster.heal()
    cluster.network.profile.corruptRate = 0
    story.await('they are members again', () => outcome !== null, 200 * story.T)
    assert.ok(outcome!.ok, String(outcome))
    story.expectConverged()
  },
)

scenario(
  'E11 a member that comes back after its removal and hears nothing for a while does not take itself for removed again',
  { size: 3, killedBy: 'earlier-life-counts' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3] = story.start('n1').members as [SimMember, SimMember, SimMember]
    story.change(n1, n2)
    story.write(3)
    story.wipe(n3).restart(n3)
    const removed: string[] = []
    cluster.onEvent = (member, event) => event.name === 'node.removed' && removed.push(member.name)

    let outcome: Status | null = null
    const all = new Configuration([n1.peerId, n2.peerId, n3.peerId])
    cluster.change(n1, all, { catchupTimeoutMs: 200 * story.T }, (status) => (outcome = status))
    story.awaitSettled(n3)
    // It loses power and hears its leader once more, which hears nothing of it.
    cluster.cutOneWay(n3, n1)
    cluster.crash(n3)
    story.restart(n3).await('it knows what is committed', () => n3.node!.status().committedIndex > 0)
    cluster.isolate(n3)
    story.wait(5 * story.T)
    assert.equal(removed, [])

    cluster.heal()
    story.await('it is a member again', () => outcome !== null, 200 * story.T)
    assert.ok(outcome!.ok, String(outcome))
    story.expectConverged()
  },
)

test.run()
