import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { closure } from '../../../src/raft/closure.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { HelloResponse } from '../../../src/raft/messages.js'
import { Node } from '../../../src/raft/node.js'
import { asTerm } from '../../../src/raft/types.js'
import { batch, configuration, members, peer } from '../../support/entries.js'
import { FakeLogStorage } from '../../support/fake-log-storage.js'
import { NodeBench, T } from '../../support/node-bench.js'

const test = suite('Node')

test('a proposal is told OK once it is committed and applied', () => {
  const bench = NodeBench.leader(6)
  bench.propose('a')
  assert.not(bench.told.includes('a OK'))
  bench.take(3)
  assert.is(bench.told.at(-1), 'a OK')
  assert.is(bench.machine.told.at(-1), '2:a')
})

test('the own disk counts when it has written, and commits with the followers while it is slow', () => {
  const bench = NodeBench.leader(6)
  bench.held.log = true
  bench.propose('a')
  bench.take(2)
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 1, 'one follower and a disk that has not written')
  bench.take(3)
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 2, 'two followers')
  assert.is(bench.impl.log.durableIndex, 1)
})

test('C04 leadership that is lost tells every proposal once: unknown outcome, and refusal of what was not taken', () => {
  const bench = NodeBench.leader(6)
  bench.propose('in the log')
  bench.node.apply({ data: Buffer.from('b'), done: bench.waiting('queued') })
  bench.append(2, 7)
  assert.equal(bench.told.slice(1), ['queued EPERM', 'in the log EOUTCOMEUNKNOWN'])
  assert.equal(bench.machine.told.slice(2), [`leader stop ${ErrorCode.ENEWLEADER}`, 'follow 2'])
  bench.propose('later')
  assert.is(bench.told.at(-1), 'later EPERM')
})

test('a closure that stops the node when leadership is lost leaves nothing running', () => {
  const bench = NodeBench.leader(6)
  bench.node.apply({ data: Buffer.from('a'), done: closure(() => bench.node.shutdown(bench.tell('shutdown'))) })
  bench.settle()
  const answer = bench.append(2, 7)
  assert.equal(bench.told.slice(1), ['shutdown OK'])
  assert.is(bench.state, 'SHUTDOWN')
  assert.equal([answer.status!.code, answer.count], [ErrorCode.EINVAL, 1])
  assert.equal(bench.events('leader.followed'), [])
  bench.advance(2 * T)
  assert.equal(bench.environment.clock.scheduled, [])
  assert.is(bench.meta.stored.term, 6)
})

test('a leader that stops hands over first, a follower stops at once', () => {
  const bench = NodeBench.leader(6)
  bench.node.shutdown(bench.tell('shutdown'))
  assert.is(bench.state, 'TRANSFERRING')
  bench.advance(20)
  bench.transport.open('timeoutNow')[0]!.finish(Status.OK, { term: asTerm(7), success: true })
  bench.settle()
  assert.is(bench.state, 'FOLLOWER', 'its successor may need its vote')
  bench.advance(T / 2)
  assert.equal([bench.state, bench.told.at(-1), bench.disk.isClosed], ['SHUTDOWN', 'shutdown OK', true])
  assert.is(bench.machine.told.at(-1), 'shutdown')

  const follower = NodeBench.follower(5)
  follower.append(2, 5)
  follower.node.shutdown(follower.tell('shutdown'))
  follower.settle()
  assert.equal([follower.state, follower.told.at(-1)], ['SHUTDOWN', 'shutdown OK'])
  assert.equal(follower.environment.clock.scheduled, ['call hello'])
})

test('a leader whose successor never comes stops after T', () => {
  const bench = NodeBench.leader(6)
  bench.node.shutdown(bench.tell('shutdown'))
  for (let i = 0; i <= T; i++) bench.advance(1)
  assert.equal([bench.state, bench.told.at(-1)], ['SHUTDOWN', 'shutdown OK'])
  assert.is(bench.meta.stored.term, 6)
})

test('stopping twice, and asking a stopped node, is answered', () => {
  const bench = NodeBench.follower(5)
  bench.node.shutdown(bench.tell('first'))
  bench.node.shutdown(bench.tell('second'))
  bench.settle()
  assert.equal(bench.told.slice(1), ['second ESHUTDOWN', 'first OK'])
  bench.propose('a')
  bench.read('read')
  assert.equal(bench.told.slice(3), ['a EPERM', 'read EAGAIN'])
  assert.not(bench.append(2, 6).status!.ok)
  assert.not(bench.vote('requestVote', 2, 9).status!.ok)
  assert.is(bench.meta.stored.term, 5)
})

