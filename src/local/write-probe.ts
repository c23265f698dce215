import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { KeyValueAdmin } from '../admin/key-value.js'
import type { Connection } from '../terminal/connection.js'
import { CliError } from '../terminal/errors.js'

/** What became of the writes of a probe. */
export interface WriteReport {
  readonly writes: number
  readonly failed: number
  /** The first failure; null when none failed. */
  readonly error: string | null
  /** The longest that one write took. */
  readonly slowestMs: number
}

const BETWEEN_MS = 2

/**
 * A client that writes one key again and again, to know whether writes fail while something is done to the cluster. A write
 * failed when its error came back to the client: members that forward and hold it until a leader is known do not fail it.
 * `stop` removes the key.
 */
export class WriteProbe {
  private readonly client: KeyValueAdmin
  private readonly key = `raftctl-probe/${randomBytes(6).toString('hex')}`
  private readonly ended: Promise<void>
  private running = true
  private writes = 0
  private failed = 0
  private error: string | null = null
  private slowestMs = 0

  constructor(connection: Connection) {
    this.client = new KeyValueAdmin(connection)
    this.ended = this.write()
  }

  report(): WriteReport {
    const { writes, failed, error } = this
    return { writes, failed, error, slowestMs: Math.round(this.slowestMs) }
  }

  async stop(): Promise<void> {
    this.running = false
    await this.ended
    await this.client.delete(this.key).catch(() => {})
    this.client[Symbol.dispose]()
  }

  private async write(): Promise<void> {
    while (this.running) {
      const startedAt = performance.now()
      this.writes++
      try {
        await this.client.put(this.key, Buffer.from(String(this.writes)))
      } catch (thrown) {
        this.failed++
        this.error ??= thrown instanceof CliError ? `${thrown.code}: ${thrown.message}` : String(thrown)
      }
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startedAt)
      await pause(BETWEEN_MS)
    }
  }
}
