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
/** How much a new measurement of a commit counts. */
const WEIGHT = 0.1
/** A way of going on is judged by so many commits, after the first few, which still show the other way. */
const TRIAL_COMMITS = 16
const SETTLING_COMMITS = 4
/** The way that was found slower is tried again after so many trials of the other, twice as many each time that it is slower. */
const REST_MAX = 64

/** What tasks wait from their coming to their commit, on average, where they gather and where they do not; null: not known. */
interface Latencies {
  gathered: number | null
  plain: number | null
}

/**
 * Decides whether tasks wait for others, so that callers who ask again once they are answered share one batch.
 *
 * Left to themselves they fall apart into halves, each of which comes while another is being written: more writes, more
 * requests, and everybody waits for the half before. So while tasks are under way those that come wait until these are
 * committed and whoever was answered has come back. Callers who come when they like would wait for nothing: so both ways are
 * tried, and the one goes on by which tasks are committed sooner. Where the own disk is not what commits wait for, nothing waits.
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
  private timer: Timer | null = null
  private isOver = false
  private way: keyof Latencies = 'gathered'
  private readonly latencies: Latencies = { gathered: null, plain: null }
  private commits = 0
  private tasks = 0
  private latencySum = 0
  private isTrial = false
  private rest = 1
  private untilTrial = 1

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
    if (this.isOver || this.way === 'plain' || this.durableMs <= this.commitMs * DISK_SHARE) return false
    if (this.flying === 0 ? !this.areOthersExpected() : this.flying < TASKS_MIN) return false
    this.timer ??= this.clock.schedule(this.patienceMs, () => this.end(), 'gathering')
    return true
  }

  onProposed(count: number): void {
    this.letGo()
    this.flying += count
  }

  /** What waited is not waited with any more. */
  letGo(): void {
    this.timer?.cancel()
    this.timer = null
    this.isOver = false
  }

  /**
   * `count` tasks were committed, the newest batch of them after `ms`, `durableMs` of which until it was durable here (null: it is
   * not yet). `latency`: what those of that batch have waited since they came, on average.
   */
  onCommitted(count: number, ms: number, durableMs: number | null, latency: number): void {
    this.commitMs += (ms - this.commitMs) * WEIGHT
    this.durableMs += ((durableMs ?? ms) - this.durableMs) * WEIGHT
    this.flying -= count
    this.answered = count
    this.back = 0
    this.answeredAt = this.clock.now()
    if (this.flying >= TASKS_MIN || count >= TASKS_MIN) this.judge(count, latency)
  }

  /** Leadership is gone: nothing is under way any more. */
  reset(): void {
    this.letGo()
    this.flying = 0
    this.answered = 0
  }

  private areOthersExpected(): boolean {
    if (this.answered < TASKS_MIN || this.back >= this.answered * BACK_SHARE) return false
    return this.timer !== null || this.clock.now() - this.answeredAt < this.patienceMs
  }

  private judge(count: number, latency: number): void {
    if (++this.commits <= SETTLING_COMMITS) return
    this.tasks += count
    this.latencySum += count * latency
    if (this.commits < SETTLING_COMMITS + TRIAL_COMMITS) return
    this.latencies[this.way] = this.latencySum / this.tasks
    this.commits = 0
    this.tasks = 0
    this.latencySum = 0
    this.choose()
  }

  private choose(): void {
    const { gathered, plain } = this.latencies
    const other = this.way === 'plain' ? 'gathered' : 'plain'
    if (gathered === null || plain === null) {
      this.way = other
      return
    }
    const better = gathered < plain ? 'gathered' : 'plain'
    if (this.isTrial) {
      this.isTrial = false
      this.rest = better === this.way ? 1 : Math.min(this.rest * 2, REST_MAX)
      this.untilTrial = this.rest
      this.way = better
    } else if (better === this.way && --this.untilTrial > 0) {
      this.commits = SETTLING_COMMITS
    } else {
      this.isTrial = true
      this.way = other
    }
  }

  private get patienceMs(): number {
    return Math.min(Math.max(this.commitMs * PATIENCE, PATIENCE_MIN_MS), PATIENCE_MAX_MS)
  }

  private end(): void {
    this.timer = null
    this.isOver = true
    this.over()
  }
}
