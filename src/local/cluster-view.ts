import type { CliError } from '../terminal/errors.js'
import { selection } from './context-store.js'
import type { LocalLeader } from './local-connection.js'
import { type ProcessState, processState } from './process-control.js'
import { allClusters, clusterNames, type LocalCluster, type LocalNode, readCluster } from './state-file.js'

export interface NodeRow {
  readonly node: LocalNode
  readonly state: ProcessState
  /** Null when it does not run. */
  readonly uptimeMs: number | null
}

export interface ClusterRow {
  readonly cluster: LocalCluster
  /** `running`: every node; `partial`: some; `stopped`: none. */
  readonly state: 'running' | 'partial' | 'stopped'
  readonly nodes: readonly NodeRow[]
  readonly leader: LocalLeader | null
}

const ASK_MS = 1000

/** Every local cluster, in parallel; a leader only where one answers at once. */
export async function listClusters(): Promise<{ rows: ClusterRow[]; problems: readonly CliError[] }> {
  const { clusters, problems } = allClusters()
  return { rows: await Promise.all(clusters.map(describeCluster)), problems }
}

export async function describeCluster(cluster: LocalCluster): Promise<ClusterRow> {
  const nodes = await Promise.all(cluster.nodes.map(describeNode))
  const alive = nodes.filter((row) => row.uptimeMs !== null).length
  const running = nodes.filter((row) => row.state === 'running').map((row) => row.node)
  const state = alive === 0 ? 'stopped' : alive === nodes.length ? 'running' : 'partial'
  return { cluster, state, nodes, leader: running.length > 0 ? await leaderAmong(cluster, running) : null }
}

async function leaderAmong(cluster: LocalCluster, nodes: readonly LocalNode[]): Promise<LocalLeader | null> {
  const { findLeader, localClient } = await import('./local-connection.js')
  using client = localClient(cluster, ASK_MS)
  // Awaited here: the client is gone when this function returns.
  return await findLeader(client, cluster, nodes)
}

async function describeNode(node: LocalNode): Promise<NodeRow> {
  const state = await processState(node)
  const runs = state === 'running' || state === 'paused'
  return { node, state, uptimeMs: runs ? Math.max(0, Date.now() - Date.parse(node.startedAt ?? '')) || 0 : null }
}

/** Every cluster, or the one a command means. */
export function chosenClusters(name: string | undefined, options: { all: boolean }): LocalCluster[] {
  return options.all ? clusterNames().map(readCluster) : [chosenCluster(name)]
}

/** The cluster a command means: the one named, else that of the selected context, else the only one, else `dev`. */
export function chosenCluster(name: string | undefined): LocalCluster {
  if (name !== undefined) return readCluster(name)
  const names = clusterNames()
  const selected = process.env.RAFTCTL_CONTEXT || selection().current
  return readCluster(names.find((one) => one === selected) ?? (names.length === 1 ? names[0]! : 'dev'))
}
