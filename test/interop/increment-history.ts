import { type Placeable, subsetOfSize } from './subset.js'

/** What a client knows of an increment: counted before `before` was read, perhaps counted, or surely not. */
export type Outcome = 'pending' | 'acknowledged' | 'unknown' | 'failed'

/** One increment, of a size that no other one has. Times are of the one clock of the process in which the clients live. */
export interface Increment extends Placeable {
  readonly client: number
  /** Whom it was sent to. */
  readonly leader: string
  readonly invokedAt: number
  outcome: Outcome
  answeredAt: number
  /** The value of the counter before it; known when it is acknowledged. */
  before: bigint
  /** Why it is not acknowledged. */
  reason: string
  /** Whom it was sent to said that it does not lead any more. */
  leaderLost: boolean
}

export interface Judgement {
  readonly acknowledged: number
  readonly unknown: number
  readonly failed: number
  /** Increments without a known outcome that were counted. */
  readonly found: number
  /** Acknowledged increments whose place in the order is another's, or lies beyond the final value. */
  readonly lost: number
  /** Places in the order that no increment explains. */
  readonly doubled: number
  readonly problems: readonly string[]
}

/**
 * How long after it was sent an increment without an answer may still enter the log. Nobody is ever paused here: what lies in
 * a socket of a process that runs is read, and what lay in one that was killed is gone.
 */
const LATE_WINDOWS_MS = [2000, 6000, 20_000]
const SHOWN_MAX = 10

/**
 * Every increment that clients sent, and what they were told.
 *
 * The answer to an increment is the value before it, so each acknowledged one says which piece of [0, final) is its own. All
 * pieces together, with some of those of unknown outcome, must cover it exactly once. Sizes are large and drawn at random:
 * a gap says by its length who filled it.
 */
export class IncrementHistory {
  private readonly increments: Increment[] = []

  constructor(private readonly now: () => number = () => performance.now()) {}

  begin(client: number, leader: string, size: number): Increment {
    const increment: Increment = {
      ...{ client, leader, size, invokedAt: this.now(), outcome: 'pending' as const },
      ...{ answeredAt: Infinity, before: 0n, reason: 'no answer when the run ended', leaderLost: false },
    }
    this.increments.push(increment)
    return increment
  }

  acknowledge(increment: Increment, before: bigint): void {
    increment.outcome = 'acknowledged'
    increment.before = before
    increment.answeredAt = this.now()
  }

  /** It may have been counted, or may still be: a closed connection, a leader that lost its office, no answer in time. */
  leaveUnknown(increment: Increment, reason: string, { leaderLost = false } = {}): void {
    increment.outcome = 'unknown'
    increment.reason = reason
    increment.leaderLost = leaderLost
    increment.answeredAt = this.now()
  }

  /** It never left this process. */
  fail(increment: Increment, reason: string): void {
    increment.outcome = 'failed'
    increment.reason = reason
    increment.answeredAt = this.now()
  }

  get all(): readonly Increment[] {
    return this.increments
  }

  count(outcome: Outcome): number {
    return this.increments.reduce((sum, increment) => sum + (increment.outcome === outcome ? 1 : 0), 0)
  }

  judge(final: bigint): Judgement {
    return judgeIncrements(this.increments, final)
  }
}

export function judgeIncrements(increments: readonly Increment[], final: bigint): Judgement {
  const of = (...outcomes: Outcome[]) => increments.filter(({ outcome }) => outcomes.includes(outcome))
  const acknowledged = of('acknowledged').sort((a, b) => (a.before < b.before ? -1 : a.before > b.before ? 1 : a.size - b.size))
  const unknown = of('unknown', 'pending')
  const problems: string[] = []
  const used = new Set<Increment>()
  const lost = new Set<Increment>()
  let doubled = 0
  let end = 0n
  let previous: Increment | null = null
  let latestCall = -Infinity
  for (const increment of acknowledged) {
    if (increment.before < end) {
      lost.add(increment)
      problems.push(`lost: ${told(increment)}, but ${previous ? told(previous) : 'the counter began at 0'}`)
    } else doubled += explain(previous, increment, increment.before - end, { unknown, used, problems })
    if (increment.answeredAt < latestCall)
      problems.push(`out of order: ${told(increment)} was answered before one that precedes it was sent`)
    if (increment.invokedAt > latestCall) latestCall = increment.invokedAt
    const after = increment.before + BigInt(increment.size)
    if (after > final) {
      lost.add(increment)
      problems.push(`lost: ${told(increment)}, but the counter ends at ${final}`)
    }
    if (after > end) {
      end = after
      previous = increment
    }
  }
  if (final > end) doubled += explain(previous, null, final - end, { unknown, used, problems })
  return {
    ...{ acknowledged: acknowledged.length, unknown: unknown.length, failed: of('failed').length, found: used.size },
    ...{ lost: lost.size, doubled, problems: shortened(problems) },
  }
}

interface Explaining {
  readonly unknown: readonly Increment[]
  /** Those of unknown outcome that have a place. */
  readonly used: Set<Increment>
  readonly problems: string[]
}

/** Finds who filled the gap between two neighbours; 1 when nobody can have. */
function explain(left: Increment | null, right: Increment | null, gap: bigint, { unknown, used, problems }: Explaining): 0 | 1 {
  if (gap === 0n) return 0
  const size = Number(gap)
  for (const window of LATE_WINDOWS_MS) {
    const possible = unknown.filter(
      (increment) =>
        !used.has(increment) &&
        increment.size <= size &&
        increment.invokedAt <= (right?.answeredAt ?? Infinity) &&
        increment.invokedAt + window >= (left?.invokedAt ?? -Infinity),
    )
    const chosen = Number.isSafeInteger(size) ? subsetOfSize(possible, size) : null
    if (chosen === null) continue
    for (const increment of chosen) used.add(increment)
    return 0
  }
  problems.push(
    `doubled: ${gap} was counted that nobody can have asked for, between ${left ? told(left) : 'the beginning'} and ${right ? told(right) : 'the end'}`,
  )
  return 1
}

function told({ client, size, before, invokedAt }: Increment): string {
  return `client ${client} added ${size} to ${before} (sent at ${(invokedAt / 1000).toFixed(3)} s)`
}

function shortened(problems: string[]): string[] {
  const more = problems.length - SHOWN_MAX
  return more > 0 ? [...problems.slice(0, SHOWN_MAX), `and ${more} more`] : problems
}
