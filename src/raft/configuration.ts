import { assert } from './errors.js'
import { PeerId } from './peer-id.js'
import type { LogId, LogIndex } from './types.js'

/** A set of voters, kept in braft's order. Immutable. */
export class Configuration {
  static readonly EMPTY = new Configuration([])
  readonly peers: readonly PeerId[]
  /** Those of them that hold no data. */
  readonly witnesses: readonly PeerId[]
  private readonly byKey: ReadonlyMap<string, PeerId>

  constructor(peers: Iterable<PeerId>) {
    const byKey = new Map<string, PeerId>()
    for (const peer of peers) byKey.set(peer.key, peer)
    this.peers = [...byKey.values()].sort(PeerId.compare)
    this.witnesses = this.peers.filter((peer) => peer.isWitness)
    this.byKey = byKey
  }

  /** How many members it has. */
  get size(): number {
    return this.peers.length
  }

  /** Nobody is in it. */
  get isEmpty(): boolean {
    return this.peers.length === 0
  }

  /** How many members make a majority. */
  get quorum(): number {
    return Math.floor(this.peers.length / 2) + 1
  }

  /** Whether that member is in it; the role does not count. */
  contains(peer: PeerId): boolean {
    return this.byKey.has(peer.key)
  }

  /** The member at that address, as it is written here, with its role. */
  find(peer: PeerId): PeerId | null {
    return this.byKey.get(peer.key) ?? null
  }

  /** The same members, whatever their roles. */
  equals(other: Configuration): boolean {
    return this.size === other.size && this.peers.every((p) => other.contains(p))
  }

  /** The PeerIds with commas between them, as `parse` reads them. */
  toString(): string {
    return this.peers.join(',')
  }

  /** Reads a comma-separated list of peers; null when one of them is none. Empty fields are skipped, as in braft. */
  static parse(text: string): Configuration | null {
    const peers: PeerId[] = []
    for (const field of text.split(',')) {
      if (field.trim() === '') continue
      const peer = PeerId.parse(field.trim())
      if (!peer || peer.isEmpty) return null
      peers.push(peer)
    }
    return new Configuration(peers)
  }
}

/** A configuration as it stands at a point of the log; joint while `old` is not empty (Raft thesis §4.3). */
export class ConfigurationEntry {
  constructor(
    readonly id: LogId,
    readonly conf: Configuration,
    readonly old: Configuration = Configuration.EMPTY,
    /** Members that receive the log and count for nothing. */
    readonly learners: readonly PeerId[] = [],
    /** Index of the entry that last changed the members; opening entries of a term repeat it. */
    readonly configIndex: LogIndex = id.index,
  ) {}

  /** No change is under way: only one half decides. */
  get isStable(): boolean {
    return this.old.isEmpty
  }

  /** Nobody is in the new half: this member waits to be added. */
  get isEmpty(): boolean {
    return this.conf.isEmpty
  }

  /** Every voter of either half. */
  get voters(): readonly PeerId[] {
    return this.isStable ? this.conf.peers : new Configuration([...this.conf.peers, ...this.old.peers]).peers
  }

  /** Whether that member votes in either half. */
  contains(peer: PeerId): boolean {
    return this.conf.contains(peer) || this.old.contains(peer)
  }

  /** Whether that member receives the log and counts for nothing. */
  hasLearner(peer: PeerId): boolean {
    return this.learners.some((learner) => learner.equals(peer))
  }

  /** A voter or a learner: one of the group. */
  knows(peer: PeerId): boolean {
    return this.contains(peer) || this.hasLearner(peer)
  }

  /** Whether `granted` makes a quorum of each half. */
  hasQuorum(granted: (peer: PeerId) => boolean): boolean {
    return majority(this.conf, granted) && (this.isStable || majority(this.old, granted))
  }
}

function majority(conf: Configuration, granted: (peer: PeerId) => boolean): boolean {
  let count = 0
  for (const peer of conf.peers) if (granted(peer)) count++
  return count >= conf.quorum
}

const PEERS = (1 << 3) | 2
const OLD_PEERS = (2 << 3) | 2
const LEARNERS = (100 << 3) | 2
const CONFIG_INDEX = (101 << 3) | 0

/** Who is in a configuration, whichever entry says so. */
export type Members = Pick<ConfigurationEntry, 'conf' | 'old' | 'learners'>

/** The data of a CONFIGURATION entry: a serialized braft.ConfigurationPBMeta, fields in order of number. */
export function encodeConfiguration(entry: Members, configIndex: LogIndex | null = null): Buffer {
  const out: number[] = []
  for (const peer of entry.conf.peers) putString(out, PEERS, peer.toString())
  for (const peer of entry.old.peers) putString(out, OLD_PEERS, peer.toString())
  for (const peer of entry.learners) putString(out, LEARNERS, peer.toString())
  if (configIndex !== null) {
    putVarint(out, CONFIG_INDEX)
    putVarint(out, configIndex)
  }
  return Buffer.from(out)
}

/** Reads the data of the CONFIGURATION entry at `id`; null when it is not one. Unknown fields are skipped. */
export function decodeConfiguration(data: Buffer, id: LogId): ConfigurationEntry | null {
  const lists: Record<number, PeerId[]> = { [PEERS]: [], [OLD_PEERS]: [], [LEARNERS]: [] }
  let configIndex = id.index
  const at = { offset: 0 }
  while (at.offset < data.length) {
    const tag = getVarint(data, at)
    if (tag === null) return null
    const wire = tag & 7
    if (wire === 2) {
      const length = getVarint(data, at)
      if (length === null || at.offset + length > data.length) return null
      const list = lists[tag]
      if (list) {
        const peer = PeerId.parse(data.toString('utf8', at.offset, at.offset + length))
        if (!peer) return null
        list.push(peer)
      }
      at.offset += length
    } else if (wire === 0) {
      const value = getVarint(data, at)
      if (value === null) return null
      if (tag === CONFIG_INDEX) configIndex = value as LogIndex
    } else if (wire === 1 || wire === 5) {
      at.offset += wire === 1 ? 8 : 4
    } else return null
  }
  if (at.offset !== data.length) return null
  return new ConfigurationEntry(id, new Configuration(lists[PEERS]!), new Configuration(lists[OLD_PEERS]!), lists[LEARNERS]!, configIndex)
}

function putVarint(out: number[], value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, 'varint out of range', { value })
  while (value >= 0x80) {
    out.push((value % 0x80) | 0x80)
    value = Math.floor(value / 0x80)
  }
  out.push(value)
}

function putString(out: number[], tag: number, text: string): void {
  const bytes = Buffer.from(text)
  putVarint(out, tag)
  putVarint(out, bytes.length)
  for (const byte of bytes) out.push(byte)
}

function getVarint(data: Buffer, at: { offset: number }): number | null {
  let value = 0
  let scale = 1
  for (let i = 0; i < 10; i++) {
    const byte = data[at.offset++]
    if (byte === undefined) return null
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return value
    scale *= 0x80
  }
  return null
}
