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
  Setting,
  STREAM_ID_MAX,
  WINDOW_DEFAULT,
  WINDOW_MAX,
} from './frames.js'
import { type HeaderBlock, HeaderBlocks } from './header-blocks.js'
import { HeaderEncoder } from './header-encoder.js'
import { Patience } from './patience.js'
import { writeTogether } from './pieces.js'
import type { Stream, StreamHost } from './stream.js'

/** What each side lets the other send on one stream, and on all of them, before it says that it was read. */
export const STREAM_WINDOW = 4 * 1024 * 1024
export const CONNECTION_WINDOW = 16 * 1024 * 1024
/** Given back to the other side when this much of a window was used. */
const CREDIT_SHARE = 4
const NOTHING = Buffer.alloc(0)
const PING_PAYLOAD = Buffer.alloc(8)
/** How long a connection that was refused may take to hear why. */
const FAREWELL_MS = 1000

/**
 * One HTTP/2 connection (RFC 9113), for gRPC: no pushes, no priorities, no upgrade. What both sides of it have in common; who
 * opens streams, and what header fields mean on them, each side says for itself.
 *
 * Whatever the other side sends ends in an answer, a reset stream or a GOAWAY: nothing throws out of here, and what it may make
 * this side hold is bounded (header lists, windows, and what costs this side work and the other none, see Patience).
 *
 * Everything that is written in one turn leaves in one write.
 */
export abstract class Connection<S extends Stream> implements StreamHost {
  readonly encoder = new HeaderEncoder()
  frameBytesMax = FRAME_BYTES_DEFAULT
  sendWindow = WINDOW_DEFAULT
  /** When it was last heard of. */
  heardAt = performance.now()
  isOver = false
  protected readonly streams = new Map<number, S>()
  protected readonly patience = new Patience()
  /** Of the streams that were opened. */
  protected lastStreamId = 0
  /** How much may be sent on a stream that opens. */
  protected streamWindow = WINDOW_DEFAULT
  protected unread: Buffer = NOTHING
  /** No stream opens any more; it closes when those that are open are over. */
  protected isDraining = false
  private readonly waiting = new Set<Stream>()
  private readonly blocks: HeaderBlocks
  private uncredited = 0
  private settingsRead = false
  private pieces: Buffer[] = []
  private pendingBytes = 0

  /** The other side's header lists may be so large; more than `unsentBytesMax` does not wait for the socket. */
  constructor(
    protected readonly socket: net.Socket,
    headerListBytesMax: number,
    private readonly unsentBytesMax: number,
  ) {
    this.blocks = new HeaderBlocks(headerListBytesMax)
    socket.on('data', (chunk) => this.receive(chunk))
    socket.on('drain', () => this.goOn())
    socket.once('end', () => this.onSocketEnd())
    socket.once('close', () => this.over())
  }

  get isIdle(): boolean {
    return this.streams.size === 0
  }

  /** Asks whether anybody is there. */
  ping(): void {
    this.write(frame(FrameType.PING, 0, 0, PING_PAYLOAD))
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
    return this.unsentBytes > this.unsentBytesMax
  }

  wait(stream: Stream): void {
    this.waiting.add(stream)
  }

  credit(stream: Stream): void {
    if (stream.isHeld || stream.uncredited < STREAM_WINDOW / CREDIT_SHARE) return
    this.write(numberFrame(FrameType.WINDOW_UPDATE, stream.id, stream.uncredited))
    stream.uncredited = 0
  }

  reset(stream: Stream, code: number): void {
    this.write(numberFrame(FrameType.RST_STREAM, stream.id, code))
    this.forget(stream)
    stream.close(false)
  }

  abstract sent(stream: Stream): void

  // ---- what each side does its own way ----

  /** Of the streams that the other side opened, the last: a GOAWAY says it. */
  protected abstract get lastTaken(): number
  /** Header fields came, for a stream that is open or not. */
  protected abstract onBlock(streamId: number, block: HeaderBlock): void
  protected abstract onRemoteDone(stream: S): void
  protected abstract onReset(stream: S | undefined): void
  protected abstract onGoAway(lastStreamId: number, code: number, why: string): void
  protected abstract onPong(): void
  /** A frame came of a stream that is over. */
  protected abstract onLate(): void
  /** One of the settings that are of no concern to both sides. */
  protected abstract onSetting(name: number, value: number): void
  /** All settings of one frame were taken. */
  protected onSettled(_isFirst: boolean): void {}
  /** More waits than may: the socket takes it first. */
  protected stall(): void {}
  /** No stream is left, and none will come. */
  protected abstract onIdle(): void
  protected abstract onOver(problem: Http2Error | null): void

