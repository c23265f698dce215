import { checksum } from '../../src/storage/checksum.js'

/** The whole state of a register machine, as it was after the write at `lastWriteIndex`. */
export interface RegisterState {
  readonly lastWriteIndex: number
  readonly digest: number
  readonly registers: ReadonlyMap<number, number>
}

const HEADER_BYTES = 16
const REGISTER_BYTES = 8

/** u32 checksum of the rest | u32 last write | u32 digest | u32 count | count × (u32 key, u32 serial). */
export function encodeState({ lastWriteIndex, digest, registers }: RegisterState): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + registers.size * REGISTER_BYTES)
  bytes.writeUInt32BE(lastWriteIndex, 4)
  bytes.writeUInt32BE(digest, 8)
  bytes.writeUInt32BE(registers.size, 12)
  let at = HEADER_BYTES
  for (const [key, serial] of [...registers].sort(([a], [b]) => a - b)) {
    bytes.writeUInt32BE(key, at)
    bytes.writeUInt32BE(serial, at + 4)
    at += REGISTER_BYTES
  }
  bytes.writeUInt32BE(checksum.crc32c(bytes.subarray(4)), 0)
  return bytes
}

/** Null when the bytes are not a whole state. */
export function decodeState(bytes: Buffer): RegisterState | null {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32BE(0) !== checksum.crc32c(bytes.subarray(4))) return null
  const registers = new Map<number, number>()
  for (let at = HEADER_BYTES; at < bytes.length; at += REGISTER_BYTES) registers.set(bytes.readUInt32BE(at), bytes.readUInt32BE(at + 4))
  return { lastWriteIndex: bytes.readUInt32BE(4), digest: bytes.readUInt32BE(8), registers }
}

const FILLERS_KEPT = 16
const fillers = new Map<string, Buffer>()

/**
 * Bytes that belong to that state and no other: pieces of two snapshots cannot be taken for one. Not to be changed: the last ones
 * are kept, since a snapshot is made once and looked at on every disk that gets it.
 */
export function fillerOf(digest: number, length: number): Buffer {
  const key = `${digest}/${length}`
  const kept = fillers.get(key)
  if (kept) return kept
  const words = new Uint32Array(Math.ceil(length / 4))
  let word = (digest ^ 0x9e3779b9) | 1
  for (let i = 0; i < words.length; i++) {
    word ^= word << 13
    word ^= word >>> 17
    word ^= word << 5
    words[i] = word
  }
  const filler = Buffer.from(words.buffer, 0, length)
  if (fillers.size >= FILLERS_KEPT) fillers.delete(fillers.keys().next().value!)
  fillers.set(key, filler)
  return filler
}
