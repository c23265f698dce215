import { MAX_MESSAGE_BYTES } from './grpc.js'

/**
 * brpc's baidu_std frames: `PRPC`, u32 length of the rest, u32 length of the meta, then meta, message and attachment.
 * The meta is brpc.policy.RpcMeta, read and written here by hand: correlation ids use all 64 bits.
 */

export const FRAME_HEADER_BYTES = 12
const MAGIC = 0x50525043

/** The meta of a request or a response; exactly one of the two. Fields that braft never uses are skipped. */
export interface FrameMeta {
  readonly correlationId: bigint
  readonly compressType: number
  readonly attachmentSize: number
  readonly userFields: ReadonlyMap<string, string>
  readonly request: RequestMeta | null
  readonly response: ResponseMeta | null
}

export interface RequestMeta {
  readonly serviceName: string
  readonly methodName: string
  readonly logId?: bigint
  /** How long the caller will wait; absent when it did not say. */
  readonly timeoutMs?: number
}

export interface ResponseMeta {
  readonly errorCode: number
  readonly errorText: string
}

export interface Frame {
  readonly meta: FrameMeta
  /** The message and the attachment, back to back; `attachmentSize` of the meta says where to cut. */
  readonly body: Buffer
}

const NO_FIELDS: ReadonlyMap<string, string> = new Map()

export function requestMeta(
  correlationId: bigint,
  request: RequestMeta,
  rest: { attachmentSize?: number; userFields?: ReadonlyMap<string, string> } = {},
): FrameMeta {
  const { attachmentSize = 0, userFields = NO_FIELDS } = rest
  return { correlationId, compressType: 0, attachmentSize, userFields, request, response: null }
}

export function responseMeta(
  correlationId: bigint,
  response: ResponseMeta,
  rest: { attachmentSize?: number; userFields?: ReadonlyMap<string, string> } = {},
): FrameMeta {
  const { attachmentSize = 0, userFields = NO_FIELDS } = rest
  return { correlationId, compressType: 0, attachmentSize, userFields, request: null, response }
}

/** The message of a frame and its attachment; null when the attachment is said to be longer than the frame. */
export function splitBody(frame: Frame): { message: Buffer; attachment: Buffer } | null {
  const cut = frame.body.length - frame.meta.attachmentSize
  return cut < 0 ? null : { message: frame.body.subarray(0, cut), attachment: frame.body.subarray(cut) }
}

/**
 * A whole frame but for the attachment, which is written after it without a copy; so are `more` bytes of the message, before
 * the attachment. Throws FrameError when it is larger than anybody takes.
 */
export function encodeFrame(meta: FrameMeta, message: Uint8Array, more = 0): Buffer {
  const metaBytes = encodeMeta(meta)
  const bodySize = metaBytes.length + message.length + more + meta.attachmentSize
  if (bodySize > MAX_MESSAGE_BYTES) throw new FrameError(`a frame of ${bodySize} bytes; the limit is ${MAX_MESSAGE_BYTES}`)
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + metaBytes.length + message.length)
  frame.writeUInt32BE(MAGIC, 0)
  frame.writeUInt32BE(bodySize, 4)
  frame.writeUInt32BE(metaBytes.length, 8)
  frame.set(metaBytes, FRAME_HEADER_BYTES)
  frame.set(message, FRAME_HEADER_BYTES + metaBytes.length)
  return frame
}

/** The bytes break the protocol: the connection cannot be used any more. */
export class FrameError extends Error {
  override name = 'FrameError'
}

/**
 * Cuts a byte stream into frames. Holds at most one unfinished frame, and of it only the bytes that arrived; nothing is
 * allocated for a length that was merely announced.
 */
export class FrameReader {
  private chunks: Buffer[] = []
  private buffered = 0
  /** How many bytes the next step needs: a header, or a whole frame. */
  private needed = FRAME_HEADER_BYTES

  /** Bytes of an unfinished frame are waiting for the rest. */
  get isMidFrame(): boolean {
    return this.buffered > 0
  }

