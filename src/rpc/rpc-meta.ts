/** brpc.policy.RpcMeta, read and written here by hand: correlation ids use all 64 bits, and every call by baidu_std has two of it. */

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
  readonly logId?: bigint | undefined
  /** How long the caller will wait; absent when it did not say. */
  readonly timeoutMs?: number | undefined
}

export interface ResponseMeta {
  readonly errorCode: number
  readonly errorText: string
}

/** The bytes break the protocol: the connection cannot be used any more. */
export class FrameError extends Error {
  override name = 'FrameError'
}

const Wire = { VARINT: 0, FIXED64: 1, BYTES: 2, FIXED32: 5 } as const
/** The tags of all fields below 16, whose tags are one byte. */
const Tag = {
  request: 0x0a,
  response: 0x12,
  compressType: 0x18,
  correlationId: 0x20,
  attachmentSize: 0x28,
  userField: 0x4a,
  first: 0x0a,
  second: 0x12,
  errorCode: 0x08,
  logId: 0x18,
  timeoutMs: 0x40,
} as const

const NO_FIELDS: ReadonlyMap<string, string> = new Map()
const LOW_BITS = 0xffff_ffffn
const VARINT_BYTES_MAX = 10
const SHORT_BYTES = 64

// ---- writing ----

/** Where a meta is written before it is copied into its frame; one at a time, since nothing waits in between. */
let scratch = Buffer.allocUnsafe(4096)
let at = 0

export function encodeMeta(meta: FrameMeta): Buffer {
  const bytes = Buffer.allocUnsafe(writeMeta(meta))
  copyMeta(bytes, 0)
  return bytes
}

/** Writes a meta down for `copyMeta`, and answers how many bytes it has. */
export function writeMeta(meta: FrameMeta): number {
  at = 0
  if (meta.request) writeRequest(meta.request)
  if (meta.response) writeResponse(meta.response)
  room(64)
  writeNumber(Tag.compressType, meta.compressType)
  writeBig(Tag.correlationId, meta.correlationId)
  if (meta.attachmentSize > 0) writeNumber(Tag.attachmentSize, meta.attachmentSize)
  if (meta.userFields.size > 0) for (const [key, value] of meta.userFields) writeEntry(key, value)
  return at
}

/** Copies the meta that was written last. */
export function copyMeta(to: Buffer, offset: number): void {
  // Most have some twenty bytes, for which a call costs more.
  if (at > SHORT_BYTES) scratch.copy(to, offset, 0, at)
  else for (let i = 0; i < at; i++) to[offset + i] = scratch[i]!
}

function writeRequest({ serviceName, methodName, logId, timeoutMs }: RequestMeta): void {
  const start = beginNested(Tag.request, 3 * (serviceName.length + methodName.length) + 64)
  writeText(Tag.first, serviceName)
  writeText(Tag.second, methodName)
  if (logId !== undefined) writeBig(Tag.logId, logId)
  if (timeoutMs !== undefined) writeNumber(Tag.timeoutMs, timeoutMs)
  endNested(start)
}

function writeResponse({ errorCode, errorText }: ResponseMeta): void {
  const start = beginNested(Tag.response, 3 * errorText.length + 64)
  writeNumber(Tag.errorCode, errorCode)
  if (errorText !== '') writeText(Tag.second, errorText)
  endNested(start)
}

function writeEntry(key: string, value: string): void {
  const start = beginNested(Tag.userField, 3 * (key.length + value.length) + 64)
  writeText(Tag.first, key)
  writeText(Tag.second, value)
  endNested(start)
}

/** Begins a message within the meta that will not be longer than that; answers where its bytes start. */
function beginNested(tag: number, bytesMax: number): number {
  room(bytesMax + 1 + VARINT_BYTES_MAX)
  scratch[at++] = tag
  at++ // its length, where that is one byte
  return at
}

function endNested(start: number): void {
  const length = at - start
  let lengthBytes = 1
  for (let rest = length; rest > 0x7f; rest = Math.floor(rest / 0x80)) lengthBytes++
  if (lengthBytes > 1) scratch.copyWithin(start - 1 + lengthBytes, start, at)
  at = start - 1
  writeVarint(length)
  at += length
}

function writeText(tag: number, text: string): void {
  const start = beginNested(tag, 3 * text.length)
  at += scratch.write(text, at)
  endNested(start)
}

/** As an int32 or an int64 is written: what is negative takes ten bytes. */
function writeNumber(tag: number, value: number): void {
  if (value < 0) return writeBig(tag, BigInt(value))
  scratch[at++] = tag
  writeVarint(value)
}

function writeBig(tag: number, value: bigint): void {
  scratch[at++] = tag
  let rest = BigInt.asUintN(64, value)
  while (rest > LOW_BITS) {
    scratch[at++] = Number(rest & 0x7fn) | 0x80
    rest >>= 7n
  }
  writeVarint(Number(rest))
}

function writeVarint(value: number): void {
  let rest = value
  while (rest > 0x7f) {
    scratch[at++] = (rest & 0x7f) | 0x80
    rest = Math.floor(rest / 0x80)
  }
  scratch[at++] = rest
}

function room(bytes: number): void {
  if (scratch.length - at >= bytes) return
  const larger = Buffer.allocUnsafe(2 * (at + bytes))
  scratch.copy(larger, 0, 0, at)
  scratch = larger
}

// ---- reading ----

/** Longer ones are not remembered. */
const REMEMBERED_BYTES_MAX = 256

/** The request part of the last meta of a connection: whoever calls a method again says the same of it, byte by byte. */
export class LastRequest {
  private bytes = Buffer.alloc(0)
  private request: RequestMeta | null = null

