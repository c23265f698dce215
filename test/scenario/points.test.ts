import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { FailpointName } from '../../src/raft/failpoints.js'
import { ProcessEnded } from '../../src/testing/scheduler.js'
import type { SimMember } from '../simulation/member.js'
import { change } from './changes.js'
import { type Story, scenario } from './scenario.js'

/** Takes the power from whoever comes to that point first, and answers who that was. */
function dieAt(story: Story, name: FailpointName, keep: number, member: SimMember | null = null): { victim: SimMember | null } {
  const struck = { victim: null as SimMember | null }
  story.cluster.points.arm(name, member, (victim) => {
    struck.victim = victim
    story.cluster.crash(victim, { keep })
    throw new ProcessEnded(name)
  })
  return struck
}

for (const keep of [0, 0.5, 1]) {
  scenario(
    `G01 a member that dies while its log starts anew behind a snapshot comes back whole, ${keep * 100} % of what was not synced kept`,
    { size: 3 },
    (story) => {
      const { cluster } = story
      const n3 = story.start('n3').leader
      story.write(5)
      cluster.isolate(n3)
      story.propose(40, n3)
      story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n3)
      const leader = story.awaitLeader()
      story.write(10, leader)
      for (let i = 0; i < 2; i++) {
        let taken = false
        leader.run('story:snapshot', (node) => node.snapshot(() => (taken = true)))
        story.await('a snapshot', () => taken)
      }
      const struck = dieAt(story, 'log.reset-emptied', keep)
      cluster.heal()
      story.await('n3 dies there', () => struck.victim === n3)
      story.write(3, leader)
      cluster.start(n3)
      story.expectConverged()
      story.write(3)
      story.expectConverged()
    },
  )
}

const STEPS: readonly FailpointName[] = [
  'configuration.joint-proposed',
  'configuration.joint-committed',
  'configuration.stable-proposed',
  'configuration.committed',
]

for (const step of STEPS) {
  scenario(`a leader that dies at ${step} leaves a change of the members that its successor ends`, { size: 3, joiners: 2 }, (story) => {
    const { cluster } = story
    const { leader } = story.start('n1')
    story.write(5)
    const target = [story.member('n1'), story.member('n4'), story.member('n5')]
    for (const member of target) cluster.start(member)
    const struck = dieAt(story, step, 0.5)
    change(story, target)
    story.await(`the leader dies at ${step}`, () => struck.victim === leader)
    cluster.start(leader)
    story.await('a change that is over', () => {
      const successor = cluster.leader()
      if (!successor) return false
      const { configuration, configurationCommitted, leaderReadyForMs } = successor.node!.status()
      return configuration.isStable && configurationCommitted && leaderReadyForMs !== null
    })
    const conf = story.leader.node!.status().configuration.conf.peers.map((peer) => cluster.memberOf(peer).name)
    const isOld = conf.join() === 'n1,n2,n3'
    assert.ok(isOld || conf.join() === 'n1,n4,n5', conf.join())
    if (step !== 'configuration.joint-proposed') assert.not(isOld, 'what was committed is undone')
    story.write(3)
  })
}

test.run()
