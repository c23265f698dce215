import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, ErrorType, RaftError, Status } from '../../../src/raft/errors.js'
import { EntryType, type NewEntry } from '../../../src/raft/log-entry.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { configuration, members, peer } from '../../support/entries.js'
import { FSMCallerBench } from '../../support/fsm-caller-bench.js'

const noOp: NewEntry = { type: EntryType.NO_OP, data: Buffer.alloc(0) }
const DEAD = ErrorCode.ESTATEMACHINE

test('committed entries are applied in order, once, and published', () => {
  const bench = new FSMCallerBench(['a', 'b', 'c', 'd'], { proposedHere: true })
  bench.commit(2)
  assert.equal(bench.machine.told, [], 'never from inside the call')
  bench.run()
  bench.commit(4)
  bench.commit(3)
  bench.run()
  assert.equal(bench.machine.told, ['1:a', '2:b', '3:c', '4:d'])
  assert.equal(bench.told, ['1 OK', '2 OK', '3 OK', '4 OK'])
  assert.equal(bench.applied, ['2/1', '4/1'])
  assert.equal(bench.caller.appliedId, { index: 4, term: 1 })
  assert.equal(
    bench.environment.events('apply.advanced').map((event) => event.index),
    [2, 4],
  )
})

test('the log knows what was applied, and may cut it', () => {
  const bench = new FSMCallerBench(['a', 'b'])
  bench.settle()
  assert.throws(() => bench.log.truncatePrefix(logIndex(2)), /not applied/)
  bench.commit(1)
  bench.run()
  bench.log.truncatePrefix(logIndex(2))
  assert.is(bench.log.firstIndex, 2)
})

test('notices of one turn are merged into one run', () => {
  const bench = new FSMCallerBench(['a', 'b', 'c'])
  for (const index of [1, 2, 3]) bench.commit(index)
  bench.run()
  assert.is(bench.machine.runs, 1)
})

test('runs of tasks go to one onApply, configurations between them to the machine and the node', () => {
  const bench = new FSMCallerBench(['a', 'b', configuration(members(1, 2)), 'c', noOp, configuration(members(1), members(1, 2)), 'd'])
  bench.onConfiguration = (index) => bench.machine.told.push(`node ${index} at ${bench.caller.appliedIndex}`)
  bench.commit(7)
  bench.run()
  assert.equal(bench.machine.told, ['1:a', '2:b', '3:configuration of 2', 'node 3 at 3', '4:c', 'node 6 at 6', '7:d'])
  assert.is(bench.machine.runs, 3)
  assert.equal(
    bench.environment.events('configuration.committed').map(({ index, peers }) => `${index} ${peers}`),
    ['3 127.0.0.1:1:0:0,127.0.0.1:2:0:0'],
    'a joint one is not yet what the members agreed on',
  )
})

test('what the node says while a configuration is applied comes before the next entry', () => {
  const bench = new FSMCallerBench([configuration(members(1)), 'a', 'b'])
  bench.onConfiguration = () => bench.caller.onLeaderStart(asTerm(1))
  bench.commit(3)
  bench.run()
  assert.equal(bench.machine.told, ['1:configuration of 1', 'leader start 1', '2:a', '3:b'])
})

test('notifications keep their place among the entries', () => {
  const bench = new FSMCallerBench(['a', 'b', 'c'])
  const change = { leaderId: peer(7), term: asTerm(1), status: Status.OK }
  bench.caller.onStartFollowing(change)
  bench.commit(1)
  bench.caller.onStopFollowing(change)
  bench.caller.onLeaderStart(asTerm(2))
  bench.commit(3)
  bench.caller.onLeaderStop(Status.error(ErrorCode.EPERM, 'x'))
  bench.run()
  assert.equal(bench.machine.told, ['follow 7', '1:a', 'unfollow 7', 'leader start 2', '2:b', '3:c', 'leader stop 1'])
})

test('C05 a long run is applied in slices, and others have their turn between them', () => {
  const bench = new FSMCallerBench(
    Array.from({ length: 10 }, (_, i) => `${i + 1}`),
    { maxSliceEntries: 4 },
  )
  bench.commit(10)
  bench.environment.executor.post(() => bench.machine.told.push('vote'), 'vote')
  bench.run()
  assert.equal(bench.applied, ['4/1', '8/1', '10/1'])
  assert.is(bench.machine.told.indexOf('vote'), 4, 'the vote that waited ran after the first slice')
})

test('a slice stays within its bytes', () => {
  const bench = new FSMCallerBench(
    Array.from({ length: 6 }, () => 'x'.repeat(76)),
    { maxSliceBytes: 250 },
  )
  bench.commit(6)
  bench.run()
  assert.equal(bench.applied, ['2/1', '4/1', '6/1'])
})

test('entries that left memory come from disk, a read at a time', () => {
  const bench = new FSMCallerBench(
    Array.from({ length: 7 }, (_, i) => `${i + 1}`),
    { onDisk: true, maxSliceBytes: 75, maxSliceEntries: 2, proposedHere: true },
  )
  bench.commit(7)
  bench.caller.onLeaderStop(Status.error(ErrorCode.EPERM, 'x'))
  bench.run()
  assert.equal(bench.machine.told, [])
  assert.is(bench.caller.activity, 'Applying log_index=1')
  bench.settle()
  assert.equal(bench.machine.told, ['1:1', '2:2', '3:3', '4:4', '5:5', '6:6', '7:7', 'leader stop 1'])
  assert.equal(bench.disk.calls, ['init', 'read 1', 'read 4', 'read 7'], 'what one read brought is used up before the next')
  assert.is(bench.caller.activity, 'Idle')
})

