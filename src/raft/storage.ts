import type { Done } from './closure.js'
import type { ConfigurationEntry } from './configuration.js'
import type { FileSystem } from './environment.js'
import type { Status } from './errors.js'
import type { EntryBatch } from './log-entry.js'
import type { Standing } from './messages.js'
import type { PeerId } from './peer-id.js'
import type { LogId, LogIndex, Term } from './types.js'

/** What a log held when it was opened. */
export interface LogRecovery {
  readonly firstIndex: LogIndex
  readonly lastIndex: LogIndex
  /** Every configuration found, in order of index. */
  readonly configurations: readonly ConfigurationEntry[]
  /** Newest entry without its data (EntryBatch.newestBare); absent or 0: all are whole. Only the log of a witness has some. */
  readonly newestBare?: LogIndex
  /** What was cut from the end because a crash left it half written; null when nothing was. */
  readonly tornTail: { readonly file: string; readonly offset: number; readonly bytes: number; readonly problem: string } | null
}

/**
 * Entries on stable storage. LogManager is the only caller and has at most one change under way (append, truncate or
 * reset); reads may overlap with it. After a failed change the storage is unusable. Every `done` runs later.
 */
export interface LogStorage {
  init(done: (status: Status, recovery?: LogRecovery) => void): void
  /** The first index that can be read; one more than `lastLogIndex` when empty. */
  readonly firstLogIndex: LogIndex
  readonly lastLogIndex: LogIndex
  /**
   * Its appends are answered before they are durable, on every member alike: a peer that forgot what it acknowledged is sent it again
   * instead of being refused for good. Absent: no.
   */
  readonly acknowledgesEarly?: boolean
  /** Set by who uses it: called when it became unusable between two changes, by what it does of itself; else a change says so. */
  onUnusable?: (status: Status) => void
  /** Appends batches that follow `lastLogIndex`. OK means durable: data, and the name of every new segment. */
  appendEntries(batches: readonly EntryBatch[], done: Done): void
  /** Entries from `from` on, at least one, as many as fit `maxBytes` and are at hand in one read. ENOENT when out of range. */
  getEntries(from: LogIndex, maxBytes: number, done: (status: Status, batch?: EntryBatch) => void): void
  /** Term of a stored entry, from memory; 0 when out of range. */
  getTerm(index: LogIndex): Term
  truncatePrefix(firstKept: LogIndex, done: Done): void
  truncateSuffix(lastKept: LogIndex, done: Done): void
  /** Empties the log; the next entry will be `nextIndex`. */
  reset(nextIndex: LogIndex, done: Done): void
  /** Writes what is lazily kept and closes the files. */
  close(done: Done): void
}

/** In which term a member is, and for whom it voted in it. */
export interface RaftMeta {
  readonly term: Term
  /** PeerId.EMPTY when no vote was given in `term`. */
  readonly votedFor: PeerId
}

/** Term and vote. One save at a time; a failed save leaves the storage unusable. */
export interface RaftMetaStorage {
  /** Nothing stored yet answers term 1 without a vote, as in braft. */
  load(done: (status: Status, meta?: RaftMeta) => void): void
  save(meta: RaftMeta, done: Done): void
}

/** Who this data directory is. */
export interface NodeIdentity {
  readonly standing: Standing
  /** 128 random bits in hex, drawn when the directory was first used. */
  readonly incarnation: string
  /** Incarnation of every founder by PeerId key, once known. */
  readonly founders: ReadonlyMap<string, string> | null
  /** What settled this directory when it was rebuilt or new: what the log says below that is said of earlier lives. Absent: founded. */
  readonly settledAt?: LogIndex
}

/** Who a data directory is, durably. One call at a time. */
export interface IdentityStorage {
  /** Reads the identity, or draws an incarnation and stores `standing` first. */
  load(standing: Standing, done: (status: Status, identity?: NodeIdentity) => void): void
  save(identity: NodeIdentity, done: Done): void
}

/** What a snapshot stands for (braft SnapshotMeta). */
export interface SnapshotMeta {
  readonly lastIncluded: LogId
  /** In force there; its id is `lastIncluded`. */
  readonly configuration: ConfigurationEntry
}

/** What is known of a file in a snapshot (braft LocalFileMeta). */
export interface SnapshotFileMeta {
  readonly userMeta?: Buffer
  /** `crc32c:` and eight hex digits lets a copy be checked end to end; anything else is only compared. */
  readonly checksum?: string
  /** Bytes in the file. Absent in snapshots that braft wrote. */
  readonly size?: number
}

/** The file that lists a snapshot's files; a reader serves it under this name, without the length in front of it on disk. */
export const SNAPSHOT_LIST = '__raft_snapshot_meta'

/** What a snapshot consists of, by name and in order of name. */
export interface SnapshotList {
  readonly meta: SnapshotMeta
  readonly files: ReadonlyMap<string, SnapshotFileMeta>
}

/** The files of a snapshot that is being written. They may lie in sub-directories; no name leaves `path`. */
export interface SnapshotWriter {
  readonly fileSystem: FileSystem
  readonly path: string
  /** Lists a file that the caller writes under `path`. EINVAL: the name is empty or leaves the directory. EEXIST: it is listed. */
  addFile(name: string, meta?: SnapshotFileMeta): Status
  removeFile(name: string): void
  files(): readonly string[]
  fileMeta(name: string): SnapshotFileMeta | null
}

/** A complete snapshot, pinned until `close`. */
export interface SnapshotReader {
  readonly fileSystem: FileSystem
  readonly path: string
  readonly meta: SnapshotMeta
  files(): readonly string[]
  fileMeta(name: string): SnapshotFileMeta | null
  /** The list of files as it travels: a serialized LocalSnapshotPbMeta. */
  list(): Buffer
  close(): void
}

/** Snapshots on stable storage. SnapshotExecutor is the only caller and writes at most one at a time. */
export interface SnapshotStorage {
  /** Removes what a crash left behind. Null: there is no snapshot. ECORRUPT: its list of files cannot be read. */
  init(done: (status: Status, newest?: SnapshotMeta | null) => void): void
  /** A place to write into. With `resume` what an interrupted copy of the same snapshot left there is kept. */
  create(resume: SnapshotMeta | null, done: (status: Status, writer?: SnapshotWriter) => void): void
  /** Makes what was written the newest snapshot: files, list and directories durable first, then visible. Older ones go when nobody reads them. */
  commit(writer: SnapshotWriter, meta: SnapshotMeta, done: Done): void
  /** Makes durable which files of a copy are complete, so that `create` finds them after a crash. */
  checkpoint(writer: SnapshotWriter, meta: SnapshotMeta, done: Done): void
  /**
   * Gives a copy a file of the newest snapshot under that name, without writing it, when it is the very same as `expected` says.
   * Null: it has none, or cannot; then it is copied. A storage without this copies everything.
   */
  reuse?(
    writer: SnapshotWriter,
    name: string,
    expected: SnapshotFileMeta,
    done: (status: Status, meta?: SnapshotFileMeta | null) => void,
  ): void
  /** Throws away what was written. */
  discard(writer: SnapshotWriter, done: Done): void
  /** The newest snapshot; ENODATA without one. */
  open(done: (status: Status, reader?: SnapshotReader) => void): void
  /** Reads every file whose checksum can be recomputed. ECORRUPT, naming it: one is missing or not what was written. */
  verify(reader: SnapshotReader, done: Done): void
  /** Reads a list of files as it travels; null when it is none, or a name in it leaves the directory. */
  decodeList(bytes: Buffer): SnapshotList | null
}
