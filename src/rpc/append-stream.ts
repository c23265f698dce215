import type { AppendStream, AppendStreamEvents, Executor } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { AppendEntriesRequest, AppendEntriesResponse } from '../raft/messages.js'
import type { PeerId } from '../raft/peer-id.js'
import { isUnknownService } from './braft-error.js'
import { DelayedLink } from './delayed-link.js'
import type { Faults } from './faults.js'
import { MAX_MESSAGE_BYTES } from './grpc.js'
import { type BeatingStream, BeatState, type HeartbeatSender } from './heartbeat-sender.js'
import { MetadataKey, type ProcessIdentity } from './identity.js'
import type { ChannelStream, PeerChannel } from './peer-channel.js'
import { decodeAck, encodeFrame, type StreamRoute } from './peer-codec.js'

/** More than this waiting in the process means that the peer does not read: the stream breaks. */
const BUFFERED_BYTES_MAX = MAX_MESSAGE_BYTES

/** Of the streams of this process: heartbeats that travel together name theirs by number. */
let lastId = 0

export interface AppendStreamContext {
  readonly channel: PeerChannel
  readonly executor: Executor
  readonly identity: ProcessIdentity
  readonly faults: Faults
  /** The peer must have taken the stream by then. */
  readonly connectTimeoutMs: number
  /** Heartbeats leave together with those of other streams. */
  readonly heartbeats: HeartbeatSender
  /** What answered is no raftctl node. */
  readonly onStranger: () => void
  /** What answered is another member, or of another cluster. */
  readonly onElsewhere: () => void
}

/** What answered says that it is not the member that was called, or is not of its cluster. */
export function isOfAnother({ code }: Status): boolean {
  return code === ErrorCode.ENOENT || code === ErrorCode.EPERM
}

/** Opens the stream of append frames of one group to one peer. */
export function openAppendStream(context: AppendStreamContext, route: StreamRoute, events: AppendStreamEvents): AppendStream {
  return new PeerAppendStream(context, route, events)
}

/**
 * The sending end of raftctl.v1.Peer/Append. Events reach the engine through the executor; after `close` or `broken`
 * there are none.
 */
class PeerAppendStream implements AppendStream, BeatingStream {
  readonly id = ++lastId
  readonly beatState = new BeatState()
  private over = false
  private readonly stream: ChannelStream | null
  private readonly opening: NodeJS.Timeout
  private readonly outward = new DelayedLink()

  constructor(
    private readonly context: AppendStreamContext,
    private readonly route: StreamRoute,
    private readonly events: AppendStreamEvents,
  ) {
    const { channel, identity, faults, connectTimeoutMs } = context
    const late = Status.error(ErrorCode.EHOSTDOWN, `${route.to} did not take the append stream within ${connectTimeoutMs} ms`)
    this.opening = setTimeout(() => this.break(late), connectTimeoutMs)
    const headers = {
      ...identity.peerMetadata(route.groupId),
      [MetadataKey.group]: encodeURIComponent(route.groupId),
      [MetadataKey.from]: route.from.toString(),
      [MetadataKey.to]: route.to.toString(),
      [MetadataKey.stream]: String(this.id),
    }
    this.stream = faults.isCutTo(route.to)
      ? null
      : channel.openAppend(headers, {
          opened: (fields) => this.opened(fields(MetadataKey.clusterId)),
          message: (bytes) => this.receive(bytes),
          ended: (status) => this.break(status.ok ? Status.error(ErrorCode.ECONNRESET, `${route.to} ended the append stream`) : status),
        })
  }

  get to(): PeerId {
    return this.route.to
  }

  get channel(): PeerChannel {
    return this.context.channel
  }

  get isOver(): boolean {
    return this.over
  }

  send(seq: number, request: AppendEntriesRequest): void {
    if (request.entries) this.sendAlone(seq, request)
    else this.context.heartbeats.add(this, seq, request)
  }

  answered(seq: number, status: Status, response?: AppendEntriesResponse): void {
    if (isOfAnother(status)) this.context.onElsewhere()
    this.events.answer(seq, status, response)
  }

  sendAlone(seq: number, request: AppendEntriesRequest): void {
    if (this.over || !this.stream) return
    const { head, entries } = encodeFrame(seq, request)
    if (this.stream.bufferedBytes + head.length + (entries?.length ?? 0) > BUFFERED_BYTES_MAX) {
      return this.break(Status.error(ErrorCode.EAGAIN, `${this.route.to} does not read: ${this.stream.bufferedBytes} bytes wait`))
    }
    const { faults } = this.context
    if (faults.loses(this.route.to))
      return this.break(Status.error(ErrorCode.ECONNRESET, `a frame to ${this.route.to} was lost on purpose`))
    this.outward.pass(faults.delayTo(this.route.to), () => this.over || this.stream?.send(head, entries))
  }

  close(): void {
    if (this.over) return
    this.over = true
    clearTimeout(this.opening)
    this.stream?.cancel()
  }

  private opened(clusterId: string | undefined): void {
    if (this.context.faults.isCutFrom(this.route.to)) return
    clearTimeout(this.opening)
    const mismatch = this.context.identity.clusterMismatch(clusterId)
    if (!mismatch) return
    this.context.onElsewhere()
    this.break(Status.error(ErrorCode.EINVAL, `${this.route.to} is of another cluster: ${mismatch}`))
  }

  private receive(bytes: Buffer): void {
    if (this.context.faults.isCutFrom(this.route.to)) return
    const ack = decodeAck(bytes)
    if (!ack) return this.break(Status.error(ErrorCode.EREQUEST, `an unreadable answer from ${this.route.to}`))
    this.context.executor.post(() => {
      if (!this.over) this.answered(ack.seq, ack.status, ack.response)
    }, 'append answer')
  }

  private break(status: Status): void {
    if (this.over) return
    if (isUnknownService(status)) this.context.onStranger()
    if (isOfAnother(status)) this.context.onElsewhere()
    clearTimeout(this.opening)
    this.stream?.cancel()
    // What was received before is answered first; nothing is after.
    this.context.executor.post(() => {
      if (this.over) return
      this.over = true
      this.events.broken(status)
    }, 'append stream broken')
  }
}
