import type { NodeImpl } from './node-impl.js'
import { type LogIndex, maxIndex, plus } from './types.js'

/** So much log is kept behind a snapshot for whoever is sent it. */
const HELD_BYTES_MAX = 1024 * 1024 * 1024
/** A peer that is silent for this many election timeouts is not waited for. */
const SILENT_TIMEOUTS_MAX = 60

/**
 * The part of the leader's log that one peer will need when it has installed the snapshot that it is being sent.
 *
 * Without it a snapshot that takes longer to copy than two more take to be made is worth nothing when it arrives: the entries
 * behind it are gone, the next copy begins, and that goes on for ever. Bounded: a log of more than `heldLogBytesMax` written
 * meanwhile, a disk that runs short and a peer that is silent end it, and the peer starts over.
 */
export class HeldLog {
  private index: LogIndex | null = null
  private appendedBefore = 0

  constructor(private readonly node: NodeImpl) {}

  /** A peer is offered the snapshot that ends at `index`. */
  begin(index: LogIndex): void {
    this.index = index
    this.appendedBefore = this.node.log.appendedBytes
  }

  /** The first entry that must stay; null when nothing must. */
  from(heardAt: number): LogIndex | null {
    const { node, index } = this
    if (index === null || node.space.isShort) return null
    if (node.log.appendedBytes - this.appendedBefore > (node.options.heldLogBytesMax ?? HELD_BYTES_MAX)) return null
    return node.env.clock.now() - heardAt > SILENT_TIMEOUTS_MAX * node.electionTimeoutMs ? null : plus(index, 1)
  }

  /** The peer holds everything up to `index`: from the newest snapshot on the log is there for everybody. */
  advance(index: LogIndex): void {
    if (this.index === null) return
    const { log } = this.node
    this.index = maxIndex(this.index, index)
    if (this.index < log.snapshotIndex) return
    this.index = null
    log.cutCovered()
  }
}
