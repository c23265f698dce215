import http2 from 'node:http2'
import type net from 'node:net'
import { ErrorCode, Status } from '../raft/errors.js'
import { BrpcCode } from './braft-error.js'
import { ConnectBackoff } from './connect-backoff.js'
import { dial, dialProblem, isRefused, NameCheck } from './dial.js'
import { MetadataKey } from './identity.js'
import { MessageReader } from './message-reader.js'
import type { CallHeaders, ChannelCall, ChannelEvents, ChannelOptions, ChannelStream, PeerChannel } from './peer-channel.js'
import { GRPC_PREFIX_BYTES } from './peer-codec.js'
import { Peer } from './peer-definition.js'

/** An unread answer may hold this much back; acknowledgements are small. */
const WINDOW_BYTES = 1024 * 1024

/**
 * One HTTP/2 connection to one peer, speaking gRPC; all calls and streams to that peer share it.
 *
 * Written on node:http2: a gRPC client library costs ten times as much per message, copies every payload, and hides
 * when a connection is lost. Connects on demand, gives up after `connectTimeoutMs`, finds half-open connections by ping.
 * When the connection is lost every stream ends at once, with a status that says how.
 */
export class GrpcPeerChannel implements PeerChannel {
  private session: http2.ClientHttp2Session | null = null
  private readonly streams = new Set<Stream>()
  private readonly backoff = new ConnectBackoff()
  private readonly nameCheck: NameCheck

  constructor(private readonly options: ChannelOptions) {
    this.nameCheck = new NameCheck(options)
  }

  call(method: string, request: Buffer, { fields, timeoutMs }: CallHeaders, events: ChannelEvents): ChannelCall {
    const stream = this.open(method, { ...fields, 'grpc-timeout': `${Math.ceil(timeoutMs)}m` }, events)
    stream.send(prefixed(request), null)
    stream.end()
    return stream
  }

  openAppend(fields: Readonly<Record<string, string>>, events: ChannelEvents): ChannelStream {
    return this.open('Append', fields, events)
  }

  resetBackoff(): void {
    this.backoff.reset()
  }

  lookAgain(): void {
    const { session } = this
    if (session?.socket) this.nameCheck.look(session.socket as net.Socket, () => session.destroy())
  }

  private open(method: string, fields: Readonly<Record<string, string>>, events: ChannelEvents): Stream {
    const stream = new Stream(events, (gone) => this.streams.delete(gone))
    const { refusal } = this.backoff
    if (refusal) {
      setImmediate(() => stream.finish(refusal))
      return stream
    }
    this.streams.add(stream)
    const path = `/${Peer.name}/${method}`
    stream.start(this.ensureSession(), { ':method': 'POST', ':path': path, 'content-type': 'application/grpc', te: 'trailers', ...fields })
    return stream
  }

  close(status: Status): void {
    const session = this.session
    this.session = null
    this.endStreams(status)
    session?.destroy()
  }

  private endStreams(status: Status): void {
    for (const stream of [...this.streams]) stream.finish(status)
  }

  private ensureSession(): http2.ClientHttp2Session {
    if (this.session && !this.session.closed && !this.session.destroyed) return this.session
    const { host, port } = this.options
    const session = http2.connect(`http://${host}:${port}`, {
      settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
      createConnection: () => dial(this.options),
    })
    this.session = session
    this.watch(session)
    return session
  }

  private watch(session: http2.ClientHttp2Session): void {
    let failure = Status.error(ErrorCode.ECONNRESET, 'the connection was closed')
    let greeted = false
    const connecting = setTimeout(() => {
      failure = Status.error(ErrorCode.EHOSTDOWN, `no connection within ${this.options.connectTimeoutMs} ms`)
      session.destroy()
    }, this.options.connectTimeoutMs)
    let ping: NodeJS.Timeout | null = null
    session.on('connect', () => {
      clearTimeout(connecting)
      ping = setInterval(() => this.ping(session), this.options.pingIntervalMs)
      ping.unref()
    })
    // Only its own first words prove a peer: something else may accept at that address and hang up on everybody.
    session.on('remoteSettings', () => {
      greeted = true
      this.resetBackoff()
    })
    session.on('error', (error: NodeJS.ErrnoException) => {
      if (failure.code === ErrorCode.ECONNRESET) failure = connectionFailure(error, this.options.host)
    })
    session.on('goaway', () => {
      // No new calls on it; what is under way may still be answered.
      if (this.session === session) this.session = null
    })
    session.on('close', () => {
      clearTimeout(connecting)
      if (ping) clearInterval(ping)
      if (this.session === session) this.session = null
      if (!greeted) this.backoff.failed(failure)
      for (const stream of [...this.streams]) if (stream.session === session) stream.finish(failure)
    })
  }

  private ping(session: http2.ClientHttp2Session): void {
    if (session.destroyed || session.closed || this.streams.size === 0) return
    const { pingTimeoutMs } = this.options
    const late = setTimeout(() => session.destroy(new Error(`no answer to a ping within ${pingTimeoutMs} ms`)), pingTimeoutMs)
    late.unref()
    if (!session.ping(() => clearTimeout(late))) clearTimeout(late)
  }
}

