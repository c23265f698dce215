import { createHash } from 'node:crypto'
import { crc32c } from '@node-rs/crc32'
import { raftctl } from '../../generated/kv.js'
import type { StateRecord } from './canonical.js'
import { CanonicalOrder } from './canonical-order.js'
import {
  BLOCK_BYTES,
  BLOCK_HEADER_BYTES,
  FOOTER_BYTES,
  FORMAT_VERSION,
  HEADER_BYTES,
  LENGTH_BYTES,
  MAGIC,
  RECORD_BYTES_MAX,
  RecordCounter,
  SnapshotDamage,
  type SnapshotSummary,
} from './snapshot-format.js'

interface BlockHeader {
  readonly length: number
  readonly records: number
  readonly payloadCrc: number
}

/**
 * Reads a snapshot's file from its bytes, handed over in order and in pieces of any size: `push` each piece and take all
 * records that it completes, then `end`. Both throw SnapshotDamage. Records are good as soon as they come out (their block's
 * checksum was right); the file is good only once `end` has answered. Holds one block and one piece.
 */
export class SnapshotDecoder {
  /** Where in the file the newest record begins. */
  recordOffset = 0
  /** Length of the newest record in the canonical stream. */
  recordBytes = 0
  private pieces: Uint8Array[] = []
  /** Bytes in `pieces`. */
  private pending = 0
  /** Where in the file `pieces` begin. */
  private offset = 0
  private expects: 'header' | 'block' | 'payload' | 'nothing' = 'header'
  private block: BlockHeader = { length: 0, records: 0, payloadCrc: 0 }
  private blocks = 0
  private streamBytes = 0
  private fileCrc = 0
  private readonly sha256 = createHash('sha256')
  private readonly counter = new RecordCounter()
  private readonly order = new CanonicalOrder()
  private summary: Omit<SnapshotSummary, 'fileBytes' | 'crc32c'> | null = null

  /** After the last piece: what the whole file holds. */
  end(): SnapshotSummary {
    const end = this.offset + this.pending
    if (this.summary === null) throw new SnapshotDamage('damaged', end, 'the file ends too early')
    return { ...this.summary, fileBytes: end, crc32c: this.fileCrc }
  }

  /** The records that this piece completes; all of them must be taken before the next piece. */
  *push(piece: Uint8Array): Generator<StateRecord, void> {
    this.fileCrc = crc32c(piece, this.fileCrc)
    if (piece.length > 0) this.pieces.push(piece)
    this.pending += piece.length
    for (;;) {
      if (this.expects === 'payload') {
        const payload = this.take(this.block.length)
        if (payload === null) return
        yield* this.readPayload(payload)
      } else if (!this.readFrame()) return
    }
  }

  /** False when more bytes are needed. */
  private readFrame(): boolean {
    if (this.expects === 'nothing') {
      if (this.pending > 0) throw this.damage('bytes follow the end of the snapshot')
      return false
    }
    if (this.expects === 'header') {
      const header = this.take(HEADER_BYTES)
      if (header !== null) this.readHeader(header)
      return header !== null
    }
    if (this.pending < LENGTH_BYTES) return false
    // A block is never empty: a length of zero begins the footer.
    const isFooter = this.front(LENGTH_BYTES).readUInt32LE(0) === 0
    const frame = this.take(isFooter ? FOOTER_BYTES : BLOCK_HEADER_BYTES)
    if (frame === null) return false
    if (isFooter) this.readFooter(frame)
    else this.readBlockHeader(frame)
    return true
  }

  private readHeader(header: Buffer): void {
    if (!header.subarray(0, MAGIC.length).equals(MAGIC))
      throw new SnapshotDamage('foreign', 0, 'this is not a snapshot of the key-value machine')
    this.check(header, 'header')
    const version = header.readUInt32LE(MAGIC.length)
    if (version !== FORMAT_VERSION)
      throw new SnapshotDamage('version', MAGIC.length, `format version ${version} is not known here, only ${FORMAT_VERSION}`)
    this.expects = 'block'
  }

