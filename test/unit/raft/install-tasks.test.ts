import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { InstallTasks } from '../../../src/raft/install-tasks.js'
import { FakeSnapshotStorage } from '../../support/fake-snapshot-storage.js'
import { InstallBench, told } from '../../support/install-bench.js'

/** Two members of two groups in a process that copies one snapshot at a time. */
function twoGroups(): { tasks: InstallTasks; first: InstallBench; second: InstallBench } {
  const tasks = new InstallTasks(1)
  const member = () => new InstallBench(new FakeSnapshotStorage(), { installTasks: tasks })
  return { tasks, first: member(), second: member() }
}

test('beyond the limit an offer is refused, in whatever group, and taken once a copy is over', () => {
  const { tasks, first, second } = twoGroups()
  const copying = first.offer(20)
  assert.equal([told(copying), told(second.offer(20)), second.progress], ['held', 'EBUSY', 'idle'])
  first.give(20)
  assert.equal([first.progress, tasks.count], ['loading', 0], 'what loads takes nothing of the disk that others copy to')
  const taken = second.offer(20)
  second.give(20).loaded()
  first.loaded()
  assert.equal([told(copying), told(taken), tasks.count], ['true 5', 'true 5', 0])
})

test('the snapshot that is copied is known again, and so is one that is held, whatever the limit', () => {
  const { tasks, first } = twoGroups()
  const offers = Array.from({ length: 10 }, () => first.offer(20))
  assert.is(tasks.count, 1, 'one copy')
  first.give(20).loaded()
  assert.equal(offers.map(told), [...Array(9).fill('EINTR'), 'true 5'])
  const full = tasks.begin()
  assert.is(told(first.offer(20)), 'true 5')
  full!()
})

test('with a rate, ten offers of one snapshot are one copy', () => {
  const tasks = new InstallTasks(1)
  const bench = new InstallBench(new FakeSnapshotStorage(), { installTasks: tasks, snapshotThrottleBytesPerSecond: 100 })
  const offers = Array.from({ length: 10 }, () => bench.offer(20))
  assert.equal([bench.transport.open('getFile').length, tasks.count], [1, 1])
  bench.give(20).loaded()
  assert.equal([...offers.map(told), tasks.count], [...Array(9).fill('EINTR'), 'true 5', 0])
})

/** Every way in which a copy ends, or does not begin. */
const ENDS: Record<string, (bench: InstallBench) => void> = {
  'its leader is followed no more': (bench) => bench.append(3, 6),
  'a newer snapshot is offered': (bench) => bench.offer(30),
  'the node stops': (bench) => bench.node.shutdown(() => {}),
  'the source has another snapshot': (bench) => bench.give(21),
  'the source has it no more': (bench) => finish(bench, ErrorCode.ENOENT),
  'the source answers nothing': (bench) => {
    for (let i = 0; i < 4; i++) {
      finish(bench, ErrorCode.ETIMEDOUT)
      bench.append(2, 5)
      bench.advance(1000)
    }
  },
  'the own disk is full': (bench) => {
    bench.storage!.failures.set('commit', Status.error(ErrorCode.ENOSPC, 'full'))
    bench.give(20)
  },
  'the own disk fails': (bench) => {
    bench.storage!.failures.set('create', Status.error(ErrorCode.EIO, 'broken'))
    bench.give(20)
  },
  'the machine cannot load it': (bench) => bench.give(20).loaded(Status.error(ErrorCode.ECORRUPT, 'not mine')),
}

function finish(bench: InstallBench, code: ErrorCode): void {
  bench.transport.open('getFile')[0]!.finish(Status.error(code, 'no'))
  bench.settle()
}

for (const [how, end] of Object.entries(ENDS)) {
  test(`its place is given up when ${how}`, () => {
    const { tasks, first, second } = twoGroups()
    const copying = first.offer(20)
    assert.is(tasks.count, 1)
    end(first)
    first.settle()
    assert.not.equal(told(copying), 'held')
    assert.is(tasks.count, 0)
    assert.is(told(second.offer(20)), 'held')
  })
}

test('the same snapshot from elsewhere takes no second place', () => {
  const { tasks, first } = twoGroups()
  first.offer(20)
  const moved = first.offer(20, { uri: 'remote://127.0.0.1:2/78' })
  assert.equal([told(moved), tasks.count], ['held', 1])
  first.give(20).loaded()
  assert.equal([told(moved), tasks.count], ['true 5', 0])
})

test('an offer that cannot be taken takes no place', () => {
  const { tasks, first } = twoGroups()
  first.node.setDiskSpace('short')
  assert.is(told(first.offer(20)), 'ENOSPC')
  first.node.setDiskSpace('ample')
  assert.is(told(first.offer(20, { uri: 'http://127.0.0.1:2/7' })), 'EINVAL')
  assert.is(tasks.count, 0)
})

test.run()
