import { decodeConfiguration } from '../raft/configuration.js'
import type { Checksum } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { EntryBatch, EntryType } from '../raft/log-entry.js'
import type { AppendEntriesRequest, AppendEntriesResponse } from '../raft/messages.js'
import type { PeerId } from '../raft/peer-id.js'
import { asTerm, logIndex, plus } from '../raft/types.js'

/**
 * The two messages of the append stream (proto/peer.proto: AppendFrame, AppendAck), encoded and decoded by hand: they are
 * the hot path. The entries are never copied here: they leave as the bytes of the log and arrive as a view.
 */

/** Before each message of a gRPC stream: a flag byte and a 32-bit length. */
export const GRPC_PREFIX_BYTES = 5

const FRAME_ENTRIES_TAG = (15 << 3) | 2
const ACK_TEXT_TAG = (8 << 3) | 2

/** Six varint fields of at most 11 bytes, and the length of the entries. */
const FRAME_HEAD_BYTES = GRPC_PREFIX_BYTES + 6 * 11 + 11

/** Who an append stream connects: fixed for its life, so not in its frames. */
export interface StreamRoute {
  readonly groupId: string
  readonly from: PeerId
  readonly to: PeerId
}

/**
 * A frame for the socket, in the two pieces that make one gRPC message: the head (with the message prefix) and the
 * entries' own bytes, null when there are none.
 */
export function encodeFrame(seq: number, request: AppendEntriesRequest): { head: Buffer; entries: Buffer | null } {
  const entries = request.entries?.bytes ?? null
  const head = Buffer.allocUnsafe(FRAME_HEAD_BYTES)
  let at = GRPC_PREFIX_BYTES
  at = putField(head, at, 1, seq)
  at = putField(head, at, 2, request.term)
  at = putField(head, at, 3, request.prevLogTerm)
  at = putField(head, at, 4, request.prevLogIndex)
  at = putField(head, at, 5, request.committedIndex)
  at = putField(head, at, 6, Number(request.outranked ?? false))
  if (entries) {
    head[at++] = FRAME_ENTRIES_TAG
    at = putVarint(head, at, entries.length)
  }
  head[0] = 0
  head.writeUInt32BE(at - GRPC_PREFIX_BYTES + (entries?.length ?? 0), 1)
  return { head: head.subarray(0, at), entries }
}

/**
 * Reads a frame that came from a peer. Every checksum of every entry is verified before anything else sees it.
 * EREQUEST when the bytes are no frame, an entry is damaged, is no configuration though it says so, or its term cannot stand there: such a frame must not be stored.
 */
export function decodeFrame(
  bytes: Buffer,
  route: StreamRoute,
  checksum: Checksum,
): { seq: number; status: Status; request?: AppendEntriesRequest } {
  const values = [0, 0, 0, 0, 0, 0, 0]
  let entries: Buffer | null = null
  const ok = eachField(bytes, (field, value, view) => {
    if (view && field === 15) entries = view
    else if (!view && field < values.length) values[field] = value
  })
  const [, seq = 0, term = 0, prevLogTerm = 0, prevLogIndex = 0, committedIndex = 0, outranked = 0] = values
  if (!ok || !values.every(Number.isSafeInteger)) return { seq, status: Status.error(ErrorCode.EREQUEST, 'not an append frame') }
  let batch: EntryBatch | null = null
  const raw = entries as Buffer | null
  if (raw && raw.length > 0) {
    const parsed = EntryBatch.parse(logIndex(prevLogIndex + 1), raw, checksum)
    if (parsed.problem || !parsed.batch) {
      const where = `entry ${prevLogIndex + 1 + (parsed.batch?.count ?? 0)} from ${route.from}`
      return { seq, status: Status.error(ErrorCode.EREQUEST, `${where} arrived damaged: ${parsed.problem}`) }
    }
    batch = parsed.batch
    const problem = batch.misplaced(asTerm(prevLogTerm), asTerm(term)) ?? unreadable(batch)
    if (problem) return { seq, status: Status.error(ErrorCode.EREQUEST, `from ${route.from}: ${problem}`) }
  }
  const request: AppendEntriesRequest = {
    groupId: route.groupId,
    serverId: route.from,
    peerId: route.to,
    term: asTerm(term),
    prevLogTerm: asTerm(prevLogTerm),
    prevLogIndex: logIndex(prevLogIndex),
    committedIndex: logIndex(committedIndex),
    entries: batch,
    ...(outranked === 0 ? {} : { outranked: true }),
  }
  return { seq, status: Status.OK, request }
}

