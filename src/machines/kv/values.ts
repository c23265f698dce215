const CHUNK_BYTES = 256 * 1024
/** A longer value has memory of its own. */
const SHARED_BYTES_MAX = CHUNK_BYTES / 8
/** No chunk has more: emptying one is work for a moment. */
const HOLDERS_MAX = 4096
/** Empty chunks kept for the next values, or as many as are in use; the others are given back. */
const SPARE_MIN = 4
const NOTHING = Buffer.alloc(0)

/** Memory for values, filled from its start. */
class Chunk {
  used = 0
  /** Of values that were not released. */
  liveBytes = 0
  liveHolders = 0
  /** Whose values were put in, in that order; some have left. */
  holders: Valued[] = []

  constructor(readonly bytes: Buffer) {}
}

/** Whoever has a value in Values. */
export class Valued {
  /** Values alone changes these. */
  chunk: Chunk | null = null
  private offset = 0
  valueBytes = 0

  /** Into the memory of the values: good until one is released, and no longer. */
  get value(): Buffer {
    return this.chunk === null ? NOTHING : this.chunk.bytes.subarray(this.offset, this.offset + this.valueBytes)
  }

  /** Its value was copied to there. */
  moveTo(chunk: Chunk | null, offset: number, bytes: number): void {
    this.chunk = chunk
    this.offset = offset
    this.valueBytes = bytes
  }
}

/**
 * The bytes of all values, outside of V8's heap: a collection of a heap looks at every object and moves many, and a state of a
 * gigabyte has a million. Values lie one after the other in chunks of 256 KB, and what is left of a chunk of which half is unused moves on.
 *
 * The chunks are shared memory, though nobody shares it: V8 takes what else is allocated outside of its heap for a reason to collect
 * it, 64 MB at a time, and these are used again here, not by it.
 */
export class Values {
  private current = new Chunk(NOTHING)
  private readonly spare: Chunk[] = []
  private chunks = 0

  /** Bytes of memory that hold values, shared chunks only. */
  get chunkBytes(): number {
    return this.chunks * CHUNK_BYTES
  }

  /** Copies a value to where it stays; `holder` has none yet. */
  put(holder: Valued, value: Uint8Array): void {
    if (value.length === 0) return
    const chunk = value.length > SHARED_BYTES_MAX ? new Chunk(Buffer.allocUnsafeSlow(value.length)) : this.chunkFor(value.length)
    chunk.bytes.set(value, chunk.used)
    holder.moveTo(chunk, chunk.used, value.length)
    chunk.used += value.length
    chunk.liveBytes += value.length
    if (chunk !== this.current) return
    chunk.liveHolders++
    chunk.holders.push(holder)
  }

  /** The value will not be read any more. */
  release(holder: Valued): void {
    const { chunk, valueBytes } = holder
    if (chunk === null) return
    holder.moveTo(null, 0, 0)
    chunk.liveBytes -= valueBytes
    chunk.liveHolders--
    if (chunk !== this.current && chunk.holders.length > 0) this.emptyIfSparse(chunk)
  }

  private chunkFor(bytes: number): Chunk {
    const { used, holders } = this.current
    if (used + bytes <= this.current.bytes.length && holders.length < HOLDERS_MAX) return this.current
    const full = this.current
    this.current = this.spare.pop() ?? new Chunk(Buffer.from(new SharedArrayBuffer(CHUNK_BYTES)))
    this.chunks++
    if (holders.length === 0) return this.current
    this.emptyIfSparse(full)
    // What was left of the full one may have taken the room.
    return this.chunkFor(bytes)
  }

  private emptyIfSparse(chunk: Chunk): void {
    const { holders } = chunk
    if (chunk.liveBytes * 2 > chunk.used && chunk.liveHolders * 2 > holders.length) return
    chunk.holders = []
    for (const holder of holders) if (holder.chunk === chunk) this.put(holder, holder.value)
    chunk.used = chunk.liveBytes = chunk.liveHolders = 0
    this.chunks--
    this.spare.push(chunk)
    this.spare.length = Math.min(this.spare.length, Math.max(SPARE_MIN, this.chunks))
  }
}
