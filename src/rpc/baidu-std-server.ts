import type * as net from 'node:net'
import { Status } from '../raft/errors.js'
import { type Frame, FrameReader, responseMeta, splitBody, writeFrame } from './baidu-std.js'
import { BrpcCode, decorate } from './braft-error.js'
import { MAX_MESSAGE_BYTES } from './grpc.js'
import { COPIED_BYTES_MAX } from './http2/pieces.js'
import { FrameError, type FrameMeta, type RequestMeta } from './rpc-meta.js'
import { type CallConnection, type CallContext, dispatch, type RpcMethod, type ServiceRegistry } from './service.js'
import { TurnWriter } from './turn-writer.js'

export interface BaiduStdServerOptions {
  /** How long a begun frame may take to arrive. */
  readonly frameTimeoutMs: number
  /** Calls of one connection that may wait for their answer; more are answered ELIMIT. */
  readonly pendingCallsMax?: number
  /** While more than this waits to be sent to a caller, nothing more is read from it. */
  readonly unsentBytesMax?: number
  /** While more than this waits to be sent, calls that were read already are answered EOVERCROWDED (brpc's limit). */
  readonly overcrowdedBytes?: number
}

/**
 * The server side of baidu_std: any number of connections, each with many calls in flight, answered in any order.
 * RpcServer hands over sockets. A connection is closed when its bytes are no frames; a call that cannot be served is answered.
 */
export class BaiduStdServer {
  private readonly connections = new Set<Connection>()
  private draining = false

  constructor(
    private readonly registry: ServiceRegistry,
    private readonly options: BaiduStdServerOptions,
  ) {}

  /** Takes a paused socket that sent `first`. */
  serve(socket: net.Socket, first: Buffer): void {
    const connection = new Connection(socket, this.registry, this.options)
    this.connections.add(connection)
    socket.once('close', () => this.connections.delete(connection))
    if (this.draining) connection.drain()
    connection.start(first)
  }

  /** Answers new calls ELOGOFF and ends each connection once its calls are answered. */
  drain(): void {
    this.draining = true
    for (const connection of this.connections) connection.drain()
  }
}

class Connection implements CallConnection {
  private readonly reader = new FrameReader()
  private readonly writer: TurnWriter
  readonly peerAddress: string
  private readonly pendingCallsMax: number
  private readonly unsentBytesMax: number
  private pending = 0
  private draining = false
  private frameTimer: NodeJS.Timeout | null = null
  /** What was called last, and the method that was found: the reader gives the same object again for the same bytes. */
  private lastRequest: RequestMeta | null = null
  private lastMethod: RpcMethod | null = null

  constructor(
    private readonly socket: net.Socket,
    private readonly registry: ServiceRegistry,
    private readonly options: BaiduStdServerOptions,
  ) {
    this.writer = new TurnWriter(socket)
    this.peerAddress = `${socket.remoteAddress}:${socket.remotePort}`
    this.pendingCallsMax = options.pendingCallsMax ?? 8192
    this.unsentBytesMax = options.unsentBytesMax ?? 4 * 1024 * 1024
  }

  start(first: Buffer): void {
    this.socket.on('data', (chunk) => this.received(chunk))
    this.socket.on('drain', () => this.socket.resume())
    this.socket.once('close', () => this.stopFrameTimer())
    this.received(first)
    if (this.socket.writableLength <= this.unsentBytesMax) this.socket.resume()
  }

  drain(): void {
    this.draining = true
    this.endWhenDone()
  }

  private received(chunk: Buffer): void {
    try {
      this.reader.read(chunk, (frame) => {
        this.stopFrameTimer()
        this.serve(frame)
      })
    } catch {
      this.socket.destroy() // FrameError: as brpc, a broken stream is not answered
      return
    }
    if (this.reader.isMidFrame) this.frameTimer ??= setTimeout(() => this.socket.destroy(), this.options.frameTimeoutMs)
    if (this.writer.unsentBytes <= this.unsentBytesMax) return
    this.writer.flush()
    if (this.socket.writableLength > this.unsentBytesMax) this.socket.pause()
  }

  private stopFrameTimer(): void {
    if (this.frameTimer) clearTimeout(this.frameTimer)
    this.frameTimer = null
  }

  onClose(listener: () => void): void {
    if (this.socket.destroyed) listener()
    else this.socket.once('close', listener)
  }

