import type { Clock, Timer } from './environment.js'

/** Says that a leadership lasts. `mayRest`: who has said all there is to say, and was answered, may be silent this time. */
export type Beat = (mayRest: boolean) => void

/** Whoever has beaten within so many intervals may rest: every second time, where none is late. */
const REST_INTERVALS = 1.5

/** Leaderships that beat at the same interval. */
class Rhythm {
  readonly members = new Set<Beat>()
  private timer: Timer | null = null
  /** When nobody was allowed to rest. */
  private beatenAt = Number.NEGATIVE_INFINITY

  constructor(
    private readonly clock: Clock,
    private readonly intervalMs: number,
  ) {}

  add(beat: Beat): void {
    this.members.add(beat)
    if (!this.timer) this.schedule()
  }

  remove(beat: Beat): void {
    this.members.delete(beat)
    if (this.members.size > 0) return
    this.timer?.cancel()
    this.timer = null
  }

  private schedule(): void {
    const { clock, intervalMs } = this
    const delayMs = intervalMs - (clock.now() % intervalMs)
    const soonMs = delayMs > intervalMs / 100 ? delayMs : intervalMs
    this.timer = clock.schedule(soonMs, this.tick, 'heartbeats')
  }

  private readonly tick = (): void => {
    this.timer = null
    const now = this.clock.now()
    // By the clock, not by the count: a process that stood still has been silent for long enough.
    const mayRest = now - this.beatenAt < REST_INTERVALS * this.intervalMs
    if (!mayRest) this.beatenAt = now
    try {
      for (const beat of this.members) beat(mayRest)
    } finally {
      if (this.members.size > 0 && !this.timer) this.schedule()
    }
  }
}

/**
 * When the leaderships of a process say that they last (Environment.heartbeats): at whole multiples of their interval, all in one
 * turn, so that what they say to the same process travels together, and by one timer, whatever their number. Every second time those
 * that are idle may rest, all of them the same time.
 */
export class Heartbeats {
  private readonly rhythms = new Map<number, Rhythm>()

  constructor(private readonly clock: Clock) {}

  /** Runs `beat` now and then, until cancelled; the same `beat` only once at a time. */
  every(intervalMs: number, beat: Beat): Timer {
    const rhythm = this.rhythms.get(intervalMs) ?? new Rhythm(this.clock, intervalMs)
    this.rhythms.set(intervalMs, rhythm)
    rhythm.add(beat)
    return {
      cancel: () => {
        rhythm.remove(beat)
        if (rhythm.members.size === 0 && this.rhythms.get(intervalMs) === rhythm) this.rhythms.delete(intervalMs)
      },
    }
  }
}
