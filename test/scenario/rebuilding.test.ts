import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../src/raft/errors.js'
import type { RequestVoteResponse } from '../../src/raft/messages.js'
import type { NodeImpl } from '../../src/raft/node-impl.js'
import type { LogIndex } from '../../src/raft/types.js'
import type { SimMember } from '../simulation/member.js'
import { change } from './changes.js'
import { type Story, scenario } from './scenario.js'

/** The machine is lost with its disk; it comes back empty, to be rebuilt. */
function wipe(story: Story, member: SimMember): void {
  story.cluster.kill(member)
  story.cluster.wipe(member)
}

const standingOf = (member: SimMember): string => member.node?.status().standing ?? 'down'

const impl = (member: SimMember): NodeImpl => member.node!.handler as NodeImpl

/** Every marker that settled a member: whom, in which life, and where it stands. */
function settlements(story: Story): { peer: string; incarnation: string; upTo: LogIndex }[] {
  const found: { peer: string; incarnation: string; upTo: LogIndex }[] = []
  const { onEvent } = story.cluster
  story.cluster.onEvent = (member, event) => {
    if (event.name === 'member.settled') found.push({ peer: event.peer.key, incarnation: event.incarnation, upTo: event.upTo })
    onEvent(member, event)
  }
  return found
}

/** What `member` answers to a candidate that asks for its vote, with a log no member can refuse. */
function voteOf(story: Story, member: SimMember, candidate: SimMember, term: number): RequestVoteResponse {
  const answers: RequestVoteResponse[] = []
  member.run('story:vote', () =>
    impl(member).handleRequestVote(
      {
        groupId: impl(member).groupId,
        serverId: candidate.peerId,
        peerId: member.peerId,
        term: term as never,
        lastLogTerm: term as never,
        lastLogIndex: 1_000_000 as LogIndex,
        disruptedLeader: { peerId: story.leader.peerId, term: term as never },
      },
      (_status, response) => answers.push(response!),
    ),
  )
  story.await('an answer', () => answers.length > 0)
  return answers[0]!
}

scenario('E11 a wiped member comes back, is rebuilt and counts again', { size: 3 }, (story) => {
  const { cluster } = story
  const settled = settlements(story)
  const leader = story.start('n1').leader
  story.write(5)
  const lost = story.member('n3')
  wipe(story, lost)
  story.write(5)
  const before = leader.node!.status()

  story.restart(lost)
  story.await('it is a member again', () => standingOf(lost) === 'member' && settled.length > 0)

  assert.is(settled.length, 1)
  assert.ok(settled[0]!.upTo > before.lastId.index, 'the marker stands above all that its earlier life can have acknowledged')
  assert.is(leader.node!.status().configuration.configIndex, before.configuration.configIndex, 'the members did not change')
  cluster.kill(story.member('n2'))
  story.write(3)
  story.restart(story.member('n2'))
  story.expectConverged()
  cluster.kill(leader)
  story.awaitLeader()
  story.write(2)
})

scenario(
  'E11 a wiped member that nobody leads grants no vote and asks for none, until a leader is back',
  { size: 3, killedBy: 'rebuilding-member-votes' },
  (story) => {
    const { cluster } = story
    story.start('n1')
    story.write(5)
    const [n1, n2, n3] = story.members as [SimMember, SimMember, SimMember]
    wipe(story, n3)
    cluster.kill(n1)
    story.restart(n3)
    story.wait(10 * story.T)
    assert.is(cluster.leader(), null, 'a directory without its past elected a leader')
    assert.is(n3.node!.status().term, 1)
    assert.ok(n2.isUp)

    story.restart(n1)
    story.awaitLeader()
    story.await('n3 is a member again', () => standingOf(n3) === 'member')
    story.expectConverged()
  },
)

