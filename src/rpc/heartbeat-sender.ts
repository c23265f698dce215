import type { Executor } from '../raft/environment.js'
import { Status } from '../raft/errors.js'
import type { AppendEntriesRequest, AppendEntriesResponse } from '../raft/messages.js'
import type { PeerId } from '../raft/peer-id.js'
import type { Faults } from './faults.js'
import { BEATS_MAX, type Beat, type BeatAck, type BeatAcks, decodeBeatAcks, encodeBeats } from './heartbeat-codec.js'
import { MetadataKey, type ProcessIdentity } from './identity.js'
import type { ChannelStream, PeerChannel } from './peer-channel.js'

/** After the peer did not take heartbeats together, each goes alone for this long. */
const APART_MS = 1000
/** A roll with more streams that are over, and with more of them than others, begins anew. */
const OVER_MAX = 64

/** What a stream keeps for whoever sends its heartbeats: looked up for each of thousands, it would cost more than the beat. */
export class BeatState {
  /** The turn in which it was last given a beat to send. */
  turn = 0
  place: Place | null = null
}

/** An append stream as far as its heartbeats travel with those of others. */
export interface BeatingStream {
  /** Among the streams of this process. */
  readonly id: number
  readonly beatState: BeatState
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
  /** Once it travels with others. */
  place: Place | null
}

let lastRollId = 0

/** A stream in the roll. */
interface Place {
  /** Which roll: a number, so that it holds none of them. */
  readonly roll: number
  readonly number: number
  readonly stream: BeatingStream
  /** What it said last. */
  request: AppendEntriesRequest
  /** What it was answered last. */
  answer: AppendEntriesResponse | null
  /** The frame that it was in last. */
  calledIn: number
}

interface SentFrame {
  readonly at: number
  readonly called: readonly Waiting[]
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
 * What was sent in one turn of the executor leaves at its end, by itself where it is alone, or not the only one of its stream. Each beat keeps its stream, its sequence
 * number and its answer: to the engine nothing differs but the order in which frames of a stream arrive, which no request without
 * entries depends on. A beat that the peer does not answer at once, or that it could not place, goes again on its own stream, which
 * answers it or breaks: none is lost without that.
 */
export class HeartbeatSender {
  private pending: Waiting[] = []
  private turn = 1
  /** Streams with several heartbeats in this turn, which keep their order. */
  private readonly repeated = new Set<BeatingStream>()
  private readonly links = new Map<PeerChannel, Link>()

  constructor(private readonly options: HeartbeatSenderOptions) {}

  add(stream: BeatingStream, seq: number, request: AppendEntriesRequest): void {
    if (this.pending.length === 0) this.options.executor.post(() => this.flush(), 'heartbeats')
    this.pending.push({ stream, seq, request, place: null })
    const { beatState } = stream
    if (beatState.turn === this.turn) this.repeated.add(stream)
    beatState.turn = this.turn
  }

  /** The channel is given up. */
  forget(channel: PeerChannel): void {
    this.links.delete(channel)
  }

  private flush(): void {
    const byChannel = new Map<PeerChannel, Waiting[]>()
    const inOrder: Waiting[] = []
    for (const one of this.pending) {
      if (one.stream.isOver) continue
      if (this.repeated.has(one.stream)) {
        inOrder.push(one)
        continue
      }
      const { channel } = one.stream
      const list = byChannel.get(channel)
      if (list) list.push(one)
      else byChannel.set(channel, [one])
    }
    this.pending = []
    this.turn++
    this.repeated.clear()
    alone(inOrder)
    for (const [channel, beats] of byChannel) {
      if (beats.length === 1 || beats.length > BEATS_MAX || this.options.faults.concerns(beats[0]!.stream.to)) alone(beats)
      else this.linkTo(channel).send(beats)
    }
  }

