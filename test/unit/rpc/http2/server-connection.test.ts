import * as net from 'node:net'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode } from '../../../../src/rpc/http2/error.js'
import { Flag, FrameType, frame, numberFrame, PREFACE, Setting, settingsFrame } from '../../../../src/rpc/http2/frames.js'
import { HeaderEncoder } from '../../../../src/rpc/http2/header-encoder.js'
import { ServerConnection } from '../../../../src/rpc/http2/server-connection.js'
import { Stream } from '../../../../src/rpc/http2/stream.js'
import { FakeSocket } from '../../../support/fake-socket.js'

const test = suite('HTTP/2 server connection')
const STREAMS_MAX = 50
/** Of 16 KB each: more than the system takes for a reader that does not read. */
const ASKED = 3000
const REQUEST = new HeaderEncoder().once([
  [':method', 'POST'],
  [':path', '/a'],
])
const closers: (() => void)[] = []
test.after.each(() => {
  for (const close of closers.splice(0)) close()
})

interface Frame {
  readonly type: number
  readonly flags: number
  readonly streamId: number
  readonly payload: Buffer
}

interface Handled {
  readonly stream: Stream
  body: string
  isEnded: boolean
  end: 'open' | 'whole' | 'cut'
}

/** A client that speaks in frames, and what the server made of it. */
class Client {
  readonly frames: Frame[] = []
  readonly requests: Handled[] = []
  isClosed = false
  private unread = Buffer.alloc(0)
  private changed: () => void = () => {}

  private constructor(
    readonly socket: net.Socket,
    readonly connection: () => ServerConnection,
  ) {
    socket.on('error', () => {})
    socket.on('close', () => {
      this.isClosed = true
      this.changed()
    })
    socket.on('data', (chunk) => this.receive(chunk))
  }

  /** `answer` is run when a request is whole. */
  static async open(answer: (handled: Handled) => void = () => {}, greeting = true): Promise<Client> {
    let connection: ServerConnection | null = null
    let client: Client | null = null
    const server = net.createServer((accepted) => {
      accepted.on('error', () => {})
      connection = new ServerConnection(accepted, {
        streamsMax: STREAMS_MAX,
        headerListBytesMax: 4096,
        onRequest: (stream) => {
          const handled: Handled = { stream, body: '', isEnded: false, end: 'open' }
          client!.requests.push(handled)
          return {
            onData: (bytes) => void (handled.body += bytes.toString()),
            onEnd: () => {
              handled.isEnded = true
              answer(handled)
            },
            onDrain: () => {},
            onClose: (isWhole) => (handled.end = isWhole ? 'whole' : 'cut'),
          }
        },
        onOversized: (stream) => stream.end({ fields: [[':status', '431']], recur: false }),
        onClosed: () => {},
      })
    })
    const port = await new Promise<number>((done) => server.listen(0, '127.0.0.1', () => done((server.address() as net.AddressInfo).port)))
    const socket = net.connect(port, '127.0.0.1')
    closers.push(
      () => socket.destroy(),
      () => server.close(),
    )
    client = new Client(socket, () => connection!)
    if (greeting) client.send(PREFACE, settingsFrame([]))
    return client
  }

  send(...bytes: Buffer[]): void {
    this.socket.write(Buffer.concat(bytes))
  }

  /** A request without a body. */
  request(streamId: number): void {
    this.send(frame(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, streamId, REQUEST))
  }

  /** Opens a request whose body follows. */
  begin(streamId: number): void {
    this.send(frame(FrameType.HEADERS, Flag.END_HEADERS, streamId, REQUEST))
  }

  of(type: number, streamId?: number): Frame[] {
    return this.frames.filter((each) => each.type === type && (streamId === undefined || each.streamId === streamId))
  }

  async until(isSo: () => boolean, what: string): Promise<void> {
    while (!isSo()) {
      assert.ok(!this.isClosed, `closed before ${what}: ${this.goAway}`)
      await new Promise<void>((done) => (this.changed = done))
    }
  }

  async closed(): Promise<void> {
    while (!this.isClosed) await new Promise<void>((done) => (this.changed = done))
  }

  /** After a round trip everything that was sent before was dealt with. */
  async settled(): Promise<void> {
    const before = this.of(FrameType.PING).length
    this.send(frame(FrameType.PING, 0, 0, Buffer.alloc(8)))
    await this.until(() => this.of(FrameType.PING).length > before, 'the answer to a ping')
  }

  get goAway(): string {
    const [last] = this.of(FrameType.GOAWAY)
    return last ? `${last.payload.readUInt32BE(4)} ${last.payload.subarray(8)}` : 'none'
  }

