import type { KeyProblem } from './check.js'
import type { Model } from './model.js'
import { moment, type Operation } from './operation.js'

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
  const stuck = left
    .filter(({ calledAt }) => calledAt <= firstAnswer)
    .sort((a, b) => a.answeredAt - b.answeredAt || a.calledAt - b.calledAt)
    .map((operation) => ({ operation, why: whyNot(operation, { state, operations: left, model }) }))
  return { placed, stuck }
}

interface Left<S, C, A> {
  readonly state: S
  readonly operations: readonly Operation<C, A>[]
  readonly model: Model<S, C, A>
}

function whyNot<S, C, A>(operation: Operation<C, A>, { state, operations, model }: Left<S, C, A>): string {
  const { call, answer, order } = operation
  const says = (other: Operation<C, A>) => `${other.client}'s ${model.describe(other.call, other.answer)}`
  const earlier = operations.find((other) => order !== null && other.order !== null && other.order < order)
  if (earlier) return `the server put it at ${order}, after ${says(earlier)} at ${earlier.order}`
  const next = model.step(state, call, answer)
  if (next === undefined) return `the key holds ${model.describeState(state)}`
  const name = model.nameOf(state)
  const others = operations.filter((other) => other !== operation)
  const waiting = others.find((other) => other.answer !== null && model.needs(other.call, other.answer) === name)
  if (waiting && model.nameOf(next) !== name && !others.some((other) => model.makes(other.call, other.answer) === name))
    return `${says(waiting)}, called at ${moment(waiting.calledAt)}, must find the key as it was before this`
  return answer === null ? 'nobody knows whether it took effect; if it did here, nothing fits after it' : 'nothing fits after it'
}
