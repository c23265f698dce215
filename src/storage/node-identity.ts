import type { Done } from '../raft/closure.js'
import type { Checksum, Executor, Failpoints, FileSystem, Random } from '../raft/environment.js'
import { assert, ErrorCode, Status } from '../raft/errors.js'
import { NO_FAILPOINTS } from '../raft/failpoints.js'
import type { Standing } from '../raft/messages.js'
import { PeerId } from '../raft/peer-id.js'
import type { IdentityStorage, NodeIdentity } from '../raft/storage.js'
import type { LogIndex } from '../raft/types.js'
import { decodeIdentity, encodeIdentity, type IdentityRecord } from './identity-file.js'
import { makeDirectory } from './make-directory.js'
import { join } from './paths.js'
import { readWholeFile, replaceFile } from './protobuf-file.js'
import { parseSegmentName } from './segment.js'
import { forEachInOrder, inSequence, point } from './steps.js'

const INCARNATION_BYTES = 16
const FIRST_GENERATION = 1
/** Addresses that a directory remembers. */
const MOVES_KEPT = 8
/** Not written down, as in directories of before there were others. */
const DEFAULT_GROUP = 'kv'
const KEY_VALUE = 'kv'

export interface NodeIdentityOptions {
  readonly fileSystem: FileSystem
  readonly executor: Executor
  readonly random: Random
  readonly checksum: Checksum
  /** The data directory; the identity lies in its `raftctl/node.json`. */
  readonly directory: string
  /** The cluster this node was told to belong to; null when it does not know yet. */
  readonly clusterId: string | null
  readonly peerId: PeerId
  readonly name: string | null
  /** Which group it is; `kv` when left out. */
  readonly group?: string
  /** What the group runs; the key-value store when left out. */
  readonly machine?: string
  /** Takes over a directory whose member had another address. */
  readonly moved?: boolean
  /** Takes over a directory that holds a past but no node.json: one that braft wrote. */
  readonly adopt?: boolean
  readonly failpoints?: Failpoints
}

/** Why a directory was refused: another cluster's, another member's, a past without an identity, or a damaged identity. */
export type IdentityRefusal = 'cluster' | 'peer' | 'unknown-past' | 'damaged'

/**
 * Who a data directory is: `<data>/raftctl/node.json`, with a checksum, replaced as a whole.
 *
 * Invariants
 * - It is durable before any term, vote or entry: a directory with a past and without an identity was tampered with, or is
 *   braft's, and is refused, never taken for empty.
 * - The incarnation is drawn once. A directory stays bound to its peer, and to its cluster once that is known (§4.10).
 *
 * NodeImpl uses it as IdentityStorage; the server reads and sets what the engine does not know.
 */
export class NodeIdentityStorage implements IdentityStorage {
  private readonly options: NodeIdentityOptions
  private readonly path: string
  private record: IdentityRecord | null = null
  private refused: IdentityRefusal | null = null
  private readonly queue: (() => void)[] = []
  private failure: Status | null = null

  constructor(options: NodeIdentityOptions) {
    this.options = options
    this.path = join(options.directory, 'raftctl', 'node.json')
  }

  /** Why `load` refused the directory; null when it did not, or failed to read it. */
  get refusal(): IdentityRefusal | null {
    return this.refused
  }

  /** 128 bits in hex, or null while unknown. Valid once loaded, as everything below. */
  get clusterId(): string | null {
    return this.loaded.clusterId
  }

  /** What the member is called; null when nobody said. */
  get name(): string | null {
    return this.loaded.name
  }

  /** Counts the recoveries that replaced the members by force. */
  get generation(): number {
    return this.loaded.generation
  }

  /** PeerIds that this directory had at other addresses, oldest first. */
  get movedFrom(): readonly string[] {
    return this.loaded.moved?.from ?? []
  }

  /** How often its members were set by hand, newest last. */
  get recoveries(): NonNullable<IdentityRecord['recoveries']> {
    return this.loaded.recoveries ?? []
  }

  /** What was loaded or saved last. */
  get identity(): NodeIdentity {
    const { standing, incarnation, founders, settledAt } = this.loaded
    const known = founders === null ? null : new Map(Object.entries(founders))
    return { standing, incarnation, founders: known, ...(settledAt === undefined ? {} : { settledAt: settledAt as LogIndex }) }
  }

