import { CliError } from '../terminal/errors.js'

export type PerfVerdict = 'pass' | 'fail' | 'unknown'

/** What was measured; null: nothing that it could be told from. */
export interface PerfFigures {
  /** Of the rate that was asked for. */
  readonly throughputPercent: number | null
  readonly p99Ms: number | null
  readonly slowestMs: number | null
  readonly failed: number
  readonly leaderChanges: number | null
}

export interface PerfThresholds {
  readonly minThroughputPercent: number
  readonly maxP99Ms: number
  readonly maxLatencyMs: number
  readonly maxFailed: number
  readonly maxLeaderChanges: number
}

export interface PerfCheck {
  readonly check: 'throughput' | 'p99' | 'slowest-write' | 'failed-writes' | 'leader-changes'
  readonly verdict: PerfVerdict
  readonly measured: number | null
  readonly limit: number
  readonly unit: 'percent' | 'ms' | 'count'
  /** The limit itself still passes. */
  readonly bound: 'at-least' | 'at-most'
  /** Where the limit comes from. */
  readonly flag: string
}

/** Each figure against its threshold; a figure that is not known neither passes nor fails. Pure. */
export function judgePerf(figures: PerfFigures, thresholds: PerfThresholds): PerfCheck[] {
  const atMost = (check: PerfCheck['check'], flag: string, unit: PerfCheck['unit'], measured: number | null, limit: number): PerfCheck => ({
    ...{ check, verdict: verdictOf(measured === null ? null : measured <= limit), measured, limit, unit, bound: 'at-most', flag },
  })
  const { throughputPercent: measured, p99Ms, slowestMs, failed, leaderChanges } = figures
  const { minThroughputPercent: limit, maxP99Ms, maxLatencyMs, maxFailed, maxLeaderChanges } = thresholds
  return [
    {
      ...{ check: 'throughput', verdict: verdictOf(measured === null ? null : measured >= limit), measured, limit, unit: 'percent' },
      ...{ bound: 'at-least', flag: '--min-throughput' },
    },
    atMost('p99', '--max-p99', 'ms', p99Ms, maxP99Ms),
    atMost('slowest-write', '--max-latency', 'ms', slowestMs, maxLatencyMs),
    atMost('failed-writes', '--max-failed', 'count', failed, maxFailed),
    atMost('leader-changes', '--max-leader-changes', 'count', leaderChanges, maxLeaderChanges),
  ]
}

/** One FAIL fails all; none, and something that is not known, is unknown. */
export function overall(checks: readonly PerfCheck[]): PerfVerdict {
  if (checks.some(({ verdict }) => verdict === 'fail')) return 'fail'
  return checks.some(({ verdict }) => verdict === 'unknown') ? 'unknown' : 'pass'
}

/** What the verdicts and the keys come to; null when all passed and nothing is left behind. */
export function perfError(checks: readonly PerfCheck[], keys: { readonly prefix: string; readonly left: number | null }): CliError | null {
  const named = (verdict: PerfVerdict) => checks.filter((row) => row.verdict === verdict)
  const leftBehind = keys.left === 0 ? [] : [`Keys of the check may still be there; remove them:  raftctl kv del ${keys.prefix} --prefix`]
  const details = { failed: named('fail').map(({ check }) => check), unknown: named('unknown').map(({ check }) => check) }
  const failed = named('fail')
  if (failed.length > 0)
    return new CliError('E_UNHEALTHY', failed.map(missed).join(' · '), {
      hint: ['Is a disk slow?  raftctl check disk', 'Where does a write spend its time?  raftctl node status', ...leftBehind].join('\n'),
      details,
    })
  if (keys.left !== 0) {
    const what = keys.left === null ? 'it is not known whether the keys of the check were removed' : `${keys.left} keys were not removed`
    return new CliError('E_PARTIAL', what, { hint: leftBehind.join('\n'), details })
  }
  const unknown = named('unknown')
  if (unknown.length === 0) return null
  return new CliError('E_PARTIAL', `not known: ${unknown.map(({ check }) => words(check)).join(', ')}`, {
    hint: 'Look at the members, then repeat it:  raftctl status',
    details,
  })
}

function verdictOf(holds: boolean | null): PerfVerdict {
  return holds === null ? 'unknown' : holds ? 'pass' : 'fail'
}

function missed({ check, measured, limit, unit, bound }: PerfCheck): string {
  const suffix = { percent: '%', ms: ' ms', count: '' }[unit]
  return `${words(check)} ${measured}${suffix}, ${bound === 'at-least' ? 'below' : 'above'} ${limit}${suffix}`
}

function words(check: PerfCheck['check']): string {
  return check.replace('-', ' ')
}
