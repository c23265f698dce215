import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SyncPolicy } from '../../../src/storage/log-sync.js'
import { batch, configuration, members } from '../../support/entries.js'
import { LOG, LogBench } from '../../support/log-bench.js'

const NEVER: SyncPolicy = { when: 'never' }
const ENTRY_BYTES = 24 + 100

/** Entries of 124 bytes in the log. */
const entries = (first: number, count: number, dataBytes = 100) =>
  batch(
    first,
    1,
    Array.from({ length: count }, (_, i) => `${first + i}.`.padEnd(dataBytes, '.')),
  )

/** Four megabytes, more than one write could have left behind. */
function appendMuch(bench: LogBench): void {
  for (let first = 2; first < 400; first += 100) assert.ok(bench.append(entries(first, 100, 10_000)).ok)
  bench.clock.advance(1000)
  bench.executor.run()
}

function opened(sync: SyncPolicy, maxSegmentBytes?: number, seed?: number): LogBench {
  const bench = new LogBench(maxSegmentBytes, seed)
  assert.ok(bench.open({ sync }).ok)
  bench.append(entries(1, 1))
  bench.disk.operations.length = 0
  return bench
}

/** Syncs of segments since then. */
const syncs = (bench: LogBench) =>
  bench.disk.operations.splice(0).filter((operation) => /^datasync .*log_inprogress/.test(operation)).length

/** Loses all that is not synced, and starts again. */
function lastIndexAfterPowerLoss(bench: LogBench, sync: SyncPolicy): number {
  bench.disk.crash(0)
  const status = bench.open({ sync })
  assert.ok(status.ok, String(status))
  return bench.log.lastLogIndex
}

test('by bytes: the log is synced when so many wait, and with a configuration', () => {
  const bench = opened({ when: 'by-bytes', bytes: 10 * ENTRY_BYTES })
  bench.append(entries(2, 8))
  assert.is(syncs(bench), 0)
  bench.append(entries(10, 1))
  assert.is(syncs(bench), 1, 'the tenth entry')
  bench.append(entries(11, 9))
  assert.is(syncs(bench), 0)
  bench.append(batch(20, 1, [configuration(members(1, 2, 3))]))
  assert.is(syncs(bench), 1)
  bench.append(entries(21, 1))
  assert.is(lastIndexAfterPowerLoss(bench, { when: 'by-bytes', bytes: 10 * ENTRY_BYTES }), 20)
})

test('never: not even with a configuration', () => {
  const bench = opened(NEVER)
  bench.append(entries(2, 8))
  bench.append(batch(10, 1, [configuration(members(1, 2, 3))]))
  assert.is(syncs(bench), 0)
  assert.is(lastIndexAfterPowerLoss(bench, NEVER), 0)
})

test('immediately: what was answered is there', () => {
  const bench = opened({ when: 'immediately' })
  bench.append(entries(2, 8))
  assert.is(syncs(bench), 0, 'each write is synchronous')
  assert.is(lastIndexAfterPowerLoss(bench, { when: 'immediately' }), 9)
})

test('whatever the policy, a segment is durable before it is sealed, and the log before it is cut, reset or closed', () => {
  const sealed = opened(NEVER, 5 * ENTRY_BYTES)
  sealed.append(entries(2, 10))
  assert.is(lastIndexAfterPowerLoss(sealed, NEVER), 6, 'one segment of six')

  for (const [change, left] of [
    [(bench: LogBench) => bench.truncateSuffix(15), 15],
    [(bench: LogBench) => bench.truncatePrefix(5), 20],
    [(bench: LogBench) => bench.close(), 20],
  ] as const) {
    const bench = opened(NEVER)
    bench.append(entries(2, 19))
    assert.ok(change(bench).ok)
    assert.is(lastIndexAfterPowerLoss(bench, NEVER), left)
  }
})

test('a power loss leaves the beginning of what was written, however long and torn the rest is, and never a log that does not start', () => {
  for (let seed = 1; seed <= 8; seed++) {
    const bench = opened(NEVER, 1_500_000 + 500_000 * seed, seed)
    appendMuch(bench)
    bench.disk.crash()
    const status = bench.open({ sync: NEVER })
    assert.ok(status.ok, String(status))
    const { lastLogIndex } = bench.log
    if (lastLogIndex > 0) assert.match(bench.contents().at(-1)!, `${lastLogIndex}:1:${lastLogIndex}.`)
    assert.ok(bench.append(entries(lastLogIndex + 1, 3)).ok)
  }
})

test('a start with every write durable refuses a longer torn end than one write leaves', () => {
  const bench = opened(NEVER)
  appendMuch(bench)
  bench.disk.flip(`${LOG}/log_inprogress_00000000000000000001`, 1_000_000)
  assert.match(bench.open().message, /more than one write. Where it ran with --unsafe-sync .* start it once more with that flag/)
  assert.ok(bench.open({ sync: NEVER }).ok)
  assert.is(bench.log.lastLogIndex, 100)
})

test.run()
