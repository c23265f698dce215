import { example } from '../../generated/block.js'
import { fromInt64 } from '../../raft/types.js'

/** Bytes to be written at an offset. */
export interface BlockWrite {
  readonly offset: number
  /** A view into what it was read from. */
  readonly data: Buffer
}

const LENGTH_BYTES = 4

/** A u32 with the length of the request, the request, the bytes, as braft writes it. */
export function encodeWrite(request: example.BlockRequest.$Properties, data: Buffer): Buffer {
  const message = example.BlockRequest.encode(request).finish()
  const length = Buffer.allocUnsafe(LENGTH_BYTES)
  length.writeUInt32BE(message.length)
  return Buffer.concat([length, message, data])
}

/** Null for bytes that are no command, which change nothing on any member. */
export function decodeWrite(bytes: Buffer): BlockWrite | null {
  if (bytes.length < LENGTH_BYTES) return null
  const end = LENGTH_BYTES + bytes.readUInt32BE()
  if (end > bytes.length) return null
  try {
    const { offset } = example.BlockRequest.decode(bytes.subarray(LENGTH_BYTES, end))
    return { offset: fromInt64(offset), data: bytes.subarray(end) }
  } catch {
    return null
  }
}
