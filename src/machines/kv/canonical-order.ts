import { fromInt64 } from '../../raft/types.js'
import type { StateRecord } from './canonical.js'

type Integer = number | { toNumber(): number } | null | undefined

/** Whether records, as they come by, are a state in canonical order. Remembers names of sessions, and of keys only the last. */
export class CanonicalOrder {
  private revision: number | null = null
  private key: Uint8Array | null = null
  /** Of the newest version seen of `key`. */
  private modRevision = 0
  private subRevision = 0
  private readonly clientIds = new Set<string>()
  private clientId: string | null = null
  /** Sequences of the answers seen of `clientId`. */
  private sequences = new Set<number>()

  /** What is wrong with the next record; null when nothing is. */
  check(record: StateRecord): string | null {
    if (record.header) return this.checkHeader(record.header)
    if (this.revision === null) return 'the header of the state is missing'
    if (record.key) return this.checkKey(record.key, this.revision)
    return record.session ? this.checkSession(record.session) : 'this is not a record of the state'
  }

  /** After the last record. */
  end(): string | null {
    return this.revision === null ? 'the state has no header' : null
  }

  private checkHeader(header: NonNullable<StateRecord['header']>): string | null {
    if (this.revision !== null) return 'the state has a second header'
    if (!areIntegers([header.revision, header.compacted_revision, header.leader_time_ms])) return 'a number of the header is out of range'
    const revision = fromInt64(header.revision)
    if (revision < 1 || fromInt64(header.compacted_revision) > revision) return 'the revisions of the header contradict each other'
    this.revision = revision
    return null
  }

  private checkKey(record: NonNullable<StateRecord['key']>, revision: number): string | null {
    if (this.clientId !== null) return 'a key comes after the sessions'
    const key = record.key ?? new Uint8Array(0)
    const { versions = [] } = record
    if (versions.length === 0) return 'a key has no version'
    const order = this.key === null ? -1 : Buffer.compare(this.key, key)
    if (order > 0) return 'the keys are not in order'
    if (order < 0) {
      this.key = key
      this.modRevision = this.subRevision = -1
    }
    for (const version of versions) {
      if (!areIntegers([version.mod_revision, version.sub_revision, version.create_revision, version.version, version.lease]))
        return 'a number of a version is out of range'
      const modRevision = fromInt64(version.mod_revision)
      const subRevision = fromInt64(version.sub_revision)
      if ((modRevision - this.modRevision || subRevision - this.subRevision) <= 0) return 'the versions of a key are not in order'
      if (modRevision > revision) return 'a version is newer than the state'
      this.modRevision = modRevision
      this.subRevision = subRevision
    }
    return null
  }

  private checkSession(record: NonNullable<StateRecord['session']>): string | null {
    const clientId = record.client_id ?? ''
    if (!areIntegers([record.acknowledged_through, record.last_active_ms])) return 'a number of a session is out of range'
    if (clientId !== this.clientId) {
      if (clientId === '' || this.clientIds.has(clientId)) return 'a session has no name, or is there twice'
      this.clientIds.add(clientId)
      this.clientId = clientId
      this.sequences = new Set()
    }
    for (const { sequence } of record.answers ?? []) {
      const number = fromInt64(sequence)
      if (!Number.isSafeInteger(number) || this.sequences.has(number)) return 'an answer of a session is there twice'
      this.sequences.add(number)
    }
    return null
  }
}

function areIntegers(fields: readonly Integer[]): boolean {
  return fields.every((field) => Number.isSafeInteger(fromInt64(field)))
}
