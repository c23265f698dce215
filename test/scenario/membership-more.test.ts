import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Counter, encodeAmount } from '../../examples/counter-machine.js'
import { Configuration } from '../../src/raft/configuration.js'
import { type GroupMember, TestCluster } from '../../src/testing/index.js'
import type { SimMember } from '../simulation/member.js'
import { change, changed, expectVoters } from './changes.js'
import { scenario } from './scenario.js'

type Three = [SimMember, SimMember, SimMember]
type Member = GroupMember<Counter>
type Five = [...Three, SimMember, SimMember]

scenario(
  'the one member is moved across ten nodes, one at a time, and everything is there at the end',
  { size: 1, joiners: 9 },
  (story) => {
    story.start('n1').write(3)
    let [from] = story.members as [SimMember]
    for (const to of story.members.slice(1)) {
      changed(story, [to])
      story.await(`${to.name} leads`, () => story.cluster.leader() === to)
      story.awaitLeader()
      story.write(1)
      expectVoters(story, [to])
      story.cluster.crash(from)
      from = to
    }
    const n10 = story.members.at(-1)!
    assert.is(n10.machine!.registers.size > 0, true)
    for (const record of story.cluster.history.writes.values()) assert.is(record.outcome, 'acked')
    assert.is(story.cluster.history.writes.size, 12)
  },
)

scenario(
  'while joint a leader that misses the quorum of one half steps down, and the change is done once it is back',
  { size: 3, joiners: 2 },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3, n4, n5] = story.start('n1').members as Five
    story.write(3)
    const record = change(story, [n1, n4, n5], n1, { catchupTimeoutMs: 20 * story.T })
    story.await('it is joint', () => n1.node!.status().membership.stage === 'joint')
    // Two of the three new ones are gone; all of the old ones are there.
    cluster.isolate(n4)
    cluster.kill(n5)
    story.await('it steps down', () => n1.node!.status().state === 'FOLLOWER', 2 * story.T)
    story.await('its administrator is told', () => record.outcome === 'EOUTCOMEUNKNOWN', 10)
    story.wait(5 * story.T)
    assert.is(cluster.leader(), null, 'the old ones alone decide nothing')
    assert.is(n1.node!.status().configuration.isStable, false)

    cluster.heal()
    story.restart(n5)
    story.awaitLeader()
    story.await('the change is done', () => story.leader.node!.status().configuration.isStable)
    assert.equal(
      story.leader.node!.status().configuration.conf.peers.map(String),
      [n1, n4, n5].map(({ peerId }) => String(peerId)),
    )
    story.write(3)
    void n2
    void n3
  },
)

scenario('a member that was removed and runs on does not raise the term, nor does adding it again', { size: 3 }, (story) => {
  const [n1, n2, n3] = story.start('n1').members as Three
  story.write(3)
  const { term } = n1.node!.status()
  // It hears nothing of its removal.
  story.cluster.isolate(n3)
  changed(story, [n1, n2])
  // And the leader gives up telling it.
  story.wait(5 * story.T)
  story.cluster.heal()
  story.wait(10 * story.T)
  story.expectLeader(n1)
  assert.is(n1.node!.status().term, term)
  story.cluster.wipe(n3)
  story.restart(n3)
  changed(story, [n1, n2, n3])
  story.wait(5 * story.T)
  story.expectLeader(n1)
  assert.is(n1.node!.status().term, term)
  story.write(2)
  story.expectConverged()
})

// Members set by hand are past every quorum, which the invariants of a story rightly take for a fault.
test('two of three lose their disks: the third goes on by hand, and both are added again, empty', () => {
  const cluster = new TestCluster({ size: 3, createMachine: () => new Counter() }).start()
  const [n1, n2, n3] = ['n1', 'n2', 'n3'].map((name) => cluster.member(name)) as [Member, Member, Member]
  if (cluster.awaitLeader() !== n1) cluster.transfer(n1)
  const T = cluster.electionTimeoutMs
  const reset = (...members: Member[]) =>
    n1.run('reset', (node) => assert.ok(node.resetPeers(new Configuration(members.map(({ peerId }) => peerId))).ok))

  cluster.apply(encodeAmount(10n)).kill(n2)
  cluster.wipe(n2)
  cluster.apply(encodeAmount(20n)).kill(n3)
  cluster.wipe(n3)
  cluster.await('n1 steps down', () => n1.node!.status().state === 'FOLLOWER', 3 * T)

  reset(n1, n2, n3)
  cluster.run(4 * T)
  assert.is(cluster.leader(), null, 'the members that it has already change nothing')
  reset(n1)
  assert.is(cluster.awaitLeader({ withinMs: 3 * T }), n1)
  const sum = (member: Member) => cluster.read(member, (counter) => counter.value)
  assert.is(sum(n1), 30n)

  cluster.start(n2)
  cluster.start(n3)
  cluster.change(n1, n2).change(n1, n2, n3).apply(encodeAmount(12n))
  cluster.expectSameState((counter) => `${counter.value}`)
  cluster.kill(n1)
  assert.is(sum(cluster.awaitLeader()), 42n, 'they count: either may be lost now')
  cluster.apply(encodeAmount(1n))
})

test.run()
