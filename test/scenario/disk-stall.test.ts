import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { RaftEvent } from '../../src/raft/events.js'
import type { SimMember } from '../simulation/member.js'
import { type Story, scenario } from './scenario.js'

/** Collects what the members say from now on. */
function listen(story: Story): { member: string; event: RaftEvent }[] {
  const heard: { member: string; event: RaftEvent }[] = []
  story.cluster.onEvent = (member, event) => heard.push({ member: member.name, event })
  return heard
}

function count(heard: ReturnType<typeof listen>, member: SimMember, ...names: RaftEvent['name'][]): number {
  return heard.filter(({ member: name, event }) => name === member.name && names.includes(event.name)).length
}

scenario(
  'I01 a leader whose disk stands still gives way within two election timeouts, and does not campaign before its disk works again',
  { size: 3, killedBy: 'stalled-leader-stays' },
  (story) => {
    const { cluster } = story
    const n1 = story.start('n1').leader
    story.write(3)
    const heard = listen(story)
    cluster.stallDisk(n1, 10 * story.T)
    const writes = story.propose(3)

    story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n1, 2 * story.T)
    assert.ok(
      heard.some(({ member, event }) => member === 'n1' && event.name === 'leader.handover'),
      'it was not handed over',
    )
    story.await('the writes are decided', () => writes.every((write) => write.outcome === 'acked'), story.T)
    story.write(5)
    story.wait(6 * story.T)
    assert.ok(n1.node!.status().diskStalledForMs! > 5 * story.T)
    // Its successor is gone as well: only n1 hears nobody now, and only its disk keeps it from campaigning.
    cluster.isolate(n1)
    story.wait(1.8 * story.T)

    assert.is(count(heard, n1, 'prevote.started', 'election.started'), 0, 'it campaigned')
    assert.is(count(heard, n1, 'disk.stalled'), 1)
    assert.is(count(heard, n1, 'leader.stalled'), 1)
    story.await('its disk works again', () => count(heard, n1, 'disk.recovered') === 1, 2 * story.T)
    cluster.heal()
    story.wait(story.T).expectConverged()
    assert.is(n1.node!.status().diskStalledForMs, null)
  },
)

scenario('I01 a follower whose disk stands still does not campaign when its leader is gone; the others elect', { size: 5 }, (story) => {
  const { cluster } = story
  const n1 = story.start('n1').leader
  const n2 = story.member('n2')
  story.write(3)
  const heard = listen(story)
  cluster.stallDisk(n2, 10 * story.T)
  story.write(3)
  story.await('it notices', () => count(heard, n2, 'disk.stalled') === 1, 2 * story.T)

  cluster.kill(n1)
  story.await('another leads', () => cluster.leader() !== null, 3 * story.T)
  story.write(2)
  assert.is(count(heard, n2, 'prevote.started', 'election.started'), 0, 'it campaigned')
  story.restart(n1)
  story.wait(10 * story.T).expectConverged()
})

scenario('I01 where the others are no better off nobody gives way: a stalled leader stays, and goes on', { size: 3 }, (story) => {
  const { cluster } = story
  const n1 = story.start('n1').leader
  story.write(3)
  const { term } = n1.node!.status()
  const heard = listen(story)

  for (const member of story.members) cluster.stallDisk(member, 5 * story.T)
  const together = story.propose(3)
  story.wait(5 * story.T)
  story.await('the disks work again', () => together.every((write) => write.outcome === 'acked'), story.T)

  // With one follower gone the other cannot be elected without the vote that this disk cannot keep.
  cluster.crash(story.member('n3'))
  cluster.stallDisk(n1, 5 * story.T)
  const alone = story.propose(3)
  story.wait(5 * story.T)
  story.await('its disk works again', () => alone.every((write) => write.outcome === 'acked'), story.T)

  story.expectLeader(n1)
  assert.is(n1.node!.status().term, term)
  assert.is(count(heard, n1, 'leader.stalled'), 0)
  story.restart(story.member('n3')).expectConverged()
})

scenario(
  'I01 disks that are merely slow, each write just below an election timeout, move nobody',
  { size: 3, disk: { operationMs: 1, syncMs: 1 } },
  (story) => {
    const { cluster } = story
    const n1 = story.start('n1').leader
    const { term } = n1.node!.status()
    const heard = listen(story)
    for (const member of story.members) member.profile.syncMs = 0.4 * story.T
    for (let round = 0; round < 10; round++) {
      story.propose(2)
      story.wait(story.T)
    }

    story.expectLeader(n1)
    assert.is(n1.node!.status().term, term)
    for (const member of story.members) {
      assert.is(count(heard, member, 'leader.stalled'), 0)
      member.profile.syncMs = 1
    }
    story.wait(5 * story.T).expectConverged()
    assert.is(cluster.history.counts.acked, 20)
  },
)

scenario('I01 a stalled leader that nobody relieves in time steps down, and the others elect one of their own', { size: 3 }, (story) => {
  const { cluster } = story
  const n1 = story.start('n1').leader
  story.write(3)
  // What n1 hands over with is lost; heartbeats and entries pass.
  for (const other of story.followers) other.run('story:deaf', (node) => Object.assign(node.handler, { handleTimeoutNow: () => {} }))
  cluster.stallDisk(n1, 10 * story.T)
  story.propose(3)

  story.await('it gives up', () => n1.node!.status().state === 'FOLLOWER', 2.5 * story.T)
  story.await('another leads', () => cluster.leader() !== null, 2 * story.T)
  assert.is.not(cluster.leader(), n1)
  story.wait(10 * story.T).expectConverged()
})

test.run()
