import * as net from 'node:net'
import { BaiduStdServer } from './baidu-std-server.js'
import type { Handlers, Methods, Service } from './grpc.js'
import { grpcServices } from './grpc-adapter.js'
import type { CallGuard } from './grpc-exchange.js'
import { GrpcServer } from './grpc-server.js'
import { type HttpHandler, HttpServer } from './http.js'
import { type RpcService, ServiceRegistry } from './service.js'

/** How much the port puts up with. */
export interface ServerLimits {
  /** Connections of all protocols together; more are closed at once. */
  readonly maxConnections: number
  /** How long a caller may take to say which protocol it speaks. */
  readonly detectTimeoutMs: number
  /** How long a begun baidu_std frame or HTTP request may take to arrive. */
  readonly requestTimeoutMs: number
}

export const DEFAULT_LIMITS: ServerLimits = { maxConnections: 4096, detectTimeoutMs: 10_000, requestTimeoutMs: 60_000 }

export interface RpcServerOptions {
  readonly limits?: Partial<ServerLimits>
  /** Around every gRPC call. */
  readonly guard?: CallGuard
}

/** Where a port is opened. Port 0: any that is free. */
export interface ListenAddress {
  readonly host: string
  readonly port: number
}

/** Why a port could not be opened; `code` is the system's (EADDRINUSE, EACCES, EADDRNOTAVAIL, ENOTFOUND, …). */
export class ListenError extends Error {
  override name = 'ListenError'

  constructor(
    readonly code: string,
    readonly address: ListenAddress,
    cause: Error,
  ) {
    super(`cannot listen on ${address.host}:${address.port}: ${LISTEN_REASONS[code] ?? cause.message}`, { cause })
  }
}

const LISTEN_REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is in use by another process',
  EACCES: 'this user may not open that port',
  EADDRNOTAVAIL: 'the address does not belong to this machine',
  ENOTFOUND: 'the host name is unknown',
  EAI_AGAIN: 'the host name cannot be resolved now',
}

export const LOOPBACK = '127.0.0.1'

type Protocol = 'baidu_std' | 'http2' | 'http1'

/**
 * The one port of a process. The first bytes of a connection decide what it speaks: baidu_std, gRPC over HTTP/2 or HTTP/1;
 * whoever says anything else is closed.
 *
 * Owns the listening socket and every connection of it. Register services and routes before `listen`. A `RpcService` is
 * reachable by all protocols, a gRPC service by gRPC alone.
 *
 * Nothing a caller sends, breaks off or withholds may throw out of here or grow without bound: every socket has an error
 * handler, a message is at most 64 MiB, what is begun must be finished in time, and connections are counted.
 */
export class RpcServer {
  private readonly limits: ServerLimits
  private readonly registry = new ServiceRegistry()
  private readonly listener: net.Server
  private readonly grpc: GrpcServer
  private readonly baiduStd: BaiduStdServer
  private readonly http: HttpServer
  private readonly sockets = new Set<net.Socket>()
  private closing: Promise<void> | null = null

  constructor(options: RpcServerOptions = {}) {
    this.limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.listener = net.createServer({ noDelay: true, keepAlive: true }, (socket) => this.accept(socket))
    this.listener.maxConnections = this.limits.maxConnections
    this.grpc = new GrpcServer(options.guard)
    this.baiduStd = new BaiduStdServer(this.registry, { frameTimeoutMs: this.limits.requestTimeoutMs })
    this.http = new HttpServer(this.registry, { requestTimeoutMs: this.limits.requestTimeoutMs })
  }

  /** Serves a gRPC service; methods without a handler answer UNIMPLEMENTED. */
  addGrpcService<M extends Methods>(service: Service<M>, handlers: Handlers<M>): void {
    this.grpc.addService(service, handlers)
  }

  /** Serves a service by every protocol, under its full and its short name. */
  addService(service: RpcService): void {
    this.registry.add(service)
    for (const { service: one, handlers } of grpcServices(service)) this.grpc.addService(one, handlers)
  }

  /** Serves a service by baidu_std alone: its gRPC form has streams, which baidu_std knows nothing of. */
  addBaiduStdService(service: RpcService): void {
    this.registry.add(service)
  }

