import type { raftctl } from '../generated/raftctl.js'
import type { NodeStatus, PeerStatus } from '../raft/node-status.js'
import type { PeerId } from '../raft/peer-id.js'

type Progress = raftctl.v1.ChangeMembersProgress.$Properties

const LOOK_MS = 100
/** A member that gained nothing for so long is said to stall. */
const STALL_MS = 2000

/** Looks at a change of members while it runs and says how far it is: who catches up, how far, and why it does not move on. */
export class MembershipProgress {
  private readonly timer: NodeJS.Timeout
  private readonly gains = new Map<string, { readonly match: number; readonly sent: number; readonly at: number }>()
  private stage = ''

  constructor(
    private readonly node: { status(): Pick<NodeStatus, 'membership' | 'peers' | 'lastId'> },
    private readonly coming: readonly PeerId[],
    private readonly write: (progress: Progress) => void,
  ) {
    this.timer = setInterval(() => this.look(), LOOK_MS)
  }

  stop(): void {
    clearInterval(this.timer)
  }

  private look(): void {
    const { membership, peers, lastId } = this.node.status()
    const { stage } = membership
    if (stage === 'catching_up') {
      for (const peer of this.coming) {
        const known = peers.find(({ peerId }) => peerId.equals(peer))
        this.write({ stage, peer_id: peer.toString(), last_index: lastId.index, ...(known ? this.caughtUp(known) : NOT_CALLED) })
      }
    } else if (stage !== this.stage && stage !== 'none') this.write({ stage, last_index: lastId.index })
    this.stage = stage
  }

  private caughtUp(peer: PeerStatus & SnapshotProgress): Progress {
    const sent = peer.snapshotBytesSent ?? 0
    const total = peer.snapshotBytesTotal ?? 0
    const progress = { match_index: peer.matchIndex, state: peer.state, rebuilding: peer.rebuilding }
    return { ...progress, snapshot_bytes_sent: sent, snapshot_bytes_total: total, stalled: this.whyStalled(peer, sent) }
  }

  private whyStalled(peer: PeerStatus, sent: number): string {
    const now = performance.now()
    const before = this.gains.get(peer.peerId.key)
    if (!before || peer.matchIndex > before.match || sent > before.sent) {
      this.gains.set(peer.peerId.key, { match: peer.matchIndex, sent, at: now })
      if (before) return ''
    }
    if (peer.consecutiveErrors > 0) return peer.lastError.replace(/^E[A-Z]+(: *|$)/, '') || 'does not answer'
    const forMs = now - (before?.at ?? now)
    if (forMs < STALL_MS) return ''
    const what = peer.state === 'snapshot' ? 'the snapshot does not move on' : peer.rebuilding ? 'waits to be settled' : 'gains nothing'
    return `${what} for ${Math.round(forMs / 1000)} s`
  }
}

/** Of the snapshot on its way to it, where one is. */
interface SnapshotProgress {
  readonly snapshotBytesSent?: number
  readonly snapshotBytesTotal?: number
}

const NOT_CALLED: Progress = { state: 'probe', stalled: 'was not called yet' }
