import type { Done } from '../raft/closure.js'
import type { Checksum, Executor, Failpoints, FileSystem } from '../raft/environment.js'
import { assert, ErrorCode, Status } from '../raft/errors.js'
import { NO_FAILPOINTS } from '../raft/failpoints.js'
import {
  SNAPSHOT_LIST,
  type SnapshotFileMeta,
  type SnapshotList,
  type SnapshotMeta,
  type SnapshotReader,
  type SnapshotStorage,
  type SnapshotWriter,
} from '../raft/storage.js'
import { makeDirectory } from './make-directory.js'
import { join } from './paths.js'
import { ProtoBufFile } from './protobuf-file.js'
import { directoriesOf, removeUnlisted, settleFile, syncFile, verifyFile } from './snapshot-files.js'
import { linkSame } from './snapshot-link.js'
import { SNAPSHOT_LIST_CODEC } from './snapshot-list.js'
import { LocalSnapshotReader } from './snapshot-reader.js'
import type { SnapshotSeal } from './snapshot-seal.js'
import { LocalSnapshotWriter } from './snapshot-writer.js'
import { forEachInOrder, inSequence, point, type Step } from './steps.js'

/** Where a snapshot is written, as in braft, and where one is copied to from another member: a save costs no copy its beginning. */
const TEMPORARY = 'temp'
const COPY = 'copy'

export interface LocalSnapshotOptions {
  readonly fileSystem: FileSystem
  readonly executor: Executor
  readonly checksum: Checksum
  /** Where the snapshots lie. */
  readonly directory: string
  /** What vouches for the lists of files; null does without. */
  readonly seal: SnapshotSeal | null
  /** The seals are of before braft wrote here: they are not believed. */
  readonly adopt?: boolean
  readonly failpoints?: Failpoints
}

/** A snapshot on disk and how many read it. */
interface Kept {
  readonly path: string
  readonly list: SnapshotList
  readers: number
  /** A newer one replaced it: it goes with its last reader. */
  replaced: boolean
}

/**
 * Snapshots in braft's directory format: `snapshot_<last index>`, `temp` while one is written and `copy` while one is copied.
 * Owns the directory. SnapshotExecutor calls it and writes at most one at a time.
 *
 * Invariants
 * - What is visible under a snapshot's name is complete and durable: files, list and directories are synced before the
 *   rename, and the rename before anybody hears of it. Unlike braft, a failed sync is a failure.
 * - The newest is never removed; an older one goes when nobody reads it, and at the next start at the latest.
 * - No name in a list leaves its directory.
 */
export class LocalSnapshotStorage implements SnapshotStorage {
  private readonly directory: string
  private readonly temporary: string
  private readonly copy: string
  private newest: Kept | null = null
  private failure: Status | null = null
  private readonly failpoints: Failpoints

  constructor(private readonly options: LocalSnapshotOptions) {
    this.directory = options.directory
    this.failpoints = options.failpoints ?? NO_FAILPOINTS
    this.temporary = join(options.directory, TEMPORARY)
    this.copy = join(options.directory, COPY)
  }

  init(done: (status: Status, newest?: SnapshotMeta | null) => void): void {
    const { fileSystem } = this.options
    const found: { name: string; index: number }[] = []
    inSequence(
      [
        (next) => makeDirectory(fileSystem, this.directory, next),
        (next) =>
          fileSystem.list(this.directory, (status, names) => {
            for (const name of names ?? []) {
              const index = snapshotIndexOf(name)
              if (index !== null) found.push({ name, index })
            }
            found.sort((a, b) => b.index - a.index)
            next(status)
          }),
        // A process that was killed may have left the newest name volatile; from here on it is relied upon.
        (next) => fileSystem.syncDir(this.directory, next),
        (next) => (this.options.seal ? this.options.seal.load(next) : next(Status.OK)),
        (next) => (found[0] ? this.load(found[0], next) : next(Status.OK)),
        (next) => (this.newest && this.options.adopt ? this.settleAdopted(this.newest, next) : next(Status.OK)),
        (next) => (found[0] ? point(this.failpoints, 'snapshot.found')(next) : next(Status.OK)),
        (next) => forEachInOrder(found.slice(1), ({ name }, removed) => fileSystem.remove(join(this.directory, name), removed), next),
        (next) => fileSystem.remove(this.temporary, next),
        (next) => this.judgeCopy(next),
      ],
      (status) => done(status, status.ok ? (this.newest?.list.meta ?? null) : undefined),
    )
  }

