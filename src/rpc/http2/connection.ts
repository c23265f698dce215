import type * as net from 'node:net'
import { ErrorCode, Http2Error } from './error.js'
import {
  Flag,
  FRAME_BYTES_DEFAULT,
  FRAME_BYTES_MAX,
  FRAME_HEADER_BYTES,
  FrameType,
  frame,
  goAwayFrame,
  numberFrame,
  PREFACE,
  Setting,
  STREAM_ID_MAX,
  settingsFrame,
  WINDOW_DEFAULT,
  WINDOW_MAX,
} from './frames.js'
import { HeaderBlocks } from './header-blocks.js'
import { HeaderEncoder } from './header-encoder.js'
import { Patience } from './patience.js'
import { Stream, type StreamHost, type StreamReader } from './stream.js'

export interface ConnectionOptions {
  readonly streamsMax: number
  /** Of one request, names and values and what HPACK counts besides. */
  readonly headerListBytesMax: number
  /** A request begins. Null: it was answered already, or reset. */
  readonly onRequest: (stream: Stream, fields: readonly string[], connection: Connection) => StreamReader | null
  /** Its header fields were too large to be read. */
  readonly onOversized: (stream: Stream, connection: Connection) => void
  readonly onClosed: (connection: Connection) => void
}

const STREAM_WINDOW = 4 * 1024 * 1024
const CONNECTION_WINDOW = 16 * 1024 * 1024
/** Given back to the other side when this much of a window was used. */
const CREDIT_SHARE = 4
/** What the other side does not read is bounded by not reading what it asks. */
const UNSENT_BYTES_MAX = 4 * 1024 * 1024
const NOTHING = Buffer.alloc(0)

/**
 * The server's side of one HTTP/2 connection (RFC 9113), for gRPC: no pushes, no priorities, no upgrade.
 *
 * Whatever the other side sends ends in an answer, a reset stream or a GOAWAY: nothing throws out of here, and what it may
 * make this side hold is bounded (header lists, streams, unsent answers, and work that is begun and taken back, see Patience).
 *
 * Everything that is written in one turn leaves in one write.
 */
export class Connection implements StreamHost {
  readonly encoder = new HeaderEncoder()
  readonly peerAddress: string
  frameBytesMax = FRAME_BYTES_DEFAULT
  sendWindow = WINDOW_DEFAULT
  /** When it was last heard of. */
  heardAt = performance.now()
  private readonly streams = new Map<number, Stream>()
  private readonly waiting = new Set<Stream>()
  private readonly blocks: HeaderBlocks
  private readonly patience = new Patience()
  private streamWindow = WINDOW_DEFAULT
  private uncredited = 0
  private lastStreamId = 0
  private prefaceRead = false
  private settingsRead = false
  private unread: Buffer = NOTHING
  private pieces: Buffer[] = []
  private pendingBytes = 0
  /** What was received is not read on before what was written has left. */
  private isStalled = false
  private isDraining = false
  private isOver = false

  constructor(
    private readonly socket: net.Socket,
    private readonly options: ConnectionOptions,
  ) {
    this.blocks = new HeaderBlocks(options.headerListBytesMax)
    this.peerAddress = `${socket.remoteAddress}:${socket.remotePort}`
    this.write(
      settingsFrame([
        [Setting.MAX_CONCURRENT_STREAMS, options.streamsMax],
        [Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW],
        [Setting.MAX_HEADER_LIST_SIZE, options.headerListBytesMax],
      ]),
    )
    this.write(numberFrame(FrameType.WINDOW_UPDATE, 0, CONNECTION_WINDOW - WINDOW_DEFAULT))
    socket.on('data', (chunk) => this.receive(chunk))
    socket.on('drain', () => this.goOn())
    socket.once('end', () => this.onSocketEnd())
    socket.once('close', () => this.over())
    socket.resume()
  }

  get isIdle(): boolean {
    return this.streams.size === 0
  }

