import { createRequire } from 'node:module'
import type { build } from 'hdr-histogram-js'

export type OperationName = 'put' | 'get'

/** Of one kind of operation, in milliseconds; null where none was answered. */
export interface LatencyRow {
  readonly operation: OperationName
  readonly count: number
  readonly perSecond: number
  readonly meanMs: number | null
  readonly p50Ms: number | null
  readonly p90Ms: number | null
  readonly p99Ms: number | null
  readonly p999Ms: number | null
  readonly p9999Ms: number | null
  readonly maxMs: number | null
}

export interface Failures {
  readonly code: string
  readonly count: number
  /** Of the first. */
  readonly message: string
}

/** How many answers took no longer than `upToMs` and longer than the bar before. */
export interface Bar {
  readonly upToMs: number
  readonly count: number
}

type Histogram = ReturnType<typeof build>
const LONGEST_US = 3_600_000_000
/** Three digits: off by a thousandth at most, in about 200 KB. */
const DIGITS = 3

/** Counts and times what is measured; what comes while it is stopped is forgotten. */
export class Meter {
  private readonly histograms = new Map<OperationName, Histogram>()
  private readonly failed = new Map<string, { count: number; message: string }>()
  private running = false
  private startedAt = 0
  private endedAt = 0
  private lastAnswerAt = 0
  private longestGapMs = 0

  start(now: number): void {
    this.running = true
    this.startedAt = now
    this.endedAt = now
    this.lastAnswerAt = now
  }

  /** It was measured until then, whether or not anything was answered at the end. */
  endAt(now: number): void {
    this.endedAt = Math.max(this.endedAt, now)
  }

  answered(operation: OperationName, tookMs: number, now: number): void {
    if (!this.running) return
    this.of(operation).recordValue(Math.min(LONGEST_US, Math.max(1, Math.round(tookMs * 1000))))
    this.longestGapMs = Math.max(this.longestGapMs, now - this.lastAnswerAt)
    this.lastAnswerAt = now
    this.endedAt = now
  }

  failure(code: string, message: string, now: number): void {
    if (!this.running) return
    const known = this.failed.get(code)
    if (known) known.count++
    else this.failed.set(code, { count: 1, message })
    this.endedAt = now
  }

  /** From the first operation that was measured to the last answer. */
  get elapsedMs(): number {
    return this.endedAt - this.startedAt
  }

  /** Nothing was answered for so long, at worst. */
  get gapMs(): number {
    return Math.max(this.longestGapMs, this.endedAt - this.lastAnswerAt)
  }

  get count(): number {
    return [...this.histograms.values()].reduce((sum, histogram) => sum + histogram.totalCount, 0)
  }

  get errors(): number {
    return [...this.failed.values()].reduce((sum, { count }) => sum + count, 0)
  }

  get failures(): readonly Failures[] {
    return [...this.failed].map(([code, failure]) => ({ code, ...failure })).sort((a, b) => b.count - a.count)
  }

  rows(): LatencyRow[] {
    return [...this.histograms].map(([operation, histogram]) => {
      const at = (percentile: number) => histogram.getValueAtPercentile(percentile) / 1000
      return {
        operation,
        count: histogram.totalCount,
        perSecond: Math.round((histogram.totalCount * 1000) / Math.max(1, this.elapsedMs)),
        meanMs: Math.round(histogram.mean) / 1000,
        p50Ms: at(50),
        p90Ms: at(90),
        p99Ms: at(99),
        p999Ms: at(99.9),
        p9999Ms: at(99.99),
        maxMs: histogram.maxValue / 1000,
      }
    })
  }

  /** The 99th percentile of everything so far, for progress. */
  get p99Ms(): number | null {
    const rows = [...this.histograms.values()].filter((histogram) => histogram.totalCount > 0)
    return rows.length === 0 ? null : Math.max(...rows.map((histogram) => histogram.getValueAtPercentile(99))) / 1000
  }

  /** Of all operations of a kind, from the first bar that is not empty to the last: 1, 2 and 5 of each power of ten. */
  bars(operation: OperationName): Bar[] {
    const histogram = this.histograms.get(operation)
    const bars: Bar[] = []
    let before = 0
    for (const upToUs of edges()) {
      if (!histogram || before === histogram.totalCount) break
      const upTo = countUpTo(histogram, upToUs)
      if (upTo > 0) bars.push({ upToMs: upToUs / 1000, count: upTo - before })
      before = upTo
    }
    return bars
  }

  /** HdrHistogram's text of percentiles, as its plotters read it; values in milliseconds. */
  percentileText(operation: OperationName): string {
    return this.histograms.get(operation)?.outputPercentileDistribution(5, 1000) ?? ''
  }

  private of(operation: OperationName): Histogram {
    let histogram = this.histograms.get(operation)
    if (!histogram) {
      const hdr = createRequire(import.meta.url)('hdr-histogram-js') as { build: typeof build }
      histogram = hdr.build({ lowestDiscernibleValue: 1, highestTrackableValue: LONGEST_US, numberOfSignificantValueDigits: DIGITS })
      this.histograms.set(operation, histogram)
    }
    return histogram
  }
}

function* edges(): Generator<number> {
  for (let power = 1; ; power *= 10) for (const step of [1, 2, 5]) yield step * power
}

/** By the percentiles, since the library gives no counts: the share of values up to one is where its percentile begins to exceed it. */
function countUpTo(histogram: Histogram, valueUs: number): number {
  const total = histogram.totalCount
  let [low, high] = [0, total]
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (histogram.getValueAtPercentile((middle * 100) / total) <= valueUs) low = middle
    else high = middle - 1
  }
  return low
}
