import { Demand } from './demand.js'
import type { Model } from './model.js'
import type { Operation } from './operation.js'
import { PlacedSet } from './placed-set.js'

/** How far a search may go; it ends undecided beyond. */
export interface SearchBudget {
  stepsLeft: number
  /** Real time is over; asked now and then. */
  readonly expired: () => boolean
}

export interface SearchResult {
  readonly verdict: 'linearizable' | 'violation' | 'undecided'
  /** The longest run of operations, by their places, that can follow one another from the beginning. */
  readonly longest: readonly number[]
}

/** One step down: what was placed last, what the key is then, and what may come next. */
interface Frame<S> {
  readonly placed: number
  readonly state: S
  readonly candidates: readonly number[]
  next: number
  /** Below these, every one of `answered` and of `ordered` is placed. */
  readonly answeredFrom: number
  readonly orderedFrom: number
}

interface Visited<S> {
  readonly words: Uint32Array
  readonly state: S
  readonly mustMatter: boolean
}

const NOTHING = -1
const STEPS_BETWEEN_LOOKS = 4096

/**
 * Looks for an order of one key's operations that its model allows and that keeps every operation between its call and its
 * answer (Wing and Gong), never twice from the same operations placed with the same state (Lowe).
 *
 * Three things keep it short. What only looks at the key is placed as soon as it fits: later is never better. A state is not
 * left for ever that somebody must still find. And operations without an answer are placed only when they matter: they need not
 * have happened, so one that changes nothing, or is overwritten before anybody could notice, is left out.
 */
export class KeySearch<S, C, A> {
  private readonly placed: PlacedSet
  private readonly demand: Demand<S, C, A>
  private readonly visited = new Map<number, Visited<S>[]>()
  private readonly frames: Frame<S>[] = []
  /** Both in the order of their calls. */
  private readonly answered: readonly number[]
  private readonly unknown: readonly number[]
  /** Those with an order, lowest first. */
  private readonly ordered: readonly number[]
  private answersLeft: number
  private longest: number[] = []
  private longestLeft = Infinity

  constructor(
    private readonly operations: readonly Operation<C, A>[],
    private readonly model: Model<S, C, A>,
    private readonly budget: SearchBudget,
  ) {
    const byCall = operations.map((_, at) => at).sort((a, b) => operations[a]!.calledAt - operations[b]!.calledAt)
    this.placed = new PlacedSet(operations.length)
    this.demand = new Demand(operations, model)
    this.answered = byCall.filter((at) => operations[at]!.answer !== null)
    this.unknown = this.noticeable(byCall.filter((at) => operations[at]!.answer === null))
    this.ordered = byCall.filter((at) => operations[at]!.order !== null).sort((a, b) => operations[a]!.order! - operations[b]!.order!)
    this.answersLeft = this.answered.length
  }

  run(): SearchResult {
    this.descend(NOTHING, this.model.initial)
    while (this.answersLeft > 0) {
      const frame = this.frames.at(-1)!
      const at = frame.candidates[frame.next++]
      if (at === undefined) {
        this.keepLongest()
        if (frame.placed === NOTHING) return { verdict: 'violation', longest: this.longest }
        this.ascend(frame)
        continue
      }
      if (this.budget.stepsLeft-- <= 0 || (this.budget.stepsLeft % STEPS_BETWEEN_LOOKS === 0 && this.budget.expired())) {
        this.keepLongest()
        return { verdict: 'undecided', longest: this.longest }
      }
      this.tryNext(frame, at)
    }
    return { verdict: 'linearizable', longest: this.path() }
  }

  private tryNext(frame: Frame<S>, at: number): void {
    const { model, demand } = this
    const operation = this.operations[at]!
    const { call, answer } = operation
    const state = model.step(frame.state, call, answer)
    if (state === undefined) return
    if (answer === null && model.same(state, frame.state)) return
    this.place(at)
    const leaves = model.nameOf(state) !== model.nameOf(frame.state)
    if ((leaves && demand.mustStay(frame.state)) || !this.isNew(state, answer === null)) return this.takeBack(at)
    this.descend(at, state)
  }

