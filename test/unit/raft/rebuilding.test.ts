import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { SettleRequest, SettleResponse } from '../../../src/raft/messages.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { batch, configuration, members, peer } from '../../support/entries.js'
import { FakeIdentityStorage, FakeMetaStorage, NodeBench, T } from '../../support/node-bench.js'

const ONE = { standing: 'rebuilding' as const, incarnation: 'one', founders: null }

/** A directory that lost its past, in term 5, with a log of its leader's up to the marker at 3. */
function rebuilding(committed = 3): NodeBench {
  const bench = NodeBench.follower(4, { identity: new FakeIdentityStorage(ONE) })
  bench.append(2, 5, { entries: batch(1, 5, [configuration(members(1, 2, 3)), 'a', configuration(members(1, 2, 3))]), committed })
  return bench
}

function settle(bench: NodeBench, fields: Partial<SettleRequest> = {}) {
  const request: SettleRequest = {
    groupId: 'g',
    serverId: peer(2),
    peerId: peer(1),
    term: asTerm(5),
    incarnation: 'one',
    upTo: { index: logIndex(3), term: asTerm(5) },
    ...fields,
  }
  return bench.ask<SettleResponse>((answer) => bench.impl.handleSettle(request, answer))
}

test('a member settles when it holds the marker: first its vote is durable, then its standing, then it says so', () => {
  const bench = rebuilding()
  assert.is(bench.append(2, 5, { prev: [3, 5], committed: 3 }).response!.rebuilding, true)
  bench.held.meta = true
  bench.held.identity = true
  const answer = settle(bench)
  assert.equal([answer.status, bench.meta.pending.at(-1)!.meta], [null, { term: 5, votedFor: peer(2) }])
  assert.equal(bench.identity!.pending.length, 0)
  bench.held.meta = false
  bench.settle()
  assert.equal([answer.status, bench.identity!.pending.length], [null, 1])
  assert.is(bench.append(2, 5, { prev: [3, 5], committed: 3 }).response!.rebuilding, true, 'not durable yet')
  bench.held.identity = false
  bench.settle()
  assert.equal([answer.response, bench.identity!.stored.standing], [{ term: 5, settled: true }, 'member'])
  assert.is(bench.append(2, 5, { prev: [3, 5], committed: 3 }).response!.rebuilding, false)
  assert.is(bench.events('node.rebuilt').length, 1)
  assert.is(settle(bench).response!.settled, true, 'the answer may have been lost')
})

test('a directory that moved here with a vote for another gives it to its leader: who was here before may have voted for that one', () => {
  const meta = new FakeMetaStorage({ term: asTerm(5), votedFor: peer(3) })
  const bench = NodeBench.follower(5, { identity: new FakeIdentityStorage(ONE), meta })
  bench.append(2, 5, { entries: batch(1, 5, [configuration(members(1, 2, 3)), 'a', configuration(members(1, 2, 3))]), committed: 3 })
  assert.is(settle(bench).response!.settled, true)
  assert.equal(bench.meta.stored, { term: 5, votedFor: peer(2) })
})

test('only its leader of this term may settle it, for this life of the directory, with a marker that it holds and knows committed', () => {
  const refused: [string, Partial<SettleRequest>, number?][] = [
    ['another life', { incarnation: 'two' }],
    ['another term', { term: asTerm(4) }],
    ['a later term', { term: asTerm(6) }],
    ['somebody else', { serverId: peer(3) }],
    ['not there yet', { upTo: { index: logIndex(4), term: asTerm(5) } }],
    ['another entry there', { upTo: { index: logIndex(3), term: asTerm(4) } }],
    ['not known committed', {}, 2],
  ]
  for (const [what, fields, committed] of refused) {
    const bench = rebuilding(committed)
    assert.is(settle(bench, fields).response!.settled, false, what)
    assert.equal([bench.identity!.stored.standing, bench.meta.stored.votedFor.isEmpty], ['rebuilding', true], what)
  }
})

test('a marker that is in memory only does not settle', () => {
  const bench = NodeBench.follower(4, { identity: new FakeIdentityStorage(ONE) })
  bench.append(2, 5)
  bench.held.log = true
  bench.append(2, 5, { entries: batch(1, 5, ['a', 'b', 'c']), committed: 3 })
  bench.append(2, 5, { prev: [3, 5], committed: 3 })
  assert.is(bench.node.status().committedIndex, 3)
  assert.is(settle(bench).response!.settled, false)
  bench.held.log = false
  bench.settle()
  assert.is(settle(bench).response!.settled, true)
})

test('a term that begins while the vote is written leaves it as it was', () => {
  const bench = rebuilding()
  bench.held.meta = true
  const answer = settle(bench)
  bench.vote('requestVote', 3, 6, [9, 9], { peerId: peer(2), term: asTerm(5) })
  bench.held.meta = false
  bench.settle()
  assert.equal([answer.response, bench.identity!.stored.standing], [{ term: 6, settled: false }, 'rebuilding'])
})

test('in rebuilding it votes for nobody, asks for no vote and does not take over', () => {
  const bench = rebuilding()
  assert.is(bench.vote('preVote', 3, 6, [9, 9], { peerId: peer(2), term: asTerm(5) }).response!.granted, false)
  assert.is(bench.vote('requestVote', 3, 6, [9, 9], { peerId: peer(2), term: asTerm(5) }).response!.granted, false)
  assert.is(bench.term, 6, 'it takes the term')
  bench.append(3, 6)
  const takeOver = { groupId: 'g', serverId: peer(3), peerId: peer(1), term: asTerm(6), oldLeaderSteppedDown: false }
  assert.is(bench.ask<{ success: boolean }>((answer) => bench.impl.handleTimeoutNow(takeOver, answer)).response!.success, false)
  bench.advance(5 * T)
  assert.equal([bench.transport.open('preVote').length, bench.events('election.started')], [0, []])
})

test('a directory that lost its past does not know the members it is started with', () => {
  const bench = NodeBench.follower(4, { identity: new FakeIdentityStorage(ONE), conf: members(1, 2, 3) })
  assert.is(bench.impl.configuration.isEmpty, true)
  assert.is(bench.node.status().standing, 'rebuilding')
})

test('once settled it campaigns like any member', () => {
  const bench = rebuilding()
  settle(bench)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length > 0)
})

test('a leader that sees flagged answers asks which life it is, appends a marker, and settles it when that is committed', () => {
  const bench = NodeBench.leader(6)
  const hello = (incarnation: string) => {
    bench.transport.open('hello', peer(2))[0]!.finish(Status.OK, {
      incarnation,
      standing: 'rebuilding',
      bootId: 'b',
      founders: null,
      lastLogIndex: logIndex(0),
    })
    bench.settle()
  }
  bench.transport.open('hello').forEach((call) => call.finish(Status.error(ErrorCode.ETIMEDOUT, 'late')))
  bench.until('a heartbeat', () => bench.stream(2).unanswered.length > 0)
  bench.stream(2).answerOne({ rebuilding: true })
  bench.settle()
  hello('two')
  assert.equal([bench.node.status().lastId.index, bench.transport.open('settle').length], [2, 0])
  assert.is(bench.node.status().configuration.configIndex, 1, 'the members did not change')
  bench.stream(2).answerAll({ rebuilding: true })
  bench.advance(150)
  bench.stream(3).unanswered.length = 0
  hello('two')
  assert.equal([bench.node.status().committedIndex, bench.transport.open('settle').length], [1, 0], 'its own word does not commit it')
})

test.run()