  body(streamId: number): Buffer {
    return Buffer.concat(this.of(FrameType.DATA, streamId).map(({ payload }) => payload))
  }

  private receive(chunk: Buffer): void {
    let bytes = Buffer.concat([this.unread, chunk])
    while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
      const end = 9 + bytes.readUIntBE(0, 3)
      this.frames.push({ type: bytes[3]!, flags: bytes[4]!, streamId: bytes.readUInt32BE(5), payload: Buffer.from(bytes.subarray(9, end)) })
      bytes = bytes.subarray(end)
    }
    this.unread = bytes
    this.changed()
  }
}

const OK = { fields: [[':status', '200'] as const], recur: true }
const DONE = { fields: [['grpc-status', '0'] as const], recur: true }
const hello = ({ stream }: Handled) => stream.answer(OK, Buffer.from('hello'), DONE)

test('a request in one piece, in bytes, with padding, priority and continuations is one request', async () => {
  const [one, two] = [REQUEST.subarray(0, 2), REQUEST.subarray(2)]
  const padded = Buffer.concat([Buffer.from([3]), Buffer.alloc(5), REQUEST, Buffer.alloc(3)])
  const whole = Buffer.concat([
    PREFACE,
    settingsFrame([]),
    frame(FrameType.HEADERS, Flag.END_HEADERS, 1, REQUEST),
    frame(FrameType.DATA, 0, 1, Buffer.from('bo')),
    frame(FrameType.DATA, Flag.END_STREAM | Flag.PADDED, 1, Buffer.from('\u0002dy--')),
    frame(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM | Flag.PADDED | Flag.PRIORITY, 3, padded),
    frame(FrameType.HEADERS, Flag.END_STREAM, 5, one),
    frame(FrameType.CONTINUATION, 0, 5, Buffer.alloc(0)),
    frame(FrameType.CONTINUATION, Flag.END_HEADERS, 5, two),
    frame(0xfa, 0xff, 77, Buffer.from('unknown frames are passed over')),
  ])
  for (const pieceBytes of [whole.length, 1, 7]) {
    const client = await Client.open(hello, false)
    for (let at = 0; at < whole.length; at += pieceBytes) {
      client.send(whole.subarray(at, at + pieceBytes))
      if (pieceBytes < whole.length) await new Promise((done) => setImmediate(done))
    }
    await client.until(() => client.requests.length === 3 && client.of(FrameType.DATA).length === 3, 'three answers')
    assert.equal(
      client.requests.map(({ body, isEnded, end }) => [body, isEnded, end]),
      [
        ['body', true, 'whole'],
        ['', true, 'whole'],
        ['', true, 'whole'],
      ],
    )
    assert.equal(
      [1, 3, 5].map((id) => `${client.body(id)}`),
      ['hello', 'hello', 'hello'],
    )
  }
})

