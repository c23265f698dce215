import type { Registry } from 'prom-client'
import type { Counted } from '../raft/durations.js'

/** What a histogram counted under one set of labels. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>
  readonly counted: Counted
}

export interface HistogramOptions {
  readonly name: string
  readonly help: string
  /** Upper ends of the classes. */
  readonly boundsMs: readonly number[]
  /** What is counted by now. */
  readonly series: () => Iterable<Series>
}

/**
 * A histogram, in seconds, of what is counted elsewhere. An instrument of the library, which is told of each duration by itself,
 * costs 2 µs of every call.
 */
export function addHistogram(registry: Registry, { name, help, boundsMs, series }: HistogramOptions): void {
  const metric = {
    name,
    help,
    type: 'histogram',
    get: async () => ({ ...metric, values: [...series()].flatMap((one) => samplesOf(name, boundsMs, one)) }),
  }
  registry.registerMetric(metric as unknown as Parameters<Registry['registerMetric']>[0])
}

function samplesOf(name: string, boundsMs: readonly number[], { labels, counted }: Series) {
  let below = 0
  const buckets = boundsMs.map((boundMs, at) => {
    below += counted.classes[at]!
    return { metricName: `${name}_bucket`, labels: { ...labels, le: `${boundMs / 1000}` }, value: below }
  })
  return [
    ...buckets,
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: counted.count },
    { metricName: `${name}_sum`, labels, value: counted.sumMs / 1000 },
    { metricName: `${name}_count`, labels, value: counted.count },
  ]
}
