import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CliError } from '../terminal/errors.js'
import { removeContext } from './context-store.js'
import { type LocalLeader, awaitLeader, findLeader, localClient } from './local-connection.js'
import { type ProcessState, awaitExit, processState, signal } from './process-control.js'
import { type LocalCluster, type LocalNode, clusterNames, forgetCluster, forgetState, readCluster, readNode, updateNodes, withClusterLock } from './state-file.js'

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

/** Every local cluster, in parallel; a leader only where one answers at once. */
export async function listClusters(): Promise<ClusterRow[]> {
  return Promise.all(clusterNames().map((name) => describeCluster(readCluster(name))))
}

export async function describeCluster(cluster: LocalCluster): Promise<ClusterRow> {
  const nodes = await Promise.all(cluster.nodes.map(describeNode))
  const running = nodes.filter((row) => row.state === 'running')
  using client = localClient(cluster, 300)
  const leader = running.length > 0 ? await findLeader(client, cluster, running.map((row) => row.node)) : null
  const alive = nodes.filter((row) => row.state === 'running' || row.state === 'paused').length
  return { cluster, state: alive === 0 ? 'stopped' : alive === nodes.length ? 'running' : 'partial', nodes, leader }
}

async function describeNode(node: LocalNode): Promise<NodeRow> {
  const state = await processState(node)
  const runs = state === 'running' || state === 'paused'
  return { node, state, uptimeMs: runs && node.startedAt !== null ? Date.now() - Date.parse(node.startedAt) : null }
}

/** Every cluster, or the one a command means. */
export function chosenClusters(name: string | undefined, options: { all: boolean }): LocalCluster[] {
  return options.all ? clusterNames().map(readCluster) : [chosenCluster(name)]
}

/** The cluster a command means: the one named, else the only one, else `dev`. */
export function chosenCluster(name: string | undefined): LocalCluster {
  if (name !== undefined) return readCluster(name)
  const names = clusterNames()
  return readCluster(names.length === 1 ? names[0]! : 'dev')
}

export interface NodeStop {
  readonly node: LocalNode
  /** `killed`: it did not stop within the grace period. */
  readonly outcome: 'stopped' | 'killed' | 'was-stopped'
}

export interface ClusterStop {
  readonly cluster: LocalCluster
  readonly nodes: readonly NodeStop[]
  /** The cluster was ephemeral: its data is gone. */
  readonly removed: boolean
}

/** Stops every node: SIGTERM, then SIGKILL after `graceMs`. The data stays, unless the cluster is ephemeral. */
export async function stopCluster(name: string, graceMs: number): Promise<ClusterStop> {
  return withClusterLock(name, async () => {
    const cluster = readCluster(name)
    const nodes = await Promise.all(cluster.nodes.map((node) => stopNode(node, graceMs)))
    const stopped = updateNodes(cluster, (node) => ({ ...node, pid: null, processStart: null }))
    if (cluster.ephemeral) deleteCluster(stopped)
    return { cluster: stopped, nodes, removed: cluster.ephemeral }
  })
}

async function stopNode(node: LocalNode, graceMs: number): Promise<NodeStop> {
  const state = await processState(node)
  if (state === 'stopped' || state === 'stale') return { node, outcome: 'was-stopped' }
  signal(node.pid!, 'SIGTERM')
  if (state === 'paused') signal(node.pid!, 'SIGCONT')
  if (await awaitExit(node, graceMs)) return { node, outcome: 'stopped' }
  signal(node.pid!, 'SIGKILL')
  await awaitExit(node, 5000)
  return { node, outcome: 'killed' }
}

export interface Removal {
  readonly directories: readonly string[]
  readonly freedBytes: number
}

