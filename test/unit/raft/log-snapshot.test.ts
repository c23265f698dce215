import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode } from '../../../src/raft/errors.js'
import { logIndex } from '../../../src/raft/types.js'
import { batch, configuration, members } from '../../support/entries.js'
import { FakeLogStorage } from '../../support/fake-log-storage.js'
import { LogManagerBench } from '../../support/log-manager-bench.js'
import { snapshotMeta } from '../../support/snapshot-bench.js'

/** A log of ten durable, applied entries of term 2. */
function bench(last = 10): LogManagerBench {
  const bench = new LogManagerBench()
  bench.append(
    batch(
      1,
      2,
      Array.from({ length: last }, (_, i) => `${i + 1}`),
    ),
  )
  bench.settle()
  bench.log.setCommitted(logIndex(last))
  bench.log.setApplied(logIndex(last))
  bench.told.length = 0
  bench.disk.calls.length = 0
  return bench
}

const range = ({ log }: LogManagerBench) => [log.firstIndex, log.lastIndex, log.durableIndex]

test('the first snapshot cuts nothing, each later one cuts back to the one before', () => {
  const it = bench()
  it.log.setSnapshot(snapshotMeta(4))
  it.settle()
  assert.equal([range(it), it.disk.calls], [[1, 10, 10], []])
  it.log.setSnapshot(snapshotMeta(8))
  it.settle()
  assert.equal([range(it), it.disk.calls], [[5, 10, 10], ['truncatePrefix 5']])
  it.log.setSnapshot(snapshotMeta(8))
  it.log.setSnapshot(snapshotMeta(6))
  it.settle()
  assert.equal([range(it), it.log.snapshotIndex, it.disk.calls.length], [[5, 10, 10], 8, 1], 'an older one changes nothing')
  assert.equal([it.log.termAt(logIndex(4)), it.log.termAt(logIndex(8)), it.log.termAt(logIndex(3))], [2, 2, 0])
  it.log.cutToSnapshot()
  it.settle()
  assert.equal([range(it), it.disk.calls.at(-1)], [[9, 10, 10], 'truncatePrefix 9'])
  assert.is(it.log.termAt(logIndex(8)), 2)
})

test('a snapshot beyond the log starts it anew behind the snapshot, with its members', () => {
  const it = bench()
  it.log.setSnapshot(snapshotMeta(50, 3, ['127.0.0.1:7:0:0'], 40))
  assert.equal(range(it), [51, 50, 50])
  assert.equal(it.log.lastId, { index: 50, term: 3 })
  assert.equal([it.log.configurations.last.conf.toString(), it.log.configurations.last.configIndex], ['127.0.0.1:7:0:0', 40])
  it.append(batch(51, 3, ['x']))
  it.settle()
  assert.equal(it.disk.calls, ['reset 51', 'append 51'])
  assert.equal([it.told, range(it)], [['51 OK'], [51, 51, 51]])
  assert.is(it.environment.events('log.reset').length, 1)
})

test('G01 an entry that conflicts with the snapshot takes the whole log with it', () => {
  const it = new LogManagerBench()
  it.append(batch(1, 2, ['a', configuration(members(1, 2)), 'c', 'd', 'e']))
  it.settle()
  it.told.length = 0
  it.log.setSnapshot(snapshotMeta(3, 4))
  assert.equal([range(it), it.log.lastId], [[4, 3, 3], { index: 3, term: 4 }])
  it.reconcile(batch(4, 4, ['new']))
  it.settle()
  assert.equal([it.disk.calls.slice(-2), it.disk.content], [['reset 4', 'append 4'], ['4:4:new']])
})

test('a write that was under way when the log started anew vouches for nothing', () => {
  const it = new LogManagerBench()
  it.append(batch(1, 1, ['a', 'b']))
  it.run()
  it.append(batch(3, 1, ['c']))
  it.log.setSnapshot(snapshotMeta(9, 2))
  assert.equal(range(it), [10, 9, 9])
  it.settle()
  assert.equal(
    [it.told, range(it)],
    [
      ['2 ECANCELED', '3 ECANCELED'],
      [10, 9, 9],
    ],
  )
  assert.equal(it.disk.content, [])
})

test('a read that the reset overtook is told that its entries are gone', () => {
  const disk = new FakeLogStorage({ batches: [batch(1, 1, ['a', 'b', 'c'])] })
  const it = new LogManagerBench(disk)
  const read = it.read(1, 3)
  it.log.setSnapshot(snapshotMeta(9, 2))
  it.settle()
  assert.is(read.status?.code, ErrorCode.ELOGDELETED)
  assert.equal(it.errors, [])
})

test('after a restart the entry below the first is known from the snapshot', () => {
  const it = new LogManagerBench(new FakeLogStorage({ batches: [batch(5, 2, ['e'])] }))
  it.log.setSnapshot(snapshotMeta(4, 2))
  it.settle()
  assert.equal([range(it), it.disk.calls, it.log.termAt(logIndex(4))], [[5, 5, 5], [], 2])
  const empty = new LogManagerBench(new FakeLogStorage({ firstIndex: logIndex(5) }))
  empty.log.setSnapshot(snapshotMeta(4, 2))
  assert.equal([range(empty), empty.log.lastId], [[5, 4, 4], { index: 4, term: 2 }])
})

test('what is not durable yet is not cut from the front', () => {
  const it = bench(4)
  it.append(batch(5, 2, ['e', 'f']))
  it.log.setApplied(logIndex(6))
  it.log.setSnapshot(snapshotMeta(2))
  it.log.setSnapshot(snapshotMeta(6))
  it.log.cutToSnapshot()
  assert.equal(range(it), [5, 6, 4])
})

test('what follows the snapshot may all be cut from the end, and the log goes on behind the snapshot', () => {
  const it = new LogManagerBench(new FakeLogStorage({ firstIndex: logIndex(5) }))
  it.log.setSnapshot(snapshotMeta(4, 2))
  it.append(batch(5, 2, ['e', 'f']))
  it.settle()
  it.reconcile(batch(5, 3, ['E']))
  it.settle()
  assert.equal([it.disk.calls.slice(-2), it.disk.content], [['truncateSuffix 4', 'append 5'], ['5:3:E']])
  assert.equal([it.log.firstIndex, it.log.lastId, it.log.termAt(logIndex(4))], [5, { index: 5, term: 3 }, 2])
})

test.run()
