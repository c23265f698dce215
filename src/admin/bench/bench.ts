import { KvClient, KvClientError } from '../../machines/kv/client.js'
import type { Connection } from '../../terminal/connection.js'
import { kvError } from '../key-value.js'
import { KeySpace } from './keys.js'
import { Load, type Operation } from './load.js'
import { Meter } from './meter.js'
import type { BenchOptions } from './options.js'

export type BenchPhase = 'filling' | 'warming up' | 'measuring' | 'cleaning up'

export interface BenchProgress {
  readonly phase: BenchPhase
  /** From 0 to 1. */
  readonly share: number
  readonly perSecond: number
  readonly p99Ms: number | null
  readonly errors: number
}

/** What became of the keys that were written. */
export interface KeysAfter {
  /** Null when their removal was not answered. */
  readonly removed: number | null
  /** Null when nobody could be asked. */
  readonly left: number | null
}

/** Whoever waits for the end of it. */
export interface BenchWatch {
  /** Ends it early. */
  readonly signal: AbortSignal
  readonly onProgress: (progress: BenchProgress) => void
}

const PROGRESS_MS = 500
const FILL_CLIENTS = 32

/** The clients of a benchmark, and what each of them sends next. Owns its connections; dispose of it. */
export class Bench implements Disposable {
  private readonly clients: KvClient[]
  private readonly space: KeySpace
  private readonly value: Buffer
  private readonly meter = new Meter()
  private filled = 0
  private written = false
  keys: KeysAfter = { removed: 0, left: 0 }

  constructor(
    connection: Connection,
    endpoints: readonly string[],
    private readonly options: BenchOptions,
    private readonly watch: BenchWatch,
  ) {
    const { timeoutMs, connectTimeoutMs, clusterId, group, direct } = connection
    this.space = new KeySpace(options)
    this.value = Buffer.alloc(options.valueBytes, 'v')
    this.clients = Array.from({ length: options.connections }, (_, i) => {
      const first = options.spread ? i % endpoints.length : 0
      const ordered = [...endpoints.slice(first), ...endpoints.slice(0, first)]
      return new KvClient({ endpoints: direct ? connection.endpoints : ordered, timeoutMs, connectTimeoutMs, clusterId, group, direct })
    })
  }

  [Symbol.dispose](): void {
    for (const client of this.clients) client.close()
  }

  /** Whatever happens, the keys are removed after it unless they are to stay. */
  async measure(): Promise<{ readonly meter: Meter; readonly cpu: number; readonly notSent: number }> {
    const { workload, durationMs, operations, rate, clients, warmupMs } = this.options
    try {
      if (workload === 'get' || workload === 'mixed') await this.fill()
      if (workload !== 'fill' && warmupMs > 0) await this.perform('warming up', { clients, rate, durationMs: warmupMs, operations: null })
      this.meter.start(performance.now())
      const cpu = process.cpuUsage()
      const startedAt = performance.now()
      const load = await this.perform('measuring', { clients, rate, durationMs, operations })
      if (durationMs !== null && !this.watch.signal.aborted) this.meter.endAt(startedAt + durationMs)
      const { user, system } = process.cpuUsage(cpu)
      if (this.meter.count === 0 && load.lastError instanceof KvClientError) throw kvError(load.lastError)
      const cpuShare = (user + system) / 1000 / Math.max(1, performance.now() - startedAt)
      return { meter: this.meter, cpu: cpuShare, notSent: load.notSent }
    } finally {
      await this.cleanUp()
    }
  }

  /** Every key once, so that reads find something. */
  private async fill(): Promise<void> {
    const { keys } = this.options
    const load = await this.perform(
      'filling',
      { clients: Math.min(FILL_CLIENTS, keys), rate: null, durationMs: null, operations: keys },
      (client) => this.put(client, this.space.at(this.filled++)),
    )
    if (load.lastError instanceof KvClientError) throw kvError(load.lastError)
  }

  private async perform(
    phase: BenchPhase,
    options: { clients: number; rate: number | null; durationMs: number | null; operations: number | null },
    next: (client: number) => Operation = (client) => this.next(client),
  ): Promise<Load> {
    const load = new Load({ ...options, signal: this.watch.signal }, next, this.meter)
    const startedAt = performance.now()
    const timer = setInterval(() => {
      const { count, p99Ms, errors } = this.meter
      const perSecond = Math.round((count * 1000) / Math.max(1, performance.now() - startedAt))
      this.watch.onProgress({ phase, share: Math.round(load.share * 1000) / 1000, perSecond, p99Ms, errors })
    }, PROGRESS_MS)
    try {
      await load.run()
    } finally {
      clearInterval(timer)
    }
    return load
  }

  private next(client: number): Operation {
    const { workload, readShare } = this.options
    if (workload === 'fill') return this.put(client, this.space.at(this.filled++))
    const reads = workload === 'get' || (workload === 'mixed' && Math.random() < readShare)
    return reads ? this.get(client, this.space.next()) : this.put(client, this.space.next())
  }

  private put(client: number, key: Buffer): Operation {
    this.written = true
    return { name: 'put', perform: () => this.client(client).put(key, this.value) }
  }

  private get(client: number, key: Buffer): Operation {
    return { name: 'get', perform: () => this.client(client).get(key, { consistency: this.options.read }) }
  }

  private client(client: number): KvClient {
    return this.clients[client % this.clients.length]!
  }

  private async cleanUp(): Promise<void> {
    if (!this.written) return
    const { keep, prefix } = this.options
    if (keep) {
      this.keys = { removed: 0, left: null }
      return
    }
    this.watch.onProgress({ phase: 'cleaning up', share: 0, perSecond: 0, p99Ms: null, errors: 0 })
    const client = this.clients[0]!
    // A cluster that is away when the end comes keeps them; whoever reports says so.
    const removal = await client.delPrefix(prefix).catch(() => null)
    const rest = await client.list(prefix, { limit: 1, keysOnly: true }).catch(() => null)
    this.keys = { removed: removal?.deleted ?? null, left: rest?.count ?? null }
  }
}
