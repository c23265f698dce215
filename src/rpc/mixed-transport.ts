import type { AppendStream, AppendStreamEvents, Call, Checksum, DialResult, Transport } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { AppendEntriesRequest, GetFileRequest, PeerCalls, PeerMethod } from '../raft/messages.js'
import type { PeerId } from '../raft/peer-id.js'
import { BraftAppendStream } from './braft-append-stream.js'
import { isUnknownService, plainStatus } from './braft-error.js'
import { BraftFileReader } from './braft-file-reader.js'
import { type BraftCall, type BraftMethod, braftCalls } from './braft-requests.js'
import type { ProcessIdentity } from './identity.js'
import type { StreamRoute } from './peer-codec.js'
import { type KnownPeer, type PeerKind, PeerKinds } from './peer-kinds.js'
import { type Settle, type TimedCallContext, timedCall } from './timed-call.js'
import type { PeerTransport } from './transport.js'

export interface MixedTransportOptions extends TimedCallContext {
  /** What raftctl members of the group go on to speak to each other. */
  readonly own: PeerTransport
  readonly identity: ProcessIdentity
  readonly checksum: Checksum
  readonly connectTimeoutMs?: number
  /** How often a connection is pinged, and how long the answer may take. */
  readonly pingMs?: number
  /** It turned out what runs at the address of a member. */
  readonly onKind: (peer: PeerId, kind: PeerKind) => void
}

const DEFAULT_CONNECT_TIMEOUT_MS = 1000
const DEFAULT_PING_MS = 2000
/** Snapshots of braft members that are read at a time; the oldest is forgotten. */
const READERS_MAX = 64

/**
 * The engine's Transport in a group that may have braft members: what runs at an address is found out first, then a raftctl node is
 * spoken to as ever, and a braft node by braft.RaftService and braft.FileService over baidu_std.
 *
 * What braft does not know (hello, settle, read index, release) fails at once with ENOMETHOD.
 */
export class MixedTransport implements Transport {
  private readonly kinds: PeerKinds
  private readonly readers = new Map<string, BraftFileReader>()

  constructor(private readonly options: MixedTransportOptions) {
    const { identity, faults, connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS, pingMs = DEFAULT_PING_MS, onKind } = options
    this.kinds = new PeerKinds({ identity, faults, connectTimeoutMs, pingMs, onKind })
  }

  call<M extends PeerMethod>(
    to: PeerId,
    method: M,
    request: PeerCalls[M]['request'],
    timeoutMs: number,
    done: (status: Status, response?: PeerCalls[M]['response']) => void,
  ): Call {
    const peer = this.kinds.of(to)
    if (peer.kind) return this.callAs(peer.kind, peer, { method, request, timeoutMs, done })
    const startedAt = performance.now()
    let next: Call | null = null
    const giveUp = knownWithin(this.options, peer, timeoutMs, (kind) => {
      if (kind instanceof Status) return done(kind)
      const leftMs = Math.max(1, timeoutMs - (performance.now() - startedAt))
      next = this.callAs(kind, peer, { method, request, timeoutMs: leftMs, done })
    })
    return {
      cancel: () => {
        giveUp()
        next?.cancel()
      },
    }
  }

  openAppendStream(groupId: string, from: PeerId, to: PeerId, events: AppendStreamEvents): AppendStream {
    const peer = this.kinds.of(to)
    const open = (kind: PeerKind) =>
      kind === 'raftctl'
        ? this.options.own.openAppendStream(groupId, from, to, {
            answer: (...answer) => events.answer(...answer),
            broken: (status) => {
              if (isUnknownService(status)) peer.forget()
              events.broken(status)
            },
          })
        : this.braftStream(peer, { groupId, from, to }, events)
    return peer.kind ? open(peer.kind) : new EitherStream(this.options, peer, events, open)
  }

  dial(to: PeerId, timeoutMs: number, done: (result: DialResult) => void): void {
    this.options.own.dial(to, timeoutMs, done)
  }

  /** A call of `peer` reached us: it is up, so there is no reason to wait before connecting to it. */
  noteAlive(peer: PeerId): void {
    this.kinds.noteAlive(peer)
    this.options.own.noteAlive(peer)
  }

  close(): void {
    this.kinds.close()
    this.options.own.close()
  }

  private braftStream(peer: KnownPeer, route: StreamRoute, events: AppendStreamEvents): AppendStream {
    const stream = new BraftAppendStream(this.options, peer.client, route, events)
    const lost = (status: Status) => stream.break(status)
    peer.onLost.add(lost)
    return {
      send: (seq, request) => stream.send(seq, request),
      close: () => {
        peer.onLost.delete(lost)
        stream.close()
      },
    }
  }

