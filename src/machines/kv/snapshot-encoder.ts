import { createHash } from 'node:crypto'
import { crc32c } from '@node-rs/crc32'
import protobuf from 'protobufjs/minimal.js'
import { raftctl } from '../../generated/kv.js'
import { assert } from '../../raft/errors.js'
import type { StateRecord } from './canonical.js'
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
  type SnapshotCounts,
  type SnapshotSummary,
} from './snapshot-format.js'

/**
 * Turns records, handed over in canonical order, into the bytes of a snapshot's file: first `header`, then what `add` answers
 * now and then, then what `finish` answers.
 *
 * Holds two blocks, which it fills in turns: what `add` answered is to be written, or copied, before the call that answers the next one.
 */
export class SnapshotEncoder {
  /** Bytes of the canonical stream so far. */
  streamBytes = 0
  private readonly sha256 = createHash('sha256')
  private readonly counter = new RecordCounter()
  private readonly writer = protobuf.Writer.create()
  private block = Buffer.allocUnsafe(BLOCK_HEADER_BYTES + BLOCK_BYTES)
  private otherBlock = Buffer.allocUnsafe(BLOCK_HEADER_BYTES + BLOCK_BYTES)
  private filled = 0
  private recordsInBlock = 0
  private blocks = 0
  private fileBytes = 0
  private fileCrc = 0

  header(): Buffer {
    const header = Buffer.alloc(HEADER_BYTES)
    MAGIC.copy(header)
    header.writeUInt32LE(FORMAT_VERSION, MAGIC.length)
    header.writeUInt32LE(crc32c(header.subarray(0, HEADER_BYTES - 4)), HEADER_BYTES - 4)
    return this.emit(header)
  }

  /** Takes a record; answers the block before it when that one is full. */
  add(record: StateRecord): Buffer | null {
    const bytes = this.encode(record)
    assert(bytes <= RECORD_BYTES_MAX, 'a record of the state is too long for a snapshot', { bytes })
    this.counter.add(record)
    const length = LENGTH_BYTES + bytes
    const full = this.filled > 0 && this.filled + length > BLOCK_BYTES ? this.closeBlock() : null
    if (BLOCK_HEADER_BYTES + length > this.block.length) this.block = Buffer.allocUnsafe(BLOCK_HEADER_BYTES + length)
    const at = BLOCK_HEADER_BYTES + this.filled
    this.block.writeUInt32LE(bytes, at)
    this.writer.finishInto(this.block, at + LENGTH_BYTES)
    this.filled += length
    this.recordsInBlock++
    this.streamBytes += length
    return full
  }

  /** The rest of the file, and what it holds. */
  finish(): { buffers: Buffer[]; summary: SnapshotSummary } {
    const buffers = this.filled > 0 ? [this.closeBlock()] : []
    const counts = this.counter.finish()
    const digest = this.sha256.digest()
    buffers.push(this.emit(this.footer(counts, digest)))
    const { streamBytes, blocks, fileBytes, fileCrc } = this
    const summary = {
      ...counts,
      formatVersion: FORMAT_VERSION,
      sha256: digest.toString('hex'),
      streamBytes,
      blocks,
      fileBytes,
      crc32c: fileCrc,
    }
    return { buffers, summary }
  }

  private closeBlock(): Buffer {
    const block = this.block.subarray(0, BLOCK_HEADER_BYTES + this.filled)
    const payload = block.subarray(BLOCK_HEADER_BYTES)
    this.sha256.update(payload)
    block.writeUInt32LE(this.filled, 0)
    block.writeUInt32LE(this.recordsInBlock, 4)
    block.writeUInt32LE(this.blocks++, 8)
    block.writeUInt32LE(crc32c(payload), 12)
    block.writeUInt32LE(crc32c(block.subarray(0, BLOCK_HEADER_BYTES - 4)), BLOCK_HEADER_BYTES - 4)
    const written = this.block
    this.block = this.otherBlock
    this.otherBlock = written
    this.filled = 0
    this.recordsInBlock = 0
    return this.emit(block)
  }

  /** Into `writer`; answers how many bytes that are. */
  private encode(record: StateRecord): number {
    raftctl.kv.StateRecord.encode(record, this.writer.reset())
    return this.writer.len
  }

  private footer(counts: SnapshotCounts, digest: Buffer): Buffer {
    const footer = Buffer.alloc(FOOTER_BYTES)
    footer.writeUInt32LE(this.blocks, 4)
    const numbers = [counts.records, counts.keys, counts.liveKeys, counts.versions, counts.sessions, this.streamBytes]
    for (const [i, number] of numbers.entries()) footer.writeBigUInt64LE(BigInt(number), 8 + 8 * i)
    digest.copy(footer, 56)
    footer.writeUInt32LE(crc32c(footer.subarray(0, FOOTER_BYTES - 4)), FOOTER_BYTES - 4)
    return footer
  }

  private emit(bytes: Buffer): Buffer {
    this.fileBytes += bytes.length
    this.fileCrc = crc32c(bytes, this.fileCrc)
    return bytes
  }
}
