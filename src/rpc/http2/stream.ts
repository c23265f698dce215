import { Flag, FRAME_HEADER_BYTES, FrameType, frame, writeFrameHeader } from './frames.js'
import type { HeaderEncoder, HeaderField } from './header-encoder.js'
import { COPIED_BYTES_MAX } from './pieces.js'

/** Who takes what comes on a stream. Nothing is called after `onClose`. */
export interface StreamReader {
  /** A piece of the body; the bytes are the reader's to keep, and share memory with others. */
  onData(bytes: Buffer): void
  /** The other side sends no more. */
  onEnd(): void
  /** What was written left: there is room again. */
  onDrain(): void
  /** The stream is over: everything was sent and heard, or it was reset, or the connection is gone. */
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
  /** This side has sent all of it. */
  sent(stream: Stream): void
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
const NOTHING = Buffer.alloc(0)

/**
 * One request and its answer, seen from either side. Bodies wait here for the windows of the other side (RFC 9113 §5.2).
 *
 * Invariants
 * - after its own end, or a reset, nothing more is sent.
 * - header fields are encoded when they are written, never before: blocks are read in the order of their writing.
 */
export class Stream {
  reader: StreamReader | null = null
  /** The other side sends nothing more. */
  isRemoteDone = false
  /** This side sends nothing more. */
  isLocalDone = false
  /** Nothing more happens on it. */
  isOver = false
  /** Something of the answer was sent. */
  isAnswering = false
  /** Received and not given back to the other side's window. */
  uncredited = 0
  /** The other side's window is not given back: it stops once that is full. */
  isHeld = false
  /** Of the body, what the windows did not let through. */
  queuedBytes = 0
  private readonly queue: Buffer[] = []
  private isEnding = false
  private trailers: Fields | null = null
  private isFull = false

  constructor(
    private readonly host: StreamHost,
    /** 0 for one that is not open yet: nothing is sent of it. */
    public id: number,
    /** How much may be sent on this stream. */
    public sendWindow: number,
  ) {}

  headers(headers: Fields): void {
    if (this.isLocalDone) return
    this.isAnswering = true
    this.writeBlock(this.encoded(headers), 0)
  }

  /** A piece of the body, or two of them that belong together. False: wait for `onDrain` before the next. */
  body(bytes: Buffer, more: Buffer = NOTHING): boolean {
    if (this.isLocalDone || this.isEnding) return true
    this.enqueue(bytes)
    this.enqueue(more)
    this.flush()
    // Until all of it has left: who was told to wait and writes on is still told when there is room.
    if (this.queuedBytes >= HIGH_WATER_BYTES) this.isFull = true
    return !this.isFull
  }

  /** Ends this side, when all bodies before it have left; without trailers `last` may be the rest of the body. */
  end(trailers: Fields | null, last: Buffer = NOTHING): void {
    if (this.isLocalDone || this.isEnding) return
    this.enqueue(last)
    this.isEnding = true
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
    if (!this.isOver && !this.isRemoteDone) this.host.credit(this)
  }

  /** Takes it back; the other side learns by `code` why. */
  reset(code: number): void {
    if (!this.isOver) this.host.reset(this, code)
  }

  /** Sends what the windows let through. */
  flush(): void {
    const { host } = this
    if (this.isLocalDone || this.id === 0) return
    while (this.queuedBytes > 0) {
      if (host.isFull) return host.wait(this)
      const room = Math.min(this.queuedBytes, host.frameBytesMax, host.sendWindow, this.sendWindow)
      if (room <= 0) {
        // A window of its own that is full is waited for by the update of that window.
        if (this.sendWindow > 0) host.wait(this)
        return
      }
      const isLast = this.isEnding && !this.trailers && room === this.queuedBytes
      this.sendWindow -= room
      host.sendWindow -= room
      this.writeData(room, isLast ? Flag.END_STREAM : 0)
      if (isLast) return this.finish()
    }
    if (this.isEnding) {
      if (this.trailers) this.writeBlock(this.encoded(this.trailers), Flag.END_STREAM)
      else host.write(frame(FrameType.DATA, Flag.END_STREAM, this.id, NOTHING))
      return this.finish()
    }
    if (!this.isFull) return
    this.isFull = false
    this.reader?.onDrain()
  }

  /** A piece of what comes. */
  take(bytes: Buffer): void {
    this.reader?.onData(bytes)
  }

  /** It is over: whole, or by a reset, or with its connection. */
  close(isWhole: boolean): void {
    if (this.isOver) return
    this.isOver = true
    this.isLocalDone = true
    this.queue.length = 0
    this.queuedBytes = 0
    const { reader } = this
    this.reader = null
    reader?.onClose(isWhole)
  }

  protected encoded({ fields, recur }: Fields): Buffer {
    return recur ? this.host.encoder.recurring(fields) : this.host.encoder.once(fields)
  }

  /** In as many frames as the other side's limit asks for. */
  protected writeBlock(block: Buffer, flags: number): void {
    const { host, id } = this
    const most = host.frameBytesMax
    if (block.length <= most) return host.write(frame(FrameType.HEADERS, flags | Flag.END_HEADERS, id, block))
    host.write(frame(FrameType.HEADERS, flags, id, block.subarray(0, most)))
    for (let at = most; at < block.length; at += most) {
      const isLast = at + most >= block.length
      host.write(frame(FrameType.CONTINUATION, isLast ? Flag.END_HEADERS : 0, id, block.subarray(at, at + most)))
    }
  }

  private enqueue(bytes: Buffer): void {
    if (bytes.length === 0) return
    this.queue.push(bytes)
    this.queuedBytes += bytes.length
  }

  /** A frame of the next `length` bytes; only short ones are copied. */
  private writeData(length: number, flags: number): void {
    const { host, queue } = this
    const isCopied = length < COPIED_BYTES_MAX
    const head = Buffer.allocUnsafe(isCopied ? FRAME_HEADER_BYTES + length : FRAME_HEADER_BYTES)
    let at = writeFrameHeader(head, 0, length, FrameType.DATA, flags, this.id)
    if (!isCopied) host.write(head)
    for (let left = length; left > 0; ) {
      const next = queue[0]!
      const part = next.length <= left ? next : next.subarray(0, left)
      if (part === next) queue.shift()
      else queue[0] = next.subarray(left)
      left -= part.length
      if (!isCopied) host.write(part)
      else head.set(part, at)
      at += part.length
    }
    this.queuedBytes -= length
    if (isCopied) host.write(head)
  }

  private finish(): void {
    this.isLocalDone = true
    this.host.sent(this)
  }
}
