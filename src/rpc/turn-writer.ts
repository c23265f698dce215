import type * as net from 'node:net'
import { writeTogether } from './http2/pieces.js'

/**
 * Writes to a socket so that everything written in one turn of the event loop leaves in one system call, at the end of that turn.
 * After the socket closed, writes are dropped.
 */
export class TurnWriter {
  private pieces: Uint8Array[] = []
  private bytes = 0

  constructor(private readonly socket: net.Socket) {}

  /** Written, and not taken by the system. */
  get unsentBytes(): number {
    return this.bytes + this.socket.writableLength
  }

  /** The bytes must not change any more. */
  write(...buffers: readonly Uint8Array[]): void {
    if (!this.socket.writable) return
    if (this.pieces.length === 0) process.nextTick(() => this.flush())
    for (const buffer of buffers) {
      if (buffer.length === 0) continue
      this.pieces.push(buffer)
      this.bytes += buffer.length
    }
  }

  /** Gives the socket what was written, without waiting for the end of the turn. */
  flush(): void {
    const { pieces, bytes, socket } = this
    this.pieces = []
    this.bytes = 0
    if (pieces.length > 0 && socket.writable) writeTogether(socket, pieces, bytes)
  }

  /** Sends what was written and closes. */
  end(): void {
    this.flush()
    if (this.socket.writable) this.socket.end()
  }
}
