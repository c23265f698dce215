import * as grpc from '@grpc/grpc-js'
import type { DuplexCall, ServerStreamCall, UnaryCall, UnaryDone } from './grpc-call.js'

/**
 * gRPC services from generated messages. A service is declared once with `defineService`; servers take it with typed
 * handlers (`RpcServer.addGrpcService`), clients with `ServiceClient`.
 *
 *     export const Peer = defineService('raftctl.v1.Peer', {
 *       Hello: unary(raftctl.v1.HelloRequest, raftctl.v1.HelloResponse),
 *       Append: bidiStream(frameCodec, raftctl.v1.AppendAck),
 *     })
 */

/** The largest message of either direction, as in brpc. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024

/** Writes and reads a message; generated message classes are codecs. */
export interface Codec<In, Out> {
  /** `shared`: the bytes may share memory with the writer. */
  encode(message: In): { finish(shared?: boolean): Uint8Array }
  decode(bytes: Uint8Array): Out
}

export type MethodKind = 'unary' | 'serverStream' | 'bidiStream'

export interface Method<Kind extends MethodKind, QIn, QOut, RIn, ROut> {
  readonly kind: Kind
  readonly request: Codec<QIn, QOut>
  readonly response: Codec<RIn, ROut>
}

// biome-ignore lint/suspicious/noExplicitAny: the bound of every method, whatever its messages are
export type AnyMethod = Method<MethodKind, any, any, any, any>
export type Methods = Readonly<Record<string, AnyMethod>>

export interface Service<M extends Methods> {
  readonly name: string
  readonly methods: M
  readonly definition: grpc.ServiceDefinition
}

export function unary<QIn, QOut, RIn, ROut>(request: Codec<QIn, QOut>, response: Codec<RIn, ROut>): Method<'unary', QIn, QOut, RIn, ROut> {
  return { kind: 'unary', request, response }
}

export function serverStream<QIn, QOut, RIn, ROut>(
  request: Codec<QIn, QOut>,
  response: Codec<RIn, ROut>,
): Method<'serverStream', QIn, QOut, RIn, ROut> {
  return { kind: 'serverStream', request, response }
}

export function bidiStream<QIn, QOut, RIn, ROut>(
  request: Codec<QIn, QOut>,
  response: Codec<RIn, ROut>,
): Method<'bidiStream', QIn, QOut, RIn, ROut> {
  return { kind: 'bidiStream', request, response }
}

/** What a server gives for a method. */
export type Handler<M> =
  M extends Method<infer Kind, infer _QIn, infer Request, infer Response, infer _ROut>
    ? {
        unary: (call: UnaryCall<Request>, done: UnaryDone<Response>) => void
        serverStream: (call: ServerStreamCall<Request, Response>) => void
        bidiStream: (call: DuplexCall<Request, Response>) => void
      }[Kind]
    : never

/** A method without a handler answers UNIMPLEMENTED. */
export type Handlers<M extends Methods> = { readonly [K in keyof M]?: Handler<M[K]> }

/** What a client sends to a method. */
export type RequestOf<M> = M extends Method<MethodKind, infer QIn, infer _QOut, infer _RIn, infer _ROut> ? QIn : never
/** What a client gets from a method. */
export type ResponseOf<M> = M extends Method<MethodKind, infer _QIn, infer _QOut, infer _RIn, infer ROut> ? ROut : never
type KeysOf<M extends Methods, Kind extends MethodKind> = { [K in keyof M & string]: M[K]['kind'] extends Kind ? K : never }[keyof M &
  string]

/** `name` is the full name, package included. */
export function defineService<M extends Methods>(name: string, methods: M): Service<M> {
  const definition: Record<string, grpc.MethodDefinition<unknown, unknown>> = {}
  for (const [method, { kind, request, response }] of Object.entries(methods)) {
    definition[method] = {
      path: `/${name}/${method}`,
      requestStream: kind === 'bidiStream',
      responseStream: kind === 'serverStream' || kind === 'bidiStream',
      requestSerialize: serializer(request),
      requestDeserialize: (bytes) => request.decode(bytes),
      responseSerialize: serializer(response),
      responseDeserialize: (bytes) => response.decode(bytes),
      originalName: method,
    }
  }
  return { name, methods, definition }
}

