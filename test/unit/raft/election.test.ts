import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { goesBefore } from '../../../src/raft/turns.js'
import { asTerm } from '../../../src/raft/types.js'
import { batch, configuration, members, peer } from '../../support/entries.js'
import { FakeLogStorage } from '../../support/fake-log-storage.js'
import { FakeMetaStorage, NodeBench, T, unreachable } from '../../support/node-bench.js'

const test = suite('Election')
const log = () => new FakeLogStorage({ batches: [batch(1, 3, [configuration(members(1, 2, 3)), 'a'])] })

test('a member that starts asks for pre-votes after T/4 to T/2', () => {
  for (let seed = 1; seed <= 5; seed++) {
    const bench = NodeBench.follower(5, { seed })
    const waited = bench.until('a pre-vote', () => bench.transport.open('preVote').length > 0)
    assert.ok(waited >= T / 4 && waited <= T / 2 + 1, `${waited} ms`)
  }
})

test('a follower waits T to 1.5 T after it last heard its leader before it asks for pre-votes', () => {
  for (let seed = 1; seed <= 5; seed++) {
    const bench = NodeBench.follower(5, { seed })
    bench.append(2, 5)
    const waited = bench.until('a pre-vote', () => bench.transport.open('preVote').length > 0)
    assert.ok(waited >= T && waited <= 1.5 * T + 1, `${waited} ms`)
  }
})

test('a member that starts asks after T/4 to T/2 already, unless it hears a leader before', () => {
  for (let seed = 1; seed <= 5; seed++) {
    const bench = NodeBench.follower(5, { seed })
    const waited = bench.until('a pre-vote', () => bench.transport.open('preVote').length > 0)
    assert.ok(waited >= T / 4 && waited <= T / 2 + 1, `${waited} ms`)
  }
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  bench.advance(T - 1)
  assert.is(bench.transport.open('preVote').length, 0)
})

test('a wait too short for the clock to tell is rounded up, so that it ends', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  const { clock } = bench.environment
  bench.impl.stickiness.contactDeadline = () => clock.now() + Number.EPSILON * clock.now()
  const delays: number[] = []
  const schedule = clock.schedule.bind(clock)
  clock.schedule = (delayMs, fn, label) => {
    if (label === 'election') delays.push(delayMs)
    return schedule(Math.max(delayMs, 1), fn, label)
  }
  bench.advance(2 * T)
  assert.ok(delays.length > 0)
  assert.equal(
    delays.filter((delay) => delay < 1),
    [],
  )
})

test('every word of the leader starts the wait anew', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  for (let i = 0; i < 20; i++) {
    bench.append(2, 5)
    bench.advance(T / 2)
  }
  assert.is(bench.transport.open('preVote').length, 0)
  assert.ok(bench.until('a pre-vote', () => bench.transport.open('preVote').length > 0) >= T / 2)
})

test('a pre-vote asks for the next term without entering it, and names what is durable here', () => {
  const bench = NodeBench.follower(5, { disk: log() })
  bench.held.log = true
  bench.append(2, 5, { prev: [2, 3], entries: batch(3, 5, ['not on disk']) })
  bench.node.vote(bench.tell('vote'))
  bench.settle()
  assert.is(bench.transport.open('preVote').length, 2)
  const { request } = bench.transport.open('preVote')[0]!
  assert.equal([request.term, request.lastLogIndex, request.lastLogTerm], [6, 2, 3])
  assert.is(bench.term, 5)
  assert.is(bench.state, 'FOLLOWER')
  assert.is(bench.meta.pending.length, 0)
})

test('no majority of pre-votes, no election', () => {
  const bench = NodeBench.follower(5)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
  bench.refuse('preVote', 2)
  bench.refuse('preVote', 3)
  bench.settle()
  assert.is(bench.term, 5)
  assert.is(bench.state, 'FOLLOWER')
})

test('A01 a request for votes leaves only when the new term and the own vote are on disk', () => {
  const bench = NodeBench.follower(5)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
  bench.held.meta = true
  bench.grant('preVote', 2)
  bench.settle()
  assert.is(bench.state, 'CANDIDATE')
  assert.is(bench.transport.open('requestVote').length, 0, 'the disk has not heard of it')

  bench.held.meta = false
  bench.settle()
  assert.equal([bench.meta.stored.term, bench.meta.stored.votedFor.key], [6, peer(1).key])
  assert.equal(
    bench.transport.open('requestVote').map(({ to, request }) => [to.port, request.term]),
    [
      [2, 6],
      [3, 6],
    ],
  )
})