test('what breaks the protocol ends in a GOAWAY that says why, and in the end of all requests', async () => {
  const headers = (flags: number, id: number, payload = REQUEST) => frame(FrameType.HEADERS, flags, id, payload)
  const both = Flag.END_HEADERS | Flag.END_STREAM
  const setting = (name: number, value: number) => settingsFrame([[name, value]])
  const cases: [why: string, code: number, ...bytes: Buffer[]][] = [
    ['even stream', ErrorCode.PROTOCOL_ERROR, headers(both, 2)],
    ['stream 0', ErrorCode.PROTOCOL_ERROR, headers(both, 0)],
    ['body of no request', ErrorCode.PROTOCOL_ERROR, frame(FrameType.DATA, 0, 9, Buffer.from('x'))],
    ['broken off fields', ErrorCode.PROTOCOL_ERROR, headers(0, 3), frame(FrameType.PING, 0, 0, Buffer.alloc(8))],
    ['continuation of nothing', ErrorCode.PROTOCOL_ERROR, frame(FrameType.CONTINUATION, Flag.END_HEADERS, 3, REQUEST)],
    [
      'fields without an end',
      ErrorCode.ENHANCE_YOUR_CALM,
      headers(0, 3),
      ...Array.from({ length: 20 }, () => frame(FrameType.CONTINUATION, 0, 3, Buffer.alloc(0))),
    ],
    ['bad fields', ErrorCode.COMPRESSION_ERROR, headers(both, 3, Buffer.from([0x80]))],
    ['padding', ErrorCode.PROTOCOL_ERROR, headers(both | Flag.PADDED, 3, Buffer.from([9, 1]))],
    ['fields within a request', ErrorCode.PROTOCOL_ERROR, headers(Flag.END_HEADERS, 3), headers(Flag.END_HEADERS, 3)],
    ['large frame', ErrorCode.FRAME_SIZE_ERROR, frame(FrameType.PING, 0, 0, Buffer.alloc(16_385))],
    ['short ping', ErrorCode.FRAME_SIZE_ERROR, frame(FrameType.PING, 0, 0, Buffer.alloc(7))],
    ['push', ErrorCode.PROTOCOL_ERROR, frame(FrameType.PUSH_PROMISE, 0, 3, REQUEST)],
    ['short settings', ErrorCode.FRAME_SIZE_ERROR, frame(FrameType.SETTINGS, 0, 0, Buffer.alloc(5))],
    ['settings of a stream', ErrorCode.PROTOCOL_ERROR, frame(FrameType.SETTINGS, 0, 1, Buffer.alloc(0))],
    ['settings that acknowledge', ErrorCode.FRAME_SIZE_ERROR, frame(FrameType.SETTINGS, Flag.ACK, 0, Buffer.alloc(6))],
    ['push setting', ErrorCode.PROTOCOL_ERROR, setting(Setting.ENABLE_PUSH, 2)],
    ['window setting', ErrorCode.FLOW_CONTROL_ERROR, setting(Setting.INITIAL_WINDOW_SIZE, 2 ** 31)],
    ['frame setting', ErrorCode.PROTOCOL_ERROR, setting(Setting.MAX_FRAME_SIZE, 100)],
    ['window of nothing', ErrorCode.PROTOCOL_ERROR, numberFrame(FrameType.WINDOW_UPDATE, 0, 0)],
    ['window too large', ErrorCode.FLOW_CONTROL_ERROR, numberFrame(FrameType.WINDOW_UPDATE, 0, 2 ** 31 - 1)],
    ['window of no request', ErrorCode.PROTOCOL_ERROR, numberFrame(FrameType.WINDOW_UPDATE, 9, 1)],
    ['reset of no request', ErrorCode.PROTOCOL_ERROR, numberFrame(FrameType.RST_STREAM, 9, 0)],
    ['short reset', ErrorCode.FRAME_SIZE_ERROR, frame(FrameType.RST_STREAM, 0, 1, Buffer.alloc(3))],
  ]
  for (const [why, code, ...bytes] of cases) {
    const client = await Client.open()
    client.begin(1)
    client.send(...bytes)
    await client.closed()
    assert.is(Number(client.goAway.split(' ')[0]), code, `${why}: ${client.goAway}`)
    assert.is(client.requests[0]!.end, 'cut', why)
  }
  const noSettings = await Client.open(hello, false)
  noSettings.send(PREFACE, frame(FrameType.PING, 0, 0, Buffer.alloc(8)))
  await noSettings.closed()
  assert.match(noSettings.goAway, 'no settings first')
})

test('a body waits for both windows, of the stream and of the connection, and leaves whole and in order', async () => {
  const answer = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251))
  const client = await Client.open(({ stream }) => {
    stream.headers(OK)
    stream.body(answer.subarray(0, 100_000))
    stream.body(answer.subarray(100_000))
    stream.end(DONE)
  }, false)
  client.send(PREFACE, settingsFrame([[Setting.INITIAL_WINDOW_SIZE, 1000]]))
  client.request(1)
  await client.settled()
  assert.is(client.body(1).length, 1000)
  client.send(numberFrame(FrameType.WINDOW_UPDATE, 1, 500))
  await client.settled()
  assert.is(client.body(1).length, 1500)
  // Now the connection's own 65,535 is the limit.
  client.send(settingsFrame([[Setting.INITIAL_WINDOW_SIZE, 400_000]]))
  await client.settled()
  assert.is(client.body(1).length, 65_535)
  client.send(numberFrame(FrameType.WINDOW_UPDATE, 0, 1000))
  await client.settled()
  assert.is(client.body(1).length, 66_535)
  assert.is(client.requests[0]!.end, 'open')
  client.send(numberFrame(FrameType.WINDOW_UPDATE, 0, 400_000))
  await client.until(() => client.requests[0]!.end === 'whole', 'all of it')
  await client.settled()
  assert.ok(client.body(1).equals(answer))
  assert.ok(Math.max(...client.of(FrameType.DATA).map(({ payload }) => payload.length)) <= 16_384)
})

