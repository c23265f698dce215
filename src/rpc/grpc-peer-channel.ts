import type net from 'node:net'
import { ErrorCode, Status } from '../raft/errors.js'
import { BrpcCode } from './braft-error.js'
import { ConnectBackoff } from './connect-backoff.js'
import { dial, dialProblem, isRefused, NameCheck } from './dial.js'
import { framed } from './grpc-exchange.js'
import { ClientConnection, type ResponseReader } from './http2/client-connection.js'
import { ErrorCode as Http2Code } from './http2/error.js'
import type { HeaderField } from './http2/header-encoder.js'
import type { Stream as Http2Stream } from './http2/stream.js'
import { MetadataKey } from './identity.js'
import { MessageReader } from './message-reader.js'
import type { CallHeaders, ChannelCall, ChannelEvents, ChannelOptions, ChannelStream, FieldReader, PeerChannel } from './peer-channel.js'
import { Peer } from './peer-definition.js'

/**
 * One HTTP/2 connection to one peer, speaking gRPC; all calls and streams to that peer share it.
 *
 * Written on a connection of ours: a gRPC client library costs ten times as much per message, copies every payload, and hides
 * when a connection is lost. Connects on demand, gives up after `connectTimeoutMs`, finds half-open connections by ping.
 * When the connection is lost every stream ends at once, with a status that says how.
 */
export class GrpcPeerChannel implements PeerChannel {
  private link: Link | null = null
  private readonly streams = new Set<Stream>()
  private readonly backoff = new ConnectBackoff()
  private readonly nameCheck: NameCheck

  constructor(private readonly options: ChannelOptions) {
    this.nameCheck = new NameCheck(options)
  }

  call(method: string, request: Buffer, { fields, timeoutMs }: CallHeaders, events: ChannelEvents): ChannelCall {
    const stream = this.open(method, { ...fields, 'grpc-timeout': `${Math.ceil(timeoutMs)}m` }, events)
    stream.end(framed(request))
    return stream
  }

  openAppend(fields: Readonly<Record<string, string>>, events: ChannelEvents): ChannelStream {
    return this.open('Append', fields, events)
  }

  resetBackoff(): void {
    this.backoff.reset()
  }

  lookAgain(): void {
    const socket = this.link?.socket
    if (socket) this.nameCheck.look(socket, () => socket.destroy())
  }

  private open(method: string, fields: Readonly<Record<string, string>>, events: ChannelEvents): Stream {
    const stream = new Stream(events, (gone) => this.streams.delete(gone))
    const { refusal } = this.backoff
    if (refusal) {
      setImmediate(() => stream.finish(refusal))
      return stream
    }
    this.streams.add(stream)
    const { connection } = this.ensureLink()
    const { host, port } = this.options
    const recurring: HeaderField[] = [
      [':method', 'POST'],
      [':scheme', 'http'],
      [':authority', `${host}:${port}`],
      [':path', `/${Peer.name}/${method}`],
      ['content-type', 'application/grpc'],
      ['te', 'trailers'],
    ]
    const once: HeaderField[] = []
    for (const field of Object.entries(fields)) (SAID_ONCE.has(field[0]) ? once : recurring).push(field)
    stream.start(connection, connection.request({ recurring, once }, stream))
    return stream
  }

  close(status: Status): void {
    const { link } = this
    this.link = null
    this.endStreams(status)
    link?.socket.destroy()
  }

  private endStreams(status: Status): void {
    for (const stream of [...this.streams]) stream.finish(status)
  }

  private ensureLink(): Link {
    if (!this.link?.connection.isUsable) this.link = this.connect()
    return this.link
  }

  private connect(): Link {
    const { host, connectTimeoutMs, pingIntervalMs } = this.options
    const socket = dial(this.options)
    let failure = Status.error(ErrorCode.ECONNRESET, 'the connection was closed')
    let greeted = false
    let ping: NodeJS.Timeout | null = null
    const giveUp = (why: string) => {
      failure = Status.error(ErrorCode.EHOSTDOWN, why)
      socket.destroy()
    }
    const connecting = setTimeout(() => giveUp(`no connection within ${connectTimeoutMs} ms`), connectTimeoutMs)
    const forget = () => {
      if (this.link === link) this.link = null
    }
    const connection = new ClientConnection(socket, {
      // Only its own first words prove a peer: something else may accept at that address and hang up on everybody.
      onGreeted: () => {
        greeted = true
        this.resetBackoff()
      },
      onGoingAway: forget,
      onClosed: (problem) => {
        clearTimeout(connecting)
        if (ping) clearInterval(ping)
        if (problem !== null) failure = Status.error(ErrorCode.EHOSTDOWN, problem)
        forget()
        if (!greeted) this.backoff.failed(failure)
        for (const stream of [...this.streams]) if (stream.connection === connection) stream.finish(failure)
      },
    })
    const link: Link = { socket, connection }
    socket.on('connect', () => {
      clearTimeout(connecting)
      ping = setInterval(() => this.ping(connection, giveUp), pingIntervalMs)
      ping.unref()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (failure.code === ErrorCode.ECONNRESET) failure = connectionFailure(error, host)
    })
    return link
  }