  create(resume: SnapshotMeta | null, done: (status: Status, writer?: SnapshotWriter) => void): void {
    if (this.failure) return this.refuse(this.failure, done)
    const { fileSystem } = this.options
    const path = resume ? this.copy : this.temporary
    const finish = (listed: ReadonlyMap<string, SnapshotFileMeta>) => (status: Status) =>
      status.ok ? done(Status.OK, new LocalSnapshotWriter(fileSystem, path, listed)) : done(status)
    const afresh = () => {
      const steps: Step[] = [(next) => fileSystem.remove(path, next), (next) => fileSystem.mkdir(path, next)]
      inSequence(steps, finish(new Map()))
    }
    if (!resume) return afresh()
    this.listFile(path).load((status, list) => {
      if (status.ok && isSame(list!.meta, resume)) return finish(list!.files)(Status.OK)
      afresh()
    })
  }

  commit(writer: SnapshotWriter, meta: SnapshotMeta, done: Done): void {
    if (this.failure) return this.refuse(this.failure, done)
    const { fileSystem, checksum } = this.options
    const { index } = meta.lastIncluded
    const { listed } = this.own(writer)
    if (index <= this.lastIndex) {
      return this.refuse(Status.error(ErrorCode.ESTALE, `a snapshot of ${this.lastIndex} is here, this one ends at ${index}`), done)
    }
    const target = join(this.directory, nameOf(index))
    const steps: Step[] = [
      (next) =>
        forEachInOrder(
          [...listed],
          ([name, known], settled) =>
            settleFile(fileSystem, checksum, join(writer.path, name), known, (status, fileMeta) => {
              if (status.ok) listed.set(name, fileMeta!)
              settled(status.code === ErrorCode.ENOENT ? Status.error(ErrorCode.EINVAL, `${name} is listed and was not written`) : status)
            }),
          next,
        ),
      (next) => removeUnlisted(fileSystem, writer.path, new Set(listed.keys()), next),
      (next) => forEachInOrder(directoriesOf(writer.path, listed.keys()), (path, synced) => fileSystem.syncDir(path, synced), next),
      point(this.failpoints, 'snapshot.files-synced'),
      (next) => this.listFile(writer.path).save({ meta, files: listed }, next),
      point(this.failpoints, 'snapshot.list-saved'),
      (next) => fileSystem.remove(target, next),
      (next) => this.seal({ meta, files: listed }, next),
      point(this.failpoints, 'snapshot.sealed'),
    ]
    inSequence(steps, (status) => {
      if (!status.ok) return done(status)
      inSequence(
        [
          (next) => fileSystem.rename(writer.path, target, next),
          point(this.failpoints, 'snapshot.renamed'),
          (next) => fileSystem.syncDir(this.directory, next),
        ],
        (renamed) => {
          // Whether the name is durable is unknown now; nothing may be built on it, whatever the disk said.
          if (!renamed.ok) {
            this.failure = Status.error(ErrorCode.EIO, renamed.message)
            return done(this.failure)
          }
          this.replaceNewest({ path: target, list: { meta, files: new Map(listed) }, readers: 0, replaced: false })
          this.judgeCopy(() => done(Status.OK))
        },
      )
    })
  }

  checkpoint(writer: SnapshotWriter, meta: SnapshotMeta, done: Done): void {
    if (this.failure) return this.refuse(this.failure, done)
    const { fileSystem } = this.options
    const { listed } = this.own(writer)
    // The names first, then the list that counts on them.
    const directories = [...directoriesOf(writer.path, listed.keys()), writer.path]
    inSequence(
      [
        (next) => forEachInOrder(directories, (path, synced) => fileSystem.syncDir(path, synced), next),
        (next) => this.listFile(writer.path).save({ meta, files: listed }, next),
        point(this.failpoints, 'snapshot.copy-noted'),
      ],
      done,
    )
  }

  reuse(
    writer: SnapshotWriter,
    name: string,
    expected: SnapshotFileMeta,
    done: (status: Status, meta?: SnapshotFileMeta | null) => void,
  ): void {
    if (this.failure) return this.refuse(this.failure, done)
    const { fileSystem, checksum } = this.options
    const { path } = this.own(writer)
    this.open((opened, reader) => {
      if (!opened.ok) return done(Status.OK, null)
      linkSame({ fileSystem, checksum, reader: reader!, directory: path, name, expected }, (status, meta) => {
        reader!.close()
        done(status, meta)
      })
    })
  }

  discard(writer: SnapshotWriter, done: Done): void {
    this.own(writer)
    this.options.fileSystem.remove(writer.path, done)
  }

  open(done: (status: Status, reader?: SnapshotReader) => void): void {
    this.options.executor.post(() => {
      const kept = this.newest
      if (!kept) return done(Status.error(ErrorCode.ENODATA, 'there is no snapshot'))
      kept.readers++
      done(Status.OK, new LocalSnapshotReader(this.options.fileSystem, kept.path, kept.list, () => this.released(kept)))
    }, 'snapshot-open')
  }

