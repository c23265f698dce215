import type { AppendStream, AppendStreamEvents, Call, DialResult, Executor, Transport } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { HelloRequest, PeerCalls, PeerMethod } from '../raft/messages.js'
import type { PeerId } from '../raft/peer-id.js'
import { isOfAnother, openAppendStream } from './append-stream.js'
import { BaiduStdPeerChannel } from './baidu-std-peer-channel.js'
import { isUnknownService } from './braft-error.js'
import { dial, isRefused, type Lookup } from './dial.js'
import type { Faults } from './faults.js'
import { GrpcPeerChannel } from './grpc-peer-channel.js'
import { HeartbeatSender } from './heartbeat-sender.js'
import { MetadataKey, type ProcessIdentity } from './identity.js'
import type { PeerChannel, PeerProtocol } from './peer-channel.js'
import { decodeHelloResponse, encodeHelloRequest, peerMethodCodecs } from './peer-messages.js'
import { type Settle, timedCall } from './timed-call.js'

export interface PeerTransportOptions {
  /** What the nodes of this cluster speak to each other; every node listens to both. Default grpc. */
  readonly protocol?: PeerProtocol
  readonly executor: Executor
  readonly identity: ProcessIdentity
  readonly faults: Faults
  /** A peer said what it is called. */
  readonly onName: (peer: PeerId, name: string) => void
  /** What answers at a peer's address is no raftctl node. */
  readonly onStranger?: (peer: PeerId) => void
  /** Finds the addresses of a name; the system's when left out. */
  readonly lookup?: Lookup
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
export class PeerTransport implements Transport {
  private readonly channels = new Map<string, PeerChannel>()
  private readonly connectTimeoutMs: number
  private readonly heartbeats: HeartbeatSender
  /** Of every group whose leader may be gone: one attempt tells them all. */
  private readonly dialing = new Map<string, ((result: DialResult) => void)[]>()

  constructor(private readonly options: PeerTransportOptions) {
    this.connectTimeoutMs = options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS
    this.heartbeats = new HeartbeatSender({ ...options, patienceMs: this.connectTimeoutMs })
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
    const { name, body, decode } = this.encodeCall(to, method, request)
    return this.unary(to, { name, body, groupId: request.groupId }, timeoutMs, (status, bytes) => {
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
    const { heartbeats, connectTimeoutMs } = this
    const { executor, identity, faults } = this.options
    const onStranger = () => this.options.onStranger?.(to)
    const onElsewhere = () => this.lookAgain(to)
    return openAppendStream(
      { channel: this.channel(to), executor, identity, faults, heartbeats, connectTimeoutMs, onStranger, onElsewhere },
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
    const waiting = this.dialing.get(to.address)
    if (waiting) return void waiting.push(done)
    const askers = [done]
    this.dialing.set(to.address, askers)
    const { host, port } = faults.dialTarget(to)
    const socket = dial({ host, port, lookup: this.options.lookup })
    let settled = false
    const settle = (result: DialResult) => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      socket.destroy()
      this.dialing.delete(to.address)
      for (const asker of askers) executor.post(() => asker(result), 'dial')
    }
    const timer = setTimeout(() => settle('unknown'), timeoutMs)
    socket.on('connect', () => settle('accepted'))
    socket.on('error', (error: NodeJS.ErrnoException) => settle(isRefused(error) ? 'refused' : 'unknown'))
  }

  /** A call of `peer` reached us: it is up, so there is no reason to wait before connecting to it. */
  noteAlive(peer: PeerId): void {
    this.channels.get(peer.address)?.resetBackoff()
  }

  /** Another member's process answered, as when two of them came back at each other's address. */
  private lookAgain(peer: PeerId): void {
    this.channels.get(peer.address)?.lookAgain()
  }

  /** Hangs up everywhere; calls under way fail. */
  close(): void {
    for (const address of [...this.channels.keys()]) this.disconnect(address)
  }

  private disconnect(address: string): void {
    const channel = this.channels.get(address)
    this.channels.delete(address)
    if (channel) this.heartbeats.forget(channel)
    channel?.close(Status.error(ErrorCode.ECONNRESET, 'the connection was closed'))
  }

  private channel(to: PeerId): PeerChannel {
    let channel = this.channels.get(to.address)
    if (!channel) {
      const { host, port } = this.options.faults.dialTarget(to)
      const { pingMs = DEFAULT_PING_MS, protocol = 'grpc', lookup } = this.options
      const options = { host, port, connectTimeoutMs: this.connectTimeoutMs, pingIntervalMs: pingMs, pingTimeoutMs: pingMs, lookup }
      channel = protocol === 'grpc' ? new GrpcPeerChannel(options) : new BaiduStdPeerChannel(options)
      this.channels.set(to.address, channel)
    }
    return channel
  }

  private encodeCall<M extends PeerMethod>(to: PeerId, method: M, request: PeerCalls[M]['request']) {
    const { identity, onName } = this.options
    if (method === 'hello') {
      const decode = (bytes: Buffer): PeerCalls[M]['response'] => {
        const { response, extras } = decodeHelloResponse(bytes)
        if (extras.name !== '') onName(to, extras.name)
        return response
      }
      return { name: 'Hello', body: encodeHelloRequest(request as HelloRequest, identity.name), decode }
    }
    type Other = Exclude<M, 'hello'>
    const codec = peerMethodCodecs[method as Other]
    const body = codec.encodeRequest(request as PeerCalls[Other]['request'])
    return { name: codec.name, body, decode: (bytes: Buffer) => codec.decodeResponse(bytes) }
  }

  private unary(
    to: PeerId,
    { name, body, groupId }: { readonly name: string; readonly body: Buffer; readonly groupId: string },
    timeoutMs: number,
    done: (status: Status, bytes?: Buffer) => void,
  ): Call {
    const { identity, onStranger } = this.options
    const start = (settle: Settle<Buffer>) => {
      let answer: Buffer | null = null
      return this.channel(to).call(
        name,
        body,
        { fields: identity.peerMetadata(groupId), timeoutMs },
        {
          opened: (fields) => {
            const mismatch = identity.clusterMismatch(fields(MetadataKey.clusterId))
            if (!mismatch) return
            this.lookAgain(to)
            settle(Status.error(ErrorCode.EINVAL, `${to} is of another cluster: ${mismatch}`))
          },
          message: (bytes) => {
            answer = bytes
          },
          ended: (status) => {
            if (isUnknownService(status)) onStranger?.(to)
            if (isOfAnother(status)) this.lookAgain(to)
            settle(status.ok && !answer ? Status.error(ErrorCode.EREQUEST, `an empty answer from ${to}`) : status, answer ?? undefined)
          },
        },
      )
    }
    return timedCall(this.options, { to, label: name, timeoutMs }, start, done)
  }
}
