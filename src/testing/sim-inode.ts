import type { SimRandom } from './sim-random.js'

export const SECTOR_BYTES = 512

/** Counts the durable changes of a disk: a reader that kept its last value knows whether it must look again. */
export interface DurableClock {
  changes: number
}

/**
 * A file's bytes, whatever its names: what readers see, and what a power loss is sure to leave.
 *
 * What was written is kept as it was written, also where the medium answers something else by now: `damage` lies over it, sector by
 * sector, and only reads see it. So whoever judges what a disk holds knows the truth. A sector that is written as a whole is good
 * again, once it is durable.
 */
export class SimInode {
  readonly isDirectory = false
  size = 0
  durableSize = 0
  /** When on its disk's clock the durable bytes or size changed last. */
  durableVersion = 0
  /** Lowest durable offset changed since a reader last set this to Infinity. */
  durableChangedFrom = Infinity
  private content: Buffer = Buffer.alloc(0)
  private durable: Buffer = Buffer.alloc(0)
  private readonly dirty = new Set<number>()
  /** By sector, what reads get instead of what was written. */
  private readonly damaged = new Map<number, Buffer>()
  /** Damaged sectors that were written anew, which is not durable yet. */
  private readonly rewritten = new Set<number>()
  /** By sector, what it held before it was written again: what is left of before the last cut, then the newest. */
  private readonly earlier = new Map<number, Buffer[]>()
  /** A sync failed: readers see what the disk does not hold and will not get. */
  private forgotten = false

  constructor(
    readonly id: number,
    private readonly clock: DurableClock = { changes: 0 },
  ) {
    this.durableVersion = ++clock.changes
  }

  get dirtySectors(): number {
    return this.dirty.size
  }

  get hasUnsynced(): boolean {
    return this.dirty.size > 0 || this.forgotten || this.size !== this.durableSize
  }

  /** What the medium answers something else for than was written. */
  get damagedSectors(): number {
    return this.damaged.size
  }

  read(position: number, length: number): Buffer {
    const start = Math.min(position, this.size)
    const end = Math.min(position + length, this.size)
    const bytes = Buffer.from(this.content.subarray(start, end))
    for (const [sector, instead] of this.damaged) {
      const from = sector * SECTOR_BYTES
      if (from >= end || from + SECTOR_BYTES <= start || this.rewritten.has(sector)) continue
      instead.copy(bytes, Math.max(0, from - start), Math.max(0, start - from), end - from)
    }
    return bytes
  }

  /** What readers get of a sector, zeros behind the end. */
  sector(sector: number): Buffer {
    const bytes = Buffer.alloc(SECTOR_BYTES)
    this.read(sector * SECTOR_BYTES, SECTOR_BYTES).copy(bytes)
    return bytes
  }

  /** What the sector held at earlier syncs, as far as it is known. */
  earlierVersions(sector: number): readonly Buffer[] {
    return this.earlier.get(sector) ?? []
  }

  /** From now on reads of that sector get these bytes. Answers whether that is a difference. */
  damage(sector: number, bytes: Buffer): boolean {
    const length = Math.min(SECTOR_BYTES, this.size - sector * SECTOR_BYTES)
    if (length <= 0 || this.sector(sector).subarray(0, length).equals(bytes.subarray(0, length))) return false
    const instead = Buffer.alloc(SECTOR_BYTES)
    bytes.copy(instead, 0, 0, length)
    this.damaged.set(sector, instead)
    this.rewritten.delete(sector)
    return true
  }

  /** The bytes a power loss at this moment is sure to leave; a view. */
  durableBytes(): Buffer {
    return this.durable.subarray(0, this.durableSize)
  }

  write(bytes: Uint8Array, position: number): void {
    if (bytes.length === 0) return
    const end = position + bytes.length
    this.content = grown(this.content, end)
    if (position > this.size) this.content.fill(0, this.size, position)
    this.content.set(bytes, position)
    for (let s = Math.floor(position / SECTOR_BYTES); s * SECTOR_BYTES < end; s++) this.dirty.add(s)
    if (end > this.size) this.size = end
    for (const [sector, instead] of this.damaged) this.overwrite(sector, instead, position, end)
  }

  /** The kernel reads what it does not write of a sector: that stays damaged. */
  private overwrite(sector: number, instead: Buffer, start: number, end: number): void {
    const from = sector * SECTOR_BYTES
    if (from >= end || from + SECTOR_BYTES <= start) return
    if (start <= from && end >= Math.min(from + SECTOR_BYTES, this.size)) this.rewritten.add(sector)
    else this.content.copy(instead, Math.max(0, start - from), Math.max(from, start), Math.min(end, from + SECTOR_BYTES))
  }

  truncate(size: number): void {
    if (size < this.size) {
      this.content.fill(0, size, this.size)
      const last = Math.floor(size / SECTOR_BYTES)
      for (const s of this.dirty) if (s * SECTOR_BYTES >= size) this.dirty.delete(s)
      if (size % SECTOR_BYTES !== 0) this.dirty.add(last)
      for (const [sector, instead] of this.damaged) {
        if (sector * SECTOR_BYTES >= size) this.damaged.delete(sector)
        else if (sector === last) instead.fill(0, size % SECTOR_BYTES)
      }
    } else {
      this.content = grown(this.content, size)
      this.content.fill(0, this.size, size)
    }
    this.size = size
  }

