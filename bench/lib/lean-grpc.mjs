// A gRPC client with nothing in it but what a benchmark needs, so that the client is never what is measured: unary calls over
// HTTP/2 frames written by hand (RFC 9113), headers encoded once (RFC 7541, without a dynamic table), one write a turn.
import { connect } from 'node:net'

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const FRAME = 9
const Type = { DATA: 0, HEADERS: 1, RST_STREAM: 3, SETTINGS: 4, PING: 6, GOAWAY: 7, WINDOW_UPDATE: 8 }
const END_STREAM = 1
const ACK = 1
const END_HEADERS = 4
const Setting = { HEADER_TABLE_SIZE: 1, INITIAL_WINDOW_SIZE: 4, MAX_FRAME_SIZE: 5 }
const WINDOW = 0x7fff_ffff
const FIRST_WINDOW = 65_535
const CREDIT_BYTES = 1 << 24
const FRAME_BYTES_MAX = 16_384

/** One connection, of which every call carries `metadata`. `call` answers its callback once, with an error or with the bytes of the message. */
export class LeanGrpc {
  constructor(address, metadata = {}) {
    this.metadata = Object.entries(metadata)
    const [host, port] = address.split(':')
    this.authority = address
    this.calls = new Map()
    this.headers = new Map()
    this.nextId = 1
    this.pieces = []
    this.sendWindow = FIRST_WINDOW
    this.streamWindow = FIRST_WINDOW
    this.blocked = []
    this.unread = Buffer.alloc(0)
    this.received = 0
    this.socket = connect(Number(port), host)
    this.socket.setNoDelay(true)
    this.socket.on('data', (chunk) => this.read(chunk))
    this.socket.on('error', (error) => this.fail(error))
    this.socket.on('close', () => this.fail(new Error('closed')))
    this.push(PREFACE)
    this.push(settings([Setting.HEADER_TABLE_SIZE, 0], [Setting.INITIAL_WINDOW_SIZE, WINDOW]))
    this.push(windowUpdate(WINDOW - FIRST_WINDOW))
  }

  /** `message` is framed already (see `framed`); `group` is whom it is for where that is not the only one. */
  call(path, message, done, group) {
    if (this.failure) return done(this.failure)
    const id = this.nextId
    this.nextId += 2
    this.calls.set(id, { done, parts: null, window: this.streamWindow })
    const block = this.headersOf(path, group)
    this.push(frameHeader(block.length, Type.HEADERS, END_HEADERS, id))
    this.push(block)
    this.send({ id, message, sent: 0 })
  }

  /** A stream of messages each way: answers how to send one, framed. `onMessage` is given each that comes, `onEnd` why it is over. */
  stream(path, onMessage, onEnd) {
    const id = this.nextId
    this.nextId += 2
    const call = { done: onEnd, parts: null, window: this.streamWindow, onMessage }
    this.calls.set(id, call)
    const block = this.headersOf(path)
    this.push(frameHeader(block.length, Type.HEADERS, END_HEADERS, id))
    this.push(block)
    return (message) => this.send({ id, message, sent: 0, goesOn: true })
  }

  close() {
    this.socket.destroy()
  }

  send(outgoing) {
    const call = this.calls.get(outgoing.id)
    if (!call) return
    const { id, message } = outgoing
    for (;;) {
      const left = message.length - outgoing.sent
      const room = Math.min(left, FRAME_BYTES_MAX, this.sendWindow, call.window)
      if (room <= 0) return void this.blocked.push(outgoing)
      this.push(frameHeader(room, Type.DATA, room === left && !outgoing.goesOn ? END_STREAM : 0, id))
      this.push(room === message.length ? message : message.subarray(outgoing.sent, outgoing.sent + room))
      outgoing.sent += room
      this.sendWindow -= room
      call.window -= room
      if (room === left) return
    }
  }

