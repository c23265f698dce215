import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Done } from '../../../src/raft/closure.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import type { SnapshotReader, SnapshotWriter } from '../../../src/raft/storage.js'
import { asTerm } from '../../../src/raft/types.js'
import { batch } from '../../support/entries.js'
import { FakeLogStorage } from '../../support/fake-log-storage.js'
import { FakeSnapshotStorage } from '../../support/fake-snapshot-storage.js'
import { FakeMetaStorage, NodeBench } from '../../support/node-bench.js'
import { snapshotMeta } from '../../support/snapshot-bench.js'

const PEERS = ['127.0.0.1:1:0:0', '127.0.0.1:2:0:0', '127.0.0.1:3:0:0']
const HOUR = 3_600_000

/** A node whose machine saves and loads when told to. */
class Bench extends NodeBench {
  readonly machineWaits: { save: Done | null; load: Done | null } = { save: null, load: null }

  constructor(
    readonly storage: FakeSnapshotStorage | null,
    options: ConstructorParameters<typeof NodeBench>[0] = {},
  ) {
    super({
      meta: new FakeMetaStorage({ term: asTerm(5), votedFor: PeerId.EMPTY }),
      snapshotIntervalMs: 0,
      ...options,
      snapshotStorage: storage,
    })
    Object.assign(this.machine, {
      onSnapshotSave: (_writer: SnapshotWriter, done: Done) => (this.machineWaits.save = done),
      onSnapshotLoad: (_reader: SnapshotReader, done: Done) => (this.machineWaits.load = done),
    })
  }

  override settle(): void {
    do super.settle()
    while (this.storage?.completeOne())
  }

  saved(status = Status.OK): this {
    this.machineWaits.save!(status)
    this.settle()
    return this
  }

  loaded(status = Status.OK): this {
    this.machineWaits.load!(status)
    this.settle()
    return this
  }

  snapshot(): void {
    this.node.snapshot((status, meta) => this.tell('snapshot')(status, meta?.lastIncluded.index))
    this.settle()
  }

  /** A leader with four entries applied. */
  lead(): this {
    this.init()
    this.elect()
    for (const text of ['a', 'b', 'c']) this.propose(text)
    this.take(2)
    this.take(3)
    this.told.length = 0
    return this
  }
}

test('a snapshot is durable before the log is cut, and the log is kept back to the one before', () => {
  const bench = new Bench(new FakeSnapshotStorage()).lead()
  bench.snapshot()
  assert.is(bench.node.status().snapshot.state, 'saving')
  bench.propose('d')
  bench.take(2)
  assert.is(bench.impl.fsmCaller.appliedIndex, 5, 'writes go on while it is saved')
  bench.saved()
  assert.equal(bench.told.slice(-1), ['snapshot OK 4'])
  assert.equal(bench.storage!.calls, ['init', 'create', 'commit 4'])
  assert.equal([bench.node.status().firstIndex, bench.node.status().snapshotId], [1, { index: 4, term: 6 }])
  bench.snapshot()
  bench.saved()
  assert.equal([bench.told.at(-1), bench.node.status().firstIndex], ['snapshot OK 5', 5])
  bench.snapshot()
  assert.equal([bench.told.at(-1), bench.node.status().firstIndex], ['snapshot OK 5', 6], 'the present one; the log is cut to it')
  assert.is(bench.storage!.calls.filter((call) => call.startsWith('commit')).length, 2)
})

test('one at a time, and only where it can be', () => {
  const bench = new Bench(new FakeSnapshotStorage()).init()
  bench.snapshot()
  assert.is(bench.told.at(-1), 'snapshot ENODATA')
  const leader = new Bench(new FakeSnapshotStorage()).lead()
  leader.snapshot()
  leader.snapshot()
  assert.equal(leader.told, ['snapshot EBUSY'])
  const without = new Bench(null).lead()
  without.snapshot()
  assert.equal(without.told, ['snapshot EINVAL'])
})

test('a machine that refuses leaves everything as it was', () => {
  const bench = new Bench(new FakeSnapshotStorage()).lead()
  bench.snapshot()
  bench.saved(Status.error(ErrorCode.EINVAL, 'no'))
  assert.equal([bench.told, bench.state], [['snapshot EINVAL'], 'LEADER'])
  assert.equal(bench.storage!.calls.slice(1), ['create', 'discard'])
  bench.snapshot()
  bench.saved()
  assert.is(bench.told.at(-1), 'snapshot OK 4')
})

test('a disk that fails while a snapshot is made durable ends the node, a full one does not, and the log is not cut', () => {
  for (const [code, state] of [
    [ErrorCode.EIO, 'ERROR'],
    [ErrorCode.ENOSPC, 'LEADER'],
  ] as const) {
    const bench = new Bench(new FakeSnapshotStorage()).lead()
    bench.snapshot()
    bench.saved()
    bench.propose('d')
    bench.take(2)
    bench.storage!.failures.set('commit', Status.error(code, 'commit failed'))
    bench.snapshot()
    bench.saved()
    assert.is(bench.state, state)
    assert.equal([bench.impl.log.firstIndex, bench.impl.snapshots.lastId.index], [1, 4])
    assert.is(bench.environment.events('snapshot.failed').length, 1)
  }
})