/** How a lost or refused connection reads to the engine. */
function connectionFailure(error: NodeJS.ErrnoException, host: string): Status {
  if (isRefused(error)) return Status.error(ErrorCode.ECONNREFUSED, 'connection refused')
  if (error.code === 'ECONNRESET' || error.code === 'EPIPE') return Status.error(ErrorCode.ECONNRESET, error.message)
  return Status.error(ErrorCode.EHOSTDOWN, dialProblem(error, host))
}

class Stream implements ChannelStream {
  session: http2.ClientHttp2Session | null = null
  private stream: http2.ClientHttp2Stream | null = null
  private finished = false
  private corked = false
  private outcome: Status | null = null
  private readonly reader = new MessageReader()

  constructor(
    private readonly events: ChannelEvents,
    private readonly gone: (stream: Stream) => void,
  ) {}

  start(session: http2.ClientHttp2Session, headers: http2.OutgoingHttpHeaders): void {
    const stream = session.request(headers)
    this.session = session
    this.stream = stream
    stream.on('response', (headers) => {
      if (this.finished) return
      if (headers[':status'] !== 200) return this.finish(Status.error(ErrorCode.EREQUEST, `HTTP status ${headers[':status']}`))
      if (headers['grpc-status'] !== undefined) this.outcome = statusOf(headers)
      else this.events.opened((key) => headers[key] as string | undefined)
    })
    stream.on('trailers', (trailers) => {
      this.outcome = statusOf(trailers)
    })
    stream.on('data', (chunk: Buffer) => this.receive(chunk))
    stream.on('end', () => this.outcome && this.finish(this.outcome))
    // 'close' follows every error, and where the whole connection is lost its own 'close' knows why.
    stream.on('error', () => {})
    stream.on('close', () => {
      if (this.outcome || !session.destroyed) this.finish(this.outcome ?? Status.error(ErrorCode.ECONNRESET, 'the stream was reset'))
    })
  }

  get bufferedBytes(): number {
    return this.stream?.writableLength ?? 0
  }

  /** What is sent in one turn leaves together. */
  send(head: Buffer, rest: Buffer | null): void {
    const stream = this.stream
    if (!stream || this.finished || stream.destroyed || stream.writableEnded) return
    if (!this.corked) {
      this.corked = true
      stream.cork()
      process.nextTick(() => {
        this.corked = false
        stream.uncork()
      })
    }
    stream.write(head)
    if (rest) stream.write(rest)
  }

  /** No more messages from this side. */
  end(): void {
    if (this.stream && !this.stream.destroyed) this.stream.end()
  }

  cancel(): void {
    if (this.finished) return
    this.finished = true
    this.gone(this)
    this.stream?.close(http2.constants.NGHTTP2_CANCEL)
  }

  finish(status: Status): void {
    if (this.finished) return
    this.finished = true
    this.gone(this)
    if (this.stream && !this.stream.destroyed) this.stream.close(http2.constants.NGHTTP2_CANCEL)
    this.events.ended(status)
  }

  private receive(chunk: Buffer): void {
    if (this.finished) return
    const problem = this.reader.push(chunk, (message) => !this.finished && this.events.message(message))
    if (problem) this.finish(Status.error(ErrorCode.EREQUEST, problem))
  }
}

function prefixed(body: Buffer): Buffer {
  const message = Buffer.allocUnsafe(GRPC_PREFIX_BYTES + body.length)
  message[0] = 0
  message.writeUInt32BE(body.length, 1)
  body.copy(message, GRPC_PREFIX_BYTES)
  return message
}

const GRPC_UNIMPLEMENTED = '12'
const GRPC_FAILED_PRECONDITION = '9'
const GRPC_UNAVAILABLE = '14'
const GRPC_DEADLINE_EXCEEDED = '4'

/** The outcome of a call from its trailers: our own error number when the peer sent one. */
function statusOf(trailers: http2.IncomingHttpHeaders): Status {
  const code = trailers['grpc-status']
  if (code === '0') return Status.OK
  const message = decodeMessage(String(trailers['grpc-message'] ?? ''))
  const errno = Number(trailers[MetadataKey.errno])
  if (Number.isInteger(errno) && errno > 0) return new Status(errno, message)
  if (code === GRPC_DEADLINE_EXCEEDED) return Status.error(ErrorCode.ETIMEDOUT, message)
  if (code === GRPC_UNIMPLEMENTED) return new Status(BrpcCode.ENOMETHOD, message)
  // Of the guard before every call: this is another cluster.
  if (code === GRPC_FAILED_PRECONDITION) return Status.error(ErrorCode.EPERM, message)
  if (code === GRPC_UNAVAILABLE) return Status.error(ErrorCode.EHOSTDOWN, message)
  return Status.error(ErrorCode.EREQUEST, `gRPC status ${code}: ${message}`)
}

function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
