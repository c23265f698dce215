import type { Done } from '../raft/closure.js'
import type { Executor } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { RaftMeta, RaftMetaStorage } from '../raft/storage.js'
import { type MetaDatabase, statusOf } from './meta-database.js'
import type { MetaPlace } from './meta-place.js'
import { describeMeta, isOlderMeta, isSameMeta, META_CODEC } from './raft-meta.js'

/** Term and vote of one member in a LevelDB that many share (braft KVBasedMergedMetaStorage): its key, and braft's message. */
export class MergedMetaPlace implements MetaPlace {
  readonly path: string

  /** `key` is braft's VersionedGroupId: the group, `_`, and the index of the PeerId. */
  constructor(
    private readonly database: MetaDatabase,
    private readonly key: string,
    private readonly executor: Executor,
  ) {
    this.path = `${database.path} at key ${key}`
  }

  load(done: (status: Status, meta?: RaftMeta) => void): void {
    this.run(this.database.get(this.key), (status, value) => {
      if (!status.ok) return done(status)
      if (!value) return done(Status.error(ErrorCode.ENOENT, `${this.path} is missing`))
      let meta: RaftMeta
      try {
        meta = META_CODEC.decode(value)
      } catch (error) {
        return done(Status.error(ErrorCode.ECORRUPT, `${this.path} is damaged: ${(error as Error).message}`))
      }
      done(Status.OK, meta)
    })
  }

  save(meta: RaftMeta, done: Done): void {
    this.run(this.database.put(this.key, META_CODEC.encode(meta).finish()), (status) => done(status))
  }

  /** Deletes it; fine when there is none. */
  remove(done: Done): void {
    this.run(this.database.delete(this.key), (status) => done(status))
  }

  private run<T>(call: Promise<T>, done: (status: Status, value?: T) => void): void {
    call.then(
      (value) => this.executor.post(() => done(Status.OK, value), 'meta-database'),
      (error: unknown) => this.executor.post(() => done(statusOf(error, this.database.path)), 'meta-database'),
    )
  }
}

/**
 * Term and vote in two storages at once, on the way from one to the other (braft MixedMetaStorage): both are written, the single one
 * first, and the newer counts and is written to the other.
 */
export class MixedRaftMetaStorage implements RaftMetaStorage {
  constructor(
    private readonly single: RaftMetaStorage,
    private readonly merged: RaftMetaStorage,
  ) {}

  load(done: (status: Status, meta?: RaftMeta) => void): void {
    this.single.load((status, single) => {
      if (!status.ok) return done(status)
      this.merged.load((found, merged) => {
        if (!found.ok) return done(found)
        this.settle(single!, merged!, done)
      })
    })
  }

  save(meta: RaftMeta, done: Done): void {
    this.single.save(meta, (status) => (status.ok ? this.merged.save(meta, done) : done(status)))
  }

  private settle(single: RaftMeta, merged: RaftMeta, done: (status: Status, meta?: RaftMeta) => void): void {
    const answer = (meta: RaftMeta) => (status: Status) => (status.ok ? done(status, meta) : done(status))
    if (isSameMeta(single, merged)) return done(Status.OK, single)
    if (isOlderMeta(merged, single)) return this.merged.save(single, answer(single))
    if (isOlderMeta(single, merged)) return this.single.save(merged, answer(merged))
    const what = `the single storage says ${describeMeta(single)}, the merged one ${describeMeta(merged)}`
    done(Status.error(ErrorCode.ECORRUPT, `${what}. A wrong vote could elect two leaders, so nothing was changed`))
  }
}

/** The two directories in `merged_path=DIR&&single_path=DIR`, as braft finds them; null when it is something else. */
export function parseMixedPath(parameter: string): { readonly merged: string; readonly single: string } | null {
  const mergedAt = parameter.indexOf(MERGED)
  if (mergedAt < 0) return null
  const rest = parameter.slice(mergedAt + MERGED.length)
  const singleAt = rest.indexOf(SINGLE)
  return singleAt < 0 ? null : { merged: rest.slice(0, singleAt), single: rest.slice(singleAt + SINGLE.length) }
}

const MERGED = 'merged_path='
const SINGLE = '&&single_path='