  /** No request is taken any more; it closes when those under way are answered. */
  drain(): void {
    if (this.isDraining || this.isOver) return
    this.isDraining = true
    this.write(goAwayFrame(this.lastStreamId, ErrorCode.NO_ERROR, ''))
    this.endWhenIdle()
  }

  /** Asks whether anybody is there: an answer counts as heard. */
  ping(): void {
    this.write(frame(FrameType.PING, 0, 0, Buffer.alloc(8)))
  }

  destroy(): void {
    this.socket.destroy()
    this.over()
  }

  // ---- what streams ask for ----

  write(bytes: Buffer): void {
    if (this.isOver) return
    if (this.pieces.length === 0) queueMicrotask(() => this.flush())
    this.pieces.push(bytes)
    this.pendingBytes += bytes.length
  }

  /** Written, and not taken by the system. */
  get unsentBytes(): number {
    return this.pendingBytes + this.socket.writableLength
  }

  get isFull(): boolean {
    return this.unsentBytes > UNSENT_BYTES_MAX
  }

  wait(stream: Stream): void {
    this.waiting.add(stream)
  }

  release(stream: Stream): void {
    // Whoever was answered before all was heard need not send the rest (RFC 9113 §8.1).
    if (!stream.isRemoteDone) this.write(numberFrame(FrameType.RST_STREAM, stream.id, ErrorCode.NO_ERROR))
    this.forget(stream)
  }

  reset(stream: Stream, code: number): void {
    this.write(numberFrame(FrameType.RST_STREAM, stream.id, code))
    this.forget(stream)
    stream.cut()
  }

  // ---- what comes ----

  private receive(chunk: Buffer): void {
    this.heardAt = performance.now()
    this.unread = this.unread.length === 0 ? chunk : Buffer.concat([this.unread, chunk])
    if (!this.isStalled) this.readOn()
  }

  private readOn(): void {
    try {
      this.read(this.unread)
    } catch (error) {
      if (!(error instanceof Http2Error)) throw error
      this.refuse(error)
    }
  }

