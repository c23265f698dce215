import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, ErrorType, type RaftError, Status } from '../../../src/raft/errors.js'
import { LogManager } from '../../../src/raft/log-manager.js'
import { logIndex } from '../../../src/raft/types.js'
import { batch, configuration, members, peer } from '../../support/entries.js'
import { FakeEnvironment } from '../../support/fake-environment.js'
import { FakeLogStorage } from '../../support/fake-log-storage.js'
import { LogManagerBench } from '../../support/log-manager-bench.js'

test('an empty log starts at 1 with nothing durable', () => {
  const { log } = new LogManagerBench()
  assert.is(log.firstIndex, 1)
  assert.is(log.lastIndex, 0)
  assert.is(log.durableIndex, 0)
  assert.equal(log.lastId, { index: 0, term: 0 })
  assert.is(log.termAt(logIndex(1)), 0)
})

test('what the storage recovered is durable, with its terms and configurations', () => {
  const disk = new FakeLogStorage({ batches: [batch(5, 2, ['a', configuration(members(1, 2))]), batch(7, 3, ['b'])] })
  const { log } = new LogManagerBench(disk)
  assert.equal([log.firstIndex, log.lastIndex, log.durableIndex], [5, 7, 7])
  assert.equal(log.lastId, { index: 7, term: 3 })
  assert.equal(
    [4, 5, 6, 7, 8].map((index) => log.termAt(logIndex(index))),
    [0, 2, 2, 3, 0],
  )
  assert.is(log.configurations.last.id.index, 6)
})

test('a torn tail that recovery cut off is told', () => {
  const disk = new FakeLogStorage({ batches: [batch(1, 1, ['a'])] })
  disk.tornTail = { file: 'log_inprogress_1', offset: 25, bytes: 7, problem: 'short header' }
  const [event] = new LogManagerBench(disk).environment.events('log.tail-cut')
  assert.equal([event?.file, event?.offset, event?.bytes, event?.problem], ['log_inprogress_1', 25, 7, 'short header'])
  assert.equal(new LogManagerBench().environment.events('log.tail-cut'), [])
})

test('an append is visible at once and durable when the disk says so', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a', 'b']))
  assert.is(bench.log.lastIndex, 2)
  assert.is(bench.log.durableIndex, 0)
  assert.equal(bench.content, ['1:1:a', '2:1:b'])
  bench.run()
  assert.equal(bench.told, [])
  bench.disk1()
  assert.equal(bench.told, ['2 OK'])
  assert.equal(bench.log.durableId, { index: 2, term: 1 })
  assert.equal(
    bench.environment.events('log.durable').map((event) => event.index),
    [2],
  )
})

test('a batch that does not follow the log is an assertion', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a']))
  assert.throws(() => bench.append(batch(3, 1, ['c'])), /does not follow/)
  assert.throws(() => bench.append(batch(1, 1, ['c'])), /does not follow/)
})

test('one write at a time: what waits for the disk goes out together', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a']))
  bench.run()
  for (let i = 2; i <= 5; i++) bench.append(batch(i, 1, [`${i}`]))
  bench.run()
  assert.equal(bench.disk.calls, ['append 1'])
  bench.disk1()
  assert.equal(bench.disk.calls, ['append 1', 'append 2 3 4 5'])
  bench.disk1()
  assert.equal(bench.told, ['1 OK', '2 OK', '3 OK', '4 OK', '5 OK'])
})

test('appends of the same turn share a write', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a']))
  bench.append(batch(2, 1, ['b']))
  bench.run()
  assert.equal(bench.disk.calls, ['append 1 2'])
})

test('a write stays within its bytes, or carries one entry', () => {
  const entry = 'x'.repeat(76)
  const bench = new LogManagerBench(undefined, { maxWriteBytes: 250 })
  for (let i = 1; i <= 5; i++) bench.append(batch(i, 1, [entry]))
  bench.append(batch(6, 1, [entry, entry, entry, 'y'.repeat(500), entry]))
  bench.settle()
  assert.equal(bench.disk.calls, ['append 1 2', 'append 3 4', 'append 5', 'append 6-7', 'append 8', 'append 9', 'append 10'])
  assert.equal(bench.told, ['1 OK', '2 OK', '3 OK', '4 OK', '5 OK', '10 OK'])
  assert.is(bench.disk.content.length, 10)
})

