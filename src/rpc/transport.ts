import net from 'node:net'
import type { AppendStream, AppendStreamEvents, Call, DialResult, Executor, Transport } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { HelloRequest, PeerCalls, PeerMethod } from '../raft/messages.js'
import type { PeerId } from '../raft/peer-id.js'
import { openAppendStream } from './append-stream.js'
import type { Faults } from './faults.js'
import { MetadataKey, type ProcessIdentity } from './identity.js'
import { GRPC_PREFIX_BYTES } from './peer-codec.js'
import { PeerConnection } from './peer-connection.js'
import { Peer } from './peer-definition.js'
import { decodeHelloResponse, encodeHelloRequest, peerMethodCodecs } from './peer-messages.js'

export interface GrpcTransportOptions {
  readonly executor: Executor
  readonly identity: ProcessIdentity
  readonly faults: Faults
  /** A peer said what it is called. */
  readonly onName: (peer: PeerId, name: string) => void
  /** Between 200 and 1,000 ms. */
  readonly connectTimeoutMs?: number
  /** How often a connection in use is pinged, and how long the answer may take. */
  readonly pingMs?: number
}

const DEFAULT_CONNECT_TIMEOUT_MS = 1000
const DEFAULT_PING_MS = 2000

/**
 * The engine's Transport over raftctl.v1.Peer: one connection per peer process, shared by every group and call.
 *
 * Invariants
 * - Every call completes exactly once, on the executor, unless it is cancelled first.
 * - Nothing waits for a connection longer than the connect timeout.
 * - A peer that shows another cluster's id is never taken at its word: the call fails.
 */
export class GrpcTransport implements Transport {
  private readonly connections = new Map<string, PeerConnection>()
  private readonly connectTimeoutMs: number

  constructor(private readonly options: GrpcTransportOptions) {
    this.connectTimeoutMs = options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS
    options.faults.onChange((addresses) => {
      for (const address of addresses) this.disconnect(address)
    })
  }

  call<M extends PeerMethod>(
    to: PeerId,
    method: M,
    request: PeerCalls[M]['request'],
    timeoutMs: number,
    done: (status: Status, response?: PeerCalls[M]['response']) => void,
  ): Call {
    const { path, body, decode } = this.encodeCall(to, method, request)
    return this.unary(to, path, body, timeoutMs, (status, bytes) => {
      if (!status.ok || !bytes) return done(status)
      let response: PeerCalls[M]['response']
      try {
        response = decode(bytes)
      } catch (error) {
        return done(Status.error(ErrorCode.EREQUEST, `unreadable answer of ${to}: ${(error as Error).message}`))
      }
      done(Status.OK, response)
    })
  }

  openAppendStream(groupId: string, from: PeerId, to: PeerId, events: AppendStreamEvents): AppendStream {
    const { executor, identity, faults } = this.options
    return openAppendStream(
      { connection: this.connection(to), executor, identity, faults, connectTimeoutMs: this.connectTimeoutMs },
      { groupId, from, to },
      events,
    )
  }

