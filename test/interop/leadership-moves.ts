import type { Increment } from './increment-history.js'

/** A time in which nobody can expect an increment to be counted. */
export interface Move {
  readonly from: number
  readonly to: number
}

/**
 * From the last answer of one leader, counted from when it was asked, to the first one of the next; the beginning is one, too. Who
 * lost its office may be the next leader as well: then from the call that it was lost to, to the first answer.
 */
export function leadershipMoves(increments: readonly Increment[]): Move[] {
  const answered = increments.filter(({ outcome }) => outcome === 'acknowledged').sort((a, b) => a.answeredAt - b.answeredAt)
  const moves: Move[] = []
  let previous: Increment | null = null
  for (const increment of answered) {
    if (previous?.leader !== increment.leader) moves.push({ from: previous?.invokedAt ?? -Infinity, to: increment.answeredAt })
    previous = increment
  }
  for (const { leaderLost, invokedAt, answeredAt } of increments) {
    if (!leaderLost) continue
    const next = answered.find((increment) => increment.answeredAt > answeredAt)
    moves.push({ from: invokedAt, to: next?.answeredAt ?? Infinity })
  }
  return moves
}

/** Increments that were not acknowledged although one member led all the while. */
export function failedWhileLed(increments: readonly Increment[]): Increment[] {
  const moves = leadershipMoves(increments)
  return increments.filter(
    ({ outcome, invokedAt, answeredAt }) =>
      outcome !== 'acknowledged' && !moves.some(({ from, to }) => invokedAt <= to && answeredAt >= from),
  )
}
