import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Closure, closure } from '../../../src/raft/closure.js'
import { ClosureQueue } from '../../../src/raft/closure-queue.js'
import type { Configuration } from '../../../src/raft/configuration.js'
import { ErrorCode, ErrorType, RaftError, Status } from '../../../src/raft/errors.js'
import { FSMCaller, type FSMCallerOptions } from '../../../src/raft/fsm-caller.js'
import { EntryType, type NewEntry } from '../../../src/raft/log-entry.js'
import { LogManager } from '../../../src/raft/log-manager.js'
import { type Iterator, type LeaderChange, StateMachine } from '../../../src/raft/raft.js'
import { type LogIndex, NO_INDEX, NO_TERM, type Term, asTerm, logIndex } from '../../../src/raft/types.js'
import { batch, configuration, members, peer } from '../../support/entries.js'
import { FakeEnvironment } from '../../support/fake-environment.js'
import { FakeLogStorage } from '../../support/fake-log-storage.js'

/** Writes down what it is told. */
class Machine extends StateMachine {
  readonly told: string[] = []
  /** How a run of tasks is taken; the default takes all. */
  take: (iterator: Iterator) => void = (iterator) => {
    for (; iterator.valid(); iterator.next()) {
      this.told.push(`${iterator.index()}:${iterator.data().toString()}`)
      iterator.done()?.run(Status.OK)
    }
  }
  runs = 0

  override onApply(iterator: Iterator): void {
    this.runs++
    this.take(iterator)
  }
  override onLeaderStart(term: Term): void {
    this.told.push(`leader start ${term}`)
  }
  override onLeaderStop(status: Status): void {
    this.told.push(`leader stop ${status.code}`)
  }
  override onConfigurationCommitted(conf: Configuration, index: LogIndex): void {
    this.told.push(`${index}:configuration of ${conf.size}`)
  }
  override onStartFollowing(change: LeaderChange): void {
    this.told.push(`follow ${change.leaderId.port}`)
  }
  override onStopFollowing(change: LeaderChange): void {
    this.told.push(`unfollow ${change.leaderId.port}`)
  }
  override onError(error: RaftError): void {
    this.told.push(`error ${error.status.code}`)
  }
  override onShutdown(): void {
    this.told.push('shutdown')
  }
}

class Bench {
  readonly environment = new FakeEnvironment()
  readonly machine = new Machine()
  readonly closures = new ClosureQueue()
  readonly errors: RaftError[] = []
  readonly applied: string[] = []
  /** What callers were told, in order. */
  readonly told: string[] = []
  readonly log: LogManager
  readonly caller: FSMCaller
  onConfiguration: (index: LogIndex) => void = () => {}

  constructor(
    entries: readonly (string | NewEntry)[],
    options: Partial<FSMCallerOptions> & { onDisk?: boolean; proposedHere?: boolean } = {},
    readonly disk = new FakeLogStorage(options.onDisk ? { batches: [batch(1, 1, entries)] } : {}),
  ) {
    const origin = { groupId: 'g', peerId: peer(1) }
    const { environment, machine, closures } = this
    this.log = new LogManager({ environment, origin, storage: disk, initialConf: members(1), onError: (error) => this.errors.push(error) })
    this.log.init(() => {})
    disk.completeOne()
    this.caller = new FSMCaller({
      environment,
      origin,
      fsm: machine,
      logManager: this.log,
      closures,
      onError: (error) => this.errors.push(error),
      onApplied: (index, term) => this.applied.push(`${index}/${term}`),
      onConfigurationApplied: (entry) => this.onConfiguration(entry.id.index),
      ...options,
    })
    this.caller.start({ index: NO_INDEX, term: NO_TERM })
    this.closures.resetFirst(logIndex(1))
    if (!options.onDisk && entries.length > 0) this.log.append(batch(1, 1, entries), () => {})
    if (options.proposedHere) this.closures.push(entries.map((_, i) => this.waiting(i + 1)))
    this.run()
  }

  waiting(index: number): Closure {
    return closure((status) => this.told.push(`${index} ${status.ok ? 'OK' : status.code}`))
  }

  tell(name: string): (status: Status) => void {
    return (status) => this.told.push(`${name} ${status.ok ? 'OK' : status.code}`)
  }

  commit(index: number): void {
    this.caller.onCommitted(logIndex(index))
  }

  run(): void {
    this.environment.executor.run()
  }

  settle(): void {
    do this.run()
    while (this.disk.completeOne())
  }
}

