import type { Done } from '../../raft/closure.js'
import { ErrorCode, Status } from '../../raft/errors.js'
import type { Iterator } from '../../raft/raft.js'
import type { SnapshotReader, SnapshotWriter } from '../../raft/storage.js'
import { type CanonicalState, MarkedMachine } from '../marked-machine.js'
import { answer } from '../serving.js'
import { readPieces, writePieces } from '../snapshot-pieces.js'
import { decodeWrite } from './commands.js'

const SNAPSHOT_FILE = 'data'
const PAGE_BYTES = 4096
/** How far a device reaches: what lies further is refused. */
export const DEVICE_BYTES_MAX = 16 * 2 ** 30

/**
 * braft's block example: a device that is written and read at any offset; what was never written reads as zeros. Unlike there
 * the device is kept in memory, so that applying never waits for a file. Its snapshot is the device as one file, as in braft.
 *
 * A page is replaced, never changed: whoever holds an older map of pages holds the device as it was.
 */
export class BlockMachine extends MarkedMachine {
  private pages = new Map<number, Buffer>()
  /** Where the device ends: behind the last byte that was written. */
  private size = 0

  /** `length` bytes, zeros where nothing was written. */
  read(offset: number, length: number): Buffer {
    const bytes = Buffer.alloc(length)
    for (let at = offset; at < offset + length; ) {
      const page = Math.floor(at / PAGE_BYTES)
      this.pages.get(page)?.copy(bytes, at - offset, at - page * PAGE_BYTES)
      at = (page + 1) * PAGE_BYTES
    }
    return bytes
  }

  override onApply(iterator: Iterator): void {
    for (; iterator.valid(); iterator.next()) {
      const write = decodeWrite(iterator.data())
      // braft's members stop here too: their file cannot be written there.
      if (write && !isOnDevice(write.offset, write.data.length))
        return iterator.setErrorAndRollback(1, Status.error(ErrorCode.EINVAL, `entry ${iterator.index()} writes off the device`))
      if (write) this.write(write.offset, write.data)
      answer(iterator.done(), { success: write !== null })
    }
  }

  override onSnapshotSave(writer: SnapshotWriter, done: Done): void {
    writePieces(writer, SNAPSHOT_FILE, piecesOf(new Map(this.pages), this.size), done)
  }

  override onSnapshotLoad(reader: SnapshotReader, done: Done): void {
    const pages = new Map<number, Buffer>()
    let size = 0
    const take = ({ position, bytes }: { position: number; bytes: Buffer }) => {
      if (position + bytes.length > DEVICE_BYTES_MAX) return `it is larger than ${DEVICE_BYTES_MAX} bytes`
      for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
        const page = Buffer.alloc(PAGE_BYTES)
        bytes.copy(page, 0, at)
        if (page.some((byte) => byte !== 0)) pages.set((position + at) / PAGE_BYTES, page)
      }
      size = position + bytes.length
      return null
    }
    readPieces(reader, SNAPSHOT_FILE, take, (status) => {
      if (status.ok) [this.pages, this.size] = [pages, size]
      done(status)
    })
  }

  protected override canonical(): CanonicalState {
    const [pages, size] = [new Map(this.pages), this.size]
    return { keys: pages.size, pieces: () => canonicalPieces(pages, size) }
  }

  override spoil(): boolean {
    const [first] = this.pages
    if (first) this.write(first[0] * PAGE_BYTES, Buffer.of(first[1][0]! ^ 1))
    return first !== undefined
  }

  private write(offset: number, data: Buffer): void {
    for (let at = 0; at < data.length; ) {
      const page = Math.floor((offset + at) / PAGE_BYTES)
      const start = offset + at - page * PAGE_BYTES
      const next = Buffer.alloc(PAGE_BYTES)
      this.pages.get(page)?.copy(next)
      at += data.copy(next, start, at)
      this.pages.set(page, next)
    }
    if (data.length > 0) this.size = Math.max(this.size, offset + data.length)
  }
}

export function isOnDevice(offset: number, length: number): boolean {
  return Number.isSafeInteger(offset) && offset >= 0 && offset + length <= DEVICE_BYTES_MAX
}

/** The file of a snapshot: holes where nothing was written. */
function* piecesOf(pages: ReadonlyMap<number, Buffer>, size: number) {
  for (const [page, bytes] of pages) {
    const position = page * PAGE_BYTES
    yield { position, bytes: bytes.subarray(0, size - position) }
  }
}

/** The same for all that read the same: in order, without pages of zeros. */
function* canonicalPieces(pages: ReadonlyMap<number, Buffer>, size: number): Generator<Uint8Array> {
  yield Buffer.from(`${size}\n`)
  for (const page of [...pages.keys()].sort((a, b) => a - b)) {
    const bytes = pages.get(page)!
    if (bytes.some((byte) => byte !== 0)) yield Buffer.concat([Buffer.from(`${page}\n`), bytes])
  }
}
