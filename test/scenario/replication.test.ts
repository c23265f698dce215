import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode } from '../../src/raft/errors.js'
import type { SimMember } from '../simulation/member.js'
import { RegisterMachine } from '../simulation/register-machine.js'
import { PATHS } from '../simulation/storages.js'
import { deliver, record } from './appends.js'
import { scenario } from './scenario.js'

type Three = [SimMember, SimMember, SimMember]

scenario(
  'B01 entries of an older term on a quorum are committed only with one of the current term (figure 8)',
  { size: 3, killedBy: 'commit-old-term-by-counting' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3] = story.start('n1').members as Three
    story.write(2)
    const committed = n1.node!.status().committedIndex

    // More than one request carries, in a term that n1 then loses.
    cluster.isolate(n1)
    const old = story.propose(45, n1, 30_000)
    story.await(
      'n1 holds them',
      () => n1.node!.status().durableIndex === n1.node!.status().lastId.index && n1.node!.status().lastId.index >= committed + 45,
      story.T,
    )
    cluster.kill(n3)
    cluster.kill(n1)
    cluster.heal()
    story.restart(n1)
    story.await('n1 leads again', () => cluster.leader() === n1, 20 * story.T)

    // Every commit of a leader is checked against the disks: an entry of its own term, on a quorum of them.
    story.await('n2 holds the old entries', () => n2.node!.status().durableIndex >= committed + 45)
    story.awaitLeader()
    assert.ok(n1.node!.status().committedIndex > committed + 45)
    for (const write of old) assert.ok(cluster.history.committed.has(write.index), 'they are committed with the term')
    story.restart(n3).expectConverged()
  },
)

scenario(
  'B02 a heartbeat that knows of more than was matched commits nothing of a divergent tail',
  { size: 3, killedBy: 'commit-beyond-matched' },
  (story) => {
    const { cluster } = story
    const [n1] = story.start('n1').members as Three
    story.write(2)
    const before = n1.machine!.lastWriteIndex

    cluster.isolate(n1)
    const lost = story.propose(5, n1)
    story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n1, 6 * story.T)
    story.write(20)
    // n1 hears the new leader, which hears nothing of n1: no request can mend the tail, only heartbeats arrive.
    cluster.heal()
    for (const other of story.members) cluster.cutOneWay(n1, other)
    story.wait(3 * story.T)
    assert.is(n1.machine!.lastWriteIndex, before, 'something of the tail was applied')
    cluster.heal()

    story.expectConverged().expectOutcome(lost, 'unknown')
    for (const write of lost) assert.not(cluster.history.committed.has(write.index), 'a lost write came back')
  },
)

scenario('B03 a late append that repeats part of what is there deletes nothing behind it', { size: 3 }, (story) => {
  const [n1, n2] = story.start('n1').members as Three
  const sent = record(story, n2)
  story.write(3)
  story.write(3)
  story.await('n2 has all', () => n2.node!.status().lastId.index === n1.node!.status().lastId.index)
  const early = sent.find((request) => request.entries && request.entries.lastIndex < n2.node!.status().lastId.index)
  assert.ok(early, 'nothing was sent in parts')
  const { lastId } = n2.node!.status()

  const answer = deliver(story, n2, early!)

  assert.is(answer.success, true)
  assert.equal(n2.node!.status().lastId, lastId)
  story.expectConverged()
})

scenario('B03 entries that conflict give way from the first conflict on', { size: 3, killedBy: 'no-truncation-on-conflict' }, (story) => {
  const { cluster } = story
  const [n1] = story.start('n1').members as Three
  story.write(4)

  cluster.isolate(n1)
  story.propose(7, n1)
  story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n1, 6 * story.T)
  story.write(3)
  cluster.heal()

  story.expectConverged()
  assert.is(cluster.history.counts.unknown, 7)
})

scenario('B03 an append after an entry of another term is refused', { size: 3, killedBy: 'previous-term-not-checked' }, (story) => {
  const { cluster } = story
  const [n1] = story.start('n1').members as Three
  story.write(4)

  // The divergent tail is longer than what the new leader sends at first, so that its previous entry is there, of another term.
  cluster.isolate(n1)
  story.propose(30, n1)
  story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n1, 6 * story.T)
  const next = story.leader
  story.write(10)
  next.run('story:shutdown', (node) => node.transferLeadershipTo(null, () => {}))
  story.wait(2 * story.T).awaitLeader()
  story.write(5)
  cluster.heal()

  story.expectConverged()
})

