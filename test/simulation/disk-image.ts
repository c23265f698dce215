import { type ConfigurationEntry, decodeConfiguration } from '../../src/raft/configuration.js'
import type { Checksum } from '../../src/raft/environment.js'
import { checkEntry, ENTRY_HEADER_BYTES, EntryType, isBareHeader } from '../../src/raft/log-entry.js'
import type { LogId } from '../../src/raft/types.js'
import type { SimDirectory, SimDisk, SimNode } from '../../src/testing/sim-disk.js'
import type { SimInode } from '../../src/testing/sim-inode.js'

/** An entry as it lies on a disk. */
export interface StoredEntry {
  readonly term: number
  /** The header checksum: it covers term, type, length and the data's checksum, so it names the whole entry. */
  readonly sum: number
  /** Its data was left out, as for a witness. */
  readonly bare: boolean
}

interface ParsedSegment {
  /** offsets[i] is where entry i starts; the last one is where the good bytes end. */
  readonly offsets: number[]
  readonly terms: number[]
  readonly sums: number[]
  readonly bare: boolean[]
  readonly configurations: ConfigurationEntry[]
}

const OPEN_SEGMENT = /^log_inprogress_(\d{20})$/
const CLOSED_SEGMENT = /^log_(\d{20})_(\d{20})$/

/**
 * The log as a power loss at this moment is sure to leave it: read from a disk's durable image with the decoder of the
 * segment format, incrementally.
 */
export class DurableLog {
  private segments: { name: string; first: number; inode: SimInode }[] = []
  private directoryNode: SimDirectory | null = null
  private namesVersion = -1
  private rootVersion = -1
  private readonly parsed = new Map<SimInode, ParsedSegment>()

  constructor(
    private readonly disk: SimDisk,
    private readonly directory: string,
    private readonly checksum: Checksum,
  ) {}

  /** The entry at `index`; null when the durable log does not hold it. */
  entryAt(index: number): StoredEntry | null {
    this.refreshNames()
    for (let i = this.segments.length - 1; i >= 0; i--) {
      const { first, inode } = this.segments[i]!
      if (first > index) continue
      const segment = this.refreshSegment(inode, first)
      const ordinal = index - first
      return ordinal < segment.terms.length
        ? { term: segment.terms[ordinal]!, sum: segment.sums[ordinal]!, bare: segment.bare[ordinal]! }
        : null
    }
    return null
  }

  /** The newest configuration among the entries up to `index`; null when there is none. */
  configurationAt(index: number): ConfigurationEntry | null {
    this.refreshNames()
    for (let i = this.segments.length - 1; i >= 0; i--) {
      const { first, inode } = this.segments[i]!
      if (first > index) continue
      const found = this.refreshSegment(inode, first).configurations.findLast((entry) => entry.id.index <= index)
      if (found) return found
    }
    return null
  }

  /** Every configuration above `index`, oldest first. */
  configurationsAbove(index: number): ConfigurationEntry[] {
    this.refreshNames()
    return this.segments.flatMap(({ first, inode }) =>
      this.refreshSegment(inode, first).configurations.filter((entry) => entry.id.index > index),
    )
  }

  /** What the log holds now, by index, for when it is gone. */
  copy(): Map<number, number> {
    this.refreshNames()
    const terms = new Map<number, number>()
    for (const { first, inode } of this.segments) this.refreshSegment(inode, first).terms.forEach((term, i) => terms.set(first + i, term))
    return terms
  }

  lastIndex(): number {
    this.refreshNames()
    const last = this.segments.at(-1)
    return last ? last.first + this.refreshSegment(last.inode, last.first).terms.length - 1 : 0
  }

  private refreshNames(): void {
    if (this.directoryNode?.durableVersion === this.namesVersion && this.disk.root.durableVersion === this.rootVersion) return
    this.rootVersion = this.disk.root.durableVersion
    const node = this.disk.lookupDurable(this.directory)
    if (!node?.isDirectory) {
      this.segments = []
      this.directoryNode = null
      return
    }
    if (node !== this.directoryNode) {
      this.directoryNode = node
      this.segments = []
      this.parsed.clear()
      node.durableChanges = new Set(node.durableNames.keys())
    }
    this.namesVersion = node.durableVersion
    for (const name of node.durableChanges!) this.applyName(name, node.durableNames.get(name) ?? null)
    node.durableChanges!.clear()
  }

  private applyName(name: string, node: SimNode | null): void {
    const match = OPEN_SEGMENT.exec(name) ?? CLOSED_SEGMENT.exec(name)
    if (!match || node?.isDirectory) return
    const at = this.segments.findLastIndex((segment) => segment.name === name)
    if (at >= 0) this.segments.splice(at, 1)
    if (!node) return
    const segment = { name, first: Number(match[1]), inode: node }
    const after = this.segments.findLastIndex((other) => other.first <= segment.first)
    this.segments.splice(after + 1, 0, segment)
  }

  private refreshSegment(inode: SimInode, first: number): ParsedSegment {
    let segment = this.parsed.get(inode)
    if (!segment) {
      segment = { offsets: [0], terms: [], sums: [], bare: [], configurations: [] }
      this.parsed.set(inode, segment)
      inode.durableChangedFrom = 0
    }
    if (inode.durableChangedFrom === Infinity) return segment
    while (segment.offsets.at(-1)! > inode.durableChangedFrom) {
      segment.offsets.pop()
      segment.terms.pop()
      segment.sums.pop()
      segment.bare.pop()
      if (segment.configurations.at(-1)?.id.index === first + segment.terms.length) segment.configurations.pop()
    }
    inode.durableChangedFrom = Infinity
    const bytes = inode.durableBytes()
    let at = segment.offsets.at(-1)!
    while (at < bytes.length && checkEntry(bytes, at, this.checksum) === null) {
      const length = bytes.readUInt32BE(at + 12)
      const term = bytes.readUInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4)
      if (bytes[at + 8] === EntryType.CONFIGURATION) {
        const data = bytes.subarray(at + ENTRY_HEADER_BYTES, at + ENTRY_HEADER_BYTES + length)
        const configuration = decodeConfiguration(data, { index: first + segment.terms.length, term } as LogId)
        if (configuration) segment.configurations.push(configuration)
      }
      segment.terms.push(term)
      segment.sums.push(bytes.readUInt32BE(at + 20))
      segment.bare.push(isBareHeader(bytes, at))
      at += ENTRY_HEADER_BYTES + length
      segment.offsets.push(at)
    }
    return segment
  }
}
