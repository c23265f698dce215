import type { Clock, Timer } from './environment.js'

/** What may be used at once after a rest, as a part of a second. */
const BURST_SECONDS = 0.1

/**
 * A token bucket of bytes: who takes more than there is waits in turn. Owned by SnapshotExecutor, one for each direction.
 *
 * What is taken may exceed what is there by one taker's bytes; those after it wait until that is made up for.
 */
export class SnapshotThrottle {
  private readonly waiting: { bytes: number; run: () => void }[] = []
  private available: number
  private filledAt: number
  private timer: Timer | null = null

  /** `bytesPerSecond` 0: nobody waits. */
  constructor(
    private readonly clock: Clock,
    private bytesPerSecond: number,
  ) {
    this.available = bytesPerSecond * BURST_SECONDS
    this.filledAt = clock.now()
  }

  /** Runs `run` once `bytes` may be used: at once when nobody waits and something is there. Answers how to stop waiting. */
  take(bytes: number, run: () => void): () => void {
    if (this.bytesPerSecond <= 0) {
      run()
      return () => {}
    }
    const taker = { bytes, run }
    this.waiting.push(taker)
    this.serve()
    return () => {
      const at = this.waiting.indexOf(taker)
      if (at >= 0) this.waiting.splice(at, 1)
    }
  }

  /** From now on; 0: nobody waits. Who waits already does so at the new rate. */
  setBytesPerSecond(bytesPerSecond: number): void {
    this.fill()
    this.bytesPerSecond = bytesPerSecond
    this.timer?.cancel()
    this.timer = null
    this.serve()
  }

  /** How long who asks now would wait. */
  get backlogMs(): number {
    if (this.bytesPerSecond <= 0) return 0
    this.fill()
    const bytes = this.waiting.reduce((sum, taker) => sum + taker.bytes, -this.available)
    return Math.max(0, (1000 * bytes) / this.bytesPerSecond)
  }

  private fill(): void {
    const now = this.clock.now()
    const { bytesPerSecond } = this
    this.available = Math.min(bytesPerSecond * BURST_SECONDS, this.available + ((now - this.filledAt) / 1000) * bytesPerSecond)
    this.filledAt = now
  }

  private serve(): void {
    const { bytesPerSecond } = this
    this.fill()
    while (this.waiting.length > 0 && (this.available > 0 || bytesPerSecond <= 0)) {
      const { bytes, run } = this.waiting.shift()!
      this.available -= bytes
      run()
    }
    if (this.waiting.length === 0 || this.timer) return
    const delayMs = Math.max(1, (1000 * -this.available) / bytesPerSecond)
    this.timer = this.clock.schedule(
      delayMs,
      () => {
        this.timer = null
        this.serve()
      },
      'snapshot.throttle',
    )
  }
}
