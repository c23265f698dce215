import type { Call, Executor } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { PeerId } from '../raft/peer-id.js'
import type { Faults } from './faults.js'

export interface TimedCallContext {
  readonly executor: Executor
  readonly faults: Faults
}

export interface TimedCallTarget {
  readonly to: PeerId
  readonly label: string
  readonly timeoutMs: number
}

export type Settle<R> = (status: Status, response?: R) => void

/**
 * A call to a peer that completes exactly once, on the executor: answered, or ETIMEDOUT. A fault may hold it back or let it run into
 * its deadline. `start` sends it; what it settles while the peer is cut off is not heard.
 */
export function timedCall<R>(
  { executor, faults }: TimedCallContext,
  { to, label, timeoutMs }: TimedCallTarget,
  start: (settle: Settle<R>) => Call,
  done: Settle<R>,
): Call {
  let settled = false
  let cancelled = false
  let underWay: Call | null = null
  let delay: NodeJS.Timeout | null = null
  const settle: Settle<R> = (status, response) => {
    if (settled) return
    settled = true
    clearTimeout(deadline)
    if (delay) clearTimeout(delay)
    underWay?.cancel()
    executor.post(() => !cancelled && done(status, response), label)
  }
  const deadline = setTimeout(() => settle(Status.error(ErrorCode.ETIMEDOUT, `no answer from ${to} within ${timeoutMs} ms`)), timeoutMs)
  const begin = () => {
    underWay = start((status, response) => faults.isCutFrom(to) || settle(status, response))
  }
  const delayMs = faults.delayTo(to)
  if (!faults.isCutTo(to) && !faults.loses(to)) {
    if (delayMs > 0) delay = setTimeout(() => settled || begin(), delayMs)
    else begin()
  }
  return {
    cancel: () => {
      cancelled = true
      settle(Status.error(ErrorCode.ECANCELED, 'cancelled'))
    },
  }
}
