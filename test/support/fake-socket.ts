import { EventEmitter } from 'node:events'
import type * as net from 'node:net'

/** What a connection does to its socket, and nothing more: whatever is written is taken at once. */
export class FakeSocket extends EventEmitter {
  writable = true
  destroyed = false
  readonly writableLength = 0
  readonly written: Buffer[] = []
  /** How often the system was asked to write. */
  writes = 0
  private isCorked = false

  get asSocket(): net.Socket {
    return this as unknown as net.Socket
  }

  write(bytes: Buffer): boolean {
    this.written.push(bytes)
    if (!this.isCorked) this.writes++
    return true
  }

  cork(): void {
    this.isCorked = true
  }

  uncork(): void {
    this.isCorked = false
    this.writes++
  }

  pause(): void {}
  resume(): void {}
  end(): void {}

  destroy(): void {
    this.destroyed = true
  }

  destroySoon(): void {
    this.writable = false
    this.destroyed = true
  }
}