/** Which configuration in it is none; null when all are. Their checksums are right: whoever wrote it is broken. */
function unreadable(batch: EntryBatch): string | null {
  for (let index = batch.firstIndex; index <= batch.lastIndex; index = plus(index, 1)) {
    if (batch.typeAt(index) !== EntryType.CONFIGURATION) continue
    const id = { index, term: batch.termAt(index) }
    if (!decodeConfiguration(batch.dataAt(index), id)) return `entry ${index} holds no configuration`
  }
  return null
}

/** The answer to frame `seq`, as a protobuf message without the gRPC prefix. */
export function encodeAck(seq: number, status: Status, response?: AppendEntriesResponse): Buffer {
  const text = status.ok ? null : Buffer.from(status.message)
  const out = Buffer.allocUnsafe(9 * 11 + 11 + (text?.length ?? 0))
  let at = putField(out, 0, 1, seq)
  if (response) {
    at = putField(out, at, 2, response.term)
    at = putField(out, at, 3, Number(response.success))
    at = putField(out, at, 4, response.lastLogIndex)
    at = putField(out, at, 5, Number(response.short))
    at = putField(out, at, 6, Number(response.rebuilding))
    at = putField(out, at, 9, Number(response.readonly))
    if (response.priority !== undefined) at = putField(out, at, 10, response.priority + 1)
  }
  if (!status.ok) at = putField(out, at, 7, status.code)
  if (text) {
    out[at++] = ACK_TEXT_TAG
    at = putVarint(out, at, text.length)
    at += text.copy(out, at)
  }
  return out.subarray(0, at)
}

/** Reads an acknowledgement; null when the bytes are none. */
export function decodeAck(bytes: Buffer): { seq: number; status: Status; response?: AppendEntriesResponse } | null {
  const values = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
  let text = ''
  const ok = eachField(bytes, (field, value, view) => {
    if (view && field === 8) text = view.toString('utf8')
    else if (!view && field < values.length) values[field] = value
  })
  const [, seq = 0, term = 0, success = 0, lastLogIndex = 0, short = 0, rebuilding = 0, code = 0, , readonly = 0, priority = 0] = values
  if (!ok || !values.every(Number.isSafeInteger)) return null
  if (code !== 0) return { seq, status: new Status(code, text) }
  const response: AppendEntriesResponse = {
    term: asTerm(term),
    success: success !== 0,
    lastLogIndex: logIndex(lastLogIndex),
    readonly: readonly !== 0,
    short: short !== 0,
    rebuilding: rebuilding !== 0,
    ...(priority === 0 ? {} : { priority: priority - 1 }),
  }
  return { seq, status: Status.OK, response }
}

/** Proto3 leaves zeroes out. */
export function putField(out: Buffer, at: number, field: number, value: number): number {
  if (value === 0) return at
  out[at] = field << 3
  return putVarint(out, at + 1, value)
}

export function putVarint(out: Buffer, at: number, value: number): number {
  let rest = value
  let i = at
  while (rest >= 0x80) {
    out[i++] = (rest % 0x80) | 0x80
    rest = Math.floor(rest / 0x80)
  }
  out[i++] = rest
  return i
}

/** Calls `see` for each varint and each length-delimited field; other kinds are skipped. False when the bytes are no message. */
export function eachField(bytes: Buffer, see: (field: number, value: number, view: Buffer | null) => void): boolean {
  const at = { offset: 0 }
  while (at.offset < bytes.length) {
    const tag = getVarint(bytes, at)
    if (tag < 8) return false
    const field = Math.floor(tag / 8)
    const wire = tag % 8
    if (wire === 0) {
      const value = getVarint(bytes, at)
      if (value < 0) return false
      see(field, value, null)
    } else if (wire === 2) {
      const length = getVarint(bytes, at)
      if (length < 0 || at.offset + length > bytes.length) return false
      see(field, 0, bytes.subarray(at.offset, at.offset + length))
      at.offset += length
    } else if (wire === 1 || wire === 5) {
      at.offset += wire === 1 ? 8 : 4
      if (at.offset > bytes.length) return false
    } else return false
  }
  return true
}

/** -1 when the bytes end first or never end. */
export function getVarint(bytes: Buffer, at: { offset: number }): number {
  let value = 0
  let scale = 1
  for (let i = 0; i < 10; i++) {
    const byte = bytes[at.offset++]
    if (byte === undefined) return -1
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return value
    scale *= 0x80
  }
  return -1
}