test('who writes on though it was told to wait is told when all has left', () => {
  let drained = 0
  const host = {
    ...{ encoder: new HeaderEncoder(), frameBytesMax: 16_384, sendWindow: 10_000_000, isFull: false },
    ...{ write: () => {}, wait: () => {}, sent: () => {}, credit: () => {}, reset: () => {} },
  }
  const stream = new Stream(host, 1, 0)
  stream.reader = { onData: () => {}, onEnd: () => {}, onDrain: () => drained++, onClose: () => {} }
  assert.is(stream.body(Buffer.alloc(300_000)), false)
  stream.sendWindow += 100_000
  stream.flush()
  assert.is(stream.body(Buffer.alloc(10)), false, 'most of it has not left')
  assert.is(drained, 0)
  stream.sendWindow += 1_000_000
  stream.flush()
  assert.equal([drained, stream.body(Buffer.alloc(10))], [1, true])
})

test('windows that were used are given back, and what does not keep to them is refused', async () => {
  const client = await Client.open()
  client.begin(1)
  const piece = frame(FrameType.DATA, 0, 1, Buffer.alloc(16_384, 'a'))
  for (let sent = 0; sent < 2 * 1024 * 1024; sent += 16_384) client.send(piece)
  await client.settled()
  assert.is(client.requests[0]!.body.length, 2 * 1024 * 1024)
  const given = client.of(FrameType.WINDOW_UPDATE, 1).reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0)
  assert.is(given, 2 * 1024 * 1024)
})

test('a stream that is held gives its window back when it proceeds, and others go on', async () => {
  const client = await Client.open()
  const piece = (streamId: number) => frame(FrameType.DATA, 0, streamId, Buffer.alloc(16_384, 'a'))
  const half = 2 * 1024 * 1024
  client.begin(1)
  client.begin(3)
  await client.settled()
  const { stream } = client.requests[0]!
  stream.hold()
  for (let sent = 0; sent < half; sent += 16_384) client.send(piece(1), piece(3))
  await client.settled()
  const given = (streamId: number) =>
    client.of(FrameType.WINDOW_UPDATE, streamId).reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0)
  assert.equal([client.requests[0]!.body.length, given(1), given(3)], [half, 0, half])
  stream.proceed()
  stream.proceed()
  await client.settled()
  assert.is(given(1), half)
  // The window that was granted is not more than was said.
  stream.hold()
  for (let sent = 0; sent <= 2 * half; sent += 16_384) client.send(piece(1))
  await client.until(() => client.of(FrameType.RST_STREAM, 1).length > 0, 'a reset')
  assert.is(client.of(FrameType.RST_STREAM, 1)[0]!.payload.readUInt32BE(0), ErrorCode.FLOW_CONTROL_ERROR)
})

test('who does not read what it asks for is not read either: what waits for it is bounded', async () => {
  let answered = 0
  const client = await Client.open(({ stream }) => {
    answered++
    stream.answer(OK, Buffer.alloc(16_000), DONE)
  }, false)
  client.send(PREFACE, settingsFrame([[Setting.INITIAL_WINDOW_SIZE, 2 ** 31 - 1]]), numberFrame(FrameType.WINDOW_UPDATE, 0, 2 ** 30))
  await client.settled()
  client.socket.pause()
  const held = client.connection()
  // Each answer ends its request, so that there are never too many.
  for (let id = 1; id < 2 * ASKED; id += 2) client.request(id)
  while (!held.isFull) await new Promise((done) => setImmediate(done))
  for (let turn = 0; turn < 50; turn++) await new Promise((done) => setImmediate(done))
  assert.ok(answered < ASKED / 2, `${answered} of ${ASKED} requests were read`)
  assert.ok(held.unsentBytes < 5 * 1024 * 1024, `${held.unsentBytes} bytes wait`)
  client.socket.resume()
  await client.until(() => answered === ASKED, 'the rest to be read')
})

test('a body that is larger than what may wait leaves whole, also where the system takes all of it at once', async () => {
  const socket = new FakeSocket()
  const opened: Stream[] = []
  const connection = new ServerConnection(socket.asSocket, {
    streamsMax: 1,
    headerListBytesMax: 4096,
    onRequest: (stream) => {
      opened.push(stream)
      return { onData: () => {}, onEnd: () => {}, onDrain: () => {}, onClose: () => {} }
    },
    onOversized: () => {},
    onClosed: () => {},
  })
  const windows = [settingsFrame([[Setting.INITIAL_WINDOW_SIZE, 2 ** 31 - 1]]), numberFrame(FrameType.WINDOW_UPDATE, 0, 2 ** 30)]
  socket.emit('data', Buffer.concat([PREFACE, ...windows, frame(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, REQUEST)]))
  await null
  const bodyBytes = 12 * 1024 * 1024
  opened[0]!.body(Buffer.alloc(bodyBytes))
  opened[0]!.end(DONE)
  await new Promise((done) => setImmediate(done))
  assert.ok(socket.written.reduce((sum, { length }) => sum + length, 0) > bodyBytes)
  assert.equal([opened[0]!.isOver, connection.isIdle], [true, true])
})

