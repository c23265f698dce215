import * as format from './format.js'
import { printFailures, printLimits, votersOf } from './load-view.js'
import type { Output } from './output.js'

/** A result as far as it is printed. */
export interface BenchPicture {
  readonly measured: {
    readonly workload: string
    readonly rate: number | null
    readonly clients: number
    readonly connections: number
    readonly valueBytes: number
    readonly read: string
    readonly readShare: number
  }
  readonly elapsedMs: number
  readonly operations: number
  readonly operationsPerSecond: number
  readonly results: readonly {
    readonly operation: string
    readonly count: number
    readonly perSecond: number
    readonly meanMs: number | null
    readonly p50Ms: number | null
    readonly p90Ms: number | null
    readonly p99Ms: number | null
    readonly p999Ms: number | null
    readonly p9999Ms: number | null
    readonly maxMs: number | null
  }[]
  readonly notSent: number
  readonly errors: number
  readonly failures: readonly { readonly code: string; readonly count: number; readonly message: string }[]
  readonly elections: number | null
  readonly longestGapMs: number
  readonly clientCpu: number
  readonly environment: { readonly node: string; readonly cpus: number; readonly voters: number | null; readonly reachableVoters: number }
  readonly prefix: string
  readonly kept: boolean
  readonly removed: number | null
  readonly assertions: readonly {
    readonly assertion: string
    readonly operation: string
    readonly value: number | null
    readonly holds: boolean
  }[]
  readonly comparison: readonly {
    readonly operation: string
    readonly metric: string
    readonly before: number
    readonly now: number
    readonly ratio: number
    readonly verdict: 'better' | 'same' | 'worse'
  }[]
}

export interface HistogramPicture {
  readonly operation: string
  readonly bars: readonly { readonly upToMs: number; readonly count: number }[]
}

const HUES = { better: 'green', same: null, worse: 'red' } as const
const BAR_WIDTH = 40

export function printBench(out: Output, report: BenchPicture, histograms: readonly HistogramPicture[]): void {
  const { measured, elapsedMs, errors } = report
  const load = [
    measured.workload === 'mixed' ? `mixed, ${Math.round(measured.readShare * 100)}% reads` : measured.workload,
    `${format.many(measured.clients, 'client')} on ${format.many(measured.connections, 'connection')}`,
    `values of ${format.bytes(measured.valueBytes)}`,
    ...(measured.workload === 'get' || measured.workload === 'mixed' ? [`${measured.read} reads`] : []),
    ...(measured.rate === null ? [] : [`${measured.rate.toLocaleString('en-US')}/s due`]),
  ]
  out.line(load.join(' · '))
  out.line(
    `${format.count(report.operations)} in ${format.duration(elapsedMs)}  ${out.paint('bold', `${format.count(report.operationsPerSecond)} ops/s`)}  ${
      errors === 0 ? 'no errors' : out.paint('red', format.many(errors, 'error'))
    }  latencies in ms`,
  )
  out.line()
  const latency = (name: string, of: (row: BenchPicture['results'][number]) => number | null, priority = 0) => ({
    name,
    value: (row: BenchPicture['results'][number]) => format.milliseconds(of(row)),
    align: 'right' as const,
    priority,
  })
  out.table(
    [
      { name: 'operation', value: (row) => row.operation },
      { name: 'count', value: (row) => format.count(row.count), align: 'right', priority: 3 },
      { name: 'ops/s', value: (row) => format.count(row.perSecond), align: 'right' },
      latency('mean', (row) => row.meanMs, 2),
      latency('p50', (row) => row.p50Ms),
      latency('p90', (row) => row.p90Ms, 1),
      latency('p99', (row) => row.p99Ms),
      latency('p99.9', (row) => row.p999Ms),
      latency('p99.99', (row) => row.p9999Ms, 4),
      latency('max', (row) => row.maxMs),
    ],
    report.results,
  )
  for (const histogram of histograms) printHistogram(out, histogram)
  printFailures(out, report.failures)
  out.line()
  out.line(around(out, report))
  for (const { assertion, operation, value, holds } of report.assertions)
    out.line(
      `${holds ? out.paint('green', out.symbol('ok')) : out.paint('red', out.symbol('failed'))} ${operation} ${assertion}  (${figure(assertion.includes('ops'), value)})`,
    )
  if (report.comparison.length > 0) printComparison(out, report)
  printLimits(out, { ...report, clients: measured.clients, rate: measured.rate })
  if (report.kept) out.line(`the keys are still there; remove them:  raftctl kv del ${report.prefix} --prefix`)
  else out.line(`${format.many(report.removed ?? 0, 'key')} removed`)
}

function around(out: Output, { elections, longestGapMs, environment }: BenchPicture): string {
  const { voters, reachableVoters, node, cpus } = environment
  const terms = elections === null ? 'elections unknown' : format.many(elections, 'election')
  return [
    terms,
    `longest gap ${format.duration(longestGapMs)}`,
    ...votersOf(out, voters, reachableVoters),
    `node ${node.slice(1)}`,
    format.many(cpus, 'cpu'),
  ].join(' · ')
}

function printComparison(out: Output, { comparison }: BenchPicture): void {
  out.line()
  out.table(
    [
      { name: 'operation', value: (row) => row.operation },
      { name: 'metric', value: (row) => row.metric },
      { name: 'before', value: (row) => figure(row.metric === 'ops', row.before), align: 'right' },
      { name: 'now', value: (row) => figure(row.metric === 'ops', row.now), align: 'right' },
      { name: 'ratio', value: (row) => row.ratio.toFixed(2), align: 'right' },
      { name: 'verdict', value: (row) => painted(out, row.verdict) },
    ],
    comparison,
  )
}

function painted(out: Output, verdict: keyof typeof HUES): string {
  const hue = HUES[verdict]
  return hue === null ? verdict : out.paint(hue, verdict)
}

function printHistogram(out: Output, { operation, bars }: HistogramPicture): void {
  const most = Math.max(...bars.map(({ count }) => count))
  const width = Math.max(...bars.map(({ upToMs }) => format.milliseconds(upToMs).length))
  out.line()
  out.line(`${operation}, up to ms`)
  for (const { upToMs, count } of bars) {
    const length = count === 0 ? 0 : Math.max(1, Math.round((count / most) * BAR_WIDTH))
    out.line(
      `${format.milliseconds(upToMs).padStart(width + 2)}  ${(out.style.unicode ? '▇' : '#').repeat(length).padEnd(BAR_WIDTH)}  ${format.count(count)}`,
    )
  }
}

function figure(isRate: boolean, value: number | null): string {
  if (value === null) return format.UNKNOWN
  return isRate ? `${format.count(value)} ops/s` : `${format.milliseconds(value)} ms`
}
