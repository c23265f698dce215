import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ClientConnection } from '../../../../src/rpc/http2/client-connection.js'
import { ErrorCode } from '../../../../src/rpc/http2/error.js'
import { Flag, FrameType, frame, goAwayFrame, numberFrame, PREFACE, Setting, settingsFrame } from '../../../../src/rpc/http2/frames.js'
import { HeaderDecoder } from '../../../../src/rpc/http2/header-decoder.js'
import { HeaderEncoder, type HeaderField } from '../../../../src/rpc/http2/header-encoder.js'
import type { Stream } from '../../../../src/rpc/http2/stream.js'
import { FakeSocket } from '../../../support/fake-socket.js'

const test = suite('HTTP/2 client connection')

interface Frame {
  readonly type: number
  readonly flags: number
  readonly streamId: number
  readonly payload: Buffer
}

interface Answer {
  readonly stream: Stream
  readonly headers: string[]
  body: string
  isEnded: boolean
  end: 'open' | 'whole' | 'cut'
}

const block = (...fields: HeaderField[]) => new HeaderEncoder().once(fields)
const OPENING = block([':status', '200'])
const TRAILERS = block(['grpc-status', '0'])
const BOTH = Flag.END_HEADERS | Flag.END_STREAM
const opening = (id: number) => frame(FrameType.HEADERS, Flag.END_HEADERS, id, OPENING)
const trailers = (id: number) => frame(FrameType.HEADERS, BOTH, id, TRAILERS)
const data = (id: number, body: Buffer | string, flags = 0) => frame(FrameType.DATA, flags, id, Buffer.from(body))
/** Patterned, so that what is lost or out of order shows. */
const patterned = (length: number) => Buffer.from(Array.from({ length }, (_, i) => i % 251))

/** The client under test, and a server that speaks in frames. */
class Bench {
  readonly socket = new FakeSocket()
  readonly events: string[] = []
  readonly connection = new ClientConnection(this.socket.asSocket, {
    onGreeted: () => this.events.push('greeted'),
    onGoingAway: () => this.events.push('going away'),
    onClosed: (problem) => this.events.push(`closed: ${problem}`),
  })

  /** What the server says. */
  async say(...bytes: Buffer[]): Promise<void> {
    this.socket.emit('data', Buffer.concat(bytes))
    await this.turn()
  }

  async greet(...settings: (readonly [number, number])[]): Promise<void> {
    await this.say(settingsFrame(settings))
  }

  turn(): Promise<void> {
    return new Promise((done) => setImmediate(done))
  }

  request(path = '/a', once: HeaderField[] = []): Answer {
    let answer: Answer | null = null
    const stream = this.connection.request(
      { recurring: [[':path', path]], once },
      {
        onHeaders: (fields) => answer!.headers.push(fields.join('=')),
        onData: (bytes) => void (answer!.body += bytes.toString('latin1')),
        onEnd: () => (answer!.isEnded = true),
        onDrain: () => {},
        onClose: (isWhole) => (answer!.end = isWhole ? 'whole' : 'cut'),
      },
    )
    answer = { stream, headers: [], body: '', isEnded: false, end: 'open' }
    return answer
  }

  /** What the client sent. */
  get frames(): Frame[] {
    let bytes = Buffer.concat(this.socket.written)
    assert.ok(bytes.subarray(0, PREFACE.length).equals(PREFACE), 'the preface is first')
    bytes = bytes.subarray(PREFACE.length)
    const frames: Frame[] = []
    while (bytes.length > 0) {
      const end = 9 + bytes.readUIntBE(0, 3)
      frames.push({ type: bytes[3]!, flags: bytes[4]!, streamId: bytes.readUInt32BE(5), payload: bytes.subarray(9, end) })
      bytes = bytes.subarray(end)
    }
    return frames
  }

  of(type: number, streamId?: number): Frame[] {
    return this.frames.filter((each) => each.type === type && (streamId === undefined || each.streamId === streamId))
  }

  body(streamId: number): Buffer {
    return Buffer.concat(this.of(FrameType.DATA, streamId).map(({ payload }) => payload))
  }

  credited(streamId: number): number {
    return this.of(FrameType.WINDOW_UPDATE, streamId).reduce((sum, { payload }) => sum + payload.readUInt32BE(0), 0)
  }

  resets(streamId: number): number[] {
    return this.of(FrameType.RST_STREAM, streamId).map(({ payload }) => payload.readUInt32BE(0))
  }
}

