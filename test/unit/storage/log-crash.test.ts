import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Done } from '../../../src/raft/closure.js'
import { logIndex } from '../../../src/raft/types.js'
import type { LastOperation } from '../../support/crash-disk.js'
import { batch, texts } from '../../support/entries.js'
import { LogBench } from '../../support/log-bench.js'

/** First index and entries of a log. */
interface State {
  readonly first: number
  readonly entries: readonly string[]
}

interface Change {
  readonly title: string
  run(bench: LogBench, done: Done): void
  /** Whether a crash during the change, not answered yet, may leave this state. */
  mayLeave(before: State, after: State): boolean
  /** What the change makes, once answered. */
  makes(before: State): State
}

const SEEDS = 6
const LAST_OPERATIONS: readonly LastOperation[] = ['not done', 'half done', 'done']

const isPrefix = (short: readonly string[], long: readonly string[]) => short.every((entry, i) => entry === long[i])
const same = (a: State, b: State) => a.first === b.first && a.entries.length === b.entries.length && isPrefix(a.entries, b.entries)
const lastOf = (state: State) => state.first + state.entries.length - 1

function append(term: number, count: number): Change {
  const batches = (first: number) => [
    batch(
      first,
      term,
      Array.from({ length: count }, (_, i) => `a${i}`),
    ),
    batch(first + count, term, ['end']),
  ]
  const makes = (before: State) => ({
    first: before.first,
    entries: [...before.entries, ...batches(lastOf(before) + 1).flatMap((b) => texts(b))],
  })
  return {
    title: `append ${count + 1}`,
    run: (bench, done) => bench.log.appendEntries(batches(bench.log.lastLogIndex + 1), done),
    makes,
    mayLeave: (before, found) =>
      found.first === before.first && isPrefix(before.entries, found.entries) && isPrefix(found.entries, makes(before).entries),
  }
}

function truncateSuffix(lastKept: number): Change {
  const makes = (before: State) => ({ first: before.first, entries: before.entries.slice(0, lastKept - before.first + 1) })
  return {
    title: `truncateSuffix ${lastKept}`,
    run: (bench, done) => bench.log.truncateSuffix(logIndex(lastKept), done),
    makes,
    mayLeave: (before, found) =>
      found.first === before.first && isPrefix(makes(before).entries, found.entries) && isPrefix(found.entries, before.entries),
  }
}

function truncatePrefix(firstKept: number): Change {
  const makes = (before: State) => ({ first: firstKept, entries: before.entries.slice(firstKept - before.first) })
  return {
    title: `truncatePrefix ${firstKept}`,
    run: (bench, done) => bench.log.truncatePrefix(logIndex(firstKept), done),
    makes,
    mayLeave: (before, found) => same(found, before) || same(found, makes(before)),
  }
}

function reset(next: number): Change {
  const makes = () => ({ first: next, entries: [] })
  return {
    title: `reset ${next}`,
    run: (bench, done) => bench.log.reset(logIndex(next), done),
    makes,
    mayLeave: (before, found) => same(found, makes()) || (found.first === before.first && isPrefix(found.entries, before.entries)),
  }
}

function stateOf(bench: LogBench): State {
  return { first: bench.log.firstLogIndex, entries: bench.contents() }
}

/** Segments [1,3] [4,6] [7,9] and an open one with 10 and 11; the durable length is exact or lags behind, by the seed. */
function prepared(seed: number): LogBench {
  const bench = new LogBench(60, seed)
  bench.open()
  for (let first = 1; first <= 11; first++) bench.append(batch(first, first < 6 ? 1 : 2, [`e${first}`]))
  if (seed % 2 === 0) bench.clock.advance(100)
  return bench
}

