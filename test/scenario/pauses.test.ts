import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SimMember } from '../simulation/member.js'
import { type Story, scenario } from './scenario.js'

/**
 * n1 leads, is asked for reads and a write, and stands still for three election timeouts while another takes over. Then it goes
 * on, with everything that waited for it: requests, answers of others, its own timers.
 */
function standStill(story: Story): void {
  const { cluster } = story
  const n1 = story.start('n1').leader
  story.write(1)
  story.wait(story.T / 2)
  const said: string[] = []
  cluster.onEvent = (member, event) => {
    if (member === n1) said.push(event.name)
  }
  cluster.pause(n1)
  // It had taken this when it stopped.
  const caught = story.propose(3, n1)
  story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n1, 3 * story.T)
  const { leader } = story
  const { term } = leader.node!.status()
  const [write] = story.write(1, leader)
  const reads = [story.read(n1, 0), story.read(n1, 0)]
  story.wait(Math.max(0, 3 * story.T - 2 * story.T))
  cluster.resume(n1)
  reads.push(story.read(n1, 0))
  story.wait(2 * story.T)

  for (const read of reads) assert.ok(read.value === null || read.value === write!.serial, `a stale ${read.value}`)
  assert.ok(said.includes('node.stood-still'), `n1 did not notice: ${said}`)
  story.expectLeader(leader)
  assert.is(leader.node!.status().term, term, 'its successor was disturbed')
  for (const record of caught) assert.is.not(record.outcome, 'acked', 'a write of the past was acknowledged')
  story.expectConverged()
  assert.is(leader.machine!.registers.get(0), write!.serial, 'a late side effect')
}

scenario(
  'I02 a leader that was stopped for three election timeouts answers no read of its past, and what it had taken has no late effect',
  { size: 3, killedBy: 'standing-still-unnoticed' },
  standStill,
)

scenario('I02 nor does one that reads by its lease', { size: 3, node: { leaderLease: true } }, standStill)

scenario(
  'I03 a process whose event loop was blocked for two election timeouts notices by its clock, as leader and as follower, and says so',
  { size: 3, killedBy: 'standing-still-unnoticed' },
  (story) => {
    const { cluster } = story
    const [n1, , n3] = story.start('n1').members as [SimMember, SimMember, SimMember]
    story.write(2)
    const noticed = new Map<string, number>()
    cluster.onEvent = (member, event) => {
      if (event.name === 'node.stood-still') noticed.set(member.name, event.forMs)
    }
    for (const member of [n3, n1]) {
      cluster.pause(member)
      story.wait(2 * story.T)
      cluster.resume(member)
      const read = story.read(member, 0)
      story.await('it noticed', () => noticed.has(member.name), story.T)
      assert.ok(noticed.get(member.name)! > story.T / 2)
      story.await('its read is answered', () => read.answered, 2 * story.T)
      story.awaitLeader()
    }
    story.write(1)
    story.wait(story.T).expectConverged()
    assert.not(noticed.has('n2'), 'n2 never stood still')
  },
)

test.run()