  /** EINVAL or ECORRUPT with `refusal` set when this is not this member's directory. */
  load(standing: Standing, done: (status: Status, identity?: NodeIdentity) => void): void {
    const { fileSystem, checksum, directory } = this.options
    makeDirectory(fileSystem, join(directory, 'raftctl'), (made) => {
      if (!made.ok) return done(made)
      readWholeFile(fileSystem, this.path, (status, bytes) => {
        if (status.code === ErrorCode.ENOENT) return this.create(standing, done)
        if (!status.ok) return done(status)
        const decoded = decodeIdentity(bytes!, checksum)
        if (typeof decoded === 'string')
          return this.refuse(
            'damaged',
            ErrorCode.ECORRUPT,
            `${this.path} is damaged: ${decoded}. Restore ${directory} from a copy; the other members keep serving without it`,
            done,
          )
        // Renamed by a process that was killed, its name may not be durable yet; from here on it is relied upon.
        fileSystem.syncDir(join(directory, 'raftctl'), (named) => (named.ok ? this.accept(decoded, standing, done) : done(named)))
      })
    })
  }

  /** OK once it is durable. */
  save(identity: NodeIdentity, done: Done): void {
    const { standing, incarnation, settledAt } = identity
    const founders = identity.founders === null ? null : Object.fromEntries(identity.founders)
    this.store(() => {
      const { moved, ...kept } = this.loaded
      // Once it counts where it is now, it can no more go back to whom it was before.
      const onItsWay = standing === 'rebuilding' && moved !== undefined ? { moved } : {}
      return { ...kept, ...onItsWay, standing, incarnation, founders, ...(settledAt === undefined ? {} : { settledAt }) }
    }, done)
  }

  /** Changes what the engine does not know. OK means durable. */
  update(changes: Partial<Pick<IdentityRecord, 'clusterId' | 'name' | 'generation' | 'removed' | 'recoveries'>>, done: Done): void {
    this.store(() => ({ ...this.loaded, ...changes }), done)
  }

  private get loaded(): IdentityRecord {
    assert(this.record, 'identity used before it was loaded')
    return this.record
  }

  private create(standing: Standing, done: (status: Status, identity?: NodeIdentity) => void): void {
    const { directory, adopt, random, clusterId, peerId, name, group = DEFAULT_GROUP, machine = KEY_VALUE } = this.options
    this.findPast((status, past) => {
      if (!status.ok) return done(status)
      if (past && !adopt) {
        const what = `${directory} holds ${past}, but no raftctl/node.json: it is braft's, or its identity was deleted`
        return this.refuse(
          'unknown-past',
          ErrorCode.ECORRUPT,
          `${what}. Restore ${directory} from a copy, or give an empty directory with --data`,
          done,
        )
      }
      const first: IdentityRecord = {
        clusterId,
        peerId: peerId.toString(),
        name,
        ...(group === DEFAULT_GROUP ? {} : { group }),
        ...(machine === KEY_VALUE ? {} : { machine }),
        standing: past ? 'member' : standing,
        incarnation: random.hex(INCARNATION_BYTES),
        generation: FIRST_GENERATION,
        founders: null,
        removed: null,
      }
      this.store(
        () => first,
        (stored) => done(stored, stored.ok ? this.identity : undefined),
      )
    })
  }

  private accept(stored: IdentityRecord, wanted: Standing, done: (status: Status, identity?: NodeIdentity) => void): void {
    const { directory, clusterId, peerId, name, moved = false } = this.options
    const found = atAddress(stored, peerId, moved)
    if (found === null) {
      return this.refuse(
        'peer',
        ErrorCode.EINVAL,
        `${directory} belongs to member ${stored.peerId}, this node is ${peerId}: start it with another --data`,
        done,
      )
    }
    const was = PeerId.parse(stored.peerId)
    if (was && was.role !== peerId.role && found.standing !== 'founding') {
      const [is, wanted] = was.isWitness ? ['a witness', 'a member that holds data'] : ['a member that holds data', 'a witness']
      const mend = 'remove the member, and add it again with an empty --data'
      return this.refuse('peer', ErrorCode.EINVAL, `${directory} belongs to ${is}, and this node is ${wanted}: ${mend}`, done)
    }
    if (clusterId !== null && found.clusterId !== null && found.clusterId !== clusterId) {
      return this.refuse(
        'cluster',
        ErrorCode.EINVAL,
        `${directory} belongs to cluster ${found.clusterId}, not to ${clusterId}: start the node with another --data`,
        done,
      )
    }
    this.record = found
    // It was to found a group and never did, so it has no past either: whoever starts it anew to be rebuilt, or to join, means that.
    const standing = found.standing === 'founding' && wanted === 'rebuilding' ? wanted : found.standing
    const changed = { ...found, peerId: peerId.toString(), standing, clusterId: found.clusterId ?? clusterId, name: name ?? found.name }
    const isSame =
      found === stored &&
      found.peerId === changed.peerId &&
      standing === found.standing &&
      changed.clusterId === found.clusterId &&
      changed.name === found.name
    if (isSame) return done(Status.OK, this.identity)
    this.store(
      () => changed,
      (stored) => done(stored, stored.ok ? this.identity : undefined),
    )
  }