  private readBlockHeader(header: Buffer): void {
    this.check(header, `header of block ${this.blocks}`)
    const block = { length: header.readUInt32LE(0), records: header.readUInt32LE(4), payloadCrc: header.readUInt32LE(12) }
    const number = header.readUInt32LE(8)
    if (number !== this.blocks) throw this.damage(`block ${number} stands where block ${this.blocks} should be`, header.length)
    const isFair = block.records === 1 ? block.length <= LENGTH_BYTES + RECORD_BYTES_MAX : block.length <= BLOCK_BYTES
    if (block.records === 0 || !isFair)
      throw this.damage(`block ${number} claims ${block.records} records in ${block.length} bytes`, header.length)
    this.block = block
    this.blocks++
    this.expects = 'payload'
  }

  private *readPayload(payload: Buffer): Generator<StateRecord, void> {
    const start = this.offset - payload.length
    if (crc32c(payload) !== this.block.payloadCrc)
      throw this.damage(`the checksum of block ${this.blocks - 1} does not match`, BLOCK_HEADER_BYTES + payload.length)
    this.sha256.update(payload)
    this.streamBytes += payload.length
    let at = 0
    for (let i = 0; i < this.block.records; i++) {
      this.recordOffset = start + at
      const length = at + LENGTH_BYTES <= payload.length ? payload.readUInt32LE(at) : -1
      if (length < 0 || at + LENGTH_BYTES + length > payload.length)
        throw new SnapshotDamage('damaged', start + at, 'a record goes beyond its block')
      const record = decodeRecord(payload.subarray(at + LENGTH_BYTES, at + LENGTH_BYTES + length))
      const problem = record === null ? 'this is not a record of the state' : this.order.check(record)
      if (record === null || problem !== null) throw new SnapshotDamage('damaged', start + at, problem ?? '')
      this.recordBytes = LENGTH_BYTES + length
      this.counter.add(record)
      at += LENGTH_BYTES + length
      yield record
    }
    if (at !== payload.length) throw new SnapshotDamage('damaged', start + at, 'bytes follow the records of a block')
    this.expects = 'block'
  }

  private readFooter(footer: Buffer): void {
    this.check(footer, 'footer')
    const problem = this.order.end()
    if (problem !== null) throw this.damage(problem, footer.length)
    const counts = this.counter.finish()
    const sha256 = this.sha256.digest('hex')
    const found = [counts.records, counts.keys, counts.liveKeys, counts.versions, counts.sessions, this.streamBytes]
    const said = found.map((_, i) => Number(footer.readBigUInt64LE(8 + 8 * i)))
    if (footer.readUInt32LE(4) !== this.blocks || said.some((number, i) => number !== found[i]))
      throw this.damage('the footer counts something else than what stands before it', footer.length)
    if (footer.subarray(56, 88).toString('hex') !== sha256) throw this.damage('the SHA-256 of the state does not match', footer.length)
    const { blocks, streamBytes } = this
    this.summary = { ...counts, formatVersion: FORMAT_VERSION, sha256, streamBytes, blocks }
    this.expects = 'nothing'
  }

  /** The last four bytes of a frame are the CRC-32C of the others. */
  private check(frame: Buffer, name: string): void {
    if (crc32c(frame.subarray(0, frame.length - 4)) !== frame.readUInt32LE(frame.length - 4))
      throw this.damage(`the checksum of the ${name} does not match`, frame.length)
  }

  private take(length: number): Buffer | null {
    if (this.pending < length) return null
    const taken = this.front(length)
    this.pieces[0] = (this.pieces[0] as Uint8Array).subarray(length)
    if (this.pieces[0].length === 0) this.pieces.shift()
    this.pending -= length
    this.offset += length
    return taken
  }

  /** The next `length` bytes, which are there. */
  private front(length: number): Buffer {
    if ((this.pieces[0] as Uint8Array).length < length) this.pieces = [Buffer.concat(this.pieces)]
    const { buffer, byteOffset } = this.pieces[0] as Uint8Array
    return Buffer.from(buffer, byteOffset, length)
  }

  private damage(problem: string, taken = 0): SnapshotDamage {
    return new SnapshotDamage('damaged', this.offset - taken, problem)
  }
}

function decodeRecord(bytes: Uint8Array): StateRecord | null {
  try {
    return raftctl.kv.StateRecord.decode(bytes)
  } catch {
    return null
  }
}
