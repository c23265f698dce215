import { DEFAULT_TABLE_BYTES, ENTRY_OVERHEAD, STATIC_TABLE } from './static-table.js'

export type HeaderField = readonly [name: string, value: string]

const staticIndices = new Map<string, number>()
const staticNames = new Map<string, number>()
STATIC_TABLE.forEach(([name, value], i) => {
  staticIndices.set(keyOf(name, value), i + 1)
  if (!staticNames.has(name)) staticNames.set(name, i + 1)
})

/**
 * Writes header blocks of one connection (HPACK, RFC 7541). Fields that recur are kept in the other side's table until it is
 * full, and cost a byte from then on; nothing is ever evicted, and strings are not Huffman coded: these are few.
 *
 * The blocks that `recurring` made are kept, by the array that they were made of, for as long as the table stays the same.
 */
export class HeaderEncoder {
  /** Which were added before: the index of one counts from the newest. */
  private readonly added = new Map<string, number>()
  private addedBytes = 0
  private tableBytesMax = DEFAULT_TABLE_BYTES
  private mustClear = false
  private blocks = new WeakMap<readonly HeaderField[], Buffer>()

  /** What the other side's table may hold (SETTINGS_HEADER_TABLE_SIZE); it never grows again. */
  setTableBytes(bytes: number): void {
    if (bytes >= this.tableBytesMax) return
    // It is emptied and made smaller at the beginning of the next block (RFC 7541 §4.2).
    this.tableBytesMax = bytes
    this.mustClear = true
    this.added.clear()
    this.addedBytes = 0
    this.blocks = new WeakMap()
  }

  /** Of fields that are sent often. */
  recurring(fields: readonly HeaderField[]): Buffer {
    const known = this.mustClear ? undefined : this.blocks.get(fields)
    if (known) return known
    const before = this.added.size
    const block = this.encode(fields, true)
    // The indices moved, also those of what was just written.
    if (this.added.size !== before) this.blocks = new WeakMap()
    else this.blocks.set(fields, block)
    return block
  }

  /** Of fields that are sent once. */
  once(fields: readonly HeaderField[]): Buffer {
    return this.encode(fields, false)
  }

  private encode(fields: readonly HeaderField[], recurs: boolean): Buffer {
    const parts: Uint8Array[] = []
    if (this.mustClear) parts.push(integer(0x20, 5, 0), integer(0x20, 5, this.tableBytesMax))
    this.mustClear = false
    for (const [name, value] of fields) this.field(name, value, recurs, parts)
    return Buffer.concat(parts)
  }

  private field(name: string, value: string, recurs: boolean, parts: Uint8Array[]): void {
    const key = keyOf(name, value)
    const known = staticIndices.get(key) ?? this.indexOf(key)
    if (known !== undefined) return void parts.push(integer(0x80, 7, known))
    const isAdded = recurs && this.add(key, name.length + value.length + ENTRY_OVERHEAD)
    const nameIndex = staticNames.get(name) ?? 0
    parts.push(isAdded ? integer(0x40, 6, nameIndex) : integer(0, 4, nameIndex))
    if (nameIndex === 0) parts.push(...text(name))
    parts.push(...text(value))
  }

  private indexOf(key: string): number | undefined {
    const rank = this.added.get(key)
    return rank === undefined ? undefined : STATIC_TABLE.length + this.added.size - rank
  }

  private add(key: string, bytes: number): boolean {
    if (this.addedBytes + bytes > this.tableBytesMax) return false
    this.added.set(key, this.added.size)
    this.addedBytes += bytes
    return true
  }
}

function keyOf(name: string, value: string): string {
  return `${name}\n${value}`
}

function text(value: string): [Uint8Array, Uint8Array] {
  const bytes = Buffer.from(value, 'latin1')
  return [integer(0, 7, bytes.length), bytes]
}

function integer(form: number, prefixBits: number, value: number): Uint8Array {
  const most = (1 << prefixBits) - 1
  if (value < most) return Uint8Array.of(form | value)
  const bytes = [form | most]
  let rest = value - most
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  return Uint8Array.from([...bytes, rest])
}
