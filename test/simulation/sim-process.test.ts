import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ProcessEnded, Scheduler } from '../../src/testing/scheduler.js'
import { SimProcess } from '../../src/testing/sim-process.js'
import { SimRandom } from '../../src/testing/sim-random.js'

function start(clockJumps = false) {
  const scheduler = new Scheduler()
  const process = new SimProcess(scheduler, 'n1', 1, '10.0.0.1:1', 1, new SimRandom(1), { clockRate: 1, timerLatenessMs: 0, clockJumps })
  const seen: string[] = []
  const note = (what: string) => (): void => void seen.push(`${what} at ${scheduler.now}`)
  return { scheduler, process, seen, note }
}

test('a slow process does what is due once in a turn, each step that follows a turn later', () => {
  const { scheduler, process, seen, note } = start()
  process.slowDown(10)
  process.executor.post(() => {
    note('first')()
    process.executor.post(note('second'), 'second')
  }, 'first')
  process.clock.schedule(3, note('timer'), 'timer')
  scheduler.runUntil(25)
  assert.equal(seen, ['first at 10', 'timer at 10', 'second at 20'])
  process.slowDown(0)
  scheduler.runUntil(40)
  process.executor.post(note('third'), 'third')
  scheduler.runUntil(41)
  assert.is(seen.at(-1), 'third at 40')
})

test('a slow process that is stopped stays so until it is resumed', () => {
  const { scheduler, process, seen, note } = start()
  process.slowDown(10)
  process.pause()
  process.executor.post(note('late'), 'late')
  scheduler.runUntil(55)
  assert.equal(seen, [])
  process.resume()
  scheduler.runUntil(100)
  assert.equal(seen, ['late at 60'])
})

test('a clock that jumps makes the timers fire that are due by then, and a cancelled one never', () => {
  const { scheduler, process, seen, note } = start(true)
  const { clock } = process
  const before = clock.now()
  clock.schedule(100, note('near'), 'near')
  clock.schedule(1000, note('far'), 'far')
  const cancelled = clock.schedule(50, note('cancelled'), 'cancelled')
  scheduler.runUntil(10)
  process.jump(500)
  assert.is(clock.now() - before, 510)
  cancelled.cancel()
  scheduler.runUntil(2000)
  assert.equal(seen, ['near at 10', 'far at 500'])
})

test('a process that ends in the middle of its own code leaves that code, and the others go on', () => {
  const { scheduler, process, seen, note } = start()
  process.executor.post(() => {
    process.die()
    throw new ProcessEnded('here')
  }, 'ends')
  process.executor.post(note('never'), 'never')
  scheduler.post(null, 'other', note('other'))
  scheduler.runUntil(1)
  assert.equal(seen, ['other at 0'])
})

test.run()
