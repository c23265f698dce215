import { braft } from '../generated/braft.js'
import type { Done } from '../raft/closure.js'
import type { Checksum, Executor, Failpoints, FileSystem } from '../raft/environment.js'
import { assert, ErrorCode, Status } from '../raft/errors.js'
import { NO_FAILPOINTS } from '../raft/failpoints.js'
import { PeerId } from '../raft/peer-id.js'
import type { RaftMeta, RaftMetaStorage } from '../raft/storage.js'
import { asTerm, fromInt64, type Term } from '../raft/types.js'
import { AlternatingRecord, type StoredRecord } from './alternating-record.js'
import { makeDirectory } from './make-directory.js'
import { FileMetaPlace, type MetaPlace } from './meta-place.js'
import { join, parentOf } from './paths.js'
import type { MessageCodec } from './protobuf-file.js'
import { inSequence, point, type Step } from './steps.js'

const IF_BRAFT_RAN = '. If braft ran on it since, start it once with --adopt'
const FRESH: RaftMeta = { term: asTerm(1), votedFor: PeerId.EMPTY }
const TERM_BYTES = 8

export interface FileRaftMetaOptions {
  readonly fileSystem: FileSystem
  readonly executor: Executor
  readonly checksum: Checksum
  /** Where braft's `raft_meta` lies, or what `place` keeps it in. */
  readonly directory: string
  /** Instead of the file `raft_meta`. */
  readonly place?: MetaPlace
  /** Where our slots `meta.a` and `meta.b` lie. */
  readonly integrityDirectory: string
  /** What an operator restores from a copy; where `integrityDirectory` lies unless said otherwise. */
  readonly dataDirectory?: string
  /** Takes over a directory that braft wrote: its `raft_meta` counts although no slot vouches for it. */
  readonly adopt?: boolean
  readonly failpoints?: Failpoints
}

/** What `raft_meta` says, if it says anything. */
type MetaFile =
  | { readonly state: 'missing' }
  | { readonly state: 'damaged'; readonly problem: string }
  | { readonly state: 'valid'; readonly meta: RaftMeta }

/**
 * Term and vote in braft's `raft_meta`, and in two checksummed slots of our own that are written in turn. What
 * braft writes has no checksum: alone, a damaged one would read as another term, and a vote could be given twice.
 *
 * Order of a save: slot, then raft_meta; both durable before `done`. So after a crash raft_meta equals the newest slot or is
 * older, and the slot is right. A raft_meta that is newer than every slot is damage, or braft's work.
 * NodeImpl is the only caller. After a failed save every later one fails.
 */
export class FileRaftMetaStorage implements RaftMetaStorage {
  private readonly options: FileRaftMetaOptions
  private readonly file: MetaPlace
  private readonly slots: AlternatingRecord
  private failure: Status | null = null
  private saving = false

  constructor(options: FileRaftMetaOptions) {
    this.options = options
    this.file = options.place ?? new FileMetaPlace(options.fileSystem, options.checksum, join(options.directory, 'raft_meta'), META_CODEC)
    this.slots = new AlternatingRecord(options.fileSystem, options.checksum, [
      { path: join(options.integrityDirectory, 'meta.a'), position: 0 },
      { path: join(options.integrityDirectory, 'meta.b'), position: 0 },
    ])
  }

  /** ECORRUPT when what is stored cannot be trusted: a guess could give a second vote in a term. */
  load(done: (status: Status, meta?: RaftMeta) => void): void {
    const { fileSystem, directory, integrityDirectory } = this.options
    inSequence(
      [(next) => makeDirectory(fileSystem, directory, next), (next) => makeDirectory(fileSystem, integrityDirectory, next)],
      (made) => {
        if (!made.ok) return done(made)
        this.slots.load((status, stored) => {
          if (!status.ok) return done(status)
          this.readFile((fileStatus, file) => {
            if (!fileStatus.ok) return done(fileStatus)
            this.settle(stored!, file!, done)
          })
        })
      },
    )
  }

  /** OK once term and vote are durable in both places. */
  save(meta: RaftMeta, done: Done): void {
    assert(!this.saving, 'two saves of term and vote at a time')
    if (this.failure) {
      const failure = this.failure
      return this.options.executor.post(() => done(failure), 'raft-meta-unusable')
    }
    this.saving = true
    const failpoints = this.options.failpoints ?? NO_FAILPOINTS
    const steps: Step[] = [
      point(failpoints, 'meta.saving'),
      (next) => this.slots.save(encodeSlot(meta), next),
      point(failpoints, 'meta.slot-saved'),
      (next) => this.file.save(meta, next),
      point(failpoints, 'meta.saved'),
    ]
    inSequence(steps, (status) => {
      this.saving = false
      if (!status.ok) this.failure = new Status(status.code, `cannot save term ${meta.term} and vote: ${status.message}`)
      done(this.failure ?? status)
    })
  }

