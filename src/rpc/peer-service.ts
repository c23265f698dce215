import * as grpc from '@grpc/grpc-js'
import type { Checksum, Executor } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { Addressed, Answer, AppendEntriesResponse, PeerCalls, PeerHandler, PeerMethod } from '../raft/messages.js'
import { PeerId } from '../raft/peer-id.js'
import { DelayedLink } from './delayed-link.js'
import type { Faults } from './faults.js'
import type { Handlers } from './grpc.js'
import { MetadataKey, type ProcessIdentity } from './identity.js'
import type { NodeManager } from './node-manager.js'
import { decodeFrame, encodeAck, type StreamRoute } from './peer-codec.js'
import type { Peer } from './peer-definition.js'
import { decodeHelloRequest, encodeHelloResponse, type PeerMethodCodec, peerMethodCodecs } from './peer-messages.js'

export interface PeerServiceOptions {
  readonly nodes: NodeManager
  readonly executor: Executor
  readonly checksum: Checksum
  readonly identity: ProcessIdentity
  readonly faults: Faults
  /** A peer said what it is called. */
  readonly onName: (peer: PeerId, name: string) => void
  /** A peer called: it is up. */
  readonly onAlive: (peer: PeerId) => void
}

type UnaryHandler = grpc.handleUnaryCall<Buffer, Uint8Array>
type AppendCall = grpc.ServerDuplexStream<Buffer, Uint8Array>

/**
 * The receiving end of raftctl.v1.Peer: routes calls and append frames to the node they are for, on the executor.
 *
 * Owns the append streams that peers opened to this process. A caller without raftctl's metadata is not raftctl and is
 * refused, as is one of another cluster; a frame with a damaged entry is answered with EREQUEST and goes no further.
 */
export class PeerService {
  private readonly streams = new Map<AppendCall, StreamRoute>()

  constructor(private readonly options: PeerServiceOptions) {
    options.faults.onChange((addresses) => this.dropStreamsOf(addresses))
  }

  /** For RpcServer.addGrpcService. Heartbeats has no handler: UNIMPLEMENTED. */
  get handlers(): Handlers<(typeof Peer)['methods']> {
    return {
      Hello: this.hello(),
      PreVote: this.unary('preVote', (handler) => handler.handlePreVote),
      RequestVote: this.unary('requestVote', (handler) => handler.handleRequestVote),
      TimeoutNow: this.unary('timeoutNow', (handler) => handler.handleTimeoutNow),
      InstallSnapshot: this.unary('installSnapshot', (handler) => handler.handleInstallSnapshot),
      GetFile: this.unary('getFile', (handler) => handler.handleGetFile),
      Settle: this.unary('settle', (handler) => handler.handleSettle),
      ReadIndex: this.unary('readIndex', (handler) => handler.handleReadIndex),
      Release: this.unary('release', (handler) => handler.handleRelease),
      Append: (call) => this.append(call),
    }
  }

  /** Ends the streams of all peers: this process is about to stop. */
  close(): void {
    for (const call of [...this.streams.keys()]) endWith(call, grpc.status.UNAVAILABLE, 'this node is stopping')
  }

  private hello(): UnaryHandler {
    const { identity, onName } = this.options
    return (call, callback) => {
      const decoded = this.decoded(call, callback, decodeHelloRequest)
      if (!decoded) return
      const { request, name } = decoded
      if (name !== '') onName(request.serverId, name)
      this.route(request, callback, (handler) =>
        handler.handleHello(request, (status, response) => {
          const extras = { name: identity.name, clusterId: identity.clusterId, version: identity.version }
          this.answer(request.serverId, () => respond(callback, status, response && encodeHelloResponse(response, extras)))
        }),
      )
    }
  }

  private unary<M extends Exclude<PeerMethod, 'hello'>>(method: M, handlerOf: (handler: PeerHandler) => HandlerOf<M>): UnaryHandler {
    const codec = peerMethodCodecs[method] as PeerMethodCodec<M>
    return (call, callback) => {
      const request = this.decoded(call, callback, (bytes) => codec.decodeRequest(bytes))
      if (!request) return
      this.route(request, callback, (handler) =>
        handlerOf(handler).call(handler, request, (status, response) =>
          this.answer(request.serverId, () => respond(callback, status, response && codec.encodeResponse(response))),
        ),
      )
    }
  }

  /** The request, or null after it was refused. */
  private decoded<T>(
    call: { metadata: grpc.Metadata; request: Buffer },
    callback: grpc.sendUnaryData<Uint8Array>,
    decode: (bytes: Buffer) => T,
  ): T | null {
    const refusal = this.refusal(call.metadata)
    if (refusal) {
      callback(refusal)
      return null
    }
    try {
      return decode(call.request)
    } catch (error) {
      respond(callback, Status.error(ErrorCode.EREQUEST, `unreadable request: ${(error as Error).message}`))
      return null
    }
  }

  private route(request: Addressed, callback: grpc.sendUnaryData<Uint8Array>, run: (handler: PeerHandler) => void): void {
    const { nodes, executor, faults, onAlive } = this.options
    // As on a cut link: no word, not even a refusal. The caller's deadline ends the call.
    if (faults.isCutFrom(request.serverId)) return
    onAlive(request.serverId)
    executor.post(() => {
      const node = nodes.get(request.groupId, request.peerId)
      if (node) run(node.handler)
      else this.answer(request.serverId, () => respond(callback, noSuchNode(request.groupId, request.peerId)))
    }, 'peer request')
  }

  /** Lets an answer go to `peer`; a fault may hold it back or lose it. */
  private answer(peer: PeerId, send: () => void): void {
    const { faults } = this.options
    if (faults.isCutTo(peer) || faults.loses(peer)) return
    const delayMs = faults.delayTo(peer)
    if (delayMs > 0) setTimeout(send, delayMs)
    else send()
  }