  /** fdatasync: everything written and the size are durable. */
  sync(): void {
    this.persistDirty()
    if (this.durableSize !== this.size) this.changed(Math.min(this.durableSize, this.size))
    if (this.size < this.durableSize) this.forgetDurable(this.size)
    this.durable = grown(this.durable, this.size)
    this.durableSize = this.size
  }

  /** A completed synchronous write: its range is durable, and a size that reaches its end. A truncation is not. */
  syncRange(position: number, length: number): void {
    const end = position + length
    const first = Math.floor(position / SECTOR_BYTES)
    const last = Math.floor((end - 1) / SECTOR_BYTES)
    this.persistSectors(first, last)
    for (let s = first; s <= last; s++) this.dirty.delete(s)
    if (end > this.durableSize) {
      this.durable = grown(this.durable, end)
      this.changed(this.durableSize)
      this.durableSize = end
    }
  }

  /** A failed sync: the pages are marked clean, what they held never reaches the disk unless it is written again. */
  forget(): void {
    this.dirty.clear()
    this.forgotten = true
  }

  /** Power loss: each unsynced sector is there or not, and so is the size. Answers whether something was left half done. */
  crash(random: SimRandom, keep: number): boolean {
    if (!this.hasUnsynced) return false
    let size = this.durableSize
    if (this.size !== this.durableSize && random.chance(keep)) {
      size = this.size
      if (this.size > this.durableSize && random.chance(0.5)) size = random.integer(this.durableSize, this.size)
    }
    // A file that grew in part ends in the middle of what was written.
    const endsWithin = size > this.durableSize && size < this.size
    let kept = 0
    let lost = 0
    for (const s of this.dirty) {
      if (s * SECTOR_BYTES < size && random.chance(keep)) {
        this.persistSectors(s, s)
        kept++
      } else lost++
    }
    this.dirty.clear()
    this.rewritten.clear()
    this.forgotten = false
    this.durable = grown(this.durable, size)
    if (size > this.durableSize) this.changed(this.durableSize)
    else if (size < this.durableSize) {
      this.changed(size)
      this.forgetDurable(size)
    }
    this.durableSize = size
    this.content = Buffer.from(this.durable.subarray(0, size))
    this.size = size
    return kept > 0 && (lost > 0 || endsWithin)
  }

  /** Bit rot in one byte. */
  corrupt(position: number, change: (byte: number) => number): void {
    const sector = Math.floor(position / SECTOR_BYTES)
    const bytes = this.sector(sector)
    const at = position % SECTOR_BYTES
    bytes[at] = change(bytes[at]!)
    this.damage(sector, bytes)
  }

  private persistDirty(): void {
    let first = -1
    let last = -1
    for (const s of this.dirty) {
      if (first >= 0 && s === last + 1) last = s
      else {
        if (first >= 0) this.persistSectors(first, last)
        first = last = s
      }
    }
    if (first >= 0) this.persistSectors(first, last)
    this.dirty.clear()
  }

  /** What readers see of these sectors reaches the disk. */
  private persistSectors(first: number, last: number): void {
    if (this.rewritten.size > 0) this.mend(first, last)
    let from = first * SECTOR_BYTES
    const to = Math.min((last + 1) * SECTOR_BYTES, this.size)
    // What is there already did not change: whoever reads the image need not look at it again.
    const known = Math.min(to, this.durableSize)
    while (from < known && this.content[from] === this.durable[from]) from++
    if (to <= from) return
    for (let s = Math.floor(from / SECTOR_BYTES); s <= last && s * SECTOR_BYTES < known; s++) this.keepEarlier(s)
    this.durable = grown(this.durable, to)
    copyBytes(this.content, this.durable, from, to)
    this.changed(from)
  }

  private mend(first: number, last: number): void {
    for (let s = first; s <= last; s++) if (this.rewritten.delete(s)) this.damaged.delete(s)
  }

  private keepEarlier(sector: number): void {
    const from = sector * SECTOR_BYTES
    const versions = this.earlier.get(sector)
    const old = versions?.[1] ?? Buffer.allocUnsafe(SECTOR_BYTES)
    const copied = this.durable.copy(old, 0, from, Math.min(from + SECTOR_BYTES, this.durable.length))
    if (copied < SECTOR_BYTES) old.fill(0, copied)
    if (!versions) this.earlier.set(sector, [old])
    else versions[1] = old
  }

  /** The durable end goes; a disk may still answer it when what is written there later never arrives. */
  private forgetDurable(size: number): void {
    for (let s = Math.ceil(size / SECTOR_BYTES); s * SECTOR_BYTES < this.durableSize; s++) {
      const from = s * SECTOR_BYTES
      this.earlier.set(s, [Buffer.concat([this.durable.subarray(from, this.durableSize)], SECTOR_BYTES)])
    }
    this.durable.fill(0, size, this.durableSize)
  }

  private changed(from: number): void {
    this.durableVersion = ++this.clock.changes
    if (from < this.durableChangedFrom) this.durableChangedFrom = from
  }
}

/** Copies a range to the same place; a short one byte by byte, which is faster than making a view of it. */
function copyBytes(source: Buffer, target: Buffer, from: number, to: number): void {
  if (to - from > 512) source.copy(target, from, from, to)
  else for (let i = from; i < to; i++) target[i] = source[i]!
}

function grown(buffer: Buffer, size: number): Buffer {
  if (buffer.length >= size) return buffer
  const larger = Buffer.alloc(Math.max(size, buffer.length * 4, 1024))
  buffer.copy(larger)
  return larger
}
