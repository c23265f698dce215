import { MAX_MESSAGE_BYTES } from './grpc.js'
import {
  copyMeta,
  decodeMeta,
  FrameError,
  type FrameMeta,
  LastRequest,
  type RequestMeta,
  type ResponseMeta,
  writeMeta,
} from './rpc-meta.js'
import type { TurnWriter } from './turn-writer.js'

/**
 * brpc's baidu_std frames: `PRPC`, u32 length of the rest, u32 length of the meta, then meta (rpc-meta.ts), message and attachment.
 */

export const FRAME_HEADER_BYTES = 12
const MAGIC = 0x50525043

export interface Frame {
  readonly meta: FrameMeta
  /** The message and the attachment, back to back; `attachmentSize` of the meta says where to cut. */
  readonly body: Buffer
}

const NO_FIELDS: ReadonlyMap<string, string> = new Map()
const NO_BYTES = Buffer.alloc(0)

/** Of a meta, where it is not as most are. */
interface MetaRest {
  readonly attachmentSize?: number
  readonly userFields?: ReadonlyMap<string, string> | undefined
}

export function requestMeta(correlationId: bigint, request: RequestMeta, rest: MetaRest = {}): FrameMeta {
  const { attachmentSize = 0, userFields = NO_FIELDS } = rest
  return { correlationId, compressType: 0, attachmentSize, userFields, request, response: null }
}

export function responseMeta(correlationId: bigint, response: ResponseMeta, rest: MetaRest = {}): FrameMeta {
  const { attachmentSize = 0, userFields = NO_FIELDS } = rest
  return { correlationId, compressType: 0, attachmentSize, userFields, request: null, response }
}

/** The message of a frame and its attachment; null when the attachment is said to be longer than the frame. */
export function splitBody({ meta, body }: Frame): { message: Buffer; attachment: Buffer } | null {
  if (meta.attachmentSize === 0) return { message: body, attachment: NO_BYTES }
  const cut = body.length - meta.attachmentSize
  return cut < 0 ? null : { message: body.subarray(0, cut), attachment: body.subarray(cut) }
}

/**
 * A whole frame but for the attachment, which is written after it without a copy; so are `more` bytes of the message, before
 * the attachment. Throws FrameError when it is larger than anybody takes.
 */
export function encodeFrame(meta: FrameMeta, message: Uint8Array, more = 0): Buffer {
  const metaBytes = writeMeta(meta)
  const bodyBytes = bodyBytesOf(meta, metaBytes, message.length + more)
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + metaBytes + message.length)
  fill(frame, 0, { metaBytes, bodyBytes, message })
  return frame
}

/** As encodeFrame, into what `writer` sends at the end of the turn. */
export function writeFrame(writer: TurnWriter, meta: FrameMeta, message: Uint8Array, more = 0): void {
  const metaBytes = writeMeta(meta)
  const bodyBytes = bodyBytesOf(meta, metaBytes, message.length + more)
  const at = writer.reserve(FRAME_HEADER_BYTES + metaBytes + message.length)
  fill(writer.block, at, { metaBytes, bodyBytes, message })
}

function bodyBytesOf(meta: FrameMeta, metaBytes: number, messageBytes: number): number {
  const bytes = metaBytes + messageBytes + meta.attachmentSize
  if (bytes > MAX_MESSAGE_BYTES) throw new FrameError(`a frame of ${bytes} bytes; the limit is ${MAX_MESSAGE_BYTES}`)
  return bytes
}

/** With the meta that was written last. */
function fill(
  out: Buffer,
  at: number,
  { metaBytes, bodyBytes, message }: { readonly metaBytes: number; readonly bodyBytes: number; readonly message: Uint8Array },
): void {
  out.writeUInt32BE(MAGIC, at)
  out.writeUInt32BE(bodyBytes, at + 4)
  out.writeUInt32BE(metaBytes, at + 8)
  copyMeta(out, at + FRAME_HEADER_BYTES)
  out.set(message, at + FRAME_HEADER_BYTES + metaBytes)
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
  private readonly lastRequest = new LastRequest()

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
      const metaAt = at + FRAME_HEADER_BYTES
      const metaEnd = metaAt + bytes.readUInt32BE(at + 8)
      take({ meta: decodeMeta(bytes, metaAt, metaEnd, this.lastRequest), body: bytes.subarray(metaEnd, at + size) })
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
