import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { TimeoutNowResponse } from '../../../src/raft/messages.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { batch, members, peer } from '../../support/entries.js'
import { NodeBench, T } from '../../support/node-bench.js'

const test = suite('LeadershipTransfer')

function release(bench: NodeBench): void {
  for (const call of bench.transport.open('release')) call.finish(Status.OK, { term: asTerm(6) })
  bench.settle()
}

/** Member 2 or another is told to campaign. */
function told(bench: NodeBench, n = 2) {
  return bench.transport.open('timeoutNow', peer(n))[0]
}

test('the followers are released, the target told to campaign, its term ends this leadership: OK', () => {
  const bench = NodeBench.leader(6)
  bench.node.transferLeadershipTo(peer(2), bench.tell('transfer'))
  assert.is(bench.state, 'TRANSFERRING')
  assert.equal(
    bench.transport.open('release').map(({ to, request }) => [to.port, request.term]),
    [
      [2, 6],
      [3, 6],
    ],
  )
  assert.not(told(bench), 'not before the others are released')

  release(bench)
  assert.is(told(bench)!.request.term, 6)
  told(bench)!.finish(Status.OK, { term: asTerm(7), success: true })
  bench.settle()
  assert.equal([bench.state, bench.term], ['FOLLOWER', 7])
  assert.equal(bench.told.slice(1), ['transfer OK'])
  assert.equal(bench.machine.told.slice(-1), [`leader stop ${ErrorCode.ETRANSFERLEADERSHIP}`], 'and it stops once')
})

test('a follower that does not acknowledge its release holds the transfer up for 20 ms', () => {
  const bench = NodeBench.leader(6)
  bench.node.transferLeadershipTo(peer(2), bench.tell('transfer'))
  bench.advance(19)
  assert.not(told(bench))
  bench.advance(1)
  assert.ok(told(bench))
})

test('nobody is told to campaign before those who proposed were told what came of it', () => {
  const bench = NodeBench.leader(6, { conf: members(1, 2, 3, 4, 5) })
  bench.propose('a')
  bench.node.transferLeadershipTo(peer(2), bench.tell('transfer'))
  bench.take(2)
  bench.advance(50)
  assert.equal([told(bench), bench.transport.open('release').length], [undefined, 0], 'two of five hold it')
  bench.take(3)
  bench.advance(50)
  assert.equal([bench.told.at(-1), told(bench)?.request.term], ['a OK', 6])
})

test('the successor is one that answers well, however much another holds', () => {
  const silent = NodeBench.leader(6)
  silent.propose('a')
  silent.take(3)
  for (let i = 0; i < 25; i++) {
    silent.advance(50)
    const beat = silent.stream(2).unanswered.find(({ request }) => request.entries === null)
    const answer = { term: asTerm(6), success: true, lastLogIndex: logIndex(1), readonly: false, short: false, rebuilding: false }
    if (beat) silent.stream(2).answer(beat.seq, Status.OK, answer)
  }
  assert.is(silent.impl.replicators.bestCandidate()?.replicator.peerId.port, 2, 'member 3 has not answered for long')

  const broken = NodeBench.leader(6)
  broken.propose('a')
  broken.take(3)
  broken.stream(3).break()
  broken.settle()
  assert.is(broken.impl.replicators.bestCandidate()?.replicator.peerId.port, 2, 'the way to member 3 is broken')
})

test('a target that lags is sent what it lacks first, and writes are refused meanwhile', () => {
  const bench = NodeBench.leader(6)
  bench.propose('a')
  bench.take(3)
  bench.node.transferLeadershipTo(peer(2), bench.tell('transfer'))
  bench.propose('b')
  bench.advance(10)
  assert.is(bench.told.at(-1), 'b EBUSY')
  release(bench)
  bench.settle()
  assert.not(told(bench), 'it lacks an entry')
  bench.take(2)
  assert.ok(told(bench))
})