  headersOf(path, group = '') {
    const name = `${path} ${group}`
    let block = this.headers.get(name)
    if (!block) {
      const text = (value) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)])
      const parts = [Buffer.from([0x83, 0x86, 0x04]), text(path), Buffer.from([0x01]), text(this.authority)]
      block = Buffer.concat([
        ...parts,
        Buffer.from([0x0f, 0x10]),
        text('application/grpc'),
        Buffer.from([0x00]),
        text('te'),
        text('trailers'),
        ...[...this.metadata, ...(group ? [['raftctl-group', group]] : [])].flatMap(([name, value]) => [
          Buffer.from([0x00]),
          text(name),
          text(value),
        ]),
      ])
      this.headers.set(name, block)
    }
    return block
  }

  push(bytes) {
    if (this.pieces.length === 0) queueMicrotask(() => this.flush())
    this.pieces.push(bytes)
  }

  flush() {
    const bytes = this.pieces.length === 1 ? this.pieces[0] : Buffer.concat(this.pieces)
    this.pieces = []
    if (!this.socket.destroyed) this.socket.write(bytes)
  }

  read(chunk) {
    const bytes = this.unread.length === 0 ? chunk : Buffer.concat([this.unread, chunk])
    let at = 0
    while (bytes.length - at >= FRAME) {
      const length = bytes.readUIntBE(at, 3)
      if (bytes.length - at < FRAME + length) break
      this.frame(bytes[at + 3], bytes[at + 4], bytes.readUInt32BE(at + 5) & WINDOW, bytes.subarray(at + FRAME, at + FRAME + length))
      at += FRAME + length
    }
    this.unread = at === bytes.length ? Buffer.alloc(0) : bytes.subarray(at)
    if (this.received > CREDIT_BYTES) {
      this.push(windowUpdate(this.received))
      this.received = 0
    }
  }

  frame(type, flags, id, payload) {
    if (type === Type.DATA) {
      this.received += payload.length
      const call = this.calls.get(id)
      if (call) call.parts = call.parts === null ? payload : Buffer.concat([call.parts, payload])
      if (call?.onMessage) this.messages(call)
      if (flags & END_STREAM) this.end(id)
    } else if (type === Type.HEADERS) {
      if (flags & END_STREAM) this.end(id, payload)
    } else if (type === Type.RST_STREAM) {
      this.answer(id, new Error(`reset (${payload.readUInt32BE(0)})`))
    } else if (type === Type.SETTINGS) {
      if (flags & ACK) return
      for (let at = 0; at < payload.length; at += 6)
        if (payload.readUInt16BE(at) === Setting.INITIAL_WINDOW_SIZE) {
          const window = payload.readUInt32BE(at + 2)
          for (const call of this.calls.values()) call.window += window - this.streamWindow
          this.streamWindow = window
        }
      this.push(frameHeader(0, Type.SETTINGS, ACK, 0))
      this.unblock()
    } else if (type === Type.PING) {
      if (!(flags & ACK)) this.push(Buffer.concat([frameHeader(8, Type.PING, ACK, 0), payload]))
    } else if (type === Type.WINDOW_UPDATE) {
      const more = payload.readUInt32BE(0)
      if (id === 0) this.sendWindow += more
      else if (this.calls.has(id)) this.calls.get(id).window += more
      this.unblock()
    } else if (type === Type.GOAWAY) {
      this.fail(new Error(`the server goes away (${payload.readUInt32BE(4)})`))
    }
  }

  /** What is whole of a stream; its window is given back. */
  messages(call) {
    let at = 0
    while (call.parts.length - at >= 5) {
      const end = at + 5 + call.parts.readUInt32BE(at + 1)
      if (end > call.parts.length) break
      call.onMessage(call.parts.subarray(at + 5, end))
      at = end
    }
    call.parts = at === call.parts.length ? null : call.parts.subarray(at)
  }

  unblock() {
    for (const outgoing of this.blocked.splice(0)) this.send(outgoing)
  }

  /** Whoever refuses sends trailers and no message; what can be read of them says why. */
  end(id, trailers = Buffer.alloc(0)) {
    const parts = this.calls.get(id)?.parts
    if (parts) this.answer(id, null, parts.subarray(5))
    else this.answer(id, new Error(`refused: ${trailers.toString('latin1').replace(/[^ -~]+/g, ' ')}`))
  }

  answer(id, error, message) {
    const call = this.calls.get(id)
    this.calls.delete(id)
    call?.done(error, message)
  }

  fail(error) {
    if (this.failure) return
    this.failure = error
    for (const id of [...this.calls.keys()]) this.answer(id, error)
    this.socket.destroy()
  }
}

/** gRPC's five bytes before a message, with the message. */
export function framed(message) {
  const bytes = Buffer.alloc(5 + message.length)
  bytes.writeUInt32BE(message.length, 1)
  bytes.set(message, 5)
  return bytes
}

function frameHeader(length, type, flags, id) {
  const header = Buffer.allocUnsafe(FRAME)
  header.writeUIntBE(length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(id, 5)
  return header
}

function settings(...pairs) {
  const payload = Buffer.alloc(pairs.length * 6)
  pairs.forEach(([name, value], i) => {
    payload.writeUInt16BE(name, i * 6)
    payload.writeUInt32BE(value, i * 6 + 2)
  })
  return Buffer.concat([frameHeader(payload.length, Type.SETTINGS, 0, 0), payload])
}

function windowUpdate(more) {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(more, 0)
  return Buffer.concat([frameHeader(4, Type.WINDOW_UPDATE, 0, 0), payload])
}
