import { CliError } from '../terminal/errors.js'
import { awaitLeader, findLeader, type LocalLeader, localClient } from './local-connection.js'
import { awaitExit, type ProcessState, processState, signal } from './process-control.js'
import { type LocalCluster, type LocalNode, readCluster, readNode, updateNodes, withClusterLock } from './state-file.js'

export interface Disturbance {
  readonly cluster: LocalCluster
  readonly node: LocalNode
  /** The node led when it was hit. */
  readonly led: boolean
  /** Who leads now; null when nobody does. */
  readonly leader: LocalLeader | null
  readonly electedAfterMs: number | null
  /** Of all nodes, how many run on. */
  readonly running: number
}

const ASK_MS = 1000

/** Sends a signal to a node without any ceremony; when it led, waits up to `timeoutMs` for who leads next. */
export async function killNode(
  cluster: LocalCluster,
  nodeName: string,
  options: { signal: NodeJS.Signals; timeoutMs: number },
): Promise<Disturbance> {
  const { node } = await runningNode(cluster, nodeName)
  return disturb(cluster, node, options.timeoutMs, async () => {
    signal(node.pid!, options.signal)
    if (!(await awaitExit(node, options.timeoutMs))) return
    await withClusterLock(cluster.name, async () => {
      const mine = (one: LocalNode) => one.name === node.name && one.pid === node.pid
      updateNodes(readCluster(cluster.name), (one) => (mine(one) ? { ...one, pid: null, processStart: null } : one))
    })
  })
}

export async function pauseNode(cluster: LocalCluster, nodeName: string, timeoutMs: number): Promise<Disturbance> {
  const { node } = await runningNode(cluster, nodeName)
  return disturb(cluster, node, timeoutMs, async () => {
    signal(node.pid!, 'SIGSTOP')
  })
}

/** Lets a paused node go on; answers whether it was paused. */
export async function resumeNode(cluster: LocalCluster, nodeName: string): Promise<{ node: LocalNode; wasPaused: boolean }> {
  const { node, state } = await runningNode(cluster, nodeName)
  signal(node.pid!, 'SIGCONT')
  return { node, wasPaused: state === 'paused' }
}

async function runningNode(cluster: LocalCluster, nodeName: string): Promise<{ node: LocalNode; state: ProcessState }> {
  const node = readNode(cluster, nodeName)
  const state = await processState(node)
  if (state === 'running' || state === 'paused') return { node, state }
  throw new CliError('E_NO_SUCH_NODE', `${node.name} of ${cluster.name} does not run`, {
    hint: `Start it: raftctl cluster start --name ${cluster.name}`,
    details: { node: node.name, state },
  })
}

async function disturb(cluster: LocalCluster, node: LocalNode, timeoutMs: number, act: () => Promise<void>): Promise<Disturbance> {
  using client = localClient(cluster, ASK_MS)
  const before = await findLeader(client, cluster, await running(cluster))
  const led = before?.name === node.name
  const startedAt = performance.now()
  await act()
  const others = (await running(cluster)).filter((one) => one.name !== node.name)
  const picture = { cluster, node, led, running: others.length }
  if (!hasQuorum(picture)) return { ...picture, leader: null, electedAfterMs: null }
  if (!led) return { ...picture, leader: before, electedAfterMs: null }
  const leader = await awaitLeader(client, cluster, { nodes: others, afterTerm: before!.term, timeoutMs })
  return { ...picture, leader, electedAfterMs: leader ? Math.round(performance.now() - startedAt) : null }
}

async function running(cluster: LocalCluster): Promise<LocalNode[]> {
  const states = await Promise.all(cluster.nodes.map(processState))
  return cluster.nodes.filter((_, i) => states[i] === 'running')
}

function hasQuorum({ cluster, running }: Pick<Disturbance, 'cluster' | 'running'>): boolean {
  return running >= Math.floor(cluster.nodes.length / 2) + 1
}

/** What the rest of the cluster cannot do any more; null when it goes on. */
export function quorumWarning(done: Disturbance): string | null {
  if (hasQuorum(done)) return null
  const { cluster, running } = done
  return `${running} of ${cluster.nodes.length} nodes run: no quorum, so nothing can be written until more are up`
}

/** The leader is gone, a quorum is there, and nobody followed it in time. */
export function disturbanceError(done: Disturbance): CliError | null {
  if (!done.led || done.leader || !hasQuorum(done)) return null
  return new CliError('E_NO_LEADER', `${done.node.name} led, and nobody was elected in time`, {
    hint: `See what the others say: raftctl cluster logs --name ${done.cluster.name}`,
  })
}
