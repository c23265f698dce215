export const ANY_STATE = Symbol('any state')

/**
 * What a key is and what operations do to it, one after another. States are immutable.
 *
 * Calls that only read and have no answer tell nothing: they should not be in a history.
 */
export interface Model<S, C, A> {
  readonly initial: S
  /** The state after `call`; undefined when in `state` it would not have answered `answer`. Null: the answer is not known. */
  step(state: S, call: C, answer: A | null): S | undefined
  same(a: S, b: S): boolean
  /**
   * The name of the state that `call` must find to answer so, or, without an answer, to change anything. ANY_STATE: that
   * cannot be named. Undefined: whatever the state is, it answers so and the same state follows.
   */
  needs(call: C, answer: A | null): string | typeof ANY_STATE | undefined
  /** The name of the state it may leave behind; null when it only looks. */
  makes(call: C, answer: A | null): string | null
  /** States with different names are different; some different ones share a name. */
  nameOf(state: S): string
  /** For a person, as short as it can be. */
  describe(call: C, answer: A | null): string
  describeState(state: S): string
}
