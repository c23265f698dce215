import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { KvClient, KvClientError } from '../../machines/kv/client.js'
import type { Connection } from '../../terminal/connection.js'
import { HistoryRecorder, type Operation } from '../linearizability/operation.js'
import type { RegisterAnswer, RegisterCall } from '../linearizability/register-model.js'

/** Keys below it belong to `chaos` and nobody else. */
export const CHAOS_PREFIX = 'raftctl-chaos/'

/** What became of everything that the writers wrote. */
export interface WriteTally {
  readonly acknowledged: number
  /** The cluster said that nothing was applied. */
  readonly refused: number
  /** No verdict came: it may have been applied. */
  readonly unknown: number
  /** The longest time in which no write was acknowledged. */
  readonly longestPauseMs: number
}

const CALL_TIMEOUT_MS = 3000
const CONNECT_TIMEOUT_MS = 1000
const BETWEEN_MS = 4
/** After a failure the next write would only meet the same. */
const AFTER_FAILURE_MS = 50
/** One in so many operations is on a key that all writers share, for the check of linearizability. */
const SHARED_EVERY = 5
/** A shared key is left for the next after this many operations: the check of one key must stay cheap. */
const OPERATIONS_PER_KEY = 400

/**
 * Several clients, each with a session of its own and another member to talk to first, that write keys nobody wrote before
 * and remember what was acknowledged; in between they put, compare and read keys that they share, with a history of it.
 */
export class BackgroundWriter {
  readonly prefix = `${CHAOS_PREFIX}${randomBytes(5).toString('hex')}/`
  /** Value by key. */
  readonly acknowledged = new Map<string, string>()
  readonly refused = new Set<string>()
  private readonly history = new HistoryRecorder<RegisterCall, RegisterAnswer>(() => performance.now())
  private readonly clients: KvClient[]
  private readonly ended: Promise<unknown>
  private readonly stopping = new AbortController()
  private unknown = 0
  private sharedOperations = 0
  private lastAckAt = performance.now()
  private longestPauseMs = 0
  private readonly waiters: { readonly count: number; readonly wake: () => void }[] = []

  constructor(
    private readonly connection: Connection,
    endpoints: readonly string[],
    count: number,
  ) {
    this.clients = Array.from({ length: count }, (_, at) => {
      const from = at % endpoints.length
      return clientOf(connection, [...endpoints.slice(from), ...endpoints.slice(0, from)])
    })
    this.ended = Promise.all(this.clients.map((client, at) => this.write(client, at)))
  }

  /** Settles once `count` writes are acknowledged, or when the time is over: true in the first case. */
  async reaches(count: number, timeoutMs: number): Promise<boolean> {
    if (this.acknowledged.size >= count) return true
    const reached = new Promise<void>((wake) => this.waiters.push({ count, wake }))
    const late = new AbortController()
    const outcome = await Promise.race([reached.then(() => true), pause(timeoutMs, false, { signal: late.signal }).catch(() => false)])
    late.abort()
    return outcome
  }

  tally(): WriteTally {
    const { acknowledged, refused, unknown } = this
    return { acknowledged: acknowledged.size, refused: refused.size, unknown, longestPauseMs: Math.round(this.longestPauseMs) }
  }

  operations(): Operation<RegisterCall, RegisterAnswer>[] {
    return this.history.operations()
  }

  /** Waits for the calls under way. */
  async stop(): Promise<void> {
    if (!this.stopping.signal.aborted) this.longestPauseMs = Math.max(this.longestPauseMs, performance.now() - this.lastAckAt)
    this.stopping.abort()
    await this.ended
    for (const client of this.clients) client.close()
  }

  /** Removes its keys, where that can be done. */
  async wipe(endpoints: readonly string[]): Promise<void> {
    const client = this.reader(endpoints)
    try {
      await client.delPrefix(Buffer.from(this.prefix))
    } catch (thrown) {
      if (!(thrown instanceof KvClientError)) throw thrown
    } finally {
      client.close()
    }
  }

  /** A client that is patient enough to read everything back. */
  reader(endpoints: readonly string[]): KvClient {
    return clientOf(this.connection, endpoints, 10_000)
  }

  private async write(client: KvClient, writer: number): Promise<void> {
    for (let serial = 1; !this.stopping.signal.aborted; serial++) {
      const well = serial % SHARED_EVERY === 0 ? await this.share(client, writer, serial) : await this.put(client, writer, serial)
      await pause(well ? BETWEEN_MS : AFTER_FAILURE_MS)
    }
  }

  private async put(client: KvClient, writer: number, serial: number): Promise<boolean> {
    const key = `${this.prefix}w${writer}/${serial}`
    const value = `${writer}.${serial}`
    try {
      await client.put(Buffer.from(key), Buffer.from(value))
      this.acknowledged.set(key, value)
      this.noteAck()
      return true
    } catch (thrown) {
      if (appliedNothing(thrown)) this.refused.add(key)
      else this.unknown++
      return false
    }
  }

  /** One operation on a key of all writers: the values never repeat, so that each read says which write it saw. */
  private async share(client: KvClient, writer: number, serial: number): Promise<boolean> {
    const key = `${this.prefix}s/${Math.floor(this.sharedOperations++ / OPERATIONS_PER_KEY)}`
    const bytes = Buffer.from(key)
    const value = `${writer}.${serial}`
    const kind = serial % 3 === 0 ? 'get' : serial % 3 === 1 ? 'put' : 'cas'
    const call: RegisterCall = kind === 'cas' ? { kind, expected: { absent: true }, value } : kind === 'put' ? { kind, value } : { kind }
    const pending = this.history.begin(`w${writer}`, key, call)
    try {
      pending.answered(await this.ask(client, bytes, call))
      return true
    } catch (thrown) {
      // A read without an answer tells nothing, and neither does a write that was refused.
      if (kind === 'get' || appliedNothing(thrown)) pending.failed()
      return false
    }
  }

  private async ask(client: KvClient, key: Buffer, call: RegisterCall): Promise<RegisterAnswer> {
    if (call.kind === 'put') {
      const { revision, previous } = await client.put(key, Buffer.from(call.value))
      return { revision, found: heldOf(previous) }
    }
    if (call.kind === 'cas') {
      const { swapped, current, revision } = await client.cas(key, { absent: true }, Buffer.from(call.value))
      return swapped ? { done: true, revision } : { done: false, found: heldOf(current) }
    }
    return { found: heldOf((await client.get(key)).item) }
  }

  private noteAck(): void {
    const now = performance.now()
    this.longestPauseMs = Math.max(this.longestPauseMs, now - this.lastAckAt)
    this.lastAckAt = now
    for (const waiter of [...this.waiters]) {
      if (this.acknowledged.size < waiter.count) continue
      this.waiters.splice(this.waiters.indexOf(waiter), 1)
      waiter.wake()
    }
  }
}

function heldOf(item: { readonly value: Buffer; readonly modRevision: number } | null) {
  return item === null ? { value: null } : { value: item.value.toString(), revision: item.modRevision }
}

function appliedNothing(thrown: unknown): boolean {
  return thrown instanceof KvClientError && thrown.applied === 'no'
}

function clientOf({ clusterId, group }: Connection, endpoints: readonly string[], timeoutMs = CALL_TIMEOUT_MS): KvClient {
  return new KvClient({ endpoints, clusterId, group, timeoutMs, connectTimeoutMs: CONNECT_TIMEOUT_MS })
}