test('by interval, the first after a part of it, and none when nothing was applied', () => {
  const bench = new Bench(new FakeSnapshotStorage(), { snapshotIntervalMs: HOUR }).init()
  const { clock } = bench.environment
  clock.advance(0)
  assert.ok(clock.scheduled.includes('snapshot'))
  bench.append(2, 6, { entries: batch(1, 6, ['a']), committed: 1 })
  clock.advance(HOUR)
  bench.settle()
  bench.saved()
  assert.is(bench.impl.snapshots.lastId.index, 1)
  clock.advance(3 * HOUR)
  bench.settle()
  assert.equal(
    bench.storage!.calls.filter((call) => call.startsWith('commit')),
    ['commit 1'],
  )
})

test('a start loads the snapshot before the log goes on behind it', () => {
  const disk = new FakeLogStorage({ batches: [batch(3, 5, ['c', 'd', 'e'])] })
  const bench = new Bench(new FakeSnapshotStorage(snapshotMeta(4, 5, PEERS)), { disk }).init()
  assert.equal([bench.told, bench.state], [[], 'UNINITIALIZED'])
  bench.loaded()
  assert.equal([bench.told, bench.storage!.readers], [['init OK'], 0])
  bench.append(2, 6, { prev: [5, 5], committed: 5 })
  assert.equal(bench.machine.told, ['4:configuration of 3', 'follow 2', '5:e'])
  assert.equal([bench.node.status().firstIndex, bench.node.status().committedIndex], [3, 5])
})

test('G04 a snapshot newer than the log, or in conflict with it, is what a start goes on from', () => {
  for (const [entries, what] of [
    [['a', 'b'], 'shorter'],
    [['a', 'b', 'c', 'd', 'e', 'f'], 'another term'],
  ] as const) {
    const disk = new FakeLogStorage({ batches: [batch(1, 3, entries)] })
    const bench = new Bench(new FakeSnapshotStorage(snapshotMeta(4, 5, PEERS)), { disk }).init().loaded()
    assert.equal([bench.told, disk.calls.at(-1), disk.firstLogIndex, disk.lastLogIndex], [['init OK'], 'reset 5', 5, 4], what)
    assert.equal(bench.impl.log.lastId, { index: 4, term: 5 })
  }
})

test('a start that would leave a hole is refused, where braft goes on', () => {
  for (const newest of [snapshotMeta(4, 5), null]) {
    const disk = new FakeLogStorage({ batches: [batch(7, 5, ['g'])] })
    const bench = new Bench(new FakeSnapshotStorage(newest), { disk }).init()
    assert.equal(bench.told, ['init ECORRUPT'])
    assert.match(bench.impl.error!.status.message, newest ? 'entries 5 to 6 are missing' : 'entries 1 to 6 are missing')
    assert.is(disk.calls.includes('reset 5'), false)
  }
})

test('G06 a damaged snapshot is not loaded and costs nothing of the log', () => {
  const disk = new FakeLogStorage({ batches: [batch(1, 3, ['a'])] })
  const storage = new FakeSnapshotStorage(snapshotMeta(4, 5, PEERS))
  storage.failures.set('verify', Status.error(ErrorCode.ECORRUPT, 'data is damaged'))
  const bench = new Bench(storage, { disk }).init()
  assert.equal([bench.told, bench.machineWaits.load, storage.readers], [['init ECORRUPT'], null, 0])
  assert.equal(
    disk.calls.filter((call) => call !== 'init'),
    [],
  )
})

test('a term that only the snapshot knows is not voted in again', () => {
  const bench = new Bench(new FakeSnapshotStorage(snapshotMeta(4, 9, PEERS))).init().loaded()
  assert.is(bench.term, 10)
})

test('a node that stops waits for its storage and not for its machine', () => {
  const bench = new Bench(new FakeSnapshotStorage()).init()
  bench.append(2, 6, { entries: batch(1, 6, ['a']), committed: 1 })
  bench.snapshot()
  bench.node.shutdown(bench.tell('shutdown'))
  bench.settle()
  // Whoever asked is told while the process still runs.
  assert.equal(bench.told.slice(-2), ['snapshot ESHUTDOWN', 'shutdown OK'])
  const told = bench.told.length
  bench.saved()
  assert.equal([bench.told.length, bench.storage!.calls], [told, ['init', 'create']], 'and once')
})

test('a node whose machine cannot load its snapshot does not start, and stops like any other', () => {
  const bench = new Bench(new FakeSnapshotStorage(snapshotMeta(4, 5, PEERS))).init()
  bench.loaded(Status.error(ErrorCode.EIO, 'not mine'))
  assert.equal([bench.told, bench.state, bench.storage!.readers], [['init EIO'], 'ERROR', 0])
  bench.node.shutdown(bench.tell('shutdown'))
  bench.settle()
  assert.equal([bench.told.at(-1), bench.state, bench.disk.isClosed], ['shutdown OK', 'SHUTDOWN', true])
})

test.run()