scenario('B07 a long tail that diverges is found to in a few questions, not one for each entry of it', { size: 3 }, (story) => {
  const { cluster } = story
  const [n1] = story.start('n1').members as Three
  story.write(4)

  // n1 keeps 400 entries that nobody else has; what the others agreed on meanwhile is as long and of two terms.
  cluster.isolate(n1)
  const lost = story.propose(400, n1)
  story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n1, 6 * story.T)
  story.write(300)
  const next = story.leader
  next.run('story:hand-over', (node) => node.transferLeadershipTo(null, () => {}))
  story.await('a third leads', () => cluster.leader() !== null && ![n1, next].includes(cluster.leader()!), 6 * story.T)
  story.write(50)

  const sent = record(story, n1)
  cluster.heal()
  story.expectConverged().expectOutcome(lost, 'unknown')
  const places = new Set(sent.filter((request) => !request.entries && request.prevLogIndex > 10).map((request) => request.prevLogIndex))
  assert.ok(places.size <= 4, `it was asked at ${[...places]}`)
})

scenario(
  'B09 a slow write whose entries were cut and replaced meanwhile makes nothing durable of what replaced them',
  { size: 5, killedBy: 'late-write-vouches' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3, n4, n5] = story.start('n1').members as [...Three, SimMember, SimMember]
    story.write(3)

    // n3 is given entries that only n1 has, and its disk takes its time with them.
    cluster.partition([n1, n3], [n2, n4, n5])
    cluster.stallDisk(n3, 20 * story.T, new RegExp(`^${PATHS.log}`))
    const lost = story.propose(6, n1)
    story.await('n3 is writing them', () => n3.node!.status().lastId.index === n1.node!.status().lastId.index)
    story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n1, 6 * story.T)

    // The next leader replaces them while that write is still under way.
    cluster.heal()
    cluster.isolate(n1)
    const away = [n2, n4, n5].find((member) => member !== story.leader)!
    cluster.kill(away)
    const { term } = story.leader.node!.status()
    const writes = story.propose(6)
    story.await('n3 holds the new ones in memory', () => n3.node!.status().lastId.index === story.leader.node!.status().lastId.index)
    assert.is(n3.node!.status().lastId.term, term)
    assert.ok(n3.image.log.entryAt(n3.node!.status().lastId.index)?.term !== term, 'its disk has them already')

    // What leaves n3 is checked against its disk; so is what it takes for durable.
    let early = 0
    cluster.onEvent = (member, event) => {
      if (member !== n3 || event.name !== 'log.durable') return
      if (n3.image.log.entryAt(event.index)?.term !== term) early = event.index
    }
    n3.profile.stalledUntil = 0
    story.await('the new ones are acknowledged', () => writes.every((write) => write.outcome === 'acked'))
    assert.is(early, 0, 'it counts an entry that its disk does not hold')
    cluster.heal()
    story.restart(away).expectConverged().expectOutcome(lost, 'unknown')
  },
)

scenario(
  'B15 a stream that breaks with requests under way neither loses nor repeats an entry',
  { size: 3, network: { resetRate: 0.05 } },
  (story) => {
    story.start('n1')
    const records = Array.from({ length: 40 }, () => {
      const batch = story.propose(5, story.leader)
      story.wait(3)
      return batch
    }).flat()
    story.await('all are acknowledged', () => records.every((record) => record.outcome !== 'pending'))
    story.cluster.network.profile.resetRate = 0
    story.expectConverged()
  },
)

scenario(
  'C01 a group of one has what it acknowledged after losing power in the next moment',
  { size: 1, killedBy: 'leader-counts-itself-early' },
  (story) => {
    const { cluster } = story
    story.start()
    for (let round = 0; round < 20; round++) {
      const [write] = story.propose(1)
      story.await('it is acknowledged', () => write!.outcome === 'acked')
      cluster.crash(story.member('n1'), { keep: 0 })
      story.restart(story.member('n1')).awaitLeader()
      assert.is(story.member('n1').machine!.registers.get(0), write!.serial, 'an acknowledged write is gone')
    }
  },
)

