import type { NodeReport } from '../node-report.js'

export interface NodeCall {
  /** `host:port` of the node. */
  readonly endpoint: string
  readonly group: string
}

/** A leader that a node vouches for. */
export interface LeaderReport {
  readonly leaderId: string | null
  readonly term: number
  /** A round of heartbeats said that it still leads. */
  readonly confirmed: boolean
  readonly leaderForMs: number | null
}

/**
 * One kind of cluster as the commands see it. What a kind cannot do throws E_UNSUPPORTED.
 * Every call goes to exactly one node and throws a CliError of the registry; reads are answered without a leader too.
 */
export interface ClusterEngine extends Disposable {
  readonly kind: 'raftctl' | 'braft'
  nodeStatus(call: NodeCall): Promise<NodeReport>
  /** Asks the node that leads to confirm it by a round of heartbeats. */
  confirmLeader(call: NodeCall): Promise<LeaderReport>
}