  private callAs<M extends PeerMethod>(kind: PeerKind, peer: KnownPeer, call: PeerCall<M>): Call {
    if (kind === 'braft') return this.braftCall(peer, call)
    const { method, request, timeoutMs, done } = call
    return this.options.own.call(peer.peerId, method, request, timeoutMs, (status, response) => {
      if (isUnknownService(status)) peer.forget()
      done(status, response)
    })
  }

  private braftCall<M extends PeerMethod>(peer: KnownPeer, { method, request, timeoutMs, done }: PeerCall<M>): Call {
    const start = (settle: Settle<PeerCalls[M]['response']>): Call => {
      if (method === 'getFile') return this.readFile(peer, request as GetFileRequest, settle as Settle<PeerCalls['getFile']['response']>)
      if (method in braftCalls)
        return unary(peer, braftCalls[method as BraftMethod] as BraftCall<never>, request as never, settle as Settle<never>)
      settle(Status.error(ErrorCode.ENOMETHOD, `${peer.peerId} is a braft node: it knows no ${method}`))
      return { cancel: () => {} }
    }
    return timedCall(this.options, { to: peer.peerId, label: method, timeoutMs }, start, done)
  }

  private readFile(peer: KnownPeer, request: GetFileRequest, settle: Settle<PeerCalls['getFile']['response']>): Call {
    const key = `${peer.peerId.address}/${request.readerId}`
    let reader = this.readers.get(key)
    if (!reader) {
      reader = new BraftFileReader(peer.client, request.readerId, this.options.checksum)
      this.readers.set(key, reader)
      if (this.readers.size > READERS_MAX) this.readers.delete(this.readers.keys().next().value!)
    }
    return reader.read(request, settle)
  }
}

interface PeerCall<M extends PeerMethod> {
  readonly method: M
  readonly request: PeerCalls[M]['request']
  readonly timeoutMs: number
  readonly done: (status: Status, response?: PeerCalls[M]['response']) => void
}

/** Tells what kind of process the peer is, later, on the executor; ETIMEDOUT when that is not known in time. The answer gives up. */
function knownWithin(
  { executor }: TimedCallContext,
  peer: KnownPeer,
  timeoutMs: number,
  then: (kind: PeerKind | Status) => void,
): () => void {
  let over = false
  const finish = (kind: PeerKind | Status) => {
    clearTimeout(deadline)
    executor.post(() => {
      if (over) return
      over = true
      then(kind)
    }, 'peer kind')
  }
  const late = Status.error(ErrorCode.ETIMEDOUT, `no answer from ${peer.peerId} within ${timeoutMs} ms`)
  const deadline = setTimeout(() => finish(late), timeoutMs)
  peer.whenKnown(finish)
  return () => {
    over = true
    clearTimeout(deadline)
  }
}

function unary<M extends BraftMethod>(
  { client, peerId }: KnownPeer,
  { method, encode, decode }: BraftCall<M>,
  request: PeerCalls[M]['request'],
  settle: Settle<PeerCalls[M]['response']>,
): Call {
  return client.call({ service: 'braft.RaftService', method, message: encode(request) }, (status, answer) => {
    if (!status.ok) return settle(plainStatus(status))
    try {
      settle(Status.OK, decode(answer!.message))
    } catch (error) {
      settle(Status.error(ErrorCode.EREQUEST, `unreadable answer of ${peerId}: ${(error as Error).message}`))
    }
  })
}

/** An append stream that begins once it is known to what kind of peer; what is sent before waits. */
class EitherStream implements AppendStream {
  private stream: AppendStream | null = null
  private waiting: { seq: number; request: AppendEntriesRequest }[] = []
  private readonly giveUp: () => void

  constructor(
    options: MixedTransportOptions,
    peer: KnownPeer,
    { broken }: Pick<AppendStreamEvents, 'broken'>,
    open: (kind: PeerKind) => AppendStream,
  ) {
    const { connectTimeoutMs = DEFAULT_CONNECT_TIMEOUT_MS } = options
    this.giveUp = knownWithin(options, peer, connectTimeoutMs, (kind) => (kind instanceof Status ? broken(kind) : this.begin(open(kind))))
  }

  send(seq: number, request: AppendEntriesRequest): void {
    if (this.stream) this.stream.send(seq, request)
    else this.waiting.push({ seq, request })
  }

  close(): void {
    this.giveUp()
    this.waiting = []
    this.stream?.close()
  }

  private begin(stream: AppendStream): void {
    this.stream = stream
    for (const { seq, request } of this.waiting.splice(0)) stream.send(seq, request)
  }
}
