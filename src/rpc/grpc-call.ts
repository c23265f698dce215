import type * as grpc from '@grpc/grpc-js'

/** What a handler may know of its caller. */
export interface ServerCall {
  /** A field of the request's metadata; undefined when it is not there. Binary ones are not read. */
  field(name: string): string | undefined
  /** All of them, as they came. */
  fields(): ReadonlyMap<string, string>
  readonly peerAddress: string
  /** What the caller calls this server. */
  readonly host: string
  /** By when the caller wants its answer, as Date.now() counts; Infinity when it does not say. */
  readonly deadline: number
  /** The caller went away, or its time is over. */
  readonly cancelled: boolean
}

/** How a call failed, as grpc-js says it on the other side. */
export interface CallFailure {
  readonly code: grpc.status
  readonly details: string
  readonly metadata?: grpc.Metadata
}

export interface UnaryCall<Q> extends ServerCall {
  readonly request: Q
}

/** Runs exactly once. */
export type UnaryDone<R> = (failure: CallFailure | null, response?: R) => void

export interface StreamEvents<Q> {
  data: [message: Q]
  /** The caller sends no more. */
  end: []
  drain: []
  /** The caller went away, or its time is over. */
  cancelled: []
  /** It is over, however it ended; once, and last. */
  close: []
}

/** A call that is answered by a stream, and that one request begins, or a stream of them, which `data` gives as they come. */
export interface StreamedCall<Q, R> extends ServerCall {
  on<E extends keyof StreamEvents<Q>>(event: E, listener: (...args: StreamEvents<Q>[E]) => void): unknown
  once<E extends keyof StreamEvents<Q>>(event: E, listener: (...args: StreamEvents<Q>[E]) => void): unknown
  off<E extends keyof StreamEvents<Q>>(event: E, listener: (...args: StreamEvents<Q>[E]) => void): unknown
  /** Tells the caller now that it is heard; the first message does so too. */
  sendHeaders(): void
  /** False: wait for `drain`. After the end it does nothing. */
  write(message: R): boolean
  /** No more is wanted for now: the caller's window is not given back until `resume`. What is on its way still comes. */
  pause(): void
  resume(): void
  end(): void
  fail(failure: CallFailure): void
}

/** A stream of requests, and one that answers them. */
export type DuplexCall<Q, R> = StreamedCall<Q, R>

/** One request, and a stream that answers it. */
export interface ServerStreamCall<Q, R> extends StreamedCall<Q, R> {
  readonly request: Q
}