test('requests leave before anybody answered, and all of one turn in one write', async () => {
  const bench = new Bench()
  const [one, two] = [bench.request('/one', [['n', '1']]), bench.request('/two')]
  one.stream.body(Buffer.from('head,'), Buffer.from('entries'))
  one.stream.body(Buffer.from(' and more'))
  two.stream.end(null, Buffer.from('all of it'))
  assert.is(bench.socket.writes, 0)
  await bench.turn()
  assert.is(bench.socket.writes, 1)
  const decoder = new HeaderDecoder(4096)
  assert.equal(
    bench.frames.map(({ type, flags, streamId, payload }) => [
      type,
      flags,
      streamId,
      type === FrameType.HEADERS ? decoder.decode(payload).fields.join(' ') : type === FrameType.DATA ? `${payload}` : '',
    ]),
    [
      [FrameType.SETTINGS, 0, 0, ''],
      [FrameType.WINDOW_UPDATE, 0, 0, ''],
      [FrameType.HEADERS, Flag.END_HEADERS, 1, ':path /one n 1'],
      [FrameType.HEADERS, Flag.END_HEADERS, 3, ':path /two'],
      [FrameType.DATA, 0, 1, 'head,entries'],
      [FrameType.DATA, 0, 1, ' and more'],
      [FrameType.DATA, Flag.END_STREAM, 3, 'all of it'],
    ],
  )
  await bench.greet([Setting.INITIAL_WINDOW_SIZE, 2 ** 20])
  const before = bench.socket.writes
  const large = Buffer.alloc(100_000, 'x')
  one.stream.body(Buffer.from('head'), large.subarray(0, 50_000))
  two.stream.body(Buffer.from('after its end'))
  await bench.turn()
  assert.is(bench.socket.writes, before + 1)
  const copied = bench.socket.written.slice(-8).filter(({ length, buffer }) => length > 1000 && buffer !== large.buffer)
  assert.is(copied.length, 0, 'only what is left after whole frames is copied')
  assert.ok(bench.body(1).equals(Buffer.concat([Buffer.from('head,entries and morehead'), large.subarray(0, 50_000)])))
})

test('a body waits for both windows, of the stream and of the connection, and leaves whole and in order', async () => {
  const bench = new Bench()
  const body = patterned(300_000)
  const { stream } = bench.request()
  stream.body(body.subarray(0, 100_000), body.subarray(100_000, 150_000))
  stream.end(null, body.subarray(150_000))
  await bench.turn()
  assert.is(bench.body(1).length, 65_535)
  assert.is(stream.queuedBytes, 300_000 - 65_535)
  // Less than what was sent: the window of an open stream falls below nothing.
  await bench.greet([Setting.INITIAL_WINDOW_SIZE, 60_000])
  await bench.say(numberFrame(FrameType.WINDOW_UPDATE, 0, 100_000), numberFrame(FrameType.WINDOW_UPDATE, 1, 5_535))
  assert.is(bench.body(1).length, 65_535)
  await bench.say(numberFrame(FrameType.WINDOW_UPDATE, 1, 1000))
  assert.is(bench.body(1).length, 66_535)
  await bench.greet([Setting.INITIAL_WINDOW_SIZE, 400_000])
  assert.is(bench.body(1).length, 165_535, "now the connection's own is the limit")
  const other = bench.request()
  other.stream.end(null, Buffer.from('waits too'))
  await bench.say(numberFrame(FrameType.WINDOW_UPDATE, 0, 400_000))
  assert.ok(bench.body(1).equals(body))
  assert.is(`${bench.body(3)}`, 'waits too')
  assert.ok(Math.max(...bench.of(FrameType.DATA).map(({ payload }) => payload.length)) <= 16_384)
  assert.is(bench.of(FrameType.DATA, 1).at(-1)!.flags, Flag.END_STREAM)
})

test('frames are as large as the other side says it takes, also those of header fields', async () => {
  const bench = new Bench()
  await bench.greet([Setting.MAX_FRAME_SIZE, 20_000])
  const value = 'v'.repeat(45_000)
  const { stream } = bench.request('/a', [['large', value]])
  stream.end(null, patterned(30_000))
  await bench.turn()
  const blocks = bench.frames.filter(({ type }) => type === FrameType.HEADERS || type === FrameType.CONTINUATION)
  assert.equal(
    blocks.map(({ type, flags, payload }) => [type, flags, payload.length <= 20_000]),
    [
      [FrameType.HEADERS, 0, true],
      [FrameType.CONTINUATION, 0, true],
      [FrameType.CONTINUATION, Flag.END_HEADERS, true],
    ],
  )
  const { fields } = new HeaderDecoder(100_000).decode(Buffer.concat(blocks.map(({ payload }) => payload)))
  assert.is(fields[3], value)
  assert.equal(
    bench.of(FrameType.DATA).map(({ payload }) => payload.length),
    [20_000, 10_000],
  )
})