test('A03 a vote that cannot be saved ends the node: it leads nothing and asks nobody', () => {
  const bench = NodeBench.follower(5)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
  bench.held.meta = true
  bench.grant('preVote', 2)
  bench.settle()
  bench.meta.completeOne(Status.error(ErrorCode.EIO, 'broken'))
  bench.held.meta = false
  bench.advance(2 * T)
  assert.is(bench.state, 'ERROR')
  assert.is(bench.transport.calls.filter((call) => call.method === 'requestVote').length, 0)
})

test('a majority of votes makes a leader, and the first entry of its term is the configuration', () => {
  const bench = NodeBench.follower(5)
  bench.elect(3)
  assert.is(bench.term, 6)
  assert.is(bench.impl.leaderId.key, peer(1).key)
  const [won] = bench.environment.events('election.won')
  assert.equal([won!.term, won!.votes, won!.voters], [6, 2, 3])
  bench.take(2)
  assert.equal(bench.machine.told, ['1:configuration of 3', 'leader start 6'])
})

test('a member that is not in its configuration never asks for votes', () => {
  const bench = NodeBench.follower(5, { conf: members(2, 3, 4) })
  bench.advance(3 * T)
  assert.is(bench.transport.calls.length, 0)
})

test('a group of one elects itself at once', () => {
  const bench = new NodeBench({ conf: members(1) }).init()
  bench.until('a leader', () => bench.impl.leaderReady, 150)
  assert.is(bench.term, 2)
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 1)
})

test('A08 answers of an earlier round are not counted in a later one', () => {
  const bench = NodeBench.follower(5)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
  const late = bench.transport.open('preVote')
  bench.append(2, 7)
  for (const call of late)
    call.finish(Status.OK, { term: asTerm(5), granted: true, disrupted: false, previousTerm: asTerm(5), rejectedByLease: false })
  bench.settle()
  assert.is(bench.state, 'FOLLOWER')
  assert.is(bench.term, 7)
})

test('A08 a pre-vote ends when the leader is heard again: a late grant disturbs nobody', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)

  bench.append(2, 5)
  bench.grant('preVote', 3)
  bench.settle()

  assert.is(bench.state, 'FOLLOWER')
  assert.is(bench.term, 5)
  assert.is(bench.impl.leaderId.key, peer(2).key)
})

test('grants of a slow pre-vote still count after it was asked for again', () => {
  const bench = NodeBench.follower(5)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
  const slow = bench.transport.open('preVote')[0]!
  bench.until('a second one', () => bench.transport.open('preVote').length === 4)
  slow.finish(Status.OK, { term: asTerm(5), granted: true, disrupted: false, previousTerm: asTerm(5), rejectedByLease: false })
  bench.settle()
  assert.is(bench.state, 'CANDIDATE')
})

test('who refused a pre-vote and grants it when it is asked again counts as granting, and no more as refusing', () => {
  const bench = NodeBench.follower(5, { conf: members(1, 2, 3, 4, 5) })
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 4)
  bench.refuse('preVote', 2)
  bench.until('it is asked again', () => bench.transport.open('preVote', peer(2)).length > 0, T)
  bench.grant('preVote', 2)
  for (const n of [3, 4]) bench.refuse('preVote', n)
  bench.settle()
  bench.grant('preVote', 5)
  bench.settle()
  assert.is(bench.term, 6, 'three of five granted it')
})

test('a grant that is older than an election timeout does not count any more', () => {
  const bench = NodeBench.follower(5, { conf: members(1, 2, 3, 4, 5) })
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 4)
  bench.grant('preVote', 2)
  bench.advance(1.5 * T)
  bench.until('the others are asked again', () => bench.transport.open('preVote', peer(3)).length > 0, T)
  bench.grant('preVote', 3)
  bench.settle()
  assert.is(bench.term, 5, 'two of five granted it lately')
})

test('a lost round is repeated after T/10 to 0.35 T', () => {
  for (let seed = 1; seed <= 5; seed++) {
    const bench = NodeBench.follower(5, { seed })
    bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
    bench.refuse('preVote', 2)
    bench.refuse('preVote', 3)
    const waited = bench.until('another', () => bench.transport.open('preVote').length > 0)
    assert.ok(waited >= T / 10 && waited <= 0.35 * T + 1, `${waited} ms`)
  }
})

