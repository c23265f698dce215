import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { Connection } from '../../terminal/connection.js'
import { CliError } from '../../terminal/errors.js'
import { checkComparable, readBaseline } from './baseline.js'
import type { BenchWatch } from './bench.js'
import { measureLoad } from './measure.js'
import type { Bar, Meter, OperationName } from './meter.js'
import { type BenchOptions, checkBench } from './options.js'
import { type BenchReport, measuredWith, verdictOf } from './report.js'
import { compare, judge, parseAssertion } from './verdicts.js'

export interface BenchRequest extends BenchWatch {
  readonly assertions: readonly string[]
  /** A file with an earlier result; null: nothing is compared. */
  readonly baseline: string | null
  /** A share: figures closer than that are the same. */
  readonly tolerance: number
  /** The percentiles go there, in HdrHistogram's text. */
  readonly percentileFile: string | null
}

export interface BenchOutcome {
  readonly report: BenchReport
  /** What the figures say against what was asked of them; null when all is as demanded. */
  readonly error: CliError | null
  readonly clusterId: string | null
  readonly histograms: readonly { readonly operation: OperationName; readonly bars: readonly Bar[] }[]
}

/** Measures a workload. Throws for what cannot be run, and when nothing at all was answered. */
export async function runBench(connection: Connection, options: BenchOptions, request: BenchRequest): Promise<BenchOutcome> {
  checkBench(options)
  const assertions = request.assertions.map(parseAssertion)
  const measured = measuredWith(options)
  const baseline = request.baseline === null ? null : readBaseline(request.baseline)
  if (baseline) checkComparable(baseline, measured)
  const { meter, keys, ...found } = await measureLoad(connection, options, request)
  if (request.percentileFile !== null) savePercentiles(request.percentileFile, meter)
  const results = meter.rows()
  const elapsedMs = Math.round(meter.elapsedMs)
  const report: BenchReport = {
    group: found.group,
    measured,
    elapsedMs,
    operations: meter.count,
    operationsPerSecond: Math.round((meter.count * 1000) / Math.max(1, elapsedMs)),
    results,
    notSent: found.notSent,
    errors: meter.errors,
    failures: meter.failures,
    elections: found.elections,
    longestGapMs: Math.round(meter.gapMs),
    clientCpu: found.clientCpu,
    environment: { node: process.version, cpus: availableParallelism(), voters: found.voters, reachableVoters: found.reachableVoters },
    prefix: options.prefix,
    kept: keys.left !== 0,
    removed: keys.removed,
    assertions: judge(assertions, results),
    comparison: baseline ? compare(baseline.results, results, request.tolerance) : [],
  }
  const histograms = results.map(({ operation }) => ({ operation, bars: meter.bars(operation) }))
  return { report, error: verdictOf(report, options.keep), clusterId: found.clusterId, histograms }
}

function savePercentiles(file: string, meter: Meter): void {
  const parts = meter.rows().map(({ operation }) => `# ${operation}, milliseconds\n${meter.percentileText(operation)}`)
  try {
    writeFileSync(file, parts.join('\n'))
  } catch (error) {
    throw new CliError('E_USAGE', `--hdr-out: ${(error as Error).message}`, { hint: 'Check the path.' })
  }
}