test('windows that were used are given back, and what does not keep to them is refused', async () => {
  const bench = new Bench()
  await bench.greet()
  const greeting = bench.credited(0)
  const answer = bench.request()
  const lost = bench.request()
  lost.stream.reset(ErrorCode.CANCEL)
  await bench.say(opening(1))
  const piece = Buffer.alloc(16_384, 'a')
  for (let i = 0; i < 256; i++) await bench.say(data(1, piece), data(3, piece))
  assert.is(answer.body.length, 4 * 1024 * 1024)
  assert.is(bench.credited(1), 4 * 1024 * 1024)
  assert.is(bench.credited(0) - greeting, 8 * 1024 * 1024, 'of the stream that was taken back, too')
  answer.stream.hold()
  for (let i = 0; i <= 256; i++) await bench.say(data(1, piece))
  assert.equal(bench.resets(1), [ErrorCode.FLOW_CONTROL_ERROR])
  assert.is(answer.end, 'cut')
})

test('an answer in one piece, in bytes, with padding, continuations and without a body is one answer', async () => {
  const padded = Buffer.concat([Buffer.from([2]), Buffer.from('dy--')])
  const whole = Buffer.concat([
    settingsFrame([[Setting.MAX_CONCURRENT_STREAMS, 10]]),
    frame(FrameType.HEADERS, Flag.END_HEADERS, 1, block([':status', '103'])),
    frame(FrameType.HEADERS, 0, 1, OPENING.subarray(0, 1)),
    frame(FrameType.CONTINUATION, 0, 1, Buffer.alloc(0)),
    frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, OPENING.subarray(1)),
    data(1, 'bo'),
    data(1, padded, Flag.PADDED),
    trailers(1),
    frame(FrameType.HEADERS, BOTH, 3, block([':status', '200'], ['grpc-status', '5'])),
    opening(5),
    data(5, 'no trailers', Flag.END_STREAM),
    frame(0xfa, 0xff, 77, Buffer.from('unknown frames are passed over')),
  ])
  for (const pieceBytes of [whole.length, 1, 7]) {
    const bench = new Bench()
    const answers = [bench.request(), bench.request(), bench.request()]
    for (const { stream } of answers) stream.end(null)
    for (let at = 0; at < whole.length; at += pieceBytes) bench.socket.emit('data', whole.subarray(at, at + pieceBytes))
    assert.equal(
      answers.map(({ headers, body, isEnded, end }) => [headers, body, isEnded, end]),
      [
        [[':status=200', 'grpc-status=0'], 'body', true, 'whole'],
        [[':status=200=grpc-status=5'], '', true, 'whole'],
        [[':status=200'], 'no trailers', true, 'whole'],
      ],
    )
    await bench.turn()
    assert.equal([bench.events, bench.of(FrameType.RST_STREAM)], [['greeted'], []])
  }
})

