import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { asTerm } from '../../../src/raft/types.js'
import { batch, configuration, members, peer, texts } from '../../support/entries.js'
import { FakeLogStorage } from '../../support/fake-log-storage.js'
import { type Answered, NodeBench } from '../../support/node-bench.js'

const test = suite('AppendHandler')

/** Entries 1 to 3 of term 3, then a tail of terms 4, 4, 5: only the first is known to be committed later. */
const log = () =>
  new FakeLogStorage({
    batches: [batch(1, 3, [configuration(members(1, 2, 3)), 'a', 'b']), batch(4, 4, ['c', 'd']), batch(6, 5, ['e'])],
  })

const follower = () => NodeBench.follower(5, { disk: log() })

function said({ status, response }: Answered<{ success: boolean; term: number; lastLogIndex: number }>) {
  assert.ok(status?.ok, String(status))
  return [response!.success, response!.term, response!.lastLogIndex]
}

test('the leader of an older term is refused with the newer term, and not followed', () => {
  const bench = follower()
  assert.equal(said(bench.append(2, 4, { prev: [6, 5] })), [false, 5, 6])
  assert.ok(bench.impl.leaderId.isEmpty)
})

test('a newer leader is followed, and nothing is answered before its term is on disk', () => {
  const bench = follower()
  bench.held.meta = true
  const answers = [
    bench.append(2, 9, { prev: [6, 5] }),
    bench.append(2, 9, { prev: [9, 9] }),
    bench.append(2, 9, { prev: [6, 5], entries: batch(7, 9, ['x']) }),
  ]
  assert.equal(
    answers.map(({ status }) => status),
    [null, null, null],
  )
  assert.is(bench.impl.leaderId.port, 2)
  bench.held.meta = false
  bench.settle()
  assert.equal(answers.map(said), [
    [true, 9, 7],
    [false, 9, 6],
    [true, 9, 7],
  ])
})

test('entries are acknowledged when they are on disk, not before', () => {
  const bench = follower()
  bench.held.log = true
  const answer = bench.append(2, 5, { prev: [6, 5], entries: batch(7, 5, ['x', 'y']) })
  assert.is(answer.status, null)
  assert.is(bench.impl.log.lastIndex, 8)
  bench.held.log = false
  bench.settle()
  assert.equal(said(answer), [true, 5, 8])
  assert.is(answer.count, 1)
})

test('entries that are here already are acknowledged only when they are on disk', () => {
  const bench = follower()
  bench.held.log = true
  const entries = batch(7, 5, ['x'])
  bench.append(2, 5, { prev: [6, 5], entries })
  const again = bench.append(2, 5, { prev: [6, 5], entries })
  assert.is(again.status, null)
  bench.held.log = false
  bench.settle()
  assert.equal(said(again), [true, 5, 7])
})

test('the previous entry must be here with the same term', () => {
  const bench = follower()
  assert.equal(said(bench.append(2, 6, { prev: [7, 5] })), [false, 6, 6], 'beyond the end: where the log ends')
  assert.equal(said(bench.append(2, 6, { prev: [6, 6] })), [false, 6, 5], 'before the only entry of term 5')
  assert.equal(said(bench.append(2, 6, { prev: [5, 6] })), [false, 6, 3], 'before the first entry of term 4')
  assert.equal(said(bench.append(2, 6, { prev: [3, 6] })), [false, 6, 0], 'before the first entry of term 3')
  assert.equal(said(bench.append(2, 6, { prev: [3, 3] })), [true, 6, 6])
  assert.is(bench.impl.log.lastIndex, 6, 'and nothing was cut by a question')
})

test('a hint never leads below what is committed', () => {
  const bench = follower()
  bench.append(2, 6, { prev: [2, 3], committed: 2 })
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 2)
  assert.equal(said(bench.append(2, 6, { prev: [3, 6] })), [false, 6, 2])
})

test('B05 what is committed here counts as matching, also for a leader that no longer knows its term', () => {
  const bench = follower()
  bench.append(2, 6, { prev: [3, 3], committed: 3 })
  assert.equal(said(bench.append(2, 6, { prev: [2, 0], committed: 3 })), [true, 6, 6])
})

test('B03 an answer from before is not overwritten: only the first real conflict cuts, and all after it', () => {
  const bench = follower()
  assert.equal(said(bench.append(2, 6, { prev: [2, 3], entries: batch(3, 3, ['b']) })), [true, 6, 3])
  assert.is(bench.impl.log.lastIndex, 6, 'what follows a matching prefix stays')
  bench.append(2, 6, { prev: [4, 4], entries: batch(5, 6, ['D']) })
  assert.equal(texts(bench.impl.log.cached(bench.impl.log.lastIndex, bench.impl.log.lastIndex, 1 << 20)), ['5:6:D'])
  assert.equal(bench.disk.content.slice(3), ['4:4:c', '5:6:D'])
})

