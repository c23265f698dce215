import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, ErrorType, RaftError, Status } from '../../../src/raft/errors.js'
import type { Iterator } from '../../../src/raft/raft.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { configuration, members } from '../../support/entries.js'
import { FSMCallerBench } from '../../support/fsm-caller-bench.js'

const DEAD = ErrorCode.ESTATEMACHINE

test('C03 a machine that throws stops the node once: closures told, the true index kept, no second try', () => {
  const bench = new FSMCallerBench(['a', 'b', 'c', configuration(members(1)), 'e', 'f'], { proposedHere: true, maxSliceEntries: 5 })
  bench.machine.take = (iterator) => {
    for (; iterator.valid(); iterator.next()) {
      if (iterator.index() === 2) throw new Error('boom')
      iterator.done()?.run(Status.OK)
    }
  }
  bench.caller.whenApplied(logIndex(1), bench.tell('reader of 1'))
  bench.caller.whenApplied(logIndex(2), bench.tell('reader of 2'))
  bench.commit(6)
  bench.run()
  assert.equal(bench.told, ['1 OK', `2 ${DEAD}`, `3 ${DEAD}`, `4 ${DEAD}`, `5 ${DEAD}`, 'reader of 1 OK', `reader of 2 ${DEAD}`])
  assert.is(bench.caller.appliedIndex, 1, 'braft hazard H9: not the committed index')
  assert.equal(bench.applied, ['1/1'])
  assert.equal(bench.machine.told, [`error ${DEAD}`])
  assert.is(bench.machine.runs, 1)
  assert.is(bench.errors.length, 1)
  assert.is(bench.errors[0]!.type, ErrorType.STATE_MACHINE)
  assert.match(bench.errors[0]!.status.message, /threw at entry 2: boom/)

  bench.commit(6)
  bench.caller.whenApplied(logIndex(1), bench.tell('late'))
  bench.run()
  assert.is(bench.machine.runs, 1)
  assert.is(bench.told.at(-1), `late ${DEAD}`)
  assert.is(bench.closures.length, 1, 'what was not in the slice is left to the node')
})

test('a machine that leaves early stops the node', () => {
  const bench = new FSMCallerBench(['a', 'b', 'c'], { proposedHere: true })
  bench.machine.take = (iterator) => {
    iterator.done()?.run(Status.OK)
    iterator.next()
  }
  bench.commit(3)
  bench.run()
  assert.equal(bench.told, ['1 OK', `2 ${DEAD}`, `3 ${DEAD}`])
  assert.is(bench.caller.appliedIndex, 1)
  assert.match(bench.errors[0]!.status.message, /left entry 2/)
})

test('a machine that takes nothing at all has applied nothing', () => {
  const bench = new FSMCallerBench(['a'])
  bench.machine.take = () => {}
  bench.commit(1)
  bench.run()
  assert.is(bench.caller.appliedIndex, 0)
  assert.equal(bench.applied, [])
  assert.is(bench.errors.length, 1)
})

for (const [title, rollbackAt, ntail, happened, told] of [
  ['the task at hand', 3, 1, 2, ['1 OK', '2 OK', `3 ${DEAD}`, `4 ${DEAD}`]],
  ['the last two', 3, 2, 1, ['1 OK', `2 ${DEAD}`, `3 ${DEAD}`, `4 ${DEAD}`]],
  ['all of the run', 3, 3, 0, [`1 ${DEAD}`, `2 ${DEAD}`, `3 ${DEAD}`, `4 ${DEAD}`]],
  ['the last two after the end', 5, 2, 2, ['1 OK', '2 OK', `3 ${DEAD}`, `4 ${DEAD}`]],
] as const) {
  test(`a rollback takes back ${title}`, () => {
    const bench = new FSMCallerBench(['a', 'b', 'c', 'd'], { proposedHere: true })
    bench.machine.take = (iterator) => {
      while (iterator.valid() && iterator.index() < rollbackAt) iterator.next()
      iterator.setErrorAndRollback(ntail, Status.error(ErrorCode.EIO, 'the disk of the machine'))
      assert.not.ok(iterator.valid())
    }
    bench.commit(4)
    bench.run()
    assert.is(bench.caller.appliedIndex, happened)
    assert.equal(bench.told, told)
    assert.is(bench.errors.length, 1)
    assert.match(bench.errors[0]!.status.message, new RegExp(`at entry ${happened + 1}: the disk of the machine`))
  })
}

test('a rollback beyond what was taken is an error of its own', () => {
  const bench = new FSMCallerBench([configuration(members(1)), 'b', 'c'])
  bench.machine.take = (iterator) => {
    iterator.next()
    iterator.setErrorAndRollback(3, Status.error(ErrorCode.EIO, 'x'))
  }
  bench.commit(3)
  bench.run()
  assert.match(bench.errors[0]!.status.message, /rolled back what was not taken/)
  assert.is(bench.caller.appliedIndex, 2)
})

test('an iterator is only good during onApply', () => {
  const bench = new FSMCallerBench(['a'])
  let kept: Iterator | null = null
  bench.machine.take = (iterator) => {
    kept = iterator
    iterator.next()
    assert.throws(() => iterator.next(), /past the end/)
  }
  bench.commit(1)
  bench.run()
  assert.throws(() => kept!.data(), /only good during onApply/)
})

test('a notification that throws stops the node as well', () => {
  const bench = new FSMCallerBench(['a'])
  bench.machine.onLeaderStart = () => {
    throw new Error('boom')
  }
  bench.caller.onLeaderStart(asTerm(1))
  bench.commit(1)
  bench.run()
  assert.equal(bench.machine.told, [`error ${DEAD}`])
  assert.match(bench.errors[0]!.status.message, /Notifying leader start.*boom/)
})

test('an error of the node comes before what is queued: nothing is applied, notifications still arrive', () => {
  const bench = new FSMCallerBench(['a', 'b'])
  const error = new RaftError(ErrorType.LOG, Status.error(ErrorCode.EIO, 'x'))
  bench.commit(1)
  bench.caller.onLeaderStop(Status.error(ErrorCode.EBADNODE, 'x'))
  bench.caller.onError(error)
  bench.caller.onError(error)
  bench.run()
  bench.commit(2)
  bench.run()
  assert.equal(bench.machine.told, [`error ${ErrorCode.EIO}`, `leader stop ${ErrorCode.EBADNODE}`])
  assert.equal(bench.errors, [], 'the node knows')
})

test('an error while a read is under way does not stop the notifications', () => {
  const bench = new FSMCallerBench(['a'], { onDisk: true })
  bench.commit(1)
  bench.caller.onLeaderStop(Status.error(ErrorCode.EBADNODE, 'x'))
  bench.run()
  bench.caller.onError(new RaftError(ErrorType.STABLE, Status.error(ErrorCode.EIO, 'x')))
  bench.run()
  const told = [`error ${ErrorCode.EIO}`, `leader stop ${ErrorCode.EBADNODE}`]
  assert.equal(bench.machine.told, told, 'the disk has not answered')
  bench.settle()
  assert.equal(bench.machine.told, told)
  assert.is(bench.caller.appliedIndex, 0)
})

test.run()
