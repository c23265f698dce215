import type { KeyProblem } from './check.js'
import type { Model } from './model.js'
import type { Operation } from './operation.js'

/** An operation in the longest run, and what the key was after it. */
export interface PlacedOperation<S, C, A> {
  readonly operation: Operation<C, A>
  readonly after: S
}

/** An operation that would have to come next, and why it cannot. */
export interface StuckOperation<C, A> {
  readonly operation: Operation<C, A>
  readonly why: string
}

/** A bad key, taken apart for a person. */
export interface Explanation<S, C, A> {
  readonly placed: readonly PlacedOperation<S, C, A>[]
  /** Called before the first answer that the run leaves out: one of these had to come next. In the order of their answers. */
  readonly stuck: readonly StuckOperation<C, A>[]
}

/** What the longest run makes of the key, and what it leaves out that had to come next. */
export function explain<S, C, A>({ operations, longest }: KeyProblem<C, A>, model: Model<S, C, A>): Explanation<S, C, A> {
  let state = model.initial
  const placed: PlacedOperation<S, C, A>[] = []
  for (const operation of longest) {
    state = model.step(state, operation.call, operation.answer) ?? state
    placed.push({ operation, after: state })
  }
  const done = new Set(longest)
  const left = operations.filter((operation) => !done.has(operation))
  const firstAnswer = Math.min(...left.map(({ answeredAt }) => answeredAt))
  const lowest = left.reduce<Operation<C, A> | null>(
    (low, one) => (one.order !== null && one.order < (low?.order ?? Infinity) ? one : low),
    null,
  )
  const stuck = left
    .filter(({ calledAt }) => calledAt <= firstAnswer)
    .sort((a, b) => a.answeredAt - b.answeredAt || a.calledAt - b.calledAt)
    .map((operation) => ({ operation, why: whyNot(operation, state, lowest, model) }))
  return { placed, stuck }
}

function whyNot<S, C, A>(operation: Operation<C, A>, state: S, lowest: Operation<C, A> | null, model: Model<S, C, A>): string {
  const { call, answer, order } = operation
  if (order !== null && lowest?.order !== null && lowest !== null && order > lowest.order)
    return `the server put it at ${order}, after ${lowest.client}'s ${model.describe(lowest.call, lowest.answer)} at ${lowest.order}`
  if (model.step(state, call, answer) === undefined) return `the key holds ${model.describeState(state)}`
  return answer === null ? 'nobody knows whether it took effect; if it did here, nothing fits after it' : 'nothing fits after it'
}
