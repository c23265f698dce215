import type { Status } from '../raft/errors.js'
import type { AppendEntriesResponse } from '../raft/messages.js'
import { decodeAck, eachField, encodeAck, GRPC_PREFIX_BYTES, getVarint, putField, putVarint } from './peer-codec.js'

/** An append request without entries, on its way with others. */
export interface Beat {
  /** Number of the append stream that it belongs to, among those of the sending process. */
  readonly stream: number
  readonly term: number
  readonly prevLogTerm: number
  readonly prevLogIndex: number
  readonly committedIndex: number
  readonly outranked?: boolean
}

/** Heartbeats of one moment. Both ends keep a roll: the streams that were named, in that order, each with its newest beat. */
export interface BeatFrame {
  readonly seq: number
  /** The roll begins anew with this frame. */
  readonly fresh: boolean
  /** Those that are new in the roll, or differ from what was said last. */
  readonly beats: readonly Beat[]
  /** Everybody else in the roll beats as last time, but for the silent. */
  readonly others: boolean
  /** Places in the roll. */
  readonly silent: readonly number[]
}

/** What was said to one beat. */
export interface BeatAck {
  /** In the roll. */
  readonly place: number
  readonly status: Status
  readonly response?: AppendEntriesResponse
}

/** The answers to a frame. */
export interface BeatAcks {
  readonly seq: number
  /** Those that differ from what the same stream was answered last. */
  readonly acks: readonly BeatAck[]
  /** Every other beat of the frame is answered as last time, but for the unanswered. */
  readonly others: boolean
  /** Places in the roll. */
  readonly unanswered: readonly number[]
}

/** Of a beat, by their numbers. */
const FIELDS = [null, 'stream', 'term', 'prevLogTerm', 'prevLogIndex', 'committedIndex'] as const
const OUTRANKED = 6

/** Of a frame, and of the answers to one. */
const SEQ = 1
const LIST = 2
const OTHERS = 3
const EXCEPT = 4
const FRESH = 5

const LIST_TAG = (LIST << 3) | 2
const FIELD_BYTES_MAX = 11
/** Five varint fields and a flag: the length fits one byte. */
const BEAT_BYTES_MAX = 5 * FIELD_BYTES_MAX + 2

/** No process leads more groups on one connection; a frame of more is none. */
export const BEATS_MAX = 65_536

/** A frame of heartbeats for the socket, with room for the gRPC prefix, which is filled in. */
export function encodeBeats({ seq, fresh, beats, others, silent }: BeatFrame): Buffer {
  const bytesMax = GRPC_PREFIX_BYTES + FIELD_BYTES_MAX + 4 + beats.length * (2 + BEAT_BYTES_MAX) + silent.length * FIELD_BYTES_MAX
  const out = Buffer.allocUnsafe(bytesMax)
  let at = putField(out, GRPC_PREFIX_BYTES, SEQ, seq)
  for (const beat of beats) {
    out[at] = LIST_TAG
    const from = at + 2
    let end = putField(out, from, 1, beat.stream)
    end = putField(out, end, 2, beat.term)
    end = putField(out, end, 3, beat.prevLogTerm)
    end = putField(out, end, 4, beat.prevLogIndex)
    end = putField(out, end, 5, beat.committedIndex)
    end = putField(out, end, OUTRANKED, Number(beat.outranked ?? false))
    out[at + 1] = end - from
    at = end
  }
  at = putField(out, at, OTHERS, Number(others))
  at = putPlaces(out, at, silent)
  at = putField(out, at, FRESH, Number(fresh))
  out[0] = 0
  out.writeUInt32BE(at - GRPC_PREFIX_BYTES, 1)
  return out.subarray(0, at)
}

/** Reads a frame of heartbeats; null when the bytes are none. */
export function decodeBeats(bytes: Buffer): BeatFrame | null {
  const beats: Beat[] = []
  const frame = decodeFields(bytes, (view) => {
    const beat = decodeBeat(view)
    if (beat) beats.push(beat)
    return beat !== null && beats.length <= BEATS_MAX
  })
  return frame && { seq: frame.seq, fresh: frame.fresh, beats, others: frame.others, silent: frame.except }
}

function decodeBeat(bytes: Buffer): Beat | null {
  const beat = { stream: 0, term: 0, prevLogTerm: 0, prevLogIndex: 0, committedIndex: 0 }
  let outranked = false
  const cursor = { offset: 0 }
  while (cursor.offset < bytes.length) {
    const tag = getVarint(bytes, cursor)
    const value = getVarint(bytes, cursor)
    // Only whole numbers are in it; what a later version adds is passed over.
    if (tag < 8 || tag % 8 !== 0 || !(value >= 0 && Number.isSafeInteger(value))) return null
    const name = FIELDS[tag >> 3]
    if (name) beat[name] = value
    else if (tag >> 3 === OUTRANKED) outranked = value !== 0
  }
  return outranked ? { ...beat, outranked } : beat
}

/** The answers to a frame, as a protobuf message without the gRPC prefix. */
export function encodeBeatAcks({ seq, acks, others, unanswered }: BeatAcks): Buffer {
  const parts = acks.map(({ place, status, response }) => encodeAck(place, status, response))
  const bytesMax = FIELD_BYTES_MAX + 2 + parts.reduce((sum, part) => sum + FIELD_BYTES_MAX + part.length, 0)
  const out = Buffer.allocUnsafe(bytesMax + unanswered.length * FIELD_BYTES_MAX)
  let at = putField(out, 0, SEQ, seq)
  for (const part of parts) {
    out[at] = LIST_TAG
    at = putVarint(out, at + 1, part.length)
    at += part.copy(out, at)
  }
  at = putField(out, at, OTHERS, Number(others))
  at = putPlaces(out, at, unanswered)
  return out.subarray(0, at)
}

/** Reads the answers to a frame; null when the bytes are none. */
export function decodeBeatAcks(bytes: Buffer): BeatAcks | null {
  const acks: BeatAck[] = []
  const answer = decodeFields(bytes, (view) => {
    const ack = decodeAck(view)
    if (!ack) return false
    const { seq: place, status, response } = ack
    acks.push(response ? { place, status, response } : { place, status })
    return acks.length <= BEATS_MAX
  })
  return answer && { seq: answer.seq, acks, others: answer.others, unanswered: answer.except }
}

/** Null when the bytes are no message, or `take` does not take what is in the list. */
function decodeFields(bytes: Buffer, take: (view: Buffer) => boolean) {
  const except: number[] = []
  let [seq, others, fresh, isWhole] = [0, false, false, true]
  const isMessage = eachField(bytes, (field, value, view) => {
    if (view) {
      if (field === LIST && isWhole) isWhole = take(view)
      return
    }
    if (field === SEQ) seq = value
    else if (field === OTHERS) others = value !== 0
    else if (field === FRESH) fresh = value !== 0
    else if (field === EXCEPT && value < BEATS_MAX && except.length < BEATS_MAX) except.push(value)
    else if (field === EXCEPT) isWhole = false
  })
  return isMessage && isWhole && Number.isSafeInteger(seq) ? { seq, others, except, fresh } : null
}

/** Zero is a place like any other. */
function putPlaces(out: Buffer, from: number, places: readonly number[]): number {
  let at = from
  for (const place of places) {
    out[at] = EXCEPT << 3
    at = putVarint(out, at + 1, place)
  }
  return at
}
