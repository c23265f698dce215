import type { SimRandom } from '../../src/testing/sim-random.js'
import type { SimCluster } from './cluster.js'
import { type Act, type Decision, type Drawn, toMicros } from './decisions.js'

type Take = (decisions: readonly Decision[]) => void

/** Says what is done to a cluster, and when. */
export interface Decider {
  /** From now on `take` gets what is decided, at the moment it is to happen; decisions of one moment come together. */
  start(take: Take): void
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
    private readonly draw: () => readonly Drawn[],
    /** Decided at the very start. */
    private readonly drawFirst: () => readonly Act[] = () => [],
  ) {}

  start(take: Take): void {
    this.active = true
    this.schedule(toMicros(this.cluster.now + 0.001), this.drawFirst, take)
    this.scheduleNext(take)
  }

  stop(): void {
    this.active = false
  }

  private scheduleNext(take: Take): void {
    const at = toMicros(this.cluster.now + this.random.exponential(this.everyMs))
    this.schedule(at, this.draw, take, () => this.scheduleNext(take))
  }

  private schedule(at: number, draw: () => readonly Drawn[], take: Take, then = (): void => {}): void {
    this.cluster.scheduler.scheduleAt(at, null, this.label, () => {
      if (!this.active) return
      const drawn = draw()
      const now: Decision[] = []
      const later: Decision[] = []
      for (const act of drawn) {
        const { afterMs } = act
        if (afterMs) later.push(decisionOf(toMicros(at + afterMs), act))
        else now.push(decisionOf(at, act))
      }
      take(now)
      for (const decision of later) this.postpone(decision, take)
      then()
    })
  }

  private postpone(decision: Decision, take: Take): void {
    this.cluster.scheduler.scheduleAt(decision.at, null, this.label, () => {
      if (this.active) take([decision])
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

  start(take: Take): void {
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

function decisionOf(at: number, drawn: Drawn): Decision {
  // Most say no delay: leaving a field out that is not there costs more than all the rest of a copy.
  if (drawn.afterMs === undefined) return { at, ...drawn } as Decision
  const { afterMs: _, ...act } = drawn
  return { at, ...act } as Decision
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