  /** In brpc's order, so that a call that is wrong in two ways is told the same of them. */
  private serve(frame: Frame): void {
    const { meta } = frame
    const { correlationId } = meta
    if (this.draining) return this.fail(correlationId, BrpcCode.ELOGOFF, 'Server is stopping')
    if (this.pending >= this.pendingCallsMax)
      return this.fail(correlationId, BrpcCode.ELIMIT, `Reached the limit of ${this.pendingCallsMax} calls in flight`)
    const parts = splitBody(frame)
    if (!parts) {
      return this.fail(
        correlationId,
        BrpcCode.EREQUEST,
        `attachment_size=${meta.attachmentSize} is larger than request_size=${frame.body.length}`,
      )
    }
    const method = this.methodOf(meta.request)
    if (method instanceof Status) return this.fail(correlationId, method.code, method.message)
    if (this.writer.unsentBytes > (this.options.overcrowdedBytes ?? MAX_MESSAGE_BYTES))
      return this.fail(correlationId, BrpcCode.EOVERCROWDED, `${this.writer.unsentBytes} bytes wait to be sent`, method)
    if (meta.compressType !== 0) {
      const text = `Fail to parse request, compress_type=${meta.compressType} is not spoken here`
      return this.fail(correlationId, BrpcCode.EREQUEST, text, method)
    }

    this.pending++
    const call = new Call(this, meta, parts.attachment)
    dispatch(method, parts.message, call, (status, response, attachment) => {
      if (!status.ok) this.fail(correlationId, status.code, status.message, method)
      else this.answer(correlationId, method, response, attachment)
      this.over()
    })
  }

  private methodOf(request: RequestMeta | null): RpcMethod | Status {
    if (request !== null && request === this.lastRequest) return this.lastMethod!
    const found = this.registry.find(request?.serviceName ?? '', request?.methodName ?? '')
    if ('problem' in found) return found.problem
    this.lastRequest = request
    this.lastMethod = found.method
    return found.method
  }

  /** A call was answered, or will not be. */
  over(): void {
    this.pending--
    this.endWhenDone()
  }

  private answer(correlationId: bigint, method: RpcMethod, response: Buffer, attachment: Buffer): void {
    const meta = responseMeta(correlationId, NO_ERROR, { attachmentSize: attachment.length, userFields: fieldsOf(method) })
    try {
      if (response.length > COPIED_BYTES_MAX) {
        writeFrame(this.writer, meta, NO_BYTES, response.length)
        this.writer.write(response, attachment)
      } else {
        writeFrame(this.writer, meta, response)
        if (attachment.length > 0) this.writer.write(attachment)
      }
    } catch (error) {
      if (!(error instanceof FrameError)) throw error
      this.fail(correlationId, BrpcCode.ERESPONSE, `Fail to serialize response, ${error.message}`, method)
    }
  }

  /** No message and no attachment travel with an error. brpc rewrites -1 to EINTERNAL. */
  private fail(correlationId: bigint, code: number, text: string, method?: RpcMethod): void {
    const errorCode = code === -1 ? BrpcCode.EINTERNAL : code
    const errorText = decorate(new Status(errorCode, text), `${this.socket.localAddress}:${this.socket.localPort}`)
    writeFrame(this.writer, responseMeta(correlationId, { errorCode, errorText }, { userFields: fieldsOf(method) }), NO_BYTES)
  }

  private endWhenDone(): void {
    if (this.draining && this.pending === 0) this.writer.end()
  }
}

/** What is known of one call. */
class Call implements CallContext {
  readonly protocol = 'baidu_std'
  readonly fields: ReadonlyMap<string, string>
  readonly logId: bigint | undefined

  constructor(
    readonly connection: Connection,
    meta: FrameMeta,
    readonly attachment: Buffer,
  ) {
    this.fields = meta.userFields
    this.logId = meta.request?.logId
  }

  get peerAddress(): string {
    return this.connection.peerAddress
  }

  drop(): void {
    this.connection.over()
  }
}

function fieldsOf(method: RpcMethod | undefined): ReadonlyMap<string, string> | undefined {
  return method?.answerFields?.()
}

const NO_ERROR = { errorCode: 0, errorText: '' }
const NO_BYTES = Buffer.alloc(0)
