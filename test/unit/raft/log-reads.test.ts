import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode } from '../../../src/raft/errors.js'
import { logIndex } from '../../../src/raft/types.js'
import { batch, configuration, members, texts } from '../../support/entries.js'
import { FakeLogStorage } from '../../support/fake-log-storage.js'
import { LogManagerBench } from '../../support/log-manager-bench.js'

test('cached joins small batches, and gives a large one as it is', () => {
  const bench = new LogManagerBench()
  const large = batch(1, 1, ['a'.repeat(100), 'b'.repeat(100)])
  bench.append(large)
  for (let i = 3; i <= 8; i++) bench.append(batch(i, 1, [`${i}`]))
  const { log } = bench
  assert.is(log.cached(logIndex(1), logIndex(2), 1000), large)
  assert.is(log.cached(logIndex(1), logIndex(8), 300), large, 'most of what may be had: not copied')
  assert.equal(texts(log.cached(logIndex(3), logIndex(8), 1000)), ['3:1:3', '4:1:4', '5:1:5', '6:1:6', '7:1:7', '8:1:8'])
  assert.equal(texts(log.cached(logIndex(4), logIndex(6), 1000)), ['4:1:4', '5:1:5', '6:1:6'])
  assert.equal(texts(log.cached(logIndex(3), logIndex(8), 75)), ['3:1:3', '4:1:4', '5:1:5'], 'within the bytes')
  assert.equal(texts(log.cached(logIndex(3), logIndex(8), 1)), ['3:1:3'], 'at least one')
  assert.is(log.cached(logIndex(9), logIndex(9), 100), null)
  assert.is(log.cached(logIndex(3), logIndex(2), 100), null)
})

test('an entry leaves memory only when it is durable and applied, and the budget is used up', () => {
  const bench = new LogManagerBench(undefined, { maxCacheBytes: 0 })
  bench.append(batch(1, 1, ['a']))
  bench.append(batch(2, 1, ['b']))
  bench.log.setApplied(logIndex(1))
  assert.ok(bench.log.cached(logIndex(1), logIndex(1), 100), 'applied, not durable')
  bench.settle()
  assert.is(bench.log.cached(logIndex(1), logIndex(1), 100), null)
  assert.ok(bench.log.cached(logIndex(2), logIndex(2), 100), 'durable, not applied')
  bench.log.setApplied(logIndex(2))
  assert.is(bench.log.cached(logIndex(2), logIndex(2), 100), null)
  assert.equal(bench.log.lastId, { index: 2, term: 1 })
  assert.is(bench.log.termAt(logIndex(1)), 1)
})

test('what left memory is read from disk, up to where memory starts', () => {
  const bench = new LogManagerBench(undefined, { maxCacheBytes: 0 })
  bench.append(batch(1, 1, ['a', 'b']))
  bench.append(batch(3, 1, ['c']))
  bench.log.setApplied(logIndex(2))
  bench.settle()
  const [fromDisk, fromMemory] = [bench.read(2, 3), bench.read(3, 3)]
  assert.is(fromMemory.status, null, 'never from inside the call')
  bench.settle()
  assert.equal(fromDisk.text, ['2:1:b'])
  assert.equal(fromMemory.text, ['3:1:c'])
})

test('a read whose end is cut meanwhile answers what still stands', () => {
  const disk = new FakeLogStorage({ batches: [batch(1, 1, ['a', 'b', 'c', 'd'])] })
  const bench = new LogManagerBench(disk)
  const [part, none] = [bench.read(1, 4), bench.read(3, 4)]
  bench.reconcile(batch(3, 2, ['C']))
  bench.settle()
  assert.equal(part.text, ['1:1:a', '2:1:b'])
  assert.is(none.status?.code, ErrorCode.ECANCELED)
  const after = bench.read(1, 3)
  bench.settle()
  assert.equal(after.text, ['1:1:a', '2:1:b'], 'the rest is in memory')
})

test('the stale end of the disk is never read in place of what is in memory', () => {
  const disk = new FakeLogStorage({ batches: [batch(1, 1, ['a', 'b', 'c'])] })
  const bench = new LogManagerBench(disk)
  bench.reconcile(batch(2, 2, ['B', 'C']))
  const read = bench.read(1, 3)
  disk.completeOne()
  assert.equal(read.text, ['1:1:a'])
})

test('a read that fails because the log was cut meanwhile is tried again', () => {
  const disk = new FakeLogStorage({ batches: [batch(1, 1, ['a', 'b', 'c'])] })
  const bench = new LogManagerBench(disk)
  const read = bench.read(1, 3)
  bench.reconcile(batch(3, 2, ['C']))
  disk.failOne()
  bench.settle()
  assert.equal(read.text, ['1:1:a', '2:1:b'])
  assert.equal(bench.errors, [])
})

test('any other failed read is fatal', () => {
  const disk = new FakeLogStorage({ batches: [batch(1, 1, ['a'])] })
  const bench = new LogManagerBench(disk)
  const read = bench.read(1, 1)
  disk.failOne()
  bench.run()
  assert.is(read.status?.code, ErrorCode.EIO)
  assert.is(bench.errors.length, 1)
})

test('truncatePrefix cuts what was applied, keeps the term below and the configuration in force', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a', configuration(members(1, 2)), 'c', 'd']))
  bench.settle()
  assert.throws(() => bench.log.truncatePrefix(logIndex(2)), /not applied/)
  bench.log.setApplied(logIndex(3))
  bench.log.truncatePrefix(logIndex(4))
  assert.is(bench.log.firstIndex, 4)
  assert.is(bench.log.termAt(logIndex(3)), 1)
  assert.is(bench.log.termAt(logIndex(2)), 0)
  assert.is(bench.log.configurations.at(logIndex(4)).conf.size, 2)
  const gone = bench.read(3, 4)
  bench.settle()
  assert.is(gone.status?.code, ErrorCode.ELOGDELETED)
  assert.equal(bench.disk.content, ['4:1:d'])
  bench.log.truncatePrefix(logIndex(2))
  assert.is(bench.log.firstIndex, 4, 'an older word changes nothing')
})

test('truncatePrefix keeps what is not durable yet', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a']))
  bench.settle()
  bench.append(batch(2, 1, ['b', 'c']))
  bench.log.setApplied(logIndex(3))
  bench.log.truncatePrefix(logIndex(4))
  assert.is(bench.log.firstIndex, 2)
  bench.settle()
  assert.equal(bench.disk.content, ['2:1:b', '3:1:c'])
})

test('the whole log may be cut, and goes on', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 3, ['a', 'b']))
  bench.settle()
  bench.log.setApplied(logIndex(2))
  bench.log.truncatePrefix(logIndex(3))
  assert.equal([bench.log.firstIndex, bench.log.lastIndex], [3, 2])
  assert.equal(bench.log.lastId, { index: 2, term: 3 })
  bench.append(batch(3, 4, ['c']))
  bench.settle()
  assert.equal(bench.disk.content, ['3:4:c'])
})

test.run()
