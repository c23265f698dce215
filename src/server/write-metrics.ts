import type { Registry } from 'prom-client'
import type { NodeStatus } from '../raft/node-status.js'
import { WRITE_LATENCY_BOUNDS_MS, WRITE_STAGES } from '../raft/write-latency.js'

const NAME = 'raft_write_stage_seconds'

interface Sample {
  readonly metricName: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/**
 * The histogram of the stages of writes. The engine counts already, a batch at a time: this only says what it counted, where an
 * instrument of the library would be told of each one.
 */
export function addWriteStages(registry: Registry, statuses: () => readonly NodeStatus[]): void {
  const metric = {
    name: NAME,
    help: 'Where the time of writes goes on their leader, by stage: queue, then append and replicate side by side up to commit, apply; total.',
    type: 'histogram',
    get: async () => ({ ...metric, values: statuses().flatMap(samplesOf) }),
  }
  registry.registerMetric(metric as unknown as Parameters<Registry['registerMetric']>[0])
}

function samplesOf({ groupId: group, writeLatency }: NodeStatus): Sample[] {
  return WRITE_STAGES.flatMap((stage): Sample[] => {
    const measured = writeLatency?.[stage]
    if (!measured) return []
    let below = 0
    const buckets = WRITE_LATENCY_BOUNDS_MS.map((boundMs, at) => {
      below += measured.classes[at]!
      return { metricName: `${NAME}_bucket`, labels: { group, stage, le: `${boundMs / 1000}` }, value: below }
    })
    const all = { group, stage }
    return [
      ...buckets,
      { metricName: `${NAME}_bucket`, labels: { ...all, le: '+Inf' }, value: measured.count },
      { metricName: `${NAME}_sum`, labels: all, value: measured.sumMs / 1000 },
      { metricName: `${NAME}_count`, labels: all, value: measured.count },
    ]
  })
}
