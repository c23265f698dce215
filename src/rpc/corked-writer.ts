import type * as net from 'node:net'

/**
 * Writes to a socket so that everything written in one turn of the event loop leaves in one system call.
 * After the socket closed, writes are dropped.
 */
export class CorkedWriter {
  private corked = false

  constructor(private readonly socket: net.Socket) {}

  write(...buffers: readonly Uint8Array[]): void {
    if (!this.socket.writable) return
    if (!this.corked) {
      this.corked = true
      this.socket.cork()
      setImmediate(() => {
        this.corked = false
        this.socket.uncork()
      })
    }
    for (const buffer of buffers) if (buffer.length > 0) this.socket.write(buffer)
  }

  /** Sends what was written and closes. */
  end(): void {
    if (this.socket.writable) this.socket.end()
  }
}
