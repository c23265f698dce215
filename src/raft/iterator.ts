import type { Closure } from './closure.js'
import type { ClosureQueue } from './closure-queue.js'
import { AssertionError, assert, ErrorCode, Status } from './errors.js'
import type { EntryBatch } from './log-entry.js'
import type { Iterator } from './raft.js'
import { type LogIndex, NO_INDEX, plus, type Term } from './types.js'

/**
 * Walks the state machine over a run of committed tasks. FSMCaller owns the only one and points it at one run after the
 * other; between `begin` and `end` it belongs to `StateMachine.onApply`.
 *
 * A closure that the machine takes is the machine's to run. Those it leaves are run by `end`: with OK when their task
 * happened, with the error when it did not.
 */
export class BatchIterator implements Iterator {
  private batch: EntryBatch | null = null
  private first: LogIndex = NO_INDEX
  private last: LogIndex = NO_INDEX
  private current: LogIndex = NO_INDEX
  private newest: LogIndex = NO_INDEX
  private closure: Closure | null = null
  private taken = false
  /** Closures that the machine left, and where each belongs. */
  private left: Closure[] = []
  private leftAt: LogIndex[] = []
  private error: Status | null = null

  constructor(private readonly closures: ClosureQueue) {}

  /** The first task that did not happen; one more than the last when all did. */
  get position(): LogIndex {
    return this.current
  }

  /** The newest task that the machine has seen: closures up to here are out of the queue. */
  get reached(): LogIndex {
    return this.newest
  }

  begin(batch: EntryBatch, first: LogIndex, last: LogIndex): void {
    this.batch = batch
    this.first = first
    this.last = last
    this.error = null
    this.enter(first)
  }

  valid(): boolean {
    return this.error === null && this.current <= this.last
  }

  next(): void {
    if (!this.valid()) throw new AssertionError(`iterated past the end, at ${this.current}`)
    this.leave()
    this.enter(plus(this.current, 1))
  }

  index(): LogIndex {
    return this.current
  }

  term(): Term {
    return this.entries.termAt(this.current)
  }

  data(): Buffer {
    return this.entries.dataAt(this.current)
  }

  done(): Closure | null {
    this.taken = true
    return this.closure
  }

  setErrorAndRollback(ntail: number, status: Status): void {
    assert(this.error === null, 'rolled back twice', { index: this.current })
    const taken = this.valid() ? plus(this.current, 1) : this.current
    assert(Number.isSafeInteger(ntail) && ntail >= 1 && taken - ntail >= this.first, 'rolled back what was not taken', {
      ntail,
      first: this.first,
      taken,
    })
    this.leave()
    this.current = plus(taken, -ntail)
    this.error = Status.error(ErrorCode.ESTATEMACHINE, `the state machine gave up at entry ${this.current}: ${status.message}`)
  }

  /**
   * Closes the run and answers what went wrong, or null: what the machine said, what it threw, or that it stopped before
   * the end. Closures that the machine left are run, those of the tasks that did not happen with the error.
   */
  end(thrown: Status | null): Status | null {
    const stopped = this.valid()
      ? Status.error(ErrorCode.ESTATEMACHINE, `the state machine left entry ${this.current} and what follows`)
      : null
    const error = this.error ?? thrown ?? stopped
    this.leave()
    this.batch = null
    if (this.left.length > 0) this.runLeft(error)
    return error
  }

  private get entries(): EntryBatch {
    assert(this.batch, 'an iterator is only good during onApply')
    return this.batch
  }

  private enter(index: LogIndex): void {
    this.current = index
    this.taken = false
    if (index > this.last) return
    this.newest = index
    this.closure = this.closures.pop(index)
  }

  private leave(): void {
    if (this.closure && !this.taken) {
      this.left.push(this.closure)
      this.leftAt.push(this.current)
    }
    this.closure = null
  }

  private runLeft(error: Status | null): void {
    const { left, leftAt } = this
    this.left = []
    this.leftAt = []
    for (let i = 0; i < left.length; i++) left[i]!.run(error && leftAt[i]! >= this.current ? error : Status.OK)
  }
}
