import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Configuration } from '../../src/raft/configuration.js'
import { ErrorCode, type Status } from '../../src/raft/errors.js'
import type { Node } from '../../src/raft/node.js'
import { PeerId, PeerRole } from '../../src/raft/peer-id.js'
import type { LogIndex } from '../../src/raft/types.js'
import type { SimMember } from '../simulation/member.js'
import { type Story, scenario } from './scenario.js'

type Three = [SimMember, SimMember, SimMember]

const ENABLED = { witnessToLeader: true }

/** What a node answers to a question, in words of the test. */
function answerOf(story: Story, member: SimMember, question: (node: Node, done: (status: Status) => void) => void): Status {
  let answer: Status | null = null
  member.run('story:ask', (node) => question(node, (status) => (answer = status)))
  story.await(`${member.name} answers`, () => answer !== null)
  return answer!
}

const lastOf = (member: SimMember): number => member.node!.progress().lastId.index

scenario(
  'two members with data and a witness: either of the two may be lost, and what was acknowledged is there',
  { size: 3, witnesses: [3], killedBy: 'witness-machine-fed' },
  (story) => {
    const [n1, n2, n3] = story.start('n1').members as Three
    story.write(5)
    story.cluster.crash(n2)
    story.write(5)
    story.restart(n2)
    story.await('n2 is level', () => lastOf(n2) === lastOf(n1))
    story.cluster.crash(n1)
    story.await('the other leads', () => story.cluster.readyLeader() === n2)
    story.write(5)
    story.restart(n1)
    story.expectConverged()
    assert.is(n3.machine!.registers.size, 0, 'a witness keeps nothing of what was written')
    assert.equal([n3.node!.status().witness, n1.node!.status().witness], [true, false])
    assert.equal(
      n2.node!.status().peers.map(({ peerId, witness }) => [peerId.key, witness]),
      [n1, n3].map((member) => [member.peerId.key, member === n3]),
    )
  },
)

scenario(
  'A17 a witness that alone knows of the newest entry never leads: the group waits for the member that has it',
  { size: 3, witnesses: [3], killedBy: 'witness-campaigns' },
  (story) => {
    const [n1, n2, n3] = story.start('n1').members as Three
    story.write(3)
    story.cluster.crash(n2)
    const written = story.write(5)
    const last = lastOf(n3)
    story.cluster.crash(n1)
    story.restart(n2)
    story.wait(15 * story.T)
    assert.is(story.cluster.leader(), null, 'nobody holds what was acknowledged')
    assert.is(lastOf(n3), last, 'the witness cut nothing and wrote nothing')
    story.restart(n1)
    story.await('n1 leads again', () => story.cluster.readyLeader() === n1)
    story.expectConverged().expectOutcome(written, 'acked')
  },
)

scenario(
  'a witness answers no reads, takes no tasks, gives away no log and no snapshot, and leads for nobody; it says who does',
  { size: 3, witnesses: [3], killedBy: 'witness-answers-reads' },
  (story) => {
    const [n1, , n3] = story.start('n1').members as Three
    story.write(3)
    const refusals = [
      answerOf(story, n3, (node, done) => node.readIndex(story.T, done)),
      answerOf(story, n3, (node, done) => node.readIndex(story.T, done, 'lease')),
      answerOf(story, n3, (node, done) => node.apply({ data: Buffer.of(1), done: { run: done } })),
      answerOf(story, n3, (node, done) => node.readLog(1 as LogIndex, 2 as LogIndex, 1000, done)),
      answerOf(story, n3, (node, done) => node.readCommittedUserLog(1 as LogIndex, done)),
      answerOf(story, n3, (node, done) => node.openSnapshot(done)),
    ]
    for (const status of refusals) {
      assert.is(status.code, ErrorCode.EPERM, status.message)
      assert.is(status.message, '10.0.0.3:7000:0:1 is a witness and holds no data: ask the leader, 10.0.0.1:7000:0:0')
    }
    assert.is(answerOf(story, n3, (node, done) => node.vote(done)).code, ErrorCode.EPERM)
    const transfer = answerOf(story, n1, (node, done) => node.transferLeadershipTo(n3.peerId, done))
    assert.is(transfer.toString(), 'EINVAL: 10.0.0.3:7000:0:1 is a witness: it holds no data to lead with')
    story.expectLeader(n1)
  },
)

scenario(
  'a leader that hands over and stops chooses a member with data, however far ahead the witness is',
  { size: 3, witnesses: [2], killedBy: 'witness-handed-leadership' },
  (story) => {
    const [n1, , n3] = story.start('n1').members as Three
    story.write(3)
    story.wait(story.T)
    const targets: string[] = []
    story.cluster.onEvent = (_, event) => {
      if (event.name === 'leader.handover') targets.push(event.target.key)
    }
    answerOf(story, n1, (node, done) => node.shutdown(done))
    story.cluster.kill(n1)
    story.await('n3 leads', () => story.cluster.readyLeader() === n3, story.T)
    assert.equal(targets, [n3.peerId.key])
    story.write(2)
    story.restart(n1)
    story.expectConverged()
  },
)

