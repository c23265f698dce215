import type * as net from 'node:net'
import * as grpc from '@grpc/grpc-js'
import type { Handlers, Methods, Service } from './grpc.js'
import { type CallGuard, Exchange, type RequestHead } from './grpc-exchange.js'
import type { HandledMethod } from './grpc-method.js'
import { StreamedExchange } from './grpc-streamed.js'
import { UnaryExchange } from './grpc-unary.js'
import { ErrorCode } from './http2/error.js'
import { ServerConnection } from './http2/server-connection.js'
import type { Stream, StreamReader } from './http2/stream.js'

const STREAMS_MAX = 4096
const HEADER_LIST_BYTES_MAX = 16 * 1024
/** A connection that was silent for so long is asked whether anybody is there. */
const KEEPALIVE_MS = 30_000
/** And is closed when nobody answers for so long. */
const KEEPALIVE_TIMEOUT_MS = 20_000
const LOOK_MS = 5000
const UNSERVED = '/unknown'
const TIMEOUT = /^(\d{1,8})([HMSmun])$/
const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }
const TIMEOUT_MS_MAX = 2 ** 31 - 1

const UNGUARDED: CallGuard = { refusal: () => null, introduction: () => NOBODY, onEnd: () => {} }
const NOBODY: [] = []

/** What the header fields of a request ask for. */
interface Asked {
  readonly fields: readonly string[]
  /** Null: it is no request of HTTP/2. */
  readonly head: RequestHead | null
  /** The HTTP status for what is no request of gRPC; null for one that is. */
  readonly refused: string | null
}

/**
 * Serves gRPC on connections that it is given. Written for what grpc-js costs a call: there a unary call takes two orders of
 * magnitude more of the processor than its frames do. Clients are grpc-js's as before.
 *
 * What it does not have: compression, and streams of requests that are answered once. No method here needs them.
 */
export class GrpcServer {
  private readonly methods = new Map<string, HandledMethod>()
  private readonly connections = new Set<ServerConnection>()
  private timer: NodeJS.Timeout | null = null
  private isDraining = false

  constructor(private readonly guard: CallGuard = UNGUARDED) {}

  /** Methods without a handler answer UNIMPLEMENTED. */
  addService<M extends Methods>(service: Service<M>, handlers: Handlers<M>): void {
    for (const [name, method] of Object.entries(service.methods)) {
      const handler = handlers[name]
      if (handler) this.methods.set(`/${service.name}/${name}`, { ...method, handler } as HandledMethod)
    }
  }

  /** `socket` is paused; what was read of it was put back. */
  serve(socket: net.Socket): void {
    let asked: Asked | null = null
    const connection = new ServerConnection(socket, {
      streamsMax: STREAMS_MAX,
      headerListBytesMax: HEADER_LIST_BYTES_MAX,
      onRequest: (stream, fields, { peerAddress }) => {
        // Callers say the same of call after call, and are judged once.
        if (asked?.fields !== fields) asked = { fields, head: headOf(fields, peerAddress), refused: refusalOf(fields) }
        return this.request(stream, asked)
      },
      onOversized: (stream) => tooLarge(stream),
      onClosed: (closed) => this.connections.delete(closed),
    })
    this.connections.add(connection)
    if (this.isDraining) connection.drain()
    this.timer ??= setInterval(() => this.look(), LOOK_MS).unref()
  }

  /** Takes no call any more, and closes each connection when its calls are answered. */
  drain(): void {
    this.isDraining = true
    for (const connection of [...this.connections]) connection.drain()
  }

  /** Breaks everything off. */
  destroy(): void {
    if (this.timer) clearInterval(this.timer)
    this.timer = null
    for (const connection of [...this.connections]) connection.destroy()
  }

  private request(stream: Stream, { head, refused }: Asked): StreamReader | null {
    if (!head) {
      stream.reset(ErrorCode.PROTOCOL_ERROR)
      return null
    }
    if (refused !== null) {
      stream.end({ fields: [[':status', refused]], recur: false })
      return null
    }
    const method = this.methods.get(head.path)
    const exchange = this.exchange(stream, head, method)
    const refusal = method ? this.guard.refusal(head.path, exchange) : unimplemented(head)
    if (refusal) exchange.fail(refusal)
    else if (exchange instanceof StreamedExchange) exchange.begin()
    return exchange
  }

  private exchange(stream: Stream, head: RequestHead, method: HandledMethod | undefined): Exchange {
    const { guard } = this
    if (!method) return new UnservedExchange(stream, head, guard)
    if (method.kind === 'unary') return new UnaryExchange(stream, head, guard, method as HandledMethod<'unary'>)
    return new StreamedExchange(stream, head, guard, method as HandledMethod<'serverStream' | 'bidiStream'>)
  }

  private look(): void {
    const now = performance.now()
    for (const connection of [...this.connections]) {
      const silentMs = now - connection.heardAt
      if (silentMs > KEEPALIVE_MS + KEEPALIVE_TIMEOUT_MS) connection.destroy()
      else if (silentMs > KEEPALIVE_MS) connection.ping()
    }
  }
}

/** Refused as soon as it is made. */
class UnservedExchange extends Exchange {
  /** What callers ask for has no end. */
  protected override get countedAs(): string {
    return UNSERVED
  }

  protected take(): void {}
  protected ended(): void {}
}

/** Null for what is no request of HTTP/2. */
function headOf(fields: readonly string[], peerAddress: string): RequestHead | null {
  let path: string | null = null
  let hasMethod = false
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === ':path') path = fields[i + 1]!
    else if (fields[i] === ':method') hasMethod = true
  }
  return path === null || !hasMethod ? null : { path, fields, peerAddress, timeoutMs: timeoutOf(fields) }
}

/** The HTTP status for what is no request of gRPC; null for one that is. */
function refusalOf(fields: readonly string[]): string | null {
  let isGrpc = false
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] === ':method' && fields[i + 1] !== 'POST') return '405'
    if (fields[i] === 'content-type') isGrpc = /^application\/grpc(\+proto)?(;|$)/.test(fields[i + 1]!)
  }
  return isGrpc ? null : '415'
}

/** In milliseconds; null for what says none. */
function timeoutOf(fields: readonly string[]): number | null {
  let at = 0
  while (at < fields.length && fields[at] !== 'grpc-timeout') at += 2
  const [, count, unit] = TIMEOUT.exec(fields[at + 1] ?? '') ?? []
  return unit === undefined ? null : Math.min(Number(count) * UNIT_MS[unit]!, TIMEOUT_MS_MAX)
}

function unimplemented({ path }: RequestHead) {
  return { code: grpc.status.UNIMPLEMENTED, details: `The server does not implement the method ${path}` }
}

function tooLarge(stream: Stream): void {
  stream.end({ fields: [[':status', '431']], recur: false })
}