  private readFile(done: (status: Status, file?: MetaFile) => void): void {
    this.file.load((status, meta) => {
      if (status.ok) return done(Status.OK, { state: 'valid', meta: meta! })
      if (status.code === ErrorCode.ENOENT) return done(Status.OK, { state: 'missing' })
      if (status.code === ErrorCode.ECORRUPT) return done(Status.OK, { state: 'damaged', problem: status.message })
      done(status)
    })
  }

  /** Decides between the newest slot and raft_meta. */
  private settle(stored: StoredRecord, file: MetaFile, done: (status: Status, meta?: RaftMeta) => void): void {
    if (stored.payload === null) return this.settleWithoutSlot(stored, file, done)
    let slot: RaftMeta
    try {
      slot = decodeMetaSlot(stored.payload)
    } catch (error) {
      return done(this.corrupt(`our newest record of term and vote cannot be read: ${(error as Error).message}`))
    }
    const answer = (meta: RaftMeta) => (status: Status) => done(status, status.ok ? meta : undefined)
    if (this.options.adopt && file.state === 'damaged') return done(this.corrupt(file.problem))
    if (this.options.adopt && file.state === 'missing')
      return done(this.corrupt(`${this.file.path} is missing, where braft kept its term and vote`))
    // Saved again even when both agree: a process that was killed may have left them in the page cache only, and what is
    // answered here is at once told to the other members.
    if (file.state !== 'valid' || isOlderMeta(file.meta, slot) || isSameMeta(file.meta, slot)) return this.save(slot, answer(slot))
    if (this.options.adopt) return this.save(file.meta, answer(file.meta))
    done(this.corrupt(`${this.file.path} says ${describeMeta(file.meta)}, our newest record says ${describeMeta(slot)}`, IF_BRAFT_RAN))
  }

  private settleWithoutSlot(stored: StoredRecord, file: MetaFile, done: (status: Status, meta?: RaftMeta) => void): void {
    if (file.state === 'missing') {
      // A crash during the very first save spoils one slot at most.
      if (stored.badSlots < 2) return done(Status.OK, FRESH)
      return done(
        this.corrupt(`both records of term and vote in ${this.options.integrityDirectory} are damaged and ${this.file.path} is missing`),
      )
    }
    if (file.state === 'damaged') return done(this.corrupt(file.problem))
    if (this.options.adopt) return this.save(file.meta, (status) => done(status, status.ok ? file.meta : undefined))
    const what = stored.badSlots > 0 ? 'our records of term and vote are damaged' : 'no record of ours vouches for it'
    done(this.corrupt(`${this.file.path} says ${describeMeta(file.meta)}, but ${what}`, IF_BRAFT_RAN))
  }

  private corrupt(what: string, otherwise = ''): Status {
    const { integrityDirectory, dataDirectory = parentOf(integrityDirectory) } = this.options
    const act = `Restore ${dataDirectory} from a copy; the other members keep serving without it`
    return Status.error(ErrorCode.ECORRUPT, `${what}. A wrong vote could elect two leaders, so nothing was changed. ${act}${otherwise}`)
  }
}

/** braft's StablePBMeta as the engine sees it. A vote that is no peer does not decode, as in braft. */
export const META_CODEC: MessageCodec<RaftMeta> = {
  encode: (meta) => braft.StablePBMeta.encode({ term: meta.term, votedfor: meta.votedFor.toString() }),
  decode: (bytes) => {
    const { term, votedfor } = braft.StablePBMeta.decode(bytes)
    return { term: checkTerm(fromInt64(term)), votedFor: parseVote(votedfor) }
  },
}

function parseVote(text: string): PeerId {
  const peer = PeerId.parse(text)
  if (!peer) throw new Error(`"${text}" is no peer`)
  return peer
}

function checkTerm(term: number): Term {
  if (!Number.isSafeInteger(term) || term < 0) throw new Error(`${term} is no term`)
  return asTerm(term)
}

function encodeSlot(meta: RaftMeta): Buffer {
  const vote = Buffer.from(meta.votedFor.toString())
  const bytes = Buffer.alloc(TERM_BYTES + vote.length)
  bytes.writeBigUInt64BE(BigInt(meta.term))
  vote.copy(bytes, TERM_BYTES)
  return bytes
}

/** Term and vote in the payload of a slot; throws when they are none. */
export function decodeMetaSlot(bytes: Buffer): RaftMeta {
  return { term: checkTerm(Number(bytes.readBigUInt64BE(0))), votedFor: parseVote(bytes.toString('utf8', TERM_BYTES)) }
}

export function isSameMeta(a: RaftMeta, b: RaftMeta): boolean {
  return a.term === b.term && a.votedFor.equals(b.votedFor)
}

/** Whether `a` can have come before `b`: a term only grows, and in a term a vote is only given once. */
export function isOlderMeta(a: RaftMeta, b: RaftMeta): boolean {
  return a.term < b.term || (a.term === b.term && a.votedFor.isEmpty && !b.votedFor.isEmpty)
}

export function describeMeta(meta: RaftMeta): string {
  return `term ${meta.term}, ${meta.votedFor.isEmpty ? 'no vote' : `vote for ${meta.votedFor}`}`
}
