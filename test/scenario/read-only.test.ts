import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { errorName, type Status } from '../../src/raft/errors.js'
import type { SimMember } from '../simulation/member.js'
import { change, changed } from './changes.js'
import { type Story, scenario } from './scenario.js'

type Three = [SimMember, SimMember, SimMember]
type Five = [...Three, SimMember, SimMember]

/** They enter read-only mode, and their leader hears of it. */
function enter(story: Story, ...members: readonly SimMember[]): void {
  for (const member of members) member.run('story:read-only', (node) => node.enterReadonlyMode())
  story.wait(story.T / 2)
}

function leave(story: Story, ...members: readonly SimMember[]): void {
  for (const member of members) member.run('story:writable', (node) => node.leaveReadonlyMode())
  story.wait(story.T / 2)
}

/** Why the leader takes no task now. */
function refused(story: Story): string {
  const told: Status[] = []
  const { leader } = story
  const [record] = story.propose(1)
  leader.run('story:apply', (node) => node.apply({ data: Buffer.from('x'), done: { run: (status) => void told.push(status) } }))
  story.wait(10)
  story.expectOutcome([record!], 'refused')
  assert.is(errorName(told[0]!.code), 'EREADONLY')
  return told[0]!.message
}

const isReadonly = (member: SimMember) => member.node!.status().readonly
const lastOf = (member: SimMember) => member.node!.status().lastId.index
/** What the leader knows of each other member: from where on it is sent nothing but configurations. */
const readonlyFrom = (story: Story) => story.leader.node!.status().peers.map(({ readonlyIndex }) => readonlyIndex)

scenario('a leader in read-only mode takes no task and answers reads; out of it, it takes them again', { size: 3 }, (story) => {
  const n1 = story.start('n1').leader
  story.write(3)
  const last = lastOf(n1)
  enter(story, n1)

  assert.is(refused(story), 'this leader is in read-only mode: call leaveReadonlyMode() on it, or hand leadership over')
  const read = story.read(n1, 1)
  story.wait(story.T / 2)
  assert.equal([read.answered, read.status.ok], [true, true], 'reads go on')
  assert.equal(story.members.map(isReadonly), [true, false, false])
  assert.is(lastOf(n1), last)
  leave(story, n1)
  story.write(3)
  story.expectLeader(n1).expectConverged()
})

scenario(
  'a member in read-only mode is sent no tasks that were taken after it said so, and all of them once it leaves',
  { size: 3, killedBy: 'readonly-member-sent-tasks' },
  (story) => {
    const [n1, n2, n3] = story.start('n1').members as Three
    story.write(3)
    const before = lastOf(n1)
    enter(story, n2)

    story.write(5)
    story.wait(2 * story.T)
    assert.equal([lastOf(n2), lastOf(n3)], [before, before + 5])
    assert.equal(readonlyFrom(story), [before + 1, 0])
    assert.equal(story.members.map(isReadonly), [false, true, false])
    // Heartbeats reach it: it stands by its leader, and its leader by it.
    story.expectLeader(n1)
    leave(story, n2)
    story.await('it has what it was not sent', () => lastOf(n2) === lastOf(n1))
    story.expectConverged()
  },
)

scenario(
  'a read at a member in read-only mode that lacks what it needs is refused at once, and not left to its deadline',
  { size: 3, killedBy: 'readonly-read-waits' },
  (story) => {
    const n2 = story.start('n1').members[1]!
    story.write(3)
    enter(story, n2)
    const level = story.read(n2, 1)
    story.wait(story.T / 2)
    assert.equal([level.answered, level.status.ok], [true, true], 'it lacks nothing')

    story.write(1)
    const behind = story.read(n2, 1)
    story.wait(story.T / 2)
    assert.equal([behind.answered, errorName(behind.status.code)], [true, 'EREADONLY'])
    assert.match(behind.status.message, 'is in read-only mode and is not sent entry')
    leave(story, n2)
    story.expectConverged()
  },
)

