import { assert, ErrorCode, Status } from './errors.js'

/** Called with the outcome of an asynchronous step, exactly once. */
export type Done = (status: Status) => void

/** What a caller hands over to be told the outcome (braft Closure). `run` is called exactly once. */
export abstract class Closure {
  /** Tells the outcome: OK, or what became of it instead. */
  abstract run(status: Status): void
}

/** A Closure from a function. */
export function closure(fn: Done): Closure {
  return { run: fn }
}

/**
 * A Closure that others wait for (braft SynchronizedClosure): whoever waits is called with the status, at once when it ran already.
 * Awaiting it is waiting too: `const status = await done`. `reset` makes it as new, for the next task; nobody may be waiting then.
 */
export class SynchronizedClosure extends Closure {
  private outcome: Status | null = null
  private waiting: Done[] = []

  /** Null as long as it was not run. */
  get status(): Status | null {
    return this.outcome
  }

  /** Keeps the status and tells all who wait. */
  override run(status: Status): void {
    assert(this.outcome === null, 'closure ran twice', { status: status.toString() })
    this.outcome = status
    const { waiting } = this
    this.waiting = []
    for (const done of waiting) done(status)
  }

  /** Calls `done` with the status: at once when it ran already. */
  wait(done: Done): void {
    if (this.outcome) done(this.outcome)
    else this.waiting.push(done)
  }

  /** As new, for the next task. Nobody may be waiting. */
  reset(): void {
    assert(this.waiting.length === 0, 'a closure that others wait for was reset', {})
    this.outcome = null
  }

  /** What `await` calls: it resolves with the status. */
  // biome-ignore lint/suspicious/noThenProperty: this is what makes it awaitable, in an engine that has no promises.
  then(resolve: Done): void {
    this.wait(resolve)
  }
}

/**
 * Runs a closure on every way out of a scope unless it was released (braft ClosureGuard).
 *
 *     using guard = new ClosureGuard(done)
 *     if (bad) { guard.status = Status.error(...); return }   // runs with that status
 *     later(guard.release())                                  // the new owner runs it
 */
export class ClosureGuard implements Disposable {
  status: Status = Status.error(ErrorCode.EINVAL, 'left without an answer')
  private closure: Closure | null

  constructor(done: Closure | null) {
    this.closure = done
  }

  /** Gives the closure away: the guard no longer runs it. */
  release(): Closure | null {
    const done = this.closure
    this.closure = null
    return done
  }

  /** The scope is left: the closure is run with `status`, unless it was released. */
  [Symbol.dispose](): void {
    this.release()?.run(this.status)
  }
}

/** Wraps a closure so that a second run is an assertion failure, not a silent double answer. */
export function once(done: Done): Done {
  let ran = false
  return (status) => {
    assert(!ran, 'closure ran twice', { status: status.toString() })
    ran = true
    done(status)
  }
}