  private refuse(why: IdentityRefusal, code: ErrorCode, message: string, done: (status: Status) => void): void {
    this.refused = why
    done(Status.error(code, message))
  }

  /** Names what shows that this directory once had a term, a vote, an entry or a snapshot; null when nothing does. */
  private findPast(done: (status: Status, past?: string | null) => void): void {
    const places: readonly { directory: string; isPast: (name: string) => boolean }[] = [
      { directory: 'log', isPast: (name) => parseSegmentName(name) !== null },
      { directory: 'raft_meta', isPast: (name) => name === 'raft_meta' },
      { directory: 'snapshot', isPast: (name) => name.startsWith('snapshot_') },
      { directory: 'raftctl', isPast: (name) => name === 'meta.a' || name === 'meta.b' },
    ]
    let past: string | null = null
    forEachInOrder(
      places,
      (place, next) =>
        this.options.fileSystem.list(join(this.options.directory, place.directory), (status, names) => {
          const found = names?.find(place.isPast)
          if (found !== undefined) past ??= join(place.directory, found)
          next(status.code === ErrorCode.ENOENT ? Status.OK : status)
        }),
      (status) => done(status, past),
    )
  }

  /** Stores what `next` makes of the newest record; saves of the engine and of the server take turns. */
  private store(next: () => IdentityRecord, done: Done): void {
    const run = () => {
      const record = next()
      const finish = (status: Status) => {
        if (status.ok) this.record = record
        else this.failure ??= status
        this.queue.shift()
        this.queue[0]?.()
        done(status)
      }
      const { failure } = this
      if (failure) return this.options.executor.post(() => finish(failure), 'identity-unusable')
      const { fileSystem, checksum, failpoints = NO_FAILPOINTS } = this.options
      const save = [
        point(failpoints, 'identity.saving'),
        (saved: Done) => replaceFile(fileSystem, this.path, encodeIdentity(record, checksum), saved),
        point(failpoints, 'identity.saved'),
      ]
      inSequence(save, finish)
    }
    this.queue.push(run)
    if (this.queue.length === 1) run()
  }
}

/**
 * The record as of `peerId`; null when it is another member's. A directory that comes to another address counts for nothing there
 * until it was settled, like one that lost its past: what was promised under that address before it does not know. Until then
 * it has said nothing under it either, and may go back to whom it was.
 */
function atAddress(found: IdentityRecord, peerId: PeerId, moved: boolean): IdentityRecord | null {
  const is = (text: string) => PeerId.parse(text)?.equals(peerId) === true
  if (is(found.peerId)) return found
  const isOnItsWay = found.standing === 'rebuilding' && found.moved !== undefined
  const acted = isOnItsWay ? found.moved!.acted : { peerId: found.peerId, standing: found.standing, settledAt: found.settledAt ?? null }
  const { settledAt: _, moved: before, ...rest } = found
  if (isOnItsWay && is(acted.peerId)) {
    const from = before!.from.filter((text) => !is(text))
    const last = from.at(-1)
    const settled = acted.settledAt === null ? {} : { settledAt: acted.settledAt }
    return {
      ...rest,
      ...settled,
      ...(last === undefined ? {} : { moved: { from, acted: { ...acted, peerId: last } } }),
      peerId: peerId.toString(),
      standing: acted.standing,
    }
  }
  if (!moved) return null
  // It never took part in anything.
  if (found.standing === 'founding') return { ...found, peerId: peerId.toString() }
  const from = [...(before?.from ?? []).filter((text) => text !== found.peerId), found.peerId].slice(-MOVES_KEPT)
  return { ...rest, moved: { from, acted }, peerId: peerId.toString(), standing: 'rebuilding' }
}