  /** Calls `take` for each frame that `chunk` completes. Throws FrameError; after that, drop the reader. */
  read(chunk: Buffer, take: (frame: Frame) => void): void {
    this.chunks.push(chunk)
    this.buffered += chunk.length
    if (this.buffered < this.needed) return
    const bytes = this.chunks.length === 1 ? chunk : Buffer.concat(this.chunks, this.buffered)
    let at = 0
    for (;;) {
      const size = frameSize(bytes, at)
      this.needed = size ?? FRAME_HEADER_BYTES
      if (size === null || bytes.length - at < size) break
      const metaEnd = at + FRAME_HEADER_BYTES + bytes.readUInt32BE(at + 8)
      take({ meta: decodeMeta(bytes.subarray(at + FRAME_HEADER_BYTES, metaEnd)), body: bytes.subarray(metaEnd, at + size) })
      at += size
    }
    this.buffered = bytes.length - at
    this.chunks = this.buffered > 0 ? [bytes.subarray(at)] : []
  }
}

/** Bytes of the frame at `at`, header included; null when its header is not complete. */
function frameSize(bytes: Buffer, at: number): number | null {
  if (bytes.length - at < FRAME_HEADER_BYTES) return null
  if (bytes.readUInt32BE(at) !== MAGIC) throw new FrameError('not a baidu_std frame')
  const bodySize = bytes.readUInt32BE(at + 4)
  if (bodySize > MAX_MESSAGE_BYTES) throw new FrameError(`a frame of ${bodySize} bytes; the limit is ${MAX_MESSAGE_BYTES}`)
  if (bytes.readUInt32BE(at + 8) > bodySize) throw new FrameError('the meta is longer than its frame')
  return FRAME_HEADER_BYTES + bodySize
}

const tag = (field: number, wire: 0 | 2) => (field << 3) | wire

export function encodeMeta(meta: FrameMeta): Buffer {
  const out: number[] = []
  if (meta.request) putBytes(out, 1, encodeRequest(meta.request))
  if (meta.response) putBytes(out, 2, encodeResponse(meta.response))
  putVarint(out, 3, meta.compressType)
  putVarint(out, 4, meta.correlationId)
  if (meta.attachmentSize > 0) putVarint(out, 5, meta.attachmentSize)
  for (const [key, value] of meta.userFields) {
    const entry: number[] = []
    putBytes(entry, 1, Buffer.from(key))
    putBytes(entry, 2, Buffer.from(value))
    putBytes(out, 9, entry)
  }
  return Buffer.from(out)
}

function encodeRequest(request: RequestMeta): number[] {
  const out: number[] = []
  putBytes(out, 1, Buffer.from(request.serviceName))
  putBytes(out, 2, Buffer.from(request.methodName))
  if (request.logId !== undefined) putVarint(out, 3, request.logId)
  if (request.timeoutMs !== undefined) putVarint(out, 8, request.timeoutMs)
  return out
}

function encodeResponse(response: ResponseMeta): number[] {
  const out: number[] = []
  putVarint(out, 1, response.errorCode)
  if (response.errorText !== '') putBytes(out, 2, Buffer.from(response.errorText))
  return out
}

function putVarint(out: number[], field: number, value: number | bigint): void {
  out.push(tag(field, 0))
  rawVarint(out, BigInt.asUintN(64, BigInt(value)))
}

