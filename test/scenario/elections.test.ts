import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SimCluster } from '../simulation/cluster.js'
import type { SimMember } from '../simulation/member.js'
import { Story, scenario } from './scenario.js'

scenario(
  'A01 power lost at any moment of an election leaves one vote per term and a group that elects',
  { size: 3, killedBy: 'ask-for-votes-before-durable' },
  (story) => {
    const { cluster } = story
    for (let cut = 0; cut < 40; cut++) {
      for (const member of story.members) cluster.crash(member, { poweredOn: true })
      cluster.startAll()
      cluster.run(5)
      for (let i = 0; i < cut * 9; i++) cluster.scheduler.step()
    }
    story.restart(...story.members).awaitLeader()
    story.write(3)
    story.expectConverged()
    assert.ok(cluster.invariants.counts.elections >= 1)
  },
)

/** Who comes to lead from here on, however shortly. */
function leadersFromNowOn(cluster: SimCluster): string[] {
  const led: string[] = []
  const before = cluster.onEvent
  cluster.onEvent = (member, event) => {
    if (event.name === 'state.changed' && event.to === 'LEADER') led.push(member.name)
    before(member, event)
  }
  return led
}

scenario(
  'A02 a vote that cannot be written is not granted, and the voter stops',
  { size: 3, killedBy: 'failed-meta-save-carried-on' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(3)
    const [voter, other] = story.followers as [Story['leader'], Story['leader']]

    // The log has nothing left to note down: the vote is what is written next.
    story.wait(story.T)
    voter.profile.writeErrorRate = 1
    const led = leadersFromNowOn(cluster)
    cluster.crash(story.member('n1'), { poweredOn: true })
    story.await('the voter gives up', () => voter.failed !== null)
    story.wait(4 * story.T)

    assert.is(cluster.leader(), null, 'two members, one of them without a disk, make no quorum')
    assert.equal(led, [], 'nor did anybody lead for a while')
    assert.is(voter.node!.status().state, 'ERROR')
    assert.is.not(other.node!.status().state, 'LEADER')
    voter.profile.writeErrorRate = 0
    cluster.crash(voter)
    story.restart(voter, story.member('n1')).expectConverged()
  },
)

scenario(
  'A03 a candidate that cannot write its own vote never leads, though all would grant it',
  { size: 3, killedBy: 'failed-meta-save-carried-on' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(1)
    const candidates = story.followers
    story.wait(story.T)
    for (const member of candidates) member.profile.writeErrorRate = 1
    const led = leadersFromNowOn(cluster)

    cluster.crash(story.member('n1'), { poweredOn: true })
    story.wait(6 * story.T)

    assert.equal([cluster.leader(), led], [null, []])
    assert.ok(candidates.some((member) => member.failed))
  },
)

scenario(
  'A05 a higher term that cannot be written is not acknowledged in',
  { size: 3, killedBy: 'failed-meta-save-carried-on' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(3)
    const [behind] = story.followers as [Story['leader']]

    cluster.isolate(behind)
    cluster.crash(story.member('n1'), { poweredOn: true })
    story.wait(story.T).restart(story.member('n1'))
    story.awaitLeader()
    behind.profile.writeErrorRate = 1
    cluster.heal()
    story.await('the member without a disk gives up', () => behind.failed !== null)

    assert.is(behind.node!.status().state, 'ERROR')
    story.write(2)
    assert.ok(behind.image.meta().term < story.leader.image.meta().term)
  },
)

scenario(
  'A10 a follower that was cut off for long comes back without disturbing its leader',
  { size: 3, killedBy: 'no-pre-vote' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(3)
    const { term } = story.leader.node!.status()
    const [away] = story.followers as [Story['leader']]

    cluster.isolate(away)
    story.wait(10 * story.T)
    cluster.heal()
    story.wait(5 * story.T)

    story.expectLeader(story.member('n1'))
    assert.is(story.leader.node!.status().term, term, 'the term was raised')
    story.expectConverged()
  },
)

scenario(
  'A10 a follower that can speak and not hear cannot depose a leader that the others hear',
  { size: 3, killedBy: 'no-stickiness' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(3)
    const { term } = story.leader.node!.status()
    const [deaf] = story.followers as [Story['leader']]

    cluster.cutOneWay(story.member('n1'), deaf)
    story.wait(10 * story.T)

    story.expectLeader(story.member('n1'))
    assert.is(story.leader.node!.status().term, term, 'the term was raised')
    cluster.heal()
    story.wait(2 * story.T)
    story.expectConverged()
  },
)

scenario(
  'A13 in a bridge, the quorum that the old leader is no part of elects as soon as that one steps down',
  { size: 5, killedBy: 'bridge-held-back' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3, n4, n5] = story.start('n1').members as [SimMember, SimMember, SimMember, SimMember, SimMember]
    story.write(3)

    // n3 hears everybody; n4 and n5 need its vote, and it hears n1.
    cluster.kill(n2)
    cluster.partition([n1], [n4, n5])
    // n1 is given up after T; n3, which heard it up to then, grants its vote at the next question, at most 0.35 T later.
    story.await('a leader that a quorum hears', () => cluster.leader() !== null && cluster.leader() !== n1, 1.5 * story.T)

    assert.ok([n3, n4, n5].includes(story.leader))
    story.write(2)
    cluster.heal()
    story.restart(n2).expectConverged()
  },
)

scenario('A14 a leader that can send and not receive steps down', { size: 3, killedBy: 'no-step-down-without-quorum' }, (story) => {
  const { cluster } = story
  story.start('n1').write(3)
  const leader = story.member('n1')

  for (const other of story.followers) cluster.cutOneWay(other, leader)
  story.await('it steps down', () => !leader.node!.isLeader(), 3 * story.T)
  const refused = story.propose(1, leader)
  story.wait(story.T)

  assert.is.not(refused[0]!.outcome, 'acked')
  cluster.heal()
  story.wait(3 * story.T)
  story.awaitLeader()
  story.expectConverged()
})

