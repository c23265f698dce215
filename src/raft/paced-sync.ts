import type { Done } from './closure.js'
import type { File } from './environment.js'

/** Of a large file, not synced yet. */
export const UNSYNCED_BYTES_MAX = 8 * 1024 * 1024

/**
 * Writes a large file that is synced on the way: while a disk takes in all of it at once, at its end, it answers no other sync, and the
 * writes of the log stand still for as long. One write at a time; whoever owns the file syncs the rest, and closes it.
 */
export class PacedSync {
  private unsynced = 0

  constructor(private readonly file: File) {}

  write(buffers: readonly Uint8Array[], position: number, done: Done): void {
    this.file.write(buffers, position, (status) => {
      for (const { length } of buffers) this.unsynced += length
      if (!status.ok || this.unsynced < UNSYNCED_BYTES_MAX) return done(status)
      this.unsynced = 0
      this.file.datasync(done)
    })
  }
}
