import { ErrorCode, Http2Error } from './error.js'
import { decodeHuffman } from './huffman.js'
import { DEFAULT_TABLE_BYTES, ENTRY_OVERHEAD, STATIC_TABLE } from './static-table.js'

/** A block of at most so many bytes is remembered. */
const REMEMBERED_BYTES_MAX = 1024
const NO_BYTES = Buffer.alloc(0)
/** The largest integer that has a meaning here: lengths and indices are far below. */
const INTEGER_BITS_MAX = 28

/** A block of header fields as far as it was read. */
export interface DecodedHeaders {
  /** Names and values in turns, in order. */
  readonly fields: readonly string[]
  /** They are more than a caller may send; `fields` holds the first of them. */
  readonly tooLarge: boolean
}

/**
 * Reads header blocks of one connection (HPACK, RFC 7541). Blocks are read in the order of their arrival, each whole: the table
 * that both sides keep depends on all before it. Throws COMPRESSION_ERROR, after which the connection is of no use.
 *
 * Callers say the same of call after call: a block with the bytes of the one before it, that left the table as it was, is not
 * read again, and has the same array of fields.
 */
export class HeaderDecoder {
  /** Oldest first. */
  private table: { readonly name: string; readonly value: string }[] = []
  private tableBytes = 0
  private tableBytesMax = DEFAULT_TABLE_BYTES
  private bytes: Buffer = NO_BYTES
  private at = 0
  /** The block that is read adds nothing to the table; another size of it, said again, changes nothing. */
  private keepsTable = true
  /** What the newest block said, while the table is as it was before it; its bytes are copied, and hold no socket's memory. */
  private last: DecodedHeaders | null = null
  private lastBytes: Buffer = NO_BYTES
  private lastLength = 0

  constructor(private readonly listBytesMax: number) {}

  decode(block: Buffer): DecodedHeaders {
    const { last, lastLength } = this
    if (last && block.length === lastLength && block.compare(this.lastBytes, 0, lastLength) === 0) return last
    this.last = null
    this.keepsTable = true
    const decoded = this.read(block)
    if (this.keepsTable && block.length <= REMEMBERED_BYTES_MAX) this.remember(block, decoded)
    return decoded
  }

  private remember(block: Buffer, decoded: DecodedHeaders): void {
    if (this.lastBytes.length < block.length) this.lastBytes = Buffer.alloc(block.length)
    this.lastLength = block.copy(this.lastBytes)
    this.last = decoded
  }

  private read(block: Buffer): DecodedHeaders {
    this.bytes = block
    this.at = 0
    const fields: string[] = []
    let listBytes = 0
    let mayResize = true
    while (this.at < block.length) {
      const first = block[this.at]!
      if ((first & 0xe0) === 0x20) {
        // Only at the beginning of a block (RFC 7541 §4.2).
        if (!mayResize) throw wrong('a change of the table within a block')
        this.resize(this.integer(5))
        continue
      }
      mayResize = false
      const { name, value } = this.field(first)
      listBytes += name.length + value.length + ENTRY_OVERHEAD
      if (listBytes <= this.listBytesMax) fields.push(name, value)
    }
    return { fields, tooLarge: listBytes > this.listBytesMax }
  }

  private field(first: number): { readonly name: string; readonly value: string } {
    if (first & 0x80) return this.entry(this.integer(7))
    // Indexed from now on; or not, or never.
    const isAdded = (first & 0x40) !== 0
    const index = this.integer(isAdded ? 6 : 4)
    const name = index === 0 ? this.text() : this.entry(index).name
    const field = { name, value: this.text() }
    if (isAdded) this.add(field)
    return field
  }

  private entry(index: number): { readonly name: string; readonly value: string } {
    if (index >= 1 && index <= STATIC_TABLE.length) return STATIC_ENTRIES[index - 1]!
    const entry = this.table[this.table.length - (index - STATIC_TABLE.length)]
    if (index === 0 || !entry) throw wrong(`index ${index} of ${STATIC_TABLE.length + this.table.length}`)
    return entry
  }

  private add(field: { readonly name: string; readonly value: string }): void {
    const bytes = sizeOf(field)
    this.keepsTable = false
    this.evictTo(this.tableBytesMax - bytes)
    // One that is larger than the table empties it, and is not kept.
    if (bytes > this.tableBytesMax) return
    this.table.push(field)
    this.tableBytes += bytes
  }

  private resize(bytes: number): void {
    if (bytes > DEFAULT_TABLE_BYTES) throw wrong(`a table of ${bytes} bytes`)
    this.tableBytesMax = bytes
    this.evictTo(bytes)
  }

  private evictTo(bytes: number): void {
    let evicted = 0
    while (this.tableBytes > Math.max(0, bytes) && evicted < this.table.length) this.tableBytes -= sizeOf(this.table[evicted++]!)
    if (evicted > 0) this.table = this.table.slice(evicted)
  }

  private text(): string {
    const isHuffman = (this.byte() & 0x80) !== 0
    const length = this.integer(7)
    const from = this.at
    const to = from + length
    if (to > this.bytes.length) throw wrong('a string that ends outside its block')
    this.at = to
    if (isHuffman) return decodeHuffman(this.bytes, from, to)
    return this.bytes.toString('latin1', from, to)
  }

  /** With as many bits of the first byte as the form leaves (RFC 7541 §5.1). */
  private integer(prefixBits: number): number {
    const most = (1 << prefixBits) - 1
    let value = this.byte() & most
    this.at++
    if (value < most) return value
    for (let shift = 0; shift <= INTEGER_BITS_MAX - 7; shift += 7) {
      const byte = this.byte()
      this.at++
      value += (byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    throw wrong('an integer without an end')
  }

  private byte(): number {
    if (this.at >= this.bytes.length) throw wrong('a block that ends within a field')
    return this.bytes[this.at]!
  }
}

const STATIC_ENTRIES = STATIC_TABLE.map(([name, value]) => ({ name, value }))

function sizeOf({ name, value }: { readonly name: string; readonly value: string }): number {
  return name.length + value.length + ENTRY_OVERHEAD
}

function wrong(what: string): Http2Error {
  return new Http2Error(ErrorCode.COMPRESSION_ERROR, `header fields with ${what}`)
}
