import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { FileSystem } from '../../../src/raft/environment.js'
import { Status } from '../../../src/raft/errors.js'
import { SpaceMonitor } from '../../../src/storage/space-monitor.js'
import { ManualClock, ManualExecutor } from '../../support/fake-environment.js'

function watch(reserveBytes: number) {
  const executor = new ManualExecutor()
  const clock = new ManualClock(executor)
  const disk = { freeBytes: 1000 }
  const changes: string[] = []
  const fileSystem = {
    statfs: (_path: string, done: (status: Status, space: { freeBytes: number; totalBytes: number }) => void) =>
      executor.post(() => done(Status.OK, { ...disk, totalBytes: 1000 }), 'statfs'),
  } as Partial<FileSystem> as FileSystem
  const monitor = new SpaceMonitor({
    fileSystem,
    clock,
    directory: '/data',
    reserveBytes,
    onChange: (state, free) => changes.push(`${state} ${free}`),
  })
  monitor.start()
  executor.run()
  return { clock, disk, changes, monitor }
}

const test = suite('SpaceMonitor')

test('raises the alarm before the disk is full, and ends it only when there is clearly room again', () => {
  const { clock, disk, changes } = watch(100)
  assert.equal(changes, [])
  disk.freeBytes = 99
  clock.advance(1000)
  disk.freeBytes = 120
  clock.advance(5000)
  assert.equal(changes, ['short 99'])
  disk.freeBytes = 150
  clock.advance(1000)
  assert.equal(changes, ['short 99', 'ample 150'])
})

test('looks no more once it was stopped', () => {
  const { clock, disk, changes, monitor } = watch(100)
  monitor.stop()
  disk.freeBytes = 0
  clock.advance(10_000)
  assert.equal(changes, [])
})

test.run()
