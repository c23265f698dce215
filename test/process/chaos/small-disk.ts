import { spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const PIECE = Buffer.alloc(1024 * 1024)

/** A disk of a member's own that can really be full: a file system in memory, which takes a user who may mount one. */
export class SmallDisk {
  private constructor(readonly directory: string) {}

  /** Null where nothing can be mounted. */
  static mount(directory: string, megabytes: number): SmallDisk | null {
    mkdirSync(directory, { recursive: true })
    const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'raftctl-chaos', directory])
    return status === 0 ? new SmallDisk(directory) : null
  }

  private get filler(): string {
    return join(this.directory, 'filler')
  }

  /** Not one byte is left. */
  fill(): void {
    const file = openSync(this.filler, 'w')
    try {
      for (let piece = PIECE; piece.length > 0; piece = piece.subarray(0, piece.length >> 1)) writeUntilFull(file, piece)
    } finally {
      closeSync(file)
    }
  }

  free(): void {
    rmSync(this.filler, { force: true })
  }

  unmount(): void {
    spawnSync('umount', ['-l', this.directory])
  }
}

function writeUntilFull(file: number, piece: Buffer): void {
  try {
    for (;;) if (writeSync(file, piece) < piece.length) return
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  }
}
