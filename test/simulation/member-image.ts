import type { ConfigurationEntry } from '../../src/raft/configuration.js'
import type { LogId } from '../../src/raft/types.js'
import { checksum } from '../../src/storage/checksum.js'
import { decodeIdentity, type IdentityRecord } from '../../src/storage/identity-file.js'
import { logMetaFile } from '../../src/storage/log-meta.js'
import { storagePaths } from '../../src/storage/open-storage.js'
import { DurableLog } from './disk-image.js'
import { DurableFileSystem } from './durable-file-system.js'
import { decodeState, fillerOf, type RegisterState } from './register-state.js'
import type { SimDisk, SimNode } from './sim-disk.js'
import { readMeta, readSnapshot, type WholeSnapshot } from './storages.js'

/** A snapshot as it lies on a disk. */
export interface StoredSnapshot {
  readonly lastIncluded: LogId
  readonly configuration: ConfigurationEntry
  readonly state: RegisterState
}

/** What was read from a disk image, and from what. */
interface Kept {
  readonly value: unknown
  readonly nodes: readonly SimNode[]
  /** The image's count of changes when it was read, and when it was found to stand. */
  readonly readAt: number
  checkedAt: number
}

/**
 * What a power loss at this moment is sure to leave of a member: read with the decoders of the real storages, and again
 * only when the disk changed there.
 */
export class MemberImage {
  readonly log: DurableLog
  private readonly paths: ReturnType<typeof storagePaths>
  private readonly kept = new Map<string, Kept>()

  constructor(
    private readonly disk: SimDisk,
    /** Of the member's group. */
    private readonly directory: string,
  ) {
    this.paths = storagePaths(directory)
    this.log = new DurableLog(disk, this.paths.log, checksum)
  }

  /** Grows whenever anything of the image changes. */
  get changes(): number {
    return this.disk.clock.changes
  }

  meta(): { term: number; votedFor: string } {
    return this.read('meta', (fileSystem) => {
      let found = { term: 0, votedFor: '' }
      readMeta(this.directory, fileSystem, fileSystem.executor, (status, meta) => {
        if (status.ok) found = { term: meta!.term, votedFor: meta!.votedFor.key }
      })
      fileSystem.drain()
      return found
    })
  }

  /** Null while the directory has none. */
  identity(): IdentityRecord | null {
    const path = `${this.paths.integrity}/node.json`
    return this.read('identity', (fileSystem) => {
      const node = fileSystem.lookup(path)
      const decoded = node && !node.isDirectory ? decodeIdentity(Buffer.from(node.durableBytes()), checksum) : null
      return typeof decoded === 'string' ? null : decoded
    })
  }

  /** May what this disk holds count for anything? */
  get isMember(): boolean {
    return this.identity()?.standing === 'member'
  }

  /** Where the log says that it begins. */
  firstLogIndex(): number {
    return this.read('first index', (fileSystem) => {
      let first = 1
      logMetaFile(fileSystem, this.paths.log).load((status, meta) => {
        if (status.ok) first = Number(meta!.first_log_index)
      })
      fileSystem.drain()
      return first
    })
  }

  /** The newest snapshot; null without one, a text when it is not whole. */
  snapshot(): StoredSnapshot | string | null {
    return this.read('snapshot', (fileSystem) => {
      if (!fileSystem.lookup(this.paths.snapshot)) return null
      let found: StoredSnapshot | string | null = 'it cannot be read'
      readSnapshot(this.directory, fileSystem, fileSystem.executor, (snapshot) => {
        found = snapshot === null || typeof snapshot === 'string' ? snapshot : judge(snapshot)
      })
      fileSystem.drain()
      return found
    })
  }

  /** The last index of a whole snapshot; 0 without one. */
  get snapshotIndex(): number {
    const snapshot = this.snapshot()
    return snapshot && typeof snapshot !== 'string' ? snapshot.lastIncluded.index : 0
  }

  private read<T>(what: string, load: (fileSystem: DurableFileSystem) => T): T {
    let kept = this.kept.get(what)
    if (!kept || !this.stands(kept)) {
      const fileSystem = new DurableFileSystem(this.disk)
      const value = load(fileSystem)
      kept = { value, nodes: [...fileSystem.visited], readAt: this.changes, checkedAt: this.changes }
      this.kept.set(what, kept)
    }
    return kept.value as T
  }

  /** Did nothing change that it was read from? */
  private stands(kept: Kept): boolean {
    if (kept.checkedAt === this.changes) return true
    for (const node of kept.nodes) if (node.durableVersion > kept.readAt) return false
    kept.checkedAt = this.changes
    return true
  }
}

function judge({ meta, state: bytes, filler }: WholeSnapshot): StoredSnapshot | string {
  const state = decodeState(bytes)
  if (!state) return 'its state is damaged'
  if (!fillerOf(state.digest, filler.length).equals(filler)) return 'its filler is damaged'
  return { lastIncluded: meta.lastIncluded, configuration: meta.configuration, state }
}