scenario(
  'while two members with data are well a witness knows of no more than the second holds: the disk of the leader can be lost',
  { size: 3, witnesses: [3], killedBy: 'witness-sent-everything' },
  (story) => {
    const [n1, n2, n3] = story.start('n1').members as Three
    story.write(3)
    story.wait(story.T)
    const ahead: string[] = []
    story.cluster.onEvent = (member, event) => {
      if (member === n3 && event.name === 'log.durable' && event.index > n2.node!.progress().durableIndex) ahead.push(`${event.index}`)
    }
    const records = [...story.write(5), ...story.propose(5)]
    story.cluster.clog(n1, n2, 30)
    story.wait(10)
    story.wipe(n1)
    story.await('n2 leads with the vote of the witness', () => story.cluster.readyLeader() === n2, 5 * story.T)
    assert.equal(ahead, [])
    story.write(2)
    story.restart(n1).awaitSettled(n1)
    story.expectConverged()
    assert.is(records.filter(({ outcome }) => outcome === 'acked').length, 5)
  },
)

scenario(
  'a second member that falls silent holds writes up for less than an election timeout, and one that catches up not at all',
  { size: 3, witnesses: [3], killedBy: 'silent-member-waited-for' },
  (story) => {
    const [, n2] = story.start('n1').members as Three
    story.write(3)
    story.wait(story.T)
    story.cluster.pause(n2)
    const before = story.cluster.now
    story.write(1)
    assert.ok(story.cluster.now - before < story.T / 2, `waited ${story.cluster.now - before} ms`)
    story.write(50)
    story.cluster.resume(n2)
    story.write(5)
    story.expectConverged()
  },
)

scenario(
  'a witness that lags behind the log is sent a snapshot and keeps none of its files; wiped, it counts once it was settled',
  { size: 3, witnesses: [3], killedBy: 'witness-copies-files' },
  (story) => {
    const [n1, n2, n3] = story.start('n1').members as Three
    story.cluster.crash(n3)
    story.write(5)
    story.snapshot(n1)
    story.write(5)
    const covered = story.snapshot(n1)
    story.restart(n3)
    story.await('n3 has it', () => n3.image.snapshotIndex === covered)
    assert.is((n3.image.snapshot() as { state: unknown }).state, null)
    story.cluster.kill(n3)
    story.restart(n3)
    story.expectConverged()
    story.await('n3 has started', () => n3.node!.status().state === 'FOLLOWER')
    assert.is(story.snapshot(n3), lastOf(n3))

    story.wipe(n3).restart(n3).awaitSettled(n3)
    story.cluster.crash(n2)
    story.write(3)
    story.restart(n2)
    story.expectConverged()
  },
)

scenario(
  'a member with data that lost its disk is given everything by the leader, and the witness alone gives it nothing',
  { size: 3, witnesses: [3] },
  (story) => {
    const [n1, n2, n3] = story.start('n1').members as Three
    story.write(5)
    story.wipe(n2).restart(n2).awaitSettled(n2)
    story.expectConverged()
    // Both disks with data are gone: the witness vouches for nothing.
    story.wipe(n1, n2).restart(n1, n2)
    story.wait(20 * story.T)
    assert.is(story.cluster.leader(), null)
    assert.ok(lastOf(n3) > 0 && lastOf(n2) === 0)
  },
)

scenario(
  'witnesses are added and removed; what leaves too few members with data, or turns one kind into the other, is refused',
  { size: 2, joiners: 2, witnesses: [3, 4], killedBy: 'witness-becomes-a-voter' },
  (story) => {
    const [n1, n2, n3, n4] = story.start('n1').members as [...Three, SimMember]
    const change = (...peers: PeerId[]) => answerOf(story, n1, (node, done) => node.changePeers(new Configuration(peers), {}, done))
    story.write(3)
    story.change(n1, n2, n3)
    const as = (member: SimMember, role: PeerRole) => new PeerId(member.peerId.host, member.peerId.port, 0, role)

    assert.is(
      change(n1.peerId, n2.peerId, as(n3, PeerRole.REPLICA)).message,
      '10.0.0.3:7000:0:0 is a witness and becomes no member that holds data in place: remove it, and add it again with an empty directory',
    )
    assert.match(change(n1.peerId, as(n2, PeerRole.WITNESS), n3.peerId).message, 'holds data and becomes no witness in place')
    assert.is(
      change(n1.peerId, n3.peerId).message,
      '10.0.0.3:7000:0:1 is a witness and 1 of 2 hold data: at least two must. Remove witnesses first, or add members that hold data first',
    )
    const learners = [n4.peerId]
    const asLearner = answerOf(story, n1, (node, done) => node.changePeers(node.listPeers()!, { learners }, done))
    assert.match(asLearner.message, 'cannot be a witness and a learner')
    story.change(n1, n2, n3, n4)
    story.write(3)
    story.change(n1, n2, n4)
    story.change(n1, n2)
    story.write(3)
    assert.equal(n1.node!.listPeers()!.witnesses, [])
  },
)

