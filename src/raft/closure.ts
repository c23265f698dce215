import { assert, ErrorCode, Status } from './errors.js'

/** Called with the outcome of an asynchronous step, exactly once. */
export type Done = (status: Status) => void

/** What a caller hands over to be told the outcome (braft Closure). `run` is called exactly once. */
export abstract class Closure {
  abstract run(status: Status): void
}

/** A Closure from a function. */
export function closure(fn: Done): Closure {
  return { run: fn }
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
