import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { runSliced, SLICE_BYTES, SLICE_STEPS, sortSliced } from '../../../src/machines/kv/slices.js'
import { ManualClock, ManualExecutor } from '../../support/fake-environment.js'

/** Work of `steps` steps of `bytes` each. */
function* work(steps: number, bytes: number, each: () => void = () => {}): Generator<number, string> {
  for (let i = 0; i < steps; i++) {
    each()
    yield bytes
  }
  return 'done'
}

test('a slice ends when it has dealt with enough, by bytes or by steps', () => {
  for (const [steps, bytes, slices] of [
    [10, SLICE_BYTES, 11],
    [10, SLICE_BYTES / 2, 6],
    [3 * SLICE_STEPS, 1, 4],
    [3, 1, 1],
  ] as const) {
    const executor = new ManualExecutor()
    const results: string[] = []
    runSliced({ executor }, work(steps, bytes), (result) => results.push(result))
    assert.is(executor.run(), slices)
    assert.equal(results, ['done'])
  }
})

/** Work each of whose steps takes `stepMs`, run by a clock that sees it. */
function timed(steps: number, stepMs: number) {
  const executor = new ManualExecutor()
  const clock = new ManualClock(executor)
  const run = { clock, spentMs: 0, results: [] as string[] }
  const pace = { executor, clock: { now: () => run.spentMs, schedule: clock.schedule.bind(clock) } }
  runSliced(
    pace,
    work(steps, 1, () => (run.spentMs += stepMs)),
    (result) => run.results.push(result),
  )
  executor.run()
  return run
}

test('with a clock a slice ends when its time is over, and the next one waits as long', () => {
  const run = timed(64, 1)
  assert.is(run.spentMs, 16, 'it looked at the clock')
  assert.equal(run.clock.scheduled, ['kv-slice'])
  run.clock.advance(15)
  assert.is(run.spentMs, 16, 'it took longer than a slice may: so does the pause')
  run.clock.advance(1)
  assert.is(run.spentMs, 32)
  run.clock.advance(48)
  assert.equal(run.results, ['done'])
})

test('a process that stood still for long amid a slice does not wait as long again', () => {
  const run = timed(32, 600_000)
  run.clock.advance(100)
  assert.equal(run.results, ['done'])
})

test('work that was cancelled does nothing more', () => {
  const executor = new ManualExecutor()
  let steps = 0
  const run = runSliced(
    { executor },
    work(10, SLICE_BYTES, () => steps++),
    () => assert.unreachable('it was cancelled'),
  )
  executor.runOne()
  run.cancel()
  executor.run()
  assert.is(steps, 1)
})

test('sorting in slices sorts, and keeps the order of equals', () => {
  const items = fc.array(fc.record({ at: fc.nat(50) }), { maxLength: 5000, size: 'max' })
  fc.assert(
    fc.property(items, (unsorted) => {
      const sorting = sortSliced([...unsorted], (a, b) => a.at - b.at)
      for (;;) {
        const step = sorting.next()
        if (!step.done) continue
        const expected = [...unsorted].sort((a, b) => a.at - b.at)
        assert.ok(step.value.length === expected.length && step.value.every((item, i) => item === expected[i]))
        return
      }
    }),
    { numRuns: 50 },
  )
})

test.run()
