import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Status } from '../../../src/raft/errors.js'
import type { ReleaseResponse } from '../../../src/raft/messages.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { members, peer } from '../../support/entries.js'
import { NodeBench, T, unreachable } from '../../support/node-bench.js'

const test = suite('Stickiness')

/** A follower of member 2 in term 5 that knows which process that is. */
function following(conf = members(1, 2, 3)): NodeBench {
  const bench = NodeBench.follower(5, { conf })
  bench.append(2, 5)
  sayHello(bench, 'boot-2')
  return bench
}

function sayHello(bench: NodeBench, bootId: string): void {
  const call = bench.transport.open('hello', peer(2)).at(-1)!
  call.finish(Status.OK, { incarnation: '02', standing: 'member', bootId, founders: null, lastLogIndex: logIndex(0) })
  bench.settle()
}

/** Everybody finds the leader's process where it was. */
function leaderLives(bench: NodeBench): void {
  bench.transport.dials.splice(0).forEach((dial) => {
    dial.finish('accepted')
    bench.settle()
    sayHello(bench, 'boot-2')
  })
  bench.settle()
}

test('who heard the leader within T refuses pre-votes and votes, and does not take over the term', () => {
  const bench = following()
  bench.advance(T - 2)
  const preVote = bench.vote('preVote', 3, 50)
  leaderLives(bench)
  assert.equal([preVote.response!.granted, preVote.response!.rejectedByLease], [false, true])
  const vote = bench.vote('requestVote', 3, 50)
  assert.equal([vote.response!.granted, vote.response!.rejectedByLease, vote.response!.term], [false, true, 5])
  assert.is(bench.term, 5)
})

test('after T without the leader both are granted', () => {
  const bench = following()
  bench.advance(T)
  assert.is(bench.vote('preVote', 3, 6).response!.granted, true)
  assert.is(bench.vote('requestVote', 3, 6).response!.granted, true)
})

test('a follower started anew is not sticky: it heard no leader yet', () => {
  assert.is(NodeBench.follower(5).vote('preVote', 3, 6).response!.granted, true)
})

test('a vote that names the leader as disrupted is granted, for that leader and its term only', () => {
  const ask = (leader: number, term: number) =>
    following().vote('requestVote', 3, 6, [0, 0], { peerId: peer(leader), term: asTerm(term) }).response!.granted
  assert.is(ask(2, 5), true)
  assert.is(ask(3, 5), false)
  assert.is(ask(2, 4), false)
})

test('a released follower votes at once, for T', () => {
  const bench = following()
  const release = (n: number, term: number) =>
    bench.ask<ReleaseResponse>((answer) =>
      bench.impl.handleRelease({ groupId: 'g', serverId: peer(n), peerId: peer(1), term: asTerm(term) }, answer),
    )
  release(2, 4)
  release(3, 5)
  assert.is(bench.vote('requestVote', 3, 6).response!.granted, false, 'released by nobody, or for another term')
  assert.is(release(2, 5).response!.term, 5)
  assert.is(bench.vote('requestVote', 3, 6).response!.granted, true)
})

test('a release that no election followed is over after T', () => {
  const bench = following()
  bench.ask((answer) => bench.impl.handleRelease({ groupId: 'g', serverId: peer(2), peerId: peer(1), term: asTerm(5) }, answer))
  bench.advance(T)
  bench.append(2, 5)
  assert.is(bench.vote('requestVote', 3, 6).response!.granted, false)
})

test('asked for a pre-vote, a follower dials its leader before it answers', () => {
  const bench = following()
  const answer = bench.vote('preVote', 3, 6)
  assert.is(answer.status, null)
  assert.is(bench.transport.dials[0]!.to.port, 2)
  bench.transport.dials[0]!.finish('refused')
  bench.settle()
  assert.is(answer.response!.granted, true)
})

test('a leader that cannot be dialled is not taken for gone', () => {
  const bench = following()
  const answer = bench.vote('preVote', 3, 6)
  bench.transport.dials[0]!.finish('unknown')
  bench.settle()
  assert.is(answer.response!.granted, false)
})

test('questions that come while the leader is dialled share the dial, and so do those shortly after', () => {
  const bench = following()
  const answers = [bench.vote('preVote', 3, 6), bench.vote('preVote', 3, 6)]
  leaderLives(bench)
  answers.push(bench.vote('preVote', 3, 6))
  assert.equal(
    answers.map((answer) => [answer.response!.granted, answer.count]),
    [
      [false, 1],
      [false, 1],
      [false, 1],
    ],
  )
  assert.is(bench.transport.dials.length, 0, 'the three made one dial')
})

test('a stream that breaks and a refused dial: the process is gone, pre-vote within T/10, told once', () => {
  const bench = following()
  bench.node.handler.handleStreamBroken(peer(2))
  bench.transport.dials[0]!.finish('refused')
  const waited = bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
  assert.ok(waited <= T / 10 + 1, `${waited} ms`)
  assert.equal(bench.events('leader.lost'), ['leader.lost'])
  assert.match(bench.environment.events('leader.lost')[0]!.reason.message, /process is gone/)
  assert.equal(bench.machine.told, ['follow 2', 'unfollow 2'])
})

