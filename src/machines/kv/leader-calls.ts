import * as grpc from '@grpc/grpc-js'
import type { PeerId } from '../../raft/peer-id.js'
import { readErrorDetail } from '../../rpc/error-detail.js'
import type { Faults } from '../../rpc/faults.js'
import { MESSAGE_LIMITS, ServiceClient } from '../../rpc/grpc.js'
import { MetadataKey, type ProcessIdentity } from '../../rpc/identity.js'
import type { CallContext, Reply } from './call.js'
import { type Applied, GrpcStatus, KvFailure } from './failure.js'
import type { LeaderCalls, Write } from './forwarding.js'
import { Kv, SessionKey } from './grpc-service.js'
import type { Answer, SessionStamp } from './sessions.js'

/** How long one attempt waits for a connection before the router looks for the leader anew. */
const CONNECT_WAIT_MS = 250

const CHANNEL_OPTIONS: grpc.ChannelOptions = {
  ...MESSAGE_LIMITS,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 500,
  'grpc.keepalive_time_ms': 2000,
  'grpc.keepalive_timeout_ms': 2000,
  'grpc.use_local_subchannel_pool': 1,
}

/** A channel as all callers of the key-value service open it. */
export function openChannel(address: string): grpc.Client {
  return new grpc.Client(address, grpc.credentials.createInsecure(), CHANNEL_OPTIONS)
}

/**
 * Runs `done` with null once a call on the channel would be sent at once, else with why not. A call that fails after
 * that may have arrived; grpc-js alone does not tell it from one that was never sent.
 */
export function whenConnected(channel: grpc.Client, timeoutMs: number, done: (problem: string | null) => void): void {
  const deadline = Date.now() + timeoutMs
  let attempted = false
  const look = () => {
    const state = channel.getChannel().getConnectivityState(true)
    if (state === grpc.connectivityState.READY) return done(null)
    if (state === grpc.connectivityState.SHUTDOWN) return done('the channel was closed')
    // Failed before this call: the back-off is under way, wait for the next attempt.
    if (state === grpc.connectivityState.TRANSIENT_FAILURE && attempted) return done('nobody accepts connections there')
    attempted ||= state === grpc.connectivityState.CONNECTING
    channel.getChannel().watchConnectivityState(state, deadline, (error) => {
      if (error) done(`no connection within ${timeoutMs} ms`)
      else look()
    })
  }
  look()
}

/** Session and routing metadata of a call. */
export function callMetadata(session: SessionStamp | null, values: Readonly<Record<string, string>>): grpc.Metadata {
  const metadata = new grpc.Metadata()
  for (const [key, value] of Object.entries(values)) metadata.set(key, value)
  if (session !== null) {
    metadata.set(SessionKey.clientId, session.clientId)
    metadata.set(SessionKey.sequence, String(session.sequence))
    metadata.set(SessionKey.acknowledgedThrough, String(session.acknowledgedThrough))
  }
  return metadata
}

/** What an error of a call that was sent says; without a detail of ours anything may have happened. */
export function failureOfError(error: grpc.ServiceError, session: SessionStamp | null): KvFailure {
  const detail = readErrorDetail(error)
  if (detail !== null) {
    const applied: Applied = detail.applied
    return new KvFailure(error.code, detail.code, error.details, applied, detail.retryable, detail.leaderHint ?? '')
  }
  if (error.code === grpc.status.UNIMPLEMENTED) return new KvFailure(error.code, 'E_UNSUPPORTED', error.details)
  return new KvFailure(error.code, 'E_OUTCOME_UNKNOWN', `the call was sent and broke off: ${error.details}`, 'unknown', session !== null)
}

/**
 * Carries writes to the leader over gRPC, on connections of their own: Raft's messages never queue behind clients' data.
 *
 * Owns a channel per address that led so far.
 */
export class GrpcLeaderCalls implements LeaderCalls {
  private readonly channels = new Map<string, { channel: grpc.Client; client: ServiceClient<typeof Kv.methods> }>()
  /** Calls that were sent, with the address of the leader. */
  private readonly underWay = new Map<grpc.ClientUnaryCall, string>()

