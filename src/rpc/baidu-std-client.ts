import type * as net from 'node:net'
import { ErrorCode, Status } from '../raft/errors.js'
import { encodeFrame, type Frame, FrameReader, requestMeta, splitBody } from './baidu-std.js'
import { BrpcCode } from './braft-error.js'
import { ConnectBackoff } from './connect-backoff.js'
import { dial, dialProblem, isRefused, type Lookup, NameCheck, type Target } from './dial.js'
import type { Codec } from './grpc.js'
import { FrameError } from './rpc-meta.js'
import { TurnWriter } from './turn-writer.js'

export interface BaiduStdClientOptions {
  /** braft's default for its own channels is 200 ms. */
  readonly connectTimeoutMs?: number
  /** Calls that may wait for their answer. */
  readonly pendingCallsMax?: number
  /** Bytes that may wait to be sent; more calls are refused EOVERCROWDED. */
  readonly unsentBytesMax?: number
  /** Finds the addresses of a name; the system's when left out. */
  readonly lookup?: Lookup | undefined
  /** A connection that was open is lost, or could not be opened; told before the calls that waited on it. */
  readonly onDisconnected?: (status: Status) => void
}

export interface BaiduStdRequest {
  /** Full name: `braft.RaftService`. */
  readonly service: string
  readonly method: string
  readonly message: Uint8Array
  /** Follows `message` and is part of it; not copied. */
  readonly messageRest?: Uint8Array | undefined
  readonly attachment?: Uint8Array
  readonly logId?: bigint
  readonly userFields?: ReadonlyMap<string, string> | undefined
  /** The call fails with ERPCTIMEDOUT after this; without it, it waits as long as the connection holds. */
  readonly timeoutMs?: number
}

export interface BaiduStdResponse {
  readonly message: Buffer
  /** A view into the receive buffer. */
  readonly attachment: Buffer
  readonly userFields: ReadonlyMap<string, string>
}

/** Runs exactly once unless the call was cancelled; never from inside `call`. */
export type BaiduStdDone = (status: Status, response?: BaiduStdResponse) => void

export interface BaiduStdCall {
  /** Gives up waiting; `done` does not run any more. The server still acts, its answer is dropped. */
  cancel(): void
}

interface Pending {
  readonly done: BaiduStdDone
  timer: NodeJS.Timeout | null
}

/**
 * One endpoint spoken to by baidu_std: a single connection, opened by the first call and after a failure by the next one,
 * with any number of calls in flight, matched by correlation id.
 *
 * Owns the socket and the calls that wait. A connection that fails fails every call that waited on it: ECONNREFUSED or EHOSTDOWN
 * when it could not be opened, EFAILEDSOCKET or EEOF when it was lost. Nothing is sent twice. Bounded in calls and in unsent
 * bytes. A server that cannot be reached is not stormed: for a while after a failure calls fail at once, likewise.
 */
export class BaiduStdClient {
  private socket: net.Socket | null = null
  private writer: TurnWriter | null = null
  private connectTimer: NodeJS.Timeout | null = null
  private readonly pending = new Map<bigint, Pending>()
  private readonly backoff = new ConnectBackoff()
  private readonly target: Target
  private readonly nameCheck: NameCheck
  private lastCorrelationId = 0n
  private closed = false

  constructor(
    readonly host: string,
    readonly port: number,
    private readonly options: BaiduStdClientOptions = {},
  ) {
    this.target = { host, port, lookup: options.lookup }
    this.nameCheck = new NameCheck(this.target)
  }

  /** Calls that wait for their answer. */
  get pendingCalls(): number {
    return this.pending.size
  }

  /** Bytes that wait in this process. */
  get unsentBytes(): number {
    return this.writer?.unsentBytes ?? 0
  }

  get isConnected(): boolean {
    return this.socket !== null && this.connectTimer === null
  }

  /** The server was heard from: there is something to connect to. */
  resetBackoff(): void {
    this.backoff.reset()
  }

  call(request: BaiduStdRequest, done: BaiduStdDone): BaiduStdCall {
    const correlationId = this.lastCorrelationId + 1n
    const { messageRest = NO_BYTES, attachment = NO_BYTES } = request
    const framed = this.refusal() ?? framedCall(correlationId, request)
    if (framed instanceof Status) {
      const soon = setImmediate(() => done(framed))
      return { cancel: () => clearImmediate(soon) }
    }
    this.lastCorrelationId = correlationId
    const pending: Pending = { done, timer: null }
    this.pending.set(correlationId, pending)
    if (request.timeoutMs !== undefined) {
      const text = `no answer from ${this.host}:${this.port} within ${request.timeoutMs} ms`
      pending.timer = setTimeout(() => this.settle(correlationId, new Status(BrpcCode.ERPCTIMEDOUT, text)), request.timeoutMs)
    }
    this.connected().write(framed, messageRest, attachment)
    return { cancel: () => this.forget(correlationId) }
  }

  /** Hangs up: every waiting call fails with `status`. The next call connects anew. */
  hangUp(status: Status): void {
    if (this.socket) this.disconnect(status)
  }

  /** Hangs up if the name leads elsewhere by now. */
  lookAgain(): void {
    const { socket } = this
    if (!socket) return
    this.nameCheck.look(socket, () => {
      if (this.socket === socket) this.hangUp(new Status(BrpcCode.EEOF, `${this.host} leads elsewhere by now`))
    })
  }

  /** Fails every waiting call with ECANCELED and takes no more. */
  close(): void {
    this.closed = true
    this.disconnect(Status.error(ErrorCode.ECANCELED, `the connection to ${this.host}:${this.port} was closed here`))
  }

