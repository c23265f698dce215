import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ManyGroups } from './many-groups.js'

const T = 1000
const GROUPS = 300

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

test.run()