test('the directory is given up only when the last word about term and vote is on disk', () => {
  const bench = NodeBench.follower(5)
  bench.held.meta = true
  bench.vote('requestVote', 2, 6)
  bench.node.shutdown(bench.tell('shutdown'))
  bench.settle()
  assert.is(bench.told.at(-1), 'init OK')
  bench.held.meta = false
  bench.settle()
  assert.is(bench.told.at(-1), 'shutdown OK')
})

test('a node that was never started stops at once', () => {
  const told: string[] = []
  new Node('g', peer(1)).shutdown((status) => told.push(status.toString()))
  assert.equal(told, ['OK'])
})

test('a log that cannot be written ends the node: everybody is told, nothing is answered any more', () => {
  const bench = NodeBench.leader(6)
  bench.held.log = true
  bench.propose('a')
  bench.read('read')
  bench.disk.failOne()
  bench.held.log = false
  bench.settle()
  assert.is(bench.state, 'ERROR')
  assert.equal(bench.told.slice(1), ['a EOUTCOMEUNKNOWN', 'read EPERM'])
  assert.match(bench.machine.told.join(), /error 5/)
  assert.is(bench.append(2, 9).status!.code, ErrorCode.EINVAL)
  assert.is(bench.vote('requestVote', 2, 9).status!.code, ErrorCode.EINVAL)
  assert.is(bench.node.status().error!.status.code, ErrorCode.EIO)
  const sent = bench.transport.streams.map((stream) => stream.sent.length)
  bench.advance(3 * T)
  assert.equal(
    bench.transport.streams.map((stream) => stream.sent.length),
    sent,
  )
  assert.is(bench.meta.stored.term, 6)
})

test('A05 a term that cannot be saved ends the node, and no answer of that term leaves', () => {
  const bench = NodeBench.follower(5)
  bench.held.meta = true
  const answer = bench.append(2, 8)
  assert.is(answer.status, null)
  bench.meta.completeOne(Status.error(ErrorCode.EIO, 'broken'))
  bench.settle()
  assert.equal([bench.state, answer.status!.ok, answer.count], ['ERROR', false, 1])
})

test('while it starts it refuses for now, and stopping it then still tells init', () => {
  const bench = new NodeBench()
  bench.held.log = true
  bench.init()
  assert.is(bench.append(2, 5).status!.code, ErrorCode.EAGAIN)
  assert.is(bench.vote('requestVote', 2, 5).status!.code, ErrorCode.EAGAIN)
  bench.node.shutdown(bench.tell('shutdown'))
  bench.held.log = false
  bench.settle()
  assert.equal(bench.told.sort(), ['init ESHUTDOWN', 'shutdown OK'])
})

test('a disk that runs short refuses writes and keeps the rest going', () => {
  const bench = NodeBench.leader(6)
  for (const n of [2, 3]) bench.stream(n).answerAll({ short: true })
  bench.advance(100)
  for (const n of [2, 3]) bench.stream(n).answerAll({ short: true })
  bench.node.setDiskSpace('short')
  bench.propose('a')
  assert.is(bench.told.at(-1), 'a ENOSPC')
  bench.read('read')
  bench.take(2)
  assert.is(bench.told.at(-1), 'read OK 1')
  bench.node.setDiskSpace('ample')
  bench.propose('b')
  bench.take(2)
  assert.is(bench.told.at(-1), 'b OK')
})

test('hello tells who this directory and this process are, to those who meant this member', () => {
  const bench = NodeBench.follower(5)
  const hello = (to: number) =>
    bench.ask<HelloResponse>((answer) =>
      bench.impl.handleHello({ groupId: 'g', serverId: peer(2), peerId: peer(to), incarnation: 'x', standing: 'member' }, answer),
    )
  assert.equal(hello(1).response, { incarnation: 'boot-1', standing: 'member', founders: null, bootId: 'boot-1', lastLogIndex: 0 })
  assert.is(hello(4).status!.code, ErrorCode.EINVAL)
})

