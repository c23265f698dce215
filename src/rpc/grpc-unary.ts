import * as grpc from '@grpc/grpc-js'
import type { CallFailure, UnaryCall } from './grpc-call.js'
import { type CallGuard, Exchange, framed, type RequestHead } from './grpc-exchange.js'
import { decoded, type HandledMethod } from './grpc-method.js'
import type { Stream } from './http2/stream.js'

/** A call of one request and one answer. */
export class UnaryExchange extends Exchange implements UnaryCall<unknown> {
  request: unknown = null
  private message: Buffer | null = null
  private isAnswered = false

  constructor(
    stream: Stream,
    head: RequestHead,
    guard: CallGuard,
    private readonly method: HandledMethod<'unary'>,
  ) {
    super(stream, head, guard)
  }

  protected take(message: Buffer): void {
    if (this.message) return this.fail({ code: grpc.status.UNIMPLEMENTED, details: 'more than one request' })
    this.message = message
  }

  protected ended(): void {
    const { message } = this
    if (!message) return this.fail({ code: grpc.status.INTERNAL, details: 'no request' })
    this.message = null
    const request = decoded(this.method.request, message)
    if (!request) return this.fail({ code: grpc.status.INTERNAL, details: 'the request cannot be decoded' })
    this.request = request.value
    this.method.handler(this, (failure, response) => this.done(failure, response))
  }

  private done(failure: CallFailure | null, response: unknown): void {
    if (this.isAnswered) return
    this.isAnswered = true
    if (failure) this.fail(failure)
    else this.answer(framed(this.method.response.encode(response).finish(true)))
  }
}