test('whenDurable waits for what was appended before, and for nothing else', () => {
  const bench = new LogManagerBench()
  bench.log.whenDurable(bench.tell('idle'))
  assert.equal(bench.told, [], 'never from inside the call')
  bench.run()
  bench.append(batch(1, 1, ['a']))
  bench.run()
  bench.log.whenDurable(bench.tell('flush'))
  bench.append(batch(2, 1, ['b']))
  bench.disk1()
  bench.disk1()
  assert.equal(bench.told, ['idle OK', '1 OK', 'flush OK', '2 OK'])
})

test('configuration entries are in force from the append on, and gone when they are cut', () => {
  const bench = new LogManagerBench()
  bench.reconcile(batch(1, 1, ['a', configuration(members(1, 2)), 'b']))
  assert.is(bench.log.configurations.last.id.index, 2)
  bench.reconcile(batch(2, 2, ['c']))
  assert.is(bench.log.configurations.last.id.index, 0)
  assert.is(bench.log.configurations.last.conf.size, 3)
})

test('B03 a batch that overlaps a consistent prefix cuts nothing', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a', 'b', 'c', 'd']))
  bench.reconcile(batch(2, 1, ['b', 'c']))
  assert.is(bench.log.lastIndex, 4)
  bench.reconcile(batch(3, 1, ['c', 'd', 'e', 'f']))
  assert.equal(bench.content, ['1:1:a', '2:1:b', '3:1:c', '4:1:d', '5:1:e', '6:1:f'])
  bench.settle()
  assert.equal(bench.disk.content, bench.content)
  assert.equal(bench.environment.events('log.truncated'), [])
})

test('B04 a late duplicate is acknowledged only when what it carries is durable', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a', 'b']))
  bench.run()
  bench.reconcile(batch(1, 1, ['a']))
  bench.run()
  assert.equal(bench.told, [])
  bench.disk1()
  assert.equal(bench.told, ['2 OK', '1 OK'])
  bench.reconcile(batch(2, 1, ['b']))
  bench.run()
  assert.equal(bench.told, ['2 OK', '1 OK', '2 OK'])
})

test('B03 only the first real conflict and what follows goes', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a', 'b', 'c', 'd']))
  bench.settle()
  bench.reconcile(batch(2, 2, ['B']))
  assert.equal(bench.content, ['1:1:a', '2:2:B'])
  assert.is(bench.log.durableIndex, 1)
  bench.settle()
  assert.equal(bench.disk.calls, ['append 1-4', 'truncateSuffix 1', 'append 2'])
  assert.equal(bench.disk.content, ['1:1:a', '2:2:B'])
  assert.equal(
    bench.environment.events('log.truncated').map((event) => event.lastKept),
    [1],
  )
  assert.equal(bench.told, ['4 OK', '2 OK'])
})

test('B05 what the log no longer has counts as matching', () => {
  const bench = new LogManagerBench(new FakeLogStorage({ batches: [batch(5, 2, ['e', 'f'])] }))
  bench.reconcile(batch(3, 1, ['c', 'd']))
  assert.is(bench.log.lastIndex, 6)
  bench.settle()
  assert.equal(bench.told, ['4 OK'])
  assert.equal(bench.disk.calls, [])
})

test('a batch that leaves a gap is an assertion', () => {
  const bench = new LogManagerBench()
  assert.throws(() => bench.reconcile(batch(2, 1, ['b'])), /leaves a gap/)
})

test('B09 a write that completes after its entries were cut and written anew does not count (ABA)', () => {
  const bench = new LogManagerBench()
  bench.reconcile(batch(1, 1, ['a', 'b', 'c']))
  bench.run()
  bench.reconcile(batch(2, 2, ['B', 'C']))
  assert.is(bench.log.durableIndex, 0)
  bench.disk1()
  assert.is(bench.log.durableIndex, 1, 'the late write vouches for entry 1 only')
  assert.equal(bench.told, ['3 ECANCELED'])
  bench.disk1()
  assert.is(bench.log.durableIndex, 1)
  bench.disk1()
  assert.is(bench.log.durableIndex, 3)
  assert.equal(bench.told, ['3 ECANCELED', '3 OK'])
})

