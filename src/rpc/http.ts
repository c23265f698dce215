import * as http from 'node:http'
import type * as net from 'node:net'
import { Status } from '../raft/errors.js'
import { BrpcCode, decorate, httpStatusOf } from './braft-error.js'
import { messageFromJson, messageToJson } from './json-message.js'
import { type CallContext, handleDecoded, type RpcMethod, type ServiceRegistry } from './service.js'

/** A JSON body of a service call is refused above this. */
const JSON_BODY_BYTES_MAX = 1024 * 1024

/** By this a page of ours is told from braft's, which is the same text. */
export const SERVER_HEADER = 'raftctl'

export interface HttpRequest {
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: http.IncomingHttpHeaders
}

export interface HttpReply {
  readonly status: number
  readonly contentType: string
  readonly body: string | Buffer
  readonly headers?: Readonly<Record<string, string>>
}

export type HttpHandler = (request: HttpRequest) => HttpReply | Promise<HttpReply>

export function textReply(body: string, status = 200): HttpReply {
  return { status, contentType: 'text/plain; charset=utf-8', body }
}

export function jsonReply(body: unknown, status = 200): HttpReply {
  return { status, contentType: 'application/json', body: `${JSON.stringify(body)}\n` }
}

/**
 * The HTTP/1 side of the port: pages by `GET`, and brpc's JSON access to services, `POST /<service>/<method>`.
 * RpcServer hands over sockets. A request must arrive in time and stay below 1 MiB.
 */
export class HttpServer {
  private readonly routes = new Map<string, HttpHandler>()
  private readonly server: http.Server
  private draining = false

  constructor(
    private readonly registry: ServiceRegistry,
    options: { requestTimeoutMs: number },
  ) {
    this.server = http.createServer(
      {
        requestTimeout: options.requestTimeoutMs,
        headersTimeout: Math.min(options.requestTimeoutMs, 30_000),
        connectionsCheckingInterval: Math.min(options.requestTimeoutMs, 5_000),
        keepAliveTimeout: 60_000,
      },
      (request, response) => void this.answer(request, response),
    )
    this.server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      const reason = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? '408 Request Timeout' : '400 Bad Request'
      if (socket.writable) socket.write(`HTTP/1.1 ${reason}\r\nConnection: close\r\n\r\n`)
      ;(socket as net.Socket).destroySoon()
    })
    this.server.emit('listening') // it never listens itself; this starts its check for requests that do not arrive
  }

  addRoute(path: string, handler: HttpHandler): void {
    this.routes.set(path, handler)
  }

  /** Takes a paused socket whose bytes were put back. */
  serve(socket: net.Socket): void {
    this.server.emit('connection', socket)
    socket.resume()
  }

  /** Lets running requests finish and keeps no connection for more. */
  drain(): void {
    this.draining = true
    this.server.closeIdleConnections()
  }

  /** Every connection is gone: stops the check for late requests. */
  closed(): void {
    this.server.close()
  }

  private async answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    if (this.draining) response.setHeader('Connection', 'close')
    let reply: HttpReply
    try {
      reply = await this.replyTo(request)
    } catch (error) {
      reply = textReply(`${(error as Error).message}\n`, 500)
    }
    if (response.destroyed) return
    const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : reply.body
    response.writeHead(reply.status, {
      ...reply.headers,
      Server: SERVER_HEADER,
      'Content-Type': reply.contentType,
      'Content-Length': body.length,
    })
    response.end(request.method === 'HEAD' ? undefined : body)
  }

  private async replyTo(request: http.IncomingMessage): Promise<HttpReply> {
    const [path = '/', query = ''] = (request.url ?? '/').split('?', 2)
    const serverAddress = `${request.socket.localAddress}:${request.socket.localPort}`
    const isRead = request.method === 'GET' || request.method === 'HEAD'
    const route = isRead ? this.routeOf(path) : null
    if (route) return route({ path, query: new URLSearchParams(query), headers: request.headers })

    const found = this.methodOf(path)
    if ('problem' in found) return errorReply(found.problem, serverAddress)
    if (request.method !== 'POST') {
      return errorReply(new Status(BrpcCode.EREQUEST, `Fail to parse request: POST its JSON to ${path}`), serverAddress)
    }
    const body = await readBody(request)
    if (body === null)
      return errorReply(new Status(BrpcCode.EREQUEST, `the body is larger than ${JSON_BODY_BYTES_MAX} bytes`), serverAddress)
    return callByJson(found.method, body, contextOf(request), serverAddress)
  }

  private routeOf(path: string): HttpHandler | null {
    const exact = this.routes.get(path)
    if (exact) return exact
    const below = path.slice(0, path.indexOf('/', 1) + 1)
    return below.length > 1 ? (this.routes.get(below) ?? null) : null
  }

  private methodOf(path: string): { method: RpcMethod } | { problem: Status } {
    const [, service = '', method = '', ...more] = path.split('/')
    const unknown = { problem: new Status(BrpcCode.ENOMETHOD, `Fail to find method on \`${path}'`) }
    if (service === '' || method === '' || more.length > 0) return unknown
    const found = this.registry.find(service, method)
    return 'problem' in found || found.method.json ? found : unknown
  }
}

function contextOf(request: http.IncomingMessage): CallContext {
  const fields = new Map<string, string>()
  for (const [name, value] of Object.entries(request.headers)) if (typeof value === 'string') fields.set(name, value)
  const { remoteAddress, remotePort } = request.socket
  return { protocol: 'http', attachment: Buffer.alloc(0), peerAddress: `${remoteAddress}:${remotePort}`, fields, drop: () => {} }
}

/** The whole body; null when it is too large, and then the rest is not read. */
async function readBody(request: http.IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > JSON_BODY_BYTES_MAX) return null
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, length)
}

function callByJson(method: RpcMethod, body: Buffer, context: CallContext, serverAddress: string): Promise<HttpReply> {
  const shapes = method.json!
  return new Promise((resolve) => {
    let request: unknown
    try {
      request = messageFromJson(shapes.request, JSON.parse(body.length === 0 ? '{}' : body.toString()))
    } catch (error) {
      return resolve(
        errorReply(new Status(BrpcCode.EREQUEST, `Fail to parse http body as JSON: ${(error as Error).message}`), serverAddress),
      )
    }
    handleDecoded(method, request, context, (status, response, attachment) => {
      if (!status.ok) return resolve(errorReply(status, serverAddress))
      // An answer that has bytes beside its message is the bytes alone, as of brpc.
      if (attachment.length > 0) return resolve({ status: 200, contentType: 'application/octet-stream', body: attachment })
      // brpc sends no body at all for a message without fields
      const isEmpty = Object.keys(shapes.response).length === 0
      const json = isEmpty ? '' : JSON.stringify(messageToJson(shapes.response, response as Record<string, unknown>))
      resolve({ status: 200, contentType: 'application/json', body: json })
    })
  })
}

function errorReply(status: Status, serverAddress: string): HttpReply {
  const headers = { 'x-bd-error-code': String(status.code) }
  return { ...textReply(decorate(status, serverAddress), httpStatusOf(status.code)), headers }
}