test('entries that a newer leader cut off before they were written are refused, in its term', () => {
  const bench = follower()
  bench.held.log = true
  const cut = bench.append(2, 6, { prev: [6, 5], entries: batch(7, 6, ['x', 'y']) })
  const kept = bench.append(3, 7, { prev: [6, 5], entries: batch(7, 7, ['z']) })
  bench.held.log = false
  bench.settle()
  assert.equal(said(cut), [false, 7, 7])
  assert.equal(said(kept), [true, 7, 7])
  assert.equal(bench.disk.content.slice(6), ['7:7:z'])
})

test('entries that were written for a leader of an older term are no acknowledgement in the newer one', () => {
  const bench = follower()
  bench.held.log = true
  const answer = bench.append(2, 6, { prev: [6, 5], entries: batch(7, 6, ['x']), committed: 7 })
  bench.append(3, 7, { prev: [0, 0] })
  bench.held.log = false
  bench.settle()
  assert.equal(said(answer), [false, 7, 7])
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 0)
})

test('B02 the commit index goes no further than what is known to match', () => {
  const bench = follower()
  bench.append(2, 6, { prev: [4, 4], committed: 99 })
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 4)
  bench.append(2, 6, { prev: [4, 4], entries: batch(5, 4, ['d']), committed: 99 })
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 5)
  bench.append(2, 6, { prev: [2, 3], committed: 2 })
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 5, 'and never back')
})

test('B06 entries that do not follow their predecessor are refused as a malformed request', () => {
  const bench = follower()
  const answer = bench.append(2, 6, { prev: [3, 3], entries: batch(5, 6, ['x']) })
  assert.is(answer.status!.code, ErrorCode.EINVAL)
  assert.is(bench.impl.log.lastIndex, 6)
})

test('B17 a leader that contradicts what is committed here ends this node, before anything is cut', () => {
  const bench = follower()
  bench.append(2, 6, { prev: [6, 5], committed: 4 })
  const answer = bench.append(2, 6, { prev: [3, 3], entries: batch(4, 6, ['other']) })
  assert.not(answer.status!.ok)
  assert.is(bench.state, 'ERROR')
  assert.is(bench.disk.content.length, 6)
})

test('a candidate follows the leader of its own term, one of a newer term follows it too', () => {
  for (const term of [6, 7]) {
    const bench = follower()
    bench.until('a pre-vote', () => bench.transport.open('preVote').length === 2)
    bench.grant('preVote', 2)
    bench.settle()
    assert.is(bench.state, 'CANDIDATE')
    assert.equal(said(bench.append(3, term, { prev: [6, 5] })), [true, term, 6])
    assert.equal([bench.state, bench.impl.leaderId.port], ['FOLLOWER', 3])
    bench.grant('requestVote', 2)
    bench.settle()
    assert.is(bench.state, 'FOLLOWER')
  }
})

test('with little space left entries are refused, and heartbeats still count as contact', () => {
  const bench = follower()
  bench.node.setDiskSpace('short')
  assert.is(bench.append(2, 6, { prev: [6, 5], entries: batch(7, 6, ['x']) }).status!.code, ErrorCode.ENOSPC)
  assert.is(bench.impl.log.lastIndex, 6)
  bench.advance(900)
  assert.equal(said(bench.append(2, 6, { prev: [6, 5], committed: 6 })), [true, 6, 6])
  assert.is(bench.impl.ballotBox.lastCommittedIndex, 6)
  bench.advance(900)
  assert.is(bench.transport.open('preVote').length, 0)
  bench.node.setDiskSpace('ample')
  assert.equal(said(bench.append(2, 6, { prev: [6, 5], entries: batch(7, 6, ['x']) })), [true, 6, 7])
})

test('a write that fails is answered as a failure, once, and ends the node', () => {
  const bench = follower()
  bench.held.log = true
  const answer = bench.append(2, 6, { prev: [6, 5], entries: batch(7, 6, ['x']) })
  bench.disk.failOne(Status.error(ErrorCode.EIO, 'broken'))
  bench.settle()
  assert.equal([answer.status!.code, answer.count, bench.state], [ErrorCode.EIO, 1, 'ERROR'])
})

test('what a follower takes it applies when it is committed, in order', () => {
  const bench = NodeBench.follower(1)
  bench.append(2, 2, { entries: batch(1, 2, [configuration(members(1, 2, 3)), 'a', 'b']), committed: 1 })
  assert.equal(bench.machine.told, ['follow 2', '1:configuration of 3'])
  bench.append(2, 2, { prev: [3, 2], committed: 3 })
  assert.equal(bench.machine.told.slice(2), ['2:a', '3:b'])
  bench.vote('requestVote', 3, 3, [9, 2], { peerId: peer(2), term: asTerm(2) })
  assert.is(bench.machine.told.at(-1), 'unfollow 2')
})

test.run()
