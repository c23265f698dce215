import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { MembershipStage } from '../../src/raft/node-status.js'
import type { SimMember } from '../simulation/member.js'
import { change, changed, expectVoters, votersOf } from './changes.js'
import { type Story, scenario } from './scenario.js'

type Five = [SimMember, SimMember, SimMember, SimMember, SimMember]

scenario('three become five and three again, one and two at a time, while writes go on', { size: 3, joiners: 2 }, (story) => {
  story.start('n1').write(20)
  const [n1, n2, n3, n4, n5] = story.members as Five
  const ticker = writeOn(story)

  changed(story, [n1, n2, n3, n4])
  expectVoters(story, [n1, n2, n3, n4])
  changed(story, [n1, n2, n3, n4, n5])
  changed(story, [n1, n2, n3])
  changed(story, [n1, n4, n5])
  expectVoters(story, [n1, n4, n5])

  assert.equal(ticker.stop(), [], 'no write failed')
  story.await('all is acknowledged', () => ticker.records.every((record) => record.outcome === 'acked'))
})

scenario('E02 a second change while one is under way is refused', { size: 3, joiners: 2 }, (story) => {
  story.start('n1').write(3)
  const [n1, n2, n3, n4, n5] = story.members as Five

  story.cluster.kill(n4)
  const first = change(story, [n1, n2, n3, n4], n1, { catchupTimeoutMs: 10 * story.T })
  const second = change(story, [n1, n2, n3, n5], n1)
  story.wait(1)
  assert.equal([first.outcome, second.outcome], ['pending', 'EBUSY'])

  story.restart(n4)
  story.await('the first is done', () => first.outcome === 'OK')
  changed(story, [n1, n2, n3, n4, n5])
  story.expectConverged()
})

scenario('E08 a member that never answers is given up: the members stay, and nothing is left of it', { size: 3, joiners: 1 }, (story) => {
  story.start('n1').write(3)
  const [n1, n2, n3, n4] = story.members as Five
  story.cluster.kill(n4)

  const record = change(story, [n1, n2, n3, n4], n1, { catchupTimeoutMs: 3 * story.T })
  story.await('it is under way', () => n1.node!.status().membership.stage === 'catching_up')
  assert.is(n1.node!.status().peers.length, 3, 'progress shows who is to be added')
  story.await('it is given up', () => record.outcome !== 'pending', 4 * story.T)

  assert.is(record.outcome, 'ECATCHUP')
  assert.match(record.status.message, /^Peer 10\.0\.0\.4:7000:0:0 failed to catch up within \d+ ms: it never answered/)
  assert.equal([votersOf(story, n1), n1.node!.status().membership.stage, n1.node!.status().peers.length], ['n1,n2,n3', 'none', 2])
  story.write(3)
  story.restart(n4)
  changed(story, [n1, n2, n3, n4])
  story.expectConverged()
})

scenario(
  'E01 a leader changes no members before it has committed an entry of its own term',
  { size: 4, joiners: 1, killedBy: 'change-before-own-term' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(3)
    const [n1, n2, n3, n4, n5] = story.members as Five
    const old = [n2, n3, n4]

    // n1 appends the configuration with n5, and nobody but n5 hears of it.
    onStage(story, n1, 'stable', () => cluster.partition([n1, n5], old))
    change(story, [n1, n2, n3, n4, n5])
    story.await('n1 uses it', () => votersOf(story, n1) === 'n1,n2,n3,n4,n5')
    // Whoever is elected beside it keeps one other member and tries at once to go on without n1.
    let records: ReturnType<typeof change>[] = []
    let pair: SimMember[] = []
    cluster.onEvent = (member, event) => {
      if (event.name !== 'election.won' || pair.length > 0) return
      pair = [member, old.find((other) => other !== member)!]
      cluster.partition(
        pair,
        old.filter((other) => !pair.includes(other)),
      )
      records = [change(story, old, member)]
    }
    story.await('it is answered', () => records.length > 0 && records[0]!.outcome !== 'pending')
    assert.is(records[0]!.outcome, 'EBUSY')
    const left = old.filter((other) => !pair.includes(other))
    cluster.heal()
    cluster.partition(pair, [n1, n5, ...left])
    story.wait(6 * story.T)

    cluster.heal()
    story.awaitLeader()
    changed(story, story.members)
    story.expectConverged()
  },
)

