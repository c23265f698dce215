import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { closure } from '../../../src/raft/closure.js'
import { members } from '../../support/entries.js'
import { NodeBench } from '../../support/node-bench.js'

const test = suite('ApplyQueue')

/** A leader alone, so that everything commits as soon as its disk has written. */
function alone(options: object = {}): NodeBench {
  const bench = new NodeBench({ conf: members(1), ...options }).init()
  bench.until('a leader', () => bench.impl.leaderReady)
  bench.disk.calls.length = 0
  return bench
}

function queue(bench: NodeBench, names: readonly string[], size = 1): void {
  for (const name of names) bench.node.apply({ data: Buffer.alloc(size), done: bench.waiting(name) })
}

const names = (count: number) => Array.from({ length: count }, (_, i) => `${i}`)

test('what is proposed in one turn is one batch and one write', () => {
  const bench = alone()
  queue(bench, names(100))
  assert.is(bench.impl.log.lastIndex, 1, 'nothing before the turn is over')
  bench.settle()
  assert.equal(bench.disk.calls, ['append 2-101'])
  assert.is(bench.told.filter((text) => text.endsWith(' OK')).length, 101)
})

test('a batch has at most 1,024 entries, or 512 KiB and one entry', () => {
  const many = alone()
  queue(many, names(1025))
  many.settle()
  assert.equal(many.disk.calls, ['append 2-1025 1026'], 'two batches, and the disk takes both at once')

  const large = alone()
  queue(large, names(4), 200 * 1024)
  large.settle()
  assert.equal(large.disk.calls, ['append 2-4 5'])
})

test('more tasks than the limit are refused with EBUSY, and taken again when some are decided', () => {
  const bench = NodeBench.leader(6, { conf: members(1, 2), pendingTasksMax: 3 })
  for (const name of ['a', 'b', 'c', 'd']) bench.propose(name)
  assert.equal(bench.told.slice(1), ['d EBUSY'])
  bench.take(2)
  bench.propose('e')
  bench.take(2)
  assert.equal(bench.told.slice(2), ['a OK', 'b OK', 'c OK', 'e OK'])
})

test('more bytes than the limit are refused with EBUSY, and taken again when some are committed', () => {
  const bench = NodeBench.leader(6, { conf: members(1, 2), pendingBytesMax: 100 })
  queue(bench, ['a', 'b'], 60)
  queue(bench, ['c'], 1)
  bench.settle()
  assert.equal(bench.told.slice(1), ['c EBUSY'])
  bench.take(2)
  queue(bench, ['d'], 60)
  bench.settle()
  bench.take(2)
  assert.is(bench.told.at(-1), 'd OK')
})

test('a refusal is told later, never from inside the proposal', () => {
  const bench = NodeBench.leader(6, { pendingTasksMax: 0 })
  bench.node.apply({ data: Buffer.alloc(1), done: bench.waiting('a') })
  assert.equal(bench.told.slice(1), [])
  bench.settle()
  assert.equal(bench.told.slice(1), ['a EBUSY'])
})

test('bytes of a lost leadership hold nobody up in the next one', () => {
  const bench = NodeBench.leader(6, { pendingBytesMax: 100 })
  queue(bench, ['a'], 100)
  bench.settle()
  bench.append(2, 7)
  bench.elect()
  queue(bench, ['b'], 60)
  bench.settle()
  for (let i = 0; i < 3; i++) bench.take(2)
  assert.is(bench.told.at(-1), 'b OK')
})

test('a task for another term is refused, and those around it are not', () => {
  const bench = NodeBench.leader(6, { pendingBytesMax: 10 })
  bench.propose('a', 6)
  bench.propose('b', 5)
  bench.propose('c')
  assert.equal(bench.told.slice(1), ['b EPERM'])
  bench.take(2)
  assert.equal(bench.told.slice(2), ['a OK', 'c OK'])
  for (let i = 0; i < 20; i++) bench.propose('0123456789', 5)
  bench.propose('d')
  bench.take(2)
  assert.is(bench.told.at(-1), 'd OK', 'the refused ones weigh nothing')
})

test('only tasks of another term: nothing is written', () => {
  const bench = alone()
  bench.propose('a', 99)
  assert.equal([bench.disk.calls, bench.told.at(-1)], [[], 'a EPERM'])
})

test('a follower and a node that failed refuse with EPERM, one that hands over with EBUSY', () => {
  const follower = NodeBench.follower(5)
  follower.propose('a')
  assert.is(follower.told.at(-1), 'a EPERM')
  const leader = NodeBench.leader(6)
  leader.node.transferLeadershipTo(null, leader.tell('transfer'))
  leader.propose('b')
  assert.is(leader.told.at(-1), 'b EBUSY')
  const broken = alone()
  broken.held.log = true
  broken.propose('c')
  broken.disk.failOne()
  broken.settle()
  broken.propose('d')
  assert.equal(broken.told.slice(1), ['c EOUTCOMEUNKNOWN', 'd EPERM'])
})

test('tasks that are queued when the log has just failed are refused, however many batches they are', () => {
  const bench = alone()
  bench.held.log = true
  bench.propose('a')
  queue(bench, names(3000))
  bench.disk.failOne()
  bench.settle()
  assert.is(bench.state, 'ERROR')
  assert.is(bench.told.length, 3002)
  assert.is(new Set(bench.told).size, 3002, 'each once')
})

test('a task proposed from inside the answer of another is taken', () => {
  const bench = alone()
  const inner = { data: Buffer.from('inner'), done: bench.waiting('inner') }
  bench.node.apply({ data: Buffer.from('outer'), done: closure(() => bench.node.apply(inner)) })
  bench.settle()
  assert.is(bench.told.at(-1), 'inner OK')
})

test('a task is data whatever else its object says of itself', () => {
  const bench = alone()
  bench.node.apply(Object.assign({ data: Buffer.from('typed'), done: null }, { type: 3 }))
  bench.settle()
  assert.is(bench.machine.told.at(-1), '2:typed')
})

test('a task without a closure is written and applied like any other', () => {
  const bench = alone()
  bench.node.apply({ data: Buffer.from('quiet'), done: null })
  bench.settle()
  assert.is(bench.machine.told.at(-1), '2:quiet')
})

test('an entry larger than the limit is refused before it gets an index', () => {
  const bench = alone({ entryBytesMax: 100 })
  queue(bench, ['fits'], 100)
  queue(bench, ['too large'], 101)
  bench.settle()
  assert.is(bench.impl.log.lastIndex, 2)
  assert.equal(bench.told.slice(1).sort(), ['fits OK', 'too large EINVAL'])
})

test('what a short disk refuses does not make room for what is proposed and undecided', () => {
  const bench = NodeBench.leader(6, { conf: members(1, 2), pendingBytesMax: 100 })
  queue(bench, ['proposed'], 90)
  bench.settle()
  bench.node.setDiskSpace('short')
  queue(bench, ['refused'], 5)
  bench.settle()
  bench.node.setDiskSpace('ample')
  queue(bench, ['fits'], 10)
  queue(bench, ['too much'], 1)
  bench.settle()
  assert.equal(bench.told.slice(1).sort(), ['refused ENOSPC', 'too much EBUSY'])
})

test.run()
