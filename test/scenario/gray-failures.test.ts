import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { WriteStage } from '../../src/raft/write-latency.js'
import { SimRandom } from '../../src/testing/sim-random.js'
import type { WriteRecord } from '../simulation/history.js'
import type { SimMember } from '../simulation/member.js'
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

function space(state: 'short' | 'ample', ...members: readonly SimMember[]): void {
  for (const member of members) member.run('story:space', (node) => node.setDiskSpace(state))
}

/** How many elections were won, and how often leadership was given away, from now on. */
function countMoves(story: Story): { elections: number; handovers: number } {
  const moves = { elections: 0, handovers: 0 }
  story.cluster.onEvent = (_member, { name }) => {
    if (name === 'election.won') moves.elections++
    if (name === 'leader.handover') moves.handovers++
  }
  return moves
}

function expectReads(story: Story, key: number, value: number): void {
  const found = story.read(story.leader, key)
  story.await('a read is answered', () => found.answered)
  assert.equal([found.status.ok, found.value], [true, value], `${found.status}`)
}

scenario(
  'H05 a leader whose disk runs short hands over, and writes go on within two election timeouts',
  { size: 3, killedBy: 'short-leader-stays' },
  (story) => {
    const { cluster } = story
    const n1 = story.start('n1').leader
    story.write(5)
    const moves = countMoves(story)
    space('short', n1)
    story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n1, story.T)
    story.awaitLeader(story.T)
    const [write] = story.write(5)
    expectReads(story, write!.key, write!.serial)
    story.wait(10 * story.T)
    assert.equal(moves, { elections: 1, handovers: 1 })
    assert.is(n1.node!.status().state, 'FOLLOWER')

    space('ample', n1)
    story.expectConverged()
    expectService(story)
  },
)

/** All disks are full: nothing moves, and reads go on. */
function tellAllShort(story: Story): void {
  const n1 = story.start('n1').leader
  const [before] = story.write(1)
  const moves = countMoves(story)
  space('short', ...story.followers)
  story.wait(story.T)
  space('short', n1)
  const refused = story.propose(5, n1)
  story.await('they are refused', () => refused.every((write) => write.outcome !== 'pending'))
  assert.ok(refused.every((write) => write.outcome === 'refused'))
  for (let i = 0; i < 20; i++) {
    expectReads(story, before!.key, before!.serial)
    story.wait(story.T)
  }
  assert.equal(moves, { elections: 0, handovers: 0 })
  story.expectLeader(n1)
  space('ample', ...story.members)
  story.write(3)
  story.expectConverged()
}

scenario(
  'H05 where all three disks run short nobody moves: one leader, no writes, and every read is answered',
  { size: 3, killedBy: 'short-successor-asked' },
  tellAllShort,
)

scenario('H05 where all five disks run short nobody moves either', { size: 5 }, tellAllShort)

scenario(
  'H05 disks that fill one after the other move leadership once each while that helps, and never back',
  { size: 5, killedBy: 'short-leader-gives-way-in-vain' },
  (story) => {
    story.start('n1')
    let [newest] = story.write(1)
    const moves = countMoves(story)
    const short: SimMember[] = []
    for (let i = 0; i < 2; i++) {
      const { leader } = story
      short.push(leader)
      space('short', leader)
      story.await('another leads', () => story.cluster.leader() !== null && story.cluster.leader() !== leader)
      story.awaitLeader()
      newest = story.write(2)[0]
    }
    assert.equal(moves, { elections: 2, handovers: 2 })
    // Two of five have space beside it: writes stop wherever leadership is.
    const { leader } = story
    space('short', leader)
    story.wait(20 * story.T)
    assert.equal(moves, { elections: 2, handovers: 2 })
    story.expectLeader(leader)
    expectReads(story, newest!.key, newest!.serial)

    space('ample', short[0]!)
    story.await('leadership moves on', () => moves.elections === 3)
    story.awaitLeader()
    assert.ok(!short.slice(1).includes(story.leader) && story.leader !== leader)
    story.write(2)
    space('ample', ...story.members)
    story.expectConverged()
  },
)