  // ---- what comes ----

  private receive(chunk: Buffer): void {
    if (this.isOver) return
    this.heardAt = performance.now()
    this.unread = this.unread.length === 0 ? chunk : Buffer.concat([this.unread, chunk])
    this.readOn()
  }

  /** Another frame may be read: what it makes this side hold is bounded. */
  protected get mayRead(): boolean {
    return true
  }

  protected readOn(): void {
    try {
      this.read(this.unread)
    } catch (error) {
      if (!(error instanceof Http2Error)) throw error
      this.refuse(error)
    }
  }

  protected read(bytes: Buffer): void {
    let at = 0
    while (!this.isOver && this.mayRead && bytes.length - at >= FRAME_HEADER_BYTES) {
      const type = bytes[at + 3]!
      if (!this.settingsRead && type !== FrameType.SETTINGS) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'no settings first')
      const length = bytes.readUIntBE(at, 3)
      if (length > FRAME_BYTES_DEFAULT) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, `a frame of ${length} bytes`)
      const end = at + FRAME_HEADER_BYTES + length
      if (end > bytes.length) break
      const streamId = bytes.readUInt32BE(at + 5) & STREAM_ID_MAX
      this.frame(type, bytes[at + 4]!, streamId, bytes.subarray(at + FRAME_HEADER_BYTES, end))
      at = end
    }
    this.unread = at === bytes.length ? NOTHING : bytes.subarray(at)
  }

  private frame(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (this.blocks.isOpen && (type !== FrameType.CONTINUATION || streamId !== this.blocks.streamId))
      throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'header fields that are broken off by another frame')
    switch (type) {
      case FrameType.DATA:
        return this.onData(flags, streamId, payload)
      case FrameType.HEADERS:
      case FrameType.CONTINUATION: {
        const isFirst = type === FrameType.HEADERS
        const block = isFirst ? this.blocks.open(flags, streamId, payload) : this.blocks.continue(flags, streamId, payload)
        return block ? this.onBlock(streamId, block) : undefined
      }
      case FrameType.RST_STREAM:
        if (payload.length !== 4) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, `a reset of ${payload.length} bytes`)
        this.checkOpened(streamId, 'a reset')
        return this.onReset(this.streams.get(streamId))
      case FrameType.SETTINGS:
        return this.onSettings(flags, streamId, payload)
      case FrameType.PUSH_PROMISE:
        throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'nothing is pushed here')
      case FrameType.PING:
        return this.onPing(flags, streamId, payload)
      case FrameType.GOAWAY:
        if (streamId !== 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'a GOAWAY on a stream')
        if (payload.length < 8) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, `a GOAWAY of ${payload.length} bytes`)
        return this.onGoAway(payload.readUInt32BE(0) & STREAM_ID_MAX, payload.readUInt32BE(4), payload.toString('utf8', 8))
      case FrameType.WINDOW_UPDATE:
        return this.onWindowUpdate(streamId, payload)
      // PRIORITY is obsolete, and what is unknown is passed over (RFC 9113 §5.5).
    }
  }

  protected checkOpened(streamId: number, what: string): void {
    // Only clients open streams: those with odd numbers.
    if (streamId % 2 === 0 || streamId > this.lastStreamId) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, `${what} of stream ${streamId}`)
  }

  private onData(flags: number, streamId: number, payload: Buffer): void {
    this.checkOpened(streamId, 'a body')
    this.uncredited += payload.length
    if (this.uncredited > CONNECTION_WINDOW) throw new Http2Error(ErrorCode.FLOW_CONTROL_ERROR, 'more than the window')
    if (this.uncredited >= CONNECTION_WINDOW / CREDIT_SHARE) {
      this.write(numberFrame(FrameType.WINDOW_UPDATE, 0, this.uncredited))
      this.uncredited = 0
    }
    const stream = this.streams.get(streamId)
    // Of a stream that is over: the other side may not know yet.
    if (!stream || stream.isRemoteDone) return this.onLate()
    const body = withoutPadding(flags, payload)
    const endsStream = (flags & Flag.END_STREAM) !== 0
    if (payload.length === 0 && !endsStream) return this.patience.spend('empty frames')
    stream.uncredited += payload.length
    if (stream.uncredited > STREAM_WINDOW) return this.reset(stream, ErrorCode.FLOW_CONTROL_ERROR)
    if (!endsStream) this.credit(stream)
    if (body.length > 0) stream.take(body)
    if (endsStream && !stream.isOver) this.onRemoteDone(stream)
  }

  private onSettings(flags: number, streamId: number, payload: Buffer): void {
    if (streamId !== 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'settings of a stream')
    if (flags & Flag.ACK) {
      if (payload.length > 0) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, 'an acknowledgement with settings')
      return
    }
    if (payload.length % 6 !== 0) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, `settings of ${payload.length} bytes`)
    const isFirst = !this.settingsRead
    if (!isFirst) this.patience.spend('settings')
    this.settingsRead = true
    for (let at = 0; at < payload.length; at += 6) this.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2))
    this.write(frame(FrameType.SETTINGS, Flag.ACK, 0, NOTHING))
    this.onSettled(isFirst)
    for (const stream of [...this.streams.values()]) stream.flush()
  }

  private set(name: number, value: number): void {
    switch (name) {
      case Setting.HEADER_TABLE_SIZE:
        return this.encoder.setTableBytes(value)
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
        return
      default:
        return this.onSetting(name, value)
    }
  }

  private onPing(flags: number, streamId: number, payload: Buffer): void {
    if (payload.length !== 8) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, `a ping of ${payload.length} bytes`)
    if (streamId !== 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'a ping on a stream')
    if (flags & Flag.ACK) return this.onPong()
    this.patience.spend('pings')
    this.write(frame(FrameType.PING, Flag.ACK, 0, payload))
  }

  private onWindowUpdate(streamId: number, payload: Buffer): void {
    if (payload.length !== 4) throw new Http2Error(ErrorCode.FRAME_SIZE_ERROR, `a window update of ${payload.length} bytes`)
    const more = payload.readUInt32BE(0) & WINDOW_MAX
    if (streamId === 0) {
      if (more === 0) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'a window update of nothing')
      this.sendWindow += more
      if (this.sendWindow > WINDOW_MAX) throw new Http2Error(ErrorCode.FLOW_CONTROL_ERROR, 'a window that is too large')
      return this.flushStreams()
    }
    this.checkOpened(streamId, 'a window')
    const stream = this.streams.get(streamId)
    if (!stream) return
    stream.sendWindow += more
    if (more === 0) return this.reset(stream, ErrorCode.PROTOCOL_ERROR)
    if (stream.sendWindow > WINDOW_MAX) return this.reset(stream, ErrorCode.FLOW_CONTROL_ERROR)
    stream.flush()
  }

  // ---- what leaves ----

  private flush(): void {
    const { pieces, pendingBytes, socket } = this
    this.pieces = []
    this.pendingBytes = 0
    if (this.isOver || pieces.length === 0 || !socket.writable) return
    writeTogether(socket, pieces, pendingBytes)
    if (this.isFull) this.stall()
    else this.goOn()
  }

  /** There is room again. */
  protected goOn(): void {
    if (!this.isOver && !this.isFull && this.waiting.size > 0) this.flushStreams()
  }

  private flushStreams(): void {
    const waiting = [...this.waiting]
    this.waiting.clear()
    for (const stream of waiting) stream.flush()
  }

  // ---- the end ----

  protected forget(stream: Stream): void {
    this.streams.delete(stream.id)
    this.waiting.delete(stream)
    this.endWhenIdle()
  }

  protected endWhenIdle(): void {
    if (this.isDraining && this.isIdle) queueMicrotask(() => this.onIdle())
  }

  private refuse(error: Http2Error): void {
    this.write(goAwayFrame(this.lastTaken, error.code, error.message))
    this.flush()
    this.socket.destroySoon()
    // Whoever does not read what it is told does not keep the socket.
    setTimeout(() => this.socket.destroy(), FAREWELL_MS).unref()
    this.over(error)
  }

  /** Whoever says that it sends nothing more listens to nothing more either: peers of gRPC do not close by half. */
  private onSocketEnd(): void {
    this.socket.end()
    this.over()
  }

  protected over(problem: Http2Error | null = null): void {
    if (this.isOver) return
    this.isOver = true
    this.unread = NOTHING
    const streams = [...this.streams.values()]
    this.streams.clear()
    this.waiting.clear()
    for (const stream of streams) stream.close(false)
    this.onOver(problem)
  }
}

function withoutPadding(flags: number, payload: Buffer): Buffer {
  if (!(flags & Flag.PADDED)) return payload
  const padding = payload[0] ?? 0
  if (payload.length === 0 || padding >= payload.length) throw new Http2Error(ErrorCode.PROTOCOL_ERROR, 'more padding than there is')
  return payload.subarray(1, payload.length - padding)
}