  verify(reader: SnapshotReader, done: Done): void {
    const { fileSystem, checksum } = this.options
    forEachInOrder(
      reader.files(),
      (name, next) => verifyFile(fileSystem, checksum, join(reader.path, name), reader.fileMeta(name)!, next),
      done,
    )
  }

  decodeList(bytes: Buffer): SnapshotList | null {
    try {
      return SNAPSHOT_LIST_CODEC.decode(bytes)
    } catch {
      return null
    }
  }

  private get lastIndex(): number {
    return this.newest?.list.meta.lastIncluded.index ?? 0
  }

  private listFile(path: string): ProtoBufFile<SnapshotList> {
    return new ProtoBufFile(this.options.fileSystem, join(path, SNAPSHOT_LIST), SNAPSHOT_LIST_CODEC)
  }

  private own(writer: SnapshotWriter): LocalSnapshotWriter {
    assert(
      writer instanceof LocalSnapshotWriter && (writer.path === this.temporary || writer.path === this.copy),
      'a writer of another storage',
    )
    return writer
  }

  private refuse(status: Status, done: Done): void {
    this.options.executor.post(() => done(status), 'snapshot-refused')
  }

  private seal(list: SnapshotList, done: Done): void {
    if (this.options.seal) this.options.seal.save(list, this.newest?.list ?? null, done)
    else done(Status.OK)
  }

  private load(found: { name: string; index: number }, done: Done): void {
    const path = join(this.directory, found.name)
    const file = this.listFile(path)
    const corrupt = (what: string) =>
      done(Status.error(ErrorCode.ECORRUPT, `the snapshot in ${path} cannot be used: ${what}; nothing was changed`))
    file.load((status, list) => {
      if (status.code === ErrorCode.ENOENT) return corrupt(`${file.path} is missing`)
      if (status.code === ErrorCode.ECORRUPT) return corrupt(status.message)
      if (!status.ok) return done(status)
      if (list!.meta.lastIncluded.index !== found.index)
        return corrupt(`${file.path} says that it ends at ${list!.meta.lastIncluded.index}`)
      const { seal, adopt } = this.options
      if (seal && !adopt && !seal.vouchesFor(list!)) return corrupt(`${file.path} is not what was written`)
      this.newest = { path, list: list!, readers: 0, replaced: false }
      done(Status.OK)
    })
  }

  /** braft syncs nothing that its state machine wrote, and no directory; from here on all of it is relied upon. */
  private settleAdopted({ path, list }: Kept, done: Done): void {
    const { fileSystem } = this.options
    const names = [...list.files.keys()]
    inSequence(
      [
        (next) => forEachInOrder([...names, SNAPSHOT_LIST], (name, synced) => syncFile(fileSystem, join(path, name), synced), next),
        (next) => forEachInOrder([...directoriesOf(path, names), path], (each, synced) => fileSystem.syncDir(each, synced), next),
        (next) => (this.options.seal ? this.options.seal.save(list, null, next) : next(Status.OK)),
      ],
      done,
    )
  }

  /** What an interrupted copy left stays only while it can still be of use. */
  private judgeCopy(done: Done): void {
    this.listFile(this.copy).load((status, list) => {
      if (status.ok && list!.meta.lastIncluded.index > this.lastIndex) return done(Status.OK)
      this.options.fileSystem.remove(this.copy, done)
    })
  }

  private replaceNewest(kept: Kept): void {
    const old = this.newest
    this.newest = kept
    if (!old) return
    old.replaced = true
    if (old.readers === 0) this.removeOld(old)
  }

  private released(kept: Kept): void {
    kept.readers--
    if (kept.readers === 0 && kept.replaced) this.removeOld(kept)
  }

  /** Nothing waits for it: what stays behind is removed at the next start. */
  private removeOld(kept: Kept): void {
    this.options.fileSystem.remove(kept.path, () => {})
  }
}

function isSame(a: SnapshotMeta, b: SnapshotMeta): boolean {
  return a.lastIncluded.index === b.lastIncluded.index && a.lastIncluded.term === b.lastIncluded.term
}

/** `snapshot_` and the index in 20 digits, as braft names it. */
function nameOf(index: number): string {
  return `snapshot_${String(index).padStart(20, '0')}`
}

function snapshotIndexOf(name: string): number | null {
  const digits = /^snapshot_(\d{1,20})$/.exec(name)
  if (!digits) return null
  const index = Number(digits[1])
  return Number.isSafeInteger(index) && index > 0 ? index : null
}