test('a read that fails stops the machine', () => {
  const bench = new FSMCallerBench(['a'], { onDisk: true })
  bench.commit(1)
  bench.caller.whenApplied(logIndex(1), bench.tell('read'))
  bench.run()
  bench.disk.failOne()
  bench.run()
  assert.equal(bench.machine.told, [`error ${ErrorCode.EIO}`])
  assert.equal(bench.told, [`read ${ErrorCode.EIO}`])
  assert.ok(bench.errors.length >= 1)
  assert.is(bench.errors[0]!.type, ErrorType.LOG)
  assert.is(bench.caller.appliedIndex, 0)
})

test('activity says what runs', () => {
  const bench = new FSMCallerBench(['a'])
  const seen: string[] = []
  bench.machine.take = (iterator) => {
    seen.push(bench.caller.activity)
    iterator.next()
  }
  bench.machine.onLeaderStart = () => seen.push(bench.caller.activity)
  assert.is(bench.caller.activity, 'Idle')
  bench.commit(1)
  bench.caller.onLeaderStart(asTerm(1))
  assert.is(bench.caller.activity, 'Applying log_index=1')
  bench.run()
  assert.equal(seen, ['Applying log_index=1', 'Notifying leader start'])
  assert.is(bench.caller.activity, 'Idle')
})

test('closures that the machine leaves are run with OK after the run', () => {
  const bench = new FSMCallerBench(['a', 'b', 'c'], { proposedHere: true })
  bench.machine.take = (iterator) => {
    for (; iterator.valid(); iterator.next()) if (iterator.index() === 2) iterator.done()!.run(Status.error(ErrorCode.EINVAL, 'x'))
    bench.told.push('taken')
  }
  bench.commit(3)
  bench.run()
  assert.equal(bench.told, [`2 ${ErrorCode.EINVAL}`, 'taken', '1 OK', '3 OK'])
})

test('done() may be asked twice and is the same', () => {
  const bench = new FSMCallerBench(['a'], { proposedHere: true })
  bench.machine.take = (iterator) => {
    for (; iterator.valid(); iterator.next()) if (iterator.done()) iterator.done()!.run(Status.OK)
  }
  bench.commit(1)
  bench.run()
  assert.equal(bench.told, ['1 OK'])
})

test('tasks of others have no closure', () => {
  const bench = new FSMCallerBench(['a', 'b', 'c'])
  bench.closures.resetFirst(logIndex(3))
  bench.closures.push([bench.waiting(3)])
  bench.commit(3)
  bench.run()
  assert.equal(bench.told, ['3 OK'])
})

test('whenApplied answers as soon as the index is applied, in order of index', () => {
  const bench = new FSMCallerBench(['a', 'b', 'c', 'd'], { maxSliceEntries: 2 })
  for (const index of [3, 1, 2, 3, 4]) bench.caller.whenApplied(logIndex(index), bench.tell(`${index}`))
  bench.commit(3)
  bench.run()
  assert.equal(bench.told, ['1 OK', '2 OK', '3 OK', '3 OK'])
  bench.caller.whenApplied(logIndex(2), bench.tell('past'))
  assert.is(bench.told.length, 4, 'never from inside the call')
  bench.run()
  assert.is(bench.told.at(-1), 'past OK')
})

test('shutdown runs what was queued, fails who still waits, and is the last call', () => {
  const bench = new FSMCallerBench(['a', 'b', 'c'], { proposedHere: true })
  bench.commit(2)
  bench.caller.onLeaderStop(Status.error(ErrorCode.ESHUTDOWN, 'x'))
  bench.caller.whenApplied(logIndex(3), bench.tell('read'))
  bench.caller.shutdown(bench.tell('down'))
  bench.caller.shutdown(bench.tell('down again'))
  bench.commit(3)
  bench.caller.onLeaderStart(asTerm(9))
  bench.run()
  const gone = ErrorCode.ESHUTDOWN
  assert.equal(bench.machine.told, ['1:a', '2:b', `leader stop ${gone}`, 'shutdown'])
  assert.equal(bench.told, ['1 OK', '2 OK', `3 ${gone}`, `read ${gone}`, 'down OK', 'down again OK'])
  bench.caller.onError(new RaftError(ErrorType.LOG, Status.error(ErrorCode.EIO, 'x')))
  bench.caller.whenApplied(logIndex(1), bench.tell('late'))
  bench.caller.shutdown(bench.tell('once more'))
  bench.run()
  assert.is(bench.machine.told.at(-1), 'shutdown')
  assert.equal(bench.told.slice(-2), [`late ${gone}`, 'once more OK'])
})

test('shutdown leaves a backlog for which nobody waits to the next start, even in the middle of a read', () => {
  const bench = new FSMCallerBench(['a', 'b'], { onDisk: true })
  bench.commit(2)
  bench.run()
  bench.caller.shutdown(bench.tell('down'))
  bench.run()
  assert.equal(bench.machine.told, ['shutdown'])
  assert.equal(bench.told, ['down OK'])
  bench.settle()
  assert.equal(bench.machine.told, ['shutdown'])
})

test('a machine that throws on shutdown is told of in the answer', () => {
  const bench = new FSMCallerBench([])
  bench.machine.onShutdown = () => {
    throw new Error('boom')
  }
  bench.caller.shutdown(bench.tell('down'))
  bench.run()
  assert.equal(bench.told, [`down ${DEAD}`])
  assert.equal(bench.machine.told, [])
})

test.run()
