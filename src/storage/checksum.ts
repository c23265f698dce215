import { crc32c as nativeCrc32c } from '@node-rs/crc32'
import { type Checksum, ChecksumType } from '../raft/environment.js'

/** Below this many bytes the table in JavaScript beats the call into native code. */
const NATIVE_FROM_BYTES = 200

const CASTAGNOLI_REFLECTED = 0x82f63b78

/** Four tables for slicing-by-4: TABLES[k * 256 + b] is the CRC of byte b followed by k zero bytes. */
const TABLES = slicingTables(4)

function slicingTables(count: number): Int32Array {
  const tables = new Int32Array(count * 256)
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CASTAGNOLI_REFLECTED : crc >>> 1
    tables[byte] = crc
  }
  for (let i = 256; i < tables.length; i++) {
    const previous = tables[i - 256]!
    tables[i] = (previous >>> 8) ^ tables[previous & 0xff]!
  }
  return tables
}

/** CRC-32C (Castagnoli, reflected, not masked) of a range as an unsigned number; `previous` is that of the bytes before. */
export function crc32c(bytes: Uint8Array, previous = 0, from = 0, to = bytes.length): number {
  if (to - from < NATIVE_FROM_BYTES) return tableCrc32c(bytes, previous, from, to)
  return nativeCrc32c(to - from === bytes.length ? bytes : bytes.subarray(from, to), previous)
}

/** The same in JavaScript, for any length. */
export function tableCrc32c(bytes: Uint8Array, previous = 0, from = 0, to = bytes.length): number {
  let crc = ~previous
  let i = from
  for (; i + 4 <= to; i += 4) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    crc = TABLES[768 + (crc & 0xff)]! ^ TABLES[512 + ((crc >>> 8) & 0xff)]! ^ TABLES[256 + ((crc >>> 16) & 0xff)]! ^ TABLES[crc >>> 24]!
  }
  for (; i < to; i++) crc = (crc >>> 8) ^ TABLES[(crc ^ bytes[i]!) & 0xff]!
  return ~crc >>> 0
}

/** MurmurHash3_x86_32 with seed 0, as an unsigned number: what braft writes on machines without a CRC instruction. */
export function murmur32(bytes: Uint8Array): number {
  const whole = bytes.length & ~3
  let hash = 0
  for (let i = 0; i < whole; i += 4) {
    const word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    hash ^= scramble(word)
    hash = Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64
  }
  let tail = 0
  for (let i = bytes.length - 1; i >= whole; i--) tail = (tail << 8) | bytes[i]!
  if (bytes.length > whole) hash ^= scramble(tail)
  hash ^= bytes.length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function scramble(word: number): number {
  const mixed = Math.imul(word, 0xcc9e2d51)
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593)
}

/** The production checksums; pure, so the simulator uses them too. */
export const checksum: Checksum = { crc32c, murmur32, ofEntries: ChecksumType.CRC32C }

/** The same for a log that is written as by a braft without a CRC instruction. */
export const murmurChecksum: Checksum = { ...checksum, ofEntries: ChecksumType.MURMUR32 }
