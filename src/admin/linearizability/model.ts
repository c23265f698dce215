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
  /** Whatever the state was, `answer` would be given and the same state would follow. */
  isBlind(call: C, answer: A | null): boolean
  /** For a person, as short as it can be. */
  describe(call: C, answer: A | null): string
  describeState(state: S): string
}