test('B09 a duplicate that waits for a write is cancelled with it', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a', 'b']))
  bench.run()
  bench.log.reconcile(batch(1, 1, ['a', 'b']), bench.tell('both'))
  bench.log.reconcile(batch(1, 1, ['a']), bench.tell('first'))
  bench.reconcile(batch(2, 2, ['B', 'C']))
  bench.settle()
  assert.equal(bench.told, ['2 ECANCELED', 'both ECANCELED', 'first OK', '3 OK'])
})

test('B10 the memory is cut exactly like the disk, in the middle of a batch too', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a', 'b', 'c']))
  bench.append(batch(4, 1, ['d', 'e']))
  bench.reconcile(batch(3, 2, ['C', 'D', 'E', 'F']))
  assert.equal(bench.content, ['1:1:a', '2:1:b', '3:2:C', '4:2:D', '5:2:E', '6:2:F'])
  bench.settle()
  assert.equal(bench.disk.content, bench.content)
})

for (const how of ['setCommitted', 'setApplied'] as const) {
  test(`B17 a conflict within what is committed stops the node (${how})`, () => {
    const bench = new LogManagerBench()
    bench.append(batch(1, 1, ['a', 'b', 'c']))
    bench.settle()
    bench.log[how](logIndex(2))
    bench.reconcile(batch(2, 2, ['B']))
    assert.equal(bench.content, ['1:1:a', '2:1:b', '3:1:c'])
    assert.equal(bench.errors, [], 'never from inside the call')
    bench.run()
    assert.is(bench.errors.length, 1)
    assert.is(bench.errors[0]!.type, ErrorType.LOG)
    assert.is(bench.errors[0]!.status.code, ErrorCode.ECORRUPT)
    assert.match(bench.errors[0]!.status.message, /entry 2 of term 2.*term 1/)
    assert.equal(bench.told, ['3 OK', `2 ${ErrorCode.ECORRUPT}`])
  })
}

test('a conflict just above what is committed is cut', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a', 'b', 'c']))
  bench.log.setCommitted(logIndex(2))
  bench.reconcile(batch(3, 2, ['C']))
  assert.equal(bench.content, ['1:1:a', '2:1:b', '3:2:C'])
})

test('committed or applied beyond the log is an assertion', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a']))
  assert.throws(() => bench.log.setCommitted(logIndex(2)), /beyond the log/)
  assert.throws(() => bench.log.setApplied(logIndex(2)), /beyond the log/)
})

test('a disk that fails between two writes is fatal at once, not when the next write meets it', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a']))
  bench.run()
  bench.disk.completeOne()
  bench.run()
  bench.disk.onUnusable!(Status.error(ErrorCode.EIO, 'gone'))
  bench.run()
  assert.equal(
    bench.errors.map(({ type, status }) => [type, status.code]),
    [[ErrorType.LOG, ErrorCode.EIO]],
  )
})

test('a failed write is fatal: said once, everybody told, nothing written afterwards', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a']))
  bench.run()
  bench.append(batch(2, 1, ['b']))
  bench.log.whenDurable(bench.tell('flush'))
  bench.disk.failOne()
  assert.equal(bench.told, [])
  bench.run()
  assert.is(bench.errors.length, 1)
  assert.is(bench.errors[0]!.type, ErrorType.LOG)
  assert.is(bench.errors[0]!.status.code, ErrorCode.EIO)
  assert.equal(bench.told, ['1 5', '2 5', 'flush 5'])
  assert.is(bench.log.durableIndex, 0)

  bench.append(batch(3, 1, ['c']))
  bench.reconcile(batch(1, 9, ['x']))
  bench.log.whenDurable(bench.tell('later'))
  const read = bench.read(1, 1)
  bench.settle()
  assert.equal(bench.told.slice(3), ['3 5', '1 5', 'later 5'])
  assert.is(read.status?.code, ErrorCode.EIO)
  assert.equal(bench.disk.calls, ['append 1'])
  assert.is(bench.errors.length, 1)
})

test('a failed cut is fatal as well', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a', 'b']))
  bench.settle()
  bench.reconcile(batch(2, 2, ['B']))
  bench.run()
  bench.disk.failOne()
  bench.run()
  assert.is(bench.errors.length, 1)
  assert.equal(bench.told, ['2 OK', '2 5'])
  assert.equal(bench.disk.calls, ['append 1-2', 'truncateSuffix 1'])
})