scenario('A14 a leader that can receive and not send is replaced', { size: 3 }, (story) => {
  const { cluster } = story
  story.start('n1').write(3)
  const leader = story.member('n1')

  for (const other of story.followers) cluster.cutOneWay(leader, other)
  story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== leader, 6 * story.T)

  story.write(2)
  cluster.heal()
  story.wait(2 * story.T)
  story.expectConverged()
})

scenario(
  'A12 a leader that no quorum answers steps down, and those who heard it up to then have another within two election timeouts',
  { size: 5 },
  (story) => {
    const { cluster } = story
    const n1 = story.start('n1').leader
    story.write(3)
    for (const other of story.followers) cluster.cutOneWay(other, n1)
    story.await('it steps down', () => !n1.node!.isLeader(), 2 * story.T)

    story.await('another leads', () => cluster.leader() !== null, 2 * story.T)

    story.write(2)
    cluster.heal()
    story.wait(2 * story.T)
    story.expectConverged()
  },
)

test('A19 candidates that split the vote draw their waits anew: a leader within ten rounds, whatever the seed', () => {
  let splits = 0
  for (let seed = 1; seed <= 100; seed++) {
    const story = new Story({ size: 4, seed, timerLatenessMs: 0, network: { delayMinMs: 40, delayMeanMs: 120 } })
    story.start()
    let rounds = 0
    story.cluster.onEvent = (_, event) => {
      if (event.name === 'election.started') rounds++
    }
    // A new group splits none: one of its members goes first.
    for (const member of story.members) story.cluster.kill(member)
    story.wait(story.T).restart(...story.members)
    story.awaitLeader()
    assert.ok(rounds <= 10, `seed ${seed}: ${rounds} elections`)
    if (rounds > 1) splits++
  }
  assert.ok(splits > 3, `only ${splits} of them took more than one election`)
})

for (const size of [1, 3, 5]) {
  scenario(`A20 a group of ${size} that loses power as a whole elects again and has everything it acknowledged`, { size }, (story) => {
    const { cluster } = story
    story.start().write(20)
    const unanswered = story.propose(10)

    for (const member of story.members) cluster.crash(member)
    story.wait(story.T).restart(...story.members)
    story.awaitLeader()

    story.expectConverged()
    assert.is(cluster.history.counts.acked + unanswered.filter((record) => record.outcome === 'pending').length, 30)
    story.write(1)
  })
}

scenario('a leader whose process was killed is replaced well before the election timeout', { size: 3 }, (story) => {
  const { cluster } = story
  story.start('n1').write(3)

  cluster.kill(story.member('n1'))
  story.await('another leads', () => cluster.leader() !== null, story.T * 0.8)

  story.write(1)
  story.restart(story.member('n1')).expectConverged()
})

scenario(
  'A15 elections that an administrator asks of the sitting leader, one upon the other, end in a leader; it stops replicating first',
  { size: 3, killedBy: 'campaigns-while-it-leads' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(2)
    let campaigns = 0
    cluster.onEvent = (member, event) => {
      if (event.name !== 'prevote.started') return
      campaigns++
      assert.equal(member.node!.status().peers, [], `${member.name} campaigns and replicates`)
    }
    for (let round = 0; round < 10; round++) {
      const { term } = story.leader.node!.status()
      const asked = story.leader
      story.propose(3)
      asked.run('story:vote', (node) => node.vote(() => {}))
      story.await('a newer term is led', () => (cluster.leader()?.leadsTerm ?? 0) > term, 2 * story.T)
    }
    assert.ok(campaigns >= 10)
    story.awaitLeader()
    story.write(2)
    story.expectConverged()
  },
)

scenario('a group that nobody writes to keeps its leader and its term', { size: 3 }, (story) => {
  story.start().write(1)
  const { leader } = story
  const { term } = leader.node!.status()

  story.wait(30 * story.T)

  story.expectLeader(leader)
  assert.equal(
    story.members.map((member) => member.node!.status().term),
    [term, term, term],
  )
})

scenario(
  'a leader whose election timeout is cut to less than its heartbeats took goes on leading',
  { size: 3, killedBy: 'cut-timeout-deposes' },
  (story) => {
    const { leader } = story.start()
    const termOf = () => leader.node!.status().term
    const term = termOf()
    for (let offset = 0; offset < 10; offset++) {
      story.wait(story.T / 7)
      const reset = (ms: number) => leader.run('story:timeout', (node) => assert.ok(node.resetElectionTimeoutMs(ms, 0).ok))
      reset(story.T / 20)
      story.wait(2 * story.T)
      story.expectLeader(leader)
      reset(story.T)
    }
    assert.is(termOf(), term, 'it was not elected anew')
    story.expectConverged()
  },
)

scenario('of two members the one that is left gives up and campaigns in vain; both go on once the other is back', { size: 2 }, (story) => {
  const { cluster } = story
  const [n1, n2] = story.start('n1').members as [SimMember, SimMember]
  story.write(3)
  cluster.kill(n2)
  story.await('n1 steps down', () => n1.node!.status().state === 'FOLLOWER', 2 * story.T)
  const { term } = n1.node!.status()
  n1.run('story:vote', (node) => node.vote(() => {}))
  story.wait(5 * story.T)
  assert.is(cluster.leader(), null)
  assert.is(n1.node!.status().term, term, 'asking in vain raises no term')

  story.restart(n2).awaitLeader(4 * story.T)
  story.write(3)
  story.expectConverged()
})

test.run()