  private refusal(): Status | null {
    const { pendingCallsMax = 65_536, unsentBytesMax = 64 * 1024 * 1024 } = this.options
    if (this.closed) return Status.error(ErrorCode.ECANCELED, 'the client is closed')
    if (this.pending.size >= pendingCallsMax)
      return new Status(BrpcCode.ELIMIT, `${this.pending.size} calls to ${this.host}:${this.port} wait for an answer`)
    if (this.unsentBytes > unsentBytesMax)
      return new Status(BrpcCode.EOVERCROWDED, `${this.unsentBytes} bytes wait to be sent to ${this.host}:${this.port}`)
    return this.socket ? null : this.backoff.refusal
  }

  /** The writer of the connection, opened when there is none; the socket keeps what is written before it is connected. */
  private connected(): TurnWriter {
    if (this.writer) return this.writer
    const { connectTimeoutMs = 200 } = this.options
    const socket = dial(this.target)
    const reader = new FrameReader()
    let problem: Status | null = null
    let opened = false
    let greeted = false
    const failed = (code: number, text: string) => {
      problem ??= new Status(code, `${this.host}:${this.port}: ${text}`)
      socket.destroy()
    }
    this.connectTimer = setTimeout(() => failed(ErrorCode.EHOSTDOWN, `not connected within ${connectTimeoutMs} ms`), connectTimeoutMs)
    socket.once('connect', () => {
      opened = true
      this.stopConnectTimer()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const unopened = isRefused(error) ? ErrorCode.ECONNREFUSED : ErrorCode.EHOSTDOWN
      failed(opened ? BrpcCode.EFAILEDSOCKET : unopened, dialProblem(error, this.host))
    })
    socket.on('data', (chunk) => {
      try {
        reader.read(chunk, (frame) => {
          // Only a frame proves a server: something else may accept at that address and hang up on everybody.
          if (!greeted) this.backoff.reset()
          greeted = true
          this.answered(frame)
        })
      } catch (error) {
        failed(BrpcCode.ERESPONSE, (error as Error).message)
      }
    })
    socket.once('close', () => {
      const status = problem ?? new Status(BrpcCode.EEOF, `${this.host}:${this.port} closed the connection`)
      if (this.socket !== socket) return
      if (!greeted) this.backoff.failed(status)
      this.disconnect(status)
    })
    this.socket = socket
    this.writer = new TurnWriter(socket)
    return this.writer
  }

  private answered(frame: Frame): void {
    const { correlationId, response } = frame.meta
    if (!response || !this.pending.has(correlationId)) return // late or not ours: dropped, as brpc does
    const parts = splitBody(frame)
    if (response.errorCode !== 0) this.settle(correlationId, new Status(response.errorCode, response.errorText))
    else if (!parts) this.settle(correlationId, new Status(BrpcCode.ERESPONSE, 'the attachment is larger than the response'))
    else this.settle(correlationId, Status.OK, { message: parts.message, attachment: parts.attachment, userFields: frame.meta.userFields })
  }

  private settle(correlationId: bigint, status: Status, response?: BaiduStdResponse): void {
    const pending = this.forget(correlationId)
    if (status.ok) pending?.done(status, response)
    else pending?.done(status)
  }

  private forget(correlationId: bigint): Pending | undefined {
    const pending = this.pending.get(correlationId)
    this.pending.delete(correlationId)
    if (pending?.timer) clearTimeout(pending.timer)
    return pending
  }

  private disconnect(status: Status): void {
    this.stopConnectTimer()
    const { socket } = this
    this.socket = null
    this.writer = null
    socket?.destroy()
    if (socket) this.options.onDisconnected?.(status)
    for (const correlationId of [...this.pending.keys()]) this.settle(correlationId, status)
  }

  private stopConnectTimer(): void {
    if (this.connectTimer) clearTimeout(this.connectTimer)
    this.connectTimer = null
  }
}

/** The frame of a call up to its attachment; what is wrong with it when it cannot be sent. */
function framedCall(correlationId: bigint, request: BaiduStdRequest): Buffer | Status {
  const { service: serviceName, method: methodName, message, messageRest, attachment, logId, userFields } = request
  const meta = requestMeta(correlationId, { serviceName, methodName, logId }, { attachmentSize: attachment?.length ?? 0, userFields })
  try {
    return encodeFrame(meta, message, messageRest?.length)
  } catch (error) {
    if (error instanceof FrameError) return new Status(BrpcCode.EREQUEST, error.message)
    throw error
  }
}

/** A method as a client of baidu_std sees it. */
export interface BaiduStdMethod<In, Out> {
  readonly service: string
  readonly method: string
  readonly request: Codec<In, unknown>
  readonly response: Codec<never, Out>
}

/** A typed call as a promise; rejects with BaiduStdError. For administrators' calls; hot paths use `call`. */
export function callBaiduStd<In, Out>(
  client: BaiduStdClient,
  method: BaiduStdMethod<In, Out>,
  request: In,
  options: { timeoutMs?: number; attachment?: Uint8Array } = {},
): Promise<{ response: Out; attachment: Buffer }> {
  return new Promise((resolve, reject) => {
    const message = method.request.encode(request).finish()
    client.call({ service: method.service, method: method.method, message, ...options }, (status, answer) => {
      if (!status.ok) return reject(new BaiduStdError(status))
      try {
        resolve({ response: method.response.decode(answer!.message), attachment: answer!.attachment })
      } catch (error) {
        reject(new BaiduStdError(new Status(BrpcCode.EREQUEST, `cannot read the response: ${(error as Error).message}`)))
      }
    })
  })
}

export class BaiduStdError extends Error {
  override name = 'BaiduStdError'

  constructor(readonly status: Status) {
    super(status.toString())
  }
}

const NO_BYTES = Buffer.alloc(0)
