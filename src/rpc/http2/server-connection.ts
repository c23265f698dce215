import type * as net from 'node:net'
import { CONNECTION_WINDOW, Connection, STREAM_WINDOW } from './connection.js'
import { ErrorCode, Http2Error } from './error.js'
import { FrameType, goAwayFrame, numberFrame, PREFACE, Setting, settingsFrame, WINDOW_DEFAULT } from './frames.js'
import type { HeaderBlock } from './header-blocks.js'
import { Stream, type StreamReader } from './stream.js'

export interface ServerConnectionOptions {
  readonly streamsMax: number
  /** Of one request, names and values and what HPACK counts besides. */
  readonly headerListBytesMax: number
  /** A request begins. Null: it was answered already, or reset. */
  readonly onRequest: (stream: Stream, fields: readonly string[], connection: ServerConnection) => StreamReader | null
  /** Its header fields were too large to be read. */
  readonly onOversized: (stream: Stream, connection: ServerConnection) => void
  readonly onClosed: (connection: ServerConnection) => void
}

/** What the other side does not read is bounded by not reading what it asks. */
const UNSENT_BYTES_MAX = 4 * 1024 * 1024

/** The server's side of a connection: requests come, and are bounded in what they may make it hold. */
export class ServerConnection extends Connection<Stream> {
  readonly peerAddress: string
  private prefaceRead = false
  /** What was received is not read on before what was written has left. */
  private isStalled = false

  constructor(
    socket: net.Socket,
    private readonly options: ServerConnectionOptions,
  ) {
    super(socket, options.headerListBytesMax, UNSENT_BYTES_MAX)
    this.peerAddress = `${socket.remoteAddress}:${socket.remotePort}`
    this.write(
      settingsFrame([
        [Setting.MAX_CONCURRENT_STREAMS, options.streamsMax],
        [Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW],
        [Setting.MAX_HEADER_LIST_SIZE, options.headerListBytesMax],
      ]),
    )
    this.write(numberFrame(FrameType.WINDOW_UPDATE, 0, CONNECTION_WINDOW - WINDOW_DEFAULT))
    socket.resume()
  }

  /** No request is taken any more; it closes when those under way are answered. */
  drain(): void {
    if (this.isDraining || this.isOver) return
    this.isDraining = true
    this.write(goAwayFrame(this.lastStreamId, ErrorCode.NO_ERROR, ''))
    this.endWhenIdle()
  }

  destroy(): void {
    this.socket.destroy()
    this.over()
  }

  sent(stream: Stream): void {
    // Whoever was answered before all was heard need not send the rest (RFC 9113 §8.1).
    if (!stream.isRemoteDone) this.write(numberFrame(FrameType.RST_STREAM, stream.id, ErrorCode.NO_ERROR))
    this.forget(stream)
    stream.close(true)
  }

  protected get lastTaken(): number {
    return this.lastStreamId
  }

  protected override get mayRead(): boolean {
    return !this.isFull
  }

  protected override readOn(): void {
    if (!this.isStalled) super.readOn()
  }

  protected override read(bytes: Buffer): void {
    let rest = bytes
    if (!this.prefaceRead) {
      const length = Math.min(bytes.length, PREFACE.length)
      if (bytes.compare(PREFACE, 0, length, 0, length) !== 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'not the preface of HTTP/2')
      if (length < PREFACE.length) return
      this.prefaceRead = true
      rest = bytes.subarray(length)
    }
    super.read(rest)
    if (this.isFull) this.stall()
  }

  protected onBlock(streamId: number, { fields, tooLarge, endsStream }: HeaderBlock): void {
    const known = this.streams.get(streamId)
    if (known) {
      // Trailers of a request: they end it.
      if (known.isRemoteDone || !endsStream) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'header fields within a request')
      return this.onRemoteDone(known)
    }
    if (streamId % 2 === 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, `a request on stream ${streamId}`)
    // Of a request that is over already.
    if (streamId <= this.lastStreamId) return this.onLate()
    this.lastStreamId = streamId
    const stream = new Stream(this, streamId, this.streamWindow)
    stream.isRemoteDone = endsStream
    if (this.isDraining || this.streams.size >= this.options.streamsMax) {
      this.patience.spend('refused requests')
      return this.write(numberFrame(FrameType.RST_STREAM, streamId, ErrorCode.REFUSED_STREAM))
    }
    this.streams.set(streamId, stream)
    if (tooLarge) return this.options.onOversized(stream, this)
    const reader = this.options.onRequest(stream, fields, this)
    if (stream.isOver) return
    stream.reader = reader
    if (endsStream) reader?.onEnd()
  }

  protected onRemoteDone(stream: Stream): void {
    stream.isRemoteDone = true
    stream.reader?.onEnd()
  }

  /**
   * Requests that are taken back before they are answered cost this side work and the other nothing (CVE-2023-44487). Members take back
   * streams that this side has ended, or answers on, again and again, one for each group that is missing here.
   */
  protected onReset(stream: Stream | undefined): void {
    if (!stream) return
    if (!stream.isAnswering) this.patience.spend('resets')
    this.forget(stream)
    stream.close(false)
  }

  protected onLate(): void {
    this.patience.spend('late frames')
  }

  protected onSetting(name: number, value: number): void {
    if (name === Setting.ENABLE_PUSH && value > 1) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, `ENABLE_PUSH=${value}`)
  }

  /** The end of the socket will say the same. */
  protected onGoAway(): void {}

  /** It counts as heard. */
  protected onPong(): void {}

  protected override stall(): void {
    this.isStalled = true
    this.socket.pause()
  }

  protected override goOn(): void {
    super.goOn()
    if (!this.isStalled || this.isFull || this.isOver) return
    this.isStalled = false
    this.socket.resume()
    this.readOn()
  }

  protected onIdle(): void {
    this.socket.end()
  }

  protected onOver(): void {
    this.options.onClosed(this)
  }
}
