import type { Checksum } from '../raft/environment.js'
import { PeerId } from '../raft/peer-id.js'
import { decodeChecked, encodeChecked } from './checked-json.js'

const UID = /^[0-9a-f]{32}$/

/** How a group came into being that was created while its process ran: the content of `group.json`. */
export interface GroupRecord {
  readonly group: string
  readonly machine: string
  /** 128 bits in hex: a group that is removed and created anew under its name is another one. */
  readonly uid: string
  /** PeerIds of the founders; empty: this member waits to be added, or to be rebuilt. */
  readonly founders: readonly string[]
}

/** Why nothing may be called so; null when it may. */
export function groupNameProblem(group: string): string | null {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(group)) return null
  return `"${group}" is no name of a group: use letters, digits, dot, dash and underscore, starting with a letter or digit`
}

export function encodeGroupRecord({ group, machine, uid, founders }: GroupRecord, checksum: Checksum): Buffer {
  return encodeChecked({ group, machine, uid, founders }, checksum)
}

/** The record, or what is wrong with the bytes. */
export function decodeGroupRecord(bytes: Buffer, checksum: Checksum): GroupRecord | string {
  const body = decodeChecked(bytes, checksum)
  if (typeof body === 'string') return body
  const { group, machine, uid, founders } = body
  const isPeer = (peer: unknown) => typeof peer === 'string' && PeerId.parse(peer) !== null
  if (typeof group !== 'string' || typeof machine !== 'string' || typeof uid !== 'string' || !UID.test(uid))
    return 'a field is missing or of another kind'
  if (!Array.isArray(founders) || !founders.every(isPeer)) return 'its founders are no PeerIds'
  return { group, machine, uid, founders: founders as string[] }
}
