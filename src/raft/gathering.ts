import type { Clock, Timer } from './environment.js'

/** With fewer than this many on their way there is nothing to gather. */
const TASKS_MIN = 4
/** Of those who were answered together, so many must be back. */
const BACK_SHARE = 0.9
/** Waiting ends after so many times what a commit takes, within bounds. */
const PATIENCE = 2
const PATIENCE_MIN_MS = 1
const PATIENCE_MAX_MS = 50
/** The own disk takes at least this share of a commit, or a round trip costs more than a write saves. */
const DISK_SHARE = 0.5
/** How much a new measurement counts. */
const WEIGHT = 0.1
/** After waiting in vain again and again, at most so many batches do not wait. */
const SKIP_MAX = 256

/**
 * Decides whether tasks wait for others, so that callers who ask again once they are answered share one batch.
 *
 * Left to themselves they fall apart into halves, each of which comes while another is being written: more writes, more
 * requests, and everybody waits for the half before. So while tasks are under way those that come wait until these are
 * committed and whoever was answered has come back. Where the own disk is not what commits wait for, nothing waits; where
 * nobody comes back waiting stops, for twice as many batches each time.
 *
 * It only delays: what waits was not promised anything. (PostgreSQL's commit_delay, without a time to be set.)
 */
export class Gathering {
  private flying = 0
  /** Of the newest commit, and how many have come since. */
  private answered = 0
  private back = 0
  private answeredAt = Number.NEGATIVE_INFINITY
  private durableMs = 0
  private commitMs = 0
  private skip = 0
  private skipNext = 1
  private timer: Timer | null = null
  private isOver = false

  constructor(
    private readonly clock: Clock,
    /** The wait is over although nothing happened. */
    private readonly over: () => void,
  ) {}

  onTask(): void {
    this.back++
  }

  /** Whether the tasks that came go on waiting: ask again when there is news. */
  waits(): boolean {
    if (this.isOver || this.skip > 0 || this.durableMs <= this.commitMs * DISK_SHARE) return false
    if (this.flying === 0 && !this.areOthersExpected()) return false
    if (this.flying > 0 && this.flying < TASKS_MIN) return false
    this.timer ??= this.clock.schedule(this.patienceMs, () => this.end(), 'gathering')
    return true
  }

  onProposed(count: number): void {
    this.timer?.cancel()
    this.timer = null
    this.isOver = false
    if (this.skip > 0) this.skip--
    this.flying += count
  }

  /** `count` tasks were committed, the newest after `ms`. Null: they are not durable here yet. */
  onCommitted(count: number, ms: number, durableMs: number | null): void {
    this.commitMs += (ms - this.commitMs) * WEIGHT
    this.durableMs += ((durableMs ?? ms) - this.durableMs) * WEIGHT
    this.flying -= count
    this.answered = count
    this.back = 0
    this.answeredAt = this.clock.now()
  }

  /** Leadership is gone: nothing is under way any more. */
  reset(): void {
    this.timer?.cancel()
    this.timer = null
    this.isOver = false
    this.flying = 0
    this.answered = 0
  }

  private areOthersExpected(): boolean {
    if (this.answered < TASKS_MIN) return false
    if (this.back < this.answered * BACK_SHARE) return this.timer !== null || this.clock.now() - this.answeredAt < this.patienceMs
    if (this.timer) this.skipNext = 1
    return false
  }

  private get patienceMs(): number {
    return Math.min(Math.max(this.commitMs * PATIENCE, PATIENCE_MIN_MS), PATIENCE_MAX_MS)
  }

  private end(): void {
    this.timer = null
    this.isOver = true
    this.skip = this.skipNext
    this.skipNext = Math.min(this.skipNext * 2, SKIP_MAX)
    this.over()
  }
}
