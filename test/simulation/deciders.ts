import type { SimCluster } from './cluster.js'
import { type Act, type Decision, toMicros } from './decisions.js'
import type { SimRandom } from './sim-random.js'

/** Says what is done to a cluster, and when. */
export interface Decider {
  /** From now on `take` gets what is decided, at the moment it is to happen; decisions of one moment come together. */
  start(take: (decisions: readonly Decision[]) => void): void
  /** Decides nothing more. */
  stop(): void
}

/** Decides again and again, after a random time each. */
export class DrawnDecider implements Decider {
  private active = false

  constructor(
    private readonly cluster: SimCluster,
    private readonly label: string,
    private readonly everyMs: number,
    private readonly random: SimRandom,
    private readonly draw: () => readonly Act[],
  ) {}

  start(take: (decisions: readonly Decision[]) => void): void {
    this.active = true
    this.scheduleNext(take)
  }

  stop(): void {
    this.active = false
  }

  private scheduleNext(take: (decisions: readonly Decision[]) => void): void {
    const { scheduler } = this.cluster
    const at = toMicros(scheduler.now + this.random.exponential(this.everyMs))
    scheduler.scheduleAt(at, null, this.label, () => {
      if (!this.active) return
      take(this.draw().map((act) => ({ at, ...act })))
      this.scheduleNext(take)
    })
  }
}

/** Decides what was decided before, at the same moments. */
export class ScriptedDecider implements Decider {
  private active = false

  constructor(
    private readonly cluster: SimCluster,
    private readonly decisions: readonly Decision[],
  ) {}

  start(take: (decisions: readonly Decision[]) => void): void {
    this.active = true
    for (const decisions of byMoment(this.decisions)) {
      this.cluster.scheduler.scheduleAt(decisions[0]!.at, null, 'script', () => {
        if (this.active) take(decisions)
      })
    }
  }

  stop(): void {
    this.active = false
  }
}

function byMoment(decisions: readonly Decision[]): Decision[][] {
  const moments = new Map<number, Decision[]>()
  for (const decision of decisions) {
    const same = moments.get(decision.at)
    if (same) same.push(decision)
    else moments.set(decision.at, [decision])
  }
  return [...moments.values()]
}