test('a lost vote goes back to pre-vote after T/10 to 0.35 T, without raising the term again', () => {
  const bench = NodeBench.follower(5)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
  bench.grant('preVote', 2)
  bench.settle()
  bench.refuse('requestVote', 2)
  bench.refuse('requestVote', 3)
  assert.is(bench.state, 'FOLLOWER')
  const waited = bench.until('a pre-vote', () => bench.transport.open('preVote').length > 0)
  assert.ok(waited >= T / 10 && waited <= 0.35 * T + 1, `${waited} ms`)
  assert.is(bench.term, 6)
})

test('a vote split with one member that cannot be reached is lost at once, not when the vote times out', () => {
  const bench = NodeBench.follower(5)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
  bench.grant('preVote', 2)
  bench.settle()
  bench.refuse('requestVote', 2)
  bench.transport.open('requestVote', peer(3))[0]!.finish(unreachable)
  bench.settle()
  assert.is(bench.state, 'FOLLOWER')
  assert.ok(bench.until('a pre-vote', () => bench.transport.open('preVote').length > 0) <= 0.35 * T + 1)
})

test('a member that cannot be reached loses no vote that the others can still win', () => {
  const bench = NodeBench.follower(5)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
  bench.grant('preVote', 2)
  bench.settle()
  bench.transport.open('requestVote', peer(3))[0]!.finish(unreachable)
  bench.settle()
  assert.is(bench.state, 'CANDIDATE')
  bench.grant('requestVote', 2)
  bench.settle()
  assert.is(bench.state, 'LEADER')
})

test('a vote that nobody answers is given up', () => {
  const bench = NodeBench.follower(5)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
  bench.grant('preVote', 2)
  bench.settle()
  bench.until('it gives up', () => bench.state === 'FOLLOWER', 0.75 * T + 1)
  assert.is(bench.term, 6)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length > 0, 0.35 * T + 1)
})

test('of a brand-new group one member asks at once, and again within 150 ms; the others only when nothing comes of that', () => {
  const groups = Array.from({ length: 30 }, (_, at) => `g${at}`)
  const waits = groups.map((group) => {
    const bench = new NodeBench({ group }).init()
    const first = bench.until('a pre-vote', () => bench.transport.open('preVote').length > 0, T + 1)
    const asked = bench.transport.calls.length
    const second = bench.until('another', () => bench.transport.calls.length > asked, T + 1)
    const isFirst = [2, 3].every((n) => goesBefore(group, 1, peer(1), peer(n)))
    if (isFirst) assert.ok(first <= 150 && second <= 150, `${first} and ${second} ms`)
    else assert.ok(first >= T / 2 && second >= T / 2, `${first} and ${second} ms`)
    return isFirst
  })
  const inFirst = waits.filter(Boolean).length
  assert.ok(inFirst > 3 && inFirst < 20, `it goes first in ${inFirst} of ${groups.length}`)
})

test('a vote that is not decided in time is waited for longer the next time, until a leader is there', () => {
  const bench = NodeBench.follower(5)
  const voteOnce = () => {
    bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
    bench.grant('preVote', 2)
    bench.settle()
    return bench.until('it gives up', () => bench.state === 'FOLLOWER', 4 * T)
  }
  const waits = Array.from({ length: 5 }, voteOnce)
  for (const [at, factor] of [1, 2, 4, 4, 4].entries())
    assert.ok(waits[at]! >= (factor * T) / 2 && waits[at]! <= 0.75 * factor * T + 1, `${waits}`)
  bench.append(2, bench.term)
  assert.ok(voteOnce() <= 0.75 * T + 1)
})

test('a candidate whose own vote is not on disk yet waits for that, and raises no further term', () => {
  const bench = NodeBench.follower(5)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
  bench.held.meta = true
  bench.grant('preVote', 2)
  bench.settle()
  bench.advance(10 * T)
  assert.equal([bench.state, bench.term], ['CANDIDATE', 6])
  bench.held.meta = false
  bench.until('votes are asked for', () => bench.transport.open('requestVote').length === 2, 1)
})

test('a higher term in an answer ends the election', () => {
  const bench = NodeBench.follower(5)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
  bench.refuse('preVote', 2, 9)
  bench.grant('preVote', 3)
  bench.settle()
  assert.is(bench.term, 9)
  assert.is(bench.state, 'FOLLOWER')
  assert.is(bench.meta.stored.term, 9)
})

test('no member is asked while the term is not even saved here, and it is asked later', () => {
  const bench = NodeBench.follower(5)
  bench.held.meta = true
  bench.vote('requestVote', 2, 7)
  bench.advance(2 * T)
  assert.is(bench.transport.calls.length, 0)
  bench.held.meta = false
  bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2, 0.4 * T)
})

