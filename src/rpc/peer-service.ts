import type { Checksum, Executor } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type {
  Addressed,
  Answer,
  AppendEntriesRequest,
  AppendEntriesResponse,
  PeerCalls,
  PeerHandler,
  PeerMethod,
} from '../raft/messages.js'
import { PeerId } from '../raft/peer-id.js'
import { asTerm, logIndex } from '../raft/types.js'
import { DelayedLink } from './delayed-link.js'
import type { Faults } from './faults.js'
import type { Beat } from './heartbeat-codec.js'
import { type BeatTarget, HeartbeatReceiver } from './heartbeat-receiver.js'
import { MetadataKey, type ProcessIdentity } from './identity.js'
import type { NodeManager } from './node-manager.js'
import type { FieldReader } from './peer-channel.js'
import { decodeFrame, encodeAck, type StreamRoute } from './peer-codec.js'
import { PING } from './peer-definition.js'
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

/** A call of a peer, in whatever protocol it came; either `answer` or `drop` is called, once. */
export interface PeerCall {
  /** How the caller introduced itself. */
  readonly fields: FieldReader
  readonly request: Buffer
  answer(status: Status, response?: Uint8Array): void
  /** No answer will come: it is lost on purpose. */
  drop(): void
}

/** Where the answer to one append frame goes; after the end of its stream, nowhere. */
export interface FrameReply {
  acknowledge(ack: Buffer): void
  /** No acknowledgement will come. */
  drop(): void
}

/** The receiving end of an append stream. */
export interface AppendReceiver {
  frame(bytes: Buffer, reply: FrameReply): void
  /** The other side ended it, or it was lost. */
  closed(): void
}

export interface OpenedAppend {
  readonly receiver: AppendReceiver
  /** The caller is told that it was taken; not where a fault cuts the way back. */
  readonly isHeard: boolean
}

/** `end` is called once, when this side ends the stream. */
export interface AppendSink {
  end(status: Status): void
}

type Routed = (handler: PeerHandler) => void

/**
 * The receiving end of raftctl.v1.Peer: routes calls and append frames to the node they are for, on the executor. The protocols'
 * adapters are peer-service-grpc.ts and peer-service-baidu-std.ts.
 *
 * Owns the append streams that peers opened to this process. A caller without raftctl's metadata is not raftctl and is
 * refused, as is one of another cluster; a frame with a damaged entry is answered with EREQUEST and goes no further.
 */
export class PeerService {
  private readonly streams = new Set<Receiver>()
  /** Those whose heartbeats may come with others, by the process that opened them and its number for them. */
  private readonly byNumber = new Map<string, Map<number, Receiver>>()
  private readonly heartbeats = new Map<HeartbeatReceiver, string>()

  constructor(readonly options: PeerServiceOptions) {
    options.faults.onChange((addresses) => this.dropStreamsOf(addresses))
  }

  /** Every call but those of the append stream. `method` is of raftctl.v1.Peer. */
  call(method: UnaryMethod, call: PeerCall): void {
    const refusal = this.refusal(call.fields)
    if (refusal) return call.answer(refusal)
    if (method === PING) return call.answer(Status.OK, NO_BYTES)
    try {
      if (method === 'Hello') this.hello(call)
      else this.unary(methodByName.get(method)!, call)
    } catch (error) {
      call.answer(Status.error(ErrorCode.EREQUEST, `unreadable request: ${(error as Error).message}`))
    }
  }

  /** Takes an append stream; the status that refuses it. */
  openAppend(fields: FieldReader, sink: AppendSink): OpenedAppend | Status {
    const refusal = this.refusal(fields)
    if (refusal) return refusal
    if (fields(MetadataKey.heartbeats)) return this.openHeartbeats(fields, sink)
    const route = routeOf(fields)
    if (!route) return Status.error(ErrorCode.EREQUEST, 'no group, sender or receiver in the metadata')
    const { faults, onAlive } = this.options
    if (faults.isCutFrom(route.from)) return { receiver: DEAF, isHeard: false }
    onAlive(route.from)
    const number = this.numberOf(fields)
    const receiver = new Receiver(this.options, { ...route, uid: fields(MetadataKey.groupUid) }, sink, (gone) => {
      this.streams.delete(gone)
      number?.release()
    })
    this.streams.add(receiver)
    number?.take(receiver)
    return { receiver, isHeard: !faults.isCutTo(route.from) }
  }

  /** Ends the streams of all peers: this process is about to stop. */
  close(): void {
    for (const stream of [...this.streams]) stream.end('this node is stopping')
    for (const stream of [...this.heartbeats.keys()]) stream.end(Status.error(ErrorCode.EHOSTDOWN, 'this node is stopping'))
  }

