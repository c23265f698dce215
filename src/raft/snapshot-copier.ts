import { ErrorCode, Status } from './errors.js'
import type { NodeImpl } from './node-impl.js'
import type { PeerId } from './peer-id.js'
import { parseChecksum } from './snapshot-checksum.js'
import type { SnapshotFetcher } from './snapshot-fetcher.js'
import { SnapshotFileCopy } from './snapshot-file-copy.js'
import {
  SNAPSHOT_LIST,
  type SnapshotFileMeta,
  type SnapshotList,
  type SnapshotMeta,
  type SnapshotReader,
  type SnapshotWriter,
} from './storage.js'

/** Why a copy ended without a snapshot. */
export interface CopyFailure {
  readonly status: Status
  /** This member's own disk failed, not the source or the way to it. */
  readonly isLocal: boolean
}

export interface CopierOptions {
  readonly node: NodeImpl
  readonly meta: SnapshotMeta
  readonly source: PeerId
  readonly fetcher: SnapshotFetcher
  /** Once, and last. */
  readonly done: (failure: CopyFailure | null, reader?: SnapshotReader) => void
}

/**
 * Copies one snapshot from another member into the storage (braft LocalSnapshotCopier): the list first, then file by file.
 *
 * Every piece is checked by its CRC-32C, every file by the checksum in the list. What is complete is checkpointed, so that a
 * copy that ends early, by a cancel, a lost source or a crash, is gone on with by the next one of the same snapshot.
 */
export class SnapshotCopier {
  private writer: SnapshotWriter | null = null
  private list: SnapshotList | null = null
  private left: string[] = []
  private file: SnapshotFileCopy | null = null
  private ending: CopyFailure | null = null
  /** Disk work is under way: the end waits for it. */
  private isBusy = false
  /** Files that the last snapshot had already. */
  filesReused = 0
  private doneBytes = 0
  private totalBytes = 0

  constructor(private readonly options: CopierOptions) {}

  get bytesDone(): number {
    return this.doneBytes + (this.file?.position ?? 0)
  }

  /** 0 while unknown. */
  get bytesTotal(): number {
    return this.totalBytes
  }

  start(): void {
    // A witness keeps what the snapshot stands for, and none of its files (braft SnapshotExecutorOptions::copy_file).
    if (this.options.node.witness.isOne) return this.take({ meta: this.meta, files: new Map() })
    this.options.fetcher.fetchWhole(SNAPSHOT_LIST, (status, data) => {
      if (this.ending) return
      if (!status.ok) return this.fail(status)
      const { storage, meta } = this
      const list = storage.decodeList(data!)
      const listed = list?.meta.lastIncluded
      if (listed?.index !== meta.lastIncluded.index || listed.term !== meta.lastIncluded.term)
        return this.fail(Status.error(ErrorCode.ECORRUPT, `the list of files of the snapshot cannot be used`))
      this.take(list!)
    })
  }

  private take(list: SnapshotList): void {
    this.list = list
    this.local<SnapshotWriter>(
      (next) => this.storage.create(this.meta, next),
      (writer) => this.begin(writer!),
    )
  }

  /** Ends the copy; what is complete stays for the next one. `done` follows. */
  cancel(reason: Status): void {
    this.end({ status: reason, isLocal: false })
  }

  private get storage() {
    return this.options.node.options.snapshotStorage!
  }

  private get meta(): SnapshotMeta {
    return this.options.meta
  }

  /** Keeps what an earlier copy has completed, as far as the source has the very same. */
  private begin(writer: SnapshotWriter): void {
    this.writer = writer
    const { files } = this.list!
    for (const name of writer.files()) {
      const checksum = files.get(name)?.checksum
      if (parseChecksum(checksum) === null || checksum !== writer.fileMeta(name)!.checksum) writer.removeFile(name)
    }
    const sizes = [...files.values()].map((meta) => meta.size)
    this.totalBytes = sizes.includes(undefined) ? 0 : sizes.reduce<number>((sum, size) => sum + size!, 0)
    this.left = [...files.keys()].filter((name) => writer.fileMeta(name) === null)
    for (const name of writer.files()) this.doneBytes += files.get(name)?.size ?? 0
    // From here on a restart knows which snapshot the files in the making belong to.
    this.local(
      (next) => this.storage.checkpoint(writer, this.meta, next),
      () => this.copyNext(),
    )
  }

  private copyNext(): void {
    const name = this.left.shift()
    if (name === undefined) return this.finish()
    const expected = this.list!.files.get(name)!
    if (!this.options.node.options.filterBeforeCopyRemote || !this.storage.reuse) return this.copy(name, expected)
    this.local<SnapshotFileMeta | null>(
      (next) => this.storage.reuse!(this.writer!, name, expected, next),
      (reused) => {
        if (!reused) return this.copy(name, expected)
        // The next checkpoint makes it durable; what is lost of it before is linked again.
        this.writer!.addFile(name, reused)
        this.filesReused++
        this.doneBytes += reused.size ?? 0
        this.copyNext()
      },
    )
  }

  private copy(name: string, expected: SnapshotFileMeta): void {
    const { node, fetcher } = this.options
    const writer = this.writer!
    this.isBusy = true
    this.file = new SnapshotFileCopy(
      { node, fetcher, fileSystem: writer.fileSystem, root: writer.path, name, expected },
      (failure, meta) => {
        this.isBusy = false
        this.doneBytes += this.file!.position
        this.file = null
        if (this.ending) return this.settle()
        if (failure) return this.end(failure)
        writer.addFile(name, meta!)
        this.local(
          (next) => this.storage.checkpoint(writer, this.meta, next),
          () => this.copyNext(),
        )
      },
    )
    this.file.start()
  }

  /** Once it is the newest snapshot of the storage, no end undoes that: the state machine must have it too. */
  private finish(): void {
    this.isBusy = true
    this.storage.commit(this.writer!, this.meta, (committed) => {
      if (!committed.ok) {
        this.isBusy = false
        return this.ending ? this.settle() : this.end({ status: committed, isLocal: true })
      }
      this.storage.open((opened, reader) =>
        opened.ok ? this.options.done(null, reader!) : this.options.done({ status: opened, isLocal: true }),
      )
    })
  }

  /** Work of the own disk; its failure ends the copy. */
  private local<T>(run: (next: (status: Status, value?: T) => void) => void, then: (value: T | undefined) => void): void {
    this.isBusy = true
    run((status, value) => {
      this.isBusy = false
      if (this.ending) {
        ;(value as { close?: () => void } | undefined)?.close?.()
        return this.settle()
      }
      if (!status.ok) return this.end({ status, isLocal: true })
      then(value)
    })
  }

  private fail(status: Status): void {
    this.end({ status, isLocal: false })
  }

  private end(failure: CopyFailure): void {
    if (this.ending) return
    this.ending = failure
    this.options.fetcher.stop()
    this.file?.cancel()
    if (!this.isBusy) this.settle()
  }

  private settle(): void {
    const failure = this.ending!
    this.options.node.env.executor.post(() => this.options.done(failure), 'snapshot.copy-ended')
  }
}
