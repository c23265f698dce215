import type { Executor } from '../raft/environment.js'

/** How long one turn may run before the event loop gets to look at sockets and files again. */
const TURN_BUDGET_MS = 5

/**
 * Runs what was posted, in order, once per turn of the event loop (its check phase: right after the I/O of the turn, so
 * what arrived together is handled together).
 *
 * Invariants
 * - Nothing runs from inside `post`.
 * - One function at a time, in order of posting.
 */
export class EventLoopExecutor implements Executor {
  private queue: (() => void)[] = []
  private head = 0
  private scheduled = false

  post(fn: () => void, _label: string): void {
    this.queue.push(fn)
    if (this.scheduled) return
    this.scheduled = true
    setImmediate(this.drain)
  }

  /** How many functions wait. */
  get waiting(): number {
    return this.queue.length - this.head
  }

  private readonly drain = (): void => {
    const end = performance.now() + TURN_BUDGET_MS
    try {
      while (this.head < this.queue.length) {
        const fn = this.queue[this.head++]!
        fn()
        if ((this.head & 31) === 0 && performance.now() > end) break
      }
    } finally {
      if (this.head > 0) this.compact()
      this.scheduled = this.queue.length > 0
      if (this.scheduled) setImmediate(this.drain)
    }
  }

  private compact(): void {
    this.queue = this.head === this.queue.length ? [] : this.queue.slice(this.head)
    this.head = 0
  }
}
