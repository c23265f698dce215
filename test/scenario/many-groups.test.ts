import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ManyGroups } from './many-groups.js'

const T = 1000
const GROUPS = 300
const FEWER = 100

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
  assert.is(world.network.messages.sent - sent, heartbeats, 'and nothing but heartbeats is said')
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

test.run()