  /** Why this caller may not speak to a member at all; null when it may. */
  private refusal(metadata: grpc.Metadata): grpc.StatusObject | null {
    if (!first(metadata, MetadataKey.bootId)) {
      return failed(Status.error(ErrorCode.EPERM, 'no raftctl metadata: only raftctl nodes may call raftctl.v1.Peer'))
    }
    const mismatch = this.options.identity.clusterMismatch(first(metadata, MetadataKey.clusterId))
    return mismatch ? failed(Status.error(ErrorCode.EPERM, mismatch)) : null
  }

  private append(call: AppendCall): void {
    const route = routeOf(call.metadata)
    const refusal =
      this.refusal(call.metadata) ??
      (route ? null : failed(Status.error(ErrorCode.EREQUEST, 'no group, sender or receiver in the metadata')))
    if (refusal || !route) {
      call.emit('error', refusal)
      return
    }
    const { faults, identity, onAlive } = this.options
    if (faults.isCutFrom(route.from)) return void call.resume()
    onAlive(route.from)
    this.streams.set(call, route)
    const metadata = new grpc.Metadata()
    for (const [key, value] of Object.entries(identity.responseMetadata())) metadata.set(key, value)
    if (!faults.isCutTo(route.from)) call.sendMetadata(metadata)
    const back = new DelayedLink()
    call.on('data', (bytes: Buffer) => this.frame(call, route, { bytes, back }))
    call.on('end', () => {
      this.broken(call, route)
      call.end()
    })
    call.on('cancelled', () => this.broken(call, route))
    call.on('close', () => this.broken(call, route))
    call.on('error', () => this.broken(call, route))
  }

  private frame(call: AppendCall, route: StreamRoute, { bytes, back }: { readonly bytes: Buffer; readonly back: DelayedLink }): void {
    const { nodes, executor, checksum, faults } = this.options
    const { seq, status, request } = decodeFrame(bytes, route, checksum)
    const acknowledge: Answer<AppendEntriesResponse> = (outcome, response) => {
      if (faults.isCutTo(route.from)) return
      if (faults.loses(route.from)) return endWith(call, grpc.status.UNAVAILABLE, 'an answer was lost on purpose')
      back.pass(faults.delayTo(route.from), () => this.streams.has(call) && call.write(encodeAck(seq, outcome, response)))
    }
    if (!request) return acknowledge(status)
    executor.post(() => {
      const node = nodes.get(route.groupId, route.to)
      if (node) node.handler.handleAppendEntries(request, acknowledge)
      else acknowledge(noSuchNode(route.groupId, route.to))
    }, 'append frame')
  }

  private broken(call: AppendCall, route: StreamRoute): void {
    if (!this.streams.delete(call)) return
    const { nodes, executor } = this.options
    executor.post(() => nodes.get(route.groupId, route.to)?.handler.handleStreamBroken(route.from), 'append stream broken')
  }

  /** A stream that lost something must not go on as if it had not. */
  private dropStreamsOf(addresses: ReadonlySet<string>): void {
    for (const [call, route] of [...this.streams])
      if (addresses.has(route.from.address)) endWith(call, grpc.status.UNAVAILABLE, `the link to ${route.from} was changed on purpose`)
  }
}

type HandlerOf<M extends PeerMethod> = (request: PeerCalls[M]['request'], answer: Answer<PeerCalls[M]['response']>) => void

function first(metadata: grpc.Metadata, key: string): string | undefined {
  const value = metadata.get(key)[0]
  return typeof value === 'string' ? value : undefined
}

function routeOf(metadata: grpc.Metadata): StreamRoute | null {
  const from = PeerId.parse(first(metadata, MetadataKey.from) ?? '')
  const to = PeerId.parse(first(metadata, MetadataKey.to) ?? '')
  const group = first(metadata, MetadataKey.group)
  if (!from || !to || !group) return null
  try {
    return { groupId: decodeURIComponent(group), from, to }
  } catch {
    return null
  }
}

function noSuchNode(groupId: string, peerId: PeerId): Status {
  return Status.error(ErrorCode.ENOENT, `no node ${peerId} of group ${groupId} in this process`)
}

function respond(callback: grpc.sendUnaryData<Uint8Array>, status: Status, bytes?: Uint8Array): void {
  if (status.ok && bytes) callback(null, bytes)
  else callback(failed(status.ok ? Status.error(ErrorCode.EINTERNAL, 'answered without a response') : status))
}

const GRPC_CODES: Readonly<Record<number, grpc.status>> = {
  [ErrorCode.ENOENT]: grpc.status.NOT_FOUND,
  [ErrorCode.EINVAL]: grpc.status.INVALID_ARGUMENT,
  [ErrorCode.EREQUEST]: grpc.status.INVALID_ARGUMENT,
  [ErrorCode.ETIMEDOUT]: grpc.status.DEADLINE_EXCEEDED,
  [ErrorCode.EAGAIN]: grpc.status.UNAVAILABLE,
  [ErrorCode.EHOSTDOWN]: grpc.status.UNAVAILABLE,
}

/** The engine's number travels in the trailers: the caller's engine matches by number. */
function failed(status: Status): grpc.StatusObject {
  const metadata = new grpc.Metadata()
  metadata.set(MetadataKey.errno, String(status.code))
  return { code: GRPC_CODES[status.code] ?? grpc.status.FAILED_PRECONDITION, details: status.message, metadata }
}

function endWith(call: AppendCall, code: grpc.status, details: string): void {
  call.emit('error', { code, details, metadata: new grpc.Metadata() })
}
