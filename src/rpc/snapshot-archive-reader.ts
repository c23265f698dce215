import { createHash, type Hash } from 'node:crypto'
import {
  ARCHIVE_END,
  ARCHIVE_FORMAT,
  ARCHIVE_VERSION,
  BLOCK_BYTES,
  entryHeader,
  FILES_PREFIX,
  MANIFEST_BYTES_MAX,
  MANIFEST_NAME,
  type ManifestFile,
  manifestBytes,
  paddingOf,
  readEntryHeader,
  type SnapshotManifest,
} from './snapshot-archive.js'

/** What is wrong with an archive, and at which byte of it. */
export class ArchiveDamage extends Error {
  override readonly name = 'ArchiveDamage'

  constructor(
    /** foreign: no archive of ours. version: written by a newer raftctl. damaged: it was one. */
    readonly kind: 'foreign' | 'version' | 'damaged',
    readonly offset: number,
    readonly problem: string,
  ) {
    super(`${problem}, at byte ${offset}`)
  }
}

/** Is told what an archive holds while it goes by. What it throws ends the reading. */
export interface ArchiveVisitor {
  manifest?(manifest: SnapshotManifest): void
  /** A piece of a file; not copied, and not checked yet. */
  data?(file: ManifestFile, bytes: Buffer): void
  /** The file was complete and its SHA-256 right. */
  end?(file: ManifestFile): void
}

/** One part of the archive that is known before it comes: how long it is and what to do with it. */
type Part = { readonly length: number } & (
  | { readonly kind: 'manifest header' | 'manifest' | 'header' | 'padding' | 'end' }
  | { readonly kind: 'data'; readonly file: ManifestFile }
)

/**
 * Reads an archive from its bytes, handed over in order and in pieces of any size. Every byte is checked: headers and padding
 * must be what the writer writes, files must have the size and the SHA-256 that the manifest says. Holds one block, or the
 * manifest. `push` and `end` throw ArchiveDamage.
 */
export class ArchiveReader {
  /** Null until it went by. */
  manifest: SnapshotManifest | null = null
  /** Bytes taken. */
  offset = 0
  private readonly whole = createHash('sha256')
  private readonly parts: Part[] = [{ kind: 'manifest header', length: BLOCK_BYTES }]
  /** Of the part that is not there as a whole yet. */
  private held: Buffer[] = []
  private heldBytes = 0
  /** Of the file that goes by. */
  private hash: Hash | null = null
  private left = 0
  private fileAt = 0

  constructor(private readonly visitor: ArchiveVisitor = {}) {}

  push(bytes: Buffer): void {
    this.whole.update(bytes)
    let rest = bytes
    while (rest.length > 0) {
      const part = this.parts[0]
      if (!part) throw new ArchiveDamage('damaged', this.offset, 'bytes follow the end of the archive')
      rest = part.kind === 'data' ? this.takeData(part.file, rest) : this.collect(part, rest)
    }
  }

  /** After the last piece; the SHA-256 of the whole archive in hex. */
  end(): { readonly manifest: SnapshotManifest; readonly sha256: string } {
    if (this.parts.length > 0 || !this.manifest) throw new ArchiveDamage('damaged', this.offset, 'the archive ends too early')
    return { manifest: this.manifest, sha256: this.whole.digest('hex') }
  }

  /** Waits until a part is there as a whole. */
  private collect(part: Part, bytes: Buffer): Buffer {
    const taken = bytes.subarray(0, part.length - this.heldBytes)
    this.offset += taken.length
    this.heldBytes += taken.length
    const rest = bytes.subarray(taken.length)
    if (this.heldBytes < part.length) {
      // What is held outlives this call, the piece may not.
      this.held.push(Buffer.from(taken))
      return rest
    }
    const whole = this.held.length === 0 ? taken : Buffer.concat([...this.held, taken], part.length)
    this.held = []
    this.heldBytes = 0
    this.parts.shift()
    this.take(part, whole)
    this.startFile()
    return rest
  }

