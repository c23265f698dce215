import type { Checksum } from '../raft/environment.js'

const FORMAT = 1

/** One JSON object with its format first; its last field is the CRC-32C of the object printed without it. */
export function encodeChecked(fields: object, checksum: Checksum): Buffer {
  const body = { format: FORMAT, ...fields }
  return Buffer.from(`${print({ ...body, crc32c: crcOf(body, checksum) })}\n`)
}

/** The object without its checksum, or what is wrong with the bytes. */
export function decodeChecked(bytes: Buffer, checksum: Checksum): Record<string, unknown> | string {
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
  return body
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
