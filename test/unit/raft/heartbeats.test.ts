import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Heartbeats } from '../../../src/raft/heartbeats.js'
import { Scheduler } from '../../../src/testing/scheduler.js'

class Bench {
  readonly scheduler = new Scheduler()
  readonly beats: string[] = []
  /** How often a timer was set. */
  timers = 0
  private readonly heartbeats = new Heartbeats({
    now: () => this.scheduler.now,
    schedule: (delayMs, fn, label) => {
      this.timers++
      let isWanted = true
      this.scheduler.schedule(delayMs, null, label, () => isWanted && fn())
      return { cancel: () => void (isWanted = false) }
    },
  })

  begin(name: string, intervalMs: number, then = () => {}) {
    return this.heartbeats.every(intervalMs, () => {
      this.beats.push(`${name}@${this.scheduler.now}`)
      then()
    })
  }

  until(at: number): string[] {
    this.scheduler.runUntil(at)
    return this.beats.splice(0)
  }
}

test('leaderships of one interval beat together at its multiples, by one timer, whenever they began', () => {
  const bench = new Bench()
  bench.begin('a', 100)
  bench.until(130)
  bench.begin('b', 100)
  bench.begin('c', 100)
  assert.equal(bench.until(300), ['a@200', 'b@200', 'c@200', 'a@300', 'b@300', 'c@300'])
  assert.is(bench.timers, 4, 'one for each moment, and the next')
})

test('another interval has a timer of its own', () => {
  const bench = new Bench()
  bench.begin('a', 100)
  bench.begin('b', 50)
  assert.equal(bench.until(100).sort(), ['a@100', 'b@100', 'b@50'])
})

test('who ends does not beat any more, also when another one ended it in the same moment', () => {
  const bench = new Bench()
  const timers = new Map<string, { cancel(): void }>()
  timers.set(
    'a',
    bench.begin('a', 100, () => timers.get('b')!.cancel()),
  )
  timers.set('b', bench.begin('b', 100))
  assert.equal(bench.until(150), ['a@100'])
  timers.get('a')!.cancel()
  timers.get('a')!.cancel()
  assert.equal(bench.until(1000), [])

  bench.begin('c', 100)
  assert.equal(bench.until(1100), ['c@1100'], 'and the next leadership begins anew')
})

test('every second time those that are idle may rest, all of them the same time; not behind a time when the process was late', () => {
  const scheduler = new Scheduler()
  let lateMs = 0
  const heartbeats = new Heartbeats({
    now: () => scheduler.now,
    schedule: (delayMs, fn, label) => {
      scheduler.schedule(delayMs + lateMs, null, label, fn)
      return { cancel: () => {} }
    },
  })
  const beats: string[] = []
  heartbeats.every(100, (mayRest) => beats.push(`a@${scheduler.now}${mayRest ? ' rest' : ''}`))
  scheduler.runUntil(130)
  heartbeats.every(100, (mayRest) => beats.push(`b@${scheduler.now}${mayRest ? ' rest' : ''}`))
  scheduler.runUntil(250)
  lateMs = 190
  scheduler.runUntil(310)
  lateMs = 0
  scheduler.runUntil(800)
  assert.equal(beats, [
    'a@100',
    ...['a@200 rest', 'b@200 rest'],
    ...['a@300', 'b@300'],
    // 190 ms behind 400.
    ...['a@590', 'b@590'],
    ...['a@600 rest', 'b@600 rest'],
    ...['a@700 rest', 'b@700 rest'],
    ...['a@800', 'b@800'],
  ])
})

test('a multiple that is as good as past is not waited for: the next one is', () => {
  const bench = new Bench()
  bench.until(99.5)
  bench.begin('a', 100)
  assert.equal(bench.until(150), [])
  assert.equal(bench.until(200).length, 1)
})

test.run()