function serializer(codec: Codec<unknown, unknown>): (message: unknown) => Buffer {
  return (message) => asBuffer(codec.encode(message).finish())
}

/** The same bytes as a Buffer, not copied. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** A codec that passes bytes through: for payloads with a codec of their own. */
export const rawCodec: Codec<Uint8Array, Buffer> = {
  encode: (message) => ({ finish: () => message }),
  decode: asBuffer,
}

export interface ClientCallOptions {
  /** The call fails with DEADLINE_EXCEEDED after this; without it, never. */
  readonly timeoutMs?: number
  readonly metadata?: grpc.Metadata
  readonly signal?: AbortSignal
  /** Called with the server's initial metadata. */
  readonly onMetadata?: (metadata: grpc.Metadata) => void
}

/** Options of every channel and server of ours. */
export const MESSAGE_LIMITS = {
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
} as const

/** Calls one service over a channel that it does not own. Errors are grpc ServiceErrors. */
export class ServiceClient<M extends Methods> {
  constructor(
    readonly service: Service<M>,
    private readonly channel: grpc.Client,
  ) {}

  /** A unary call as a promise. */
  call<K extends KeysOf<M, 'unary'>>(method: K, request: RequestOf<M[K]>, options: ClientCallOptions = {}): Promise<ResponseOf<M[K]>> {
    return new Promise((resolve, reject) => {
      const { signal } = options
      let call: grpc.ClientUnaryCall | undefined
      const abort = () => call?.cancel()
      call = this.start(method, request, options, (error, response) => {
        signal?.removeEventListener('abort', abort)
        if (error) reject(error)
        else resolve(response as ResponseOf<M[K]>)
      })
      if (signal?.aborted) abort()
      else signal?.addEventListener('abort', abort, { once: true })
    })
  }

  /** A unary call with a callback: no promise on hot paths. `signal` is not looked at; cancel the returned call. */
  start<K extends KeysOf<M, 'unary'>>(
    method: K,
    request: RequestOf<M[K]>,
    options: ClientCallOptions,
    done: (error: grpc.ServiceError | null, response?: ResponseOf<M[K]>) => void,
  ): grpc.ClientUnaryCall {
    const d = this.definitionOf(method)
    const call = this.channel.makeUnaryRequest(
      d.path,
      d.requestSerialize,
      d.responseDeserialize,
      request,
      options.metadata ?? new grpc.Metadata(),
      callOptions(options),
      (error, response) => done(error, response as ResponseOf<M[K]>),
    )
    if (options.onMetadata) call.on('metadata', options.onMetadata)
    return call
  }

  serverStream<K extends KeysOf<M, 'serverStream'>>(
    method: K,
    request: RequestOf<M[K]>,
    options: ClientCallOptions = {},
  ): grpc.ClientReadableStream<ResponseOf<M[K]>> {
    const d = this.definitionOf(method)
    const metadata = options.metadata ?? new grpc.Metadata()
    const call = this.channel.makeServerStreamRequest(
      d.path,
      d.requestSerialize,
      d.responseDeserialize,
      request,
      metadata,
      callOptions(options),
    )
    if (options.onMetadata) call.on('metadata', options.onMetadata)
    return call as grpc.ClientReadableStream<ResponseOf<M[K]>>
  }

  bidiStream<K extends KeysOf<M, 'bidiStream'>>(
    method: K,
    options: ClientCallOptions = {},
  ): grpc.ClientDuplexStream<RequestOf<M[K]>, ResponseOf<M[K]>> {
    const d = this.definitionOf(method)
    const metadata = options.metadata ?? new grpc.Metadata()
    const call = this.channel.makeBidiStreamRequest(d.path, d.requestSerialize, d.responseDeserialize, metadata, callOptions(options))
    if (options.onMetadata) call.on('metadata', options.onMetadata)
    return call as grpc.ClientDuplexStream<RequestOf<M[K]>, ResponseOf<M[K]>>
  }

  private definitionOf(method: string): grpc.MethodDefinition<unknown, unknown> {
    return this.service.definition[method]!
  }
}

function callOptions(options: ClientCallOptions): grpc.CallOptions {
  return options.timeoutMs === undefined ? {} : { deadline: Date.now() + options.timeoutMs }
}