test('A07 a vote is answered when it is on disk, and once given in a term: to the same candidate again', () => {
  const bench = NodeBench.follower(5, { disk: log() })
  bench.held.meta = true
  const first = bench.vote('requestVote', 2, 6, [2, 3])
  const second = bench.vote('requestVote', 3, 6, [2, 3])
  assert.is(first.status, null, 'the disk has not heard of it')
  bench.held.meta = false
  bench.settle()
  assert.is(first.response!.granted, true)
  assert.is(second.response!.granted, false)
  assert.equal([bench.meta.stored.term, bench.meta.stored.votedFor.key], [6, peer(2).key])

  // The same candidate asks again: the same answer.
  assert.is(bench.vote('requestVote', 2, 6, [2, 3]).response!.granted, true)
})

test('a vote that a newer term overtook before it was on disk is not given', () => {
  const bench = NodeBench.follower(5)
  bench.held.meta = true
  const first = bench.vote('requestVote', 2, 6)
  const second = bench.vote('requestVote', 3, 7)
  bench.held.meta = false
  bench.settle()
  assert.equal([first.response!.granted, first.response!.term], [false, 7])
  assert.is(second.response!.granted, true)
})

test('A02 a vote that cannot be saved is not given', () => {
  const bench = NodeBench.follower(5)
  bench.held.meta = true
  const answer = bench.vote('requestVote', 2, 6)
  bench.meta.completeOne(Status.error(ErrorCode.EIO, 'broken'))
  bench.settle()
  assert.not(answer.status!.ok)
  assert.is(bench.state, 'ERROR')
})

test('A09 a candidate with an older last term is refused however long its log is', () => {
  const bench = NodeBench.follower(5, { disk: log() })
  assert.is(bench.vote('requestVote', 2, 6, [9, 2]).response!.granted, false)
  assert.is(bench.vote('preVote', 2, 7, [9, 2]).response!.granted, false)
  assert.is(bench.vote('requestVote', 2, 7, [1, 3]).response!.granted, false, 'a shorter one')
  assert.is(bench.vote('requestVote', 2, 8, [2, 3]).response!.granted, true, 'as good as the own')
  assert.is(bench.vote('requestVote', 3, 9, [1, 4]).response!.granted, true, 'shorter and newer')
})

test('an older term is refused, with the own one', () => {
  const bench = NodeBench.follower(5)
  const answer = bench.vote('requestVote', 2, 4, [99, 4]).response!
  assert.equal([answer.granted, answer.term], [false, 5])
  assert.is(bench.vote('preVote', 2, 4, [99, 4]).response!.granted, false)
})

test('a pre-vote is granted without changing anything', () => {
  const bench = NodeBench.follower(5)
  const answer = bench.vote('preVote', 2, 6).response!
  assert.equal([answer.granted, answer.term, answer.disrupted], [true, 5, false])
  assert.is(bench.term, 5)
  assert.ok(bench.impl.meta.votedFor.isEmpty)
})

test('A11 a voter at a lower term grants a pre-vote of a far higher one', () => {
  const bench = NodeBench.follower(3)
  assert.equal(bench.vote('preVote', 2, 90).response!.granted, true)
  assert.is(bench.term, 3)
})

test('A04 votes of a term seen in the log and not in the meta file are never given again', () => {
  const meta = new FakeMetaStorage({ term: asTerm(1), votedFor: PeerId.EMPTY })
  const bench = NodeBench.follower(1, { meta, disk: log() })
  assert.is(bench.term, 4)
  assert.is(bench.meta.stored.term, 4)
  assert.is(bench.vote('requestVote', 2, 3, [2, 3]).response!.granted, false)
})

test('a leader that is asked for a vote in a higher term, and heard a quorum lately, keeps its term', () => {
  const bench = NodeBench.leader(6)
  const answer = bench.vote('requestVote', 3, 50, [99, 40]).response!
  assert.equal([answer.granted, answer.rejectedByLease, answer.term], [false, true, 6])
  assert.is(bench.state, 'LEADER')
})

test('A16 who is no member as far as is known here, and knows no more, changes neither term nor vote', () => {
  const bench = NodeBench.follower(5, { disk: log() })
  const answer = bench.vote('requestVote', 9, 50, [1, 3]).response!
  assert.equal([answer.granted, answer.term], [false, 5])
  assert.equal([bench.term, bench.state, bench.impl.meta.votedFor.isEmpty], [5, 'FOLLOWER', true])
  assert.equal(bench.meta.pending, [])
  assert.is(bench.vote('requestVote', 2, 50, [1, 3]).response!.term, 50, 'a member with that log would have been followed into its term')
})

test.run()
