import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { momentFor, ProductionClock } from '../../../src/server/clock.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import { ProductionRandom } from '../../../src/server/random.js'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

test('the executor runs in order of posting, never from inside post, one at a time', async () => {
  const executor = new EventLoopExecutor()
  const ran: string[] = []
  await new Promise<void>((resolve) => {
    executor.post(() => {
      ran.push('a')
      executor.post(() => ran.push('c'), '')
      executor.post(resolve, '')
      ran.push('a ends')
    }, '')
    executor.post(() => ran.push('b'), '')
    assert.equal(ran, [])
  })
  assert.equal(ran, ['a', 'a ends', 'b', 'c'])
  assert.is(executor.waiting, 0)
})

test('the executor lets the event loop in between when there is much to do, and loses nothing', async () => {
  const executor = new EventLoopExecutor()
  let ran = 0
  let turns = 0
  const spin = () => {
    const end = performance.now() + 0.2
    while (performance.now() < end);
    ran++
  }
  for (let i = 0; i < 300; i++) executor.post(spin, '')
  while (ran < 300) {
    await turn()
    turns++
  }
  assert.is(ran, 300)
  assert.ok(turns > 2, `${turns} turns`)
})

test('what a posted function throws does not keep the others from running', async () => {
  const executor = new EventLoopExecutor()
  const listeners = process.rawListeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  const thrown = new Promise<unknown>((resolve) => process.once('uncaughtException', resolve))
  const ran = new Promise<boolean>((resolve) => {
    executor.post(() => {
      throw new Error('broken')
    }, '')
    executor.post(() => resolve(true), '')
  })
  assert.match(String(await thrown), 'broken')
  assert.ok(await ran)
  for (const listener of listeners) process.on('uncaughtException', listener as never)
})

test('timers fire in order of their time, not before it', async () => {
  const clock = new ProductionClock(new EventLoopExecutor())
  const fired: [string, number][] = []
  const start = clock.now()
  await new Promise<void>((resolve) => {
    const note = (name: string) => () => fired.push([name, clock.now() - start])
    clock.schedule(30, note('30'), '')
    clock.schedule(5, note('5'), '')
    clock.schedule(15, note('15'), '')
    clock.schedule(5, note('5 too'), '')
    clock.schedule(40, resolve, '')
  })
  assert.equal(
    fired.map(([name]) => name),
    ['5', '5 too', '15', '30'],
  )
  for (const [name, at] of fired) assert.ok(at >= Number.parseInt(name, 10), `${name} fired at ${at}`)
  assert.is(clock.pending, 0)
})

test('a cancelled timer does not fire, not even when it is already due', async () => {
  const clock = new ProductionClock(new EventLoopExecutor())
  let fired = 0
  await new Promise<void>((resolve) => {
    const later = clock.schedule(20, () => fired++, '')
    clock.schedule(10, () => victim.cancel(), '')
    const victim = clock.schedule(10, () => fired++, '')
    later.cancel()
    later.cancel()
    clock.schedule(30, resolve, '')
  })
  assert.is(fired, 0)
  assert.is(clock.pending, 0)
})

test('a timer that is re-armed for ever does not fill the memory', () => {
  const clock = new ProductionClock(new EventLoopExecutor())
  let timer = clock.schedule(60_000, () => {}, '')
  for (let i = 0; i < 10_000; i++) {
    timer.cancel()
    timer = clock.schedule(60_000 + (i % 100), () => {}, '')
  }
  assert.is(clock.pending, 1)
  assert.ok((clock as unknown as { heap: unknown[] }).heap.length < 200)
  clock.stop()
})

test('a stopped clock fires nothing and keeps nothing alive', async () => {
  const clock = new ProductionClock(new EventLoopExecutor())
  let fired = 0
  clock.schedule(1, () => fired++, '')
  clock.stop()
  await new Promise((resolve) => setTimeout(resolve, 10))
  assert.is(fired, 0)
  assert.is(clock.pending, 0)
})

test('xoshiro128** gives its published sequence', () => {
  const seed = Buffer.alloc(16)
  for (const [at, word] of [1, 2, 3, 4].entries()) seed.writeUInt32LE(word, at * 4)
  const random = new ProductionRandom(seed)
  assert.equal(
    Array.from({ length: 7 }, () => random.u32()),
    [11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034],
  )
})

test('draws stay in their ranges and reach all of them', () => {
  const random = new ProductionRandom()
  const seen = new Set<number>()
  for (let i = 0; i < 1000; i++) {
    const unit = random.unit()
    assert.ok(unit >= 0 && unit < 1)
    seen.add(random.below(7))
  }
  assert.equal([...seen].sort(), [0, 1, 2, 3, 4, 5, 6])
  assert.match(random.hex(16), /^[0-9a-f]{32}$/)
  assert.is.not(random.fork('a').u32(), random.fork('a').u32())
})

test('long timers share their moments, none is early, and none later than by a sixty-fourth', () => {
  assert.equal(
    [-5, 0, 1, 100, 127, Number.POSITIVE_INFINITY].map((delayMs) => momentFor(12.3, delayMs)),
    [12.3, 12.3, 13.3, 112.3, 139.3, Number.POSITIVE_INFINITY],
  )
  for (let delayMs = 128; delayMs < 4000; delayMs += 7.3) {
    const late = momentFor(12.3, delayMs) - 12.3 - delayMs
    assert.ok(late >= 0 && late <= delayMs / 64, `${delayMs}: ${late}`)
  }
  const moments = Array.from({ length: 1000 }, (_, i) => momentFor(i, 1000))
  assert.is(new Set(moments).size, 126)
})

test('a long timer of the clock fires when others do', async () => {
  class Stepped extends ProductionClock {
    time = 12.3
    override now(): number {
      return this.time
    }
    protected override realDelay(): number {
      return 1
    }
  }
  const executor = new EventLoopExecutor()
  const clock = new Stepped(executor)
  let fired = 0
  clock.schedule(1000, () => fired++, '')
  const firedAt = async (time: number) => {
    clock.time = time
    // Behind the look at what is due, which is one of node's timers too, and what it posts.
    await new Promise((resolve) => setTimeout(resolve, 5))
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    return fired
  }
  assert.equal([await firedAt(1015.9), await firedAt(1016)], [0, 1])
})

test.run()
