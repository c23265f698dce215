import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Configuration } from '../../src/raft/configuration.js'
import { errorName } from '../../src/raft/errors.js'
import type { RequestVoteResponse } from '../../src/raft/messages.js'
import type { NodeImpl } from '../../src/raft/node-impl.js'
import { PeerId } from '../../src/raft/peer-id.js'
import { asTerm, logIndex } from '../../src/raft/types.js'
import type { SimMember } from '../simulation/member.js'
import { change, changed, votersOf } from './changes.js'
import { type Story, scenario } from './scenario.js'

type Five = [SimMember, SimMember, SimMember, SimMember, SimMember]

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
    story.await('it hears that it is out', () => removed.length > 0)
    assert.equal(removed, ['n1'])
    const { term } = story.leader.node!.status()
    story.wait(5 * story.T)
    assert.is(story.leader.node!.status().term, term, 'and it disturbs nobody')
    story.write(3)
  },
)

scenario('a removed member is told that it is, and says so once', { size: 3 }, (story) => {
  story.start('n1').write(3)
  const [n1, n2, n3] = story.members as [SimMember, SimMember, SimMember]
  const removed = removals(story)

  changed(story, [n1, n2])
  story.wait(5 * story.T)

  assert.equal(removed, ['n3'])
  const { committedIndex, configuration } = n3.node!.status()
  assert.ok(committedIndex >= configuration.id.index, 'it knows that this is committed')
  assert.is(n1.node!.status().peers.length, 1)
  story.write(1)
  changed(story, [n1, n2, n3])
  story.expectConverged()
})

scenario(
  'A18 a member that was removed while it was away learns it from the others and disturbs nobody',
  { size: 3, killedBy: 'removed-member-not-told' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(3)
    const [n1, n2, n3] = story.members as [SimMember, SimMember, SimMember]
    const removed = removals(story)

    cluster.isolate(n3)
    changed(story, [n1, n2])
    story.wait(10 * story.T)
    const { term } = n1.node!.status()
    cluster.heal()
    story.await('n3 hears of it', () => removed.length > 0)
    story.wait(5 * story.T)

    assert.equal(removed, ['n3'])
    story.expectLeader(n1)
    assert.is(n1.node!.status().term, term)
  },
)

scenario(
  'A18 somebody who was never added and is in a huge term does not depose the leader that adds it',
  { size: 3, joiners: 1, killedBy: 'outsider-deposes-leader' },
  (story) => {
    story.start('n1').write(3)
    const [n1, n2, n3, n4] = story.members as Five
    const nobody = new PeerId('10.0.0.99', 7000)
    for (let i = 0; i < 50; i++) {
      const others = i % 2 === 0 ? [n4.peerId, nobody] : [n4.peerId, nobody, n1.peerId]
      n4.run('story:reset', (node) => assert.ok(node.resetPeers(new Configuration(others)).ok))
    }
    story.await('it is in a huge term', () => n4.node!.status().term > 50)
    const { term } = n1.node!.status()

    const record = change(story, [n1, n2, n3, n4], n1, { catchupTimeoutMs: 3 * story.T })
    story.await('it is given up', () => record.outcome !== 'pending')

    assert.is(record.outcome, 'ECATCHUP')
    assert.match(record.status.message, /it is in term 5\d, which this group never was in/)
    story.expectLeader(n1)
    assert.is(n1.node!.status().term, term)
    story.write(2)
  },
)

scenario(
  'A16 a vote asked for by somebody outside of the configuration raises no term and is not given',
  { size: 3, joiners: 1, killedBy: 'outsider-raises-terms' },
  (story) => {
    story.start('n1').write(3)
    const [n1, n2, , n4] = story.members as Five
    story.cluster.kill(n1)
    story.cluster.isolate(n2)
    story.await('n2 knows no leader', () => n2.node!.status().leaderId.isEmpty)
    const { term } = n2.node!.status()
    const answers: RequestVoteResponse[] = []
    n2.run('story:vote', (node) =>
      node.handler.handleRequestVote(
        {
          groupId: node.groupId,
          serverId: n4.peerId,
          peerId: n2.peerId,
          term: asTerm(1000),
          lastLogTerm: asTerm(0),
          lastLogIndex: logIndex(0),
          disruptedLeader: null,
        },
        (_status, response) => answers.push(response!),
      ),
    )
    story.await('it answers', () => answers.length > 0)

    assert.equal([answers[0]!.granted, answers[0]!.term], [false, term])
    assert.is(n2.node!.status().term, term)
  },
)

scenario(
  'a member that is removed, loses its disk and is added again counts only for what it holds',
  { size: 3, joiners: 1, killedBy: 'match-of-a-removed-member-kept' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(3)
    const [n1, n2, n3, n4] = story.members as Five
    const leader = n1.node!.handler as NodeImpl

    changed(story, [n1, n2, n3, n4])
    story.write(5)
    assert.ok(heldBy(leader, n4) > 5)
    changed(story, [n1, n2, n3])
    story.wait(4 * story.T)
    cluster.kill(n4)
    cluster.wipe(n4)
    cluster.start(n4)
    const record = change(story, [n1, n2, n3, n4], n1, { catchupTimeoutMs: 10 * story.T })
    story.await('it begins', () => n1.node!.status().membership.stage === 'catching_up')
    assert.is(heldBy(leader, n4), 0)
    story.await('it is done', () => record.outcome === 'OK')
    story.expectConverged()
  },
)

