import type { Executor } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { Answer, AppendEntriesRequest, AppendEntriesResponse } from '../raft/messages.js'
import { BEATS_MAX, type Beat, type BeatAck, type BeatFrame, decodeBeats, encodeBeatAcks } from './heartbeat-codec.js'
import type { AppendReceiver, FrameReply } from './peer-service.js'

/** An append stream that heartbeats may be for. */
export interface BeatTarget {
  readonly isOver: boolean
  /** The same beat is the same request, as long as the stream lives. */
  requestOf(beat: Beat): AppendEntriesRequest
  /** False: it takes none this way, and gives no answer. */
  beat(request: AppendEntriesRequest, answer: Answer<AppendEntriesResponse>): boolean
}

export interface HeartbeatReceiverOptions {
  readonly executor: Executor
  /** The append streams that the same process opened, by number. */
  readonly streams: () => ReadonlyMap<number, BeatTarget> | undefined
  /** This side ends the stream. */
  readonly end: (status: Status) => void
  readonly gone: () => void
}

/** A stream in the roll. */
class Place {
  target: BeatTarget | null = null
  request: AppendEntriesRequest | null = null
  /** What it was answered last. */
  said: AppendEntriesResponse | null = null
  question = new Question(this)
  /** The frame that named it last. */
  namedIn = 0

  constructor(
    readonly number: number,
    public beat: Beat,
  ) {}
}

/** A beat that may be answered; used again for the next one when it was. */
class Question {
  isOpen = false
  status: Status | null = null
  response: AppendEntriesResponse | undefined

  constructor(readonly place: Place) {}

  readonly answer: Answer<AppendEntriesResponse> = (status, response) => {
    if (!this.isOpen) return
    this.status = status
    this.response = response
  }
}

/**
 * The receiving end of a stream of heartbeats of many groups: each is handled as if it had come on its own stream.
 *
 * What a group says is the same for hours, and so is what it is answered. So both ends keep the roll of the streams: a frame names
 * those that say something new, its answer those that are told something new, and the others cost no byte and no object.
 *
 * A frame is answered by one list, as soon as every node had its turn. What a node answers later (its disk is slow, say) is not in
 * it, so that no group waits for another; the sender asks that one again by itself.
 */
export class HeartbeatReceiver implements AppendReceiver {
  private over = false
  private roll: Place[] = []
  private readonly places = new Map<number, Place>()
  private frames = 0

  constructor(private readonly options: HeartbeatReceiverOptions) {}

  frame(bytes: Buffer, reply: FrameReply): void {
    const frame = decodeBeats(bytes)
    if (!frame) {
      reply.drop()
      return this.end(Status.error(ErrorCode.EREQUEST, 'not a frame of heartbeats'))
    }
    const { executor } = this.options
    executor.post(() => {
      const asked = this.over ? null : this.ask(frame)
      // Behind what the nodes posted for themselves.
      executor.post(() => {
        if (asked && !this.over) return reply.acknowledge(answersTo(frame.seq, asked))
        reply.drop()
        this.end(Status.error(ErrorCode.EREQUEST, 'heartbeats of more streams than one connection has'))
      }, 'heartbeats answered')
    }, 'heartbeats')
  }

  closed(): void {
    if (this.over) return
    this.over = true
    this.options.gone()
  }

  end(status: Status): void {
    if (this.over) return
    this.closed()
    this.options.end(status)
  }

  /** Hands every beat of the frame to its node; null when they are too many. */
  private ask({ fresh, beats, others, silent }: BeatFrame): readonly Question[] | null {
    if (fresh) {
      this.roll = []
      this.places.clear()
    }
    const now = ++this.frames
    for (const beat of beats) this.placeOf(beat).namedIn = now
    for (const place of silent) if (this.roll[place]) this.roll[place].namedIn = now
    if (this.roll.length > BEATS_MAX) return null
    const streams = this.options.streams()
    const asked: Question[] = []
    for (const { stream } of beats) asked.push(askOf(this.places.get(stream)!, streams))
    if (others) for (const place of this.roll) if (place.namedIn !== now) asked.push(askOf(place, streams))
    return asked
  }

  private placeOf(beat: Beat): Place {
    let place = this.places.get(beat.stream)
    if (!place) {
      place = new Place(this.roll.length, beat)
      this.roll.push(place)
      this.places.set(beat.stream, place)
    }
    place.beat = beat
    place.request = null
    return place
  }
}

function askOf(place: Place, streams: ReadonlyMap<number, BeatTarget> | undefined): Question {
  // One that is still open belongs to an earlier frame.
  if (place.question.isOpen) place.question = new Question(place)
  const { question, beat } = place
  question.isOpen = true
  if (!place.target || place.target.isOver) {
    place.target = streams?.get(beat.stream) ?? null
    place.request = null
  }
  const { target } = place
  if (target) target.beat((place.request ??= target.requestOf(beat)), question.answer)
  return question
}

/** Closes the questions. */
function answersTo(seq: number, asked: readonly Question[]): Buffer {
  const acks: BeatAck[] = []
  const unanswered: number[] = []
  for (const question of asked) {
    const { place, status, response } = question
    question.isOpen = false
    if (!status) {
      unanswered.push(place.number)
      // Its answer may still come.
      if (place.question === question) place.question = new Question(place)
      continue
    }
    question.status = null
    question.response = undefined
    if (!response) acks.push({ place: place.number, status })
    else if (!place.said || !isSame(place.said, response)) acks.push({ place: place.number, status, response })
    if (response) place.said = response
  }
  return encodeBeatAcks({ seq, acks, others: acks.length + unanswered.length < asked.length, unanswered })
}

function isSame(a: AppendEntriesResponse, b: AppendEntriesResponse): boolean {
  if (a === b) return true
  return (
    a.term === b.term &&
    a.success === b.success &&
    a.lastLogIndex === b.lastLogIndex &&
    a.readonly === b.readonly &&
    a.short === b.short &&
    a.rebuilding === b.rebuilding &&
    a.priority === b.priority
  )
}
