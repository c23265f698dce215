import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ELECTIONS_MAX } from '../../src/raft/election-gate.js'
import { ManyGroups } from './many-groups.js'

const T = 1000
const GROUPS = 300
const FEWER = 60

test('I09 hundreds of groups that restart together elect about once each, spread over the time that they have', () => {
  const world = new ManyGroups(GROUPS, T, 1)
  world.restart()
  world.run(3 * T)
  assert.is(world.led, GROUPS, 'the groups were founded')

  const since = world.scheduler.now
  world.restart()
  world.run(T)
  assert.is(world.led, GROUPS, `${world.led} of ${GROUPS} groups are led an election timeout after the restart`)
  const elections = world.timesOf('election.started', since)
  assert.ok(elections.length < 1.2 * GROUPS, `${elections.length} elections of ${GROUPS} groups`)
  const inTwentieth = new Map<number, number>()
  for (const at of elections) {
    const slot = Math.floor((at - since) / (T / 20))
    inTwentieth.set(slot, (inTwentieth.get(slot) ?? 0) + 1)
  }
  const most = Math.max(...inTwentieth.values())
  assert.ok(most < GROUPS / 2, `${most} elections within a twentieth of an election timeout`)

  const settled = world.scheduler.now
  const { sent } = world.network.messages
  world.run(2 * T)
  assert.is(world.countOf('election.started', settled), 0, 'nobody is deposed by the load of the others')
  const heartbeats = 2 * GROUPS * ((2 * T) / (T / 10))
  assert.is(world.network.messages.sent - sent, heartbeats / 2, 'and nothing is said but every second heartbeat')
})

test('I09 a process that dies costs each group that it led about one election, and the others none', () => {
  const world = new ManyGroups(FEWER, T, 2)
  world.restart()
  world.run(3 * T)
  assert.is(world.led, FEWER, 'the groups were founded')

  const lost = world.ledBy(0)
  assert.ok(lost > FEWER / 10, `it led ${lost} of ${FEWER}`)
  const since = world.scheduler.now
  world.kill(0)
  world.run(T)
  assert.is(world.led, FEWER, `${world.led} of ${FEWER} groups are led an election timeout later`)
  const [started, won] = [world.countOf('election.started', since), world.countOf('election.won', since)]
  assert.is(won, lost, 'only those that lost their leader elected another')
  assert.ok(started < 1.5 * lost, `${started} elections for ${lost} groups`)

  world.run(3 * T)
  assert.is(world.countOf('election.started', since), started, 'and then it is quiet')
})

/** Processes under load answer after a fifth of an election timeout or more. */
const LOADED = { delayMs: [80, 120] } as const

test('I09 groups that are created on loaded nodes do not outbid each other: about one election each', () => {
  const world = new ManyGroups(FEWER, T, 3, LOADED)
  world.restart()
  world.run(5 * T)
  assert.is(world.led, FEWER, 'all are led')
  const [started, won] = [world.countOf('election.started', 0), world.countOf('election.won', 0)]
  assert.ok(started < 1.2 * FEWER, `${started} elections, ${won} of them won, for ${FEWER} groups`)
})

test('I09 a process that dies under load costs each group that it led about one election', () => {
  const world = new ManyGroups(FEWER, T, 4, LOADED)
  world.restart()
  world.run(10 * T)
  assert.is(world.led, FEWER, 'the groups were founded')

  const lost = world.ledBy(0)
  const since = world.scheduler.now
  world.kill(0)
  world.run(4 * T)
  assert.is(world.led, FEWER, `${world.led} of ${FEWER} groups are led four election timeouts later`)
  const started = world.countOf('election.started', since)
  assert.ok(started < 1.3 * lost, `${started} elections for ${lost} groups`)
})

test('I09 groups that cannot elect anybody keep none of the others from it', () => {
  const stuck = 3 * (ELECTIONS_MAX + 5)
  const led = 20
  const isStuck = (group: number) => group < stuck
  const world = new ManyGroups(stuck + led, T, 5, { runs: (process, group) => !isStuck(group) || group % 3 === process })
  world.restart()
  world.run(3 * T)
  assert.is(world.led, led)
  assert.ok(world.ledBy(0) > 0)

  world.kill(0)
  world.run(4 * T)
  assert.is(world.led, led, 'those that lost their leader have another')
})

test.run()
