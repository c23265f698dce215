import type { Clock, Timer } from '../../raft/environment.js'
import type { ReadMode } from '../../raft/messages.js'
import { GrpcStatus, KvFailure } from './failure.js'
import { CALL_TIMEOUT_MAX_MS, type SessionStamp } from './sessions.js'

/** For a call whose caller set no deadline. */
export const CALL_TIMEOUT_DEFAULT_MS = 5000
/** Calls waiting in one member, for a leader or an outcome; more are refused. */
export const CALLS_MAX = 65_536
const TICK_MS = 20

/** What a member knows about a call besides the request. */
export interface CallContext {
  /** Null when the client does not name itself. */
  readonly session: SessionStamp | null
  /** What is left of the caller's deadline; null when it set none. */
  readonly timeoutMs: number | null
  /** It came from another member, or asked for this member alone: it is answered here or refused. */
  readonly forwarded: boolean
  /** How a linearizable read is made sure of; a round of answers unless said otherwise. */
  readonly readMode?: ReadMode
  /** What travels on when the call is forwarded. */
  readonly metadata?: Readonly<Record<string, string>>
  /** The caller is gone: nobody reads the answer. */
  isCancelled?(): boolean
}

/** Exactly one of the two is not null. */
export type Reply<R> = (failure: KvFailure | null, response: R | null) => void

/** A call under way in this member. */
export interface PendingCall {
  /** On the clock: when it has to be answered, a little before the caller gives up. */
  readonly answerBy: number
  /** The time is over. */
  expire(): void
  /** It waits for a leader: try again. */
  retry(): void
}

/** When a call that arrives now has to be answered. */
export function answerBy(clock: Clock, timeoutMs: number | null): number {
  const timeout = Math.min(timeoutMs ?? CALL_TIMEOUT_DEFAULT_MS, CALL_TIMEOUT_MAX_MS)
  return clock.now() + timeout - Math.min(100, Math.max(5, timeout / 10))
}

/**
 * Every call that this member has not answered yet, with one timer for all of them.
 *
 * A call is added when it cannot be answered at once and removed when it is answered. While any is here a tick every
 * TICK_MS expires those that are due and retries those that wait for a leader.
 */
export class PendingCalls {
  private readonly byTick = new Map<number, Set<PendingCall>>()
  private readonly waiting = new Set<PendingCall>()
  private count = 0
  private timer: Timer | null = null
  private onDrained: (() => void) | null = null

  constructor(private readonly clock: Clock) {}

  get size(): number {
    return this.count
  }

  /** Null when there is room for one more. */
  checkRoom(): KvFailure | null {
    if (this.count < CALLS_MAX) return null
    return new KvFailure(GrpcStatus.RESOURCE_EXHAUSTED, 'E_BUSY', `${CALLS_MAX} calls are waiting in this member: send less at once`, 'no')
  }

  add(call: PendingCall): void {
    const tick = tickOf(call.answerBy)
    let calls = this.byTick.get(tick)
    if (calls === undefined) this.byTick.set(tick, (calls = new Set()))
    calls.add(call)
    this.count++
    this.timer ??= this.clock.schedule(TICK_MS, () => this.tick(), 'kv-calls')
  }

  remove(call: PendingCall): void {
    this.waiting.delete(call)
    const tick = tickOf(call.answerBy)
    const calls = this.byTick.get(tick)
    if (!calls?.delete(call)) return
    this.count--
    if (calls.size === 0) this.byTick.delete(tick)
    if (this.count === 0) this.onDrained?.()
  }

  /** Retried at every tick and whenever leadership changed, until it is removed or retried. */
  wait(call: PendingCall): void {
    if (this.onDrained) call.expire()
    else this.waiting.add(call)
  }

  /** There will be no leader here any more: ends what waits for one, and answers once what is under way is answered, or the time is over. */
  drain(timeoutMs: number, done: () => void): void {
    const timer = this.clock.schedule(timeoutMs, () => this.onDrained?.(), 'kv-calls.drain')
    let isTold = false
    this.onDrained = () => {
      timer.cancel()
      if (!isTold) done()
      isTold = true
    }
    for (const call of [...this.waiting]) call.expire()
    if (this.count === 0) this.onDrained()
  }

  retryWaiting(): void {
    const calls = [...this.waiting]
    this.waiting.clear()
    for (const call of calls) call.retry()
  }

  /** Ends every call; no further timer runs until one is added. */
  expireAll(): void {
    for (const calls of [...this.byTick.values()]) for (const call of [...calls]) call.expire()
    this.timer?.cancel()
    this.timer = null
  }

  private tick(): void {
    this.timer = null
    const now = this.clock.now()
    for (const [tick, calls] of [...this.byTick]) {
      if (tick * TICK_MS > now) continue
      for (const call of [...calls]) call.expire()
    }
    this.retryWaiting()
    if (this.count > 0) this.timer ??= this.clock.schedule(TICK_MS, () => this.tick(), 'kv-calls')
  }
}

function tickOf(atMs: number): number {
  return Math.floor(atMs / TICK_MS)
}
