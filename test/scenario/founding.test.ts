import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode } from '../../src/raft/errors.js'
import { scenario } from './scenario.js'

scenario('J03 an empty group waits for every founder before it elects', { size: 3, killedBy: 'founding-without-all' }, (story) => {
  const { cluster } = story
  const [n1, n2, n3] = story.members
  story.restart(n1!, n2!)
  story.wait(10 * story.T)
  assert.is(cluster.leader(), null, 'two of three founders elected')
  assert.is(cluster.invariants.counts.elections, 0)

  story.restart(n3!).awaitLeader()
  story.write(2)
  story.expectConverged()
})

scenario('J03 a founder that loses power before and after the founding joins the same group', { size: 3 }, (story) => {
  const { cluster } = story
  for (let cut = 1; cut <= 12; cut++) {
    cluster.startAll()
    cluster.run(cut)
    cluster.crash(story.members[cut % 3]!)
  }
  story.restart(...story.members).awaitLeader()
  story.write(2)
  story.expectConverged()
})

scenario('E11 a member whose directory was lost does not vote, and the others go on', { size: 3 }, (story) => {
  const { cluster } = story
  const leader = story.start('n1').leader
  story.write(5)
  const lost = story.member('n3')
  cluster.crash(lost)
  lost.disk.wipe()

  story.restart(lost)
  story.await('it says that it must be rebuilt', () => lost.failed !== null)

  assert.is(lost.failed!.code, ErrorCode.EREBUILD)
  story.expectLeader(leader)
  story.write(3)
  cluster.crash(leader)
  story.wait(6 * story.T)
  assert.is(cluster.leader(), null, 'a lost directory voted')
})

scenario(
  'E11 two of three directories lost: nobody elects, so that nothing acknowledged is forgotten',
  { size: 3, killedBy: 'founding-without-all' },
  (story) => {
    const { cluster } = story
    story.start('n1')
    story.write(5)
    for (const name of ['n2', 'n3']) {
      cluster.crash(story.member(name))
      story.member(name).disk.wipe()
    }
    cluster.crash(story.member('n1'))

    story.restart(story.member('n2'), story.member('n3'))
    story.wait(10 * story.T)
    assert.is(cluster.leader(), null)
    story.restart(story.member('n1'))
    story.wait(10 * story.T)

    assert.is(cluster.leader(), null)
    for (const name of ['n2', 'n3']) assert.is(story.member(name).failed?.code, ErrorCode.EREBUILD)
  },
)

test.run()