scenario(
  'E11 what only a member in rebuilding acknowledged is not committed',
  { size: 3, killedBy: 'flag-ignored-by-the-leader' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3] = story.members as [SimMember, SimMember, SimMember]
    story.start('n1')
    story.write(5)
    wipe(story, n3)
    story.restart(n3)
    cluster.cut(n1, n2)
    cluster.cut(n2, n3)
    const records = story.propose(3, n1)
    story.wait(3 * story.T)
    assert.not(
      records.some((record) => record.outcome === 'acked'),
      'two of three held it, one of them counts for nothing',
    )
    cluster.heal()
    story.awaitLeader()
    story.await('n3 is a member again', () => standingOf(n3) === 'member')
    story.expectConverged()
  },
)

scenario('E11 a member settles only when the marker is committed without it', { size: 3, killedBy: 'settle-before-commit' }, (story) => {
  const { cluster } = story
  const [n1, n2, n3] = story.members as [SimMember, SimMember, SimMember]
  story.start('n1')
  story.write(5)
  wipe(story, n3)
  cluster.cut(n1, n2)
  cluster.cut(n2, n3)
  story.restart(n3)
  story.wait(5 * story.T)
  assert.is(standingOf(n3), 'rebuilding', 'it took the word of a leader that has no quorum')
  cluster.heal()
  story.awaitLeader()
  story.await('n3 is a member again', () => standingOf(n3) === 'member')
  story.expectConverged()
})

scenario(
  'E11 a vote of its life before is not given again: to nobody in rebuilding, and to nobody but the leader after it',
  { size: 3, killedBy: 'settled-without-a-vote' },
  (story) => {
    const [n1, n2, n3] = story.members as [SimMember, SimMember, SimMember]
    const { leader } = story.start('n1')
    story.write(2)
    const { term } = leader.node!.status()
    wipe(story, n3)
    story.restart(n3)
    story.await('n3 follows', () => n3.node!.status().term === term)
    assert.is(standingOf(n3), 'rebuilding')
    assert.is(voteOf(story, n3, n2, term).granted, false, 'in rebuilding')
    story.await('n3 is a member again', () => standingOf(n3) === 'member')
    assert.equal([n3.image.meta().term, n3.image.meta().votedFor], [term, n1.peerId.key], 'durable before it counts')
    assert.is(voteOf(story, n3, n2, term).granted, false, 'a second leader could have been elected in this term')
    story.expectConverged()
  },
)

scenario(
  'E11 a second wipe before the first was mended needs a marker of its own',
  { size: 3, killedBy: 'marker-of-another-life' },
  (story) => {
    const settled = settlements(story)
    const leader = story.start('n1').leader
    story.write(5)
    const n3 = story.member('n3')
    const known = () => leader.node!.status().configuration.id.index
    wipe(story, n3)
    const before = known()
    story.restart(n3)
    story.await('the marker of the first life is committed', () => known() > before && known() <= leader.node!.status().committedIndex)
    const first = known()
    assert.is(standingOf(n3), 'rebuilding')
    // What the second life acknowledges may be committed by nobody else; then it is lost again.
    wipe(story, n3)
    story.write(5)
    const lastOfFirstLife = leader.node!.status().lastId.index
    story.restart(n3)
    story.await('n3 is a member again', () => standingOf(n3) === 'member')
    story.await('the leader knows', () => settled.length > 0)
    assert.is(settled.length, 1)
    assert.ok(settled[0]!.upTo > lastOfFirstLife, `settled by the marker at ${settled[0]!.upTo}, the first life's stands at ${first}`)
    story.expectConverged()
  },
)

scenario(
  'E11 a member whose disk cannot keep that it counts again stops, and settles after its next start',
  { size: 3, killedBy: 'failed-settling-carried-on' },
  (story) => {
    const { cluster } = story
    story.start('n1')
    const lost = story.member('n3')
    wipe(story, lost)
    story.restart(lost)
    story.await('it is being rebuilt', () => standingOf(lost) === 'rebuilding' && lost.node!.status().state === 'FOLLOWER')
    cluster.points.arm('identity.saving', lost, () => Status.error(ErrorCode.EIO, 'on purpose'))
    story.await('it gives up', () => lost.failed !== null)
    cluster.crash(lost)
    story.restart(lost)
    story.await('it is a member again', () => standingOf(lost) === 'member')
    story.write(3)
    story.expectConverged()
  },
)

