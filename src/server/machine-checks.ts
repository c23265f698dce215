import { randomBytes } from 'node:crypto'
import { open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { raftctl } from '../generated/raftctl.js'
import type { Transport } from '../raft/environment.js'
import type { PeerId } from '../raft/peer-id.js'
import type { ManagedNode } from '../rpc/node-manager.js'
import { LatencyWindow } from './latency-window.js'

const SAMPLE_BYTES = 4096
const DIAL_TIMEOUT_MS = 1000

/** Durable writes of one block into a file of its own below `<directory>/raftctl`, which is removed again. */
export async function checkDisk(
  directory: string,
  samples: number,
): Promise<{ p50Ms: number; p99Ms: number; freeBytes: number; totalBytes: number }> {
  const path = join(directory, 'raftctl', 'disk-check')
  const times = new LatencyWindow(samples)
  const file = await open(path, 'w')
  try {
    const block = randomBytes(SAMPLE_BYTES)
    for (let i = 0; i < samples; i++) {
      const startedAt = performance.now()
      await file.write(block, 0, block.length, i * block.length)
      await file.datasync()
      times.add(performance.now() - startedAt)
    }
  } finally {
    await file.close()
    await rm(path, { force: true })
  }
  const { bavail, blocks, bsize } = await statfs(directory)
  return { p50Ms: times.percentile(0.5)!, p99Ms: times.percentile(0.99)!, freeBytes: bavail * bsize, totalBytes: blocks * bsize }
}

/** How long the other members of these nodes' groups take to accept a connection. */
export function checkPeers(
  nodes: readonly ManagedNode[],
  transport: Transport,
  samples: number,
): Promise<raftctl.v1.CheckPeersResponse.Peer.$Properties[]> {
  const peers = new Map<string, PeerId>()
  for (const node of nodes)
    for (const peer of node.status().configuration.voters) if (!peer.equals(node.peerId)) peers.set(peer.address, peer)
  return Promise.all([...peers.values()].map((peer) => checkPeer(peer, transport, samples)))
}

async function checkPeer(peer: PeerId, transport: Transport, samples: number): Promise<raftctl.v1.CheckPeersResponse.Peer.$Properties> {
  const times = new LatencyWindow(samples)
  for (let i = 0; i < samples; i++) {
    const startedAt = performance.now()
    const result = await new Promise((resolve) => transport.dial(peer, DIAL_TIMEOUT_MS, resolve))
    if (result !== 'accepted') {
      const error = result === 'refused' ? 'connection refused' : `no connection within ${DIAL_TIMEOUT_MS} ms`
      return { peer_id: peer.toString(), reachable: false, error }
    }
    times.add(performance.now() - startedAt)
  }
  return { peer_id: peer.toString(), reachable: true, p50_ms: times.percentile(0.5)!, p99_ms: times.percentile(0.99)! }
}
