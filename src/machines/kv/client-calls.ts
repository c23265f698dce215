import { lookup } from 'node:dns/promises'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type * as grpc from '@grpc/grpc-js'
import { type RequestOf, type ResponseOf, ServiceClient } from '../../rpc/grpc.js'
import { MetadataKey } from '../../rpc/identity.js'
import { KvClientError, OutcomeUnknownError, type ReachStage, RefusedError, UnreachableError } from './client-error.js'
import { ClientSession } from './client-session.js'
import type { KvFailure } from './failure.js'
import { Kv, SessionKey } from './grpc-service.js'
import { callMetadata, failureOfError, openChannel, whenConnected } from './leader-calls.js'
import type { SessionStamp } from './sessions.js'

/** Whom a KvClient asks, and for how long. */
export interface KvClientOptions {
  /** `host:port` of members; any one is enough. */
  readonly endpoints: readonly string[]
  /** For a whole call, retries included. Default 5000. */
  readonly timeoutMs?: number
  /** For one attempt to connect. Default 2000. */
  readonly connectTimeoutMs?: number
  /** The call is refused by members of another cluster. */
  readonly clusterId?: string | null
  /** Default `kv`. */
  readonly group?: string
  /** Ask exactly the first endpoint: no forwarding, no other member. */
  readonly direct?: boolean
}

type KvMethods = typeof Kv.methods
export type KvMethod = 'Range' | 'Put' | 'DeleteRange' | 'Txn' | 'Compact'

interface Endpoint {
  readonly address: string
  readonly channel: grpc.Client
  readonly client: ServiceClient<KvMethods>
}

const RETRY_PAUSE_MS = 50
const ATTEMPT_MIN_MS = 500
/** With less than this left a member cannot answer in time: asking again would turn a known "not applied" into "unknown". */
const LAST_ATTEMPT_MS = 250

/**
 * Sends calls until one is answered or the time is over: another endpoint when one fails, the same sequence number for
 * the same write, so that it is never applied twice.
 */
export class KvCalls {
  private readonly endpoints: Endpoint[]
  private preferred = 0
  private session = new ClientSession()

  constructor(private readonly options: KvClientOptions) {
    const addresses = options.direct ? options.endpoints.slice(0, 1) : options.endpoints
    if (addresses.length === 0)
      throw new KvClientError('E_USAGE', 'no endpoint was given: name one with --endpoint host:port', { applied: 'no' })
    this.endpoints = addresses.map((address) => {
      const channel = openChannel(address)
      return { address, channel, client: new ServiceClient(Kv, channel) }
    })
  }

  async read<M extends KvMethod>(method: M, request: RequestOf<KvMethods[M]>, consistency?: string): Promise<ResponseOf<KvMethods[M]>> {
    const options = { ...this.options, byLease: consistency === 'lease' }
    return await new Attempts(options, this.endpoints, this.preferred, (index) => (this.preferred = index)).run(method, request, null)
  }

  async write<M extends KvMethod>(method: M, request: RequestOf<KvMethods[M]>): Promise<ResponseOf<KvMethods[M]>> {
    const deadline = performance.now() + timeoutOf(this.options)
    for (;;) {
      const { session, sequence } = await this.begin()
      const attempts = new Attempts(this.options, this.endpoints, this.preferred, (index) => (this.preferred = index), deadline)
      try {
        const response = await attempts.run(method, request, () => session.stamp(sequence))
        session.end(sequence, 'answered')
        return response
      } catch (error) {
        session.end(sequence, 'failed')
        const forgotten = error instanceof KvClientError && error.code === 'SESSION_EXPIRED'
        if (!forgotten) throw error
        session.abandoned = true
        // The one attempt that was made was refused for its session alone: nothing was applied.
        if (!attempts.mayHaveApplied) continue
        throw new OutcomeUnknownError('the session was forgotten while the outcome of an earlier attempt was unknown')
      }
    }
  }

  close(): void {
    for (const { channel } of this.endpoints) channel.close()
  }

  private async begin(): Promise<{ session: ClientSession; sequence: number }> {
    for (;;) {
      if (this.session.abandoned) this.session = new ClientSession()
      const session = this.session
      const sequence = session.begin()
      if (sequence !== null) return { session, sequence }
      await session.opened()
    }
  }
}

/** One call with its retries. */
class Attempts {
  /** A write was sent and ended without saying whether it was applied. */
  mayHaveApplied = false
  private unreachable = 0
  private last: KvFailure | UnreachableError | null = null

  constructor(
    private readonly options: KvClientOptions & { readonly byLease?: boolean },
    private readonly endpoints: readonly Endpoint[],
    private index: number,
    private readonly prefer: (index: number) => void,
    private readonly deadline = performance.now() + timeoutOf(options),
  ) {}

