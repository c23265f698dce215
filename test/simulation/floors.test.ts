import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ArmedPoints } from './armed-points.js'
import { DEED_KINDS, FAULT_KINDS } from './decisions.js'
import { belowFloors, FLOORS_PER_100_SEEDS, missedPoints } from './floors.js'

/** Counted by what comes of them. */
const BY_OUTCOME: Record<string, string> = { snapshot: 'snapshots', change: 'changes' }

test('J04 every kind of fault and of deed has a floor: a run without it proves nothing', () => {
  for (const kind of [...FAULT_KINDS, ...DEED_KINDS]) {
    const counter = BY_OUTCOME[kind] ?? kind
    assert.ok((FLOORS_PER_100_SEEDS[counter] ?? 0) > 0, kind)
    const { [counter]: _, ...rest } = Object.fromEntries(Object.keys(FLOORS_PER_100_SEEDS).map((name) => [name, 1e9]))
    assert.is(belowFloors(rest, 100).length, 1, kind)
  }
})

test('J04 three hundred seeds must have struck at every named point', () => {
  const points = new ArmedPoints().counts
  assert.is(missedPoints(points, 299).length, 0)
  for (const count of points.values()) Object.assign(count, { hits: 10, strikes: 1 })
  assert.equal(missedPoints(points, 300), [])
  points.get('install.loaded')!.strikes = 0
  assert.equal(missedPoints(points, 300), ['install.loaded reached 10 times, struck never'])
})

test.run()