  private read(bytes: Buffer): void {
    let at = 0
    if (!this.prefaceRead) {
      const length = Math.min(bytes.length, PREFACE.length)
      if (bytes.compare(PREFACE, 0, length, 0, length) !== 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'not the preface of HTTP/2')
      if (length < PREFACE.length) return void (this.unread = bytes)
      this.prefaceRead = true
      at = PREFACE.length
    }
    while (!this.isOver && !this.isFull && bytes.length - at >= FRAME_HEADER_BYTES) {
      const length = bytes.readUIntBE(at, 3)
      if (length > FRAME_BYTES_DEFAULT) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, `a frame of ${length} bytes`)
      const end = at + FRAME_HEADER_BYTES + length
      if (end > bytes.length) break
      const streamId = bytes.readUInt32BE(at + 5) & STREAM_ID_MAX
      this.frame(bytes[at + 3]!, bytes[at + 4]!, streamId, bytes.subarray(at + FRAME_HEADER_BYTES, end))
      at = end
    }
    this.unread = at === bytes.length ? NOTHING : bytes.subarray(at)
    if (this.isFull) this.stall()
  }

  private frame(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (!this.settingsRead && type !== FrameType.SETTINGS) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'no settings first')
    if (this.blocks.isOpen && (type !== FrameType.CONTINUATION || streamId !== this.blocks.streamId))
      throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'header fields that are broken off by another frame')
    switch (type) {
      case FrameType.DATA:
        return this.onData(flags, streamId, payload)
      case FrameType.HEADERS:
      case FrameType.CONTINUATION:
        return this.onHeaders(type, flags, streamId, payload)
      case FrameType.RST_STREAM:
        return this.onReset(streamId, payload)
      case FrameType.SETTINGS:
        return this.onSettings(flags, streamId, payload)
      case FrameType.PUSH_PROMISE:
        throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'a client pushes nothing')
      case FrameType.PING:
        if (payload.length !== 8) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, `a ping of ${payload.length} bytes`)
        if (streamId !== 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'a ping on a stream')
        if (flags & Flag.ACK) return
        this.patience.spend('pings')
        return this.write(frame(FrameType.PING, Flag.ACK, 0, payload))
      case FrameType.WINDOW_UPDATE:
        return this.onWindowUpdate(streamId, payload)
      // PRIORITY is obsolete, GOAWAY says what the end of the socket will, and what is unknown is passed over (RFC 9113 §5.5).
    }
  }

  private onHeaders(type: number, flags: number, streamId: number, payload: Buffer): void {
    const block = type === FrameType.HEADERS ? this.blocks.open(flags, streamId, payload) : this.blocks.continue(flags, streamId, payload)
    if (!block) return
    const { fields, tooLarge, endsStream } = block
    const known = this.streams.get(streamId)
    if (known) {
      // Trailers of a request: they end it.
      if (known.isRemoteDone || !endsStream) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'header fields within a request')
      return this.onRemoteDone(known)
    }
    if (streamId % 2 === 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, `a request on stream ${streamId}`)
    // Of a request that is over already.
    if (streamId <= this.lastStreamId) return this.patience.spend('late frames')
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

  private onData(flags: number, streamId: number, payload: Buffer): void {
    if (streamId === 0 || streamId > this.lastStreamId) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, `a body on stream ${streamId}`)
    this.uncredited += payload.length
    if (this.uncredited > CONNECTION_WINDOW) throw new Http2Error(ErrorCode.FLOW_CONTROL_ERROR, 'more than the window')
    if (this.uncredited >= CONNECTION_WINDOW / CREDIT_SHARE) {
      this.write(numberFrame(FrameType.WINDOW_UPDATE, 0, this.uncredited))
      this.uncredited = 0
    }
    const stream = this.streams.get(streamId)
    // Of a stream that is over: the other side may not know yet.
    if (!stream || stream.isRemoteDone) return this.patience.spend('late frames')
    const body = withoutPadding(flags, payload)
    const endsStream = (flags & Flag.END_STREAM) !== 0
    if (payload.length === 0 && !endsStream) return this.patience.spend('empty frames')
    stream.uncredited += payload.length
    if (stream.uncredited > STREAM_WINDOW) return this.reset(stream, ErrorCode.FLOW_CONTROL_ERROR)
    if (!endsStream) this.credit(stream)
    if (body.length > 0) stream.reader?.onData(body)
    if (endsStream && !stream.isOver) this.onRemoteDone(stream)
  }

  credit(stream: Stream): void {
    if (stream.isHeld || stream.uncredited < STREAM_WINDOW / CREDIT_SHARE) return
    this.write(numberFrame(FrameType.WINDOW_UPDATE, stream.id, stream.uncredited))
    stream.uncredited = 0
  }

  private onRemoteDone(stream: Stream): void {
    stream.isRemoteDone = true
    stream.reader?.onEnd()
  }

  private onReset(streamId: number, payload: Buffer): void {
    if (payload.length !== 4) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, `a reset of ${payload.length} bytes`)
    if (streamId === 0 || streamId > this.lastStreamId) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, `a reset of stream ${streamId}`)
    this.patience.spend('resets')
    const stream = this.streams.get(streamId)
    if (!stream) return
    this.forget(stream)
    stream.cut()
  }

  private onSettings(flags: number, streamId: number, payload: Buffer): void {
    if (streamId !== 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'settings of a stream')
    if (flags & Flag.ACK) {
      if (payload.length > 0) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, 'an acknowledgement with settings')
      return
    }
    if (payload.length % 6 !== 0) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, `settings of ${payload.length} bytes`)
    if (this.settingsRead) this.patience.spend('settings')
    this.settingsRead = true
    for (let at = 0; at < payload.length; at += 6) this.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2))
    this.write(frame(FrameType.SETTINGS, Flag.ACK, 0, NOTHING))
    for (const stream of [...this.streams.values()]) stream.flush()
  }

  private set(name: number, value: number): void {
    switch (name) {
      case Setting.HEADER_TABLE_SIZE:
        return this.encoder.setTableBytes(value)
      case Setting.ENABLE_PUSH:
        if (value > 1) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, `ENABLE_PUSH=${value}`)
        return
      case Setting.INITIAL_WINDOW_SIZE: {
        if (value > WINDOW_MAX) throw new Http2Error(ErrorCode.FLOW_CONTROL_ERROR, `INITIAL_WINDOW_SIZE=${value}`)
        for (const stream of this.streams.values()) {
          stream.sendWindow += value - this.streamWindow
          if (stream.sendWindow > WINDOW_MAX) throw new Http2Error(ErrorCode.FLOW_CONTROL_ERROR, 'a window that is too large')
        }
        this.streamWindow = value
        return
      }
      case Setting.MAX_FRAME_SIZE:
        if (value < FRAME_BYTES_DEFAULT || value > FRAME_BYTES_MAX)
          throw new Http2Error(ErrorCode.PROTOCOL_ERROR, `MAX_FRAME_SIZE=${value}`)
        this.frameBytesMax = value
    }
  }

  private onWindowUpdate(streamId: number, payload: Buffer): void {
    if (payload.length !== 4) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, `a window update of ${payload.length} bytes`)
    if (streamId > this.lastStreamId) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, `a window of stream ${streamId}`)
    const more = payload.readUInt32BE(0) & WINDOW_MAX
    if (streamId === 0) {
      if (more === 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'a window update of nothing')
      this.sendWindow += more
      if (this.sendWindow > WINDOW_MAX) throw new Http2Error(ErrorCode.FLOW_CONTROL_ERROR, 'a window that is too large')
      return this.flushStreams()
    }
    const stream = this.streams.get(streamId)
    if (!stream) return
    stream.sendWindow += more
    if (more === 0) return this.reset(stream, ErrorCode.PROTOCOL_ERROR)
    if (stream.sendWindow > WINDOW_MAX) return this.reset(stream, ErrorCode.FLOW_CONTROL_ERROR)
    stream.flush()
  }

  // ---- what leaves ----

  private flush(): void {
    const { pieces, socket } = this
    this.pieces = []
    this.pendingBytes = 0
    if (this.isOver || !socket.writable) return
    socket.write(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces))
    if (this.isFull) this.stall()
    else if (this.isStalled || this.waiting.size > 0) this.goOn()
  }

  private stall(): void {
    this.isStalled = true
    this.socket.pause()
  }

  private goOn(): void {
    if (this.isOver || this.isFull) return
    this.flushStreams()
    if (!this.isStalled || this.isFull) return
    this.isStalled = false
    this.socket.resume()
    this.readOn()
  }

  private flushStreams(): void {
    const waiting = [...this.waiting]
    this.waiting.clear()
    for (const stream of waiting) if (!stream.isOver) stream.flush()
  }

  // ---- the end ----

  private forget(stream: Stream): void {
    this.streams.delete(stream.id)
    this.waiting.delete(stream)
    this.endWhenIdle()
  }

  private endWhenIdle(): void {
    if (this.isDraining && this.streams.size === 0) queueMicrotask(() => this.socket.end())
  }

  private refuse({ code, message }: Http2Error): void {
    this.write(goAwayFrame(this.lastStreamId, code, message))
    this.flush()
    this.socket.destroySoon()
    this.over()
  }

  /** Whoever says that it sends nothing more listens to nothing more either: clients of gRPC do not close by half. */
  private onSocketEnd(): void {
    this.socket.end()
    this.over()
  }

  private over(): void {
    if (this.isOver) return
    this.isOver = true
    const streams = [...this.streams.values()]
    this.streams.clear()
    this.waiting.clear()
    for (const stream of streams) stream.cut()
    this.options.onClosed(this)
  }
}

function withoutPadding(flags: number, payload: Buffer): Buffer {
  if (!(flags & Flag.PADDED)) return payload
  const padding = payload[0] ?? 0
  if (payload.length === 0 || padding >= payload.length) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'more padding than there is')
  return payload.subarray(1, payload.length - padding)
}
