import { AssertionError, assert, ErrorCode, Status } from '../raft/errors.js'
import { BrpcCode } from './braft-error.js'
import type { Codec } from './grpc.js'
import type { MessageShape } from './json-message.js'

/**
 * Services that are reachable by every protocol of the port, as brpc's are: baidu_std, gRPC and JSON over HTTP/1.
 * A service is written once; the protocols' adapters decode, call `handle`, and put its outcome into their own words.
 */

/** What a handler knows about a call besides its request. */
export interface CallContext {
  readonly protocol: 'baidu_std' | 'grpc' | 'http'
  /** Bytes that travel outside of the message: baidu_std only, empty elsewhere. A view into the receive buffer. */
  readonly attachment: Buffer
  /** `host:port` of the caller. */
  readonly peerAddress: string
  /** gRPC metadata or baidu_std user_fields. */
  readonly fields: ReadonlyMap<string, string>
  /** baidu_std only: what the caller calls this call. */
  readonly logId?: bigint | undefined
  /** baidu_std only: the connection that the call came by, the same for all its calls. */
  readonly connection?: CallConnection
  /** In place of an answer: none will come, as if it were lost on the way. */
  drop(): void
}

/** A connection that outlives its calls. */
export interface CallConnection {
  /** Runs once the connection is gone. */
  onClose(listener: () => void): void
}

/** Called exactly once, now or later; `response` is there exactly when `status` is OK. Bytes that are answered must not change any more. */
export type Reply<R> = (status: Status, response?: R, attachment?: Buffer) => void

export interface RpcMethod {
  // biome-ignore lint/suspicious/noExplicitAny: the registry holds methods of every message; `rpcMethod` keeps them typed
  readonly request: Codec<any, any>
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly response: Codec<any, any>
  /** How the messages read as JSON; a method without it is not reachable by HTTP. */
  readonly json: { readonly request: MessageShape; readonly response: MessageShape } | null
  /** baidu_std: the user fields of every answer, refusals among them. */
  readonly answerFields?: () => ReadonlyMap<string, string>
  // biome-ignore lint/suspicious/noExplicitAny: as above
  handle(request: any, context: CallContext, done: Reply<any>): void
}

export interface RpcService {
  /** Full name, package included. */
  readonly name: string
  readonly methods: Readonly<Record<string, RpcMethod>>
}

/** A method whose handler and messages agree. */
export function rpcMethod<QIn, QOut, RIn, ROut>(method: {
  readonly request: Codec<QIn, QOut>
  readonly response: Codec<RIn, ROut>
  readonly json?: { readonly request: MessageShape; readonly response: MessageShape }
  handle(request: QOut, context: CallContext, done: Reply<RIn>): void
}): RpcMethod {
  return { ...method, json: method.json ?? null, handle: method.handle }
}

/** Finds methods by brpc's rules. */
export class ServiceRegistry {
  private readonly byFullName = new Map<string, RpcService>()
  private readonly byShortName = new Map<string, RpcService>()

  add(service: RpcService): void {
    assert(!this.byFullName.has(service.name), 'a service of that name is registered already', { name: service.name })
    this.byFullName.set(service.name, service)
    const short = shortName(service.name)
    if (!this.byShortName.has(short)) this.byShortName.set(short, service)
  }

  all(): Iterable<RpcService> {
    return this.byFullName.values()
  }

  /** The method, or ENOSERVICE for an unknown short name and ENOMETHOD for everything else that is unknown, as brpc. */
  find(serviceName: string, methodName: string): { method: RpcMethod } | { problem: Status } {
    const service = serviceName.includes('.') ? this.byFullName.get(serviceName) : this.byShortName.get(serviceName)
    if (!service && !serviceName.includes('.')) return { problem: new Status(BrpcCode.ENOSERVICE, `Fail to find service=${serviceName}`) }
    const method = service && Object.hasOwn(service.methods, methodName) ? service.methods[methodName] : undefined
    if (!method) return { problem: new Status(BrpcCode.ENOMETHOD, `Fail to find method=${serviceName}.${methodName}`) }
    return { method }
  }
}

/** `braft.CliService` → `CliService`. */
export function shortName(fullName: string): string {
  return fullName.slice(fullName.lastIndexOf('.') + 1)
}

/** Decodes, handles and encodes one call. `done` runs exactly once, whatever the handler does; a handler's throw is EINTERNAL. */
export function dispatch(
  method: RpcMethod,
  body: Buffer,
  context: CallContext,
  done: (status: Status, response: Buffer, attachment: Buffer) => void,
): void {
  let request: unknown
  try {
    request = method.request.decode(body)
  } catch (error) {
    done(new Status(BrpcCode.EREQUEST, `Fail to parse request, ${(error as Error).message}`), EMPTY, EMPTY)
    return
  }
  handleDecoded(method, request, context, (status, response, attachment) => {
    if (!status.ok) return done(status, EMPTY, EMPTY)
    let bytes: Uint8Array
    try {
      bytes = method.response.encode(response).finish()
    } catch (error) {
      return done(new Status(BrpcCode.ERESPONSE, `Fail to serialize response, ${(error as Error).message}`), EMPTY, EMPTY)
    }
    done(status, bytes as Buffer, attachment)
  })
}

/** The part of `dispatch` after decoding: for protocols with a message form of their own. */
export function handleDecoded(
  method: RpcMethod,
  request: unknown,
  context: CallContext,
  done: (status: Status, response: unknown, attachment: Buffer) => void,
): void {
  let answered = false
  const reply: Reply<unknown> = (status, response, attachment = EMPTY) => {
    if (answered) throw new AssertionError(`a call was answered twice: ${status}`)
    answered = true
    if (status.ok && response === undefined)
      done(new Status(BrpcCode.ERESPONSE, 'the handler answered without a response'), undefined, EMPTY)
    else done(status, response, attachment)
  }
  try {
    method.handle(request, context, reply)
  } catch (error) {
    if (answered) throw error
    reply(new Status(ErrorCode.EINTERNAL, `the handler failed: ${(error as Error).message}`))
  }
}

const EMPTY = Buffer.alloc(0)