test('a leader that holds a lease gives it up only when the target lacks nothing', () => {
  const bench = NodeBench.leader(6, { leaderLease: true })
  bench.propose('a')
  bench.take(3)
  bench.node.transferLeadershipTo(peer(2), bench.tell('transfer'))
  bench.settle()
  assert.is(bench.transport.open('release').length, 0)
  bench.take(2)
  assert.not(told(bench), 'not before the others are released')
  release(bench)
  assert.ok(told(bench))
})

test('a target that stays silent: after T the leader goes on and takes writes (F01)', () => {
  const bench = NodeBench.leader(6)
  bench.propose('a')
  bench.take(3)
  bench.node.transferLeadershipTo(peer(2), bench.tell('transfer'))
  for (let i = 0; i < T; i++) {
    assert.is(bench.state, 'TRANSFERRING')
    bench.stream(3).answerAll()
    bench.advance(1)
  }
  assert.is(bench.state, 'LEADER')
  assert.is(bench.told.at(-1), 'transfer ERAFTTIMEDOUT')
  assert.is(bench.machine.told.at(-1), 'leader start 6')
  bench.propose('b')
  bench.take(3)
  assert.is(bench.told.at(-1), 'b OK')
})

test('a target that was told and never wins: after T the leader goes on', () => {
  const bench = NodeBench.leader(6)
  bench.node.transferLeadershipTo(peer(2), bench.tell('transfer'))
  release(bench)
  told(bench)!.finish(Status.OK, { term: asTerm(6), success: true })
  for (let i = 0; i < T; i++) {
    bench.stream(3).answerAll()
    bench.advance(1)
  }
  assert.equal([bench.state, bench.told.at(-1)], ['LEADER', 'transfer ERAFTTIMEDOUT'])
})

test('a target that refuses, or cannot be told, ends the transfer at once', () => {
  const answers = [
    { status: Status.OK, response: { term: asTerm(6), success: false } },
    { status: Status.error(ErrorCode.EHOSTDOWN, 'nobody listens'), response: undefined },
  ]
  for (const { status, response } of answers) {
    const bench = NodeBench.leader(6)
    bench.node.transferLeadershipTo(peer(2), bench.tell('transfer'))
    release(bench)
    told(bench)!.finish(status, response)
    bench.settle()
    assert.equal([bench.state, bench.told.at(-1)], ['LEADER', 'transfer ERAFTTIMEDOUT'])
  }
})

test('without a target the voter that holds the most is chosen', () => {
  const bench = NodeBench.leader(6)
  bench.propose('a')
  bench.take(3)
  bench.node.transferLeadershipTo(null, bench.tell('transfer'))
  release(bench)
  assert.ok(told(bench, 3))
})

test('what cannot be is refused at once', () => {
  const bench = NodeBench.leader(6)
  const refused = (target: number) => {
    bench.node.transferLeadershipTo(peer(target), bench.tell(`to ${target}`))
    return bench.told.at(-1)
  }
  assert.is(refused(1), 'to 1 OK')
  assert.is(refused(9), 'to 9 EINVAL')
  bench.stream(3).break()
  assert.is(refused(3), 'to 3 EHOSTUNREACH')
  assert.is(bench.state, 'LEADER')
  bench.node.transferLeadershipTo(peer(2), bench.tell('to 2'))
  assert.is(refused(2), 'to 2 EBUSY')

  const follower = NodeBench.follower(5)
  follower.node.transferLeadershipTo(peer(2), follower.tell('transfer'))
  assert.equal(follower.told.slice(1), ['transfer EPERM'])
  const young = NodeBench.follower(5)
  young.elect()
  young.node.transferLeadershipTo(peer(2), young.tell('transfer'))
  assert.is(young.told.at(-1), 'transfer EBUSY')
})

test('leadership that is lost to nobody is no transfer', () => {
  const bench = NodeBench.leader(6)
  bench.propose('a')
  bench.advance(T / 2)
  bench.node.transferLeadershipTo(peer(2), bench.tell('transfer'))
  bench.until('a quorum is missed', () => bench.state === 'FOLLOWER', T + 1)
  bench.settle()
  assert.ok(bench.told.includes('transfer ERAFTTIMEDOUT'), bench.told.join())
})

