import { raftctl } from '../../generated/kv.js'
import { fromInt64 } from '../../raft/types.js'
import type { StateRecord } from './canonical.js'
import { byteString } from './keys.js'
import { type Answer, type Session, SessionTable } from './sessions.js'
import { sortSliced } from './slices.js'
import { emptyKeys, KvStore, Version } from './store.js'
import { Values } from './values.js'

/** What a key-value machine replicates. */
export interface KvState {
  readonly store: KvStore
  readonly sessions: SessionTable
}

/** Builds a state from its records, beside the one in use: `add` each (SnapshotDecoder has checked them), then `finish`. */
export class StateBuilder {
  private revision = 1
  private compactedRevision = -1
  private nowMs = 0
  private readonly keys = emptyKeys()
  private readonly changes: Version[] = []
  private readonly values = new Values()
  /** Newest version so far of the key whose records come in. */
  private newest: Version | null = null
  private readonly sessions = new Map<string, Session & { readonly answers: Map<number, Answer> }>()

  add(record: StateRecord): void {
    if (record.header) {
      this.revision = fromInt64(record.header.revision)
      this.compactedRevision = fromInt64(record.header.compacted_revision)
      this.nowMs = fromInt64(record.header.leader_time_ms)
    } else if (record.key) this.addKey(record.key)
    else if (record.session) this.addSession(record.session)
  }

  *finish(): Generator<number, KvState> {
    this.endKey()
    const { revision, compactedRevision, keys, nowMs, values } = this
    const changes = yield* sortSliced(this.changes, (a, b) => a.modRevision - b.modRevision || a.subRevision - b.subRevision)
    return {
      store: new KvStore({ revision, compactedRevision, keys, changes, values }),
      sessions: new SessionTable({ nowMs, sessions: [...this.sessions.values()] }),
    }
  }

  private addKey(record: raftctl.kv.KeyHistory.$Properties): void {
    const key = byteString(record.key)
    if (this.newest?.key !== key) this.endKey()
    for (const version of record.versions ?? []) {
      const previous: Version | null = this.newest
      this.newest = new Version({
        key: previous?.key ?? key,
        modRevision: fromInt64(version.mod_revision),
        subRevision: fromInt64(version.sub_revision),
        deleted: version.deleted === true,
        createRevision: fromInt64(version.create_revision),
        version: fromInt64(version.version),
        lease: fromInt64(version.lease),
        previous,
      })
      if (version.value) this.values.put(this.newest, version.value)
      this.changes.push(this.newest)
    }
  }

  private endKey(): void {
    if (this.newest !== null) this.keys.set(this.newest.key, this.newest)
    this.newest = null
  }

  private addSession(record: raftctl.kv.SessionState.$Properties): void {
    const clientId = record.client_id ?? ''
    let session = this.sessions.get(clientId)
    if (session === undefined) {
      const { acknowledged_through, last_active_ms } = record
      session = {
        clientId,
        acknowledgedThrough: fromInt64(acknowledged_through),
        lastActiveMs: fromInt64(last_active_ms),
        answers: new Map(),
      }
      this.sessions.set(clientId, session)
    }
    for (const { sequence, answer } of record.answers ?? []) {
      // What was decoded looks into the file's buffer; what is kept must not hold on to it.
      session.answers.set(fromInt64(sequence), raftctl.kv.Answer.decode(raftctl.kv.Answer.encode(answer ?? {}).finish()))
    }
  }
}
