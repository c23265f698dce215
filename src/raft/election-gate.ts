import type { Executor } from './environment.js'

/** So many elections of one process go on at a time. */
export const ELECTIONS_MAX = 32

/** A place among the elections that go on, or in the queue for one. */
export interface ElectionPass {
  /** It is its turn. */
  readonly isOpen: boolean
  /** The election is over, or not wanted any more. Leaving twice is harmless. */
  leave(): void
}

interface Pass extends ElectionPass {
  isOpen: boolean
  readonly begin: () => void
}

/**
 * Lets few elections of the groups of one process go on at a time (Environment.elections).
 *
 * When a process dies, each other one has hundreds of groups that lost their leader at the same moment. All at once, none of their
 * votes would be counted before its time is up, and so on without end; a few at a time, each takes what it takes alone. Most of those
 * that wait never begin: another member was elected meanwhile.
 *
 * Whoever holds a pass leaves when its election is decided, and also when it is not decided in time: groups that cannot elect
 * anybody keep no other from it (Election).
 */
export class ElectionGate {
  private open = 0
  private readonly waiting = new Set<Pass>()

  constructor(private readonly executor: Executor) {}

  /** A pass that is open, or one that waits: then `begin` runs when it opens. */
  enter(begin: () => void): ElectionPass {
    const pass: Pass = { isOpen: this.open < ELECTIONS_MAX, begin, leave: () => this.leave(pass) }
    if (pass.isOpen) this.open++
    else this.waiting.add(pass)
    return pass
  }

  private leave(pass: Pass): void {
    if (!pass.isOpen) return void this.waiting.delete(pass)
    pass.isOpen = false
    const [next] = this.waiting
    if (!next) return void this.open--
    this.waiting.delete(next)
    next.isOpen = true
    // Whoever leaves is in the middle of something.
    this.executor.post(() => next.isOpen && next.begin(), 'election begins')
  }
}
