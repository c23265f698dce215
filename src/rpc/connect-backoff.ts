import { Status } from '../raft/errors.js'

const INITIAL_MS = 20
const MAX_MS = 200

/** After a failed attempt to connect, calls fail at once for a while that doubles from failure to failure. */
export class ConnectBackoff {
  private failures = 0
  private closedUntil = 0
  private lastFailure = Status.OK

  /** Why nothing is tried now; null when it may be. */
  get refusal(): Status | null {
    return performance.now() < this.closedUntil ? this.lastFailure : null
  }

  failed(why: Status): void {
    this.lastFailure = why
    this.closedUntil = performance.now() + Math.min(INITIAL_MS * 2 ** this.failures, MAX_MS)
    this.failures++
  }

  reset(): void {
    this.closedUntil = 0
    this.failures = 0
  }
}
