import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { WriteRecord } from '../simulation/history.js'
import type { SimMember } from '../simulation/member.js'
import { SimRandom } from '../simulation/sim-random.js'
import { change, expectVoters } from './changes.js'
import { type Story, scenario } from './scenario.js'

/** Writes one after the other, each when the one before is answered, for as long as it takes; answers how long that was. */
function writeInTurn(story: Story, count: number): number {
  const since = story.cluster.now
  for (let i = 0; i < count; i++) story.write(1)
  return story.cluster.now - since
}

/** A fresh write, and a fresh read of it on every member. */
function expectService(story: Story): void {
  const [write] = story.write(1)
  for (const member of story.members) {
    const found = story.read(member, write!.key)
    story.await(`a read of ${member.name}`, () => found.answered)
    assert.ok(found.status.ok, `${member.name}: ${found.status}`)
    assert.is(found.value, write!.serial, `${member.name} answers an older value`)
  }
}

for (const seed of [1, 2, 3, 4]) {
  scenario(
    `I05 links that go one by one, and come back in another order, leave a group that agrees (seed ${seed})`,
    { size: 5, seed },
    (story) => {
      const { cluster } = story
      const { network } = cluster
      const random = new SimRandom(seed).fork('swizzle')
      story.start().write(5)
      const links = story.members.flatMap((from) => story.members.filter((to) => to !== from).map((to) => ({ from, to })))
      const propose = () => {
        for (const member of cluster.up) if (member.node!.isLeader()) story.propose(2, member)
        story.wait(random.between(0, story.T / 2))
      }
      for (const { from, to } of random.shuffle(links)) {
        network.cutOneWay(from.peerId.address, to.peerId.address)
        propose()
      }
      story.wait(3 * story.T)
      assert.is(cluster.leader(), null, 'somebody leads whom nobody hears')
      for (const { from, to } of random.shuffle(links)) {
        network.mend(from.peerId.address, to.peerId.address)
        propose()
      }
      story.awaitLeader()
      story.expectConverged()
      expectService(story)
    },
  )
}

scenario('I06 a follower at a tenth of the speed costs the others nothing, and shows', { size: 3 }, (story) => {
  const n1 = story.start('n1').leader
  const n3 = story.member('n3')
  story.write(10)
  const before = writeInTurn(story, 200)

  const { operationMs, syncMs } = n3.profile
  Object.assign(n3.profile, { operationMs: 10 * operationMs, syncMs: 10 * syncMs })
  const slow = () => n1.node!.status().peers.find((peer) => peer.peerId.equals(n3.peerId))!
  const after = writeInTurn(story, 200)

  // The quicker of two followers is no longer to be had; waiting for the slow one would take ten times as long.
  assert.ok(after < 1.5 * before, `200 writes took ${after} ms, and ${before} ms before`)
  const burst = story.propose(2000, n1, 500)
  let inflight = 0
  let behind = 0
  story.await('all are acknowledged', () => {
    inflight = Math.max(inflight, slow().inflightRequests)
    behind = Math.max(behind, n1.node!.status().committedIndex - slow().matchIndex)
    return burst.every((write) => write.outcome === 'acked')
  })
  assert.ok(behind > 100, `it is at most ${behind} entries behind`)
  assert.ok(inflight <= 16, `${inflight} requests are under way to it`)
  Object.assign(n3.profile, { operationMs, syncMs })
  story.expectLeader(n1).expectConverged()
})

scenario('I07 when all that went wrong is over there is one leader, one configuration, one log, and service', { size: 5 }, (story) => {
  const { cluster } = story
  const random = new SimRandom(7).fork('faults')
  story.start().write(5)
  const trouble: ((member: SimMember) => void)[] = [
    (member) => cluster.crash(member, { keep: random.unit() }),
    (member) => cluster.kill(member),
    (member) => cluster.pause(member),
    (member) => cluster.isolate(member),
    (member) => cluster.cutOneWay(member, random.pick(story.members)),
    (member) => cluster.stallDisk(member, random.between(0, 3 * story.T)),
    (member) => cluster.clog(member, random.pick(story.members), story.T),
    (member) => member.isUp && cluster.snapshot(member),
    () => {
      const leader = cluster.leader()
      if (leader) change(story, random.shuffle(story.members).slice(0, random.pick([3, 4, 5])), leader)
    },
  ]
  for (let i = 0; i < 60; i++) {
    random.pick(trouble)(random.pick(story.members))
    const leader = cluster.leader()
    if (leader) story.propose(3, leader)
    story.wait(random.between(0, story.T))
    if (random.chance(0.3)) cluster.heal()
    for (const member of story.members) if (random.chance(0.3)) cluster.resume(member)
    if (random.chance(0.5)) story.restart(random.pick(story.members))
  }

  cluster.heal()
  for (const member of story.members) cluster.resume(member)
  story.wait(3 * story.T).restart(...story.members)
  story.awaitLeader(40 * story.T)
  story.await('no change is under way', () => story.leader.node!.status().membership.stage === 'none')
  const record = change(story, story.members, story.leader, { catchupTimeoutMs: 20 * story.T })
  story.await('all are members', () => record.outcome !== 'pending', 30 * story.T)
  assert.is(record.outcome, 'OK', `${record.status}`)
  expectVoters(story, story.members)
  story.expectConverged()
  assert.is(story.members.filter((member) => member.node!.isLeader()).length, 1)
  expectService(story)
})

