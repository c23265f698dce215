import type * as net from 'node:net'
import { CONNECTION_WINDOW, Connection, STREAM_WINDOW } from './connection.js'
import { ErrorCode, Http2Error } from './error.js'
import { FrameType, numberFrame, PREFACE, Setting, STREAM_ID_MAX, settingsFrame, WINDOW_DEFAULT } from './frames.js'
import type { HeaderBlock } from './header-blocks.js'
import type { HeaderField } from './header-encoder.js'
import { Stream, type StreamHost, type StreamReader } from './stream.js'

export interface ClientConnectionOptions {
  /** The other side's own first words came: it speaks HTTP/2. */
  readonly onGreeted: () => void
  /** It takes no request any more; those under way may still be answered. */
  readonly onGoingAway: () => void
  /** It is over, and every request on it. What the other side did or said that ended it; null when its socket just closed. */
  readonly onClosed: (problem: string | null) => void
}

export interface ResponseReader extends StreamReader {
  /** Header fields of the answer: those before its body, and those that end it. An answer may have the latter alone. */
  onHeaders(fields: readonly string[]): void
}

export interface RequestFields {
  /** Those that other requests say too. */
  readonly recurring: readonly HeaderField[]
  /** Those that only this one says. */
  readonly once: readonly HeaderField[]
}

/** Whoever has more waits in its stream: pings and what others send shall not wait behind it. */
const UNSENT_BYTES_MAX = 1024 * 1024
/** Of one answer, its trailers included: an error explains itself there. */
const HEADER_LIST_BYTES_MAX = 64 * 1024
/** Any server should take so many (RFC 9113 §6.5.2). */
const STREAMS_MAX_UNTOLD = 100

/**
 * The client's side of a connection: requests leave, and their answers come. It may be written to before it is connected.
 *
 * What comes is read whatever waits to be sent: two sides that both wait for the other to read would wait for ever.
 */
export class ClientConnection extends Connection<ClientStream> {
  private nextStreamId = 1
  /** How many requests the other side takes at once; it says so with its first words, and takes any number where it does not. */
  private streamsMax: number | null = null
  /** Requests beyond that, in order. */
  private readonly unopened = new Set<ClientStream>()
  private readonly pings: (() => void)[] = []
  private farewell: string | null = null

  constructor(
    socket: net.Socket,
    private readonly options: ClientConnectionOptions,
  ) {
    super(socket, HEADER_LIST_BYTES_MAX, UNSENT_BYTES_MAX)
    this.write(PREFACE)
    this.write(
      settingsFrame([
        [Setting.ENABLE_PUSH, 0],
        [Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW],
        [Setting.MAX_HEADER_LIST_SIZE, HEADER_LIST_BYTES_MAX],
      ]),
    )
    this.write(numberFrame(FrameType.WINDOW_UPDATE, 0, CONNECTION_WINDOW - WINDOW_DEFAULT))
  }

  /** Takes requests. */
  get isUsable(): boolean {
    return !this.isOver && !this.isDraining && !this.socket.destroyed
  }

  /** Only while it is usable. The reader hears nothing before this returns. */
  request(fields: RequestFields, reader: ResponseReader): Stream {
    const stream = new ClientStream(this, fields, reader)
    this.unopened.add(stream)
    this.open()
    return stream
  }

  /** `answered` is called when the other side answers. */
  probe(answered: () => void): void {
    this.pings.push(answered)
    this.ping()
  }

  sent(): void {}

  override reset(stream: Stream, code: number): void {
    if (stream.id !== 0) return super.reset(stream, code)
    this.unopened.delete(stream as ClientStream)
    stream.close(false)
  }

  protected get lastTaken(): number {
    return 0
  }

  private open(): void {
    for (const stream of this.unopened) {
      if (this.streams.size >= (this.streamsMax ?? STREAMS_MAX_UNTOLD) || this.isDraining) return
      this.unopened.delete(stream)
      this.lastStreamId = this.nextStreamId
      this.nextStreamId += 2
      this.streams.set(this.lastStreamId, stream)
      stream.open(this.lastStreamId, this.streamWindow)
      if (this.nextStreamId > STREAM_ID_MAX) this.retire(STREAM_ID_MAX)
    }
  }

