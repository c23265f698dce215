import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SimMember } from '../simulation/member.js'
import { change, changed, expectVoters, votersOf } from './changes.js'
import { type Story, scenario } from './scenario.js'

type Five = [SimMember, SimMember, SimMember, SimMember, SimMember]

scenario('three become five and three again, one and two at a time, while writes go on', { size: 3, joiners: 2 }, (story) => {
  story.start('n1').write(20)
  const [n1, n2, n3, n4, n5] = story.members as Five
  const ticker = writeOn(story)

  changed(story, [n1, n2, n3, n4])
  expectVoters(story, [n1, n2, n3, n4])
  changed(story, [n1, n2, n3, n4, n5])
  changed(story, [n1, n2, n3])
  changed(story, [n1, n4, n5])
  expectVoters(story, [n1, n4, n5])

  assert.equal(ticker.stop(), [], 'no write failed')
  story.await('all is acknowledged', () => ticker.records.every((record) => record.outcome === 'acked'))
})

scenario('E02 a second change while one is under way is refused', { size: 3, joiners: 2 }, (story) => {
  story.start('n1').write(3)
  const [n1, n2, n3, n4, n5] = story.members as Five

  story.cluster.kill(n4)
  const first = change(story, [n1, n2, n3, n4], n1, { catchupTimeoutMs: 10 * story.T })
  const second = change(story, [n1, n2, n3, n5], n1)
  story.wait(1)
  assert.equal([first.outcome, second.outcome], ['pending', 'EBUSY'])

  story.restart(n4)
  story.await('the first is done', () => first.outcome === 'OK')
  changed(story, [n1, n2, n3, n4, n5])
  story.expectConverged()
})

scenario(
  'E06 a leader that removes itself leads until that is committed, hands over at once and hears that it is out',
  { size: 3 },
  (story) => {
    story.start('n1').write(3)
    const [n1, n2, n3] = story.members as [SimMember, SimMember, SimMember]
    const removed: string[] = []
    story.cluster.onEvent = (member, event) => event.name === 'node.removed' && removed.push(member.name)

    changed(story, [n2, n3], n1)
    story.await('another leads', () => story.cluster.leader() !== null && story.cluster.leader() !== n1, story.T / 10)

    assert.is(votersOf(story, story.leader), 'n2,n3')
    assert.equal(removed, ['n1'])
    const { term } = story.leader.node!.status()
    story.wait(5 * story.T)
    assert.is(story.leader.node!.status().term, term, 'and it disturbs nobody')
    story.write(3)
  },
)

scenario('E08 a member that never answers is given up: the members stay, and nothing is left of it', { size: 3, joiners: 1 }, (story) => {
  story.start('n1').write(3)
  const [n1, n2, n3, n4] = story.members as Five
  story.cluster.kill(n4)

  const record = change(story, [n1, n2, n3, n4], n1, { catchupTimeoutMs: 3 * story.T })
  story.await('it is under way', () => n1.node!.status().membership.stage === 'catching_up')
  assert.is(n1.node!.status().peers.length, 3, 'progress shows who is to be added')
  story.await('it is given up', () => record.outcome !== 'pending', 4 * story.T)

  assert.is(record.outcome, 'ECATCHUP')
  assert.match(record.status.message, /^Peer 10\.0\.0\.4:7000:0:0 failed to catch up within \d+ ms: it never answered/)
  assert.equal([votersOf(story, n1), n1.node!.status().membership.stage, n1.node!.status().peers.length], ['n1,n2,n3', 'none', 2])
  story.write(3)
  story.restart(n4)
  changed(story, [n1, n2, n3, n4])
  story.expectConverged()
})

/** Writes one after the other until stopped; answers the outcomes that are no success. */
function writeOn(story: Story) {
  const { cluster } = story
  const records: ReturnType<Story['propose']> = []
  let active = true
  const next = () => {
    if (!active) return
    records.push(...story.propose(1))
    cluster.scheduler.schedule(2, null, 'story:writer', next)
  }
  next()
  return {
    records,
    stop: () => {
      active = false
      return records.map((record) => record.outcome).filter((outcome) => outcome !== 'acked' && outcome !== 'pending')
    },
  }
}

test.run()
