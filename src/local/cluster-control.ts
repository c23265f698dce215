import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { CliError } from '../terminal/errors.js'
import { removeEmpty } from './cluster-lock.js'
import { forgetContext } from './local-context.js'
import { awaitExit, processState, signal } from './process-control.js'
import { forgetCluster, type LocalCluster, type LocalNode, readCluster, updateNodes, withClusterLock } from './state-file.js'

export interface NodeStop {
  readonly node: LocalNode
  /** `killed`: it did not stop within the grace period. `running`: not even that ended it. */
  readonly outcome: 'stopped' | 'killed' | 'was-stopped' | 'running'
}

export interface ClusterStop {
  readonly cluster: LocalCluster
  readonly nodes: readonly NodeStop[]
  /** The cluster was ephemeral: its data is gone. */
  readonly removed: boolean
}

/** A killed process that is still there waits for the kernel: a disk that hangs. */
const KILL_MS = 5000

/** Stops every node, all at once: SIGTERM, then SIGKILL after `graceMs`. The data stays, unless the cluster is ephemeral. */
export async function stopCluster(name: string, graceMs: number): Promise<ClusterStop> {
  return withClusterLock(name, async () => {
    const stop = await stopNodes(readCluster(name), graceMs)
    const removed = stop.cluster.ephemeral && stopError([stop]) === null
    if (removed) removeFiles(stop.cluster, { keepData: false })
    return { ...stop, removed }
  })
}

/** Stops every node and keeps everything, also of an ephemeral cluster: it is about to be started again. */
export async function stopForRestart(name: string, graceMs: number): Promise<ClusterStop> {
  return withClusterLock(name, () => stopNodes(readCluster(name), graceMs))
}

async function stopNodes(cluster: LocalCluster, graceMs: number): Promise<ClusterStop> {
  const nodes = await Promise.all(cluster.nodes.map((node) => stopNode(node, graceMs)))
  const running = new Set(nodes.filter((one) => one.outcome === 'running').map((one) => one.node.name))
  const stopped = updateNodes(cluster, (node) => (running.has(node.name) ? node : { ...node, pid: null, processStart: null }))
  return { cluster: stopped, nodes, removed: false }
}

/** Stops one process: SIGTERM, then SIGKILL after `graceMs`. */
export async function stopNode(node: LocalNode, graceMs: number): Promise<NodeStop> {
  const state = await processState(node)
  if (state === 'stopped' || state === 'stale') return { node, outcome: 'was-stopped' }
  signal(node.pid!, 'SIGTERM')
  if (state === 'paused') signal(node.pid!, 'SIGCONT')
  if (await awaitExit(node, graceMs)) return { node, outcome: 'stopped' }
  signal(node.pid!, 'SIGKILL')
  return { node, outcome: (await awaitExit(node, KILL_MS)) ? 'killed' : 'running' }
}

/** E_PARTIAL when a process would not end. */
export function stopError(stops: readonly ClusterStop[]): CliError | null {
  const left = stops.flatMap((stop) =>
    stop.nodes.filter((one) => one.outcome === 'running').map((one) => `${stop.cluster.name} ${one.node.name} (pid ${one.node.pid})`),
  )
  if (left.length === 0) return null
  return new CliError('E_PARTIAL', `still running after SIGKILL: ${left.join(', ')}`, {
    hint: 'Look for a disk that hangs (ps shows state D), then stop them again.',
  })
}

export interface Removal {
  readonly directories: readonly string[]
  readonly freedBytes: number
}

/** Stops a cluster and removes it with, unless `keepData`, its directories. Answers what was removed. */
export async function removeCluster(name: string, options: { keepData: boolean; graceMs: number }): Promise<Removal> {
  return withClusterLock(name, async () => {
    const stop = await stopNodes(readCluster(name), options.graceMs)
    const error = stopError([stop])
    if (error) throw error
    const directories = options.keepData ? [] : stop.cluster.nodes.map((node) => dirname(node.logFile)).filter((path) => existsSync(path))
    const freedBytes = directories.reduce((sum, directory) => sum + sizeOf(directory), 0)
    removeFiles(stop.cluster, options)
    return { directories, freedBytes }
  })
}

function sizeOf(directory: string): number {
  const files = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  return files.reduce((sum, file) => sum + statSync(join(file.parentPath, file.name)).size, 0)
}

function removeFiles(cluster: LocalCluster, options: { keepData: boolean }): void {
  if (!options.keepData) {
    for (const node of cluster.nodes) rmSync(dirname(node.logFile), { recursive: true, force: true })
    removeEmpty(cluster.dir, cluster.dir)
  }
  forgetCluster(cluster.name)
  forgetContext(cluster.name, cluster.clusterId)
}
