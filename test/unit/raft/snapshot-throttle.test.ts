import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { SnapshotThrottle } from '../../../src/raft/snapshot-throttle.js'
import { FakeEnvironment } from '../../support/fake-environment.js'

function bench(bytesPerSecond: number) {
  const { clock } = new FakeEnvironment()
  const throttle = new SnapshotThrottle(clock, bytesPerSecond)
  const ran: string[] = []
  return { clock, ran, take: (name: string, bytes: number) => throttle.take(bytes, () => ran.push(`${name} ${clock.now()}`)) }
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

test.run()