  /** What bytes[from, to) say, if they are those of the last one. */
  read(bytes: Buffer, from: number, to: number): RequestMeta | null {
    const { bytes: last } = this
    if (to - from !== last.length) return null
    for (let i = 0; i < last.length; i++) if (last[i] !== bytes[from + i]) return null
    return this.request
  }

  remember(bytes: Buffer, from: number, to: number, request: RequestMeta): void {
    if (to - from > REMEMBERED_BYTES_MAX) return
    // Not of the pool: one that is kept would keep all of it.
    this.bytes = Buffer.allocUnsafeSlow(to - from)
    bytes.copy(this.bytes, 0, from, to)
    this.request = request
  }
}

/** Reads the meta in bytes[from, to); throws FrameError when they are none. */
export function decodeMeta(bytes: Buffer, from = 0, to = bytes.length, last: LastRequest | null = null): FrameMeta {
  const fields = new Fields(bytes, from, to)
  let request: RequestMeta | null = null
  let response: ResponseMeta | null = null
  let correlationId = 0n
  let compressType = 0
  let attachmentSize = 0
  let userFields: Map<string, string> | null = null
  while (fields.next()) {
    if (fields.tag === Tag.request) request = readRequest(fields, last)
    else if (fields.tag === Tag.response) response = decodeResponse(fields.nested())
    else if (fields.tag === Tag.compressType) compressType = fields.int32
    else if (fields.tag === Tag.correlationId) correlationId = fields.int64
    else if (fields.tag === Tag.attachmentSize) attachmentSize = fields.int32
    else if (fields.tag === Tag.userField) (userFields ??= new Map()).set(...decodeEntry(fields.nested()))
  }
  if (attachmentSize < 0) throw new FrameError('a negative attachment size')
  return { correlationId, compressType, attachmentSize, userFields: userFields ?? NO_FIELDS, request, response }
}

function readRequest(fields: Fields, last: LastRequest | null): RequestMeta {
  const { bytes, start, offset } = fields
  const same = last?.read(bytes, start, offset)
  if (same) return same
  const request = decodeRequest(fields.nested())
  last?.remember(bytes, start, offset, request)
  return request
}

function decodeRequest(fields: Fields): RequestMeta {
  let serviceName: string | null = null
  let methodName: string | null = null
  let logId: bigint | undefined
  let timeoutMs: number | undefined
  while (fields.next()) {
    if (fields.tag === Tag.first) serviceName = fields.text
    else if (fields.tag === Tag.second) methodName = fields.text
    else if (fields.tag === Tag.logId) logId = fields.int64
    else if (fields.tag === Tag.timeoutMs) timeoutMs = fields.int32
  }
  if (serviceName === null || methodName === null) throw new FrameError('a request without service or method')
  if (logId === undefined && timeoutMs === undefined) return { serviceName, methodName }
  return { serviceName, methodName, ...(logId === undefined ? {} : { logId }), ...(timeoutMs === undefined ? {} : { timeoutMs }) }
}

function decodeResponse(fields: Fields): ResponseMeta {
  let errorCode = 0
  let errorText = ''
  while (fields.next()) {
    if (fields.tag === Tag.errorCode) errorCode = fields.int32
    else if (fields.tag === Tag.second) errorText = fields.text
  }
  return { errorCode, errorText }
}

function decodeEntry(fields: Fields): [string, string] {
  let key = ''
  let value = ''
  while (fields.next()) {
    if (fields.tag === Tag.first) key = fields.text
    else if (fields.tag === Tag.second) value = fields.text
  }
  return [key, value]
}

/** Goes through the fields of a message. What is read of a field stands until the next one. */
class Fields {
  tag = 0
  /** Where a field of bytes starts; it ends at `offset`. */
  start = 0
  /** Of a varint. */
  private low = 0
  private high = 0

  constructor(
    readonly bytes: Buffer,
    /** Behind the field. */
    public offset: number,
    private readonly end: number,
  ) {}

  /** False at the end. */
  next(): boolean {
    if (this.offset >= this.end) return false
    this.readVarint()
    const tag = this.low
    if (this.high !== 0 || tag >>> 3 === 0) throw new FrameError('a field without a number')
    const wire = tag & 7
    if (wire === Wire.VARINT) this.readVarint()
    else if (wire === Wire.BYTES) {
      this.readVarint()
      const length = this.high * 2 ** 32 + this.low
      this.skip(length)
      this.start = this.offset - length
    } else if (wire === Wire.FIXED64) this.skip(8)
    else if (wire === Wire.FIXED32) this.skip(4)
    else throw new FrameError('an unknown wire type')
    this.tag = tag
    return true
  }

  get int32(): number {
    return this.low | 0
  }

  get int64(): bigint {
    if (this.high === 0) return BigInt(this.low)
    return BigInt.asIntN(64, (BigInt(this.high) << 32n) | BigInt(this.low))
  }

  get text(): string {
    return this.bytes.toString('utf8', this.start, this.offset)
  }

  nested(): Fields {
    return new Fields(this.bytes, this.start, this.offset)
  }

  private skip(length: number): void {
    if (length > this.end - this.offset) throw new FrameError('a field longer than its message')
    this.offset += length
  }

  private readVarint(): void {
    let low = 0
    let high = 0
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      if (this.offset >= this.end) throw new FrameError('a number that is cut short')
      const byte = this.bytes[this.offset++]!
      const bits = byte & 0x7f
      if (i < 4) low |= bits << (7 * i)
      else if (i === 4) {
        low |= bits << 28
        high = bits >>> 4
      } else high |= bits << (7 * i - 32)
      if (byte < 0x80) {
        this.low = low >>> 0
        this.high = high >>> 0
        return
      }
    }
    throw new FrameError('a number of more than ten bytes')
  }
}
