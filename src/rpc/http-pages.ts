import * as http from 'node:http'
import * as https from 'node:https'

/** Above this a page is not read on: a node that hosts thousands of groups stays far below. */
const PAGE_BYTES_MAX = 32 * 1024 * 1024

export interface Page {
  readonly status: number
  readonly body: string
  readonly headers: http.IncomingHttpHeaders
}

/** Certificates as they are read from files; null: no TLS. */
export interface PageTls {
  readonly ca: Buffer | null
  readonly cert: Buffer | null
  readonly key: Buffer | null
  readonly serverName: string | null
}

export interface PageCall {
  /** For the connection. */
  readonly connectTimeoutMs: number
  /** For the whole page. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

/** Why no page came; `connected` tells whether anything accepted the connection. */
export class PageError extends Error {
  override readonly name = 'PageError'

  constructor(
    message: string,
    readonly connected: boolean,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** Reads pages by GET, as curl does: brpc decides by the user agent whether it answers text or HTML. Owns its connections. */
export class HttpPages implements Disposable {
  private readonly agent: http.Agent

  constructor(private readonly tls: PageTls | null) {
    this.agent = tls === null ? new http.Agent({ keepAlive: true }) : new https.Agent({ keepAlive: true })
  }

  [Symbol.dispose](): void {
    this.agent.destroy()
  }

  /** Throws PageError. */
  get(endpoint: string, path: string, call: PageCall): Promise<Page> {
    const { host, port } = split(endpoint)
    const options = { host, port, path, agent: this.agent, headers: { 'User-Agent': 'curl/8 (raftctl)', Accept: 'text/plain, */*' } }
    const request = this.tls === null ? http.get(options) : https.get({ ...options, ...secured(this.tls) })
    return new Promise((resolve, reject) => {
      let connected = false
      const fail = (message: string, cause?: Error) => {
        clearTimeout(connecting)
        clearTimeout(answering)
        call.signal?.removeEventListener('abort', abort)
        reject(new PageError(message, connected, cause ? { cause } : undefined))
        request.destroy()
      }
      const abort = () => fail('it was broken off')
      const connecting = setTimeout(() => connected || fail(`no connection within ${call.connectTimeoutMs} ms`), call.connectTimeoutMs)
      const answering = setTimeout(() => fail(`no page within ${call.timeoutMs} ms`), call.timeoutMs)
      call.signal?.addEventListener('abort', abort, { once: true })
      if (call.signal?.aborted) return abort()
      request.once('socket', (socket) => {
        const now = () => {
          connected = true
        }
        if (socket.connecting) socket.once('connect', now)
        else now()
      })
      request.once('error', (error) => fail(error.message, error))
      request.once('response', (response) => {
        const chunks: Buffer[] = []
        let length = 0
        response.on('data', (chunk: Buffer) => {
          length += chunk.length
          if (length > PAGE_BYTES_MAX) fail(`the page has more than ${PAGE_BYTES_MAX} bytes`)
          else chunks.push(chunk)
        })
        response.once('error', (error) => fail(error.message, error))
        response.once('end', () => {
          clearTimeout(connecting)
          clearTimeout(answering)
          call.signal?.removeEventListener('abort', abort)
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8'), headers: response.headers })
        })
      })
    })
  }
}

function secured({ ca, cert, key, serverName }: PageTls): https.RequestOptions {
  return {
    ...(ca ? { ca } : {}),
    ...(cert ? { cert } : {}),
    ...(key ? { key } : {}),
    ...(serverName ? { servername: serverName } : {}),
  }
}

function split(endpoint: string): { readonly host: string; readonly port: number } {
  const colon = endpoint.lastIndexOf(':')
  return { host: endpoint.slice(0, colon).replace(/^\[(.*)\]$/, '$1'), port: Number(endpoint.slice(colon + 1)) }
}