  private place(at: number): void {
    this.placed.flip(at)
    this.demand.close(at)
    if (this.operations[at]!.answer !== null) this.answersLeft--
  }

  private takeBack(at: number): void {
    this.placed.flip(at)
    this.demand.reopen(at)
    if (this.operations[at]!.answer !== null) this.answersLeft++
  }

  private descend(placed: number, state: S): void {
    const above = this.frames.at(-1)
    let answeredFrom = above?.answeredFrom ?? 0
    while (answeredFrom < this.answered.length && this.placed.has(this.answered[answeredFrom]!)) answeredFrom++
    let orderedFrom = above?.orderedFrom ?? 0
    while (orderedFrom < this.ordered.length && this.placed.has(this.ordered[orderedFrom]!)) orderedFrom++
    const frame = { placed, state, answeredFrom, orderedFrom, next: 0 }
    this.frames.push({ ...frame, candidates: this.candidates(frame) })
  }

  private ascend(frame: Frame<S>): void {
    this.frames.pop()
    this.takeBack(frame.placed)
  }

  /** What may come next: called before anything that is not placed was answered. Those without an answer come last. */
  private candidates({ placed, state, answeredFrom, orderedFrom }: Omit<Frame<S>, 'candidates'>): number[] {
    const { operations, demand } = this
    const mustMatter = placed !== NOTHING && operations[placed]!.answer === null
    const lowest = orderedFrom < this.ordered.length ? operations[this.ordered[orderedFrom]!]!.order! : Infinity
    const found: number[] = []
    const mayBeNext = (at: number, { order }: Operation<C, A>): boolean =>
      (order === null || order <= lowest) && !(mustMatter && demand.isBlind(at))
    let firstAnswer = Infinity
    for (let i = answeredFrom; i < this.answered.length; i++) {
      const at = this.answered[i]!
      const operation = operations[at]!
      if (operation.calledAt > firstAnswer) break
      if (this.placed.has(at)) continue
      firstAnswer = Math.min(firstAnswer, operation.answeredAt)
      if (!mayBeNext(at, operation)) continue
      if (demand.onlyLooks(at) && this.fits(state, operation)) return [at]
      found.push(at)
    }
    for (const at of this.unknown) {
      const operation = operations[at]!
      if (operation.calledAt > firstAnswer) break
      if (!this.placed.has(at) && demand.isNoticed(at) && mayBeNext(at, operation)) found.push(at)
    }
    return found
  }

  /** It finds the key so, and leaves it so. */
  private fits(state: S, { call, answer }: Operation<C, A>): boolean {
    const next = this.model.step(state, call, answer)
    return next !== undefined && this.model.same(state, next)
  }

  /** Without those that nobody could have noticed, which may leave others unnoticed. */
  private noticeable(unknown: readonly number[]): readonly number[] {
    const kept = unknown.filter((at) => {
      const isNoticed = this.demand.isNoticed(at)
      if (!isNoticed) this.demand.close(at)
      return isNoticed
    })
    return kept.length === unknown.length ? kept : this.noticeable(kept)
  }

  private isNew(state: S, mustMatter: boolean): boolean {
    const { placed, model } = this
    const known = this.visited.get(placed.hash)
    const visit = { words: placed.copy(), state, mustMatter }
    if (!known) {
      this.visited.set(placed.hash, [visit])
      return true
    }
    // What was reached without having to matter allows more.
    if (known.some((other) => (mustMatter || !other.mustMatter) && model.same(other.state, state) && placed.equals(other.words)))
      return false
    known.push(visit)
    return true
  }

  private path(): number[] {
    return this.frames.slice(1).map(({ placed }) => placed)
  }

  private keepLongest(): void {
    if (this.answersLeft >= this.longestLeft) return
    this.longestLeft = this.answersLeft
    this.longest = this.path()
    while (this.longest.length > 0 && this.operations[this.longest.at(-1)!]!.answer === null) this.longest.pop()
  }
}
