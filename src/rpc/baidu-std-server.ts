import type * as net from 'node:net'
import { Status } from '../raft/errors.js'
import { encodeFrame, type Frame, FrameReader, responseMeta, splitBody } from './baidu-std.js'
import { BrpcCode, decorate } from './braft-error.js'
import { CorkedWriter } from './corked-writer.js'
import { dispatch, type ServiceRegistry } from './service.js'

export interface BaiduStdServerOptions {
  /** How long a begun frame may take to arrive. */
  readonly frameTimeoutMs: number
  /** Calls of one connection that may wait for their answer; more are answered ELIMIT. */
  readonly pendingCallsMax?: number
  /** While more than this waits to be sent to a caller, nothing more is read from it. */
  readonly unsentBytesMax?: number
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

class Connection {
  private readonly reader = new FrameReader()
  private readonly writer: CorkedWriter
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
    this.writer = new CorkedWriter(socket)
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
    if (this.socket.writableLength > this.unsentBytesMax) this.socket.pause()
  }

  private stopFrameTimer(): void {
    if (this.frameTimer) clearTimeout(this.frameTimer)
    this.frameTimer = null
  }

  private serve(frame: Frame): void {
    const { meta } = frame
    const { request, correlationId } = meta
    if (!request) return this.fail(correlationId, BrpcCode.ENOSERVICE, 'Fail to find service=')
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
    const found = this.registry.find(request.serviceName, request.methodName)
    if ('problem' in found) return this.fail(correlationId, found.problem.code, found.problem.message)
    if (meta.compressType !== 0)
      return this.fail(correlationId, BrpcCode.EREQUEST, `Fail to parse request, compress_type=${meta.compressType} is not spoken here`)

    this.pending++
    const context = { protocol: 'baidu_std', attachment: parts.attachment, peerAddress: this.peerAddress, fields: meta.userFields } as const
    dispatch(found.method, parts.message, context, (status, response, attachment) => {
      this.pending--
      if (!status.ok) this.fail(correlationId, status.code, status.message)
      else
        this.writer.write(
          encodeFrame(responseMeta(correlationId, { errorCode: 0, errorText: '' }, attachment.length), response),
          attachment,
        )
      this.endWhenDone()
    })
  }

  /** No message and no attachment travel with an error. brpc rewrites -1 to EINTERNAL. */
  private fail(correlationId: bigint, code: number, text: string): void {
    const errorCode = code === -1 ? BrpcCode.EINTERNAL : code
    const errorText = decorate(new Status(errorCode, text), this.serverAddress)
    this.writer.write(encodeFrame(responseMeta(correlationId, { errorCode, errorText }), NO_BYTES))
  }

  private endWhenDone(): void {
    if (this.draining && this.pending === 0) this.writer.end()
  }
}

const NO_BYTES = Buffer.alloc(0)
