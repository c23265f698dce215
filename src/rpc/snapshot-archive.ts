import { createHash } from 'node:crypto'

/**
 * A snapshot in one file (`.snap`): a plain tar whose first entry is the manifest and whose others are the snapshot's files.
 *
 * The bytes depend on nothing but the snapshot, so that a copy that broke off can go on where it stopped. `tar tf` reads it.
 */

export const ARCHIVE_FORMAT = 'raftctl-snapshot'
export const ARCHIVE_VERSION = 1
export const MANIFEST_NAME = 'manifest.json'
/** Where the files of the snapshot lie in the archive. */
export const FILES_PREFIX = 'files/'
/** Far more than any manifest needs. */
export const MANIFEST_BYTES_MAX = 16 * 1024 * 1024

/** What an archive holds, as its first entry says. */
export interface SnapshotManifest {
  readonly format: typeof ARCHIVE_FORMAT
  readonly schemaVersion: number
  /** Of the last entry that is in it. */
  readonly index: number
  readonly term: number
  readonly clusterId: string | null
  readonly group: string
  /** kv, counter or atomic. */
  readonly machine: string
  /** In force at `index`. */
  readonly members: readonly ManifestMember[]
  readonly configIndex: number
  readonly files: readonly ManifestFile[]
}

export interface ManifestMember {
  readonly peerId: string
  readonly name: string
  readonly role: string
}

export interface ManifestFile {
  readonly name: string
  readonly size: number
  /** In hex. */
  readonly sha256: string
}

export const BLOCK_BYTES = 512
/** Two empty blocks end a tar. */
export const ARCHIVE_END = Buffer.alloc(2 * BLOCK_BYTES)

const SIZE_AT = 124
const SIZE_BYTES = 12
const CHECKSUM_AT = 148
const NAME_BYTES = 100
const PREFIX_AT = 345
const PREFIX_BYTES = 155
/** Sizes that eleven octal digits cannot hold are written in binary, as GNU tar does. */
const OCTAL_MAX = 0o77777777777

/** The header of an entry: always the same for the same name and size. Null when a tar cannot hold the name. */
export function entryHeader(name: string, size: number): Buffer | null {
  const header = Buffer.alloc(BLOCK_BYTES)
  const [prefix, rest] = splitName(name) ?? []
  if (prefix === undefined || rest === undefined) return null
  header.write(rest, 0)
  header.write('0000644\0', 100)
  header.write('0000000\0', 108)
  header.write('0000000\0', 116)
  writeSize(header, size)
  header.write('00000000000\0', 136)
  header.write('        ', CHECKSUM_AT)
  header.write('0', 156)
  header.write('ustar\u000000', 257)
  header.write(prefix, PREFIX_AT)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, CHECKSUM_AT)
  return header
}

/** What stands in the header of an entry; null when it is not one that `entryHeader` writes. */
export function readEntryHeader(header: Buffer): { readonly name: string; readonly size: number } | null {
  const text = (from: number, length: number) => {
    const field = header.subarray(from, from + length)
    const end = field.indexOf(0)
    return field.subarray(0, end < 0 ? length : end).toString('utf8')
  }
  const prefix = text(PREFIX_AT, PREFIX_BYTES)
  const name = `${prefix === '' ? '' : `${prefix}/`}${text(0, NAME_BYTES)}`
  const size = header[SIZE_AT] === 0x80 ? Number(header.readBigUInt64BE(SIZE_AT + 4)) : Number.parseInt(text(SIZE_AT, SIZE_BYTES) || '0', 8)
  if (!Number.isSafeInteger(size) || size < 0) return null
  return entryHeader(name, size)?.equals(header) ? { name, size } : null
}

/** Zeros that fill an entry of `size` bytes up to a whole block. */
export function paddingOf(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES
}

function writeSize(header: Buffer, size: number): void {
  if (size <= OCTAL_MAX) {
    header.write(`${size.toString(8).padStart(SIZE_BYTES - 1, '0')}\0`, SIZE_AT)
    return
  }
  header[SIZE_AT] = 0x80
  header.writeBigUInt64BE(BigInt(size), SIZE_AT + 4)
}

/** A name of more than 100 bytes is split at a slash. */
function splitName(name: string): readonly [string, string] | null {
  const bytes = (text: string) => Buffer.byteLength(text)
  if (name === '' || name.includes('\0')) return null
  if (bytes(name) <= NAME_BYTES) return ['', name]
  for (let at = name.indexOf('/'); at >= 0; at = name.indexOf('/', at + 1)) {
    const [prefix, rest] = [name.slice(0, at), name.slice(at + 1)]
    if (bytes(prefix) <= PREFIX_BYTES && rest !== '' && bytes(rest) <= NAME_BYTES) return [prefix, rest]
  }
  return null
}

/** Last in it stands the SHA-256 of everything else, so that no bit of the manifest can turn into another unnoticed. */
export function manifestBytes(manifest: SnapshotManifest): Buffer {
  const sha256 = createHash('sha256').update(JSON.stringify(manifest)).digest('hex')
  return Buffer.from(`${JSON.stringify({ ...manifest, sha256 }, null, 2)}\n`)
}

/** Bytes of the whole archive. */
export function archiveBytes(manifest: SnapshotManifest): number {
  const entries = [manifestBytes(manifest).length, ...manifest.files.map((file) => file.size)]
  return entries.reduce((sum, size) => sum + BLOCK_BYTES + size + paddingOf(size), ARCHIVE_END.length)
}
