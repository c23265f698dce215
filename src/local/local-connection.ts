import { setTimeout as pause } from 'node:timers/promises'
import { ClusterClient } from '../admin/cluster-client.js'
import { type NodeReport, addressOf } from '../admin/node-report.js'
import type { Connection } from '../terminal/connection.js'
import type { LocalCluster, LocalNode } from './state-file.js'

/** Who leads a local cluster, by its own word. */
export interface LocalLeader {
  readonly name: string
  readonly address: string
  readonly term: number
}

export function addressOfNode(node: LocalNode): string {
  return `${node.host}:${node.port}`
}

function connectionTo(cluster: LocalCluster, timeoutMs: number): Connection {
  return {
    context: null,
    endpoints: cluster.nodes.map(addressOfNode),
    group: cluster.group,
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
  return { name: cluster.nodes.find((node) => addressOfNode(node) === address)?.name ?? address, address, term: newest.term }
}

/** Waits for a leader in a term above `afterTerm`; null when none came in time or `stop` was raised. */
export async function awaitLeader(
  client: ClusterClient,
  cluster: LocalCluster,
  options: { nodes: readonly LocalNode[]; afterTerm?: number; timeoutMs: number; stop?: () => boolean },
): Promise<LocalLeader | null> {
  const deadline = performance.now() + options.timeoutMs
  for (;;) {
    const leader = await findLeader(client, cluster, options.nodes)
    if (leader && leader.term > (options.afterTerm ?? 0)) return leader
    if (performance.now() > deadline || options.stop?.()) return null
    await pause(25)
  }
}