function rawVarint(out: number[], value: bigint): void {
  let rest = value
  while (rest > 0xffff_ffffn) {
    out.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  let small = Number(rest)
  while (small > 0x7f) {
    out.push((small & 0x7f) | 0x80)
    small = Math.floor(small / 0x80)
  }
  out.push(small)
}

function putBytes(out: number[], field: number, bytes: ArrayLike<number>): void {
  out.push(tag(field, 2))
  rawVarint(out, BigInt(bytes.length))
  for (let i = 0; i < bytes.length; i++) out.push(bytes[i]!)
}

/** Reads a meta; throws FrameError when the bytes are none. */
export function decodeMeta(bytes: Buffer): FrameMeta {
  let request: RequestMeta | null = null
  let response: ResponseMeta | null = null
  let correlationId = 0n
  let compressType = 0
  let attachmentSize = 0
  let userFields: Map<string, string> | null = null
  for (const field of fieldsIn(bytes)) {
    if (field.id === tag(1, 2)) request = decodeRequest(field.bytes)
    else if (field.id === tag(2, 2)) response = decodeResponse(field.bytes)
    else if (field.id === tag(3, 0)) compressType = int32(field.value)
    else if (field.id === tag(4, 0)) correlationId = BigInt.asIntN(64, field.value)
    else if (field.id === tag(5, 0)) attachmentSize = int32(field.value)
    else if (field.id === tag(9, 2)) (userFields ??= new Map()).set(...decodeEntry(field.bytes))
  }
  if (attachmentSize < 0) throw new FrameError('a negative attachment size')
  return { correlationId, compressType, attachmentSize, userFields: userFields ?? NO_FIELDS, request, response }
}

function decodeRequest(bytes: Buffer): RequestMeta {
  let serviceName: string | null = null
  let methodName: string | null = null
  let logId: bigint | undefined
  let timeoutMs: number | undefined
  for (const field of fieldsIn(bytes)) {
    if (field.id === tag(1, 2)) serviceName = field.bytes.toString()
    else if (field.id === tag(2, 2)) methodName = field.bytes.toString()
    else if (field.id === tag(3, 0)) logId = BigInt.asIntN(64, field.value)
    else if (field.id === tag(8, 0)) timeoutMs = int32(field.value)
  }
  if (serviceName === null || methodName === null) throw new FrameError('a request without service or method')
  return { serviceName, methodName, ...(logId === undefined ? {} : { logId }), ...(timeoutMs === undefined ? {} : { timeoutMs }) }
}

function decodeResponse(bytes: Buffer): ResponseMeta {
  let errorCode = 0
  let errorText = ''
  for (const field of fieldsIn(bytes)) {
    if (field.id === tag(1, 0)) errorCode = int32(field.value)
    else if (field.id === tag(2, 2)) errorText = field.bytes.toString()
  }
  return { errorCode, errorText }
}

function decodeEntry(bytes: Buffer): [string, string] {
  let key = ''
  let value = ''
  for (const field of fieldsIn(bytes)) {
    if (field.id === tag(1, 2)) key = field.bytes.toString()
    else if (field.id === tag(2, 2)) value = field.bytes.toString()
  }
  return [key, value]
}

interface Field {
  /** Field number and wire type. */
  readonly id: number
  /** Of a varint. */
  readonly value: bigint
  /** Of a length-delimited field. */
  readonly bytes: Buffer
}

const NO_BYTES = Buffer.alloc(0)

function* fieldsIn(bytes: Buffer): Generator<Field> {
  const at = { offset: 0 }
  while (at.offset < bytes.length) {
    const id = Number(readVarint(bytes, at))
    const wire = id & 7
    if (id >>> 3 === 0 || id > 0xffff_ffff) throw new FrameError('a field without a number')
    if (wire === 0) yield { id, value: readVarint(bytes, at), bytes: NO_BYTES }
    else if (wire === 2) {
      const length = Number(readVarint(bytes, at))
      if (length > bytes.length - at.offset) throw new FrameError('a field longer than its message')
      yield { id, value: 0n, bytes: bytes.subarray(at.offset, (at.offset += length)) }
    } else if (wire === 1 || wire === 5) {
      at.offset += wire === 1 ? 8 : 4
      if (at.offset > bytes.length) throw new FrameError('a field longer than its message')
    } else throw new FrameError('an unknown wire type')
  }
}

function readVarint(bytes: Buffer, at: { offset: number }): bigint {
  let low = 0
  let scale = 1
  for (let i = 0; i < 7; i++) {
    const byte = next(bytes, at)
    low += (byte & 0x7f) * scale
    if (byte < 0x80) return BigInt(low)
    scale *= 0x80
  }
  let value = BigInt(low)
  for (let shift = 49n; shift < 70n; shift += 7n) {
    const byte = next(bytes, at)
    value |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return BigInt.asUintN(64, value)
  }
  throw new FrameError('a number of more than ten bytes')
}

function next(bytes: Buffer, at: { offset: number }): number {
  const byte = bytes[at.offset++]
  if (byte === undefined) throw new FrameError('a number that is cut short')
  return byte
}

function int32(value: bigint): number {
  return Number(BigInt.asIntN(32, value))
}
