import type { StateRecord } from './canonical.js'

// The file `data` of a snapshot of the key-value machine (docs/snapshot-format.md). All numbers are little-endian:
//
//   header  magic(8) version(4) zero(4) crc(4)
//   block   length(4) records(4) number(4) payload crc(4) crc of the 16 bytes before(4) payload(length)
//   footer  zero(4) blocks(4) records(8) keys(8) live keys(8) versions(8) sessions(8) stream bytes(8) sha256(32) crc(4)
//
// The payloads of all blocks, one after the other, are the canonical stream: each record with its length(4) before it.

export const MAGIC = Buffer.from('RAFTCTKV', 'latin1')
export const FORMAT_VERSION = 1
export const HEADER_BYTES = 20
export const BLOCK_HEADER_BYTES = 20
export const FOOTER_BYTES = 92
export const LENGTH_BYTES = 4
/** A block holds as many whole records as fit into it, or one that does not. */
export const BLOCK_BYTES = 256 * 1024
/** No record is longer. */
export const RECORD_BYTES_MAX = 1024 * 1024 * 1024
/** Of the file in a snapshot's directory. */
export const SNAPSHOT_FILE = 'data'

export interface SnapshotCounts {
  /** Records of the canonical stream. */
  records: number
  /** Keys with a history, whether or not they exist now. */
  keys: number
  /** Keys that exist now. */
  liveKeys: number
  versions: number
  sessions: number
}

/** What a whole file holds; the same for every member that saved the same state. */
export interface SnapshotSummary extends Readonly<SnapshotCounts> {
  readonly formatVersion: number
  /** Of the canonical stream, in hex: the state hash. */
  readonly sha256: string
  readonly streamBytes: number
  readonly blocks: number
  readonly fileBytes: number
  /** Of the whole file. */
  readonly crc32c: number
}

/** Why a file cannot be taken: what is wrong and at which byte of it. */
export class SnapshotDamage extends Error {
  override name = 'SnapshotDamage'

  constructor(
    /** foreign: no snapshot of this machine. version: written by a newer raftctl. damaged: it was one. */
    readonly kind: 'foreign' | 'version' | 'damaged',
    readonly offset: number,
    readonly problem: string,
  ) {
    super(`${problem}, at byte ${offset}`)
  }
}

/** Counts records as they go by; keys and sessions may come in several pieces. */
export class RecordCounter {
  private readonly counts: SnapshotCounts = { records: 0, keys: 0, liveKeys: 0, versions: 0, sessions: 0 }
  private key: Uint8Array | null = null
  private keyIsAlive = false
  private clientId: string | null = null

  add(record: StateRecord): void {
    this.counts.records++
    if (record.key) {
      const key = record.key.key ?? new Uint8Array(0)
      const versions = record.key.versions ?? []
      if (this.key === null || Buffer.compare(this.key, key) !== 0) {
        this.endKey()
        this.counts.keys++
        this.key = key
      }
      this.counts.versions += versions.length
      this.keyIsAlive = versions.length > 0 && !versions[versions.length - 1]!.deleted
    } else if (record.session && record.session.client_id !== this.clientId) {
      this.counts.sessions++
      this.clientId = record.session.client_id ?? ''
    }
  }

  /** After the last record. */
  finish(): SnapshotCounts {
    this.endKey()
    this.key = null
    return this.counts
  }

  private endKey(): void {
    if (this.keyIsAlive) this.counts.liveKeys++
    this.keyIsAlive = false
  }
}

/** `crc32c:` and eight hex digits, as the list of a snapshot's files names it. */
export function checksumName(crc32c: number): string {
  return `crc32c:${crc32c.toString(16).padStart(8, '0')}`
}
