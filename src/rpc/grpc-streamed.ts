import { EventEmitter } from 'node:events'
import * as grpc from '@grpc/grpc-js'
import type { ServerStreamCall, StreamEvents } from './grpc-call.js'
import { type CallGuard, Exchange, framed, type RequestHead } from './grpc-exchange.js'
import { decoded, type HandledMethod } from './grpc-method.js'
import type { Stream } from './http2/stream.js'

type Events = StreamEvents<unknown>

/** A call that is answered by a stream, and that one request begins, or a stream of them. */
export class StreamedExchange extends Exchange implements ServerStreamCall<unknown, unknown> {
  request: unknown = null
  private readonly events = new EventEmitter()
  private isBegun = false

  constructor(
    stream: Stream,
    head: RequestHead,
    guard: CallGuard,
    private readonly method: HandledMethod<'serverStream' | 'bidiStream'>,
  ) {
    super(stream, head, guard)
  }

  /** Of a stream of requests: its handler hears of it before the first. */
  begin(): void {
    if (this.method.kind === 'bidiStream') this.method.handler(this)
  }

  on<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this {
    this.events.on(event, listener as () => void)
    return this
  }

  once<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this {
    this.events.once(event, listener as () => void)
    return this
  }

  off<E extends keyof Events>(event: E, listener: (...args: Events[E]) => void): this {
    this.events.off(event, listener as () => void)
    return this
  }

  sendHeaders(): void {
    this.open()
  }

  write(message: unknown): boolean {
    return this.send(framed(this.method.response.encode(message).finish(true)))
  }

  pause(): void {
    this.stream.hold()
  }

  resume(): void {
    this.stream.proceed()
  }

  end(): void {
    this.finish()
  }

  override onDrain(): void {
    this.events.emit('drain')
  }

  protected take(message: Buffer): void {
    const request = decoded(this.method.request, message)
    if (!request) return this.fail({ code: grpc.status.INTERNAL, details: 'the request cannot be decoded' })
    if (this.method.kind === 'bidiStream') return void this.events.emit('data', request.value)
    if (this.isBegun) return this.fail({ code: grpc.status.UNIMPLEMENTED, details: 'more than one request' })
    this.request = request.value
    this.isBegun = true
  }

  protected ended(): void {
    if (this.method.kind === 'bidiStream') return void this.events.emit('end')
    if (this.isBegun) this.method.handler(this)
    else this.fail({ code: grpc.status.INTERNAL, details: 'no request' })
  }

  protected override onCancelled(): void {
    this.events.emit('cancelled')
  }

  protected override onOver(): void {
    // In a turn of its own: who ends a call from within it does not hear of its end before it is through.
    queueMicrotask(() => this.events.emit('close'))
  }
}