scenario(
  'E03 while joint the new members decide nothing without a quorum of the old ones',
  { size: 3, joiners: 2, killedBy: 'joint-needs-only-the-new-half' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(3)
    const [n1, n2, n3, n4, n5] = story.members as Five

    // Who was a member before is not kept waiting for a word of the old quorum.
    changed(story, story.members)
    changed(story, [n1, n2, n3])
    onStage(story, n1, 'catching_up', () => cluster.partition([n1, n4, n5], [n2, n3]))
    const record = change(story, [n1, n4, n5])
    story.await('n1 is joint', () => votersOf(story, n1) === 'n1,n4,n5|n1,n2,n3')
    const alone = story.propose(2, n1)
    story.await('the old quorum elects beside it', () => [n2, n3].some((member) => member.node!.isLeader()), 6 * story.T)
    story.write(2)
    story.wait(4 * story.T)

    for (const { outcome } of alone) assert.is.not(outcome, 'acked')
    assert.is(record.outcome, 'EOUTCOMEUNKNOWN')
    cluster.heal()
    story.awaitLeader()
    changed(story, story.members)
    story.expectConverged()
  },
)

scenario(
  'E03 while joint the old members elect nobody without a quorum of the new ones',
  { size: 3, joiners: 2, killedBy: 'joint-elects-with-one-half' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(3)
    const [n1, n2, n3, n4, n5] = story.members as Five

    keptJoint(story, n1)
    change(story, [n1, n4, n5])
    story.await('everybody is joint', () => [n2, n3, n4, n5].every((member) => votersOf(story, member) === 'n1,n4,n5|n1,n2,n3'))
    cluster.partition([n2, n3], [n4, n5])
    cluster.kill(n1)
    story.wait(10 * story.T)
    assert.is(cluster.leader(), null)

    cluster.heal()
    story.restart(n1)
    expectVoters(story, [n1, n4, n5])
    story.write(3)
  },
)

scenario('E04 a successor that finds a joint configuration finishes it', { size: 3, joiners: 2 }, (story) => {
  const { cluster } = story
  story.start('n1').write(3)
  const [n1, n2, n3, n4, n5] = story.members as Five

  keptJoint(story, n1)
  change(story, [n1, n2, n4, n5])
  story.await('n2 and n4 are joint', () => [n2, n4].every((member) => votersOf(story, member) === 'n1,n2,n4,n5|n1,n2,n3'))
  cluster.crash(n1)
  story.awaitLeader()

  expectVoters(story, [n2, n4, n5].includes(story.leader) ? [n1, n2, n4, n5] : [])
  assert.is(story.leader.node!.status().membership.stage, 'none')
  cluster.kill(n3)
  story.restart(n1).write(2)
})

scenario(
  'E05 a configuration that is cut off the log is in force no more',
  { size: 3, killedBy: 'truncated-configuration-kept' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(3)
    const [n1, n2, n3] = story.members as [SimMember, SimMember, SimMember]

    cluster.isolate(n1)
    change(story, [n1, n2], n1)
    story.await('n1 goes without n3', () => votersOf(story, n1) === 'n1,n2')
    story.await('the others go on', () => [n2, n3].some((member) => member.node!.isLeader()), 6 * story.T)
    story.write(3)
    cluster.heal()

    expectVoters(story, [n1, n2, n3])
    story.expectConverged()
    for (const member of story.members) assert.is(member.node!.status().configuration.configIndex, 1, 'nobody changed the members')
  },
)

scenario('E07 what was proposed before a removal commits with it, by the smaller quorum', { size: 4 }, (story) => {
  const { cluster } = story
  story.start('n1').write(3)
  const [n1, n2, n3, n4] = story.members as Five

  cluster.partition([n1, n2], [n3, n4])
  const waiting = story.propose(2, n1)
  story.wait(story.T / 4)
  story.expectOutcome(waiting, 'pending')
  const record = change(story, [n1, n2, n3], n1)
  story.await('the removal is done', () => record.outcome === 'OK', story.T / 2)
  story.expectOutcome(waiting, 'acked')

  cluster.heal()
  expectVoters(story, [n1, n2, n3])
})

scenario('E10 a configuration that nobody knows to be committed leaves the group alive', { size: 3, joiners: 1 }, (story) => {
  const { cluster } = story
  story.start('n1').write(3)
  const [n1, n2, n3, n4] = story.members as Five

  change(story, [n1, n2, n3, n4])
  story.await('the others use it', () => [n2, n3, n4].every((member) => votersOf(story, member) === 'n1,n2,n3,n4'))
  cluster.kill(n1)
  story.awaitLeader()
  story.write(2)
  story.restart(n1).expectConverged()
})

