import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SimMember } from '../simulation/member.js'
import { scenario } from './scenario.js'

scenario(
  'D01 a new leader answers no read before an entry of its own term is committed',
  { size: 3, killedBy: 'read-before-the-term-commits' },
  (story) => {
    const { cluster } = story
    const n1 = story.start('n1').leader
    story.write(2)
    story.wait(story.T / 2)

    // n1 acknowledges a write and is gone before it can tell the others that it is committed.
    const [write] = story.propose(1)
    story.await('n1 acknowledges it', () => write!.outcome === 'acked')
    cluster.crash(n1)
    cluster.onEvent = (member, event) => {
      // The new leader's followers answer heartbeats, but their disks stand still: nothing of the new term commits.
      if (event.name === 'election.won') for (const other of story.members) if (other !== member) cluster.stallDisk(other, 3 * story.T)
    }
    story.await('another leads', () => cluster.leader() !== null)
    const { leader } = story
    assert.ok(leader.node!.status().committedIndex < write!.index, 'the new leader already knows of the write')

    const read = story.read(leader, 0)
    story.wait(story.T / 2)
    assert.not(read.answered, 'it was answered')
    story.wait(3 * story.T)
    story.restart(n1).expectConverged()
  },
)

scenario('D02 a read that waits for the new term is answered once it commits', { size: 3 }, (story) => {
  const { cluster } = story
  const n1 = story.start('n1').leader
  const [write] = story.write(1)
  cluster.kill(n1)
  story.await('another leads', () => cluster.leader() !== null)

  const read = story.read(story.leader, 0)
  story.await('the read is answered', () => read.answered)

  assert.is(read.value, write!.serial)
})

scenario(
  'D04 a leader that was cut off answers no read, the new one answers the newest',
  { size: 3, killedBy: 'read-without-confirmation' },
  (story) => {
    const { cluster } = story
    const old = story.start('n1').leader
    story.write(1)
    cluster.isolate(old)
    const before = story.read(old, 0)
    story.await('another leads', () => cluster.up.some((member) => member !== old && member.node!.isLeader()), 6 * story.T)
    const leader = cluster.up.find((member) => member !== old && member.node!.isLeader())!
    const [write] = story.write(1, leader)

    const stale = story.read(old, 0)
    const fresh = story.read(leader, 0)
    story.wait(2 * story.T)

    assert.is(before.value, null)
    assert.is(stale.value, null, 'a leader without a quorum answered')
    assert.is(fresh.value, write!.serial)
  },
)

scenario(
  'D03 a read is confirmed by no answer to what was asked before it, though that comes after it',
  { size: 3, killedBy: 'late-answer-confirms' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3] = story.start('n1').members as [SimMember, SimMember, SimMember]
    story.write(1)
    story.wait(story.T / 2)

    // What n3 answers is long under way, n2 is not heard at all: n1 hands over and does not learn that it was done.
    cluster.cutOneWay(n2, n1)
    cluster.clog(n3, n1, 0.7 * story.T)
    story.wait(0.3 * story.T)
    n1.run('story:transfer', (node) => node.transferLeadershipTo(n2.peerId, () => {}))
    story.await('n2 leads', () => n2.node!.isLeader(), story.T / 10)
    const [write] = story.write(1, n2)
    const read = story.read(n1, 0)
    story.wait(0.1 * story.T)
    assert.is(n1.node!.status().state, 'TRANSFERRING', 'n1 knows of the new leader')
    assert.not(read.answered)

    // The answers of n3 arrive in order: those to the heartbeats of before come first.
    story.wait(2 * story.T)
    assert.ok(read.value === null || read.value === write!.serial, `a stale ${read.value}`)
    cluster.heal()
    story.expectConverged()
  },
)

scenario(
  'D05 a leader that is paused as soon as it asked another to take over answers no read from its past',
  { size: 3, killedBy: 'read-without-confirmation' },
  (story) => {
    const { cluster } = story
    const [n1, n2] = story.start('n1').members as [SimMember, SimMember, SimMember]
    story.write(1)
    cluster.onEvent = (member, event) => {
      if (member !== n2 || event.name !== 'election.started') return
      cluster.isolate(n1)
      cluster.pause(n1)
    }
    n1.run('story:transfer', (node) => node.transferLeadershipTo(n2.peerId, () => {}))
    story.await('n2 leads', () => cluster.leader() === n2, story.T / 2)
    const [write] = story.write(1)
    const late = story.read(n1, 0)

    cluster.resume(n1)
    story.wait(story.T / 10)
    assert.is(n1.node!.status().state, 'TRANSFERRING', 'n1 knows of the new leader')
    story.wait(3 * story.T)

    assert.ok(late.value === null || late.value === write!.serial, `a stale ${late.value}`)
    cluster.heal()
    story.expectConverged()
  },
)

scenario('D05 a leader that was paused while another took over answers no read from its past', { size: 3 }, (story) => {
  const { cluster } = story
  const old = story.start('n1').leader
  story.write(1)
  const early = story.read(old, 0)
  cluster.pause(old)
  story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== old, 6 * story.T)
  const [write] = story.write(1)
  const late = story.read(old, 0)

  cluster.resume(old)
  story.wait(3 * story.T)

  for (const read of [early, late]) assert.ok(read.value === null || read.value === write!.serial, `a stale ${read.value}`)
  story.expectConverged()
})

scenario('D09 every member answers linearizable reads, and a cut-off one none', { size: 3 }, (story) => {
  const { cluster } = story
  story.start('n1')
  const [write] = story.write(1)
  const reads = story.members.map((member) => story.read(member, 0))
  story.await('all are answered', () => reads.every((read) => read.answered))
  for (const read of reads) assert.is(read.value, write!.serial)

  const away = story.member('n3') as SimMember
  cluster.isolate(away)
  const cutOff = story.read(away, 0)
  story.await('it fails', () => cutOff.answered, 3 * story.T)
  assert.is(cutOff.value, null)
})

test.run()