scenario('E11 a leader that is lost amid the rebuilding of another leaves it to the next', { size: 5 }, (story) => {
  const { cluster } = story
  const settled = settlements(story)
  const leader = story.start('n1').leader
  story.write(20)
  const n5 = story.member('n5')
  wipe(story, n5)
  story.restart(n5)
  story.await('n5 has some of the log', () => (n5.node!.status().lastId.index as number) > 5)
  cluster.crash(leader)
  assert.is(standingOf(n5), 'rebuilding')
  story.awaitLeader()
  story.await('n5 is a member again', () => standingOf(n5) === 'member')
  story.restart(leader)
  story.write(3)
  story.expectConverged()
  assert.ok(settled.length >= 1)
})

scenario('E11 a start in the middle of rebuilding goes on rebuilding, whatever it is started as', { size: 3 }, (story) => {
  const { cluster } = story
  story.start('n1')
  story.write(20)
  const n3 = story.member('n3')
  wipe(story, n3)
  for (let i = 0; i < 4; i++) {
    story.restart(n3)
    story.await('it knows what it is', () => standingOf(n3) === 'rebuilding' && n3.node!.status().incarnation !== '')
    story.wait(i)
    cluster.crash(n3)
    n3.standing = 'founding'
  }
  cluster.kill(story.member('n1'))
  story.restart(n3)
  story.wait(5 * story.T)
  assert.is(cluster.leader(), null, 'it took itself for a founder')
  story.restart(story.member('n1'))
  story.await('n3 is a member again', () => standingOf(n3) === 'member')
  story.expectConverged()
})

scenario(
  'E11 a removal that is not committed makes no member of a wiped one: nothing stands for what its life before acknowledged',
  { size: 3 },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3] = story.members as [SimMember, SimMember, SimMember]
    story.start('n1')
    const shorten = (member: SimMember) => member.run('story:short', (node) => node.setDiskSpace('short'))
    shorten(n2)
    story.write(5)
    wipe(story, n3)
    const removal = change(story, [n1, n2])
    story.restart(n3)
    story.await('n3 starts', () => n3.node?.status().state === 'FOLLOWER')
    shorten(n3)
    story.wait(5 * story.T)
    assert.is(removal.outcome, 'pending', 'n2, which takes no entries, has taken this one')
    cluster.kill(n1)
    n2.run('story:ample', (node) => node.setDiskSpace('ample'))
    story.wait(5 * story.T)
    assert.is(cluster.leader(), null, 'n2 lacks what n1 and the life before of n3 have acknowledged')
    assert.is(standingOf(n3), 'rebuilding')
  },
)

for (const size of [3, 5]) {
  scenario(`E11 members wiped one after the other lose nothing that was acknowledged, of ${size}`, { size }, (story) => {
    story.start()
    for (const name of ['n3', 'n1', 'n2']) {
      story.write(5)
      const member = story.member(name)
      wipe(story, member)
      story.awaitLeader()
      story.write(5)
      story.restart(member)
      story.await(`${name} is a member again`, () => standingOf(member) === 'member')
    }
    story.expectConverged()
  })
}

scenario('E11 a member that is added with an empty directory is a member at once, without a marker', { size: 3 }, (story) => {
  const leader = story.start('n1').leader
  story.write(5)
  const n3 = story.member('n3')
  const told: string[] = []
  leader.run('story:remove', (node) => node.removePeer(n3.peerId, {}, (status) => told.push(String(status))))
  story.await('n3 is removed', () => told.length === 1)
  wipe(story, n3)
  const { id } = leader.node!.status().configuration
  story.restart(n3)
  leader.run('story:add', (node) => node.addPeer(n3.peerId, { catchupTimeoutMs: 10 * story.T }, (status) => told.push(String(status))))
  story.await('n3 is added', () => told.length === 2)
  assert.equal(told, ['OK', 'OK'])
  assert.is(leader.node!.status().configuration.configIndex > id.index, true)
  story.await('n3 is a member', () => standingOf(n3) === 'member')
  story.write(3)
  story.expectConverged()
})

test.run()