test('what breaks the protocol ends the connection and every request, with a GOAWAY and one sentence that say why', async () => {
  const headers = (flags: number, id: number, payload = OPENING) => frame(FrameType.HEADERS, flags, id, payload)
  const cases: [why: RegExp, code: number, ...bytes: Buffer[]][] = [
    [/an answer of stream 2/, ErrorCode.PROTOCOL_ERROR, headers(BOTH, 2)],
    [/an answer of stream 9/, ErrorCode.PROTOCOL_ERROR, headers(BOTH, 9)],
    [/a body of stream 9/, ErrorCode.PROTOCOL_ERROR, data(9, 'x')],
    [/broken off/, ErrorCode.PROTOCOL_ERROR, headers(0, 1), frame(FrameType.PING, 0, 0, Buffer.alloc(8))],
    [/continuation of nothing/, ErrorCode.PROTOCOL_ERROR, frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, OPENING)],
    [/index 0/, ErrorCode.COMPRESSION_ERROR, headers(BOTH, 1, Buffer.from([0x80]))],
    [/padding/, ErrorCode.PROTOCOL_ERROR, opening(1), data(1, Buffer.from([9, 1]), Flag.PADDED)],
    [/within an answer/, ErrorCode.PROTOCOL_ERROR, opening(1), opening(1)],
    [/a frame of 16385 bytes/, ErrorCode.FRAME_SIZE_ERROR, frame(FrameType.PING, 0, 0, Buffer.alloc(16_385))],
    [/a ping of 7 bytes/, ErrorCode.FRAME_SIZE_ERROR, frame(FrameType.PING, 0, 0, Buffer.alloc(7))],
    [/a GOAWAY of 7 bytes/, ErrorCode.FRAME_SIZE_ERROR, frame(FrameType.GOAWAY, 0, 0, Buffer.alloc(7))],
    [/pushed/, ErrorCode.PROTOCOL_ERROR, frame(FrameType.PUSH_PROMISE, 0, 1, OPENING)],
    [/ENABLE_PUSH=1/, ErrorCode.PROTOCOL_ERROR, settingsFrame([[Setting.ENABLE_PUSH, 1]])],
    [/INITIAL_WINDOW_SIZE/, ErrorCode.FLOW_CONTROL_ERROR, settingsFrame([[Setting.INITIAL_WINDOW_SIZE, 2 ** 31]])],
    [/window that is too large/, ErrorCode.FLOW_CONTROL_ERROR, numberFrame(FrameType.WINDOW_UPDATE, 0, 2 ** 31 - 1)],
    [/window of stream 9/, ErrorCode.PROTOCOL_ERROR, numberFrame(FrameType.WINDOW_UPDATE, 9, 1)],
    [/reset of stream 9/, ErrorCode.PROTOCOL_ERROR, numberFrame(FrameType.RST_STREAM, 9, 0)],
    [/too many pings/, ErrorCode.ENHANCE_YOUR_CALM, ...Array.from({ length: 3000 }, () => frame(FrameType.PING, 0, 0, Buffer.alloc(8)))],
  ]
  for (const [why, code, ...bytes] of cases) {
    const bench = new Bench()
    const answer = bench.request()
    await bench.greet([Setting.MAX_CONCURRENT_STREAMS, 1])
    const unopened = bench.request()
    await bench.say(...bytes)
    await bench.say(data(1, 'nothing is read after it'))
    assert.equal([answer.end, unopened.end, bench.connection.isUsable], ['cut', 'cut', false], `${why}`)
    assert.is(bench.of(FrameType.GOAWAY)[0]?.payload.readUInt32BE(4), code, `${why}`)
    assert.is(bench.events.length, 2)
    assert.match(bench.events[1]!, /the other side does not keep to HTTP\/2/)
    assert.match(bench.events[1]!, why)
  }
  const stranger = new Bench()
  await stranger.say(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'))
  assert.match(stranger.events.join(), /^closed: .*no settings first/)
})

test('what is wrong with one answer ends that request alone', async () => {
  const bench = new Bench()
  await bench.greet()
  const answers = [bench.request(), bench.request(), bench.request(), bench.request()]
  await bench.say(data(1, 'a body first'))
  const field: HeaderField = ['x', 'y'.repeat(1000)]
  // Said again it is one byte of a block: the list is large all the same.
  await bench.say(frame(FrameType.HEADERS, Flag.END_HEADERS, 7, new HeaderEncoder().recurring(Array.from({ length: 100 }, () => field))))
  await bench.say(numberFrame(FrameType.RST_STREAM, 3, ErrorCode.REFUSED_STREAM))
  await bench.say(opening(5), data(5, 'fine'), trailers(5))
  assert.equal(
    answers.map(({ body, end }) => [body, end]),
    [
      ['', 'cut'],
      ['', 'cut'],
      ['fine', 'whole'],
      ['', 'cut'],
    ],
  )
  assert.equal(
    [1, 3, 7].map((id) => bench.resets(id)),
    [[ErrorCode.PROTOCOL_ERROR], [], [ErrorCode.ENHANCE_YOUR_CALM]],
  )
})

test('no more requests are open than the other side takes: the others wait their turn, and may be taken back meanwhile', async () => {
  const bench = new Bench()
  await bench.greet([Setting.MAX_CONCURRENT_STREAMS, 2])
  const answers = Array.from({ length: 5 }, (_, i) => {
    const answer = bench.request()
    answer.stream.end(null, Buffer.from(`${i}`))
    return answer
  })
  await bench.turn()
  assert.is(bench.of(FrameType.HEADERS).length, 2)
  answers[2]!.stream.reset(ErrorCode.CANCEL)
  await bench.say(opening(1), trailers(1))
  assert.equal([`${bench.body(5)}`, answers[2]!.end, bench.of(FrameType.RST_STREAM).length], ['3', 'cut', 0])
  await bench.greet([Setting.MAX_CONCURRENT_STREAMS, 10])
  assert.is(`${bench.body(7)}`, '4')
})

