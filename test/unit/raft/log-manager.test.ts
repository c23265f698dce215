import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, ErrorType, type RaftError, type Status } from '../../../src/raft/errors.js'
import type { EntryBatch } from '../../../src/raft/log-entry.js'
import { LogManager, type LogManagerOptions } from '../../../src/raft/log-manager.js'
import { type LogIndex, logIndex } from '../../../src/raft/types.js'
import { batch, configuration, members, peer, texts } from '../../support/entries.js'
import { FakeEnvironment } from '../../support/fake-environment.js'
import { FakeLogStorage } from '../../support/fake-log-storage.js'

/** A log on a disk that works when told to. */
class Bench {
  readonly environment = new FakeEnvironment()
  readonly errors: RaftError[] = []
  /** What the callers were told, in order. */
  readonly told: string[] = []
  readonly log: LogManager

  constructor(
    readonly disk = new FakeLogStorage(),
    options: Partial<LogManagerOptions> = {},
  ) {
    this.log = new LogManager({
      environment: this.environment,
      origin: { groupId: 'g', peerId: peer(1) },
      storage: disk,
      initialConf: members(1, 2, 3),
      onError: (error) => this.errors.push(error),
      ...options,
    })
    this.log.init((status) => assert.ok(status.ok))
    disk.completeOne()
    disk.calls.length = 0
  }

  tell(name: string): (status: Status) => void {
    return (status) => this.told.push(`${name} ${status.ok ? 'OK' : ErrorCode.ECANCELED === status.code ? 'ECANCELED' : status.code}`)
  }

  append(entries: EntryBatch): void {
    this.log.append(entries, this.tell(`${entries.lastIndex}`))
  }

  reconcile(entries: EntryBatch): void {
    this.log.reconcile(entries, this.tell(`${entries.lastIndex}`))
  }

  run(): void {
    this.environment.executor.run()
  }

  /** Lets the disk do one thing, and all that follows from it. */
  disk1(): void {
    this.run()
    assert.ok(this.disk.completeOne(), 'the disk has nothing to do')
    this.run()
  }

  /** Lets the disk catch up. */
  settle(): void {
    do this.run()
    while (this.disk.completeOne())
  }

  read(from: number, last: number, maxBytes = 1 << 20): { text: string[]; status: Status | null } {
    const result: { text: string[]; status: Status | null } = { text: [], status: null }
    this.log.read(logIndex(from), logIndex(last), maxBytes, (status, entries) => {
      result.status = status
      result.text = texts(entries)
    })
    return result
  }

  get content(): string[] {
    return texts(this.log.cached(this.log.firstIndex, this.log.lastIndex, 1 << 30))
  }
}

test('an empty log starts at 1 with nothing durable', () => {
  const { log } = new Bench()
  assert.is(log.firstIndex, 1)
  assert.is(log.lastIndex, 0)
  assert.is(log.durableIndex, 0)
  assert.equal(log.lastId, { index: 0, term: 0 })
  assert.is(log.termAt(logIndex(1)), 0)
})

test('what the storage recovered is durable, with its terms and configurations', () => {
  const disk = new FakeLogStorage({ batches: [batch(5, 2, ['a', configuration(members(1, 2))]), batch(7, 3, ['b'])] })
  const { log } = new Bench(disk)
  assert.equal([log.firstIndex, log.lastIndex, log.durableIndex], [5, 7, 7])
  assert.equal(log.lastId, { index: 7, term: 3 })
  assert.equal(
    [4, 5, 6, 7, 8].map((index) => log.termAt(logIndex(index))),
    [0, 2, 2, 3, 0],
  )
  assert.is(log.configurations.last.id.index, 6)
})

test('an append is visible at once and durable when the disk says so', () => {
  const bench = new Bench()
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
  const bench = new Bench()
  bench.append(batch(1, 1, ['a']))
  assert.throws(() => bench.append(batch(3, 1, ['c'])), /does not follow/)
  assert.throws(() => bench.append(batch(1, 1, ['c'])), /does not follow/)
})

