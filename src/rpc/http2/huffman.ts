import { ErrorCode, Http2Error } from './error.js'

/**
 * Huffman code of HPACK (RFC 7541 §5.2, appendix B). It is canonical: codes of one length are consecutive and in the order of
 * their symbols, so that the lengths say all. Symbol 256 ends a string and is never written.
 */
const LENGTHS: readonly number[] = [
  ...[13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28],
  ...[6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10],
  ...[13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
  ...[15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28],
  ...[20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24],
  ...[22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23],
  ...[26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27],
  ...[20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26],
  30,
]
const LENGTH_MAX = 30
const END = 256

/** By length: how many symbols have it, the first of their codes, and where they begin among all, sorted by length and symbol. */
const counts = new Int32Array(LENGTH_MAX + 1)
const firstCodes = new Int32Array(LENGTH_MAX + 1)
const offsets = new Int32Array(LENGTH_MAX + 1)
const symbols = Int32Array.from([...LENGTHS.keys()].sort((a, b) => LENGTHS[a]! - LENGTHS[b]! || a - b))
for (const length of LENGTHS) counts[length]!++
for (let length = 1, code = 0, offset = 0; length <= LENGTH_MAX; length++) {
  firstCodes[length] = code
  offsets[length] = offset
  code = (code + counts[length]!) * 2
  offset += counts[length]!
}

/** Bytes as latin1, each a character. Throws COMPRESSION_ERROR for what no encoder writes: the end symbol, or a wrong padding. */
export function decodeHuffman(bytes: Uint8Array, from: number, to: number): string {
  let text = ''
  let code = 0
  let length = 0
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!
    for (let bit = 7; bit >= 0; bit--) {
      code = (code << 1) | ((byte >> bit) & 1)
      length++
      const rank = code - firstCodes[length]!
      if (rank < counts[length]!) {
        const symbol = symbols[offsets[length]! + rank]!
        if (symbol === END) throw wrong('holds the end symbol')
        text += String.fromCharCode(symbol)
        code = 0
        length = 0
      }
    }
  }
  // What is left are the highest bits of the end symbol: ones, and less than a byte of them.
  if (length > 7 || code !== (1 << length) - 1) throw wrong('ends within a symbol')
  return text
}

function wrong(what: string): Http2Error {
  return new Http2Error(ErrorCode.COMPRESSION_ERROR, `a Huffman string ${what}`)
}
