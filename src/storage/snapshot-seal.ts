import type { Done } from '../raft/closure.js'
import type { Checksum, FileSystem } from '../raft/environment.js'
import type { Status } from '../raft/errors.js'
import type { SnapshotList } from '../raft/storage.js'
import { AlternatingRecord } from './alternating-record.js'
import { SECOND_SLOT_AT } from './durable-length.js'
import { parentOf } from './paths.js'
import { SNAPSHOT_LIST_CODEC } from './snapshot-list.js'
import { inSequence } from './steps.js'

const SEAL_BYTES = 12

/** The list of the snapshot that ends at `index` had this digest when it was written. */
export interface ListSeal {
  readonly index: number
  readonly digest: number
}

/**
 * What vouches for the list of files of a snapshot: `<data>/raftctl/snapshot.seal`. The list has no checksum, and says besides the
 * files in which term the snapshot ends and who the members are. The newest snapshot and the one before are recorded, since a
 * crash may come between this record and the name of a new snapshot. What is not recorded is believed: it is braft's, or of
 * before there were seals. LocalSnapshotStorage is the only caller.
 */
export class SnapshotSeal {
  private readonly path: string
  private readonly record: AlternatingRecord
  private seals: readonly ListSeal[] = []

  constructor(private readonly options: { readonly fileSystem: FileSystem; readonly checksum: Checksum; readonly path: string }) {
    const { fileSystem, checksum, path } = options
    this.path = path
    this.record = new AlternatingRecord(fileSystem, checksum, [
      { path, position: 0 },
      { path, position: SECOND_SLOT_AT },
    ])
  }

  load(done: Done): void {
    const read = (next: Done) =>
      this.record.load((status, stored) => {
        this.seals = stored?.payload ? decodeListSeals(stored.payload) : []
        next(status)
      })
    inSequence([(next) => this.options.fileSystem.mkdir(parentOf(this.path), next), read], done)
  }

  /** False when another list was recorded under that index. */
  vouchesFor(list: SnapshotList): boolean {
    const seal = this.seals.find(({ index }) => index === list.meta.lastIncluded.index)
    return seal === undefined || seal.digest === listDigest(list, this.options.checksum)
  }

  /** Before the snapshot gets its name, and while `newest` has one. OK means durable. */
  save(list: SnapshotList, newest: SnapshotList | null, done: (status: Status) => void): void {
    const seals = (newest ? [list, newest] : [list]).map((each) => ({
      index: each.meta.lastIncluded.index,
      digest: listDigest(each, this.options.checksum),
    }))
    this.record.save(encode(seals), done)
  }
}

export function listDigest(list: SnapshotList, checksum: Checksum): number {
  return checksum.crc32c(SNAPSHOT_LIST_CODEC.encode(list).finish())
}

function encode(seals: readonly ListSeal[]): Buffer {
  const bytes = Buffer.alloc(seals.length * SEAL_BYTES)
  seals.forEach(({ index, digest }, i) => {
    bytes.writeBigUInt64BE(BigInt(index), i * SEAL_BYTES)
    bytes.writeUInt32BE(digest, i * SEAL_BYTES + 8)
  })
  return bytes
}

/** What the payload of a slot vouches for. */
export function decodeListSeals(bytes: Buffer): readonly ListSeal[] {
  return Array.from({ length: Math.floor(bytes.length / SEAL_BYTES) }, (_, i) => ({
    index: Number(bytes.readBigUInt64BE(i * SEAL_BYTES)),
    digest: bytes.readUInt32BE(i * SEAL_BYTES + 8),
  }))
}