  constructor(
    private readonly identity: ProcessIdentity,
    private readonly faults: Faults | null = null,
  ) {
    faults?.onChange((addresses) => this.hangUp(addresses))
  }

  call(leader: PeerId, write: Write, context: CallContext & { readonly timeoutMs: number }, done: Reply<Answer>): { cancel(): void } {
    const started = performance.now()
    let cancelled = false
    let sent: { cancel(): void } | null = null
    const finish: Reply<Answer> = (failure, answer) => {
      if (!cancelled) done(failure, answer)
    }
    const attempt = () => {
      if (cancelled) return
      if (this.faults?.isCut(leader) || this.faults?.loses(leader)) {
        const timer = setTimeout(
          () => finish(unreachable(leader, 'cut off on purpose'), null),
          Math.min(CONNECT_WAIT_MS, context.timeoutMs),
        )
        sent = { cancel: () => clearTimeout(timer) }
        return
      }
      const { channel, client } = this.connection(leader)
      whenConnected(channel, Math.min(CONNECT_WAIT_MS, context.timeoutMs), (problem) => {
        if (cancelled) return
        if (problem !== null) return finish(unreachable(leader, problem), null)
        const left = context.timeoutMs - (performance.now() - started)
        const call = this.send(client, write, { ...context, timeoutMs: Math.max(1, left) }, (failure, answer) => {
          this.underWay.delete(call)
          finish(failure, answer)
        })
        this.underWay.set(call, leader.address)
        sent = call
      })
    }
    const delayMs = this.faults?.delayTo(leader) ?? 0
    if (delayMs > 0) setTimeout(attempt, delayMs)
    else setImmediate(attempt)
    return {
      cancel: () => {
        cancelled = true
        sent?.cancel()
      },
    }
  }

  close(): void {
    for (const { channel } of this.channels.values()) channel.close()
    this.channels.clear()
  }

  /** What is under way on a link that a fault cuts is never answered. */
  private hangUp(addresses: ReadonlySet<string>): void {
    for (const [call, address] of [...this.underWay]) if (addresses.has(address)) call.cancel()
  }

  private send(
    client: ServiceClient<typeof Kv.methods>,
    write: Write,
    context: CallContext & { readonly timeoutMs: number },
    done: Reply<Answer>,
  ): grpc.ClientUnaryCall {
    const { clusterId } = this.identity
    const values = {
      ...context.metadata,
      ...(clusterId === null ? {} : { [MetadataKey.clusterId]: clusterId }),
      [SessionKey.forwarded]: '1',
    }
    const options = { timeoutMs: context.timeoutMs, metadata: callMetadata(context.session, values) }
    const reply =
      <R>(wrap: (response: R) => Answer) =>
      (error: grpc.ServiceError | null, response?: R) => {
        if (error !== null) done(failureOfError(error, context.session), null)
        else done(null, wrap(response as R))
      }
    if (write.put)
      return client.start(
        'Put',
        write.put,
        options,
        reply((put) => ({ put })),
      )
    if (write.delete_range)
      return client.start(
        'DeleteRange',
        write.delete_range,
        options,
        reply((delete_range) => ({ delete_range })),
      )
    if (write.compact)
      return client.start(
        'Compact',
        write.compact,
        options,
        reply((compact) => ({ compact })),
      )
    return client.start(
      'Txn',
      write.txn ?? {},
      options,
      reply((txn) => ({ txn })),
    )
  }

  private connection(leader: PeerId) {
    const target = this.faults?.dialTarget(leader) ?? leader
    const address = `${target.host}:${target.port}`
    let connection = this.channels.get(address)
    if (connection === undefined) {
      const channel = openChannel(address)
      connection = { channel, client: new ServiceClient(Kv, channel) }
      this.channels.set(address, connection)
    }
    return connection
  }
}

function unreachable(leader: PeerId, message: string): KvFailure {
  return new KvFailure(
    GrpcStatus.UNAVAILABLE,
    'E_UNREACHABLE',
    `the leader ${leader.address} cannot be reached: ${message}`,
    'no',
    true,
    leader.toString(),
  )
}