  protected override forget(stream: Stream): void {
    super.forget(stream)
    this.open()
  }

  protected onBlock(streamId: number, { fields, tooLarge, endsStream }: HeaderBlock): void {
    this.checkOpened(streamId, 'an answer')
    const stream = this.streams.get(streamId)
    if (!stream) return this.onLate()
    if (tooLarge) return this.reset(stream, ErrorCode.ENHANCE_YOUR_CALM)
    if (stream.isAnswered && !endsStream) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'header fields within an answer')
    // 1xx: the answer itself is still to come.
    if (!endsStream && fields[0] === ':status' && fields[1]!.startsWith('1')) return
    stream.isAnswered = true
    stream.response.onHeaders(fields)
    if (endsStream && !stream.isOver) this.onRemoteDone(stream)
  }

  protected onRemoteDone(stream: ClientStream): void {
    stream.isRemoteDone = true
    stream.reader?.onEnd()
    if (stream.isOver) return
    // Answered before all of it was sent: the rest is not.
    if (!stream.isLocalDone) this.write(numberFrame(FrameType.RST_STREAM, stream.id, ErrorCode.CANCEL))
    this.forget(stream)
    stream.close(true)
  }

  protected onReset(stream: ClientStream | undefined): void {
    if (!stream) return
    this.forget(stream)
    stream.close(false)
  }

  /** Answers to what was taken back: this side asked for them. */
  protected onLate(): void {}

  protected onPong(): void {
    this.pings.shift()?.()
  }

  protected onSetting(name: number, value: number): void {
    if (name === Setting.MAX_CONCURRENT_STREAMS) this.streamsMax = value
    if (name === Setting.ENABLE_PUSH && value !== 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, `ENABLE_PUSH=${value}`)
  }

  protected override onSettled(isFirst: boolean): void {
    this.streamsMax ??= Number.POSITIVE_INFINITY
    if (isFirst) this.options.onGreeted()
    this.open()
  }

  protected onGoAway(lastStreamId: number, code: number, why: string): void {
    if (code === ErrorCode.NO_ERROR) return this.retire(lastStreamId)
    this.farewell = `the other side ended the connection: ${why || `HTTP/2 error ${code}`}`
    this.socket.destroy()
    this.over()
  }

  /** What is above `lastStreamId` is not answered any more. */
  private retire(lastStreamId: number): void {
    if (!this.isDraining) {
      this.isDraining = true
      this.options.onGoingAway()
    }
    const refused = [...this.streams.values()].filter(({ id }) => id > lastStreamId)
    for (const stream of refused) this.streams.delete(stream.id)
    for (const stream of [...refused, ...this.takeUnopened()]) stream.close(false)
    this.endWhenIdle()
  }

  private takeUnopened(): ClientStream[] {
    const unopened = [...this.unopened]
    this.unopened.clear()
    return unopened
  }

  protected onIdle(): void {
    this.socket.destroySoon()
  }

  protected onOver(problem: Http2Error | null): void {
    for (const stream of this.takeUnopened()) stream.close(false)
    this.options.onClosed(problem ? `the other side does not keep to HTTP/2: ${problem.message}` : this.farewell)
  }
}

class ClientStream extends Stream {
  isAnswered = false

  constructor(
    host: StreamHost,
    private readonly request: RequestFields,
    readonly response: ResponseReader,
  ) {
    super(host, 0, 0)
    this.reader = response
  }

  open(id: number, sendWindow: number): void {
    this.id = id
    this.sendWindow = sendWindow
    const { recurring, once } = this.request
    this.writeBlock(Buffer.concat([this.encoded({ fields: recurring, recur: true }), this.encoded({ fields: once, recur: false })]), 0)
    this.flush()
  }

  override take(bytes: Buffer): void {
    // A body without header fields before it is no answer.
    if (!this.isAnswered) return this.reset(ErrorCode.PROTOCOL_ERROR)
    super.take(bytes)
  }
}
