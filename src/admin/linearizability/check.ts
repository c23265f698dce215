import { KeySearch } from './key-search.js'
import type { Model } from './model.js'
import type { Operation } from './operation.js'

export interface CheckLimits {
  /** A key with more operations than this is not judged. Default 2000. */
  readonly operationsPerKeyMax?: number
  /** Operations tried, for all keys together. Default 2,000,000. */
  readonly stepsMax?: number
  /** Whether the time for this is over; asked now and then. Default: never. */
  readonly expired?: () => boolean
}

/** A key whose operations no order explains, or for which none was found in time. */
export interface KeyProblem<C, A> {
  readonly key: string
  /** In the order of their calls. */
  readonly operations: readonly Operation<C, A>[]
  /** The longest run of them that can follow one another. */
  readonly longest: readonly Operation<C, A>[]
  /** Why the key could not be judged; null when it was judged, and is bad. */
  readonly undecided: 'too many operations' | 'the search took too long' | null
}

export interface CheckResult<C, A> {
  /** Undecided is no success: the history was too hard or too large to judge. */
  readonly verdict: 'linearizable' | 'violation' | 'undecided'
  readonly keys: number
  readonly operations: number
  /** Operations whose outcome nobody knows. */
  readonly unknown: number
  /** Operations tried. */
  readonly steps: number
  /** The first bad key; without one, the first that could not be judged. */
  readonly problem: KeyProblem<C, A> | null
}

/**
 * Whether every key's operations can be put in one order that the model allows, in which each takes effect between its call
 * and its answer. A history is linearizable exactly when each of its keys is.
 */
export function checkLinearizability<S, C, A>(
  operations: readonly Operation<C, A>[],
  model: Model<S, C, A>,
  limits: CheckLimits = {},
): CheckResult<C, A> {
  const { operationsPerKeyMax = 2000, stepsMax = 2_000_000, expired = () => false } = limits
  const budget = { stepsLeft: stepsMax, expired }
  const keys = byKey(operations)
  let problem: KeyProblem<C, A> | null = null
  for (const [key, ofKey] of keys) {
    const found = ofKey.length > operationsPerKeyMax ? tooMany(key, ofKey) : judge(key, ofKey, model, budget)
    if (found === null) continue
    problem = found.undecided === null ? found : (problem ?? found)
    if (found.undecided === null) break
  }
  return {
    verdict: problem === null ? 'linearizable' : problem.undecided === null ? 'violation' : 'undecided',
    keys: keys.size,
    operations: operations.length,
    unknown: operations.filter(({ answer }) => answer === null).length,
    steps: stepsMax - Math.max(0, budget.stepsLeft),
    problem,
  }
}

function judge<S, C, A>(
  key: string,
  operations: readonly Operation<C, A>[],
  model: Model<S, C, A>,
  budget: { stepsLeft: number; readonly expired: () => boolean },
): KeyProblem<C, A> | null {
  const { verdict, longest } = new KeySearch(operations, model, budget).run()
  if (verdict === 'linearizable') return null
  const undecided = verdict === 'undecided' ? 'the search took too long' : null
  return { key, operations, longest: longest.map((at) => operations[at]!), undecided }
}

function tooMany<C, A>(key: string, operations: readonly Operation<C, A>[]): KeyProblem<C, A> {
  return { key, operations, longest: [], undecided: 'too many operations' }
}

function byKey<C, A>(operations: readonly Operation<C, A>[]): Map<string, Operation<C, A>[]> {
  const keys = new Map<string, Operation<C, A>[]>()
  for (const operation of [...operations].sort((a, b) => a.calledAt - b.calledAt)) {
    const ofKey = keys.get(operation.key)
    if (ofKey) ofKey.push(operation)
    else keys.set(operation.key, [operation])
  }
  return keys
}
