import { ErrorCode, Status } from './errors.js'
import type { NodeImpl } from './node-impl.js'
import type { NodeOptions } from './node-options.js'

type Timed = Pick<NodeOptions, 'electionTimeoutMs' | 'maxClockDriftMs' | 'heartbeatFactor'>

const HEARTBEAT_MS_MIN = 10

/**
 * How long this member waits before it takes something for lost: T, and what follows from it. T may be changed while the node
 * runs; leases keep to what the node was started with, since others rely on that (lease.ts).
 */
export class Timeouts {
  electionMs: number
  maxClockDriftMs: number
  private readonly heartbeatFactor: number

  constructor({ electionTimeoutMs = 1000, maxClockDriftMs, heartbeatFactor = 10 }: Timed) {
    this.electionMs = electionTimeoutMs
    this.maxClockDriftMs = maxClockDriftMs ?? electionTimeoutMs / 10
    this.heartbeatFactor = heartbeatFactor
  }

  get heartbeatMs(): number {
    return Math.max(this.electionMs / this.heartbeatFactor, HEARTBEAT_MS_MIN)
  }

  /**
   * Without a drift the sum of both stays what it is, and bounds the election timeout (braft reset_election_timeout_ms): EINVAL
   * beyond it, or for what is no length of time.
   */
  set(electionMs: number, maxClockDriftMs: number | null): Status {
    const sum = this.electionMs + this.maxClockDriftMs
    if (!(electionMs > 0 && electionMs < Number.POSITIVE_INFINITY) || !((maxClockDriftMs ?? 0) >= 0))
      return Status.error(ErrorCode.EINVAL, `an election timeout of ${electionMs} ms, with a drift of ${maxClockDriftMs ?? 0} ms`)
    if (maxClockDriftMs === null && electionMs > sum) {
      const what = `an election timeout of ${electionMs} ms is longer than the present one and the drift together, ${sum} ms`
      return Status.error(ErrorCode.EINVAL, `${what}: give the drift as well`)
    }
    this.electionMs = electionMs
    this.maxClockDriftMs = maxClockDriftMs ?? sum - electionMs
    return Status.OK
  }
}

/** Changes T and lets the timers that wait for it begin anew. */
export function resetElectionTimeout(node: NodeImpl, electionMs: number, maxClockDriftMs: number | null): Status {
  const status = node.timeouts.set(electionMs, maxClockDriftMs)
  if (!status.ok) return status
  node.observe({ name: 'election-timeout.changed', electionTimeoutMs: electionMs, maxClockDriftMs: node.timeouts.maxClockDriftMs })
  if (node.state === 'FOLLOWER') node.election.onTimeoutChanged()
  if (!node.leads()) return status
  node.checkQuorum.restart()
  node.replicators.restartHeartbeats()
  return status
}
