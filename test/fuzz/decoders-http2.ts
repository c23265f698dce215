import { ClientConnection } from '../../src/rpc/http2/client-connection.js'
import { Http2Error } from '../../src/rpc/http2/error.js'
import { Flag, FrameType, frame, goAwayFrame, numberFrame, PREFACE, Setting, settingsFrame } from '../../src/rpc/http2/frames.js'
import { HeaderDecoder } from '../../src/rpc/http2/header-decoder.js'
import { HeaderEncoder, type HeaderField } from '../../src/rpc/http2/header-encoder.js'
import { ServerConnection } from '../../src/rpc/http2/server-connection.js'
import type { SeededRandom } from '../support/fake-environment.js'
import { FakeSocket } from '../support/fake-socket.js'
import { hex } from '../support/rpc.js'
import { type Decoder, refusedBy } from './decoder.js'

const REQUEST: readonly HeaderField[] = [
  [':method', 'POST'],
  [':scheme', 'http'],
  [':path', '/etcdserverpb.KV/Put'],
  ['content-type', 'application/grpc'],
  ['grpc-timeout', '5S'],
]
const LIST_BYTES_MAX = 4096

const headers: Decoder = {
  name: 'http2-headers',
  covers: ['src/rpc/http2/header-decoder.ts HeaderDecoder', 'src/rpc/http2/huffman.ts decodeHuffman', 'src/rpc/http2/error.ts Http2Error'],
  samples: () => [
    new HeaderEncoder().once(REQUEST),
    new HeaderEncoder().recurring(REQUEST),
    hex('828684418cf1e3c2e5f23a6ba0ab90f4ff'),
    hex('828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf'),
    hex('3fe10182845886a8eb10649cbf'),
  ],
  run: (bytes) =>
    refusedBy([Http2Error], () => {
      const { fields, tooLarge } = new HeaderDecoder(LIST_BYTES_MAX).decode(bytes)
      const pairs = Array.from({ length: fields.length / 2 }, (_, i): HeaderField => [fields[2 * i]!, fields[2 * i + 1]!])
      return {
        value: { fields, tooLarge: tooLarge && fields.length > 0 },
        ...(tooLarge ? {} : { encode: () => new HeaderEncoder().once(pairs) }),
      }
    }),
}

function served(parts: readonly Buffer[]): { requests: string[]; bodyBytes: number; isRefused: boolean } {
  const seen = { requests: [] as string[], bodyBytes: 0, isRefused: false }
  const socket = new FakeSocket()
  new ServerConnection(socket.asSocket, {
    streamsMax: 10,
    headerListBytesMax: LIST_BYTES_MAX,
    onRequest: (stream, fields) => {
      seen.requests.push(fields.join('|'))
      return {
        onData: (bytes) => void (seen.bodyBytes += bytes.length),
        onEnd: () =>
          stream.answer({ fields: [[':status', '200']], recur: true }, Buffer.from('ok'), { fields: [['grpc-status', '0']], recur: true }),
        onDrain: () => {},
        onClose: () => {},
      }
    },
    onOversized: (stream) => stream.end({ fields: [[':status', '431']], recur: false }),
    onClosed: () => (seen.isRefused = true),
  })
  for (const part of parts) if (!seen.isRefused) socket.emit('data', part)
  return seen
}

const connection: Decoder = {
  name: 'http2-connection',
  covers: [
    'src/rpc/http2/server-connection.ts ServerConnection',
    'src/rpc/http2/connection.ts Connection',
    'src/rpc/http2/header-blocks.ts HeaderBlocks',
  ],
  samples: () => {
    const block = new HeaderEncoder().once(REQUEST)
    const both = Flag.END_HEADERS | Flag.END_STREAM
    const opening = [PREFACE, settingsFrame([[Setting.INITIAL_WINDOW_SIZE, 100]])]
    return [
      [frame(FrameType.HEADERS, both, 1, block), frame(FrameType.PING, 0, 0, Buffer.alloc(8))],
      [
        frame(FrameType.HEADERS, Flag.END_HEADERS, 1, block),
        frame(FrameType.DATA, Flag.END_STREAM, 1, Buffer.from('body')),
        frame(FrameType.HEADERS, both, 3, block),
      ],
      [frame(FrameType.HEADERS, 0, 1, block.subarray(0, 3)), frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, block.subarray(3))],
      [frame(FrameType.HEADERS, both, 1, block), numberFrame(FrameType.WINDOW_UPDATE, 0, 9), numberFrame(FrameType.RST_STREAM, 1, 8)],
    ].map((frames) => Buffer.concat([...opening, ...frames]))
  },
  run: (bytes, random) => {
    const atOnce = served([bytes])
    const inPieces = served(cut(bytes, random))
    if (JSON.stringify(atOnce) !== JSON.stringify(inPieces))
      throw new Error(`at once ${JSON.stringify(atOnce)}, in pieces ${JSON.stringify(inPieces)}`)
    return atOnce.isRefused ? { refused: 'a GOAWAY' } : { value: atOnce }
  },
}