test('a newer process at the address of the leader ends its protection', () => {
  const bench = following()
  bench.node.handler.handleStreamBroken(peer(2))
  bench.transport.dials[0]!.finish('accepted')
  bench.settle()
  sayHello(bench, 'boot-2b')
  assert.is(bench.vote('preVote', 3, 6).response!.granted, true)
})

test('the same process behind a broken stream stays protected', () => {
  const bench = following()
  bench.node.handler.handleStreamBroken(peer(2))
  leaderLives(bench)
  const answer = bench.vote('preVote', 3, 6)
  assert.is(answer.response!.granted, false)
  assert.is(bench.events('leader.lost').length, 0)
})

test('a process that takes its time to die is looked at until nobody listens any more', () => {
  const bench = following()
  bench.node.handler.handleStreamBroken(peer(2))
  for (let look = 0; look < 4; look++) {
    bench.transport.dials[look]!.finish('accepted')
    bench.settle()
    bench.transport.open('hello', peer(2)).at(-1)!.finish(unreachable)
    bench.until(`dial ${look + 2}`, () => bench.transport.dials.length === look + 2, T / 10)
  }
  bench.transport.dials[4]!.finish('refused')
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2, T / 10 + 1)
})

test('a process that accepts and never answers is given up after T/10', () => {
  const bench = following()
  bench.node.handler.handleStreamBroken(peer(2))
  for (let dialled = 0; bench.transport.dials.length > dialled && dialled < 1000; ) {
    dialled = bench.transport.dials.length
    bench.transport.dials.at(-1)!.finish('accepted')
    bench.settle()
    bench.transport.open('hello', peer(2)).at(-1)?.finish(unreachable)
    bench.advance(T / 50)
  }
  assert.ok(bench.transport.dials.length >= 4 && bench.transport.dials.length <= 20, `${bench.transport.dials.length} dials`)
  assert.is(bench.transport.open('preVote').length, 0)
})

test('a pre-vote that is refused after the leader died is asked again soon, not after a timeout', () => {
  const bench = following()
  bench.node.handler.handleStreamBroken(peer(2))
  bench.transport.dials[0]!.finish('refused')
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2, T / 10 + 1)
  const refusal = {
    term: bench.impl.meta.term,
    granted: false,
    disrupted: false,
    previousTerm: bench.impl.meta.term,
    rejectedByLease: true,
  }
  bench.transport.open('preVote', peer(3))[0]!.finish(Status.OK, refusal)
  bench.transport.open('preVote', peer(2))[0]!.finish(unreachable)
  bench.settle()
  bench.until('the next pre-vote', () => bench.transport.open('preVote').length > 0, T / 10 + T / 4 + 1)
})

test('a stream of somebody else that breaks means nothing', () => {
  const bench = following()
  bench.node.handler.handleStreamBroken(peer(3))
  assert.is(bench.transport.dials.length, 0)
})

test('a leader that was thought gone and is heard again is protected again', () => {
  const bench = following()
  bench.node.handler.handleStreamBroken(peer(2))
  bench.transport.dials[0]!.finish('refused')
  bench.settle()
  bench.advance(1)
  bench.append(2, 5)
  assert.is(bench.vote('requestVote', 3, 6).response!.granted, false)
  bench.advance(T / 2)
  assert.is(bench.transport.open('preVote').length, 0)
})

test('a leader is thought gone once in its term: after that only its silence counts', () => {
  const bench = following()
  for (let i = 0; i < 2; i++) {
    bench.node.handler.handleStreamBroken(peer(2))
    bench.transport.dials.at(-1)!.finish('refused')
    bench.settle()
    if (i === 0) {
      bench.advance(1)
      bench.append(2, 5)
    }
    bench.advance(T / 5)
  }
  assert.is(bench.transport.calls.filter((call) => call.method === 'preVote').length, 0)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2, 1.5 * T)
})

test('which process leads is learned anew with every leadership: a late answer of an earlier one says nothing', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  const [early] = bench.transport.open('hello', peer(2))
  bench.append(2, 6)
  sayHello(bench, 'boot-2b')
  early!.finish(Status.OK, { incarnation: '02', standing: 'member', bootId: 'boot-2a', founders: null, lastLogIndex: logIndex(0) })
  bench.settle()
  bench.node.handler.handleStreamBroken(peer(2))
  bench.transport.dials[0]!.finish('accepted')
  bench.settle()
  sayHello(bench, 'boot-2b')
  assert.is(bench.vote('preVote', 3, 7).response!.granted, false)
})

test('a leader is sticky while a quorum answered it within T, and not while it hands over', () => {
  const bench = NodeBench.leader(6)
  assert.is(bench.vote('preVote', 3, 7, [9, 6]).response!.granted, false)
  bench.node.transferLeadershipTo(peer(2), bench.tell('transfer'))
  const vote = bench.vote('requestVote', 2, 7, [9, 6]).response!
  assert.equal([vote.granted, vote.disrupted, vote.previousTerm], [true, true, 6])
})

test.run()
