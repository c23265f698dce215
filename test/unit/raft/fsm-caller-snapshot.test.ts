import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Done } from '../../../src/raft/closure.js'
import { ErrorCode, ErrorType, Status } from '../../../src/raft/errors.js'
import type { SnapshotMeta, SnapshotReader, SnapshotWriter } from '../../../src/raft/storage.js'
import { logIndex } from '../../../src/raft/types.js'
import { configuration, members } from '../../support/entries.js'
import { FSMCallerBench } from '../../support/fsm-caller-bench.js'
import { snapshotMeta } from '../../support/snapshot-bench.js'

const writer = {} as SnapshotWriter
const readerOf = (meta: SnapshotMeta) => ({ meta, close: () => {} }) as SnapshotReader

/** A machine that answers when the test says so. */
function bench(entries: Parameters<typeof snapshots>[0] = ['a', 'b', 'c', 'd']) {
  return snapshots(entries)
}

function snapshots(entries: ConstructorParameters<typeof FSMCallerBench>[0]) {
  const bench = new FSMCallerBench(entries)
  const waiting: { save: Done | null; load: Done | null } = { save: null, load: null }
  Object.assign(bench.machine, {
    onSnapshotSave: (_writer: SnapshotWriter, done: Done) => {
      bench.machine.told.push('save')
      waiting.save = done
    },
    onSnapshotLoad: (_reader: SnapshotReader, done: Done) => {
      bench.machine.told.push('load')
      waiting.load = done
    },
  })
  const metas: SnapshotMeta[] = []
  const save = () =>
    bench.caller.saveSnapshot(writer, (status, meta) => {
      bench.tell('save')(status)
      if (meta) metas.push(meta)
    })
  const load = (index: number, term = 2) => bench.caller.loadSnapshot(readerOf(snapshotMeta(index, term)), bench.tell('load'))
  return { bench, waiting, metas, save, load }
}

test('a save pins the state in its turn of the queue, and what comes later is applied meanwhile', () => {
  const { bench: it, waiting, metas, save } = bench(['a', configuration(members(1, 2)), 'c', 'd'])
  it.commit(3)
  save()
  it.commit(4)
  it.run()
  assert.equal(it.machine.told, ['1:a', '2:configuration of 2', '3:c', 'save', '4:d'])
  assert.equal(it.told, [])
  waiting.save!(Status.OK)
  assert.equal(it.told, ['save OK'])
  const [meta] = metas
  assert.equal(meta!.lastIncluded, { index: 3, term: 1 })
  assert.equal([meta!.configuration.conf.size, meta!.configuration.configIndex, meta!.configuration.id.index], [2, 2, 3])
})

test('a machine that cannot save says so, and the node lives', () => {
  const { bench: it, waiting, save } = bench()
  it.commit(1)
  save()
  it.run()
  waiting.save!(Status.error(ErrorCode.EINVAL, 'no'))
  assert.equal([it.told, it.errors.length], [[`save ${ErrorCode.EINVAL}`], 0])
  assert.throws(() => waiting.save!(Status.OK), /answered twice/)
})

test('G03 a load waits for what is being applied, and nothing is applied while it runs', () => {
  const { bench: it, waiting, load } = bench()
  it.commit(2)
  load(20)
  it.commit(4)
  it.run()
  assert.equal(it.machine.told, ['1:a', '2:b', 'load'])
  assert.is(it.caller.activity, 'Loading snapshot')
  it.caller.onLeaderStop(Status.OK)
  it.run()
  assert.is(it.machine.told.length, 3)
  it.caller.whenApplied(logIndex(20), it.tell('waiter'))
  it.caller.whenApplied(logIndex(3), it.tell('early'))
  it.log.setSnapshot(snapshotMeta(20))
  waiting.load!(Status.OK)
  it.run()
  assert.equal(it.told, ['load OK', 'early OK', 'waiter OK'])
  assert.equal(
    [it.machine.told.slice(3), it.caller.appliedIndex],
    [['20:configuration of 1', 'leader stop 0'], 20],
    'entries below are not applied again',
  )
})

test('a snapshot that is no newer than what is applied is not loaded', () => {
  const { bench: it, load } = bench()
  it.commit(4)
  load(4)
  it.run()
  assert.equal([it.told, it.machine.told.includes('load')], [[`load ${ErrorCode.ESTALE}`], false])
})

test('a machine that cannot load fails the node, also by throwing', () => {
  const { bench: it, waiting, load } = bench()
  load(20)
  it.run()
  waiting.load!(Status.error(ErrorCode.ECORRUPT, 'damaged'))
  it.run()
  assert.equal([it.told, it.errors.map((error) => error.type)], [[`load ${ErrorCode.ECORRUPT}`], [ErrorType.SNAPSHOT]])
  assert.is(it.machine.told.at(-1), `error ${ErrorCode.ECORRUPT}`)

  const thrower = bench()
  Object.assign(thrower.bench.machine, {
    onSnapshotLoad: () => {
      throw new Error('boom')
    },
  })
  thrower.load(20)
  thrower.bench.run()
  assert.equal(thrower.bench.told, [`load ${ErrorCode.ESTATEMACHINE}`])
})

test('a log that failed while a snapshot was loaded fails the load, and nothing is applied to what was loaded', () => {
  const { bench: it, waiting, load } = bench()
  it.commit(1)
  load(20)
  it.commit(4)
  it.run()
  Object.defineProperty(it.log, 'failure', { value: Status.error(ErrorCode.EIO, 'gone') })
  waiting.load!(Status.OK)
  it.run()
  assert.equal([it.told, it.caller.appliedIndex], [[`load ${ErrorCode.EIO}`], 1])
  assert.equal(it.machine.told, ['1:a', 'load'])
})

test('who asked for a snapshot of a node that fails or stops is told', () => {
  const { bench: it, waiting, load, save } = bench()
  load(20)
  it.run()
  load(30)
  save()
  it.caller.onError({ type: ErrorType.LOG, status: Status.error(ErrorCode.EIO, 'gone') })
  it.run()
  assert.equal(it.told, [`load ${ErrorCode.EIO}`], 'the load that waited')
  waiting.load!(Status.OK)
  it.run()
  assert.equal(it.told.slice(1), [`load ${ErrorCode.EIO}`, `save ${ErrorCode.EINVAL}`])
  save()
  it.caller.shutdown(it.tell('shutdown'))
  save()
  it.run()
  assert.equal(it.told.slice(3).sort(), [`save ${ErrorCode.EINVAL}`, `save ${ErrorCode.EINVAL}`, 'shutdown OK'])
})

test.run()
