import type { Clock, Executor, Timer } from '../raft/environment.js'

/** A timer may be late by this part of its delay: those of thousands of groups share moments, where each would wake the process. */
const SLACK = 1 / 64

interface Entry {
  readonly at: number
  readonly order: number
  readonly label: string
  fn: (() => void) | null
  /** It was due and left the heap; the executor has not run it yet. */
  due: boolean
}

/**
 * Monotonic time and every engine timer of the process, on one real timer.
 *
 * Owns a heap of what is scheduled. Election timers are re-armed at every contact, so cancelling only empties the entry;
 * the heap is swept when most of it is empty. Callbacks run on the executor.
 */
export class ProductionClock implements Clock {
  private heap: Entry[] = []
  private cancelled = 0
  private order = 0
  private timer: NodeJS.Timeout | null = null
  private wakeAt = Number.POSITIVE_INFINITY

  constructor(private readonly executor: Executor) {}

  now(): number {
    return performance.now()
  }

  /** How long to really wait until `delayMs` have passed on this clock. */
  protected realDelay(delayMs: number): number {
    return delayMs
  }

  /** What is due is looked at anew: the clock does not go as it did. */
  protected rearm(): void {
    if (this.timer) clearTimeout(this.timer)
    this.timer = null
    this.wakeAt = Number.POSITIVE_INFINITY
    this.arm()
  }

  schedule(delayMs: number, fn: () => void, label: string): Timer {
    const entry: Entry = { at: momentFor(this.now(), delayMs), order: this.order++, label, fn, due: false }
    this.push(entry)
    this.arm()
    return { cancel: () => this.cancel(entry) }
  }

  /** How many timers are pending. */
  get pending(): number {
    return this.heap.length - this.cancelled
  }

  /** Drops every timer: nothing of this clock keeps the process alive. */
  stop(): void {
    if (this.timer) clearTimeout(this.timer)
    this.timer = null
    this.wakeAt = Number.POSITIVE_INFINITY
    for (const entry of this.heap) entry.fn = null
    this.heap = []
    this.cancelled = 0
  }

  private cancel(entry: Entry): void {
    if (!entry.fn) return
    entry.fn = null
    if (entry.due) return
    this.cancelled++
    if (this.cancelled > 64 && this.cancelled * 2 > this.heap.length) this.sweep()
  }

  private fire(): void {
    this.timer = null
    this.wakeAt = Number.POSITIVE_INFINITY
    const now = this.now()
    for (let top = this.heap[0]; top && (top.fn === null || top.at <= now); top = this.heap[0]) {
      this.pop()
      if (top.fn === null) this.cancelled--
      else this.post(top)
    }
    this.arm()
  }

  /** The entry stays cancellable until the executor gets to it. */
  private post(entry: Entry): void {
    entry.due = true
    this.executor.post(() => {
      const fn = entry.fn
      entry.fn = null
      fn?.()
    }, entry.label)
  }

  private arm(): void {
    const top = this.heap[0]
    if (!top || this.wakeAt <= top.at) return
    if (this.timer) clearTimeout(this.timer)
    this.wakeAt = top.at
    this.timer = setTimeout(() => this.fire(), Math.max(1, Math.ceil(this.realDelay(top.at - this.now()))))
  }

  private sweep(): void {
    const live = this.heap.filter((entry) => entry.fn !== null)
    this.heap = []
    this.cancelled = 0
    for (const entry of live) this.push(entry)
  }

  private push(entry: Entry): void {
    const heap = this.heap
    let i = heap.push(entry) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(entry, heap[parent]!)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = entry
  }

  private pop(): void {
    const heap = this.heap
    const last = heap.pop()!
    if (heap.length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
  }
}

/** Never before `delayMs` have passed; of long delays the next of those moments that others wait for too. */
export function momentFor(now: number, delayMs: number): number {
  const at = now + Math.max(0, delayMs)
  const gridMs = 2 ** Math.floor(Math.log2(delayMs * SLACK))
  return gridMs > 1 && gridMs < Number.POSITIVE_INFINITY ? Math.ceil(at / gridMs) * gridMs : at
}

function before(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
