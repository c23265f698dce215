import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { judgePerf, overall, type PerfFigures, perfError } from '../../../src/admin/perf-verdicts.js'

const thresholds = { minThroughputPercent: 90, maxP99Ms: 100, maxLatencyMs: 500, maxFailed: 2, maxLeaderChanges: 1 }
/** Every figure at its limit. */
const atLimits: PerfFigures = { throughputPercent: 90, p99Ms: 100, slowestMs: 500, failed: 2, leaderChanges: 1 }
const gone = { prefix: 'raftctl-check/0a/', left: 0 }

function bad(figures: Partial<PerfFigures>, verdict: 'fail' | 'unknown' = 'fail'): string[] {
  const checks = judgePerf({ ...atLimits, ...figures }, thresholds)
  return checks.filter((row) => row.verdict === verdict).map(({ flag }) => flag)
}

test('a figure at its limit passes, and each one beyond it fails alone', () => {
  const checks = judgePerf(atLimits, thresholds)
  assert.equal([overall(checks), perfError(checks, gone)], ['pass', null])
  assert.equal(bad({ throughputPercent: 89.9 }), ['--min-throughput'])
  assert.equal(bad({ p99Ms: 100.001 }), ['--max-p99'])
  assert.equal(bad({ slowestMs: 501 }), ['--max-latency'])
  assert.equal(bad({ failed: 3 }), ['--max-failed'])
  assert.equal(bad({ leaderChanges: 2 }), ['--max-leader-changes'])
})

test('nothing but the thresholds decides', () => {
  const generous = { minThroughputPercent: 0, maxP99Ms: 1e9, maxLatencyMs: 1e9, maxFailed: 1e9, maxLeaderChanges: 1e9 }
  const worst = { throughputPercent: 0.1, p99Ms: 1e6, slowestMs: 1e6, failed: 1e6, leaderChanges: 1e6 }
  assert.is(overall(judgePerf(worst, generous)), 'pass')
  const strict = { minThroughputPercent: 100, maxP99Ms: 0, maxLatencyMs: 0, maxFailed: 0, maxLeaderChanges: 0 }
  const best = { throughputPercent: 100, p99Ms: 0.01, slowestMs: 0.01, failed: 0, leaderChanges: 0 }
  assert.equal(
    judgePerf(best, strict).map(({ verdict }) => verdict),
    ['pass', 'fail', 'fail', 'pass', 'pass'],
  )
})

test('what is not known neither passes nor fails: exit 11, unless something fails', () => {
  assert.equal(bad({ p99Ms: null, leaderChanges: null }, 'unknown'), ['--max-p99', '--max-leader-changes'])
  assert.equal(bad({ throughputPercent: null, slowestMs: null }, 'unknown'), ['--min-throughput', '--max-latency'])
  const unknown = judgePerf({ ...atLimits, leaderChanges: null }, thresholds)
  assert.equal([overall(unknown), perfError(unknown, gone)?.code], ['unknown', 'E_PARTIAL'])
  assert.is(perfError(unknown, gone)?.message, 'not known: leader changes')
  const failed = judgePerf({ ...atLimits, leaderChanges: null, failed: 3 }, thresholds)
  assert.equal([overall(failed), perfError(failed, gone)?.code], ['fail', 'E_UNHEALTHY'])
})

test('a failure says each figure that missed, and the keys that stay are named with it', () => {
  const failed = judgePerf({ throughputPercent: 42.5, p99Ms: 100.4, slowestMs: 1234.5, failed: 2, leaderChanges: 3 }, thresholds)
  const error = perfError(failed, { ...gone, left: 7 })
  assert.is(
    error?.message,
    'throughput 42.5%, below 90% · p99 100.4 ms, above 100 ms · slowest write 1234.5 ms, above 500 ms · leader changes 3, above 1',
  )
  assert.match(error!.hint, 'raftctl kv del raftctl-check/0a/ --prefix')
  assert.equal(error!.details, { failed: ['throughput', 'p99', 'slowest-write', 'leader-changes'], unknown: [] })
})

test('keys that stay, or may, are exit 11 when all passed', () => {
  const passed = judgePerf(atLimits, thresholds)
  assert.equal(
    [perfError(passed, { ...gone, left: 7 })?.code, perfError(passed, { ...gone, left: null })?.code],
    ['E_PARTIAL', 'E_PARTIAL'],
  )
  assert.is(perfError(passed, { ...gone, left: 7 })?.message, '7 keys were not removed')
})

test.run()