/** Removes a cluster and, unless `keepData`, its directories; stops it first. Answers the directories removed. */
export async function removeCluster(name: string, options: { keepData: boolean; graceMs: number }): Promise<Removal> {
  const cluster = readCluster(name)
  await stopCluster(name, options.graceMs)
  return withClusterLock(name, async () => {
    const directories = options.keepData ? [] : cluster.nodes.map((node) => dirname(node.logFile))
    const freedBytes = directories.reduce((sum, directory) => sum + sizeOf(directory), 0)
    if (!options.keepData) deleteCluster(cluster)
    else {
      forgetState(cluster.name)
      removeContext(cluster.name)
    }
    return { directories, freedBytes }
  })
}

function sizeOf(directory: string): number {
  if (!existsSync(directory)) return 0
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return files.reduce((sum, file) => sum + statSync(join(file.parentPath, file.name)).size, 0)
}

function deleteCluster(cluster: LocalCluster): void {
  for (const node of cluster.nodes) rmSync(dirname(node.logFile), { recursive: true, force: true })
  forgetCluster(cluster.name)
  removeContext(cluster.name)
}

export interface Disturbance {
  readonly cluster: LocalCluster
  readonly node: LocalNode
  /** The node led when it was hit. */
  readonly led: boolean
  /** Who leads now; null when nobody was elected in time. */
  readonly leader: LocalLeader | null
  readonly electedAfterMs: number | null
}

/** Sends `name` to a node without any ceremony; when it led, waits up to `timeoutMs` for who leads next. */
export async function killNode(cluster: LocalCluster, nodeName: string, options: { signal: NodeJS.Signals; timeoutMs: number }): Promise<Disturbance> {
  const node = readNode(cluster, nodeName)
  const state = await processState(node)
  if (state === 'stopped' || state === 'stale') throw notRunning(cluster, node)
  return disturb(cluster, node, options.timeoutMs, async () => {
    signal(node.pid!, options.signal)
    if (options.signal !== 'SIGKILL') return
    await awaitExit(node, 5000)
    await withClusterLock(cluster.name, async () => {
      updateNodes(readCluster(cluster.name), (one) => (one.name === node.name ? { ...one, pid: null, processStart: null } : one))
    })
  })
}

export async function pauseNode(cluster: LocalCluster, nodeName: string, timeoutMs: number): Promise<Disturbance> {
  const node = readNode(cluster, nodeName)
  const state = await processState(node)
  if (state === 'stopped' || state === 'stale') throw notRunning(cluster, node)
  return disturb(cluster, node, timeoutMs, async () => {
    signal(node.pid!, 'SIGSTOP')
  })
}

/** Lets a paused node go on; answers whether it was paused. */
export async function resumeNode(cluster: LocalCluster, nodeName: string): Promise<{ node: LocalNode; wasPaused: boolean }> {
  const node = readNode(cluster, nodeName)
  const state = await processState(node)
  if (state === 'stopped' || state === 'stale') throw notRunning(cluster, node)
  signal(node.pid!, 'SIGCONT')
  return { node, wasPaused: state === 'paused' }
}

async function disturb(cluster: LocalCluster, node: LocalNode, timeoutMs: number, act: () => Promise<void>): Promise<Disturbance> {
  using client = localClient(cluster, 300)
  const before = await findLeader(client, cluster, cluster.nodes)
  const led = before?.name === node.name
  const startedAt = performance.now()
  await act()
  if (!led) return { cluster, node, led, leader: before, electedAfterMs: null }
  const others = cluster.nodes.filter((one) => one.name !== node.name)
  const leader = await awaitLeader(client, cluster, { nodes: others, afterTerm: before!.term, timeoutMs })
  return { cluster, node, led, leader, electedAfterMs: leader ? Math.round(performance.now() - startedAt) : null }
}

function notRunning(cluster: LocalCluster, node: LocalNode): CliError {
  return new CliError('E_NO_SUCH_NODE', `${node.name} of ${cluster.name} does not run`, { hint: `Start it: raftctl cluster start --name ${cluster.name}` })
}