test('one write at a time: what waits for the disk goes out together', () => {
  const bench = new Bench()
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
  const bench = new Bench()
  bench.append(batch(1, 1, ['a']))
  bench.append(batch(2, 1, ['b']))
  bench.run()
  assert.equal(bench.disk.calls, ['append 1 2'])
})

test('a write stays within its bytes, or carries one entry', () => {
  const entry = 'x'.repeat(76)
  const bench = new Bench(undefined, { maxWriteBytes: 250 })
  for (let i = 1; i <= 5; i++) bench.append(batch(i, 1, [entry]))
  bench.append(batch(6, 1, [entry, entry, entry, 'y'.repeat(500), entry]))
  bench.settle()
  assert.equal(bench.disk.calls, ['append 1 2', 'append 3 4', 'append 5', 'append 6-7', 'append 8', 'append 9', 'append 10'])
  assert.equal(bench.told, ['1 OK', '2 OK', '3 OK', '4 OK', '5 OK', '10 OK'])
  assert.is(bench.disk.content.length, 10)
})

test('whenDurable waits for what was appended before, and for nothing else', () => {
  const bench = new Bench()
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
  const bench = new Bench()
  bench.reconcile(batch(1, 1, ['a', configuration(members(1, 2)), 'b']))
  assert.is(bench.log.configurations.last.id.index, 2)
  bench.reconcile(batch(2, 2, ['c']))
  assert.is(bench.log.configurations.last.id.index, 0)
  assert.is(bench.log.configurations.last.conf.size, 3)
})

test('B03 a batch that overlaps a consistent prefix cuts nothing', () => {
  const bench = new Bench()
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
  const bench = new Bench()
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
  const bench = new Bench()
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
  const bench = new Bench(new FakeLogStorage({ batches: [batch(5, 2, ['e', 'f'])] }))
  bench.reconcile(batch(3, 1, ['c', 'd']))
  assert.is(bench.log.lastIndex, 6)
  bench.settle()
  assert.equal(bench.told, ['4 OK'])
  assert.equal(bench.disk.calls, [])
})

test('a batch that leaves a gap is an assertion', () => {
  const bench = new Bench()
  assert.throws(() => bench.reconcile(batch(2, 1, ['b'])), /leaves a gap/)
})

test('B09 a write that completes after its entries were cut and written anew does not count (ABA)', () => {
  const bench = new Bench()
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
  const bench = new Bench()
  bench.append(batch(1, 1, ['a', 'b']))
  bench.run()
  bench.log.reconcile(batch(1, 1, ['a', 'b']), bench.tell('both'))
  bench.log.reconcile(batch(1, 1, ['a']), bench.tell('first'))
  bench.reconcile(batch(2, 2, ['B', 'C']))
  bench.settle()
  assert.equal(bench.told, ['2 ECANCELED', 'both ECANCELED', 'first OK', '3 OK'])
})

test('B10 the memory is cut exactly like the disk, in the middle of a batch too', () => {
  const bench = new Bench()
  bench.append(batch(1, 1, ['a', 'b', 'c']))
  bench.append(batch(4, 1, ['d', 'e']))
  bench.reconcile(batch(3, 2, ['C', 'D', 'E', 'F']))
  assert.equal(bench.content, ['1:1:a', '2:1:b', '3:2:C', '4:2:D', '5:2:E', '6:2:F'])
  bench.settle()
  assert.equal(bench.disk.content, bench.content)
})