/** Far less than what is offered can be taken. */
const LITTLE = { disk: { syncMs: 20 }, node: { pendingTasksMax: 100 } }

scenario(
  'I08 more work than can be done is refused as busy, queues stay short, and who fell behind still catches up',
  { size: 3, ...LITTLE, killedBy: 'no-limit-on-pending-tasks' },
  (story) => {
    const { cluster } = story
    const n1 = story.start('n1').leader
    const n3 = story.member('n3')
    const writes: WriteRecord[] = []
    let isOverloaded = true
    let longest = 0
    // A hundred every 10 ms, and a disk that takes 20 ms a time.
    const offer = () => {
      if (!isOverloaded) return
      writes.push(...story.propose(100, n1))
      longest = Math.max(longest, n1.node!.status().pendingTasks)
      cluster.scheduler.schedule(10, null, 'story:offer', offer)
    }
    offer()
    story.wait(2 * story.T)
    cluster.kill(n3)
    story.wait(3 * story.T)
    const missed = n1.node!.status().committedIndex
    story.restart(n3)
    story.await('n3 catches up while that goes on', () => (n3.node?.status().appliedIndex ?? 0) > missed, 5 * story.T)
    story.wait(2 * story.T)
    const { committedIndex } = n1.node!.status()
    story.await('and keeps up', () => n3.node!.status().appliedIndex >= committedIndex, story.T)

    isOverloaded = false
    story.await('all are answered', () => writes.every((write) => write.outcome !== 'pending'), story.T)
    const refused = writes.filter((write) => write.outcome === 'refused').length
    const acked = writes.filter((write) => write.outcome === 'acked').length
    assert.ok(longest <= 100, `${longest} tasks waited at a time`)
    assert.ok(refused > writes.length / 2 && acked > 1000, `${acked} of ${writes.length} taken, ${refused} refused`)
    assert.is(refused + acked, writes.length)
    story.expectLeader(n1).expectConverged()
    assert.ok(writeInTurn(story, 10) < 10 * 200, 'a write waits for nobody any more')
  },
)

scenario(
  'H05 a leader whose disk is full gives way, the others go on, and it comes back whole when there is room',
  { size: 3 },
  (story) => {
    const { cluster } = story
    const n1 = story.start('n1').leader
    story.write(5)
    n1.disk.capacityBytes = n1.disk.usedBytes() + 100
    const writes = story.propose(20, n1)
    story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n1)
    story.await('all are answered', () => writes.every((write) => write.outcome !== 'pending'))
    story.awaitLeader()
    const [write] = story.write(1)
    const found = story.read(story.leader, write!.key)
    story.await('a read is answered', () => found.answered)
    assert.is(found.value, write!.serial)

    n1.disk.capacityBytes = Infinity
    cluster.kill(n1)
    story.restart(n1).expectConverged()
    expectService(story)
  },
)

scenario(
  'H05 while its disk runs short a leader refuses writes and answers reads, and takes writes again with room',
  { size: 3 },
  (story) => {
    const n1 = story.start('n1').leader
    const [before] = story.write(1)
    const space = (state: 'short' | 'ample') => n1.run('story:space', (node) => node.setDiskSpace(state))
    space('short')
    const refused = story.propose(5, n1)
    story.await('they are refused', () => refused.every((write) => write.outcome !== 'pending'))
    assert.ok(refused.every((write) => write.outcome !== 'acked'))
    const found = story.read(n1, before!.key)
    story.await('a read is answered', () => found.answered)
    assert.is(found.value, before!.serial)
    story.wait(5 * story.T).expectLeader(n1)
    space('ample')
    story.write(3)
    story.expectConverged()
  },
)

test.run()
