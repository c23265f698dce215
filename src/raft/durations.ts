/** How often something took how long. */
export interface Counted {
  readonly count: number
  readonly sumMs: number
  /** By bounds: above the one before, up to this one; the last above all. */
  readonly classes: ArrayLike<number>
}

/** Durations in milliseconds, counted by classes. */
export class Durations implements Counted {
  count = 0
  sumMs = 0
  readonly classes: Float64Array

  constructor(private readonly boundsMs: readonly number[]) {
    this.classes = new Float64Array(boundsMs.length + 1)
  }

  add(ms: number): void {
    const { boundsMs, classes } = this
    this.count++
    this.sumMs += ms
    let at = 0
    while (at < boundsMs.length && ms > boundsMs[at]!) at++
    classes[at]!++
  }
}
