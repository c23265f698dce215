import type { Checksum } from '../raft/environment.js'
import { PeerId } from '../raft/peer-id.js'

const FORMAT = 1
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

/** One JSON object; its last field is the CRC-32C of the object printed without it. */
export function encodeGroupRecord({ group, machine, uid, founders }: GroupRecord, checksum: Checksum): Buffer {
  const body = { format: FORMAT, group, machine, uid, founders }
  return Buffer.from(`${print({ ...body, crc32c: crcOf(body, checksum) })}\n`)
}

/** The record, or what is wrong with the bytes. */
export function decodeGroupRecord(bytes: Buffer, checksum: Checksum): GroupRecord | string {
  let body: Record<string, unknown>
  try {
    const parsed: unknown = JSON.parse(bytes.toString('utf8'))
    if (typeof parsed !== 'object' || parsed === null) return 'it is no JSON object'
    const { crc32c, ...rest } = parsed as Record<string, unknown>
    // Printing what is nested too deeply throws.
    if (crc32c !== crcOf(rest, checksum)) return 'its checksum does not match'
    body = rest
  } catch {
    return 'it is no JSON'
  }
  if (body.format !== FORMAT) return `it has format ${String(body.format)}, this version reads ${FORMAT}`
  const { group, machine, uid, founders } = body
  const isPeer = (peer: unknown) => typeof peer === 'string' && PeerId.parse(peer) !== null
  if (typeof group !== 'string' || typeof machine !== 'string' || typeof uid !== 'string' || !UID.test(uid))
    return 'a field is missing or of another kind'
  if (!Array.isArray(founders) || !founders.every(isPeer)) return 'its founders are no PeerIds'
  return { group, machine, uid, founders: founders as string[] }
}

function print(value: object): string {
  return JSON.stringify(value, null, 2)
}

function crcOf(body: object, checksum: Checksum): string {
  return checksum
    .crc32c(Buffer.from(print(body)))
    .toString(16)
    .padStart(8, '0')
}