scenario('E12 a partition, three of five without power and a removal in quick succession lose nothing', { size: 5 }, (story) => {
  const { cluster } = story
  story.start('n1').write(10)
  const [n1, n2, n3, n4, n5] = story.members as Five

  story.propose(5)
  cluster.isolate(n5)
  for (const member of [n2, n3, n4]) cluster.crash(member)
  const record = change(story, [n1, n2, n3, n4], n1)
  story.propose(3, n1)
  story.await('n1 gives up', () => record.outcome !== 'pending')
  assert.is(record.outcome, 'EOUTCOMEUNKNOWN')
  for (const member of [n2, n3, n4]) story.restart(member).wait(story.T / 3)
  story.awaitLeader()
  cluster.heal()
  story.wait(story.T)

  if (!story.leader.node!.status().configuration.contains(n5.peerId)) changed(story, story.members)
  story.expectConverged()
})

scenario(
  'E13 the members, and when they last changed, outlive two compactions, a restart and an installation',
  { size: 3, joiners: 1, killedBy: 'config-index-not-kept' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(5)
    const [n1, n2, n3, n4] = story.members as Five
    changed(story, [n1, n2, n4])
    changed(story, [n1, n2, n3, n4])
    const { configIndex } = n1.node!.status().configuration

    for (let i = 0; i < 2; i++) {
      story.write(20)
      for (const member of story.members) story.snapshot(member)
    }
    assert.ok(n1.node!.status().firstIndex > configIndex, 'the entry that says so is gone')
    // The next leader repeats the members in an entry of its own.
    n1.run('story:transfer', (node) => node.transferLeadershipTo(n2.peerId, () => {}))
    story.await('n2 leads', () => cluster.leader() === n2).awaitLeader()
    story.wipe(n4)
    for (const member of [n1, n2, n3]) cluster.crash(member)
    story.restart(...story.members).awaitLeader()
    story.awaitSettled(n4).write(3)
    story.expectConverged()

    for (const member of story.members) {
      assert.is(votersOf(story, member), 'n1,n2,n3,n4', member.name)
      assert.is(member.node!.status().configuration.configIndex, configIndex, member.name)
    }
  },
)

scenario('a stale expectConfigIndex is refused, and an election makes none stale', { size: 3, joiners: 1 }, (story) => {
  const { cluster } = story
  story.start('n1').write(3)
  const [n1, n2, n3, n4] = story.members as Five
  const { configIndex } = story.leader.node!.status().configuration

  cluster.kill(n1)
  story.awaitLeader()
  story.restart(n1)
  for (const member of story.members.slice(0, 3)) cluster.crash(member)
  story.restart(...story.members).awaitLeader()
  assert.is(story.leader.node!.status().configuration.configIndex, configIndex, 'elections and restarts leave it')
  const done = change(story, [n1, n2, n3, n4], story.leader, { expectConfigIndex: configIndex, catchupTimeoutMs: 5 * story.T })
  story.await('it is done', () => done.outcome === 'OK')
  const stale = change(story, [n1, n2, n3], story.leader, { expectConfigIndex: configIndex })
  story.wait(1)
  assert.is(stale.outcome, 'ESTALE')
})

/** The others hear of the joint configuration, and the leader for a while of none that has it. */
function keptJoint(story: Story, leader: SimMember): void {
  onStage(story, leader, 'joint', () => {
    for (const other of story.members) if (other !== leader) story.cluster.clog(other, leader, story.T / 2)
  })
}

function onStage(story: Story, member: SimMember, stage: MembershipStage, then: () => void): void {
  story.cluster.onEvent = (where, event) => {
    if (where !== member || event.name !== 'configuration.stage' || event.stage !== stage) return
    story.cluster.onEvent = () => {}
    then()
  }
}

/** Writes one after the other until stopped; answers the outcomes that are no success. */
function writeOn(story: Story) {
  const { cluster } = story
  const records: ReturnType<Story['propose']> = []
  let active = true
  const next = () => {
    if (!active) return
    records.push(...story.propose(1))
    cluster.scheduler.schedule(2, null, 'story:writer', next)
  }
  next()
  return {
    records,
    stop: () => {
      active = false
      return records.map((record) => record.outcome).filter((outcome) => outcome !== 'acked' && outcome !== 'pending')
    },
  }
}

test.run()