scenario(
  'without a writable quorum the leader says which members are in read-only mode, and still changes the members',
  { size: 3, joiners: 1, killedBy: 'readonly-majority-takes-tasks' },
  (story) => {
    const [n1, n2, n3, n4] = story.start('n1').members as Five
    story.write(3)
    enter(story, n2)
    story.write(2)
    enter(story, n3)

    assert.is(
      refused(story),
      '10.0.0.2:7000:0:0, 10.0.0.3:7000:0:0 are in read-only mode, and 1 of 3 members make no quorum: call leaveReadonlyMode() on them, or change the members',
    )
    assert.is(isReadonly(n1), true)
    // n3 holds all that was taken, so the entry of the change follows at once: n1, n3 and n4 make the quorum of four.
    changed(story, [n1, n2, n3, n4])
    assert.is(lastOf(n3), lastOf(n1))
    assert.match(refused(story), /^10\.0\.0\.2:7000:0:0, 10\.0\.0\.3:7000:0:0 are in read-only mode, and 2 of 4 members/)
    changed(story, [n1, n3, n4])
    story.write(2)
    leave(story, n3)
    changed(story, [n1, n2, n3, n4])
    leave(story, n2)
    story.write(2)
    story.expectConverged()
  },
)

scenario('while joint both halves must have a writable quorum', { size: 3, joiners: 2, killedBy: 'readonly-old-half-ignored' }, (story) => {
  const [n1, n2, n3, n4, n5] = story.start('n1').members as Five
  story.write(3)
  enter(story, n2, n3)
  const record = change(story, [n1, n4, n5], n1, { catchupTimeoutMs: 20 * story.T })

  story.await('it is joint', () => n1.node!.status().membership.stage === 'joint')
  assert.is(isReadonly(n1), true, 'n2 and n3 are half of who decides')
  story.expectOutcome(story.propose(1), 'pending')
  story.await('the change is done', () => record.outcome === 'OK')
  assert.is(isReadonly(n1), false)
  story.write(2)
  assert.is(story.cluster.history.counts.refused, 1)
})

scenario('a new leader learns who is in read-only mode, and a member that starts anew is not', { size: 3 }, (story) => {
  const { cluster } = story
  const [n1, n2, n3] = story.start('n1').members as Three
  story.write(3)
  enter(story, n2, n3)
  assert.match(refused(story), /are in read-only mode/)

  // The one that leads next is in read-only mode itself: others could not be better.
  cluster.crash(n1)
  story.awaitLeader()
  assert.match(refused(story), /^this leader is in read-only mode/)
  story.restart(n1).wait(story.T)
  const second = story.leader
  cluster.crash(second)
  story.awaitLeader()
  cluster.start(second)
  story.wait(2 * story.T)
  // Only one of them is in it now.
  if (isReadonly(story.leader)) leave(story, story.leader)
  story.write(2)
  leave(story, n2, n3)
  story.expectConverged()
})

scenario('leadership goes to a member that takes tasks, and not to one that lacks what it was not sent', { size: 3 }, (story) => {
  const [n1, n2, n3] = story.start('n1').members as Three
  story.write(3)
  enter(story, n2)
  const told: Status[] = []
  const transfer = (to: SimMember | null) => {
    story.leader.run('story:transfer', (node) => node.transferLeadershipTo(to?.peerId ?? null, (status) => told.push(status)))
    story.wait(story.T)
  }
  story.write(1)
  transfer(n2)
  assert.match(told[0]!.toString(), /^EREADONLY: 10\.0\.0\.2:7000:0:0 is in read-only mode and lacks what was written since/)
  transfer(null)
  story.expectLeader(n3)
  story.write(1)
  leave(story, n2)
  story.await('it has everything', () => lastOf(n2) === lastOf(n3))
  transfer(n2)
  story.expectLeader(n2)
  assert.equal(
    told.map(({ code }) => errorName(code)),
    ['EREADONLY', 'OK', 'OK'],
  )
  story.expectConverged()
  void n1
})

scenario('a member that was in read-only mode while the log was cut behind it is given a snapshot when it leaves', { size: 3 }, (story) => {
  const [n1, n2] = story.start('n1').members as Three
  story.write(3)
  enter(story, n2)
  const before = lastOf(n2)
  for (let i = 0; i < 3; i++) {
    story.write(5)
    story.snapshot(n1)
  }
  assert.ok(n1.node!.status().firstIndex > before + 1, 'the log was cut behind it')
  story.wait(2 * story.T)
  assert.is(lastOf(n2), before, 'nor a snapshot while it is in that mode')

  leave(story, n2)
  story.expectConverged()
})

test.run()