  private linkTo(channel: PeerChannel): Link {
    let link = this.links.get(channel)
    if (!link) this.links.set(channel, (link = new Link(channel, this.options)))
    return link
  }
}

/**
 * The stream of frames to one process, and the roll of those that beat on it (heartbeat-codec.ts): who says what it said before is
 * not named, and is answered by what it was answered before.
 */
class Link {
  private stream: ChannelStream | null = null
  private seq = 0
  private readonly sent = new Map<number, SentFrame>()
  private roll: Place[] = []
  private rollId = ++lastRollId
  private overCount = 0
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
    const fresh = this.roll.length + beats.length > BEATS_MAX || (this.overCount > OVER_MAX && 2 * this.overCount > this.roll.length)
    if (fresh) this.beginRoll()
    const changed = this.call(++this.seq, beats)
    const silent = this.silentIn(this.seq, beats.length)
    // Few of many: each is named, rather than the others.
    const others = beats.length > changed.length && silent.length <= beats.length
    const named = others ? changed : beats
    stream.send(encodeBeats({ seq: this.seq, fresh, beats: named.map(beatOf), others, silent: others ? silent : [] }), null)
    this.sent.set(this.seq, { at: now, called: beats })
  }

  /** Finds each its place; answers those that say something new. */
  private call(seq: number, beats: readonly Waiting[]): Waiting[] {
    const changed: Waiting[] = []
    for (const one of beats) {
      const { stream, request } = one
      const { place: last } = stream.beatState
      const isKnown = last !== null && last.roll === this.rollId
      const place = isKnown ? last : this.enter(stream, request)
      if (!isKnown || !isSame(place.request, request)) changed.push(one)
      place.request = request
      place.calledIn = seq
      one.place = place
    }
    return changed
  }

  private enter(stream: BeatingStream, request: AppendEntriesRequest): Place {
    const { roll, rollId } = this
    const place = { roll: rollId, number: roll.length, stream, request, answer: null, calledIn: 0 }
    roll.push(place)
    stream.beatState.place = place
    return place
  }

  private silentIn(seq: number, count: number): number[] {
    const silent: number[] = []
    this.overCount = 0
    if (count === this.roll.length) return silent
    for (const { number, stream, calledIn } of this.roll) {
      if (calledIn === seq) continue
      silent.push(number)
      if (stream.isOver) this.overCount++
    }
    return silent
  }

  private beginRoll(): void {
    this.roll = []
    this.rollId = ++lastRollId
    this.overCount = 0
  }

  private open(): ChannelStream {
    this.beginRoll()
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
      for (const { called } of frames) alone(called)
    }, 'heartbeats')
  }

  private receive(bytes: Buffer): void {
    const answer = decodeBeatAcks(bytes)
    const frame = answer && this.sent.get(answer.seq)
    if (!answer || !frame) return this.giveUp()
    this.sent.delete(answer.seq)
    this.options.executor.post(() => alone(deliver(answer, frame.called)), 'heartbeat answers')
  }
}

/** Gives each its answer; those that have none. */
function deliver({ acks, others, unanswered }: BeatAcks, called: readonly Waiting[]): readonly Waiting[] {
  const named = new Map<number, BeatAck | null>()
  for (const ack of acks) named.set(ack.place, ack)
  for (const place of unanswered) named.set(place, null)
  const missing: Waiting[] = []
  for (const one of called) {
    const { stream, seq } = one
    const place = one.place!
    const ack = named.size === 0 ? undefined : named.get(place.number)
    if (ack) {
      place.answer = ack.response ?? place.answer
      if (!stream.isOver) stream.answered(seq, ack.status, ack.response)
    } else if (ack === undefined && others && place.answer) {
      if (!stream.isOver) stream.answered(seq, Status.OK, place.answer)
    } else missing.push(one)
  }
  return missing
}

function beatOf({ stream, request }: Waiting): Beat {
  const { term, prevLogTerm, prevLogIndex, committedIndex, outranked } = request
  const beat = { stream: stream.id, term, prevLogTerm, prevLogIndex, committedIndex }
  return outranked ? { ...beat, outranked } : beat
}

function isSame(a: AppendEntriesRequest, b: AppendEntriesRequest): boolean {
  if (a === b) return true
  return (
    a.term === b.term &&
    a.prevLogTerm === b.prevLogTerm &&
    a.prevLogIndex === b.prevLogIndex &&
    a.committedIndex === b.committedIndex &&
    (a.outranked ?? false) === (b.outranked ?? false)
  )
}

function alone(beats: Iterable<Waiting>): void {
  for (const { stream, seq, request } of beats) if (!stream.isOver) stream.sendAlone(seq, request)
}
