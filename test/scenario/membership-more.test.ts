import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Counter, encodeAmount } from '../../examples/counter-machine.js'
import { Configuration } from '../../src/raft/configuration.js'
import { ErrorCode, Status } from '../../src/raft/errors.js'
import type { NodeImpl } from '../../src/raft/node-impl.js'
import { type GroupMember, TestCluster } from '../../src/testing/index.js'
import type { SimMember } from '../simulation/member.js'
import { RegisterMachine } from '../simulation/register-machine.js'
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

scenario(
  'a leader that steps down while the added member copies a snapshot says that it leads no more; asked again, the next one adds it',
  { size: 3, joiners: 1, createMachine: (listener) => new RegisterMachine(listener, 8 * 1024 * 1024) },
  (story) => {
    const [n1, n2, n3, n4] = story.start('n1').members as Five
    story.write(20)
    for (const member of [n1, n2, n3]) for (let i = 0; i < 2; i++) story.snapshot(member)
    assert.ok(n1.node!.status().firstIndex > 20, 'n4 is sent a snapshot')
    const record = change(story, [n1, n2, n3, n4], n1, { catchupTimeoutMs: 20 * story.T })
    story.await('n4 copies it', () => n4.node!.status().snapshot.state === 'downloading')

    n1.run('story:transfer', (node) =>
      (node.handler as NodeImpl).stepDown(node.status().term, Status.error(ErrorCode.ERAFTTIMEDOUT, 'a test')),
    )
    story.await('its administrator is told', () => record.outcome !== 'pending', 10)
    assert.is(record.outcome, 'EPERM')
    assert.is(n4.node!.status().snapshotId.index, 0, 'it was not done yet')

    story.awaitLeader()
    changed(story, [n1, n2, n3, n4])
    story.write(3)
    story.expectConverged()
    assert.ok(n4.node!.status().snapshotId.index > 0)
    expectVoters(story, story.members)
  },
)

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
