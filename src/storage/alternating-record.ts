import type { Done } from '../raft/closure.js'
import type { Checksum, FileSystem } from '../raft/environment.js'
import { assert, ErrorCode, Status } from '../raft/errors.js'
import { parentOf } from './paths.js'
import { readAndClose } from './protobuf-file.js'
import { inSequence } from './steps.js'

/** Bytes of a record on disk: one sector, so that a slot never shares a sector with the other. */
export const RECORD_BYTES = 512
const HEADER_BYTES = 20
const CRC_BYTES = 4
const MAGIC = Buffer.from('RAFTCTL1')

/** Where a slot lies. */
export interface Place {
  readonly path: string
  readonly position: number
}

/** `empty`: never written. `bad`: written, and neither whole nor ours. */
export type Slot = { readonly state: 'empty' | 'bad' } | { readonly state: 'valid'; readonly sequence: number; readonly payload: Buffer }

export interface StoredRecord {
  /** The newest valid payload; null when no slot is valid. */
  readonly payload: Buffer | null
  /** How many saves led to it. */
  readonly sequence: number
  readonly emptySlots: number
  readonly badSlots: number
}

/**
 * A small value kept in two slots that are written in turn, each with a sequence number and a CRC-32C: a write that a crash
 * tears spoils the older value only. One synced write a save, where replacing a file takes three.
 *
 * slot: "RAFTCTL1" | u64 sequence | u32 payload length | payload | zeros | u32 CRC-32C of everything before (big-endian)
 *
 * Used by FileRaftMetaStorage and DurableLength, which allow one save at a time.
 */
export class AlternatingRecord {
  private sequence = 0
  /** The slot that holds the newest value, or -1. */
  private newest = -1
  private readonly named = [false, false]

  constructor(
    private readonly fileSystem: FileSystem,
    private readonly checksum: Checksum,
    private readonly places: readonly [Place, Place],
  ) {}

  load(done: (status: Status, record?: StoredRecord) => void): void {
    const slots: Slot[] = []
    const readSlot = (which: 0 | 1) => (next: Done) =>
      this.read(which, (status, slot) => {
        if (slot) slots.push(slot)
        next(status)
      })
    inSequence([readSlot(0), readSlot(1)], (status) => {
      if (!status.ok) return done(status)
      done(Status.OK, this.choose(slots))
    })
  }

  /** Writes the slot that does not hold the newest value. OK means durable, file name included. */
  save(payload: Uint8Array, done: Done): void {
    const target = this.newest === 0 ? 1 : 0
    const sequence = this.sequence + 1
    const { path, position } = this.places[target]!
    this.fileSystem.open(path, { write: true, create: true, dsync: true }, (status, file) => {
      if (!status.ok) return done(status)
      file!.write([this.encode(sequence, payload)], position, (written) =>
        file!.close((closed) => {
          const outcome = written.ok ? closed : written
          if (!outcome.ok) return done(outcome)
          this.nameDurable(target, (named) => {
            if (!named.ok) return done(named)
            this.sequence = sequence
            this.newest = target
            done(Status.OK)
          })
        }),
      )
    })
  }

  private nameDurable(slot: 0 | 1, done: Done): void {
    if (this.named[slot]) return done(Status.OK)
    this.fileSystem.syncDir(parentOf(this.places[slot].path), (status) => {
      this.named[slot] = status.ok
      done(status)
    })
  }

  private choose(slots: readonly Slot[]): StoredRecord {
    let payload: Buffer | null = null
    this.sequence = 0
    this.newest = -1
    slots.forEach((slot, which) => {
      if (slot.state !== 'valid' || slot.sequence <= this.sequence) return
      this.sequence = slot.sequence
      this.newest = which
      payload = slot.payload
    })
    const count = (state: Slot['state']) => slots.filter((slot) => slot.state === state).length
    return { payload, sequence: this.sequence, emptySlots: count('empty'), badSlots: count('bad') }
  }

  private read(which: 0 | 1, done: (status: Status, slot?: Slot) => void): void {
    const { path, position } = this.places[which]
    this.fileSystem.open(path, {}, (status, file) => {
      if (status.code === ErrorCode.ENOENT) return done(Status.OK, { state: 'empty' })
      if (!status.ok) return done(status)
      // A killed process may have left the slot in the page cache only: it must not be lost while the next save tears the other.
      file!.datasync((synced) => {
        if (!synced.ok) return file!.close(() => done(synced))
        readAndClose(file!, position, RECORD_BYTES, (readStatus, bytes) => {
          if (!readStatus.ok) return done(readStatus)
          done(Status.OK, decodeSlot(bytes!, this.checksum))
        })
      })
    })
  }

  private encode(sequence: number, payload: Uint8Array): Buffer {
    assert(payload.length <= RECORD_BYTES - HEADER_BYTES - CRC_BYTES, 'record too long', { bytes: payload.length })
    const bytes = Buffer.alloc(RECORD_BYTES)
    MAGIC.copy(bytes)
    bytes.writeBigUInt64BE(BigInt(sequence), 8)
    bytes.writeUInt32BE(payload.length, 16)
    bytes.set(payload, HEADER_BYTES)
    bytes.writeUInt32BE(this.checksum.crc32c(bytes.subarray(0, RECORD_BYTES - CRC_BYTES)), RECORD_BYTES - CRC_BYTES)
    return bytes
  }
}

/** Reads the bytes of one slot; fewer than RECORD_BYTES are what a crash left of the first save. */
export function decodeSlot(bytes: Buffer, checksum: Checksum): Slot {
  if (bytes.every((byte) => byte === 0)) return { state: 'empty' }
  if (bytes.length !== RECORD_BYTES || !bytes.subarray(0, MAGIC.length).equals(MAGIC)) return { state: 'bad' }
  if (checksum.crc32c(bytes.subarray(0, RECORD_BYTES - CRC_BYTES)) !== bytes.readUInt32BE(RECORD_BYTES - CRC_BYTES)) return { state: 'bad' }
  const length = bytes.readUInt32BE(16)
  if (length > RECORD_BYTES - HEADER_BYTES - CRC_BYTES) return { state: 'bad' }
  return { state: 'valid', sequence: Number(bytes.readBigUInt64BE(8)), payload: bytes.subarray(HEADER_BYTES, HEADER_BYTES + length) }
}
