import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Clock } from '../../src/raft/environment.js'
import type { SimMember } from '../simulation/member.js'
import { type Story, scenario } from './scenario.js'

const LEASES = { size: 3, node: { leaderLease: true } } as const

/** Reads by lease through `member` all the time, until `until`; the history judges every answer. Counts those that were answered. */
function readOn(story: Story, member: SimMember, everyMs: number, until: () => boolean): { answered: number } {
  const { cluster } = story
  const counted = { answered: 0 }
  const again = (): void => {
    if (until()) return
    cluster.read(member, 0, story.T, (value) => {
      if (value !== null) counted.answered++
    })
    cluster.scheduler.schedule(everyMs, null, 'story:read', again)
  }
  again()
  return counted
}

function leaseOf(member: SimMember) {
  return member.node!.getLeaderLeaseStatus()
}

/** n1 is cut off while its lease is fresh; both it and its successor are read from as soon as they can answer. */
function twoReaders(story: Story): SimMember {
  const { cluster } = story
  const n1 = story.start('n1').leader
  story.write(1)
  delayGivingUp(story, n1)
  let over = false
  const old = readOn(story, n1, story.T / 100, () => over)
  story.wait(1.5 * story.T)
  assert.ok(leaseOf(n1).state === 'valid' && old.answered > 10, 'n1 answers by its lease')
  cluster.isolate(n1)
  const leader = awaitSuccessor(story, n1)
  story.write(3, leader)
  assert.ok(n1.node!.isLeader())
  story.wait(story.T)
  over = true
  return n1
}

/** The timer by which this process would give up leading is late by T: its lease alone keeps it from reading of the past. */
function delayGivingUp(story: Story, member: SimMember): void {
  const clock = member.process!.clock as { schedule: Clock['schedule'] }
  const schedule = clock.schedule.bind(clock)
  clock.schedule = (delayMs, fn, label) => schedule(label === 'stepdown' ? delayMs + story.T : delayMs, fn, label)
}

/** n2 is told to campaign all the time: it does so as soon as it may. */
function awaitSuccessor(story: Story, n1: SimMember): SimMember {
  const { cluster } = story
  const [, n2, n3] = story.members as [SimMember, SimMember, SimMember]
  n3.run('story:vote', (node) => node.vote(() => {}))
  const urge = (): void => {
    n2.run('story:vote', (node) => node.vote(() => {}))
    if (!n2.node!.isLeader()) cluster.scheduler.schedule(2, null, 'story:vote', urge)
  }
  urge()
  story.await('another leads', () => cluster.up.some((member) => member !== n1 && member.node!.isLeader()), 4 * story.T)
  return cluster.up.find((member) => member !== n1 && member.node!.isLeader())!
}

scenario(
  'D07 a leader that was cut off answers no read by its lease once another can have been elected',
  { ...LEASES, killedBy: 'lease-from-the-answer' },
  (story) => {
    const { cluster } = story
    // The answers to n1 take long: what they prove is as old as the request.
    const n1 = story.start('n1').leader
    story.write(1)
    delayGivingUp(story, n1)
    let over = false
    readOn(story, n1, story.T / 100, () => over)
    story.wait(1.5 * story.T)
    for (const other of story.followers) cluster.clog(other, n1, 0.9 * story.T)
    story.wait(0.2 * story.T)
    for (const other of story.followers) cluster.cutOneWay(n1, other)
    story.wait(0.75 * story.T)
    cluster.isolate(n1)
    const leader = awaitSuccessor(story, n1)
    story.write(1, leader)
    assert.ok(n1.node!.isLeader())
    assert.is(leaseOf(n1).state, 'expired')
    story.wait(story.T)
    over = true
    cluster.heal()
    story.wait(story.T).expectConverged()
  },
)

scenario(
  'D07 a lease outlasts no promise: those who were asked to campaign while they hold one wait for its end',
  { ...LEASES, killedBy: 'promise-ends-with-the-leader' },
  (story) => {
    twoReaders(story)
    story.cluster.heal()
    story.wait(story.T).expectConverged()
  },
)

scenario(
  'D06 a leader whose clock is slow, within the drift that is allowed for, answers no read of the past',
  { ...LEASES, clockRates: [0.96, 1.04, 1.04], killedBy: 'lease-without-drift' },
  (story) => {
    twoReaders(story)
    story.cluster.heal()
    story.wait(story.T).expectConverged()
  },
)

scenario('D06 a leader whose clock is fast answers no read of the past', { ...LEASES, clockRates: [1.04, 0.96, 0.96] }, (story) => {
  twoReaders(story)
  story.cluster.heal()
  story.wait(story.T).expectConverged()
})

scenario(
  'D06 a clock that goes back ends the lease of that leadership; its reads are confirmed by the others again',
  { ...LEASES, killedBy: 'clock-that-went-back-believed' },
  (story) => {
    const { cluster } = story
    const n1 = story.start('n1').leader
    story.write(1)
    assert.is(leaseOf(n1).state, 'valid')

    const clock = n1.process!.clock as { now(): number }
    const now = clock.now.bind(clock)
    clock.now = () => now() - 0.8 * story.T
    let over = false
    readOn(story, n1, story.T / 100, () => over)
    cluster.isolate(n1)
    const leader = awaitSuccessor(story, n1)
    story.write(1, leader)
    assert.is.not(leaseOf(n1).state, 'valid')
    story.wait(story.T)
    over = true
    cluster.heal()
    story.wait(3 * story.T).expectConverged()
  },
)

