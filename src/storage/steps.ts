import type { Done } from '../raft/closure.js'
import { Status } from '../raft/errors.js'

/** One asynchronous step: calls `next` exactly once, with OK or with why it failed. */
export type Step = (next: Done) => void

/** Runs steps one after the other; the first that fails ends the row. */
export function inSequence(steps: readonly Step[], done: Done): void {
  let position = 0
  const next: Done = (status) => {
    if (!status.ok || position === steps.length) return done(status)
    steps[position++]!(next)
  }
  next(Status.OK)
}

/** Runs `step` for each item, one after the other; the first that fails ends the row. */
export function forEachInOrder<T>(items: readonly T[], step: (item: T, next: Done) => void, done: Done): void {
  inSequence(
    items.map((item) => (next: Done) => step(item, next)),
    done,
  )
}
