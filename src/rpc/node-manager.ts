import type { Status } from '../raft/errors.js'
import type { PeerHandler } from '../raft/messages.js'
import type { NodeStatus } from '../raft/node-status.js'
import type { PeerId } from '../raft/peer-id.js'
import type { Piece } from '../raft/snapshot-readers.js'

/** What the services need of a node; the engine's Node is one. */
export interface ManagedNode {
  readonly groupId: string
  readonly peerId: PeerId
  readonly handler: PeerHandler
  /** A braft leader, which knows nothing of rebuilding, may count what this node acknowledges. */
  readonly countsForBraft: boolean
  status(): NodeStatus
  /** PeerId.EMPTY when unknown. */
  leaderId(): PeerId
  isLeader(): boolean
  readFile(readerId: string, filename: string, offset: number, count: number, done: (status: Status, piece?: Piece) => void): void
  transferLeadershipTo(target: PeerId | null, done: (status: Status) => void): void
}

/**
 * The nodes of this process, by group and peer (braft NodeManager). Services look up whom a request is for.
 *
 * Invariant: at most one node per group and identity (host, port, idx); the role is not part of it.
 */
export class NodeManager<N extends ManagedNode = ManagedNode> {
  private readonly groups = new Map<string, Map<string, N>>()
  /** Grows whenever a node comes or goes. */
  version = 0

  /** False when a node of that group and identity is there already. */
  add(node: N): boolean {
    let nodes = this.groups.get(node.groupId)
    if (!nodes) this.groups.set(node.groupId, (nodes = new Map()))
    if (nodes.has(node.peerId.key)) return false
    nodes.set(node.peerId.key, node)
    this.version++
    return true
  }

  /** False when this very node is not registered. */
  remove(node: N): boolean {
    const nodes = this.groups.get(node.groupId)
    if (nodes?.get(node.peerId.key) !== node) return false
    nodes.delete(node.peerId.key)
    this.version++
    if (nodes.size === 0) this.groups.delete(node.groupId)
    return true
  }

  /** The node of that group and identity; null when it is not here. */
  get(groupId: string, peerId: PeerId): N | null {
    return this.groups.get(groupId)?.get(peerId.key) ?? null
  }

  /** The nodes of a group in this process, in order of identity. */
  nodesOf(groupId: string): N[] {
    const nodes = this.groups.get(groupId)
    return nodes ? [...nodes.values()].sort(byIdentity) : []
  }

  /** Every node, ordered by group and identity. */
  all(): N[] {
    return [...this.groups.keys()].sort().flatMap((groupId) => this.nodesOf(groupId))
  }
}

function byIdentity(a: ManagedNode, b: ManagedNode): number {
  return a.peerId.key < b.peerId.key ? -1 : a.peerId.key > b.peerId.key ? 1 : 0
}
