import type { NodeStatus } from '../raft/node-status.js'
import { WRITE_STAGES } from '../raft/write-latency.js'
import type { Series } from './histogram.js'

/** The stages of the writes of every group, as the engine counts them. */
export function* writeStages(statuses: Iterable<NodeStatus>): Iterable<Series> {
  for (const { groupId: group, writeLatency } of statuses)
    for (const stage of WRITE_STAGES) {
      const counted = writeLatency?.[stage]
      if (counted) yield { labels: { group, stage }, counted }
    }
}
