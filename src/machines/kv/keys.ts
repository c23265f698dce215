/**
 * A key or a value as a string with one character per byte (latin1). The order of such strings is the order of the
 * unsigned bytes, V8 compares them by memcmp and keeps one byte per character, they need no copy to outlive the log's
 * memory, and a small one costs a fraction of a Buffer.
 */
export type ByteString = string

export function byteString(bytes: Uint8Array | null | undefined): ByteString {
  if (!bytes || bytes.length === 0) return ''
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}

export function bytesOf(text: ByteString): Buffer {
  return Buffer.from(text, 'latin1')
}

export function compareBytes(a: ByteString, b: ByteString): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Keys from `start` on, below `end`; without an end when null. */
export interface KeyRange {
  readonly start: ByteString
  readonly end: ByteString | null
}

/** etcd's (key, range_end): empty end is the one key, a single zero byte is everything from the key on. */
export function keyRange(key: Uint8Array | null | undefined, rangeEnd: Uint8Array | null | undefined): KeyRange {
  const start = byteString(key)
  if (!rangeEnd || rangeEnd.length === 0) return { start, end: `${start}\0` }
  if (rangeEnd.length === 1 && rangeEnd[0] === 0) return { start, end: null }
  return { start, end: byteString(rangeEnd) }
}

export function inRange(key: ByteString, range: KeyRange): boolean {
  return key >= range.start && (range.end === null || key < range.end)
}

/** The range_end that makes (prefix, range_end) all keys with this prefix. */
export function prefixEnd(prefix: Uint8Array): Buffer {
  for (let last = prefix.length - 1; last >= 0; last--) {
    const byte = prefix[last] as number
    if (byte === 0xff) continue
    const end = Buffer.from(prefix.subarray(0, last + 1))
    end[last] = byte + 1
    return end
  }
  return Buffer.from([0])
}