  async run<M extends KvMethod>(
    method: M,
    request: RequestOf<KvMethods[M]>,
    stamp: (() => SessionStamp) | null,
  ): Promise<ResponseOf<KvMethods[M]>> {
    for (;;) {
      const left = this.deadline - performance.now()
      if (left <= 0 || (left < LAST_ATTEMPT_MS && this.refused)) throw this.giveUp(stamp !== null)
      const endpoint = this.endpoints[this.index] as Endpoint
      const problem = await this.connect(endpoint, left)
      if (problem !== null) {
        this.last = problem
        this.unreachable++
        if (this.unreachable >= this.endpoints.length && !this.mayHaveApplied) throw problem
        await this.next()
        continue
      }
      this.unreachable = 0
      const session = stamp?.() ?? null
      const timeoutMs = this.attemptTimeout()
      try {
        const metadata = callMetadata(session, this.values())
        const response = await endpoint.client.call(method, request as never, { timeoutMs, metadata })
        this.prefer(this.index)
        return response as ResponseOf<KvMethods[M]>
      } catch (error) {
        this.judge(failureOfError(error as grpc.ServiceError, session), session !== null)
        await this.next()
      }
    }
  }

  /** Throws when another attempt is of no use. */
  private judge(failure: KvFailure, write: boolean): void {
    const unknown = failure.applied === 'unknown' && failure.code === 'E_OUTCOME_UNKNOWN'
    if (write && unknown) this.mayHaveApplied = true
    this.last = failure
    const retry = unknown || (failure.applied === 'no' && failure.retryable)
    if (!retry || (this.options.direct && !unknown)) {
      const uncertain = this.mayHaveApplied && failure.applied !== 'yes' && failure.code !== 'SESSION_EXPIRED'
      throw uncertain ? new OutcomeUnknownError(failure.message, failure.leaderHint) : new RefusedError(failure)
    }
  }

  /** Every attempt so far ended with the word that nothing was applied. */
  private get refused(): boolean {
    return !this.mayHaveApplied && this.last !== null && !(this.last instanceof UnreachableError) && this.last.applied === 'no'
  }

  private giveUp(write: boolean): KvClientError {
    const { last } = this
    if (write && this.mayHaveApplied) {
      const message = last?.message ?? 'the deadline passed'
      return new OutcomeUnknownError(
        `the write was sent and may have been applied: ${message}`,
        last instanceof Error ? '' : (last?.leaderHint ?? ''),
      )
    }
    if (last instanceof UnreachableError) return last
    const { address } = this.endpoints[this.index] as Endpoint
    if (last !== null && last.code !== 'E_OUTCOME_UNKNOWN') return new RefusedError(last)
    return new UnreachableError(address, 'grpc', `${address} accepts connections but did not answer within ${timeoutOf(this.options)} ms`)
  }

  private async next(): Promise<void> {
    this.index = (this.index + 1) % this.endpoints.length
    await sleep(Math.max(0, Math.min(RETRY_PAUSE_MS, this.deadline - performance.now())))
  }

  /** A member that hangs must not use up the time of the others. */
  private attemptTimeout(): number {
    const left = Math.max(1, this.deadline - performance.now())
    return this.endpoints.length === 1 ? left : Math.min(left, Math.max(ATTEMPT_MIN_MS, left / 2))
  }

  private async connect({ address, channel }: Endpoint, left: number): Promise<UnreachableError | null> {
    const share = this.endpoints.length > 1 ? left / 2 : left
    const timeoutMs = Math.ceil(Math.min(this.options.connectTimeoutMs ?? 2000, share))
    const problem = await new Promise<string | null>((resolve) => whenConnected(channel, timeoutMs, resolve))
    if (problem === null) return null
    const { stage, message } = await diagnose(address, timeoutMs)
    return new UnreachableError(address, stage, `${address}: ${message ?? problem}`)
  }

  private values(): Record<string, string> {
    const { clusterId, group, direct, byLease } = this.options
    return {
      ...(clusterId ? { [MetadataKey.clusterId]: clusterId } : {}),
      ...(group ? { [MetadataKey.group]: encodeURIComponent(group) } : {}),
      ...(byLease ? { [SessionKey.read]: 'lease' } : {}),
      ...(direct ? { [SessionKey.forwarded]: '1' } : {}),
    }
  }
}

function timeoutOf(options: KvClientOptions): number {
  return options.timeoutMs ?? 5000
}

/** Which step of connecting fails. */
async function diagnose(address: string, timeoutMs: number): Promise<{ stage: ReachStage; message: string | null }> {
  const colon = address.lastIndexOf(':')
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '')
  try {
    await lookup(host)
  } catch (error) {
    return { stage: 'dns', message: `the name cannot be resolved (${(error as NodeJS.ErrnoException).code})` }
  }
  const message = await tcpProblem({ host, port: Number(address.slice(colon + 1)), timeoutMs })
  return message === null ? { stage: 'grpc', message: null } : { stage: 'tcp', message }
}

function tcpProblem({ host, port, timeoutMs }: { host: string; port: number; timeoutMs: number }): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port, timeout: timeoutMs })
    const finish = (problem: string | null) => {
      socket.destroy()
      resolve(problem)
    }
    socket.once('connect', () => finish(null))
    socket.once('timeout', () => finish(`no connection within ${timeoutMs} ms`))
    socket.once('error', (error: NodeJS.ErrnoException) => {
      finish(error.code === 'ECONNREFUSED' ? 'connection refused' : `cannot connect (${error.code ?? error.message})`)
    })
  })
}
