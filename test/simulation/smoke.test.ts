import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { belowFloors } from './floors.js'
import { type Counters, Swarm } from './swarm.js'

const SEEDS = 80
/** Well inside the runner's limit on a busy core. */
const TIME_LIMIT_MS = 45_000
const SEEDS_MIN = 10
/** Fewer may lack a kind of fault by chance. */
const SEEDS_FOR_FLOORS = 50

test('J05 the same seed twice gives the same trace', () => {
  for (const seed of [3, 7, 12, 19, 25]) {
    const first = Swarm.ofSeed(seed).run()
    const second = Swarm.ofSeed(seed).run()
    assert.is(first.hash, second.hash, `seed ${seed}`)
    assert.is(first.events, second.events, `seed ${seed}`)
  }
  assert.is.not(Swarm.ofSeed(3).run().hash, Swarm.ofSeed(4).run().hash)
})

test('J04 no invariant breaks in a sample of seeds, and enough happened in it', () => {
  const startedAt = performance.now()
  const totals: Counters = {}
  let seeds = 0
  for (let seed = 1; seed <= SEEDS && performance.now() - startedAt < TIME_LIMIT_MS; seed++, seeds++) {
    const result = Swarm.ofSeed(seed).run()
    assert.is(result.violation, null, `seed ${seed}, replay it with: npm run sim -- --seed ${seed}`)
    for (const [name, value] of Object.entries(result.counters)) totals[name] = (totals[name] ?? 0) + value
  }
  assert.ok(seeds >= SEEDS_MIN, `only ${seeds} seeds ran in time`)
  if (seeds >= SEEDS_FOR_FLOORS) assert.equal(belowFloors(totals, seeds), [], JSON.stringify(totals))
})

test('J04 a run in which nothing happened is below the floors', () => {
  assert.ok(belowFloors({}, 100).length > 5)
})

test.run()
