import type { Executor } from '../raft/environment.js'
import type { Status } from '../raft/errors.js'
import type { AppendEntriesRequest, AppendEntriesResponse } from '../raft/messages.js'
import type { PeerId } from '../raft/peer-id.js'
import type { Faults } from './faults.js'
import { type Beat, decodeBeatAcks, encodeBeats } from './heartbeat-codec.js'
import { MetadataKey, type ProcessIdentity } from './identity.js'
import type { ChannelStream, PeerChannel } from './peer-channel.js'

/** After the peer did not take heartbeats together, each goes alone for this long. */
const APART_MS = 1000

/** An append stream as far as its heartbeats travel with those of others. */
export interface BeatingStream {
  /** Among the streams of this process. */
  readonly id: number
  readonly to: PeerId
  readonly channel: PeerChannel
  readonly isOver: boolean
  /** The heartbeat travels on the stream itself. */
  sendAlone(seq: number, request: AppendEntriesRequest): void
  /** On the executor. */
  answered(seq: number, status: Status, response?: AppendEntriesResponse): void
}

interface Waiting {
  readonly stream: BeatingStream
  readonly seq: number
  readonly request: AppendEntriesRequest
}

interface SentFrame {
  readonly at: number
  readonly beats: readonly Waiting[]
}

export interface HeartbeatSenderOptions {
  readonly executor: Executor
  readonly identity: ProcessIdentity
  readonly faults: Faults
  /** For so long a frame may go unanswered. */
  readonly patienceMs: number
}

/**
 * Heartbeats of many groups to one process, in one message.
 *
 * What was sent in one turn of the executor leaves at its end, by itself where it is alone. Each beat keeps its stream, its sequence
 * number and its answer: to the engine nothing differs but the order in which frames of a stream arrive, which no request without
 * entries depends on. A beat that the peer does not answer at once, or that it could not place, goes again on its own stream, which
 * answers it or breaks: none is lost without that.
 */
export class HeartbeatSender {
  private pending: Waiting[] = []
  private readonly links = new Map<PeerChannel, Link>()

  constructor(private readonly options: HeartbeatSenderOptions) {}

  add(stream: BeatingStream, seq: number, request: AppendEntriesRequest): void {
    if (this.pending.length === 0) this.options.executor.post(() => this.flush(), 'heartbeats')
    this.pending.push({ stream, seq, request })
  }

  /** The channel is given up. */
  forget(channel: PeerChannel): void {
    this.links.delete(channel)
  }

  private flush(): void {
    const byChannel = new Map<PeerChannel, Waiting[]>()
    for (const one of this.pending) {
      if (one.stream.isOver) continue
      const { channel } = one.stream
      const list = byChannel.get(channel)
      if (list) list.push(one)
      else byChannel.set(channel, [one])
    }
    this.pending = []
    for (const [channel, beats] of byChannel) {
      if (beats.length === 1 || this.options.faults.concerns(beats[0]!.stream.to)) alone(beats)
      else this.linkTo(channel).send(beats)
    }
  }

  private linkTo(channel: PeerChannel): Link {
    let link = this.links.get(channel)
    if (!link) this.links.set(channel, (link = new Link(channel, this.options)))
    return link
  }
}

/** The stream of frames to one process. */
class Link {
  private stream: ChannelStream | null = null
  private seq = 0
  private readonly sent = new Map<number, SentFrame>()
  private apartUntil = Number.NEGATIVE_INFINITY

  constructor(
    private readonly channel: PeerChannel,
    private readonly options: HeartbeatSenderOptions,
  ) {}

  send(beats: readonly Waiting[]): void {
    const now = performance.now()
    const oldest = this.sent.values().next().value
    if (oldest && now - oldest.at > this.options.patienceMs) this.giveUp()
    if (now < this.apartUntil) return alone(beats)
    const stream = (this.stream ??= this.open())
    const frame = encodeBeats(++this.seq, beats.map(beatOf))
    this.sent.set(this.seq, { at: now, beats })
    stream.send(frame, null)
  }

  private open(): ChannelStream {
    const headers = { ...this.options.identity.peerMetadata(null), [MetadataKey.heartbeats]: '1' }
    const stream: ChannelStream = this.channel.openAppend(headers, {
      opened: () => {},
      message: (bytes) => this.stream === stream && this.receive(bytes),
      ended: () => this.stream === stream && this.giveUp(),
    })
    return stream
  }

  /** What has no answer yet goes again, each on its own stream. */
  private giveUp(): void {
    const frames = [...this.sent.values()]
    this.sent.clear()
    this.stream?.cancel()
    this.stream = null
    this.apartUntil = performance.now() + APART_MS
    this.options.executor.post(() => {
      for (const { beats } of frames) alone(beats)
    }, 'heartbeats')
  }

  private receive(bytes: Buffer): void {
    const answer = decodeBeatAcks(bytes)
    const frame = answer && this.sent.get(answer.seq)
    if (!answer || !frame) return this.giveUp()
    this.sent.delete(answer.seq)
    this.options.executor.post(() => {
      const missing = new Set(frame.beats)
      for (const { position, status, response } of answer.acks) {
        const beat = frame.beats[position]
        if (!beat || !missing.delete(beat)) continue
        if (!beat.stream.isOver) beat.stream.answered(beat.seq, status, response)
      }
      alone(missing)
    }, 'heartbeat answers')
  }
}

function beatOf({ stream, seq, request }: Waiting): Beat {
  const { term, prevLogTerm, prevLogIndex, committedIndex, outranked } = request
  const beat = { stream: stream.id, seq, term, prevLogTerm, prevLogIndex, committedIndex }
  return outranked ? { ...beat, outranked } : beat
}

function alone(beats: Iterable<Waiting>): void {
  for (const { stream, seq, request } of beats) if (!stream.isOver) stream.sendAlone(seq, request)
}