scenario(
  'a witness that was added as a member with data, or the other way round, takes nothing, and the change comes to nothing',
  { size: 3, joiners: 1, witnesses: [3, 4], killedBy: 'role-not-compared' },
  (story) => {
    const [n1, n2, n3, n4] = story.start('n1').members as [...Three, SimMember]
    story.write(3)
    const { host, port } = n4.peerId
    const target = new Configuration([n1.peerId, n2.peerId, n3.peerId, new PeerId(host, port)])
    const options = { catchupTimeoutMs: 5 * story.T }
    const status = answerOf(story, n1, (node, done) => node.changePeers(target, options, done))
    assert.is(status.code, ErrorCode.ECATCHUP)
    assert.match(status.message, '10.0.0.4:7000:0:1 is a witness, and is called a member that holds data')
    assert.is(lastOf(n4), 0)
    story.write(1)
  },
)

scenario(
  'enabled to, a witness that alone has the newest entries leads for as long as it takes to bring up a member with data',
  { size: 3, witnesses: [3], node: ENABLED, killedBy: 'witness-keeps-leading' },
  (story) => {
    const [n1, n2, n3] = story.start('n1').members as Three
    story.write(3)
    story.cluster.crash(n2)
    const written = story.write(10)
    story.cluster.crash(n1)
    story.restart(n2)
    const led: string[] = []
    const wonAt: number[] = []
    let task: Status | null = null
    let read: Status | null = null
    story.cluster.onEvent = (member, event) => {
      if (event.name === 'election.won') {
        led.push(member.name)
        wonAt.push(story.cluster.now)
      }
      if (event.name !== 'election.won' || member !== n3) return
      n3.run('story:task', (node) => node.apply({ data: Buffer.of(1), done: { run: (status) => (task = status) } }))
      n3.run('story:read', (node) => node.readIndex(story.T, (status) => (read = status)))
    }
    story.await('n2 leads', () => story.cluster.readyLeader() === n2, 10 * story.T)
    assert.equal(led, ['n3', 'n2'])
    assert.ok(wonAt[1]! - wonAt[0]! < story.T, `it led for ${wonAt[1]! - wonAt[0]!} ms`)
    assert.equal([task!.code, read!.code], [ErrorCode.EPERM, ErrorCode.EPERM])
    story.expectOutcome(written, 'acked')
    story.write(5)
    story.restart(n1)
    story.expectConverged()
    assert.is(n3.machine!.registers.size, 0)
  },
)

scenario(
  'enabled to, a witness whose log lacks data, from before it was enabled, does not lead either',
  { size: 3, witnesses: [3], killedBy: 'bare-witness-campaigns' },
  (story) => {
    const [n1, n2, n3] = story.start('n1').members as Three
    story.cluster.crash(n2)
    story.write(5)
    story.cluster.crash(n1)
    story.cluster.kill(n3)
    Object.assign(n3.options.node, { witnessToLeader: true })
    story.restart(n2, n3)
    story.wait(story.T)
    const { term } = n3.node!.progress()
    story.wait(15 * story.T)
    assert.is(story.cluster.leader(), null)
    assert.is(n3.node!.progress().term, term, 'it did not even ask for votes')
    story.restart(n1)
    story.expectConverged()
  },
)

scenario(
  'a witness that leads and has cut what the other lacks gives up, and waits for the member that has it',
  { size: 3, witnesses: [3], node: ENABLED, killedBy: 'witness-leads-in-vain' },
  (story) => {
    const [n1, n2, n3] = story.start('n1').members as Three
    story.write(3)
    story.cluster.crash(n2)
    for (let round = 0; round < 3; round++) {
      story.write(3)
      story.snapshot(n3)
    }
    story.cluster.crash(n1)
    story.restart(n2)
    story.await('n3 leads', () => story.cluster.leader() === n3, 10 * story.T)
    story.await('n3 gives up', () => story.cluster.leader() === null, 6 * story.T)
    story.wait(3 * story.T)
    assert.is(story.cluster.leader(), null, 'it rests')
    story.restart(n1)
    story.await('a member with data leads', () => [n1, n2].includes(story.cluster.readyLeader() as SimMember), 60 * story.T)
    story.expectConverged()
  },
)

test.run()
