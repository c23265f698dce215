import * as grpc from '@grpc/grpc-js'
import type { CallFailure, ServerCall } from './grpc-call.js'
import type { HeaderField } from './http2/header-encoder.js'
import type { Fields, Stream, StreamReader } from './http2/stream.js'
import { COMPRESSED, MessageReader } from './message-reader.js'
import { GRPC_PREFIX_BYTES } from './peer-codec.js'

/** What surrounds every call of a server. */
export interface CallGuard {
  /** Why a call is refused before its request is read; null when it is not. */
  refusal(path: string, call: ServerCall): CallFailure | null
  /** What every answer says of this server; the same array for as long as it says the same. */
  introduction(path: string): readonly HeaderField[]
  /** Told about every call that ended: its gRPC status, and how long it took in milliseconds. */
  onEnd(path: string, code: grpc.status, tookMs: number): void
}

/** A request as its header fields say it. */
export interface RequestHead {
  readonly path: string
  readonly fields: readonly string[]
  readonly peerAddress: string
  /** How long the caller waits; null when it does not say. */
  readonly timeoutMs: number | null
}

const CONTENT_TYPE: HeaderField = ['content-type', 'application/grpc']
const OPENING: readonly HeaderField[] = [[':status', '200'], CONTENT_TYPE]
const OK: Fields = { fields: [['grpc-status', '0']], recur: true }
/** What a failure may say at most: header fields are no place for more. */
const DETAILS_MAX = 2000
const TRAILER_BYTES_MAX = 8000

/** The header fields that begin answers, by what they introduce: the same array again, so that it is encoded once. */
const openings = new WeakMap<readonly HeaderField[], Fields>()

/** One call, whatever its kind: its head, its deadline, its messages, and how it ends. */
export abstract class Exchange implements ServerCall, StreamReader {
  readonly deadline: number
  cancelled = false
  private readonly startedAt = performance.now()
  private readonly reader = new MessageReader()
  private timer: NodeJS.Timeout | null = null
  private hasHeaders = false
  private isOver = false

  constructor(
    protected readonly stream: Stream,
    private readonly head: RequestHead,
    private readonly guard: CallGuard,
  ) {
    const { timeoutMs } = head
    this.deadline = timeoutMs === null ? Number.POSITIVE_INFINITY : Date.now() + timeoutMs
    if (timeoutMs !== null) this.timer = setTimeout(() => this.expire(), timeoutMs)
  }

  field(name: string): string | undefined {
    const { fields } = this.head
    for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return fields[i + 1]
    return undefined
  }

  fields(): ReadonlyMap<string, string> {
    const { fields } = this.head
    const all = new Map<string, string>()
    for (let i = 0; i < fields.length; i += 2) if (!fields[i]!.startsWith(':')) all.set(fields[i]!, fields[i + 1]!)
    return all
  }

  get peerAddress(): string {
    return this.head.peerAddress
  }

  get host(): string {
    return this.field(':authority') ?? this.field('host') ?? ''
  }

  /** The path by which it is counted. */
  protected get countedAs(): string {
    return this.head.path
  }

  // ---- what comes ----

  onData(bytes: Buffer): void {
    const problem = this.reader.push(bytes, (message) => this.isOver || this.take(message))
    if (problem) this.fail(failureOf(problem))
  }

  onEnd(): void {
    if (this.isOver) return
    if (this.reader.isWithin) return this.fail({ code: grpc.status.INTERNAL, details: 'the request ends within a message' })
    this.ended()
  }

  onDrain(): void {}

  onClose(isWhole: boolean): void {
    if (!isWhole) this.cancel()
    this.over(isWhole ? grpc.status.OK : grpc.status.CANCELLED)
  }

  protected abstract take(message: Buffer): void
  protected abstract ended(): void
  protected onCancelled(): void {}
  protected onOver(): void {}

  // ---- what leaves ----

  /** A whole answer. */
  protected answer(message: Buffer): void {
    if (this.isOver) return
    this.hasHeaders = true
    const { stream } = this
    this.over(grpc.status.OK)
    stream.answer(this.opening, message, OK)
  }

  protected open(): void {
    if (this.hasHeaders || this.isOver) return
    this.hasHeaders = true
    this.stream.headers(this.opening)
  }

  protected send(message: Buffer): boolean {
    if (this.isOver) return true
    this.open()
    return this.stream.body(message)
  }

  protected finish(): void {
    if (this.isOver) return
    this.open()
    this.over(grpc.status.OK)
    this.stream.end(OK)
  }

  fail(failure: CallFailure): void {
    if (this.isOver) return
    // An answer without a message is one block, which introduces this server.
    const first = this.hasHeaders ? [] : this.opening.fields
    this.over(failure.code)
    this.stream.end({ fields: [...first, ...trailersOf(failure)], recur: false })
  }

  private get opening(): Fields {
    const introduction = this.guard.introduction(this.head.path)
    let opening = openings.get(introduction)
    if (!opening) openings.set(introduction, (opening = { fields: [...OPENING, ...introduction], recur: true }))
    return opening
  }

  private expire(): void {
    this.cancel()
    this.fail({ code: grpc.status.DEADLINE_EXCEEDED, details: 'Deadline exceeded' })
  }

  private cancel(): void {
    if (this.isOver || this.cancelled) return
    this.cancelled = true
    this.onCancelled()
  }

  private over(code: grpc.status): void {
    if (this.isOver) return
    this.isOver = true
    if (this.timer) clearTimeout(this.timer)
    this.guard.onEnd(this.countedAs, code, performance.now() - this.startedAt)
    this.onOver()
  }
}

/** A message behind its prefix. */
export function framed(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(GRPC_PREFIX_BYTES + message.length)
  bytes[0] = 0
  bytes.writeUInt32BE(message.length, 1)
  bytes.set(message, GRPC_PREFIX_BYTES)
  return bytes
}

function failureOf(problem: string): CallFailure {
  if (problem === COMPRESSED) return { code: grpc.status.UNIMPLEMENTED, details: `${problem}: send them as they are` }
  return { code: grpc.status.RESOURCE_EXHAUSTED, details: `${problem}: 64 MiB is what one may have` }
}

function trailersOf({ code, details, metadata }: CallFailure): HeaderField[] {
  const fields: HeaderField[] = [['grpc-status', String(code)]]
  if (details !== '') fields.push(['grpc-message', percentEncoded(details.slice(0, DETAILS_MAX))])
  for (const [name, values] of Object.entries(metadata?.toHttp2Headers() ?? {}))
    for (const value of Array.isArray(values) ? values : [values]) {
      const text = String(value)
      if (text.length <= TRAILER_BYTES_MAX) fields.push([name, text])
    }
  return fields
}

/** As gRPC writes a message: UTF-8, and what is no printable ASCII by its hex. */
function percentEncoded(text: string): string {
  let encoded = ''
  for (const byte of Buffer.from(text))
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25 ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  return encoded
}
