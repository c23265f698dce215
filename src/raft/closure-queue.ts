import type { Closure } from './closure.js'
import { AssertionError, assert } from './errors.js'
import { type LogIndex, NO_INDEX, plus } from './types.js'

/** Popped slots are given back once this many have gathered at the front. */
const COMPACT_AT = 1024

/**
 * The closures of what was proposed here in this leadership, by index, with null where nobody waits.
 *
 * Owns them until they are popped or cleared. NodeImpl pushes and clears, FSMCaller pops in log order.
 * Invariant: slots cover consecutive indexes; each closure leaves exactly once.
 */
export class ClosureQueue {
  private slots: (Closure | null)[] = []
  private head = 0
  private first: LogIndex = NO_INDEX

  /** How many proposals have not been popped yet. */
  get length(): number {
    return this.slots.length - this.head
  }

  /** The next push belongs to `index`. The queue must be empty. */
  resetFirst(index: LogIndex): void {
    assert(this.length === 0, 'closures of an earlier leadership are still here', { first: this.first, length: this.length })
    this.slots = []
    this.head = 0
    this.first = index
  }

  /** One slot for each proposal, null for those without a closure. */
  push(closures: readonly (Closure | null)[]): void {
    assert(this.first !== NO_INDEX, 'pushed before the first index is known')
    for (const closure of closures) this.slots.push(closure)
  }

  /** Takes the closure of `index`; null when there is none, or when it was not proposed in this leadership. */
  pop(index: LogIndex): Closure | null {
    if (this.length === 0 || index < this.first) return null
    // Not assert(): this runs for every entry, and the context object would be made every time.
    if (index !== this.first) throw new AssertionError(`a closure would be passed over: ${index} asked for, ${this.first} is first`)
    const closure = this.slots[this.head]!
    this.slots[this.head++] = null
    this.first = plus(index, 1)
    if (this.head === this.slots.length || this.head >= COMPACT_AT) this.compact()
    return closure
  }

  /** Takes all that are left, in order. */
  clear(): Closure[] {
    const left = this.slots.slice(this.head).filter((closure) => closure !== null)
    this.first = plus(this.first, this.length)
    this.slots = []
    this.head = 0
    return left
  }

  private compact(): void {
    if (this.length > this.head) return
    this.slots.splice(0, this.head)
    this.head = 0
  }
}