  private take(part: Part, bytes: Buffer): void {
    const start = this.offset - bytes.length
    switch (part.kind) {
      case 'manifest header':
        return this.takeManifestHeader(bytes)
      case 'manifest':
        return this.takeManifest(bytes)
      case 'header': {
        const next = this.parts[0]
        const file = next?.kind === 'data' ? next.file : null
        if (file && entryHeader(`${FILES_PREFIX}${file.name}`, file.size)?.equals(bytes)) return
        throw new ArchiveDamage('damaged', start, `the header of ${file?.name ?? 'a file'} is not what the manifest says`)
      }
      default:
        if (bytes.some((byte) => byte !== 0)) throw new ArchiveDamage('damaged', start, 'there should be zeros only')
    }
  }

  private takeManifestHeader(bytes: Buffer): void {
    const entry = readEntryHeader(bytes)
    if (entry?.name !== MANIFEST_NAME) throw new ArchiveDamage('foreign', 0, 'this is not a snapshot archive of raftctl')
    if (entry.size > MANIFEST_BYTES_MAX) throw new ArchiveDamage('damaged', 0, `a manifest of ${entry.size} bytes`)
    this.parts.push({ kind: 'manifest', length: entry.size }, ...padding(entry.size))
  }

  private takeManifest(bytes: Buffer): void {
    const start = this.offset - bytes.length
    const manifest = parseManifest(bytes, start)
    this.manifest = manifest
    for (const file of manifest.files) {
      this.parts.push({ kind: 'header', length: BLOCK_BYTES }, { kind: 'data', length: file.size, file }, ...padding(file.size))
    }
    this.parts.push({ kind: 'end', length: ARCHIVE_END.length })
    this.visitor.manifest?.(manifest)
  }

  /** The next part is a file: an empty one ends at once. */
  private startFile(): void {
    const part = this.parts[0]
    if (part?.kind !== 'data') return
    this.hash = createHash('sha256')
    this.left = part.file.size
    this.fileAt = this.offset
    if (this.left === 0) this.endFile(part.file)
  }

  private takeData(file: ManifestFile, bytes: Buffer): Buffer {
    const taken = bytes.subarray(0, this.left)
    this.hash!.update(taken)
    this.left -= taken.length
    this.offset += taken.length
    this.visitor.data?.(file, taken)
    if (this.left === 0) this.endFile(file)
    return bytes.subarray(taken.length)
  }

  private endFile(file: ManifestFile): void {
    const sha256 = this.hash!.digest('hex')
    if (sha256 !== file.sha256) {
      const problem = `the SHA-256 of ${file.name} (${file.size} bytes) is ${sha256}, and the manifest says ${file.sha256}`
      throw new ArchiveDamage('damaged', this.fileAt, problem)
    }
    this.parts.shift()
    this.visitor.end?.(file)
  }
}

function padding(size: number): Part[] {
  const length = paddingOf(size)
  return length === 0 ? [] : [{ kind: 'padding', length }]
}

function parseManifest(bytes: Buffer, start: number): SnapshotManifest {
  let value: Partial<SnapshotManifest> | null
  try {
    value = JSON.parse(bytes.toString('utf8')) as Partial<SnapshotManifest> | null
  } catch (error) {
    throw new ArchiveDamage('damaged', start, `the manifest is no JSON: ${(error as Error).message}`)
  }
  if (value?.format !== ARCHIVE_FORMAT) throw new ArchiveDamage('foreign', start, 'this is not a snapshot archive of raftctl')
  if (value.schemaVersion !== ARCHIVE_VERSION)
    throw new ArchiveDamage('version', start, `its version is ${value.schemaVersion}, and only ${ARCHIVE_VERSION} is known here`)
  const { sha256: _, ...rest } = value as SnapshotManifest & { readonly sha256?: string }
  const manifest: SnapshotManifest = rest
  const numbers = [manifest.index, manifest.term, manifest.configIndex]
  const files = Array.isArray(manifest.files) && manifest.files.every(isFile)
  // Written again it must be the same bytes: nothing in it is out of place.
  if (!files || !Array.isArray(manifest.members) || !numbers.every(isCount) || !isWrittenSo(manifest, bytes))
    throw new ArchiveDamage('damaged', start, 'the manifest is not one that raftctl writes')
  return manifest
}

function isWrittenSo(manifest: SnapshotManifest, bytes: Buffer): boolean {
  try {
    return manifestBytes(manifest).equals(bytes)
  } catch {
    // Nested too deeply to be printed.
    return false
  }
}

function isFile(file: Partial<ManifestFile> | null): boolean {
  return typeof file?.name === 'string' && isCount(file.size) && /^[0-9a-f]{64}$/.test(file.sha256 ?? '')
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
