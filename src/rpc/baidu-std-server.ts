import type * as net from 'node:net'
import { Status } from '../raft/errors.js'
import { encodeFrame, type Frame, FrameReader, responseMeta, splitBody } from './baidu-std.js'
import { BrpcCode, decorate } from './braft-error.js'
import { MAX_MESSAGE_BYTES } from './grpc.js'
import { FrameError } from './rpc-meta.js'
import { type CallConnection, dispatch, type RpcMethod, type ServiceRegistry } from './service.js'
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
  private readonly serverAddress: string
  private readonly peerAddress: string
  private readonly pendingCallsMax: number
  private readonly unsentBytesMax: number
  private pending = 0
  private draining = false
  private frameTimer: NodeJS.Timeout | null = null

  constructor(
    private readonly socket: net.Socket,
    private readonly registry: ServiceRegistry,
    private readonly options: BaiduStdServerOptions,
  ) {
    this.writer = new TurnWriter(socket)
    this.serverAddress = `${socket.localAddress}:${socket.localPort}`
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
    const { serviceName = '', methodName = '', logId } = meta.request ?? {}
    const found = this.registry.find(serviceName, methodName)
    if ('problem' in found) return this.fail(correlationId, found.problem.code, found.problem.message)
    const { method } = found
    if (this.writer.unsentBytes > (this.options.overcrowdedBytes ?? MAX_MESSAGE_BYTES))
      return this.fail(correlationId, BrpcCode.EOVERCROWDED, `${this.writer.unsentBytes} bytes wait to be sent`, method)
    if (meta.compressType !== 0) {
      const text = `Fail to parse request, compress_type=${meta.compressType} is not spoken here`
      return this.fail(correlationId, BrpcCode.EREQUEST, text, method)
    }

    this.pending++
    const over = () => {
      this.pending--
      this.endWhenDone()
    }
    const { attachment, message } = parts
    const { peerAddress } = this
    const context = {
      attachment,
      peerAddress,
      fields: meta.userFields,
      connection: this,
      drop: over,
      ...(logId === undefined ? {} : { logId }),
    }
    dispatch(method, message, { protocol: 'baidu_std', ...context }, (status, response, answered) => {
      if (!status.ok) this.fail(correlationId, status.code, status.message, method)
      else this.answer(correlationId, method, { response, attachment: answered })
      over()
    })
  }

  private answer(
    correlationId: bigint,
    method: RpcMethod,
    { response, attachment }: { readonly response: Buffer; readonly attachment: Buffer },
  ): void {
    const meta = responseMeta(correlationId, NO_ERROR, { attachmentSize: attachment.length, ...fieldsOf(method) })
    let frame: Buffer
    try {
      frame = encodeFrame(meta, response)
    } catch (error) {
      if (!(error instanceof FrameError)) throw error
      return this.fail(correlationId, BrpcCode.ERESPONSE, `Fail to serialize response, ${error.message}`, method)
    }
    this.writer.write(frame, attachment)
  }

  /** No message and no attachment travel with an error. brpc rewrites -1 to EINTERNAL. */
  private fail(correlationId: bigint, code: number, text: string, method?: RpcMethod): void {
    const errorCode = code === -1 ? BrpcCode.EINTERNAL : code
    const errorText = decorate(new Status(errorCode, text), this.serverAddress)
    this.writer.write(encodeFrame(responseMeta(correlationId, { errorCode, errorText }, fieldsOf(method)), NO_BYTES))
  }

  private endWhenDone(): void {
    if (this.draining && this.pending === 0) this.writer.end()
  }
}

function fieldsOf(method: RpcMethod | undefined): { userFields?: ReadonlyMap<string, string> } {
  return method?.answerFields ? { userFields: method.answerFields() } : {}
}

const NO_ERROR = { errorCode: 0, errorText: '' }
const NO_BYTES = Buffer.alloc(0)
