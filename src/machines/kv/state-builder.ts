import { raftctl } from '../../generated/kv.js'
import { fromInt64 } from '../../raft/types.js'
import type { StateRecord } from './canonical.js'
import { type ByteString, byteString } from './keys.js'
import { type Answer, type Session, SessionTable } from './sessions.js'
import { sortSliced } from './slices.js'
import { emptyKeys, KvStore, type Version } from './store.js'

/** What a key-value machine replicates. */
export interface KvState {
  readonly store: KvStore
  readonly sessions: SessionTable
}

type Numbers = readonly (number | { toNumber(): number } | null | undefined)[]

/** Builds a state from its canonical records, beside the one in use: `add` each, then `finish`. */
export class StateBuilder {
  private header: { revision: number; compactedRevision: number; nowMs: number } | null = null
  private readonly keys = emptyKeys()
  private readonly changes: Version[] = []
  /** Newest version so far of the key whose records come in. */
  private newest: Version | null = null
  private readonly sessions = new Map<string, Session & { readonly answers: Map<number, Answer> }>()
  private session: string | null = null

  /** Answers what is wrong with the record, null when nothing is. */
  add(record: StateRecord): string | null {
    if (record.header) return this.addHeader(record.header)
    if (this.header === null) return 'the header of the state is missing'
    if (record.key) return this.addKey(record.key, this.header.revision)
    return record.session ? this.addSession(record.session) : 'a record of an unknown kind'
  }

  /** The whole state; null when not even the header was there. */
  *finish(): Generator<number, KvState | null> {
    if (this.header === null) return null
    this.endKey()
    const { revision, compactedRevision, nowMs } = this.header
    const changes = yield* sortSliced(this.changes, (a, b) => a.modRevision - b.modRevision || a.subRevision - b.subRevision)
    return {
      store: new KvStore({ revision, compactedRevision, keys: this.keys, changes }),
      sessions: new SessionTable({ nowMs, sessions: [...this.sessions.values()] }),
    }
  }

  private addHeader(header: raftctl.kv.StateHeader.$Properties): string | null {
    if (this.header !== null) return 'a second header'
    const numbers = integers([header.revision, header.compacted_revision, header.leader_time_ms])
    if (numbers === null) return 'a number of the header is out of range'
    const [revision, compactedRevision, nowMs] = numbers as [number, number, number]
    if (revision < 1 || compactedRevision > revision || nowMs < 0) return 'the numbers of the header contradict each other'
    this.header = { revision, compactedRevision, nowMs }
    return null
  }

  private addKey(record: raftctl.kv.KeyHistory.$Properties, revision: number): string | null {
    if (this.session !== null) return 'a key after the sessions'
    const key = byteString(record.key)
    const { versions = [] } = record
    if (versions.length === 0) return 'a key without a version'
    if (this.newest === null || this.newest.key !== key) {
      if (this.newest !== null && key < this.newest.key) return 'the keys are not in order'
      this.endKey()
      this.newest = null
    }
    for (const version of versions) {
      const problem = this.addVersion(key, version, revision)
      if (problem !== null) return problem
    }
    return null
  }

  private addVersion(key: ByteString, record: raftctl.kv.KeyVersion.$Properties, revision: number): string | null {
    const numbers = integers([record.mod_revision, record.sub_revision, record.create_revision, record.version, record.lease])
    if (numbers === null) return 'a number of a version is out of range'
    const [modRevision, subRevision, createRevision, count, lease] = numbers as [number, number, number, number, number]
    const previous = this.newest
    if (modRevision > revision) return 'a version is newer than the state'
    if (previous !== null && (modRevision - previous.modRevision || subRevision - previous.subRevision) <= 0)
      return 'the versions of a key are not in order'
    const version = {
      key: previous?.key ?? key,
      modRevision,
      subRevision,
      deleted: record.deleted === true,
      createRevision,
      version: count,
      value: byteString(record.value),
      lease,
      previous,
    }
    this.newest = version
    this.changes.push(version)
    return null
  }

  private endKey(): void {
    if (this.newest !== null) this.keys.set(this.newest.key, this.newest)
  }

  private addSession(record: raftctl.kv.SessionState.$Properties): string | null {
    const clientId = record.client_id ?? ''
    const numbers = integers([record.acknowledged_through, record.last_active_ms])
    if (numbers === null) return 'a number of a session is out of range'
    const [acknowledgedThrough, lastActiveMs] = numbers as [number, number]
    if (clientId !== this.session) {
      if (clientId === '' || this.sessions.has(clientId)) return 'a session without a name, or twice'
      this.sessions.set(clientId, { clientId, acknowledgedThrough, lastActiveMs, answers: new Map() })
      this.session = clientId
    }
    const answers = this.sessions.get(clientId)?.answers as Map<number, Answer>
    for (const { sequence, answer } of record.answers ?? []) {
      const known = integers([sequence])
      if (known === null || answers.has(known[0] as number)) return 'an answer of a session is there twice'
      // What was decoded looks into the file's buffer; what is kept must not hold on to it.
      answers.set(known[0] as number, raftctl.kv.Answer.decode(raftctl.kv.Answer.encode(answer ?? {}).finish()))
    }
    return null
  }
}

function integers(fields: Numbers): number[] | null {
  const numbers = fields.map((field) => fromInt64(field))
  return numbers.every(Number.isSafeInteger) ? numbers : null
}
