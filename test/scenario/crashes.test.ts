import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SimMember } from '../simulation/member.js'
import { RegisterMachine } from '../simulation/register-machine.js'
import { deliver, hand, record } from './appends.js'
import { type Story, scenario } from './scenario.js'

type Five = [SimMember, SimMember, SimMember, SimMember, SimMember]

/** The files of term and vote, and none of the log. */
const META_FILES = /meta/

/**
 * n1 leads and is cut off with an append for n3 under way; another leads a later term. n3, which was cut off as well, is
 * handed entries of that leader: they are on its disk, the term that they were sent in is not.
 */
function entriesBeforeTheirTerm(story: Story) {
  const { cluster } = story
  const [n1, n2, n3, n4, n5] = story.start('n1').members as Five
  story.write(3)
  story.await('n3 has them', () => n3.machine!.lastWriteIndex === n1.machine!.lastWriteIndex)
  const { term } = n1.node!.status()
  const toThree = record(story, n3)
  const toOthers = [n2, n4, n5].map((member) => record(story, member))
  cluster.partition([n1], [n2, n3, n4, n5])
  cluster.isolate(n3)
  story.propose(4, n1)
  story.await('n1 sends them to n3', () => toThree.some((request) => request.entries))
  const stale = toThree.find((request) => request.entries)!
  story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n1, 6 * story.T)
  const [write] = story.write(1, story.awaitLeader())

  cluster.stallDisk(n3, 20 * story.T, META_FILES)
  const follows = n3.node!.status().lastId.index + 1
  const newer = toOthers.flat().find((request) => request.term > term && request.entries?.firstIndex === follows)!
  const told = hand(story, n3, newer)
  story.await('they are on the disk of n3', () => n3.image.log.entryAt(follows)?.term === newer.term)
  story.wait(story.T / 4)
  assert.is(n3.image.meta().term, term, 'their term is there as well')

  const crash = () => {
    cluster.crash(n3, { keep: 0 })
    n3.profile.stalledUntil = 0
    story.restart(n3)
    story.await('n3 takes part', () => n3.node!.status().state === 'FOLLOWER')
  }
  return { n3, stale, newer, told, write: write!, crash }
}

scenario(
  'A06 entries that are on disk before the term they were sent in are not acknowledged, and no stale leader cuts them after a crash',
  { size: 5, killedBy: 'entries-before-their-term' },
  (story) => {
    const { n3, stale, newer, told, write, crash } = entriesBeforeTheirTerm(story)
    assert.is(told.answer, null, 'they were acknowledged')
    crash()

    const answer = deliver(story, n3, stale)
    story.wait(1)

    assert.is(answer.success, false)
    assert.is(n3.image.log.entryAt(newer.entries!.firstIndex)?.term, newer.term, 'the stale leader cut them')
    story.cluster.heal()
    story.expectConverged()
    assert.ok(story.cluster.history.committed.has(write.index))
  },
)

scenario(
  'A04 a member whose log saw a term that its record of term and vote lacks starts in a later one',
  { size: 5, killedBy: 'boot-term-of-the-record' },
  (story) => {
    const { n3, newer, crash } = entriesBeforeTheirTerm(story)
    crash()
    assert.ok(n3.node!.status().term > newer.term, 'it could vote once more in a term that it has forgotten')
    story.cluster.heal()
    story.expectConverged()
  },
)

scenario('C02 power lost at any moment between an entry and its application: each is applied exactly once', { size: 3 }, (story) => {
  const { cluster } = story
  story.start()
  for (let cut = 0; cut < 40; cut++) {
    story.write(1)
    story.propose(10)
    for (let i = 0; i < cut * 3; i++) cluster.scheduler.step()
    for (const member of story.members) cluster.crash(member)
    story.restart(...story.members).awaitLeader()
  }
  story.expectConverged()
  for (const member of story.members) assert.is(wrongState(story, member), null)
})

scenario(
  'C02 power lost at any moment of a snapshot: what it holds and what is applied after it make each entry once',
  { size: 1, createMachine: (listener) => new RegisterMachine(listener, 100_000), killedBy: 'snapshot-dated-late' },
  (story) => {
    const { cluster } = story
    const n1 = story.start().leader
    const starts = new Set<number>()
    for (let cut = 0; cut < 60; cut++) {
      story.write(2)
      n1.run('story:snapshot', (node) => node.snapshot(() => {}))
      for (let i = 0; i < cut * 3; i++) {
        if (i % 12 === 0) story.propose(2, n1)
        cluster.scheduler.step()
      }
      cluster.crash(n1)
      story.restart(n1).awaitLeader()
      starts.add(n1.node!.status().snapshot.id.index)
      assert.is(wrongState(story, n1), null)
    }
    assert.ok(starts.size > 10, `only ${starts.size} snapshots were started from`)
  },
)

/** How the state of a member differs from what the committed writes make; null when it does not. */
function wrongState(story: Story, member: SimMember): string | null {
  return story.cluster.history.differenceAt(member.node!.status().appliedIndex, member.machine!)
}

test.run()
