import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { FileSystem } from '../../../src/raft/environment.js'
import { errorName } from '../../../src/raft/errors.js'
import { SnapshotReaders } from '../../../src/raft/snapshot-readers.js'
import { SnapshotThrottle } from '../../../src/raft/snapshot-throttle.js'
import type { SnapshotReader } from '../../../src/raft/storage.js'
import { FakeEnvironment } from '../../support/fake-environment.js'

function bench(bytesPerSecond: number) {
  const { clock } = new FakeEnvironment()
  const throttle = new SnapshotThrottle(clock, bytesPerSecond)
  const ran: string[] = []
  return { clock, throttle, ran, take: (name: string, bytes: number) => throttle.take(bytes, () => ran.push(`${name} ${clock.now()}`)) }
}

test('without a limit nobody waits', () => {
  const { take, ran, clock } = bench(0)
  for (let i = 0; i < 3; i++) take('a', 1e9)
  assert.equal([ran, clock.scheduled], [['a 0', 'a 0', 'a 0'], []])
})

test('bytes flow at the rate, in the order of asking', () => {
  const { take, ran, clock } = bench(1000)
  for (const name of ['a', 'b', 'c']) take(name, 500)
  assert.equal(ran, ['a 0'], 'more than there is may be taken once, by one')
  clock.advance(2000)
  assert.equal(ran, ['a 0', 'b 401', 'c 901'].slice(0, ran.length))
  assert.is(ran.length, 3)
  clock.advance(10_000)
  for (let i = 0; i < 40; i++) take(`${i}`, 100)
  const before = ran.length
  clock.advance(1000)
  assert.ok(ran.length - before >= 9 && ran.length - before <= 11, `${ran.length - before} in a second`)
})

test('another rate holds at once, for those who wait already too', () => {
  const { take, ran, clock, throttle } = bench(1000)
  for (const name of ['a', 'b', 'c', 'd']) take(name, 1000)
  assert.equal(ran, ['a 0'])
  throttle.setBytesPerSecond(100_000)
  clock.advance(10)
  assert.equal(ran, ['a 0', 'b 10'].slice(0, ran.length))
  clock.advance(90)
  assert.is(ran.length, 4)
  throttle.setBytesPerSecond(10)
  take('e', 1000)
  take('f', 1000)
  clock.advance(1000)
  const before = ran.length
  assert.not(ran.some((line) => line.startsWith('f')))
  throttle.setBytesPerSecond(0)
  assert.is(ran.length, before + 1, 'without a limit nobody waits any more')
  assert.is(throttle.backlogMs, 0)
})

test('a rest saves up no more than a tenth of a second', () => {
  const { take, ran, clock } = bench(1000)
  clock.advance(60_000)
  for (let i = 0; i < 20; i++) take(`${i}`, 50)
  assert.is(ran.length, 2)
})

test('who stops waiting gets nothing and holds nobody up', () => {
  const { take, ran, clock } = bench(1000)
  take('a', 200)
  const forget = take('b', 100_000)
  take('c', 1)
  forget()
  clock.advance(500)
  assert.equal(
    ran.map((line) => line.split(' ')[0]),
    ['a', 'c'],
  )
})

test('who would wait long is sent away, to come again, instead of being served when it has given up', () => {
  const environment = new FakeEnvironment()
  const readers = new SnapshotReaders(environment, new SnapshotThrottle(environment.clock, 1000))
  const told: string[] = []
  let opened = 0
  const fileSystem = { open: () => opened++ } as unknown as FileSystem
  const reader = { fileSystem, path: '/s', files: () => ['data'], fileMeta: () => ({ size: 4000 }) } as unknown as SnapshotReader
  const id = readers.register(reader)
  const read = () => readers.read(id, 'data', 0, 400, (status) => told.push(errorName(status.code)))
  for (let i = 0; i < 4; i++) read()
  assert.equal([opened, told], [1, ['EAGAIN', 'EAGAIN']], 'one is served, one may wait')
  environment.clock.advance(1500)
  read()
  assert.equal([opened, told.length], [3, 2])
})

test.run()
