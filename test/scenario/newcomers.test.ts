import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SimMember } from '../simulation/member.js'
import { change, changed, expectVoters, votersOf } from './changes.js'
import { scenario } from './scenario.js'

type Four = [SimMember, SimMember, SimMember, SimMember]

function knowsItself(learner: SimMember): boolean {
  return learner.node!.status().configuration.learners.some((peer) => peer.equals(learner.peerId))
}

scenario(
  'A17 a learner gets the log, never campaigns, and is a learner still after a restart; promoted it votes',
  { size: 3, joiners: 1, killedBy: 'learner-campaigns' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3, n4] = story.start('n1').members as Four
    story.write(3)
    changed(story, [n1, n2, n3], n1, [n4])
    story.await('it knows that it is a learner', () => knowsItself(n4))
    story.write(3)
    story.await('it has the log', () => n4.node!.status().appliedIndex === n1.node!.status().appliedIndex)
    assert.is(votersOf(story, n4), 'n1,n2,n3')
    story.awaitSettled(n4)
    let campaigns = 0
    cluster.onEvent = (member, event) => {
      if (member === n4 && (event.name === 'prevote.started' || event.name === 'election.started')) campaigns++
    }

    // It alone runs, and hears nobody.
    for (const member of [n1, n2, n3]) cluster.kill(member)
    story.wait(5 * story.T)
    cluster.kill(n4)
    story.restart(n4)
    story.wait(5 * story.T)
    assert.ok(knowsItself(n4), 'it forgot that it is a learner')
    assert.is(campaigns, 0)

    // Nor does it count for a quorum: with it and one voter nothing is decided.
    story.restart(n1)
    story.wait(5 * story.T)
    assert.is(cluster.leader(), null)
    story.restart(n2)
    story.awaitLeader()
    story.write(1)
    story.restart(n3)
    story.awaitLeader()
    changed(story, [n1, n2, n3, n4])
    expectVoters(story, [n1, n2, n3, n4])
    assert.not(knowsItself(n4))
    story.expectConverged()
  },
)

scenario(
  'A17 a voter that was made a learner while it was cut off does not stop, votes no more, and is promoted again',
  { size: 5, killedBy: 'demoted-told-removed' },
  (story) => {
    const { cluster } = story
    const { members } = story.start('n1')
    const [n1, n2, n3, n4, n5] = members as [SimMember, SimMember, SimMember, SimMember, SimMember]
    const told: string[] = []
    cluster.onEvent = (member, event) => {
      if (event.name === 'node.removed') told.push(member.name)
    }
    cluster.cut(n5, n1)
    changed(story, [n1, n2, n3, n4], n1, [n5])
    // It has not heard of that, reaches all but the leader and asks whether it would be elected.
    story.wait(6 * story.T)
    assert.equal(told, [])
    assert.is(votersOf(story, n5), 'n1,n2,n3,n4,n5')
    cluster.heal()
    story.await('it knows that it is a learner', () => knowsItself(n5))
    story.write(3)
    story.await('it has the log', () => n5.node!.status().appliedIndex === n1.node!.status().appliedIndex)

    // With the learner and half of the voters there is no quorum.
    cluster.kill(n2)
    cluster.kill(n3)
    story.await('nobody leads', () => cluster.leader() === null)
    story.restart(n2, n3)
    story.awaitLeader()
    changed(story, members)
    expectVoters(story, members)
    assert.equal(told, [])
  },
)

scenario('A17 a leader that is made a learner hands over, stays and follows', { size: 3, killedBy: 'demoted-leads-on' }, (story) => {
  const { cluster } = story
  const [n1, n2, n3] = story.start('n1').members as [SimMember, SimMember, SimMember]
  story.write(3)
  changed(story, [n2, n3], n1, [n1])
  story.await('another leads', () => cluster.readyLeader() === n2 || cluster.readyLeader() === n3)
  story.write(3)
  story.await('it follows', () => n1.node!.status().appliedIndex === story.leader.node!.status().appliedIndex)
  assert.ok(knowsItself(n1))
  const read = story.read(n1, 0)
  story.await('it answers a linearizable read', () => read.answered)
  assert.ok(read.status.ok, `${read.status}`)
  story.expectConverged()
})

scenario(
  'E09 a member that has not heard that it is one answers votes: its group elects with it',
  { size: 3, joiners: 1, killedBy: 'unpromoted-grants-no-vote' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3, n4] = story.start('n1').members as Four
    story.write(3)
    const votes: string[] = []
    cluster.onEvent = (member, event) => {
      if (member === n1 && event.name === 'configuration.stage' && event.stage === 'stable') cluster.cut(n1, n4)
      if (member === n4 && event.name === 'vote.granted') votes.push(votersOf(story, n4))
    }
    const adding = change(story, [n1, n2, n3, n4], n1, { catchupTimeoutMs: 10 * story.T })
    story.await('n4 is a member', () => adding.outcome === 'OK')
    assert.is.not(votersOf(story, n4), 'n1,n2,n3,n4')

    // Three of the four members are needed, n4 among them.
    cluster.kill(n1)
    story.await('another leads', () => cluster.leader() !== null, 6 * story.T)
    assert.ok(votes.length > 0 && votes.every((voters) => !voters.includes('n4')), `${votes}`)
    story.write(2)
    cluster.heal()
    story.restart(n1).expectConverged()
    expectVoters(story, [n1, n2, n3, n4])
  },
)

scenario(
  'E15 a member whose address changes is replaced by itself at the new one in a single change; nobody calls at the old one any more',
  { size: 3, joiners: 1, killedBy: 'replaced-address-kept' },
  (story) => {
    const { cluster } = story
    const [n1, n2, n3, n4] = story.start('n1').members as Four
    story.write(5)
    // n4 is the new address of the machine that was n3.
    cluster.kill(n3)
    changed(story, [n1, n2, n4])
    story.wait(4 * story.T)

    const called = new Set<string>()
    const { invariants } = cluster
    const appendSent = invariants.appendSent.bind(invariants)
    invariants.appendSent = (from, address, request) => {
      called.add(address)
      appendSent(from, address, request)
    }
    story.write(5)
    story.wait(2 * story.T)
    assert.not(called.has(n3.peerId.address), 'the old address is called')
    expectVoters(story, [n1, n2, n4])

    // The group needs it: it elects with one of the others gone.
    cluster.kill(n1)
    story.await('another leads', () => cluster.leader() !== null, 4 * story.T)
    const writes = story.propose(2)
    story.await('writes are acknowledged', () => writes.every((write) => write.outcome === 'acked'))
    assert.ok([n2, n4].includes(story.leader))
  },
)

test.run()
