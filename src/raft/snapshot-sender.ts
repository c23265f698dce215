import type { Call } from './environment.js'
import { ErrorCode, Status } from './errors.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerId } from './peer-id.js'
import type { SnapshotMeta, SnapshotReader } from './storage.js'

/** An install request is sent again when it was not answered for so many election timeouts; the copy goes on meanwhile. */
const ANSWER_TIMEOUTS = 5
/** The wait after a failure doubles from a heartbeat up to this many election timeouts. */
const BACKOFF_TIMEOUTS_MAX = 4

export interface SenderEvents {
  /** From now on this snapshot is offered to the peer. */
  offered(meta: SnapshotMeta): void
  /** The peer holds everything up to the end of this snapshot. */
  installed(meta: SnapshotMeta): void
  /** It does not; try again after this long. */
  failed(status: Status, retryAfterMs: number): void
}

/**
 * The leader's side of installing a snapshot on one peer (braft Replicator::install_snapshot).
 *
 * Owns the reader that the peer copies from. It stays open, under the same address, while the log still goes on behind its
 * snapshot, so that a copy that was interrupted goes on where it was.
 */
export class SnapshotSender {
  private source: { id: string; meta: SnapshotMeta; uri: string } | null = null
  private opening = false
  private call: Call | null = null
  private failures = 0
  private stopped = false

  constructor(
    private readonly node: NodeImpl,
    private readonly peerId: PeerId,
    private readonly events: SenderEvents,
  ) {}

  /** How far the peer is with the snapshot it is sent; null when it is sent none. */
  get progress(): { sentBytes: number; totalBytes: number } | null {
    return this.source ? this.node.snapshots.readers.progress(this.source.id) : null
  }

  /** Offers the peer a snapshot; nothing happens while one is on offer. */
  send(): void {
    if (this.stopped || this.call || this.opening) return
    const { refusal } = this.node.witness
    if (refusal) return this.fail(refusal)
    if (this.source && this.source.meta.lastIncluded.index + 1 >= this.node.log.firstIndex) return this.request()
    this.drop()
    this.opening = true
    this.node.snapshots.openVerified((status, reader) => {
      this.opening = false
      if (this.stopped) return reader?.close()
      if (!status.ok) return this.fail(status)
      this.adopt(reader!)
      this.request()
    })
  }

  /** The way to the peer broke, and with it the call: `send` offers the same again, under the same address. */
  interrupt(): void {
    this.call?.cancel()
    this.call = null
  }

  /** The log serves the peer again. */
  withdraw(): void {
    this.interrupt()
    this.drop()
  }

  stop(): void {
    this.stopped = true
    this.call?.cancel()
    this.drop()
  }

  private adopt(reader: SnapshotReader): void {
    const { node } = this
    const id = node.snapshots.readers.register(reader)
    this.source = { id, meta: reader.meta, uri: `remote://${node.serverId.address}/${id}` }
    this.events.offered(reader.meta)
    node.observe({ name: 'snapshot.sending', peer: this.peerId, index: reader.meta.lastIncluded.index, uri: this.source.uri })
  }

  private drop(): void {
    if (this.source) this.node.snapshots.readers.release(this.source.id)
    this.source = null
  }

  private request(): void {
    const { node, peerId } = this
    const { meta, uri } = this.source!
    const request = { groupId: node.groupId, serverId: node.serverId, peerId, term: node.meta.term, meta, uri }
    this.call = node.env.transport.call(
      peerId,
      'installSnapshot',
      request,
      ANSWER_TIMEOUTS * node.electionTimeoutMs,
      (status, response) => {
        this.call = null
        if (this.stopped) return
        // Not answered: the copy may well go on. Asked again under the same address, the peer takes this call for that one.
        if (status.code === ErrorCode.ETIMEDOUT) return this.send()
        if (!status.ok) return this.fail(status)
        node.onHigherTerm(response!.term, peerId)
        if (this.stopped) return
        if (!response!.success) return this.fail(Status.error(ErrorCode.EREQUEST, `${peerId} refused the snapshot`))
        this.failures = 0
        this.drop()
        this.events.installed(meta)
      },
    )
  }

  private fail(status: Status): void {
    const { electionTimeoutMs, heartbeatMs } = this.node
    // Its reader is gone, or what arrived is not what was written: the newest is looked through again and offered anew.
    if (status.code === ErrorCode.ENOENT || status.code === ErrorCode.ECORRUPT) this.drop()
    const backoff = Math.min(BACKOFF_TIMEOUTS_MAX * electionTimeoutMs, heartbeatMs * 2 ** this.failures++)
    this.events.failed(status, backoff)
  }
}