test('requests beyond the limit are refused, and those that end make room', async () => {
  const client = await Client.open(hello)
  for (let i = 0; i < STREAMS_MAX; i++) client.begin(1 + 2 * i)
  client.begin(1001)
  await client.settled()
  assert.equal(
    client.of(FrameType.RST_STREAM).map(({ streamId, payload }) => [streamId, payload.readUInt32BE(0)]),
    [[1001, ErrorCode.REFUSED_STREAM]],
  )
  client.send(numberFrame(FrameType.RST_STREAM, 1, ErrorCode.CANCEL))
  client.request(1003)
  await client.until(() => `${client.body(1003)}` === 'hello', 'its answer')
  assert.equal([client.requests.length, client.requests[0]!.end], [STREAMS_MAX + 1, 'cut'])
})

test('taking back what was answered already, or is being answered, is no trouble, however often', async () => {
  const client = await Client.open(({ stream }) => stream.headers({ fields: [[':status', '200']], recur: true }))
  for (let id = 1; id < 10_000; id += 2) {
    client.request(id)
    client.send(numberFrame(FrameType.RST_STREAM, id, ErrorCode.CANCEL))
  }
  for (let i = 0; i < 5000; i++) client.send(numberFrame(FrameType.RST_STREAM, 1, ErrorCode.CANCEL))
  client.request(10_001)
  await client.until(() => client.of(FrameType.HEADERS).some(({ streamId }) => streamId === 10_001), 'an answer')
})

test('requests that are begun and taken back without an end, and pings without an end, are not put up with', async () => {
  const client = await Client.open()
  for (let id = 1; id < 10_000; id += 2)
    client.send(frame(FrameType.HEADERS, Flag.END_HEADERS, id, REQUEST), numberFrame(FrameType.RST_STREAM, id, ErrorCode.CANCEL))
  await client.closed()
  assert.is(client.goAway, `${ErrorCode.ENHANCE_YOUR_CALM} too many resets`)
  const pinging = await Client.open()
  pinging.send(...Array.from({ length: 5000 }, () => frame(FrameType.PING, 0, 0, Buffer.alloc(8))))
  await pinging.closed()
  assert.is(pinging.goAway, `${ErrorCode.ENHANCE_YOUR_CALM} too many pings`)
})

test('who is answered before all was heard is told not to send the rest; what comes late harms nobody', async () => {
  const client = await Client.open()
  client.begin(1)
  await client.settled()
  client.requests[0]!.stream.end({
    fields: [
      [':status', '200'],
      ['grpc-status', '8'],
    ],
    recur: false,
  })
  client.send(frame(FrameType.DATA, 0, 1, Buffer.from('late')), frame(FrameType.DATA, Flag.END_STREAM, 1, Buffer.alloc(0)))
  await client.settled()
  const [reset] = client.of(FrameType.RST_STREAM, 1)
  assert.is(reset!.payload.readUInt32BE(0), ErrorCode.NO_ERROR)
  assert.equal([client.requests[0]!.body, client.requests[0]!.end], ['', 'whole'])
})

test('a connection that is drained answers what is under way, refuses what is new, and closes', async () => {
  const client = await Client.open(hello)
  client.begin(1)
  await client.settled()
  client.connection().drain()
  client.request(3)
  client.send(frame(FrameType.DATA, Flag.END_STREAM, 1, Buffer.from('x')))
  await client.closed()
  assert.is(client.of(FrameType.GOAWAY)[0]!.payload.readUInt32BE(0), 1, 'the last that is answered')
  assert.is(`${client.body(1)}`, 'hello')
  assert.is(client.of(FrameType.RST_STREAM, 3)[0]!.payload.readUInt32BE(0), ErrorCode.REFUSED_STREAM)
})

test('header fields that are too large are answered, and the connection goes on', async () => {
  const client = await Client.open(hello)
  const encoder = new HeaderEncoder()
  const large = encoder.once([
    [':method', 'POST'],
    [':path', '/a'],
    ['x', 'y'.repeat(5000)],
  ])
  client.send(frame(FrameType.HEADERS, Flag.END_HEADERS | Flag.END_STREAM, 1, large))
  client.request(3)
  await client.until(() => `${client.body(3)}` === 'hello', 'the next answer')
  assert.equal([client.of(FrameType.HEADERS, 1).length, client.requests.length], [1, 1])
})

test.run()
