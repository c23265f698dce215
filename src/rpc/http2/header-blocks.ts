import { ErrorCode, Http2Error } from './error.js'
import { Flag } from './frames.js'
import { type DecodedHeaders, HeaderDecoder } from './header-decoder.js'

export type HeaderBlock = DecodedHeaders & { readonly endsStream: boolean }

/** Of a compressed block, in how many frames it comes whatever. */
const BLOCK_BYTES_MAX = 64 * 1024
const FRAMES_MAX = 16

/** Puts header blocks together from HEADERS and CONTINUATION frames (RFC 9113 §4.3), and reads them. */
export class HeaderBlocks {
  /** Of the block that is begun. */
  streamId = 0
  private readonly decoder: HeaderDecoder
  private parts: Buffer[] = []
  private bytes = 0
  private endsStream = false

  constructor(listBytesMax: number) {
    this.decoder = new HeaderDecoder(listBytesMax)
  }

  get isOpen(): boolean {
    return this.parts.length > 0
  }

  /** A HEADERS frame; null when more of the block is to come. */
  open(flags: number, streamId: number, payload: Buffer): HeaderBlock | null {
    if (streamId === 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'header fields without a stream')
    let from = 0
    let to = payload.length
    if (flags & Flag.PADDED) {
      to -= payload[0] ?? 0
      from = 1
    }
    if (flags & Flag.PRIORITY) from += 5
    if (from > to) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'more padding than there is')
    this.streamId = streamId
    this.endsStream = (flags & Flag.END_STREAM) !== 0
    return this.take(flags, to - from === payload.length ? payload : payload.subarray(from, to))
  }

  /** A CONTINUATION frame. */
  continue(flags: number, streamId: number, payload: Buffer): HeaderBlock | null {
    if (!this.isOpen || streamId !== this.streamId) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'a continuation of nothing')
    return this.take(flags, payload)
  }

  private take(flags: number, part: Buffer): HeaderBlock | null {
    if (!this.isOpen && flags & Flag.END_HEADERS) return this.blockOf(part)
    this.bytes += part.length
    if (this.bytes > BLOCK_BYTES_MAX || this.parts.length >= FRAMES_MAX)
      throw new Http2Error(ErrorCode.ENHANCE_YOUR_CALM, 'header fields without an end')
    this.parts.push(part)
    if (!(flags & Flag.END_HEADERS)) return null
    const block = Buffer.concat(this.parts)
    this.parts = []
    this.bytes = 0
    return this.blockOf(block)
  }

  private blockOf(block: Buffer): HeaderBlock {
    // Not by a spread: each object would be of a hidden class of its own, and every request reads one.
    const { fields, tooLarge } = this.decoder.decode(block)
    return { fields, tooLarge, endsStream: this.endsStream }
  }
}