test('a leader that steps down for want of a quorum releases those who may still hear it', () => {
  const bench = NodeBench.leader(6)
  bench.until('it steps down', () => bench.state === 'FOLLOWER', 2 * T)
  assert.equal(
    bench.transport.open('release').map(({ to, request }) => [to.port, request.term]),
    [
      [2, 6],
      [3, 6],
    ],
  )
})

test('a leader that hands over and is asked by its successor still gives it its vote', () => {
  const bench = NodeBench.leader(6)
  bench.node.shutdown(bench.tell('shutdown'))
  release(bench)
  const vote = bench.vote('requestVote', 2, 7, [9, 6])
  assert.is(vote.response!.granted, true)
  assert.is(bench.meta.stored.votedFor.key, peer(2).key)
  assert.is(bench.told.at(-1), 'init OK', 'it does not stop before its successor is there')
  bench.append(2, 7, { prev: [1, 6], entries: batch(2, 7, ['b']) })
  bench.settle()
  assert.is(bench.told.at(-1), 'shutdown OK')
})

test('a leader that hands over waits for its successor no longer than half an election timeout', () => {
  const bench = NodeBench.leader(6)
  bench.node.shutdown(bench.tell('shutdown'))
  release(bench)
  told(bench)!.finish(Status.OK, { term: asTerm(7), success: true })
  bench.settle()
  bench.advance(T / 2 - 1)
  assert.is(bench.state, 'FOLLOWER')
  bench.advance(1)
  assert.equal([bench.state, bench.told.at(-1)], ['SHUTDOWN', 'shutdown OK'])
})

test('timeout_now: a follower campaigns at once and names the leader that asked for it', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  bench.held.meta = true
  const request = { groupId: 'g', serverId: peer(2), peerId: peer(1), term: asTerm(5), oldLeaderSteppedDown: false }
  const answer = bench.ask<TimeoutNowResponse>((done) => bench.impl.handleTimeoutNow(request, done))
  assert.equal([bench.state, bench.term, answer.status], ['CANDIDATE', 6, null])
  bench.held.meta = false
  bench.settle()
  assert.equal([answer.response!.success, answer.response!.term], [true, 6])
  const asked = bench.transport.open('requestVote')
  assert.is(asked.length, 2)
  assert.equal([asked[0]!.request.disruptedLeader!.peerId.port, asked[0]!.request.disruptedLeader!.term], [2, 5])
  assert.is(bench.transport.calls.filter((call) => call.method === 'preVote').length, 0)
})

test('timeout_now of another term is refused, as is one to a member outside of the configuration', () => {
  const bench = NodeBench.follower(5)
  const ask = (asked: NodeBench, term: number) => {
    const request = { groupId: 'g', serverId: peer(2), peerId: peer(1), term: asTerm(term), oldLeaderSteppedDown: false }
    const { response } = asked.ask<TimeoutNowResponse>((done) => asked.impl.handleTimeoutNow(request, done))
    return [response!.success, response!.term, asked.state]
  }
  assert.equal(ask(bench, 4), [false, 5, 'FOLLOWER'])
  assert.equal(ask(bench, 8), [false, 8, 'FOLLOWER'])
  assert.equal(ask(NodeBench.follower(5, { conf: members(2, 3, 4) }), 5), [false, 5, 'FOLLOWER'])
})

test('a transfer while entries of the machine are still applied keeps the order of what the machine hears', () => {
  const bench = NodeBench.leader(6)
  bench.propose('a')
  bench.take(2)
  bench.node.transferLeadershipTo(peer(2), bench.tell('transfer'))
  release(bench)
  bench.append(2, 7, { prev: [2, 6], entries: batch(3, 7, ['b']), committed: 3 })
  assert.equal(bench.machine.told.slice(2), ['2:a', `leader stop ${ErrorCode.ETRANSFERLEADERSHIP}`, 'follow 2', '3:b'])
  assert.is(bench.told.at(-1), 'transfer OK')
})

test.run()
