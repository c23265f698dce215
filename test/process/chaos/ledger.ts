import { setTimeout as pause } from 'node:timers/promises'
import { type KvClient, KvClientError } from '../../../src/machines/kv/client.js'
import type { SimRandom } from '../../../src/testing/sim-random.js'
import type { ChaosCounts } from './counts.js'

const PREFIX = 'ledger/'
const PAUSE_MEAN_MS = 15
const PAGE = 2000

/** Clients that put keys nobody else puts. Whatever was acknowledged must be there in the end, whatever was refused must not. */
export class Ledger {
  private readonly acknowledged = new Map<string, string>()
  private readonly refused = new Set<string>()
  private running = true
  private readonly done: Promise<unknown>

  constructor(
    private readonly clients: readonly KvClient[],
    private readonly random: SimRandom,
    private readonly counts: ChaosCounts,
  ) {
    this.done = Promise.all(clients.map((client, at) => this.work(client, at)))
  }

  async stop(): Promise<void> {
    this.running = false
    await this.done
    for (const client of this.clients) client.close()
  }

  /** What is not as it must be, one line each. */
  async problems(client: KvClient): Promise<string[]> {
    const found = await listed(client)
    const lost = [...this.acknowledged]
      .filter(([key, value]) => found.get(key) !== value)
      .map(([key, value]) => `LOST ${key}: ${value} was acknowledged, ${found.get(key) ?? 'nothing'} is there`)
    const ghosts = [...this.refused].filter((key) => found.has(key)).map((key) => `GHOST ${key}: refused as not applied, and it is there`)
    this.counts.lost += lost.length
    this.counts.ghosts += ghosts.length
    return [...lost, ...ghosts]
  }

  private async work(client: KvClient, writer: number): Promise<void> {
    const { counts } = this
    for (let i = 1; this.running; i++) {
      const key = `${PREFIX}${writer}/${i}`
      const value = `${key} ${'.'.repeat(this.random.below(100))}`
      counts.ops++
      try {
        await client.put(Buffer.from(key), Buffer.from(value))
        this.acknowledged.set(key, value)
        counts.acked++
      } catch (error) {
        if (!(error instanceof KvClientError)) throw error
        if (error.applied === 'no') this.refused.add(key)
        counts[error.applied === 'no' ? 'failed' : 'unknown']++
      }
      await pause(this.random.exponential(PAUSE_MEAN_MS))
    }
  }
}

async function listed(client: KvClient): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  let after: Buffer | undefined
  for (;;) {
    const page: Awaited<ReturnType<KvClient['list']>> = await client.list(Buffer.from(PREFIX), {
      limit: PAGE,
      ...(after ? { after } : {}),
    })
    for (const { key, value } of page.items) found.set(key.toString(), value.toString())
    after = page.items.at(-1)?.key
    if (!page.more || !after) return found
  }
}
