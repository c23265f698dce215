import type { Status } from './errors.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerId } from './peer-id.js'

/** Whether a peer answers as it should, as one leadership knows it. */
export class PeerHealth {
  consecutiveErrors = 0
  lastError = ''

  constructor(
    private readonly node: NodeImpl,
    private readonly peerId: PeerId,
  ) {}

  noteSuccess(): void {
    if (this.consecutiveErrors > 0) this.node.observe({ name: 'peer.up', peer: this.peerId })
    this.consecutiveErrors = 0
  }

  noteError(status: Status): void {
    if (this.consecutiveErrors++ === 0) this.node.observe({ name: 'peer.down', peer: this.peerId, status })
    this.lastError = status.toString()
    // Nobody waits for it any more.
    if (!this.peerId.isWitness) this.node.replicators.replicateToWitnesses()
  }
}
