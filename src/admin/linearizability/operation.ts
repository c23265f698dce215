/** One operation as its client saw it. All times of a history are of one clock, in milliseconds. */
export interface Operation<C, A> {
  readonly client: string
  /** Operations on different keys do not touch each other: each key is judged by itself. */
  readonly key: string
  readonly call: C
  readonly calledAt: number
  /** Null: the outcome is not known. It took effect at any time after it was called, or never. */
  readonly answer: A | null
  /** Infinity without an answer. */
  readonly answeredAt: number
  /**
   * What the server said about its place in the history: of two operations on a key that have one, the lower took effect first.
   * Equal ones may have come in either order.
   */
  readonly order: number | null
}

/** An operation whose outcome is written into it when it is known. */
type Begun<C, A> = { -readonly [K in keyof Operation<C, A>]: Operation<C, A>[K] }

/** An operation under way. Exactly one of its methods is called, or none: then its outcome is unknown. */
export interface PendingOperation<A> {
  answered(answer: A, order?: number | null): void
  /** It certainly had no effect, and told nothing. */
  failed(): void
}

/**
 * Writes down what clients do. No two moments in it are equal, so that what happened one after the other in this process
 * counts as one after the other.
 */
export class HistoryRecorder<C, A> {
  private readonly open = new Set<Begun<C, A>>()
  private readonly ended: Operation<C, A>[] = []
  private last = -Infinity

  /** `now`: a monotonic clock in milliseconds. */
  constructor(private readonly now: () => number) {}

  begin(client: string, key: string, call: C): PendingOperation<A> {
    const begun: Begun<C, A> = { client, key, call, calledAt: this.moment(), answer: null, answeredAt: Infinity, order: null }
    this.open.add(begun)
    return {
      answered: (answer, order = null) => {
        if (!this.open.delete(begun)) return
        begun.answer = answer
        begun.answeredAt = this.moment()
        begun.order = order
        this.ended.push(begun)
      },
      failed: () => {
        this.open.delete(begun)
      },
    }
  }

  /** Everything so far, in the order of the calls; what is not answered yet counts as unknown. */
  operations(): Operation<C, A>[] {
    // Copies: an answer may still come, and change nothing that was handed out.
    const unknown = Array.from(this.open, (begun) => ({ ...begun }))
    return [...this.ended, ...unknown].sort((a, b) => a.calledAt - b.calledAt)
  }

  private moment(): number {
    const now = this.now()
    this.last = now > this.last ? now : this.last + STEP_MS
    return this.last
  }
}

/** Less than any clock here resolves, and enough to count at the size of a month in milliseconds. */
const STEP_MS = 1e-6

/** For a person. Microseconds: less is no difference that a clock showed. */
export function moment(ms: number): string {
  return ms.toFixed(3)
}