  /** Answers `GET path`; a path that ends in `/` also answers what is below it. */
  addRoute(path: string, handler: HttpHandler): void {
    this.http.addRoute(path, handler)
  }

  /** Opens the port, on loopback unless told otherwise; port 0 takes a free one. Throws ListenError. */
  listen(address: Partial<ListenAddress> = {}): Promise<ListenAddress> {
    const wanted = { host: address.host ?? LOOPBACK, port: address.port ?? 0 }
    return new Promise((resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) => reject(new ListenError(error.code ?? 'EUNKNOWN', wanted, error))
      this.listener.once('error', failed)
      this.listener.listen({ host: wanted.host.replace(/^\[(.*)\]$/, '$1'), port: wanted.port, exclusive: true }, () => {
        this.listener.off('error', failed)
        this.listener.on('error', () => {}) // an accept that failed (no descriptors left) must not end the process
        resolve({ host: wanted.host, port: (this.listener.address() as net.AddressInfo).port })
      })
    })
  }

  /** How many connections are open. */
  get connections(): number {
    return this.sockets.size
  }

  /** Takes no new connection or call, lets running ones finish until the deadline, then cuts them. Always resolves. */
  close({ deadlineMs }: { deadlineMs: number }): Promise<void> {
    this.closing ??= new Promise((resolve) => {
      const cut = setTimeout(() => {
        for (const socket of this.sockets) socket.destroy()
      }, deadlineMs)
      this.listener.close(() => {
        clearTimeout(cut)
        this.grpc.destroy()
        this.http.closed()
        this.sockets.clear() // all of them ended; their own events come a turn later
        resolve()
      })
      this.baiduStd.drain()
      this.http.drain()
      this.grpc.drain()
      for (const socket of this.sockets) if (undecided.has(socket)) socket.destroy()
    })
    return this.closing
  }

  private accept(socket: net.Socket): void {
    this.sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.once('close', () => this.sockets.delete(socket))
    detectProtocol(socket, this.limits.detectTimeoutMs, (protocol, first) => {
      if (protocol === 'baidu_std') return this.baiduStd.serve(socket, first)
      socket.unshift(first)
      if (protocol === 'http2') this.grpc.serve(socket)
      else this.http.serve(socket)
    })
  }
}

/** Connections that have not said yet what they speak. */
const undecided = new WeakSet<net.Socket>()

const HTTP_METHODS = ['GET ', 'POST ', 'HEAD ', 'PUT ', 'DELETE ', 'OPTIONS ', 'PATCH ']
const OPENINGS: readonly { opening: Buffer; protocol: Protocol }[] = [
  { opening: Buffer.from('PRPC'), protocol: 'baidu_std' },
  { opening: Buffer.from('PRI * HTTP/2.0\r\n'), protocol: 'http2' },
  ...HTTP_METHODS.map((method) => ({ opening: Buffer.from(method), protocol: 'http1' as const })),
]

/** Reads until the protocol is certain and gives the socket, not flowing, with what was read; closes it when it cannot be any. */
function detectProtocol(socket: net.Socket, timeoutMs: number, done: (protocol: Protocol, first: Buffer) => void): void {
  let first: Buffer = Buffer.alloc(0)
  undecided.add(socket)
  const timer = setTimeout(() => socket.destroy(), timeoutMs)
  const settle = () => {
    clearTimeout(timer)
    undecided.delete(socket)
    socket.off('data', read)
    socket.off('end', settle)
    socket.off('close', settle)
    socket.pause()
  }
  const read = (chunk: Buffer) => {
    first = first.length === 0 ? chunk : Buffer.concat([first, chunk])
    const protocol = protocolOf(first)
    if (protocol === 'unsure') return
    settle()
    if (protocol === null) socket.destroy()
    else done(protocol, first)
  }
  socket.on('data', read)
  socket.once('end', settle)
  socket.once('close', settle)
}

/** What the first bytes say; null when no protocol starts so. */
export function protocolOf(first: Buffer): Protocol | 'unsure' | null {
  let unsure = false
  for (const { opening, protocol } of OPENINGS) {
    const length = Math.min(first.length, opening.length)
    if (first.compare(opening, 0, length, 0, length) !== 0) continue
    if (length === opening.length) return protocol
    unsure = true
  }
  return unsure ? 'unsure' : null
}