test('a write that succeeds after the log failed makes nothing durable', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a']))
  bench.log.setCommitted(logIndex(1))
  bench.run()
  bench.reconcile(batch(1, 2, ['A']))
  bench.run()
  assert.is(bench.errors.length, 1)
  bench.settle()
  assert.is(bench.log.durableIndex, 0)
  assert.equal(bench.told, [`1 ${ErrorCode.ECORRUPT}`, `1 ${ErrorCode.ECORRUPT}`])
})

test('a log that fails twice is said to have failed once', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a']))
  bench.log.setCommitted(logIndex(1))
  bench.run()
  bench.reconcile(batch(1, 2, ['A']))
  bench.disk.failOne()
  bench.run()
  assert.equal(
    bench.errors.map((error) => error.status.code),
    [ErrorCode.ECORRUPT],
  )
  assert.is(bench.told.length, 2)
})

test('close lets the disk finish, then takes nothing more', () => {
  const bench = new LogManagerBench()
  bench.append(batch(1, 1, ['a']))
  bench.run()
  bench.append(batch(2, 1, ['b']))
  bench.log.close(bench.tell('close'))
  bench.append(batch(3, 1, ['c']))
  bench.settle()
  assert.equal(bench.told, [`3 ${ErrorCode.ESHUTDOWN}`, '1 OK', '2 OK', 'close OK'])
  assert.equal(bench.disk.calls, ['append 1', 'append 2', 'close'])
  assert.ok(bench.disk.isClosed)
})

test('close waits for reads, and for a write that outlives a failure', () => {
  const disk = new FakeLogStorage({ batches: [batch(1, 1, ['a'])] })
  const bench = new LogManagerBench(disk)
  bench.append(batch(2, 1, ['b']))
  bench.log.setCommitted(logIndex(2))
  bench.run()
  const read = bench.read(1, 1)
  bench.reconcile(batch(2, 2, ['B']))
  bench.log.close(bench.tell('close'))
  bench.settle()
  assert.is(read.status?.code, ErrorCode.ECORRUPT)
  assert.is(bench.told.at(-1), 'close OK')
  assert.equal(disk.calls, ['append 2', 'read 1', 'close'])
})

test('close waits for a write when a read ends first', () => {
  const disk = new FakeLogStorage({ batches: [batch(1, 1, ['a'])] })
  const bench = new LogManagerBench(disk)
  const read = bench.read(1, 1)
  bench.append(batch(2, 1, ['b']))
  bench.run()
  bench.log.close(bench.tell('close'))
  bench.disk1()
  assert.is(read.status?.code, ErrorCode.ESHUTDOWN)
  assert.equal(disk.calls, ['read 1', 'append 2'])
  bench.settle()
  assert.equal(bench.told, ['2 OK', 'close OK'])
})

test('a log that is closed while it opens closes the storage after that', () => {
  const disk = new FakeLogStorage({ batches: [batch(1, 1, ['a'])] })
  const environment = new FakeEnvironment()
  const log = new LogManager({
    environment,
    origin: { groupId: 'g', peerId: peer(1) },
    storage: disk,
    initialConf: members(1),
    onError: () => {},
  })
  const told: string[] = []
  log.init((status) => told.push(`init ${status.code}`))
  log.close(() => told.push('close'))
  environment.executor.run()
  assert.equal(disk.calls, ['init'])
  while (disk.completeOne()) environment.executor.run()
  assert.equal(told, [`init ${ErrorCode.ESHUTDOWN}`, 'close'])
})

test('a storage that cannot be opened is an answer, not an event', () => {
  const disk = new FakeLogStorage()
  const errors: RaftError[] = []
  const log = new LogManager({
    environment: new FakeEnvironment(),
    origin: { groupId: 'g', peerId: peer(1) },
    storage: disk,
    initialConf: members(1),
    onError: (error) => errors.push(error),
  })
  let told: Status | null = null
  log.init((status) => (told = status))
  disk.failOne()
  assert.is((told as Status | null)?.code, ErrorCode.EIO)
  assert.equal(errors, [])
})

test.run()
