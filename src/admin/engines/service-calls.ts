import { type ClientReadableStream, connectivityState, status as GrpcStatus, type ServiceError } from '@grpc/grpc-js'
import { type Methods, type Service, ServiceClient } from '../../rpc/grpc.js'
import type { Connection } from '../../terminal/connection.js'
import { CliError, isErrorCode } from '../../terminal/errors.js'
import { Channels } from '../channels.js'
import type { NodeFailure } from '../node-report.js'
import { NO_GRPC, probe } from '../probe.js'
import { isServiceError, neverSent, type RemoteCall } from '../remote-error.js'

const PROBE_TIMEOUT_MS = 500

export type CallOptions = NonNullable<Parameters<ServiceClient<Methods>['call']>[2]>

/** What one call may do differently from the connection. */
export interface CallSettings {
  /** For the answer; the connection's timeout when left out, null for none. */
  readonly timeoutMs?: number | null
  /** Ends the call. */
  readonly signal?: AbortSignal
}

/** How a person finds out what became of a write without an answer, such as `raftctl leader show`. */
export interface WriteSettings extends CallSettings {
  readonly check: string
}

/**
 * A gRPC service of one node at a time, with a deadline for the answer and a shorter one for the connection. What fails
 * is a CliError that says how far the call came. Owns its channels.
 */
export class ServiceCalls<M extends Methods> implements Disposable {
  private readonly channels: Channels

  /** `explain` says in the words of the registry what a node answered. */
  constructor(
    private readonly connection: Connection,
    private readonly service: Service<M>,
    private readonly explain: (error: ServiceError, call: RemoteCall) => CliError,
  ) {
    this.channels = new Channels(connection)
  }

  [Symbol.dispose](): void {
    this.channels[Symbol.dispose]()
  }

  /** May simply be asked again. */
  read<T>(endpoint: string, send: (client: ServiceClient<M>, options: CallOptions) => Promise<T>, settings: CallSettings = {}): Promise<T> {
    return this.call({ endpoint, kind: 'read' }, send, settings)
  }

  /** Once it was sent, a missing answer is E_OUTCOME_UNKNOWN. */
  write<T>(endpoint: string, send: (client: ServiceClient<M>, options: CallOptions) => Promise<T>, settings: WriteSettings): Promise<T> {
    return this.call({ endpoint, kind: 'write', check: settings.check }, send, settings)
  }

  /** Many answers to one question, for as long as they come. Ends quietly when `signal` aborts, and when nobody takes them any more. */
  async *stream<T>(
    endpoint: string,
    open: (client: ServiceClient<M>, options: CallOptions) => ClientReadableStream<T>,
    signal: AbortSignal,
  ): AsyncGenerator<T> {
    const { connectTimeoutMs } = this.connection
    const channel = this.channels.to(endpoint)
    const stream = open(new ServiceClient(this.service, channel), { metadata: this.channels.metadata() })
    stream.on('error', () => {})
    const abort = () => stream.cancel()
    signal.addEventListener('abort', abort, { once: true })
    let connectedLate = false
    const timer = setTimeout(() => {
      if (channel.getChannel().getConnectivityState(false) === connectivityState.READY) return
      connectedLate = true
      stream.cancel()
    }, connectTimeoutMs)
    try {
      if (signal.aborted) abort()
      for await (const message of stream) yield message as T
    } catch (thrown) {
      if (signal.aborted) return
      if (!isServiceError(thrown)) throw thrown
      const late = connectedLate ? `no gRPC connection within ${connectTimeoutMs} ms` : null
      throw await this.explained({ endpoint, kind: 'read' }, thrown, { late, deadlineMs: connectTimeoutMs })
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      stream.cancel()
    }
  }

  private async call<T>(
    call: RemoteCall,
    send: (client: ServiceClient<M>, options: CallOptions) => Promise<T>,
    settings: CallSettings,
  ): Promise<T> {
    const { timeoutMs, connectTimeoutMs } = this.connection
    const channel = this.channels.to(call.endpoint)
    const connecting = new AbortController()
    let connectedLate = false
    const timer = setTimeout(() => {
      if (channel.getChannel().getConnectivityState(false) === connectivityState.READY) return
      connectedLate = true
      connecting.abort()
    }, connectTimeoutMs)
    const deadlineMs = settings.timeoutMs === undefined ? timeoutMs : settings.timeoutMs
    const signal = settings.signal ? AbortSignal.any([settings.signal, connecting.signal]) : connecting.signal
    try {
      const client = new ServiceClient(this.service, channel)
      const metadata = this.channels.metadata()
      return await send(client, { metadata, signal, ...(deadlineMs === null ? {} : { timeoutMs: deadlineMs }) })
    } catch (thrown) {
      if (!isServiceError(thrown)) throw thrown
      throw await this.explained(call, thrown, {
        late: connectedLate ? `no gRPC connection within ${connectTimeoutMs} ms` : null,
        deadlineMs: deadlineMs ?? timeoutMs,
      })
    } finally {
      clearTimeout(timer)
    }
  }

  private async explained(
    call: RemoteCall,
    error: ServiceError,
    { late, deadlineMs }: { readonly late: string | null; readonly deadlineMs: number },
  ): Promise<CliError> {
    const { endpoint } = call
    // What found no connection in time was never sent, whatever it would have done.
    const mapped = this.explain(error, late === null ? call : { endpoint, kind: 'read' })
    if (mapped.code !== 'E_UNREACHABLE') return mapped
    const answer = late ?? (error.code === GrpcStatus.DEADLINE_EXCEEDED ? `no answer within ${deadlineMs} ms` : reason(error))
    if (!late && !neverSent(error) && error.code !== GrpcStatus.UNAVAILABLE)
      return unreachable({ endpoint, code: 'E_UNREACHABLE', stage: 'grpc', message: answer })
    const timeoutMs = Math.min(PROBE_TIMEOUT_MS, this.connection.connectTimeoutMs)
    return unreachable(await probe({ endpoint, tls: this.connection.tls !== null, timeoutMs }, answer))
  }
}

function reason(error: ServiceError): string {
  const text = error.details || error.message
  return /^No connection established/.test(text) ? NO_GRPC : text
}

function unreachable({ endpoint, code, stage, message }: NodeFailure): CliError {
  return new CliError(isErrorCode(code) ? code : 'E_UNREACHABLE', `${endpoint}: ${message}`, {
    details: { node: endpoint, stage, reason: message },
  })
}