scenario(
  'C04 a leader that loses its leadership answers every waiting write exactly once, as unknown',
  { size: 3, killedBy: 'closures-forgotten' },
  (story) => {
    const { cluster } = story
    const [n1] = story.start('n1').members as Three
    story.write(2)

    cluster.isolate(n1)
    const waiting = story.propose(10, n1)
    story.await('n1 steps down', () => !n1.node!.isLeader(), 3 * story.T)
    story.expectOutcome(waiting, 'unknown')
    const late = story.propose(3, n1)
    story.wait(1)

    story.expectOutcome(late, 'refused')
    cluster.heal()
    story.wait(3 * story.T)
    story.expectConverged()
  },
)

scenario('a follower that was away for a long time catches up while the others go on', { size: 3 }, (story) => {
  const { cluster } = story
  const [, , n3] = story.start('n1').members as Three
  cluster.crash(n3)
  for (let i = 0; i < 10; i++) story.write(50)
  story.restart(n3)
  story.write(50)
  story.expectConverged()
  assert.is(n3.machine!.lastWriteIndex, story.member('n1').machine!.lastWriteIndex)
})

class ThrowingMachine extends RegisterMachine {
  armed = false

  protected override applied(): void {
    if (this.armed) throw new Error('the machine is broken')
  }
}

scenario(
  'C03 a machine that throws stops its node once: one error, every closure answered, the others go on',
  { size: 3, createMachine: (listener) => new ThrowingMachine(listener), killedBy: 'machine-error-ignored' },
  (story) => {
    const { cluster } = story
    const [n1] = story.start('n1').members as Three
    story.write(3)
    let errors = 0
    cluster.onEvent = (_, event) => {
      if (event.name === 'node.error') errors++
    }

    ;(n1.machine as ThrowingMachine).armed = true
    const writes = story.propose(5)
    story.await('n1 gives up', () => n1.failed !== null)
    story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n1, 8 * story.T)
    story.wait(story.T)

    assert.is(errors, 1)
    assert.is(n1.failed!.code, ErrorCode.ESTATEMACHINE)
    assert.is(n1.openClosures, 0)
    for (const write of writes) assert.is(write.outcome, 'unknown')
    story.write(2)
    cluster.kill(n1)
    story.restart(n1).expectConverged()
  },
)

scenario(
  'a member in ERROR takes nothing of a new leader in a new term, and has everything once it was restarted',
  { size: 5, createMachine: (listener) => new ThrowingMachine(listener) },
  (story) => {
    const { cluster } = story
    const [n1, n2] = story.start('n1').members as Three
    story.write(10)
    ;(n2.machine as ThrowingMachine).armed = true
    story.write(1)
    story.await('n2 gives up', () => n2.failed !== null)
    const stuck = n2.node!.status()
    assert.is(stuck.state, 'ERROR')

    cluster.kill(n1)
    story.await('another leads', () => cluster.readyLeader() !== null && cluster.leader() !== n1, 5 * story.T)
    story.write(10)
    story.wait(2 * story.T)

    const { state, term, lastId, committedIndex, votedFor } = n2.node!.status()
    const { leader } = story
    assert.ok(leader.node!.status().term > stuck.term)
    assert.is.not(leader, n2)
    assert.equal([state, term, lastId, committedIndex], ['ERROR', stuck.term, stuck.lastId, stuck.committedIndex])
    assert.is(String(votedFor), String(stuck.votedFor), 'it votes for nobody')
    const peer = leader.node!.status().peers.find(({ peerId }) => peerId.equals(n2.peerId))!
    assert.ok(peer.consecutiveErrors > 0, 'its leader knows')
    assert.match(peer.lastError, 'node is in state ERROR')

    cluster.kill(n2)
    story.wait(story.T)
    story.restart(n1, n2).expectConverged()
    assert.is(n2.node!.status().state, 'FOLLOWER')
  },
)

test.run()
