import type { Done } from '../../src/raft/closure.js'
import type { FileSystem } from '../../src/raft/environment.js'
import { ErrorCode, Status } from '../../src/raft/errors.js'
import type {
  SnapshotFileMeta,
  SnapshotList,
  SnapshotMeta,
  SnapshotReader,
  SnapshotStorage,
  SnapshotWriter,
} from '../../src/raft/storage.js'

/** Snapshots without files, on a disk that works when the test says so. */
export class FakeSnapshotStorage implements SnapshotStorage {
  /** What was asked for, in order. */
  readonly calls: string[] = []
  private readonly pending: (() => void)[] = []
  readonly failures = new Map<string, Status>()
  /** Readers that are open. */
  readers = 0
  /** What an interrupted copy left complete. */
  present: ReadonlyMap<string, SnapshotFileMeta> = new Map()
  /** The files that the newest checkpoint names. */
  checkpointed: readonly string[] = []

  constructor(public newest: SnapshotMeta | null = null) {}

  init(done: (status: Status, newest?: SnapshotMeta | null) => void): void {
    this.answer('init', (status) => (status.ok ? done(status, this.newest) : done(status)))
  }

  create(resume: SnapshotMeta | null, done: (status: Status, writer?: SnapshotWriter) => void): void {
    this.answer(resume ? 'create to resume' : 'create', (status) =>
      status.ok ? done(status, new FakeWriter(resume ? this.present : [])) : done(status),
    )
  }

  commit(_writer: SnapshotWriter, meta: SnapshotMeta, done: Done): void {
    this.answer(`commit ${meta.lastIncluded.index}`, (status) => {
      if (status.ok) this.newest = meta
      done(status)
    })
  }

  checkpoint(writer: SnapshotWriter, _meta: SnapshotMeta, done: Done): void {
    this.checkpointed = writer.files()
    this.answer('checkpoint', done)
  }

  discard(_writer: SnapshotWriter, done: Done): void {
    this.answer('discard', done)
  }

  open(done: (status: Status, reader?: SnapshotReader) => void): void {
    this.answer('open', (status) => {
      if (!status.ok) return done(status)
      if (!this.newest) return done(Status.error(ErrorCode.ENODATA, 'none'))
      this.readers++
      done(Status.OK, new FakeReader(this.newest, () => this.readers--))
    })
  }

  verify(_reader: SnapshotReader, done: Done): void {
    this.answer('verify', done)
  }

  /** Whatever is fetched as a list is this one. */
  list: SnapshotList | null = null

  decodeList(): SnapshotList | null {
    return this.list
  }

  completeOne(): boolean {
    const next = this.pending.shift()
    next?.()
    return next !== undefined
  }

  private answer(name: string, done: Done): void {
    this.calls.push(name)
    this.pending.push(() => done(this.failures.get(name.split(' ')[0]!) ?? Status.OK))
  }
}

class FakeWriter implements SnapshotWriter {
  /** A disk that never answers. */
  readonly fileSystem = { mkdir: () => {} } as unknown as FileSystem
  readonly path = '/snapshot/temp'
  private readonly listed: Map<string, SnapshotFileMeta>

  constructor(listed: Iterable<readonly [string, SnapshotFileMeta]>) {
    this.listed = new Map(listed)
  }

  addFile(name: string, meta: SnapshotFileMeta = {}): Status {
    this.listed.set(name, meta)
    return Status.OK
  }
  removeFile(name: string): void {
    this.listed.delete(name)
  }
  files(): readonly string[] {
    return [...this.listed.keys()]
  }
  fileMeta(name: string): SnapshotFileMeta | null {
    return this.listed.get(name) ?? null
  }
}

class FakeReader implements SnapshotReader {
  readonly fileSystem = {} as FileSystem
  readonly path = '/snapshot/snapshot_1'

  constructor(
    readonly meta: SnapshotMeta,
    private readonly release: () => void,
  ) {}

  files(): readonly string[] {
    return []
  }
  fileMeta(): SnapshotFileMeta | null {
    return null
  }
  list(): Buffer {
    return Buffer.alloc(0)
  }
  close(): void {
    this.release()
  }
}
