import { CliError } from '../terminal/errors.js'
import { stopError, stopForRestart } from './cluster-control.js'
import type { ClusterRestart, NodeRestart } from './cluster-restart.js'
import { startCluster } from './cluster-start.js'
import { refuseLostData } from './lost-data.js'
import type { LocalCluster } from './state-file.js'

/** Stops every node and starts them again: for a moment nothing can be written. Throws E_PARTIAL when a process would not end. */
export async function restartAll(cluster: LocalCluster, options: { graceMs: number; timeoutMs: number }): Promise<ClusterRestart> {
  refuseLostData(cluster, cluster.nodes)
  const stop = await stopForRestart(cluster.name, options.graceMs)
  const stuck = stopError([stop])
  if (stuck) throw stuck
  const wasDown = new Set(stop.nodes.filter(({ outcome }) => outcome === 'was-stopped').map(({ node }) => node.name))
  const startedAt = performance.now()
  const none = { nodes: null, basePort: null, dir: null, group: null, machine: null, electionTimeoutMs: null, transport: null }
  const flags = { enableFaults: null, ephemeral: false, context: false, onInterrupt: () => {} }
  const started = await startCluster({ name: cluster.name, ...none, ...flags, timeoutMs: options.timeoutMs })
  const tookMs = Math.round(performance.now() - startedAt)
  const nodes = started.nodes.map(({ node, error }): NodeRestart => {
    const outcome = error ? 'failed' : wasDown.has(node.name) ? 'started' : 'restarted'
    return { node, outcome, handedTo: null, tookMs: error ? null : tookMs, error }
  })
  const { leader, error } = started
  return {
    cluster: started.cluster,
    nodes,
    leader: leader?.name ?? null,
    term: leader?.term ?? null,
    writes: null,
    error: error && nodes.some((node) => node.error) ? new CliError('E_PARTIAL', error.message, { hint: error.hint }) : error,
  }
}