test('status tells what a follower, a leader and a candidate know', () => {
  const disk = new FakeLogStorage({ batches: [batch(1, 3, [configuration(members(1, 2, 3)), 'a'])] })
  const bench = NodeBench.follower(5, { disk })
  let status = bench.node.status()
  assert.equal([status.state, status.term, status.leaderContactMs, status.leaderForMs], ['FOLLOWER', 5, null, null])
  assert.equal([status.firstIndex, status.lastId, status.durableIndex], [1, { index: 2, term: 3 }, 2])
  assert.equal([status.committedIndex, status.appliedIndex, status.configurationCommitted], [0, 0, false])
  assert.ok(status.electionTimer.firesInMs! > 0)

  bench.append(2, 5, { prev: [2, 3], committed: 1 })
  bench.advance(70)
  status = bench.node.status()
  assert.equal([status.leaderId.port, status.leaderContactMs, status.leaderForMs], [2, 70, 70])
  assert.equal([status.committedIndex, status.appliedIndex, status.configurationCommitted], [1, 1, true])

  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
  bench.grant('preVote', 2)
  bench.settle()
  status = bench.node.status()
  assert.equal([status.state, status.term, status.votedFor.port, status.leaderId.isEmpty], ['CANDIDATE', 6, 1, true])
  assert.equal([status.electionTimer.firesInMs, status.voteTimer.firesInMs === null], [null, false])

  bench.grant('requestVote', 3)
  bench.settle()
  bench.propose('b')
  bench.advance(30)
  status = bench.node.status()
  assert.equal([status.state, status.leaderId.port, status.leaderForMs, status.leaderContactMs], ['LEADER', 1, 30, null])
  assert.equal([status.pendingIndex, status.pendingTasks, status.configurationCommitted], [3, 2, false])
  assert.equal([status.electionTimer.firesInMs, status.voteTimer.firesInMs, status.stepdownTimer.firesInMs], [null, null, T - 30])
  assert.equal(
    status.peers.map(({ peerId, nextIndex, lastContactMs, state }) => [peerId.port, nextIndex, lastContactMs, state]),
    [
      [2, 3, null, 'probe'],
      [3, 3, null, 'probe'],
    ],
  )
})

test('only a member can tell a leader that its term is over', () => {
  const bench = NodeBench.leader(6)
  bench.impl.onHigherTerm(asTerm(9), peer(9))
  assert.equal([bench.state, bench.term], ['LEADER', 6])
  bench.impl.onHigherTerm(asTerm(9), peer(2))
  assert.equal([bench.state, bench.term], ['FOLLOWER', 9])
})

test('two leaders in one term: somebody is broken, and this member leaves the term', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  const answer = bench.append(3, 5)
  assert.equal([answer.response!.success, answer.response!.term, bench.term], [false, 6, 6])
})

test('a node without members waits to be added, and stopped it takes nothing', () => {
  const bench = new NodeBench({ conf: members() }).init()
  bench.advance(5 * T)
  assert.equal([bench.told, bench.state, bench.term], [['init OK'], 'FOLLOWER', 1])
  assert.equal(bench.transport.open('preVote'), [])
  bench.node.shutdown(bench.tell('shutdown'))
  bench.settle()
  bench.propose('a')
  assert.equal([bench.state, bench.told.slice(1)], ['SHUTDOWN', ['shutdown OK', 'a EPERM']])
})

test('the machine hears of every leader that is followed and left, once each', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  bench.append(2, 5)
  bench.append(3, 6)
  assert.equal(bench.machine.told, ['follow 2', 'unfollow 2', 'follow 3'])

  bench.elect(2, 3)
  bench.take(2)
  assert.equal(bench.machine.told.slice(3), ['unfollow 3', '1:configuration of 3', 'leader start 7'])

  bench.take(3)
  bench.node.transferLeadershipTo(peer(2), bench.tell('transfer'))
  bench.advance(20)
  bench.transport.open('timeoutNow')[0]!.finish(Status.OK, { term: asTerm(8), success: true })
  bench.settle()
  bench.append(2, 8, { prev: [1, 7], committed: 1 })
  bench.append(2, 8, { prev: [1, 7], committed: 1 })
  assert.equal(bench.machine.told.slice(6), [`leader stop ${ErrorCode.ETRANSFERLEADERSHIP}`, 'follow 2'])
})

test.run()
