import { connect } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { ClusterClient } from '../admin/cluster-client.js'
import { addressOf, type NodeReport } from '../admin/node-report.js'
import type { Connection } from '../terminal/connection.js'
import { addressOfNode } from './local-address.js'
import type { LocalCluster, LocalNode } from './state-file.js'

/** Who leads a local cluster, by its own word. */
export interface LocalLeader {
  readonly name: string
  readonly address: string
  readonly term: number
  /** For how long it has led; null when it does not say. */
  readonly forMs: number | null
}

export function connectionTo(cluster: LocalCluster, timeoutMs: number): Connection {
  return {
    context: null,
    endpoints: cluster.nodes.map(addressOfNode),
    group: cluster.group,
    anyGroup: false,
    engine: 'raftctl',
    timeoutMs,
    connectTimeoutMs: timeoutMs,
    direct: true,
    clusterId: cluster.clusterId,
    tls: null,
    tokenFile: null,
  }
}

/** A client for nodes of this machine; dispose of it. */
export function localClient(cluster: LocalCluster, timeoutMs = 500): ClusterClient {
  return new ClusterClient(connectionTo(cluster, timeoutMs))
}

async function reports(client: ClusterClient, nodes: readonly LocalNode[]): Promise<NodeReport[]> {
  const replies = await client.ask(nodes.map(addressOfNode))
  return replies.flatMap((reply) => ('report' in reply ? [reply.report] : []))
}

/** The node that leads the newest term among those that answer; null when none does. */
export async function findLeader(client: ClusterClient, cluster: LocalCluster, nodes: readonly LocalNode[]): Promise<LocalLeader | null> {
  const leading = (await reports(client, nodes)).filter((one) => one.raftState === 'LEADER' || one.raftState === 'TRANSFERRING')
  const newest = leading.sort((a, b) => b.term - a.term)[0]
  if (!newest) return null
  const address = addressOf(newest.peerId)
  return {
    name: cluster.nodes.find((node) => addressOfNode(node) === address)?.name ?? address,
    address,
    term: newest.term,
    forMs: newest.leaderForMs,
  }
}

/**
 * Waits for a leader in a term above `afterTerm`; null when none came in time or `stop` was raised. A node is only asked once
 * its port is open: a channel that was refused before waits longer and longer until it tries again.
 */
export async function awaitLeader(
  client: ClusterClient,
  cluster: LocalCluster,
  options: { nodes: readonly LocalNode[]; afterTerm?: number; timeoutMs: number; stop?: () => boolean },
): Promise<LocalLeader | null> {
  const deadline = performance.now() + options.timeoutMs
  const open = new Set<LocalNode>()
  for (;;) {
    const closed = options.nodes.filter((node) => !open.has(node))
    const opened = await Promise.all(closed.map(isListening))
    for (const [i, node] of closed.entries()) if (opened[i]) open.add(node)
    const leader = open.size > 0 ? await findLeader(client, cluster, [...open]) : null
    if (leader && leader.term > (options.afterTerm ?? 0)) return leader
    if (performance.now() > deadline || options.stop?.()) return null
    await pause(20)
  }
}

function isListening(node: LocalNode): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: node.host, port: node.port })
    const end = (listening: boolean) => {
      socket.destroy()
      resolve(listening)
    }
    socket.once('connect', () => end(true))
    socket.once('error', () => end(false))
    socket.setTimeout(200, () => end(false))
  })
}
