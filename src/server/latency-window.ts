/** The newest latencies of one kind, for a percentile of what just happened. */
export class LatencyWindow {
  private readonly samples: Float64Array
  private count = 0

  constructor(capacity = 1024) {
    this.samples = new Float64Array(capacity)
  }

  add(ms: number): void {
    this.samples[this.count++ % this.samples.length] = ms
  }

  /** `share` between 0 and 1; null without a sample. */
  percentile(share: number): number | null {
    const sorted = this.samples.slice(0, Math.min(this.count, this.samples.length)).sort()
    if (sorted.length === 0) return null
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
  }
}