  private openHeartbeats(fields: FieldReader, sink: AppendSink): OpenedAppend {
    const { executor } = this.options
    const bootId = fields(MetadataKey.bootId)!
    const from = PeerId.parse(fields(MetadataKey.peerId) ?? '')
    const receiver = new HeartbeatReceiver({
      executor,
      streams: () => this.byNumber.get(bootId),
      end: (status) => sink.end(status),
      gone: () => this.heartbeats.delete(receiver),
    })
    this.heartbeats.set(receiver, from?.address ?? '')
    return { receiver, isHeard: true }
  }

  /** Null where the caller numbers no streams. */
  private numberOf(fields: FieldReader) {
    const bootId = fields(MetadataKey.bootId)!
    const number = Number(fields(MetadataKey.stream) ?? Number.NaN)
    if (!Number.isSafeInteger(number)) return null
    let taken: Receiver | null = null
    return {
      take: (receiver: Receiver) => {
        taken = receiver
        const own = this.byNumber.get(bootId) ?? new Map<number, Receiver>()
        this.byNumber.set(bootId, own.set(number, receiver))
      },
      release: () => {
        const own = this.byNumber.get(bootId)
        if (own?.get(number) === taken) own?.delete(number)
        if (own?.size === 0) this.byNumber.delete(bootId)
      },
    }
  }

  private hello(call: PeerCall): void {
    const { identity, onName } = this.options
    const { request, name } = decodeHelloRequest(call.request)
    if (name !== '') onName(request.serverId, name)
    this.route(request, call, (handler) =>
      handler.handleHello(request, (status, response) => {
        const extras = { name: identity.name, clusterId: identity.clusterId, version: identity.version }
        this.answer(request.serverId, call, () => call.answer(status, response && encodeHelloResponse(response, extras)))
      }),
    )
  }

  private unary<M extends Exclude<PeerMethod, 'hello'>>(method: M, call: PeerCall): void {
    const codec = peerMethodCodecs[method] as PeerMethodCodec<M>
    const request = codec.decodeRequest(call.request)
    this.route(request, call, (handler) => {
      const handle = handler[handlers[method]] as HandlerOf<M>
      handle.call(handler, request, (status, response) =>
        this.answer(request.serverId, call, () => call.answer(status, response && codec.encodeResponse(response))),
      )
    })
  }

  private route(request: Addressed, call: PeerCall, run: Routed): void {
    const { nodes, executor, identity, faults, onAlive } = this.options
    // As on a cut link: no word, not even a refusal. The caller's deadline ends the call.
    if (faults.isCutFrom(request.serverId)) return call.drop()
    onAlive(request.serverId)
    executor.post(() => {
      const node = nodes.get(request.groupId, request.peerId)
      const mismatch = node && identity.groupMismatch(request.groupId, call.fields(MetadataKey.groupUid))
      if (mismatch) this.answer(request.serverId, call, () => call.answer(Status.error(ErrorCode.EPERM, mismatch)))
      else if (node) run(node.handler)
      else this.answer(request.serverId, call, () => call.answer(noSuchNode(request.groupId, request.peerId)))
    }, 'peer request')
  }

  /** Lets an answer go to `peer`; a fault may hold it back or lose it. */
  private answer(peer: PeerId, call: PeerCall, send: () => void): void {
    const { faults } = this.options
    if (faults.isCutTo(peer) || faults.loses(peer)) return call.drop()
    const delayMs = faults.delayTo(peer)
    if (delayMs > 0) setTimeout(send, delayMs)
    else send()
  }

  /** Why this caller may not speak to a member at all; null when it may. */
  private refusal(fields: FieldReader): Status | null {
    if (!fields(MetadataKey.bootId))
      return Status.error(ErrorCode.EPERM, 'no raftctl metadata: only raftctl nodes may call raftctl.v1.Peer')
    const mismatch = this.options.identity.clusterMismatch(fields(MetadataKey.clusterId))
    return mismatch ? Status.error(ErrorCode.EPERM, mismatch) : null
  }

  /** A stream that lost something must not go on as if it had not. */
  private dropStreamsOf(addresses: ReadonlySet<string>): void {
    for (const stream of [...this.streams])
      if (addresses.has(stream.route.from.address)) stream.end(`the link to ${stream.route.from} was changed on purpose`)
    for (const [stream, address] of [...this.heartbeats])
      if (addresses.has(address)) stream.end(Status.error(ErrorCode.EHOSTDOWN, `the link to ${address} was changed on purpose`))
  }
}

class Receiver implements AppendReceiver, BeatTarget {
  private readonly back = new DelayedLink()
  private over = false
  /** Whom it is for, and as of when. */
  private found: PeerHandler | null = null
  private foundAt = -1

