import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { errorName } from '../../../src/raft/errors.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { batch, configuration, members, peer } from '../../support/entries.js'
import { FakeLogStorage } from '../../support/fake-log-storage.js'
import { type Answered, NodeBench, T } from '../../support/node-bench.js'

const test = suite('AppendCache')

/** A follower of member 2 in term 5, whose log ends at 3. */
function following(appendCacheSize?: number): NodeBench {
  const disk = new FakeLogStorage({ batches: [batch(1, 4, [configuration(members(1, 2, 3)), 'b', 'c'])] })
  const bench = NodeBench.follower(4, { disk, ...(appendCacheSize === undefined ? {} : { appendCacheSize }) })
  bench.append(2, 5, { prev: [3, 4] })
  return bench
}

/** The leader's entries from `first` to `last`, all of term 5. */
function send(bench: NodeBench, first: number, last = first, term = 5) {
  const entries = batch(
    first,
    5,
    Array.from({ length: last - first + 1 }, (_, i) => `${first + i}`),
  )
  return bench.append(2, term, { prev: [first - 1, first === 4 ? 4 : 5], entries })
}

const held = 'held'
/** 'held', the last index of a success, or how it was refused: 'no' with the end of the log, or the error. */
function outcome({ count, status, response }: Answered<{ success: boolean; lastLogIndex: number }>): string | number {
  if (count === 0) return held
  assert.is(count, 1, 'answered once')
  if (!status!.ok) return errorName(status!.code)
  return response!.success ? response!.lastLogIndex : `no ${response!.lastLogIndex}`
}

test('without it what comes too early is refused at once', () => {
  const bench = following()
  assert.equal([outcome(send(bench, 5)), bench.environment.clock.scheduled.includes('append-cache')], ['no 3', false])
})

test('what comes too early waits, and is taken in the order of the log once what it follows is there', () => {
  const bench = following(8)
  const early = [send(bench, 7, 9), send(bench, 5, 6), send(bench, 10)]
  assert.equal(early.map(outcome), [held, held, held])
  assert.is(outcome(send(bench, 4)), 4)
  assert.equal(early.map(outcome), [9, 6, 10])
  assert.is(bench.impl.log.lastIndex, 10)
  assert.not(bench.environment.clock.scheduled.includes('append-cache'), 'nothing is left to wait for')
})

test('nothing is waited for that is empty, or that the log reaches: such a request is refused at once', () => {
  const bench = following(8)
  assert.is(outcome(bench.append(2, 5, { prev: [7, 5] })), 'no 3')
  assert.is(outcome(bench.append(2, 5, { prev: [3, 5], entries: batch(4, 5, ['x']) })), 'no 0')
})

test('beyond its size the one that is furthest ahead is refused', () => {
  const bench = following(3)
  const early = [send(bench, 6), send(bench, 9), send(bench, 7), send(bench, 8), send(bench, 5)]
  assert.equal(early.map(outcome), [held, 'no 3', held, 'no 3', held])
  send(bench, 4)
  assert.equal(early.map(outcome), [6, 'no 3', 7, 'no 3', 5])
})

test('a request that overlaps what is held was sent again: what came before is refused', () => {
  const bench = following(8)
  const [first, second] = [send(bench, 5, 6), send(bench, 8, 9)]
  const again = send(bench, 6, 7)
  assert.equal([first, second, again].map(outcome), ['no 3', 'no 3', held])
  const once = send(bench, 8, 9)
  const within = send(bench, 9)
  assert.equal([again, once, within].map(outcome), ['no 3', 'no 3', held])
})

test('all is refused T / 4 after the oldest came', () => {
  const bench = following(8)
  const first = send(bench, 5)
  bench.advance(T / 8)
  const second = send(bench, 7)
  bench.advance(T / 8 - 1)
  assert.equal([first, second].map(outcome), [held, held])
  bench.advance(1)
  assert.equal([first, second].map(outcome), ['no 3', 'no 3'])

  // The time of what is held later counts from its own coming.
  const third = send(bench, 5)
  bench.advance(T / 8)
  const fourth = send(bench, 8)
  send(bench, 4)
  assert.equal([third, fourth].map(outcome), [5, held])
  bench.advance(T / 4 - 1)
  assert.is(outcome(fourth), held)
  bench.advance(1)
  assert.is(outcome(fourth), 'no 5')
})

test('what follows goes on to where something is missing, and the rest waits on', () => {
  const bench = following(8)
  const early = [send(bench, 5), send(bench, 6), send(bench, 8)]
  send(bench, 4)
  assert.equal(early.map(outcome), [5, 6, held])
  send(bench, 7)
  assert.is(outcome(early[2]!), 8)
})

test('a later term, a snapshot and the end of the node let nothing wait: each is answered once', () => {
  const deposed = following(8)
  const early = send(deposed, 5)
  deposed.vote('requestVote', 3, 9, [9, 9])
  deposed.advance(T)
  deposed.vote('requestVote', 3, 10, [9, 9])
  assert.equal([outcome(early), deposed.term], ['no 3', 10])

  const installing = following(8)
  const waiting = send(installing, 5)
  const meta = { lastIncluded: { index: logIndex(50), term: asTerm(5) }, configuration: installing.impl.configuration }
  const request = { groupId: 'g', serverId: peer(2), peerId: peer(1), term: asTerm(5), meta, uri: 'remote://127.0.0.1:2/1' }
  installing.ask((answer) => installing.impl.handleInstallSnapshot(request, answer))
  assert.is(outcome(waiting), 'no 3')

  const stopping = following(8)
  const last = [send(stopping, 5), send(stopping, 7)]
  stopping.node.shutdown(stopping.tell('shutdown'))
  stopping.settle()
  assert.equal(last.map(outcome), ['EINVAL', 'EINVAL'])
})

test('what was held does not count as hearing the leader when it is taken', () => {
  const bench = following(8)
  const heardAt = () => bench.impl.stickiness.lastContactAt
  const early = send(bench, 5)
  const before = heardAt()
  bench.advance(T / 4)
  assert.is(outcome(early), 'no 3')
  assert.is(heardAt(), before)
})

test.run()
