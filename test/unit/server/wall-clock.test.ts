import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ProductionClock } from '../../../src/server/clock.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'

const test = suite('the wall clock')
const HOUR_MS = 3_600_000

const { now } = Date
test.after.each(() => {
  Date.now = now
})

for (const jumpMs of [HOUR_MS, -HOUR_MS]) {
  test(`I04 the wall clock jumps by ${jumpMs / HOUR_MS} h: timers fire in their order, none early, and time goes on`, async () => {
    const clock = new ProductionClock(new EventLoopExecutor())
    const startedAt = clock.now()
    const fired: { name: string; afterMs: number }[] = []
    const last = new Promise<void>((resolve) => {
      clock.schedule(30, () => fired.push({ name: 'soon', afterMs: clock.now() - startedAt }), 'test')
      clock.schedule(
        60,
        () => {
          fired.push({ name: 'later', afterMs: clock.now() - startedAt })
          resolve()
        },
        'test',
      )
    })
    Date.now = () => now() + jumpMs
    clock.schedule(HOUR_MS / 2, () => fired.push({ name: 'much later', afterMs: clock.now() - startedAt }), 'test')
    await last

    assert.equal(
      fired.map(({ name }) => name),
      ['soon', 'later'],
    )
    assert.ok(fired[0]!.afterMs >= 30 && fired[1]!.afterMs >= 60, JSON.stringify(fired))
    assert.ok(clock.now() - startedAt < HOUR_MS / 2, 'time itself jumped')
    clock.stop()
  })
}

test.run()
