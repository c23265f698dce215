import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SimMember } from '../simulation/member.js'
import { type Story, scenario } from './scenario.js'

type Three = [SimMember, SimMember, SimMember]
type Five = [...Three, SimMember, SimMember]

/** Who was handed leadership for its priority, in order; each held all that was committed. */
function listen(story: Story): string[] {
  const handed: string[] = []
  story.cluster.onEvent = (member, event) => {
    if (event.name !== 'leader.handover' || !event.reason.startsWith('it has priority')) return
    const target = story.members.find(({ peerId }) => peerId.equals(event.target))!
    assert.ok(target.node!.status().lastId.index >= member.node!.status().committedIndex, `${target.name} lacks what is committed`)
    handed.push(target.name)
  }
  return handed
}

const leads = (story: Story, member: SimMember) => () => story.cluster.leader() === member

scenario(
  'the member with the highest priority leads: whoever was elected before it hands over, once it has answered well for a while',
  { size: 3, priorities: [100, 300, 200], killedBy: 'priority-never-handed-over' },
  (story) => {
    const [, n2] = story.start('n1').members as Three
    const handed = listen(story)
    story.await('n2 leads', leads(story, n2))
    story.awaitLeader()
    story.write(3)
    story.wait(20 * story.T)

    story.expectLeader(n2)
    assert.equal(handed, ['n2'])
    const { priority, peers } = n2.node!.status()
    assert.equal([priority, peers.map((peer) => peer.priority).sort()], [300, [100, 200]])
    story.expectConverged()
  },
)

scenario(
  'when the leader is gone the next in priority takes over, and when it is back it leads again',
  { size: 5, priorities: [300, 100, 200, 100, 100], killedBy: 'outranked-campaigns-at-once' },
  (story) => {
    const [n1, , n3] = story.start().members as Five
    story.await('n1 leads', leads(story, n1))
    for (let round = 0; round < 3; round++) {
      story.awaitLeader()
      story.write(3)
      // All have heard who is well.
      story.wait(story.T)
      if (round % 2 === 0) story.cluster.crash(n1)
      else story.cluster.isolate(n1)
      story.await('another leads', () => story.cluster.leader() !== null && story.cluster.leader() !== n1, 4 * story.T)
      assert.is(story.leader.name, 'n3', `round ${round}`)
      story.awaitLeader()
      story.write(3)
      if (!n1.isUp) story.restart(n1)
      story.cluster.heal()
      story.await('n1 leads again', leads(story, n1), 400 * story.T)
    }
    story.expectConverged()
    void n3
  },
)

scenario(
  'a member with a lower priority leads when those above it are gone, and soon',
  { size: 5, priorities: [300, 100, 200, 100, 100] },
  (story) => {
    const [n1, n2, n3, n4, n5] = story.start().members as Five
    story.await('n1 leads', leads(story, n1))
    story.awaitLeader()
    story.wait(story.T)
    story.cluster.crash(n1)
    story.cluster.crash(n3)

    story.await('another leads', () => [n2, n4, n5].includes(story.cluster.leader() as SimMember), 3.5 * story.T)
    story.awaitLeader()
    story.write(3)
    story.restart(n1)
    story.restart(n3)
    story.await('n1 leads again', leads(story, n1), 100 * story.T)
    story.expectConverged()
  },
)

scenario(
  'A17 a member of priority 0 lets the others campaign for long and is no successor; asked by name it leads, until another is well',
  { size: 3, priorities: [100, 0, 0], killedBy: 'priority-zero-campaigns' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3] = story.start().members as Three
    story.expectLeader(n1)
    story.write(3)

    // A leader that stops finds nobody to hand over to.
    n1.run('story:shutdown', (node) => node.shutdown(() => {}))
    story.await('n1 has stopped', () => n1.node?.status().state === 'SHUTDOWN')
    cluster.crash(n1)
    story.wait(4.5 * story.T)
    assert.equal(
      [n2, n3].map((member) => member.node!.status().state),
      ['FOLLOWER', 'FOLLOWER'],
    )
    n2.run('story:vote', (node) => node.vote(() => {}))
    story.await('n2 leads', leads(story, n2), story.T)
    story.awaitLeader()
    story.write(3)

    story.restart(n1)
    story.await('n1 leads again', leads(story, n1))
    story.awaitLeader()
    let told = ''
    n1.run('story:transfer', (node) => node.transferLeadershipTo(n3.peerId, (status) => (told = status.toString())))
    story.await('n3 leads', leads(story, n3), story.T)
    assert.is(told, 'OK')
    story.await('n1 leads again', leads(story, n1), 100 * story.T)
    story.expectConverged()
  },
)

scenario(
  'the last that holds what was acknowledged leads, though its priority is 0, until another holds it too',
  { size: 3, priorities: [100, 100, 0], killedBy: 'priority-zero-never-campaigns' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3] = story.start('n1').members as Three
    cluster.crash(n2)
    story.write(3)
    cluster.crash(n1)
    story.restart(n2)

    story.await('n3 leads', leads(story, n3), 20 * story.T)
    story.await('n2 leads', leads(story, n2), 100 * story.T)
    story.restart(n1)
    story.expectConverged()
  },
)

scenario('a group of one leads itself whatever its priority', { size: 1, priorities: [0] }, (story) => {
  story.start().write(3)
})

scenario(
  'a bad network moves leadership to the preferred member ever more rarely',
  { size: 3, priorities: [100, 100, 200], killedBy: 'priority-without-back-off' },
  (story) => {
    const [, , n3] = story.start().members as Three
    const handed = listen(story)
    for (let round = 0; round < 16; round++) {
      story.cluster.heal()
      story.wait(6 * story.T)
      story.cluster.isolate(n3)
      story.wait(2.5 * story.T)
    }
    assert.ok(handed.length >= 2 && handed.length <= 10, `handed over ${handed.length} times`)
    story.cluster.heal()
    story.await('n3 leads in the end', leads(story, n3), 200 * story.T)
    story.expectConverged()
  },
)

scenario('a member in read-only mode lets the others campaign first', { size: 3 }, (story) => {
  for (let round = 0; round < 3; round++) {
    if (round === 0) story.start()
    const { leader } = story
    const [readonly, other] = story.followers as [SimMember, SimMember]
    readonly.run('story:read-only', (node) => node.enterReadonlyMode())
    story.wait(story.T)
    story.cluster.crash(leader)
    story.await('another leads', () => story.cluster.leader() !== null && story.cluster.leader() !== leader, 4 * story.T)
    assert.is(story.leader.name, other.name)
    story.awaitLeader()
    readonly.run('story:writable', (node) => node.leaveReadonlyMode())
    story.restart(leader)
    story.wait(story.T)
    story.write(1)
  }
  story.expectConverged()
})

test.run()
