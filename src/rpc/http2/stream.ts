import { Flag, FRAME_HEADER_BYTES, FrameType, frame, writeFrameHeader } from './frames.js'
import type { HeaderEncoder, HeaderField } from './header-encoder.js'

/** Who takes what comes on a stream. Nothing is called after `onClose`. */
export interface StreamReader {
  /** A piece of the body; the bytes are the reader's to keep, and share memory with others. */
  onData(bytes: Buffer): void
  /** The other side sends no more. */
  onEnd(): void
  /** What was written left: there is room again. */
  onDrain(): void
  /** The stream is over: everything was sent, or it was reset, or the connection is gone. */
  onClose(isWhole: boolean): void
}

/** What a stream asks of its connection. */
export interface StreamHost {
  readonly encoder: HeaderEncoder
  readonly frameBytesMax: number
  /** How much may be sent on all streams together. */
  sendWindow: number
  /** More is written than the socket took: whoever has more waits. */
  readonly isFull: boolean
  write(bytes: Buffer): void
  /** The connection's window, or its socket, is full: it is told when there is room. */
  wait(stream: Stream): void
  release(stream: Stream): void
  /** Gives back to the other side's window what was received on that stream. */
  credit(stream: Stream): void
  reset(stream: Stream, code: number): void
}

/** Header fields, and whether they are the same again and again: then the same array is given each time. */
export interface Fields {
  readonly fields: readonly HeaderField[]
  readonly recur: boolean
}

/** Queued bytes from which on `body` says that its caller should wait. */
const HIGH_WATER_BYTES = 256 * 1024

/**
 * One request and its answer. Bodies wait here for the windows of the other side (RFC 9113 §5.2).
 *
 * Invariants
 * - after the trailers, or a reset, nothing more is sent.
 * - header fields are encoded when they are written, never before: blocks are read in the order of their writing.
 */
export class Stream {
  reader: StreamReader | null = null
  /** The other side sends nothing more. */
  isRemoteDone = false
  /** Received and not given back to the other side's window. */
  uncredited = 0
  /** The other side's window is not given back: it stops once that is full. */
  isHeld = false
  private readonly queue: Buffer[] = []
  private queuedBytes = 0
  private trailers: Fields | null = null
  private isLocalDone = false
  private isFull = false

  constructor(
    private readonly host: StreamHost,
    readonly id: number,
    /** How much may be sent on this stream. */
    public sendWindow: number,
  ) {}

  get isOver(): boolean {
    return this.isLocalDone
  }

  headers(headers: Fields): void {
    if (!this.isLocalDone) this.writeBlock(headers, Flag.END_HEADERS)
  }

  /** False: wait for `onDrain` before the next. */
  body(bytes: Buffer): boolean {
    if (this.isLocalDone || this.trailers) return true
    this.queue.push(bytes)
    this.queuedBytes += bytes.length
    this.flush()
    // Until all of it has left: who was told to wait and writes on is still told when there is room.
    if (this.queuedBytes >= HIGH_WATER_BYTES) this.isFull = true
    return !this.isFull
  }

  /** Ends this side, when all bodies before it have left. */
  end(trailers: Fields): void {
    if (this.isLocalDone || this.trailers) return
    this.trailers = trailers
    this.flush()
  }

  /** A whole answer, in one write where the windows let it through. */
  answer(headers: Fields, body: Buffer, trailers: Fields): void {
    const { host, id } = this
    if (this.isLocalDone) return
    if (body.length > Math.min(this.sendWindow, host.sendWindow, host.frameBytesMax)) {
      this.headers(headers)
      this.body(body)
      return this.end(trailers)
    }
    const [first, last] = [this.encoded(headers), this.encoded(trailers)]
    const bytes = Buffer.allocUnsafe(3 * FRAME_HEADER_BYTES + first.length + body.length + last.length)
    let at = writeFrameHeader(bytes, 0, first.length, FrameType.HEADERS, Flag.END_HEADERS, id)
    bytes.set(first, at)
    at = writeFrameHeader(bytes, at + first.length, body.length, FrameType.DATA, 0, id)
    bytes.set(body, at)
    at = writeFrameHeader(bytes, at + body.length, last.length, FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, id)
    bytes.set(last, at)
    this.sendWindow -= body.length
    host.sendWindow -= body.length
    host.write(bytes)
    this.finish()
  }

  /** Whoever reads has enough for now; what is on its way still comes, at most a window full. */
  hold(): void {
    this.isHeld = true
  }

  /** Takes more again. */
  proceed(): void {
    if (!this.isHeld) return
    this.isHeld = false
    if (!this.isLocalDone && !this.isRemoteDone) this.host.credit(this)
  }

  /** Takes the answer back; the other side learns by `code` why. */
  reset(code: number): void {
    if (!this.isLocalDone) this.host.reset(this, code)
  }

  /** Sends what the windows let through. */
  flush(): void {
    const { host } = this
    while (this.queue.length > 0) {
      const next = this.queue[0]!
      if (host.isFull) return host.wait(this)
      const room = Math.min(next.length, host.frameBytesMax, host.sendWindow, this.sendWindow)
      if (room <= 0 && next.length > 0) {
        // A window of its own that is full is waited for by the update of that window.
        if (this.sendWindow > 0) host.wait(this)
        return
      }
      const isLast = room === next.length
      const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES)
      writeFrameHeader(header, 0, room, FrameType.DATA, 0, this.id)
      host.write(header)
      host.write(isLast ? next : next.subarray(0, room))
      this.sendWindow -= room
      host.sendWindow -= room
      this.queuedBytes -= room
      if (isLast) this.queue.shift()
      else this.queue[0] = next.subarray(room)
    }
    if (this.trailers) {
      this.writeBlock(this.trailers, Flag.END_HEADERS | Flag.END_STREAM)
      return this.finish()
    }
    if (!this.isFull) return
    this.isFull = false
    this.reader?.onDrain()
  }

  /** It is over by a reset, or with its connection. */
  cut(): void {
    if (this.isLocalDone && !this.reader) return
    this.isLocalDone = true
    this.queue.length = 0
    this.queuedBytes = 0
    const { reader } = this
    this.reader = null
    reader?.onClose(false)
  }

  private encoded({ fields, recur }: Fields): Buffer {
    return recur ? this.host.encoder.recurring(fields) : this.host.encoder.once(fields)
  }

  private writeBlock(fields: Fields, flags: number): void {
    this.host.write(frame(FrameType.HEADERS, flags, this.id, this.encoded(fields)))
  }

  private finish(): void {
    this.isLocalDone = true
    const { reader } = this
    this.reader = null
    this.host.release(this)
    reader?.onClose(true)
  }
}