/** What a client with two requests under way makes of what a server says. */
function heard(parts: readonly Buffer[]): { answers: string[]; end: string | null | undefined } {
  const seen: { answers: string[]; end: string | null | undefined } = { answers: ['', ''], end: undefined }
  const socket = new FakeSocket()
  const client = new ClientConnection(socket.asSocket, {
    onGreeted: () => {},
    onGoingAway: () => {},
    onClosed: (problem) => (seen.end = problem),
  })
  seen.answers.forEach((_, i) => {
    const add = (what: string) => void (seen.answers[i] += what)
    const stream = client.request(
      { recurring: REQUEST, once: [] },
      {
        onHeaders: (fields) => add(`[${fields.join('|')}]`),
        onData: (bytes) => add(bytes.toString('latin1')),
        onEnd: () => add('.'),
        onDrain: () => {},
        onClose: (isWhole) => add(isWhole ? ' whole' : ' cut'),
      },
    )
    stream.end(null, Buffer.alloc(100))
  })
  for (const part of parts) if (seen.end === undefined) socket.emit('data', part)
  return seen
}

const clientConnection: Decoder = {
  name: 'http2-client-connection',
  covers: ['src/rpc/http2/client-connection.ts ClientConnection'],
  samples: () => {
    const opening = new HeaderEncoder().once([
      [':status', '200'],
      ['content-type', 'application/grpc'],
    ])
    const trailers = new HeaderEncoder().once([['grpc-status', '0']])
    const both = Flag.END_HEADERS | Flag.END_STREAM
    const greeting = settingsFrame([
      [Setting.MAX_CONCURRENT_STREAMS, 1],
      [Setting.INITIAL_WINDOW_SIZE, 50],
    ])
    return [
      [frame(FrameType.HEADERS, Flag.END_HEADERS, 1, opening), frame(FrameType.DATA, 0, 1, Buffer.from('body'))],
      [frame(FrameType.HEADERS, both, 1, trailers), frame(FrameType.PING, 0, 0, Buffer.alloc(8))],
      [
        frame(FrameType.HEADERS, 0, 1, opening.subarray(0, 3)),
        frame(FrameType.CONTINUATION, Flag.END_HEADERS, 1, opening.subarray(3)),
        frame(FrameType.HEADERS, both, 1, trailers),
      ],
      [numberFrame(FrameType.WINDOW_UPDATE, 0, 9), numberFrame(FrameType.WINDOW_UPDATE, 1, 9), numberFrame(FrameType.RST_STREAM, 1, 8)],
      [goAwayFrame(1, 0, ''), frame(FrameType.HEADERS, both, 1, trailers)],
      [goAwayFrame(0, 11, 'too many pings')],
    ].map((frames) => Buffer.concat([greeting, ...frames]))
  },
  run: (bytes, random) => {
    const atOnce = heard([bytes])
    const inPieces = heard(cut(bytes, random))
    if (JSON.stringify(atOnce) !== JSON.stringify(inPieces))
      throw new Error(`at once ${JSON.stringify(atOnce)}, in pieces ${JSON.stringify(inPieces)}`)
    return typeof atOnce.end === 'string' ? { refused: atOnce.end } : { value: atOnce }
  },
}

function cut(bytes: Buffer, random: SeededRandom): Buffer[] {
  const at = random.below(bytes.length + 1)
  return [bytes.subarray(0, at), bytes.subarray(at)]
}

export const HTTP2: readonly Decoder[] = [headers, connection, clientConnection]