for (const how of ['setCommitted', 'setApplied'] as const) {
  test(`B17 a conflict within what is committed stops the node (${how})`, () => {
    const bench = new Bench()
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
  const bench = new Bench()
  bench.append(batch(1, 1, ['a', 'b', 'c']))
  bench.log.setCommitted(logIndex(2))
  bench.reconcile(batch(3, 2, ['C']))
  assert.equal(bench.content, ['1:1:a', '2:1:b', '3:2:C'])
})

test('committed or applied beyond the log is an assertion', () => {
  const bench = new Bench()
  bench.append(batch(1, 1, ['a']))
  assert.throws(() => bench.log.setCommitted(logIndex(2)), /beyond the log/)
  assert.throws(() => bench.log.setApplied(logIndex(2)), /beyond the log/)
})

test('a failed write is fatal: said once, everybody told, nothing written afterwards', () => {
  const bench = new Bench()
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
  const bench = new Bench()
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
  const bench = new Bench()
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
  const bench = new Bench()
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

test('cached joins small batches, and gives a large one as it is', () => {
  const bench = new Bench()
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
  const bench = new Bench(undefined, { maxCacheBytes: 0 })
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
  const bench = new Bench(undefined, { maxCacheBytes: 0 })
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
  const bench = new Bench(disk)
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
  const bench = new Bench(disk)
  bench.reconcile(batch(2, 2, ['B', 'C']))
  const read = bench.read(1, 3)
  disk.completeOne()
  assert.equal(read.text, ['1:1:a'])
})

test('a read that fails because the log was cut meanwhile is tried again', () => {
  const disk = new FakeLogStorage({ batches: [batch(1, 1, ['a', 'b', 'c'])] })
  const bench = new Bench(disk)
  const read = bench.read(1, 3)
  bench.reconcile(batch(3, 2, ['C']))
  disk.failOne()
  bench.settle()
  assert.equal(read.text, ['1:1:a', '2:1:b'])
  assert.equal(bench.errors, [])
})

test('any other failed read is fatal', () => {
  const disk = new FakeLogStorage({ batches: [batch(1, 1, ['a'])] })
  const bench = new Bench(disk)
  const read = bench.read(1, 1)
  disk.failOne()
  bench.run()
  assert.is(read.status?.code, ErrorCode.EIO)
  assert.is(bench.errors.length, 1)
})

test('truncatePrefix cuts what was applied, keeps the term below and the configuration in force', () => {
  const bench = new Bench()
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
  const bench = new Bench()
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
  const bench = new Bench()
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

test('a waiter is called once, at the next append', () => {
  const bench = new Bench()
  const calls: string[] = []
  bench.log.wait(logIndex(0), () => calls.push('a'))
  const removed = bench.log.wait(logIndex(0), () => calls.push('removed'))
  bench.log.removeWaiter(removed)
  bench.run()
  assert.equal(calls, [])
  bench.append(batch(1, 1, ['a']))
  assert.equal(calls, [], 'never from inside the call')
  bench.run()
  bench.append(batch(2, 1, ['b']))
  bench.run()
  assert.equal(calls, ['a'])
})

test('a waiter that missed an append is called at once; one that registers anew waits for the next', () => {
  const bench = new Bench()
  bench.append(batch(1, 1, ['a']))
  const seen: LogIndex[] = []
  const again = () => {
    seen.push(bench.log.lastIndex)
    if (seen.length < 5) bench.log.wait(bench.log.lastIndex, again)
  }
  bench.log.wait(logIndex(0), again)
  bench.run()
  assert.equal(seen, [1])
  bench.append(batch(2, 1, ['b']))
  bench.append(batch(3, 1, ['c']))
  bench.run()
  assert.equal(seen, [1, 3], 'appends of one turn wake once')
})

test('a waiter that is woken at once wakes nobody else', () => {
  const bench = new Bench()
  bench.append(batch(1, 1, ['a']))
  bench.run()
  const calls: string[] = []
  bench.log.wait(logIndex(1), () => calls.push('waits'))
  bench.log.wait(logIndex(0), () => calls.push('late'))
  bench.run()
  assert.equal(calls, ['late'])
})

test('a waiter removed by another one is not called', () => {
  const bench = new Bench()
  const calls: string[] = []
  bench.log.wait(logIndex(0), () => {
    calls.push('first')
    bench.log.removeWaiter(second)
  })
  const second = bench.log.wait(logIndex(0), () => calls.push('second'))
  bench.append(batch(1, 1, ['a']))
  bench.run()
  assert.equal(calls, ['first'])
})

test('close lets the disk finish, then takes nothing more', () => {
  const bench = new Bench()
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
  const bench = new Bench(disk)
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
  const bench = new Bench(disk)
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
