import type { Done } from '../raft/closure.js'
import type { Failpoints } from '../raft/environment.js'
import { Status } from '../raft/errors.js'
import type { StorageFailpoint } from '../raft/failpoints.js'

/** One asynchronous step: calls `next` exactly once, with OK or with why it failed. */
export type Step = (next: Done) => void

/** A named point between two steps, where a test may end the process or make the row fail. */
export function point(failpoints: Failpoints, name: StorageFailpoint): Step {
  return (next) => next(failpoints.hit(name) ?? Status.OK)
}

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