  private ping(connection: ClientConnection, giveUp: (why: string) => void): void {
    if (connection.isOver || this.streams.size === 0) return
    const { pingTimeoutMs } = this.options
    const late = setTimeout(() => giveUp(`no answer to a ping within ${pingTimeoutMs} ms`), pingTimeoutMs)
    late.unref()
    connection.probe(() => clearTimeout(late))
  }
}

interface Link {
  readonly socket: net.Socket
  readonly connection: ClientConnection
}

/** What differs from one request to the next: not worth a place in the table that both sides keep. */
const SAID_ONCE: ReadonlySet<string> = new Set(['grpc-timeout', MetadataKey.stream])

/** How a lost or refused connection reads to the engine. */
function connectionFailure(error: NodeJS.ErrnoException, host: string): Status {
  if (isRefused(error)) return Status.error(ErrorCode.ECONNREFUSED, 'connection refused')
  if (error.code === 'ECONNRESET' || error.code === 'EPIPE') return Status.error(ErrorCode.ECONNRESET, error.message)
  return Status.error(ErrorCode.EHOSTDOWN, dialProblem(error, host))
}

class Stream implements ChannelStream, ResponseReader {
  connection: ClientConnection | null = null
  private stream: Http2Stream | null = null
  private finished = false
  private isOpened = false
  private outcome: Status | null = null
  private readonly reader = new MessageReader()

  constructor(
    private readonly events: ChannelEvents,
    private readonly gone: (stream: Stream) => void,
  ) {}

  start(connection: ClientConnection, stream: Http2Stream): void {
    this.connection = connection
    this.stream = stream
  }

  get bufferedBytes(): number {
    return this.stream && this.connection ? this.stream.queuedBytes + this.connection.unsentBytes : 0
  }

  /** What is sent in one turn leaves together. */
  send(head: Buffer, rest: Buffer | null): void {
    if (rest) this.stream?.body(head, rest)
    else this.stream?.body(head)
  }

  /** The last message from this side. */
  end(message: Buffer): void {
    this.stream?.end(null, message)
  }

  cancel(): void {
    if (this.finished) return
    this.finished = true
    this.gone(this)
    this.stream?.reset(Http2Code.CANCEL)
  }

  finish(status: Status): void {
    if (this.finished) return
    this.cancel()
    this.events.ended(status)
  }

  onHeaders(fields: readonly string[]): void {
    if (this.finished) return
    const field = readerOf(fields)
    if (this.isOpened) {
      this.outcome = statusOf(field)
      return
    }
    const status = field(':status')
    if (status !== '200') return this.finish(Status.error(ErrorCode.EREQUEST, `HTTP status ${status}`))
    this.isOpened = true
    if (field('grpc-status') !== undefined) this.outcome = statusOf(field)
    else this.events.opened(field)
  }

  onData(chunk: Buffer): void {
    const problem = this.reader.push(chunk, (message) => !this.finished && this.events.message(message))
    if (problem) this.finish(Status.error(ErrorCode.EREQUEST, problem))
  }

  onEnd(): void {}
  onDrain(): void {}

  onClose(): void {
    // Where the whole connection is lost, its own end knows why.
    if (this.outcome || !this.connection?.isOver) this.finish(this.outcome ?? Status.error(ErrorCode.ECONNRESET, 'the stream was reset'))
  }
}

/** Of names and values in turns. */
function readerOf(fields: readonly string[]): FieldReader {
  return (key) => {
    for (let i = 0; i < fields.length; i += 2) if (fields[i] === key) return fields[i + 1]
    return undefined
  }
}

const GRPC_UNIMPLEMENTED = '12'
const GRPC_FAILED_PRECONDITION = '9'
const GRPC_UNAVAILABLE = '14'
const GRPC_DEADLINE_EXCEEDED = '4'

/** The outcome of a call from its trailers: our own error number when the peer sent one. */
function statusOf(field: FieldReader): Status {
  const code = field('grpc-status')
  if (code === '0') return Status.OK
  const message = decodeMessage(field('grpc-message') ?? '')
  const errno = Number(field(MetadataKey.errno))
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