test('before the other side said how many requests it takes, no more are open than any takes', async () => {
  const bench = new Bench()
  for (let i = 0; i < 150; i++) bench.request()
  await bench.turn()
  assert.is(bench.of(FrameType.HEADERS).length, 100)
  await bench.greet()
  assert.is(bench.of(FrameType.HEADERS).length, 150, 'it said no number: any')
})

test('nothing is kept of what comes after the end', async () => {
  const bench = new Bench()
  await bench.greet()
  await bench.say(frame(FrameType.PING, 0, 0, Buffer.alloc(7)))
  for (let i = 0; i < 10; i++) await bench.say(Buffer.alloc(1000))
  assert.is((bench.connection as unknown as { unread: Buffer }).unread.length, 0)
})

test('after a GOAWAY nothing new begins, what it does not answer ends at once, and what it does is heard to its end', async () => {
  const bench = new Bench()
  await bench.greet([Setting.MAX_CONCURRENT_STREAMS, 2])
  const [below, above, unopened] = [bench.request(), bench.request(), bench.request()]
  below.stream.body(Buffer.from('more to come'))
  await bench.say(goAwayFrame(1, ErrorCode.NO_ERROR, ''))
  assert.equal([below.end, above.end, unopened.end], ['open', 'cut', 'cut'])
  assert.equal([bench.events, bench.connection.isUsable], [['greeted', 'going away'], false])
  below.stream.end(null, Buffer.from('!'))
  await bench.say(goAwayFrame(1, ErrorCode.NO_ERROR, ''), opening(1), data(1, 'heard'))
  assert.equal([bench.socket.destroyed, bench.events.length], [false, 2])
  await bench.say(trailers(1))
  assert.equal([below.body, below.end, bench.socket.destroyed], ['heard', 'whole', true])
  assert.is(bench.of(FrameType.HEADERS).length, 2)
})

test('a GOAWAY that says what is wrong ends the connection with its words', async () => {
  const bench = new Bench()
  await bench.greet()
  const answer = bench.request()
  await bench.say(goAwayFrame(1, ErrorCode.ENHANCE_YOUR_CALM, 'too many pings'))
  assert.equal([answer.end, bench.socket.destroyed], ['cut', true])
  assert.equal(bench.events, ['greeted', 'closed: the other side ended the connection: too many pings'])
})

test('what is taken back is reset, and what comes of it later harms nobody', async () => {
  const bench = new Bench()
  await bench.greet()
  const [taken, answered] = [bench.request(), bench.request()]
  taken.stream.body(Buffer.from('x'))
  taken.stream.reset(ErrorCode.CANCEL)
  taken.stream.body(Buffer.from('y'))
  // Answered before all was sent.
  await bench.say(opening(3), trailers(3), numberFrame(FrameType.RST_STREAM, 3, ErrorCode.NO_ERROR))
  for (let i = 0; i < 3000; i++) bench.socket.emit('data', data(1, 'late'))
  await bench.say(trailers(1), numberFrame(FrameType.WINDOW_UPDATE, 1, 9), numberFrame(FrameType.RST_STREAM, 1, ErrorCode.CANCEL))
  assert.equal([taken.end, taken.body, `${bench.body(1)}`, bench.resets(1)], ['cut', '', 'x', [ErrorCode.CANCEL]])
  assert.equal([answered.end, bench.resets(3)], ['whole', [ErrorCode.CANCEL]])
  assert.ok(bench.connection.isUsable)
})

test('a socket that closes ends everything, once; pings are answered and counted', async () => {
  const bench = new Bench()
  const answer = bench.request()
  let answered = 0
  bench.connection.probe(() => answered++)
  await bench.greet()
  await bench.say(frame(FrameType.PING, Flag.ACK, 0, Buffer.alloc(8)), frame(FrameType.PING, 0, 0, Buffer.from('12345678')))
  await bench.say(frame(FrameType.PING, Flag.ACK, 0, Buffer.alloc(8)))
  assert.equal([answered, bench.of(FrameType.PING).at(-1)!.payload.toString()], [1, '12345678'])
  for (const event of ['end', 'close']) bench.socket.emit(event)
  assert.equal([answer.end, bench.events], ['cut', ['greeted', 'closed: null']])
})

test.run()
