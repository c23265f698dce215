import { EventEmitter } from 'node:events'
import type * as net from 'node:net'

/** What a connection does to its socket, and nothing more: whatever is written is taken at once. */
export class FakeSocket extends EventEmitter {
  writable = true
  readonly writableLength = 0
  readonly written: Buffer[] = []

  get asSocket(): net.Socket {
    return this as unknown as net.Socket
  }

  write(bytes: Buffer): boolean {
    this.written.push(bytes)
    return true
  }

  pause(): void {}
  resume(): void {}
  end(): void {}
  destroy(): void {}

  destroySoon(): void {
    this.writable = false
  }
}
