import type * as net from 'node:net'
import { writeTogether } from './http2/pieces.js'

const BLOCK_BYTES_MIN = 512
const BLOCK_BYTES_MAX = 16 * 1024
const NO_BYTES = Buffer.alloc(0)

/**
 * Writes to a socket so that everything written in one turn of the event loop leaves in one system call, at the end of that turn.
 * After the socket closed, writes are dropped.
 *
 * What is put into reserved room lies in a block, one behind the other; what was sent of it is not changed any more.
 */
export class TurnWriter {
  /** Where the room that was reserved last lies. */
  block: Buffer = NO_BYTES
  /** Of the block: what is reserved in this turn and not among the pieces yet. */
  private from = 0
  private to = 0
  private pieces: Uint8Array[] = []
  private bytes = 0
  /** So much left in one turn lately. */
  private lastBytes = 0

  constructor(private readonly socket: net.Socket) {}

  /** Written, and not taken by the system. */
  get unsentBytes(): number {
    return this.bytes + this.socket.writableLength
  }

  /** Room for so many bytes: where in `block` they are to be put, at once. */
  reserve(bytes: number): number {
    this.flushSoon()
    if (this.block.length - this.to < bytes) {
      this.closePiece()
      const expected = 2 * Math.max(this.lastBytes, this.bytes)
      this.block = Buffer.allocUnsafe(Math.max(bytes, BLOCK_BYTES_MIN, Math.min(expected, BLOCK_BYTES_MAX)))
      this.from = this.to = 0
    }
    const at = this.to
    this.to += bytes
    this.bytes += bytes
    return at
  }

  /** The bytes must not change any more. */
  write(...buffers: readonly Uint8Array[]): void {
    if (!this.socket.writable) return
    this.flushSoon()
    this.closePiece()
    for (const buffer of buffers) {
      if (buffer.length === 0) continue
      this.pieces.push(buffer)
      this.bytes += buffer.length
    }
  }

  /** Gives the socket what was written, without waiting for the end of the turn. */
  flush(): void {
    this.closePiece()
    const { pieces, bytes, socket } = this
    this.pieces = []
    this.bytes = 0
    if (bytes > 0) this.lastBytes = bytes
    if (this.block.length > BLOCK_BYTES_MAX) this.dropBlock()
    if (pieces.length > 0 && socket.writable) writeTogether(socket, pieces, bytes)
  }

  /** Sends what was written and closes. */
  end(): void {
    this.flush()
    if (this.socket.writable) this.socket.end()
  }

  private flushSoon(): void {
    if (this.bytes === 0) process.nextTick(() => this.flush())
  }

  /** It was made for one that is longer than others: nothing holds it once that is sent. */
  private dropBlock(): void {
    this.block = NO_BYTES
    this.from = this.to = 0
  }

  private closePiece(): void {
    if (this.to > this.from) this.pieces.push(this.block.subarray(this.from, this.to))
    this.from = this.to
  }
}
