import { raftctl } from '../../generated/kv.js'
import { type ByteString, bytesOf } from './keys.js'
import type { FrozenSessions, Session } from './sessions.js'
import type { FrozenStore, Version } from './store.js'

export type StateRecord = raftctl.kv.StateRecord.$Properties

/** The whole state of a key-value machine at one moment; pinned until `release`. */
export interface FrozenState {
  readonly store: FrozenStore
  readonly sessions: FrozenSessions
}

/** A record of a session ends with the answer that brings it to this many bytes. */
export const PIECE_ANSWER_BYTES = 64 * 1024

/**
 * The whole state in canonical order, each record to be taken before the next thing happens to the store: nothing in it depends on the member, on how it got there, or on how far compaction has
 * freed memory. Null: nothing yet, a place to pause.
 */
export function* canonicalRecords({ store, sessions }: FrozenState): Generator<StateRecord | null> {
  yield { header: { revision: store.revision, compacted_revision: store.compactedRevision, leader_time_ms: sessions.nowMs } }
  for (const versions of store.histories()) {
    if (versions === null) yield null
    else yield { key: { key: bytesOf((versions[0] as { key: ByteString }).key), versions: versions.map(versionRecord) } }
  }
  for (const session of sessions.sessions) yield* sessionRecords(session)
}

function versionRecord(version: Version): raftctl.kv.KeyVersion.$Properties {
  return {
    mod_revision: version.modRevision,
    sub_revision: version.subRevision,
    deleted: version.deleted,
    create_revision: version.createRevision,
    version: version.version,
    value: version.value,
    lease: version.lease,
  }
}

function* sessionRecords({ clientId, acknowledgedThrough, lastActiveMs, answers }: Session): Generator<StateRecord> {
  const record = (piece: raftctl.kv.SessionAnswer.$Properties[]): StateRecord => ({
    session: { client_id: clientId, acknowledged_through: acknowledgedThrough, last_active_ms: lastActiveMs, answers: piece },
  })
  let piece: raftctl.kv.SessionAnswer.$Properties[] = []
  let bytes = 0
  let isFirst = true
  for (const [sequence, answer] of answers) {
    piece.push({ sequence, answer })
    bytes += raftctl.kv.Answer.encode(answer).len
    if (bytes < PIECE_ANSWER_BYTES) continue
    yield record(piece)
    piece = []
    bytes = 0
    isFirst = false
  }
  if (isFirst || piece.length > 0) yield record(piece)
}