/** Cuts the power at every operation of `change`, in every way; answers how many crashes that were. */
function crashEverywhere(change: Change, next: Change): number {
  let crashes = 0
  for (let at = 1; ; at++) {
    for (const lastOperation of LAST_OPERATIONS) {
      for (let seed = 1; seed <= SEEDS; seed++) {
        const bench = prepared(seed * 100 + at)
        const before = stateOf(bench)
        bench.disk.stopAtChange(at, lastOperation)
        const answer = bench.tryCall<void>((done) => change.run(bench, done))
        if (answer) {
          assert.is(answer.status.toString(), 'OK')
          assert.ok(at > 1)
          return crashes
        }
        crashes++
        bench.disk.crash(seed / SEEDS)
        const how = `${change.title}, operation ${at} (${bench.disk.operations.at(-1)}) ${lastOperation}, seed ${seed}`
        assert.is(bench.open().toString(), 'OK', how)
        const found = stateOf(bench)
        assert.ok(change.mayLeave(before, found), `${how}: left ${JSON.stringify(found)}`)
        goesOn(bench, found, { next, how })
      }
    }
  }
}

/** After a recovery the log takes the next change, and holds it through another loss of power. */
function goesOn(bench: LogBench, found: State, options: { next: Change; how: string }): void {
  const { next, how } = options
  assert.is(bench.call<void>((done) => next.run(bench, done)).status.toString(), 'OK', how)
  bench.disk.crash(0)
  assert.is(bench.open().toString(), 'OK', how)
  assert.ok(same(stateOf(bench), next.makes(found)), `${how}: lost what was acknowledged after the recovery`)
}

const next = append(9, 2)

test('H07 power lost at any operation of an append: what was acknowledged stays, and no more than a part of the batch', () => {
  assert.ok(crashEverywhere(append(3, 1), next) > 0)
  assert.ok(crashEverywhere(append(3, 9), next) > 200, 'rolls three times')
})

test('H08 power lost at any operation of cutting the end: no entry comes back from behind one that went', () => {
  for (const lastKept of [10, 9, 8, 5, 3, 1, 0]) assert.ok(crashEverywhere(truncateSuffix(lastKept), next) > 0)
})

test('H09 power lost at any operation of cutting the start: first index and files agree', () => {
  for (const firstKept of [2, 4, 7, 11, 12, 40]) assert.ok(crashEverywhere(truncatePrefix(firstKept), next) > 0)
})

test('power lost at any operation of a reset leaves the old log, a part of it from its start, or the new one', () => {
  for (const first of [40, 12, 6, 1]) assert.ok(crashEverywhere(reset(first), next) > 0)
})

test('H01 an answered change of any kind survives the loss of everything that was not synced', () => {
  for (const change of [append(3, 9), truncateSuffix(5), truncateSuffix(0), truncatePrefix(5), truncatePrefix(30), reset(30), reset(4)]) {
    const bench = prepared(2)
    const before = stateOf(bench)
    assert.is(bench.call<void>((done) => change.run(bench, done)).status.toString(), 'OK')
    bench.disk.crash(0)
    assert.is(bench.open().toString(), 'OK', change.title)
    assert.ok(same(stateOf(bench), change.makes(before)), change.title)
  }
})

test('power lost at any operation of the first start', () => {
  for (let at = 1; ; at++) {
    const bench = new LogBench(60, at)
    bench.disk.stopAtChange(at, at % 2 === 0 ? 'done' : 'half done')
    const status = (() => {
      try {
        return bench.open()
      } catch {
        return null
      }
    })()
    if (status) {
      assert.is(status.toString(), 'OK')
      assert.ok(at > 4)
      return
    }
    bench.disk.crash()
    assert.is(bench.open().toString(), 'OK', `operation ${at}`)
    assert.equal(stateOf(bench), { first: 1, entries: [] })
  }
})

test('power lost at any operation of a recovery', () => {
  for (let at = 1; at <= 12; at++) {
    const bench = prepared(at)
    bench.disk.stopAtChange(1, 'half done')
    bench.tryCall<void>((done) => append(3, 1).run(bench, done))
    bench.disk.crash(1)
    bench.disk.stopAtChange(at, 'done')
    try {
      bench.open()
    } catch {
      assert.ok(bench.disk.hasStopped)
    }
    bench.disk.crash()
    assert.is(bench.open().toString(), 'OK', `operation ${at}`)
    assert.is(
      isPrefix(
        Array.from({ length: 11 }, (_, i) => `${i + 1}:${i < 5 ? 1 : 2}:e${i + 1}`),
        stateOf(bench).entries,
      ),
      true,
    )
  }
})

test.run()