/** What `leader` counts for `member`. */
function heldBy(leader: NodeImpl, member: SimMember): number {
  const { matchIndexes } = leader.ballotBox as unknown as { matchIndexes: Map<string, number> }
  return matchIndexes.get(member.peerId.key) ?? 0
}

/** Names of members that say they were removed, as it happens. */
function removals(story: Story): string[] {
  const removed: string[] = []
  story.cluster.onEvent = (member, event) => event.name === 'node.removed' && removed.push(member.name)
  return removed
}

scenario(
  'E08 a newcomer at the address of a removed member is not taken for that one when its leader falls silent',
  { size: 3 },
  (story) => {
    const [n1, n2, n3] = story.start('n1').members as [SimMember, SimMember, SimMember]
    story.write(3)
    changed(story, [n1, n2])
    story.wipe(n3)
    story.write(3)
    const removed = removals(story)
    story.restart(n3)
    story.await('n3 is up', () => n3.node?.status().state === 'FOLLOWER')

    for (const what of ['is being rebuilt', 'counts already']) {
      const { leader } = story
      const settles = what !== 'is being rebuilt'
      const ready = () =>
        settles ? n3.image.isMember : n3.node!.status().configuration.conf.size === 2 && n3.node!.status().standing === 'rebuilding'
      const record = change(story, [n1, n2, n3])
      story.await(`it ${what}`, ready)
      assert.equal([record.outcome, votersOf(story, leader)], ['pending', 'n1,n2'])
      for (const member of [n1, n2]) story.cluster.kill(member)
      story.wait(5 * story.T)
      assert.equal(removed, [], what)
      story.restart(n1, n2)
      story.awaitLeader()
    }
    changed(story, [n1, n2, n3])
    story.expectConverged()
    assert.equal(removed, [])
  },
)

scenario(
  'E08 a member that is removed, added again and cut off before it hears of that goes on',
  { size: 3, killedBy: 'removed-by-its-own-log' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3] = story.start('n1').members as [SimMember, SimMember, SimMember]
    story.write(3)
    const removed: string[] = []
    changed(story, [n1, n2])
    story.await('it knows', () => votersOf(story, n3) === 'n1,n2')
    cluster.onEvent = (member, event) => {
      if (event.name === 'node.removed') removed.push(member.name)
      if (event.name === 'configuration.stage' && event.stage === 'stable') cluster.isolate(n3)
    }
    changed(story, [n1, n2, n3])
    assert.is(votersOf(story, n3), 'n1,n2')
    story.wait(5 * story.T)
    cluster.heal()
    story.expectConverged()
    assert.equal(removed, [])
  },
)

scenario('E08 who is being added again is not told that it is removed', { size: 3, killedBy: 'told-while-it-is-added' }, (story) => {
  const [n1, n2, n3] = story.start('n1').members as [SimMember, SimMember, SimMember]
  story.write(3)
  changed(story, [n1, n2])
  const { id } = n1.node!.status().configuration
  const question = { groupId: (n1.node!.handler as NodeImpl).groupId, serverId: n3.peerId, peerId: n1.peerId, disruptedLeader: null }
  const codes: number[] = []
  const ask = () => {
    const request = { ...question, term: n1.node!.status().term, lastLogTerm: id.term, lastLogIndex: id.index }
    n1.run('story:ask', (node) => node.handler.handlePreVote(request, (status) => codes.push(status.code)))
    story.await('it answers', () => codes.length > 0)
    return errorName(codes.pop()!)
  }

  story.await('n1 is done with n3', () => (n1.node!.handler as NodeImpl).replicators.get(n3.peerId) === null)
  assert.is(ask(), 'EREMOVED')
  story.cluster.isolate(n3)
  const record = change(story, [n1, n2, n3])
  story.await('it begins', () => n1.node!.status().membership.stage === 'catching_up')
  assert.is(ask(), 'OK')
  story.cluster.heal()
  story.await('it is a member again', () => record.outcome === 'OK')
  story.expectConverged()
})

scenario(
  'E06 who removed itself and alone has the entry that says so leads once more, until it is committed',
  { size: 2, killedBy: 'removed-leader-silent' },
  (story) => {
    const [n1, n2] = story.start('n1').members as [SimMember, SimMember]
    story.write(3)
    const removed: string[] = []
    story.cluster.onEvent = (member, event) => event.name === 'node.removed' && removed.push(member.name)

    story.cluster.cutOneWay(n1, n2)
    story.cluster.change(n1, new Configuration([n2.peerId]), {})
    story.await('it gives up', () => story.cluster.leader() === null)
    assert.is(n1.node!.status().configuration.conf.toString(), n2.peerId.toString())
    story.cluster.heal()

    story.await('the other leads', () => story.cluster.leader() === n2)
    story.write(3)
    assert.is(n2.node!.status().configuration.conf.toString(), n2.peerId.toString())
    story.await('it hears that it is out', () => removed.length > 0)
    assert.equal(removed, ['n1'])
  },
)

test.run()