scenario(
  'H05 whoever is short campaigns for nothing while another can, and is elected where only it holds the log',
  { size: 3, killedBy: 'short-disk-campaigns' },
  (story) => {
    const { cluster } = story
    const n1 = story.start('n1').leader
    const [n2, n3] = [story.member('n2'), story.member('n3')]
    story.write(3)
    for (let round = 0; round < 5; round++) {
      space('short', n2)
      const campaigns: string[] = []
      cluster.onEvent = (member, { name }) => void (name === 'prevote.started' && campaigns.push(member.name))
      cluster.kill(n1)
      story.await('n3 leads', () => cluster.leader() === n3, 4 * story.T)
      assert.ok(!campaigns.includes('n2'), 'n2 campaigned')
      story.restart(n1)
      space('ample', n2)
      story.expectConverged()
      n3.run('story:back', (node) => node.transferLeadershipTo(n1.peerId, () => {}))
      story.await('n1 leads', () => cluster.leader() === n1)
      story.expectConverged()
    }

    // What n2 holds n3 lacks: only n2 can be elected, and hands over once n1 and n3 are level.
    cluster.kill(n3)
    story.write(3)
    space('short', n2)
    cluster.kill(n1)
    story.restart(n3)
    story.await('n2 leads', () => cluster.leader() === n2, 6 * story.T)
    story.restart(n1)
    story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n2, 5 * story.T)
    story.awaitLeader()
    story.write(3)
    space('ample', n2)
    story.expectConverged()
  },
)

scenario('H05 a successor whose disk fills just then declines, and the next one is asked', { size: 5 }, (story) => {
  const { cluster } = story
  const n1 = story.start('n1').leader
  story.write(3)
  const filled: SimMember[] = []
  cluster.onEvent = (_member, event) => {
    if (event.name !== 'leader.handover' || filled.length > 0) return
    filled.push(...cluster.members.filter((member) => member.peerId.equals(event.target)))
    space('short', ...filled)
  }
  space('short', n1)
  story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n1, 2 * story.T)
  assert.is(filled.length, 1)
  assert.is.not(cluster.leader(), filled[0])
  story.awaitLeader()
  story.write(3)
  space('ample', ...story.members)
  story.expectConverged()
})

scenario('a leader tells a slow disk of its own from slow disks of the others', { size: 3 }, (story) => {
  const { cluster } = story
  const n1 = story.start('n1').leader
  const slow = { own: 1, others: 1 }
  const measure = () => {
    for (const member of story.members) member.profile.slowness = member === n1 ? slow.own : slow.others
    const before = n1.node!.status().writeLatency
    for (let i = 0; i < 30; i++) {
      const [write] = story.propose(1)
      story.await('a write is acknowledged', () => write!.outcome === 'acked')
    }
    story.wait(story.T)
    assert.is(cluster.leader(), n1)
    const after = n1.node!.status().writeLatency
    const mean = (stage: WriteStage) => {
      const [{ sumMs, count }, earlier] = [after![stage]!, before?.[stage]]
      return (sumMs - (earlier?.sumMs ?? 0)) / (count - (earlier?.count ?? 0))
    }
    return { append: mean('append'), replicate: mean('replicate'), commit: mean('commit'), total: mean('total') }
  }

  const well = measure()
  slow.own = 20
  const ownSlow = measure()
  slow.own = 1
  slow.others = 20
  const othersSlow = measure()

  assert.ok(ownSlow.append > 5 * well.append, JSON.stringify({ well, ownSlow }))
  assert.ok(ownSlow.replicate < 2 * well.replicate, JSON.stringify({ well, ownSlow }))
  assert.ok(ownSlow.commit < ownSlow.append, 'two others commit without it')
  assert.ok(othersSlow.append < 2 * well.append, JSON.stringify({ well, othersSlow }))
  assert.ok(othersSlow.replicate > 3 * well.replicate, JSON.stringify({ well, othersSlow }))
  assert.ok(othersSlow.total > 3 * well.total, JSON.stringify({ well, othersSlow }))
})

test.run()
