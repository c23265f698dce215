import { CliError } from '../../terminal/errors.js'
import type { LatencyRow } from './meter.js'

/** What a person demands of the result, such as `p99<20ms` or `get.ops>10000`. */
export interface Assertion {
  readonly text: string
  readonly operation: string | null
  readonly metric: Metric
  readonly least: boolean
  /** Milliseconds, or operations per second. */
  readonly bound: number
}

export interface AssertionRow {
  readonly assertion: string
  readonly operation: string
  readonly value: number | null
  readonly holds: boolean
}

export interface ComparisonRow {
  readonly operation: string
  readonly metric: string
  readonly before: number
  readonly now: number
  /** now / before. */
  readonly ratio: number
  readonly verdict: 'better' | 'same' | 'worse'
}

const LATENCIES = {
  mean: 'meanMs',
  p50: 'p50Ms',
  p90: 'p90Ms',
  p99: 'p99Ms',
  'p99.9': 'p999Ms',
  'p99.99': 'p9999Ms',
  max: 'maxMs',
} as const
type Latency = keyof typeof LATENCIES
type Metric = Latency | 'ops'
const SYNTAX = /^(?:(put|get)\.)?(mean|p50|p90|p99|p99\.9|p99\.99|max|ops)\s*([<>])\s*(\S+)$/
/** What is compared: more of the first is better, less of the others. */
const COMPARED: readonly Metric[] = ['ops', 'p50', 'p99']

export function parseAssertion(text: string): Assertion {
  const [, operation = null, metric, sign, value] = SYNTAX.exec(text.trim()) ?? []
  const bound = metric === 'ops' ? Number(value) : milliseconds(value)
  if (metric === undefined || bound === null || !Number.isFinite(bound))
    throw new CliError('E_USAGE', `${JSON.stringify(text)} is no assertion`, {
      hint: "Write 'p99<20ms', 'ops>5000' or 'get.p99.9<50ms'; metrics: mean p50 p90 p99 p99.9 p99.99 max ops.",
    })
  return { text: text.trim(), operation, metric: metric as Metric, least: sign === '>', bound }
}

/** One row for each kind of operation that it is about; one that was never answered does not hold. */
export function judge(assertions: readonly Assertion[], rows: readonly LatencyRow[]): AssertionRow[] {
  return assertions.flatMap((assertion): AssertionRow[] => {
    const { operation, metric, least, bound, text } = assertion
    const about = rows.filter((row) => operation === null || row.operation === operation)
    if (about.length === 0) return [{ assertion: text, operation: operation ?? 'any', value: null, holds: false }]
    return about.map((row) => {
      const value = figureOf(row, metric)
      return { assertion: text, operation: row.operation, value, holds: value !== null && (least ? value > bound : value < bound) }
    })
  })
}

/** `tolerance` is the share by which a figure may be off and still be the same. */
export function compare(before: readonly LatencyRow[], now: readonly LatencyRow[], tolerance: number): ComparisonRow[] {
  return now.flatMap((row) => {
    const base = before.find(({ operation }) => operation === row.operation)
    if (!base) return []
    return COMPARED.flatMap((metric) => {
      const [was, is] = [figureOf(base, metric), figureOf(row, metric)]
      if (was === null || is === null || was === 0) return []
      const ratio = is / was
      const gain = metric === 'ops' ? ratio : 1 / ratio
      const verdict = gain < 1 - tolerance ? 'worse' : gain > 1 + tolerance ? 'better' : 'same'
      return [{ operation: row.operation, metric, before: was, now: is, ratio: Math.round(ratio * 1000) / 1000, verdict } as const]
    })
  })
}

const UNITS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000 }

function milliseconds(text: string | undefined): number | null {
  const [, value, unit = ''] = /^(\d+(?:\.\d+)?)(us|ms|s)$/.exec(text ?? '') ?? []
  return value === undefined ? null : Number(value) * UNITS[unit]!
}

function figureOf(row: LatencyRow, metric: Metric): number | null {
  return metric === 'ops' ? row.perSecond : row[LATENCIES[metric]]
}
