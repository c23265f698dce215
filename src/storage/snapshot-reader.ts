import type { FileSystem } from '../raft/environment.js'
import type { SnapshotFileMeta, SnapshotList, SnapshotMeta, SnapshotReader } from '../raft/storage.js'
import { SNAPSHOT_LIST_CODEC } from './snapshot-list.js'

/** A snapshot on disk, kept there until `close` (braft LocalSnapshotReader). */
export class LocalSnapshotReader implements SnapshotReader {
  private open = true

  constructor(
    readonly fileSystem: FileSystem,
    readonly path: string,
    private readonly content: SnapshotList,
    private readonly release: () => void,
  ) {}

  get meta(): SnapshotMeta {
    return this.content.meta
  }

  files(): readonly string[] {
    return [...this.content.files.keys()]
  }

  fileMeta(name: string): SnapshotFileMeta | null {
    return this.content.files.get(name) ?? null
  }

  list(): Buffer {
    return Buffer.from(SNAPSHOT_LIST_CODEC.encode(this.content).finish())
  }

  close(): void {
    if (!this.open) return
    this.open = false
    this.release()
  }
}
