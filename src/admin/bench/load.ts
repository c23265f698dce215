import { setMaxListeners } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { KvClientError } from '../../machines/kv/client.js'
import type { Meter, OperationName } from './meter.js'

export interface Operation {
  readonly name: OperationName
  perform(): Promise<unknown>
}

export interface LoadOptions {
  /** Operations in flight at most. */
  readonly clients: number
  /** Per second; null: each client sends when it was answered. */
  readonly rate: number | null
  readonly durationMs: number | null
  readonly operations: number | null
  readonly signal: AbortSignal
}

/** After a failure, so that a cluster which is away is not asked as fast as this machine can. */
const AFTER_FAILURE_MS = 50

/**
 * Sends operations and times them. With a rate each is due at its own time, and one that is sent late because all clients still
 * wait is timed from when it was due: what a stall delays counts, as it would for those who asked (no coordinated omission).
 */
export class Load {
  private begun = 0
  private startedAt = 0
  private abortedAt = Number.POSITIVE_INFINITY
  /** Why operations fail, if all do. */
  lastError: unknown = null

  constructor(
    private readonly options: LoadOptions,
    private readonly next: (client: number) => Operation,
    private readonly meter: Meter,
  ) {}

  /** Resolves when all operations that were begun have ended. */
  async run(): Promise<void> {
    const { clients, signal } = this.options
    // Each client that waits for its time listens.
    setMaxListeners(clients + 2, signal)
    const onAbort = () => (this.abortedAt = performance.now())
    signal.addEventListener('abort', onAbort)
    this.startedAt = performance.now()
    await Promise.all(Array.from({ length: clients }, (_, client) => this.client(client)))
    signal.removeEventListener('abort', onAbort)
  }

  /** Of those that were due by the end. All clients were busy with others: their time is in no percentile. */
  get notSent(): number {
    const { rate, durationMs, operations } = this.options
    if (rate === null) return 0
    const lasted = Math.min(this.abortedAt - this.startedAt, durationMs ?? Number.POSITIVE_INFINITY)
    const due = Math.min(Math.ceil((lasted * rate) / 1000), operations ?? Number.POSITIVE_INFINITY)
    return Number.isFinite(due) ? Math.max(0, due - this.begun) : 0
  }

  /** From 0 to 1. */
  get share(): number {
    const { operations, durationMs } = this.options
    if (operations !== null) return this.begun / operations
    return Math.min(1, (performance.now() - this.startedAt) / (durationMs ?? 1))
  }

  private async client(client: number): Promise<void> {
    const { rate, operations, signal } = this.options
    while (!signal.aborted && !this.isOver(performance.now())) {
      if (operations !== null && this.begun >= operations) return
      const dueAt = rate === null ? null : this.startedAt + (this.begun * 1000) / rate
      this.begun++
      const from = await this.whenDue(dueAt)
      if (from === null) return
      await this.send(this.next(client), from)
    }
  }

  /** From when the operation counts; null when the end comes first. */
  private async whenDue(dueAt: number | null): Promise<number | null> {
    const now = performance.now()
    if (dueAt === null) return now
    if (dueAt <= now) return dueAt
    if (this.isOver(dueAt)) return null
    await pause(dueAt - now, undefined, { signal: this.options.signal }).catch(() => {})
    // A client that waited for the time is late by its own timer only, for which the cluster is not to blame.
    return this.options.signal.aborted ? null : performance.now()
  }

  private isOver(now: number): boolean {
    const { durationMs } = this.options
    return durationMs !== null && now - this.startedAt >= durationMs
  }

  private async send({ name, perform }: Operation, from: number): Promise<void> {
    try {
      await perform()
      const now = performance.now()
      this.meter.answered(name, now - from, now)
    } catch (error) {
      if (!(error instanceof KvClientError)) throw error
      this.lastError = error
      this.meter.failure(error.code, error.message, performance.now())
      await pause(AFTER_FAILURE_MS)
    }
  }
}