scenario(
  'D11 whoever hands leadership over holds no lease from then on, and none in that term though nobody took over',
  { ...LEASES, killedBy: 'lease-outlives-release' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3] = story.start('n1').members as [SimMember, SimMember, SimMember]
    story.write(1)
    assert.is(leaseOf(n1).state, 'valid')
    const { term } = n1.node!.status()

    // The target is told to campaign, and n1 hears nothing more of anybody until it goes on as the leader.
    cluster.onEvent = (member, event) => {
      if (member !== n2 || event.name !== 'election.started') return
      cluster.isolate(n1)
    }
    n1.run('story:transfer', (node) => node.transferLeadershipTo(n2.peerId, () => {}))
    const during = story.read(n1, 0)
    story.wait(1)
    assert.is(leaseOf(n1).state, 'expired')
    story.await('n2 leads', () => n2.node!.isLeader(), story.T)
    story.write(1, n2)
    const after = story.read(n1, 0)
    story.wait(1)
    assert.not(after.answered, 'n1 answered of its past')
    story.wait(3 * story.T)
    assert.ok(during.answered)
    cluster.onEvent = () => {}
    cluster.heal()
    story.wait(story.T).awaitLeader()

    // Nobody took over: n3 is told and cannot reach the others.
    const leader = story.start('n1').leader
    const { term: now } = leader.node!.status()
    assert.ok(now > term)
    n3.run('story:deaf', (node) => Object.assign(node.handler, { handleTimeoutNow: () => {} }))
    leader.run('story:transfer', (node) => node.transferLeadershipTo(n3.peerId, () => {}))
    story.wait(2 * story.T)
    story.expectLeader(n1)
    assert.is(n1.node!.status().term, now)
    assert.is(leaseOf(n1).state, 'expired', 'its followers were released in this term')
    const confirmed = story.read(n1, 0)
    story.await('reads go on by asking', () => confirmed.value !== null, story.T)
  },
)

scenario('D11 a transfer that never came to releasing the followers gives the lease back, in a new epoch', LEASES, (story) => {
  const { cluster } = story
  const [n1, n2] = story.start('n1').members as [SimMember, SimMember]
  story.write(1)
  const before = leaseOf(n1)
  cluster.stallDisk(n2, 3 * story.T)
  story.propose(1)
  story.wait(1)
  n1.run('story:transfer', (node) => node.transferLeadershipTo(n2.peerId, () => {}))
  story.wait(1)
  assert.is(leaseOf(n1).state, 'expired')
  story.await('n1 goes on', () => n1.node!.isLeader(), 2 * story.T)
  story.await('its lease is valid again', () => n1.node!.isLeaderLeaseValid(), story.T)
  assert.is(leaseOf(n1).term, before.term)
  assert.ok(leaseOf(n1).leaseEpoch! > before.leaseEpoch!)
  story.wait(3 * story.T).expectConverged()
})

scenario(
  'D07 a member that was restarted keeps the promise it does not remember',
  { ...LEASES, killedBy: 'promise-forgotten-by-a-restart' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3] = story.start('n1').members as [SimMember, SimMember, SimMember]
    story.write(1)
    let over = false
    const old = readOn(story, n1, story.T / 100, () => over)
    story.wait(story.T / 5)
    cluster.isolate(n1)
    for (const member of [n2, n3]) cluster.kill(member)
    story.restart(n2, n3)
    story.await('another leads', () => [n2, n3].some((member) => member.node!.isLeader()), 4 * story.T)
    story.write(1, n2.node!.isLeader() ? n2 : n3)
    assert.ok(old.answered > 10)
    story.wait(story.T)
    over = true
    cluster.heal()
    story.wait(story.T).expectConverged()
  },
)

scenario(
  'D07 a leader that listens no more is not given up before its lease is over',
  { ...LEASES, killedBy: 'gone-leader-frees-promises' },
  (story) => {
    const { cluster } = story
    const [n1, n2] = story.start('n1').members as [SimMember, SimMember]
    story.write(1)
    cluster.kill(n1)
    story.wait(0.8 * story.T)
    assert.is(cluster.leader(), null, 'a promise was broken')
    story.await('another leads', () => cluster.leader() !== null, 3 * story.T)
    assert.is.not(leaseOf(cluster.leader()!).state, 'disabled')
    story.restart(n1).wait(story.T)
    story.expectConverged()
    assert.ok(n2.isUp)
  },
)

scenario('D01 a new leader has no lease before an entry of its own term is committed', LEASES, (story) => {
  const { cluster } = story
  const n1 = story.start('n1').leader
  story.write(2)
  cluster.kill(n1)
  cluster.onEvent = (member, event) => {
    if (event.name === 'election.won') for (const other of story.members) if (other !== member) cluster.stallDisk(other, story.T)
  }
  story.await('another leads', () => cluster.leader() !== null, 4 * story.T)
  assert.is(leaseOf(story.leader).state, 'not-ready')
  const read = story.read(story.leader, 0)
  story.wait(story.T / 2)
  assert.not(read.answered)
  story.await('the read is answered', () => read.answered, 2 * story.T)
  story.await('the lease is valid', () => leaseOf(story.leader).state === 'valid', story.T)
})

test.run()
