import { MAX_MESSAGE_BYTES } from './grpc.js'
import { GRPC_PREFIX_BYTES } from './peer-codec.js'

export const COMPRESSED = 'a compressed message'

/** Cuts a byte stream into gRPC messages. */
export class MessageReader {
  private chunks: Buffer[] = []
  private length = 0
  /** Of the message at the front, prefix included; 0 while its prefix is not complete. */
  private wanted = 0

  /** Calls `take` for every message that is complete; answers what is wrong with the stream, or null. */
  push(chunk: Buffer, take: (message: Buffer) => void): string | null {
    let rest = this.length === 0 ? chunk : null
    if (!rest) {
      this.chunks.push(chunk)
      this.length += chunk.length
      if (this.length < Math.max(this.wanted, GRPC_PREFIX_BYTES)) return null
      rest = Buffer.concat(this.chunks, this.length)
      this.chunks = []
      this.length = 0
    }
    this.wanted = 0
    while (rest.length >= GRPC_PREFIX_BYTES) {
      const size = rest.readUInt32BE(1)
      if (rest[0] !== 0) return COMPRESSED
      if (size > MAX_MESSAGE_BYTES) return `a message of ${size} bytes`
      this.wanted = GRPC_PREFIX_BYTES + size
      if (rest.length < this.wanted) break
      const end = this.wanted
      this.wanted = 0
      take(rest.subarray(GRPC_PREFIX_BYTES, end))
      if (rest.length === end) return null
      rest = rest.subarray(end)
    }
    if (rest.length > 0) {
      this.chunks.push(rest)
      this.length = rest.length
    }
    return null
  }

  /** A message is begun and not whole. */
  get isWithin(): boolean {
    return this.length > 0
  }
}
