import type { Checksum } from '../raft/environment.js'
import type { Standing } from '../raft/messages.js'
import { decodeChecked, encodeChecked } from './checked-json.js'

const STANDINGS: readonly string[] = ['founding', 'rebuilding', 'member'] satisfies Standing[]

/** How a member learned that it is none any more. */
export interface Removal {
  readonly reason: string
  /** `host:port` of those who were members then. */
  readonly members: readonly string[]
}

/** A directory whose member is at another address now. */
export interface Move {
  /** PeerIds that it had, oldest first. */
  readonly from: readonly string[]
  /** As whom it last acted, and what it was then: while it is 'rebuilding' at its new address it may go back to that. */
  readonly acted: { readonly peerId: string; readonly standing: Standing; readonly settledAt: number | null }
}

/** The content of `node.json`. */
export interface IdentityRecord {
  /** 128 bits in hex; null until the node learns it. */
  readonly clusterId: string | null
  /** PeerId with four parts. */
  readonly peerId: string
  readonly name: string | null
  /** The group whose files lie here; absent for `kv`, and below `groups`, where the directory is named after it. */
  readonly group?: string
  /** What the group runs; absent in directories of before there were others than the key-value store. */
  readonly machine?: string
  readonly standing: Standing
  readonly incarnation: string
  readonly generation: number
  /** Incarnation of every founder by PeerId key; null until founded. */
  readonly founders: Readonly<Record<string, string>> | null
  /** Set once it was removed from its group: this directory takes part in nothing any more. */
  readonly removed: Removal | null
  /** Index of the entry that settled this directory when it was rebuilt or new; absent when it was founded. */
  readonly settledAt?: number
  /** Absent where it never moved. */
  readonly moved?: Move
  /** How often, and how, its members were set by hand, oldest first; absent when they never were. */
  readonly recoveries?: readonly Readonly<Record<string, string | number>>[]
}

export function encodeIdentity(record: IdentityRecord, checksum: Checksum): Buffer {
  const { clusterId, peerId, name, group, machine, standing, incarnation, generation, founders, removed } = record
  const { settledAt, moved, recoveries } = record
  const settled = {
    ...(settledAt === undefined ? {} : { settledAt }),
    ...(moved === undefined ? {} : { moved }),
    ...(recoveries === undefined ? {} : { recoveries }),
  }
  const kind = { ...(group === undefined ? {} : { group }), ...(machine === undefined ? {} : { machine }) }
  const fields = { clusterId, peerId, name, ...kind, standing, incarnation, generation, founders, removed, ...settled }
  return encodeChecked(fields, checksum)
}

/** The record, or what is wrong with the bytes. */
export function decodeIdentity(bytes: Buffer, checksum: Checksum): IdentityRecord | string {
  const body = decodeChecked(bytes, checksum)
  if (typeof body === 'string') return body
  // Directories of the first version do not know that a member can be removed.
  const whole = { removed: null, ...body }
  return isIdentity(whole) ? whole : 'a field is missing or of another kind'
}

function isIdentity(body: object): body is IdentityRecord {
  const { clusterId, peerId, name, group, machine, standing, incarnation, generation, founders, removed, settledAt, moved, recoveries } =
    body as Record<string, unknown>
  const textOrNull = (value: unknown) => value === null || typeof value === 'string'
  if (!textOrNull(clusterId) || !textOrNull(name) || typeof peerId !== 'string' || typeof incarnation !== 'string') return false
  if ([group, machine].some((value) => value !== undefined && typeof value !== 'string')) return false
  if (typeof standing !== 'string' || !STANDINGS.includes(standing) || !Number.isSafeInteger(generation)) return false
  if (removed !== null && !isRemoval(removed)) return false
  if (settledAt !== undefined && !Number.isSafeInteger(settledAt)) return false
  if (recoveries !== undefined && !Array.isArray(recoveries)) return false
  if (moved !== undefined && !isMove(moved)) return false
  return founders === null || (typeof founders === 'object' && Object.values(founders!).every((value) => typeof value === 'string'))
}

function isMove(value: unknown): value is Move {
  const { from, acted } = (typeof value === 'object' && value !== null ? value : {}) as Partial<Move>
  if (!Array.isArray(from) || !from.every((peer) => typeof peer === 'string') || typeof acted !== 'object' || acted === null) return false
  const { peerId, standing, settledAt } = acted as Partial<Move['acted']>
  return typeof peerId === 'string' && STANDINGS.includes(standing as string) && (settledAt === null || Number.isSafeInteger(settledAt))
}

function isRemoval(value: unknown): value is Removal {
  const { reason, members } = (typeof value === 'object' && value !== null ? value : {}) as Partial<Removal>
  return typeof reason === 'string' && Array.isArray(members) && members.every((member) => typeof member === 'string')
}