  dial(to: PeerId, timeoutMs: number, done: (result: DialResult) => void): void {
    const { executor, faults } = this.options
    if (faults.isCut(to)) {
      setTimeout(() => executor.post(() => done('unknown'), 'dial'), timeoutMs)
      return
    }
    const { host, port } = faults.dialTarget(to)
    const socket = net.connect({ host: host.replace(/^\[|\]$/g, ''), port })
    let settled = false
    const settle = (result: DialResult) => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      socket.destroy()
      executor.post(() => done(result), 'dial')
    }
    const timer = setTimeout(() => settle('unknown'), timeoutMs)
    socket.on('connect', () => settle('accepted'))
    socket.on('error', (error: NodeJS.ErrnoException) => settle(error.code === 'ECONNREFUSED' ? 'refused' : 'unknown'))
  }

  /** A call of `peer` reached us: it is up, so there is no reason to wait before connecting to it. */
  noteAlive(peer: PeerId): void {
    this.connections.get(peer.address)?.resetBackoff()
  }

  /** Hangs up everywhere; calls under way fail. */
  close(): void {
    for (const address of [...this.connections.keys()]) this.disconnect(address)
  }

  private disconnect(address: string): void {
    const connection = this.connections.get(address)
    this.connections.delete(address)
    connection?.close(Status.error(ErrorCode.ECONNRESET, 'the connection was closed'))
  }

  private connection(to: PeerId): PeerConnection {
    let connection = this.connections.get(to.address)
    if (!connection) {
      const { host, port } = this.options.faults.dialTarget(to)
      const { pingMs = DEFAULT_PING_MS } = this.options
      connection = new PeerConnection({
        host,
        port,
        connectTimeoutMs: this.connectTimeoutMs,
        pingIntervalMs: pingMs,
        pingTimeoutMs: pingMs,
      })
      this.connections.set(to.address, connection)
    }
    return connection
  }

  private encodeCall<M extends PeerMethod>(to: PeerId, method: M, request: PeerCalls[M]['request']) {
    const { identity, onName } = this.options
    if (method === 'hello') {
      const decode = (bytes: Buffer): PeerCalls[M]['response'] => {
        const { response, extras } = decodeHelloResponse(bytes)
        if (extras.name !== '') onName(to, extras.name)
        return response
      }
      return { path: pathOf('Hello'), body: encodeHelloRequest(request as HelloRequest, identity.name), decode }
    }
    type Other = Exclude<M, 'hello'>
    const codec = peerMethodCodecs[method as Other]
    const body = codec.encodeRequest(request as PeerCalls[Other]['request'])
    return { path: pathOf(codec.name), body, decode: (bytes: Buffer) => codec.decodeResponse(bytes) }
  }

  /** One request, one completion. A fault may hold it back or let it run into its deadline. */
  private unary(to: PeerId, path: string, body: Buffer, timeoutMs: number, done: (status: Status, bytes?: Buffer) => void): Call {
    const { executor, identity, faults } = this.options
    let settled = false
    let cancelStream: (() => void) | null = null
    let delay: NodeJS.Timeout | null = null
    const settle = (status: Status, bytes?: Buffer) => {
      if (settled) return
      settled = true
      clearTimeout(deadline)
      if (delay) clearTimeout(delay)
      cancelStream?.()
      executor.post(() => !cancelled && done(status, bytes), path)
    }
    const deadline = setTimeout(() => settle(Status.error(ErrorCode.ETIMEDOUT, `no answer from ${to} within ${timeoutMs} ms`)), timeoutMs)
    let cancelled = false
    const start = () => {
      let answer: Buffer | null = null
      const stream = this.connection(to).open(
        path,
        { ...identity.peerMetadata(), 'grpc-timeout': `${Math.ceil(timeoutMs)}m` },
        {
          opened: (headers) => {
            if (faults.isCutFrom(to)) return
            const mismatch = identity.clusterMismatch(headers[MetadataKey.clusterId] as string | undefined)
            if (mismatch) settle(Status.error(ErrorCode.EINVAL, `${to} is of another cluster: ${mismatch}`))
          },
          message: (bytes) => {
            answer = bytes
          },
          ended: (status) => {
            if (faults.isCutFrom(to)) return
            settle(status.ok && !answer ? Status.error(ErrorCode.EREQUEST, `an empty answer from ${to}`) : status, answer ?? undefined)
          },
        },
      )
      cancelStream = () => stream.cancel()
      stream.write([prefixed(body)])
      stream.end()
    }
    const delayMs = faults.delayTo(to)
    if (!faults.isCutTo(to) && !faults.loses(to)) {
      if (delayMs > 0) delay = setTimeout(() => settled || start(), delayMs)
      else start()
    }
    return {
      cancel: () => {
        cancelled = true
        settle(Status.error(ErrorCode.ECANCELED, 'cancelled'))
      },
    }
  }
}

function pathOf(method: string): string {
  return `/${Peer.name}/${method}`
}

function prefixed(body: Buffer): Buffer {
  const message = Buffer.allocUnsafe(GRPC_PREFIX_BYTES + body.length)
  message[0] = 0
  message.writeUInt32BE(body.length, 1)
  body.copy(message, GRPC_PREFIX_BYTES)
  return message
}
