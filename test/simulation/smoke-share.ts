import * as assert from 'uvu/assert'
import { belowFloors } from './floors.js'
import { type Counters, Swarm } from './swarm.js'

/** What a share may take on a busy machine; on an idle core it is done long before. */
const TIME_LIMIT_MS = 150_000
const SEEDS_MIN = 20
/** Fewer may lack a kind of fault by chance. */
const SEEDS_FOR_FLOORS = 50

/** Runs the seeds from `from` to `to`: none may fail, and enough must happen in them. */
export function runShare(from: number, to: number): void {
  const startedAt = performance.now()
  const totals: Counters = {}
  let seeds = 0
  for (let seed = from; seed <= to && performance.now() - startedAt < TIME_LIMIT_MS; seed++, seeds++) {
    const result = Swarm.ofSeed(seed).run()
    assert.is(result.violation, null, `seed ${seed}, replay it with: npm run sim -- --seed ${seed}`)
    for (const [name, value] of Object.entries(result.counters)) totals[name] = (totals[name] ?? 0) + value
  }
  assert.ok(seeds >= SEEDS_MIN, `only ${seeds} seeds ran in time`)
  if (seeds >= SEEDS_FOR_FLOORS) assert.equal(belowFloors(totals, seeds), [], JSON.stringify(totals))
}