  constructor(
    private readonly options: PeerServiceOptions,
    readonly route: StreamRoute & { readonly uid: string | undefined },
    private readonly sink: AppendSink,
    private readonly gone: (receiver: Receiver) => void,
  ) {}

  frame(bytes: Buffer, reply: FrameReply): void {
    const { executor, checksum, faults } = this.options
    const { route } = this
    const { seq, status, request } = decodeFrame(bytes, route, checksum)
    const acknowledge: Answer<AppendEntriesResponse> = (outcome, response) => {
      if (this.over || faults.isCutTo(route.from)) return reply.drop()
      if (faults.loses(route.from)) {
        this.end('an answer was lost on purpose')
        return reply.drop()
      }
      this.back.pass(faults.delayTo(route.from), () => (this.over ? reply.drop() : reply.acknowledge(encodeAck(seq, outcome, response))))
    }
    if (!request) return acknowledge(status)
    executor.post(() => this.handle(request, acknowledge), 'append frame')
  }

  get isOver(): boolean {
    return this.over
  }

  requestOf({ term, prevLogTerm, prevLogIndex, committedIndex, outranked }: Beat): AppendEntriesRequest {
    const { groupId, from, to } = this.route
    const request: AppendEntriesRequest = {
      groupId,
      serverId: from,
      peerId: to,
      term: asTerm(term),
      prevLogTerm: asTerm(prevLogTerm),
      prevLogIndex: logIndex(prevLogIndex),
      committedIndex: logIndex(committedIndex),
      entries: null,
    }
    return outranked ? { ...request, outranked } : request
  }

  beat(request: AppendEntriesRequest, answer: Answer<AppendEntriesResponse>): boolean {
    if (this.over || this.options.faults.concerns(this.route.from)) return false
    this.handle(request, answer)
    return true
  }

  private handle(request: AppendEntriesRequest, answer: Answer<AppendEntriesResponse>): void {
    const { nodes, identity } = this.options
    const now = nodes.version + identity.groupsVersion
    if (this.found && this.foundAt === now) return this.found.handleAppendEntries(request, answer)
    this.found = null
    const { groupId, to, uid } = this.route
    const node = nodes.get(groupId, to)
    if (!node) return answer(noSuchNode(groupId, to))
    // Looked at again: the group may have been removed and created anew since the stream was opened.
    const mismatch = identity.groupMismatch(groupId, uid)
    if (mismatch) return answer(Status.error(ErrorCode.EPERM, mismatch))
    this.found = node.handler
    this.foundAt = now
    node.handler.handleAppendEntries(request, answer)
  }

  closed(): void {
    if (this.over) return
    this.over = true
    this.gone(this)
    const { nodes, executor } = this.options
    const { groupId, from, to } = this.route
    executor.post(() => nodes.get(groupId, to)?.handler.handleStreamBroken(from), 'append stream broken')
  }

  end(why: string): void {
    if (this.over) return
    this.closed()
    this.sink.end(Status.error(ErrorCode.EHOSTDOWN, why))
  }
}

/** Takes what is said and does nothing with it, as a cut link. */
const DEAF: AppendReceiver = { frame: (_bytes, reply) => reply.drop(), closed: () => {} }

type UnaryPeerMethod = Exclude<PeerMethod, 'hello'>

/** Which method of a handler answers which call. */
const handlers = {
  preVote: 'handlePreVote',
  requestVote: 'handleRequestVote',
  timeoutNow: 'handleTimeoutNow',
  installSnapshot: 'handleInstallSnapshot',
  getFile: 'handleGetFile',
  settle: 'handleSettle',
  readIndex: 'handleReadIndex',
  release: 'handleRelease',
} as const satisfies Record<UnaryPeerMethod, keyof PeerHandler>

type HandlerOf<M extends PeerMethod> = (request: PeerCalls[M]['request'], answer: Answer<PeerCalls[M]['response']>) => void

const methodByName = new Map(Object.entries(peerMethodCodecs).map(([method, { name }]) => [name, method as UnaryPeerMethod]))

/** Names of the calls that have a handler. */
export const UNARY_METHODS = [
  PING,
  'Hello',
  'PreVote',
  'RequestVote',
  'TimeoutNow',
  'InstallSnapshot',
  'GetFile',
  'Settle',
  'ReadIndex',
  'Release',
] as const
export type UnaryMethod = (typeof UNARY_METHODS)[number]

function routeOf(fields: FieldReader): StreamRoute | null {
  const from = PeerId.parse(fields(MetadataKey.from) ?? '')
  const to = PeerId.parse(fields(MetadataKey.to) ?? '')
  const group = fields(MetadataKey.group)
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

const NO_BYTES = Buffer.alloc(0)
