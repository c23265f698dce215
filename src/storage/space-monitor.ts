import type { Clock, FileSystem, Timer } from '../raft/environment.js'

const CHECK_EVERY_MS = 1000
const RESERVE_BYTES = 32 * 1024 * 1024
/** How much more than the reserve must be free before writes are taken again: a disk at the edge must not flap. */
const RECOVERY_FACTOR = 1.5

export interface SpaceMonitorOptions {
  readonly fileSystem: FileSystem
  readonly clock: Clock
  readonly directory: string
  readonly reserveBytes?: number
  /** Told when the disk becomes short, and when it has space again. */
  readonly onChange: (state: 'short' | 'ample', freeBytes: number) => void
}

/**
 * Watches the free space under a data directory, so that a node refuses new entries while the disk still has a reserve:
 * a write that fails for want of space would be fatal.
 */
export class SpaceMonitor {
  private isShort = false
  private timer: Timer | null = null
  private stopped = false

  constructor(private readonly options: SpaceMonitorOptions) {}

  start(): void {
    this.check()
  }

  stop(): void {
    this.stopped = true
    this.timer?.cancel()
  }

  private check(): void {
    const { fileSystem, clock, directory } = this.options
    fileSystem.statfs(directory, (status, space) => {
      if (this.stopped) return
      if (status.ok) this.judge(space!.freeBytes)
      this.timer = clock.schedule(CHECK_EVERY_MS, () => this.check(), 'space')
    })
  }

  private judge(freeBytes: number): void {
    const reserve = this.options.reserveBytes ?? RESERVE_BYTES
    const isShort = freeBytes < (this.isShort ? reserve * RECOVERY_FACTOR : reserve)
    if (isShort === this.isShort) return
    this.isShort = isShort
    this.options.onChange(isShort ? 'short' : 'ample', freeBytes)
  }
}
