import type { Timer } from './environment.js'
import type { EntryBatch } from './log-entry.js'
import type { Answer, AppendEntriesRequest, AppendEntriesResponse } from './messages.js'
import type { NodeImpl } from './node-impl.js'
import type { LogIndex } from './types.js'

interface Held {
  readonly request: AppendEntriesRequest
  readonly entries: EntryBatch
  readonly answer: Answer<AppendEntriesResponse>
  readonly receivedAt: number
}

/**
 * Requests with entries that came before those that they follow (braft AppendEntriesCache): a braft leader with several calls under
 * way at a time does not keep their order, and would begin anew with each refusal. Our own streams are ordered.
 *
 * Invariants
 * - at most `size` requests, in the order of the log, none of which overlap.
 * - whatever is let go is handled once more, without the cache: every answer runs once.
 * - none is held for longer than T/4.
 */
export class AppendCache {
  private held: Held[] = []
  private timer: Timer | null = null

  constructor(
    private readonly node: NodeImpl,
    private readonly size: number,
    private readonly handle: (request: AppendEntriesRequest, answer: Answer<AppendEntriesResponse>) => void,
  ) {}

  /** False: there is nothing to wait for, and it must be answered now. */
  keep(request: AppendEntriesRequest, answer: Answer<AppendEntriesResponse>): boolean {
    const { entries, prevLogIndex } = request
    if (this.size === 0 || !entries || prevLogIndex <= this.node.log.lastIndex) return false
    // Sent again: those before were given up by their sender.
    const overlaps = this.held.some((other) => other.request.prevLogIndex < entries.lastIndex && prevLogIndex < other.entries.lastIndex)
    if (overlaps) this.release()
    this.held.push({ request, entries, answer, receivedAt: this.node.env.clock.now() })
    this.held.sort((a, b) => a.request.prevLogIndex - b.request.prevLogIndex)
    if (this.held.length > this.size) this.letGo(this.held.splice(this.size))
    if (!this.timer) this.arm()
    return true
  }

  /** The log goes up to `last` now: whatever follows has its turn. */
  onAppended(last: LogIndex): void {
    let end = last
    let count = 0
    for (const { request, entries } of this.held) {
      if (request.prevLogIndex > end) break
      end = entries.lastIndex
      count++
    }
    this.letGo(this.held.splice(0, count))
  }

  /** Nothing is waited for any more. */
  release(): void {
    this.letGo(this.held.splice(0))
  }

  private letGo(held: readonly Held[]): void {
    if (this.held.length === 0) this.stopTimer()
    for (const { request, answer } of held) this.node.env.executor.post(() => this.handle(request, answer), 'append-cache')
  }

  private get timeoutMs(): number {
    return Math.max(this.node.electionTimeoutMs / 4, 1)
  }

  private arm(): void {
    const { clock } = this.node.env
    const oldest = Math.min(...this.held.map(({ receivedAt }) => receivedAt))
    const delayMs = Math.max(oldest + this.timeoutMs - clock.now(), 1)
    this.timer = clock.schedule(delayMs, () => this.onTimer(), 'append-cache')
  }

  private onTimer(): void {
    this.timer = null
    const now = this.node.env.clock.now()
    if (this.held.some(({ receivedAt }) => now - receivedAt >= this.timeoutMs)) this.release()
    if (this.held.length > 0) this.arm()
  }

  private stopTimer(): void {
    this.timer?.cancel()
    this.timer = null
  }
}
