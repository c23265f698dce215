import type { ConfigurationEntry } from '../../src/raft/configuration.js'
import type { LogId } from '../../src/raft/types.js'
import { checksum } from '../../src/storage/checksum.js'
import { decodeIdentity, type IdentityRecord } from '../../src/storage/identity-file.js'
import { logMetaFile } from '../../src/storage/log-meta.js'
import { storagePaths } from '../../src/storage/open-storage.js'
import type { SimDisk, SimNode } from '../../src/testing/sim-disk.js'
import { DurableLog } from './disk-image.js'
import { DurableFileSystem } from './durable-file-system.js'
import { decodeState, fillerOf, type RegisterState } from './register-state.js'
import { readMeta, readSnapshot, type WholeSnapshot } from './storages.js'

/** A snapshot as it lies on a disk. */
export interface StoredSnapshot {
  readonly lastIncluded: LogId
  readonly configuration: ConfigurationEntry
  /** Null where it has no files: that of a witness. */
  readonly state: RegisterState | null
}

/** Something that is read from a disk image, and read again only when something changed there that it was read from. */
class Reading<T> {
  private known: T | undefined
  private nodes: readonly SimNode[] = []
  /** The disk's count of changes when it was read, and when it was found to stand. */
  private readAt = -1
  private checkedAt = -1

  constructor(
    private readonly disk: SimDisk,
    private readonly load: (fileSystem: DurableFileSystem) => T,
  ) {}

  get value(): T {
    const { changes } = this.disk.clock
    if (this.checkedAt === changes) return this.known!
    if (!this.stands()) {
      const fileSystem = new DurableFileSystem(this.disk)
      this.known = this.load(fileSystem)
      this.nodes = [...fileSystem.visited]
      this.readAt = changes
    }
    this.checkedAt = changes
    return this.known!
  }

  private stands(): boolean {
    if (this.readAt < 0) return false
    for (const node of this.nodes) if (node.durableVersion > this.readAt) return false
    return true
  }
}

/**
 * What a power loss at this moment is sure to leave of a member: read with the decoders of the real storages, and again
 * only when the disk changed there.
 */
export class MemberImage {
  readonly log: DurableLog
  private readonly paths: ReturnType<typeof storagePaths>
  private readonly metaOnDisk: Reading<{ term: number; votedFor: string }>
  private readonly identityOnDisk: Reading<IdentityRecord | null>
  private readonly firstIndexOnDisk: Reading<number>
  private readonly snapshotOnDisk: Reading<StoredSnapshot | string | null>

  constructor(
    private readonly disk: SimDisk,
    /** Of the member's group. */
    private readonly directory: string,
  ) {
    this.paths = storagePaths(directory)
    this.log = new DurableLog(disk, this.paths.log, checksum)
    this.metaOnDisk = new Reading(disk, (fileSystem) => this.readMeta(fileSystem))
    this.identityOnDisk = new Reading(disk, (fileSystem) => this.readIdentity(fileSystem))
    this.firstIndexOnDisk = new Reading(disk, (fileSystem) => this.readFirstIndex(fileSystem))
    this.snapshotOnDisk = new Reading(disk, (fileSystem) => this.readSnapshot(fileSystem))
  }

  /** Grows whenever anything of the image changes. */
  get changes(): number {
    return this.disk.clock.changes
  }

  meta(): { term: number; votedFor: string } {
    return this.metaOnDisk.value
  }

  /** Null while the directory has none. */
  identity(): IdentityRecord | null {
    return this.identityOnDisk.value
  }

  /** May what this disk holds count for anything? */
  get isMember(): boolean {
    return this.identity()?.standing === 'member'
  }

  /** Where the log says that it begins. */
  firstLogIndex(): number {
    return this.firstIndexOnDisk.value
  }

  /** The newest snapshot; null without one, a text when it is not whole. */
  snapshot(): StoredSnapshot | string | null {
    return this.snapshotOnDisk.value
  }

  /** The last index of a whole snapshot; 0 without one. */
  get snapshotIndex(): number {
    const snapshot = this.snapshot()
    return snapshot && typeof snapshot !== 'string' ? snapshot.lastIncluded.index : 0
  }

  private readMeta(fileSystem: DurableFileSystem): { term: number; votedFor: string } {
    let found = { term: 0, votedFor: '' }
    readMeta(this.directory, fileSystem, fileSystem.executor, (status, meta) => {
      if (status.ok) found = { term: meta!.term, votedFor: meta!.votedFor.key }
    })
    fileSystem.drain()
    return found
  }

  private readIdentity(fileSystem: DurableFileSystem): IdentityRecord | null {
    const node = fileSystem.lookup(`${this.paths.integrity}/node.json`)
    const decoded = node && !node.isDirectory ? decodeIdentity(Buffer.from(node.durableBytes()), checksum) : null
    return typeof decoded === 'string' ? null : decoded
  }

  private readFirstIndex(fileSystem: DurableFileSystem): number {
    let first = 1
    logMetaFile(fileSystem, this.paths.log).load((status, meta) => {
      if (status.ok) first = Number(meta!.first_log_index)
    })
    fileSystem.drain()
    return first
  }

  private readSnapshot(fileSystem: DurableFileSystem): StoredSnapshot | string | null {
    if (!fileSystem.lookup(this.paths.snapshot)) return null
    let found: StoredSnapshot | string | null = 'it cannot be read'
    readSnapshot(this.directory, fileSystem, fileSystem.executor, (snapshot) => {
      found = snapshot === null || typeof snapshot === 'string' ? snapshot : judge(snapshot)
    })
    fileSystem.drain()
    return found
  }
}

function judge({ meta, state: bytes, filler }: WholeSnapshot): StoredSnapshot | string {
  if (!bytes || !filler) return { lastIncluded: meta.lastIncluded, configuration: meta.configuration, state: null }
  const state = decodeState(bytes)
  if (!state) return 'its state is damaged'
  if (!fillerOf(state.digest, filler.length).equals(filler)) return 'its filler is damaged'
  return { lastIncluded: meta.lastIncluded, configuration: meta.configuration, state }
}