const noOp: NewEntry = { type: EntryType.NO_OP, data: Buffer.alloc(0) }
const DEAD = ErrorCode.ESTATEMACHINE

test('committed entries are applied in order, once, and published', () => {
  const bench = new Bench(['a', 'b', 'c', 'd'], { proposedHere: true })
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
  const bench = new Bench(['a', 'b'])
  bench.settle()
  assert.throws(() => bench.log.truncatePrefix(logIndex(2)), /not applied/)
  bench.commit(1)
  bench.run()
  bench.log.truncatePrefix(logIndex(2))
  assert.is(bench.log.firstIndex, 2)
})

test('notices of one turn are merged into one run', () => {
  const bench = new Bench(['a', 'b', 'c'])
  for (const index of [1, 2, 3]) bench.commit(index)
  bench.run()
  assert.is(bench.machine.runs, 1)
})

test('runs of tasks go to one onApply, configurations between them to the machine and the node', () => {
  const bench = new Bench(['a', 'b', configuration(members(1, 2)), 'c', noOp, configuration(members(1), members(1, 2)), 'd'])
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
  const bench = new Bench([configuration(members(1)), 'a', 'b'])
  bench.onConfiguration = () => bench.caller.onLeaderStart(asTerm(1))
  bench.commit(3)
  bench.run()
  assert.equal(bench.machine.told, ['1:configuration of 1', 'leader start 1', '2:a', '3:b'])
})

test('notifications keep their place among the entries', () => {
  const bench = new Bench(['a', 'b', 'c'])
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
  const bench = new Bench(
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
  const bench = new Bench(
    Array.from({ length: 6 }, () => 'x'.repeat(76)),
    { maxSliceBytes: 250 },
  )
  bench.commit(6)
  bench.run()
  assert.equal(bench.applied, ['2/1', '4/1', '6/1'])
})

test('entries that left memory come from disk, a read at a time', () => {
  const bench = new Bench(
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
  const bench = new Bench(['a'], { onDisk: true })
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
  const bench = new Bench(['a'])
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
  const bench = new Bench(['a', 'b', 'c'], { proposedHere: true })
  bench.machine.take = (iterator) => {
    for (; iterator.valid(); iterator.next()) if (iterator.index() === 2) iterator.done()!.run(Status.error(ErrorCode.EINVAL, 'x'))
    bench.told.push('taken')
  }
  bench.commit(3)
  bench.run()
  assert.equal(bench.told, [`2 ${ErrorCode.EINVAL}`, 'taken', '1 OK', '3 OK'])
})

test('done() may be asked twice and is the same', () => {
  const bench = new Bench(['a'], { proposedHere: true })
  bench.machine.take = (iterator) => {
    for (; iterator.valid(); iterator.next()) if (iterator.done()) iterator.done()!.run(Status.OK)
  }
  bench.commit(1)
  bench.run()
  assert.equal(bench.told, ['1 OK'])
})

test('tasks of others have no closure', () => {
  const bench = new Bench(['a', 'b', 'c'])
  bench.closures.resetFirst(logIndex(3))
  bench.closures.push([bench.waiting(3)])
  bench.commit(3)
  bench.run()
  assert.equal(bench.told, ['3 OK'])
})

test('C03 a machine that throws stops the node once: closures told, the true index kept, no second try', () => {
  const bench = new Bench(['a', 'b', 'c', configuration(members(1)), 'e', 'f'], { proposedHere: true, maxSliceEntries: 5 })
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
  const bench = new Bench(['a', 'b', 'c'], { proposedHere: true })
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
  const bench = new Bench(['a'])
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
    const bench = new Bench(['a', 'b', 'c', 'd'], { proposedHere: true })
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
  const bench = new Bench([configuration(members(1)), 'b', 'c'])
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
  const bench = new Bench(['a'])
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
  const bench = new Bench(['a'])
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
  const bench = new Bench(['a', 'b'])
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
  const bench = new Bench(['a'], { onDisk: true })
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

test('whenApplied answers as soon as the index is applied, in order of index', () => {
  const bench = new Bench(['a', 'b', 'c', 'd'], { maxSliceEntries: 2 })
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
  const bench = new Bench(['a', 'b', 'c'], { proposedHere: true })
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
  const bench = new Bench(['a', 'b'], { onDisk: true })
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
  const bench = new Bench([])
  bench.machine.onShutdown = () => {
    throw new Error('boom')
  }
  bench.caller.shutdown(bench.tell('down'))
  bench.run()
  assert.equal(bench.told, [`down ${DEAD}`])
  assert.equal(bench.machine.told, [])
})

test.run()
