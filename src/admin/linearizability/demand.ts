import { ANY_STATE, type Model } from './model.js'
import type { Operation } from './operation.js'

const NOTHING = -1
const UNNAMED = -2

/**
 * Which states are still wanted, and by how many operations that are not placed yet. It tells early what an exhaustive
 * search would find out late: that a state was left for ever which somebody must still find.
 *
 * Operations are named by their place in the history; all of them are open at first.
 */
export class Demand<S, C, A> {
  private readonly names = new Map<string, number>()
  /** By operation: the name of the state that it must find, NOTHING or UNNAMED; and of the one that it may leave, or NOTHING. */
  private readonly needs: Int32Array
  private readonly makes: Int32Array
  /** By name: operations with an answer that must find that state. */
  private readonly required: Int32Array
  /** By name: operations that would change something only there, answered or not. */
  private readonly wanted: Int32Array
  /** By name: operations that may make it so. */
  private readonly makers: Int32Array
  /** Operations that look at the state, and cannot name what they must find. */
  private unnamed = 0

  constructor(
    private readonly operations: readonly Operation<C, A>[],
    private readonly model: Model<S, C, A>,
  ) {
    const { length } = operations
    this.needs = new Int32Array(length)
    this.makes = new Int32Array(length)
    this.required = new Int32Array(2 * length)
    this.wanted = new Int32Array(2 * length)
    this.makers = new Int32Array(2 * length)
    for (const [at, { call, answer }] of operations.entries()) {
      const need = model.needs(call, answer)
      this.needs[at] = need === undefined ? NOTHING : need === ANY_STATE ? UNNAMED : this.idOf(need)
      const makes = model.makes(call, answer)
      this.makes[at] = makes === null ? NOTHING : this.idOf(makes)
      this.count(at, 1)
    }
  }

  /** It is placed, or left out. */
  close(at: number): void {
    this.count(at, -1)
  }

  reopen(at: number): void {
    this.count(at, 1)
  }

  /** Somebody must still find such a state, and nobody is left to make it again. */
  mustStay(state: S): boolean {
    const id = this.names.get(this.model.nameOf(state))
    return id !== undefined && this.required[id]! > 0 && this.makers[id] === 0
  }

  /** If this one, whose outcome is not known, took effect, could anybody tell? */
  isNoticed(at: number): boolean {
    const made = this.makes[at]!
    return made !== NOTHING && (this.unnamed > 0 || this.wanted[made]! > 0)
  }

  /** Whatever the state is, this one answers so and leaves the same behind. */
  isBlind(at: number): boolean {
    return this.needs[at] === NOTHING
  }

  onlyLooks(at: number): boolean {
    return this.makes[at] === NOTHING
  }

  private count(at: number, by: 1 | -1): void {
    const made = this.makes[at]!
    if (made !== NOTHING) this.makers[made]! += by
    const need = this.needs[at]!
    if (need === UNNAMED) this.unnamed += by
    else if (need !== NOTHING) {
      this.wanted[need]! += by
      if (this.operations[at]!.answer !== null) this.required[need]! += by
    }
  }

  private idOf(name: string): number {
    let id = this.names.get(name)
    if (id === undefined) this.names.set(name, (id = this.names.size))
    return id
  }
}
