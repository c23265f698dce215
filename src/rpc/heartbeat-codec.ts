import type { Status } from '../raft/errors.js'
import type { AppendEntriesResponse } from '../raft/messages.js'
import { decodeAck, eachField, encodeAck, GRPC_PREFIX_BYTES, getVarint, putField, putVarint } from './peer-codec.js'

/** An append request without entries, on its way with others. */
export interface Beat {
  /** Number of the append stream that it belongs to, among those of the sending process. */
  readonly stream: number
  readonly seq: number
  readonly term: number
  readonly prevLogTerm: number
  readonly prevLogIndex: number
  readonly committedIndex: number
  readonly outranked?: boolean
}

/** What was said to one beat; `position` is its place in the frame. */
export interface BeatAck {
  readonly position: number
  readonly status: Status
  readonly response?: AppendEntriesResponse
}

/** Of a beat, by their numbers. */
const FIELDS = [null, 'stream', 'seq', 'term', 'prevLogTerm', 'prevLogIndex', 'committedIndex'] as const
const OUTRANKED = 7

const LIST_TAG = (2 << 3) | 2
/** Six varint fields of at most 10 bytes and a flag, with a tag each: the length fits one byte. */
const BEAT_BYTES_MAX = 6 * 11 + 2

/** No process leads more groups on one connection; a frame of more is none. */
const BEATS_MAX = 65_536

/** A frame of heartbeats for the socket, with room for the gRPC prefix, which is filled in. */
export function encodeBeats(seq: number, beats: readonly Beat[]): Buffer {
  const out = Buffer.allocUnsafe(GRPC_PREFIX_BYTES + 11 + beats.length * (2 + BEAT_BYTES_MAX))
  let at = putField(out, GRPC_PREFIX_BYTES, 1, seq)
  for (const beat of beats) {
    out[at] = LIST_TAG
    const from = at + 2
    let end = putField(out, from, 1, beat.stream)
    end = putField(out, end, 2, beat.seq)
    end = putField(out, end, 3, beat.term)
    end = putField(out, end, 4, beat.prevLogTerm)
    end = putField(out, end, 5, beat.prevLogIndex)
    end = putField(out, end, 6, beat.committedIndex)
    end = putField(out, end, OUTRANKED, Number(beat.outranked ?? false))
    out[at + 1] = end - from
    at = end
  }
  out[0] = 0
  out.writeUInt32BE(at - GRPC_PREFIX_BYTES, 1)
  return out.subarray(0, at)
}

/** Reads a frame of heartbeats; null when the bytes are none. */
export function decodeBeats(bytes: Buffer): { readonly seq: number; readonly beats: Beat[] } | null {
  const beats: Beat[] = []
  let seq = 0
  let isWhole = true
  const isMessage = eachField(bytes, (field, value, view) => {
    if (!view && field === 1) seq = value
    if (!view || field !== 2) return
    const beat = decodeBeat(view)
    if (beat && beats.length < BEATS_MAX) beats.push(beat)
    else isWhole = false
  })
  return isMessage && isWhole && Number.isSafeInteger(seq) ? { seq, beats } : null
}

function decodeBeat(bytes: Buffer): Beat | null {
  const beat = { stream: 0, seq: 0, term: 0, prevLogTerm: 0, prevLogIndex: 0, committedIndex: 0 }
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

/** The answers to frame `seq`, as a protobuf message without the gRPC prefix. */
export function encodeBeatAcks(seq: number, acks: readonly BeatAck[]): Buffer {
  const parts = acks.map(({ position, status, response }) => encodeAck(position, status, response))
  const out = Buffer.allocUnsafe(11 + parts.reduce((sum, part) => sum + 11 + part.length, 0))
  let at = putField(out, 0, 1, seq)
  for (const part of parts) {
    out[at] = LIST_TAG
    at = putVarint(out, at + 1, part.length)
    at += part.copy(out, at)
  }
  return out.subarray(0, at)
}

/** Reads the answers to a frame; null when the bytes are none. */
export function decodeBeatAcks(bytes: Buffer): { readonly seq: number; readonly acks: BeatAck[] } | null {
  const acks: BeatAck[] = []
  let seq = 0
  let isWhole = true
  const isMessage = eachField(bytes, (field, value, view) => {
    if (!view && field === 1) seq = value
    if (!view || field !== 2) return
    const ack = decodeAck(view)
    if (!ack) isWhole = false
    else
      acks.push(
        ack.response ? { position: ack.seq, status: ack.status, response: ack.response } : { position: ack.seq, status: ack.status },
      )
  })
  return isMessage && isWhole && Number.isSafeInteger(seq) ? { seq, acks } : null
}
