import type { Executor } from '../raft/environment.js'
import type { Faults } from '../rpc/faults.js'
import { ProductionClock } from './clock.js'

/**
 * A clock that a skew fault makes jump ahead and go faster or slower. It never goes back: what it was ahead when the fault
 * ended it stays ahead.
 */
export class SkewedClock extends ProductionClock {
  private rate = 1
  /** This clock showed `shownAt` when `performance.now()` was `realAt`. */
  private realAt = performance.now()
  private shownAt = this.realAt
  private aheadMs = 0

  constructor(executor: Executor, faults: Faults) {
    super(executor)
    faults.onChange(() => this.follow(faults.skew))
  }

  override now(): number {
    return this.shownAt + (performance.now() - this.realAt) * this.rate
  }

  protected override realDelay(delayMs: number): number {
    return delayMs / this.rate
  }

  private follow(skew: Faults['skew']): void {
    const { aheadMs, rate } = skew ?? { aheadMs: 0, rate: 1 }
    if (aheadMs === this.aheadMs && rate === this.rate) return
    this.shownAt = this.now() + Math.max(0, aheadMs - this.aheadMs)
    this.realAt = performance.now()
    this.rate = rate
    this.aheadMs = aheadMs
    this.rearm()
  }
}
