import * as grpc from '@grpc/grpc-js'
import * as braftRoot from '../../src/generated/braft.js'
import * as kvRoot from '../../src/generated/kv.js'
import * as raftctlRoot from '../../src/generated/raftctl.js'
import { Status } from '../../src/raft/errors.js'
import { EntryBatch } from '../../src/raft/log-entry.js'
import type { AppendEntriesRequest, PeerMethod } from '../../src/raft/messages.js'
import { PeerId } from '../../src/raft/peer-id.js'
import { asTerm, logIndex } from '../../src/raft/types.js'
import { encodeFrame, type Frame, FrameReader, requestMeta, responseMeta, splitBody } from '../../src/rpc/baidu-std.js'
import { cliService } from '../../src/rpc/cli-service.js'
import { readErrorDetail, toGrpcError } from '../../src/rpc/error-detail.js'
import { fileService } from '../../src/rpc/file-service.js'
import { decodeBeatAcks, decodeBeats, encodeBeatAcks, encodeBeats } from '../../src/rpc/heartbeat-codec.js'
import { JsonMessageError, type MessageShape, messageFromJson, messageToJson } from '../../src/rpc/json-message.js'
import { MessageReader } from '../../src/rpc/message-reader.js'
import { NodeManager } from '../../src/rpc/node-manager.js'
import { decodeAck, decodeFrame, encodeAck, encodeFrame as encodeAppendFrame, GRPC_PREFIX_BYTES } from '../../src/rpc/peer-codec.js'
import {
  decodeHelloRequest,
  decodeHelloResponse,
  encodeHelloRequest,
  encodeHelloResponse,
  peerMethodCodecs,
} from '../../src/rpc/peer-messages.js'
import { raftService } from '../../src/rpc/raft-service.js'
import { raftStatService } from '../../src/rpc/raft-stat.js'
import { decodeMeta, encodeMeta, FrameError } from '../../src/rpc/rpc-meta.js'
import { protocolOf } from '../../src/rpc/server.js'
import { dispatch, type RpcMethod, type RpcService } from '../../src/rpc/service.js'
import { checksum } from '../../src/storage/checksum.js'
import { batch } from '../support/entries.js'
import type { SeededRandom } from '../support/fake-environment.js'
import { GOLDEN } from '../support/golden-messages.js'
import { capturedFrames, FakeNode, silentHandler, wireBytes } from '../support/rpc.js'
import { type Decoder, isOverflow, type Outcome, refusedBy } from './decoder.js'
import { pick } from './mutate.js'

/** The bytes in pieces, cut at random. */
function pieces(bytes: Buffer, random: SeededRandom): Buffer[] {
  const cuts = Array.from({ length: random.below(6) }, () => random.below(bytes.length + 1)).sort((a, b) => a - b)
  return [0, ...cuts].map((from, i) => bytes.subarray(from, cuts[i] ?? bytes.length))
}

const frames = () => [...capturedFrames('cli-and-client').slice(0, 40), ...capturedFrames('counter-4-peers').slice(0, 60)]

function framesIn(parts: readonly Buffer[]): { frames: Frame[]; rest: number } {
  const reader = new FrameReader()
  const found: Frame[] = []
  // A frame is good for the time of the call only: its bytes may be a view.
  for (const part of parts) reader.read(part, ({ meta, body }) => found.push({ meta, body: Buffer.from(body) }))
  return { frames: found, rest: Number(reader.isMidFrame) }
}

const baiduStdStream: Decoder = {
  name: 'baidu-std-stream',
  covers: ['src/rpc/baidu-std.ts FrameReader', 'src/rpc/rpc-meta.ts FrameError'],
  samples: () => {
    const all = frames().map(wireBytes)
    return [...all, Buffer.concat(all.slice(0, 3)), encodeFrame(responseMeta(7n, { errorCode: 5, errorText: 'no' }), Buffer.alloc(0))]
  },
  run: (bytes, random) =>
    refusedBy([FrameError], () => {
      const inPieces = framesIn(pieces(bytes, random))
      const atOnce = framesIn([bytes])
      if (inPieces.frames.length !== atOnce.frames.length || inPieces.rest !== atOnce.rest) throw new Error('pieces make other frames')
      inPieces.frames.forEach(({ body, meta }, i) => {
        if (!body.equals(atOnce.frames[i]!.body) || meta.correlationId !== atOnce.frames[i]!.meta.correlationId)
          throw new Error('pieces make another frame')
      })
      const whole = atOnce.frames.flatMap((frame) => {
        const parts = splitBody(frame)
        return parts ? [encodeFrame(frame.meta, parts.message), parts.attachment] : []
      })
      return { value: atOnce, encode: () => Buffer.concat(whole) }
    }),
}

const rpcMeta: Decoder = {
  name: 'rpc-meta',
  covers: ['src/rpc/rpc-meta.ts decodeMeta'],
  samples: () => [
    ...frames().map(({ meta }) => meta),
    encodeMeta(
      requestMeta(
        -1n,
        { serviceName: 'braft.CliService', methodName: 'add_peer', logId: 3n, timeoutMs: 5 },
        { attachmentSize: 9, userFields: new Map([['a', 'b']]) },
      ),
    ),
  ],
  run: (bytes) =>
    refusedBy([FrameError], () => {
      const value = decodeMeta(bytes)
      return { value, encode: () => encodeMeta(value) }
    }),
}

/** The messages of every service, generated: by name, with all of a namespace's nested ones. */
export function generatedMessages(): {
  name: string
  codec: { decode(bytes: Uint8Array): unknown; encode(message: unknown): { finish(): Uint8Array } }
}[] {
  const found: ReturnType<typeof generatedMessages> = []
  const visit = (path: string, value: unknown) => {
    if (typeof value === 'function' && 'decode' in value && 'encode' in value) found.push({ name: path, codec: value as never })
    if ((typeof value === 'object' || typeof value === 'function') && value !== null)
      for (const [name, below] of Object.entries(value))
        if (/^[A-Z]/.test(name) || typeof below === 'object') visit(`${path}.${name}`, below)
  }
  for (const [root, space] of Object.entries({ ...braftRoot, ...kvRoot })) visit(root, space)
  for (const [root, space] of Object.entries(raftctlRoot)) visit(root, space)
  return [...new Map(found.map((one) => [one.name, one])).values()]
}

/** A message of random fields, with text, numbers at the edges and messages in it. */
function randomMessage(random: SeededRandom, depth = 0): Buffer {
  const out: Buffer[] = []
  for (let i = random.below(7); i > 0; i--) {
    const field = random.chance(0.9) ? 1 + random.below(12) : 1 + random.below(2000)
    const wire = pick([0, 0, 2, 2, 2, 1, 5], random)
    out.push(varint((field << 3) | wire))
    if (wire === 0) out.push(varint(pick([0, 1, 2, 127, 128, 2 ** 31, 2 ** 32 - 1, 2 ** 53], random)))
    else if (wire === 1) out.push(Buffer.alloc(8, random.below(256)))
    else if (wire === 5) out.push(Buffer.alloc(4, random.below(256)))
    else {
      const body = depth < 5 && random.chance(0.5) ? randomMessage(random, depth + 1) : pick(TEXTS, random)
      out.push(varint(body.length), body)
    }
  }
  return Buffer.concat(out)
}

const TEXTS = ['', 'kv', '127.0.0.1:7001:0:0', 'a', '\u00e9\u4e16', 'member', '0123456789abcdef0123456789abcdef'].map((text) =>
  Buffer.from(text),
)

function varint(value: number): Buffer {
  const out: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) out.push((rest % 0x80) | 0x80)
  return Buffer.from([...out, rest])
}

/** protobufjs says no with a plain Error, a RangeError of the reader, a ProtocolError, or what TextDecoder throws for bytes that are no text. */
function decodes(run: () => Exclude<Outcome, { refused: string }>): Outcome {
  try {
    return run()
  } catch (error) {
    const isText = (error as NodeJS.ErrnoException).code === 'ERR_ENCODING_INVALID_ENCODED_DATA'
    if ((error instanceof TypeError && !isText) || error instanceof ReferenceError || error instanceof SyntaxError || isOverflow(error))
      throw error
    return { refused: (error as Error).message }
  }
}

const messages: Decoder[] = [
  {
    name: 'protobuf-messages',
    covers: [],
    samples: (random) => Array.from({ length: 200 }, () => Buffer.concat([Buffer.from([random.below(256)]), randomMessage(random)])),
    run: (bytes) => {
      const all = generatedMessages()
      const { codec } = all[(bytes[0] ?? 0) % all.length]!
      return decodes(() => {
        const value = codec.decode(bytes.subarray(1))
        return { value, encode: () => Buffer.concat([bytes.subarray(0, 1), codec.encode(value).finish()]) }
      })
    },
  },
]

const route = { groupId: 'kv', from: new PeerId('127.0.0.1', 1), to: new PeerId('127.0.0.1', 2) }

const APPEND = {
  term: asTerm(300),
  prevLogTerm: asTerm(3),
  prevLogIndex: logIndex(7),
  committedIndex: logIndex(2 ** 40),
  entries: batch(8, 3, ['a', 'bc', '']),
}
const ACKNOWLEDGED = { term: asTerm(300), success: true, lastLogIndex: logIndex(2 ** 40), readonly: true, short: true, rebuilding: true }

const appendStream: Decoder = {
  name: 'append-frame',
  covers: ['src/rpc/peer-codec.ts decodeFrame', 'src/raft/log-entry.ts EntryBatch'],
  samples: () => {
    const request = { ...route, groupId: 'kv', serverId: route.from, peerId: route.to, ...APPEND }
    const terms = (...of: number[]) => ({ ...request, entries: EntryBatch.concat(of.map((term, i) => batch(8 + i, term, ['a']))) })
    return [request, { ...request, entries: null }, terms(3, 7, 300), terms(3, 7, 4), terms(2), terms(301)].map((one) => {
      const { head, entries: data } = encodeAppendFrame(5, one)
      return Buffer.concat([head.subarray(GRPC_PREFIX_BYTES), ...(data ? [data] : [])])
    })
  },
  run: (bytes) => {
    const { seq, status, request } = decodeFrame(bytes, route, checksum)
    if (!request) return { refused: status.message }
    for (const [name, value] of Object.entries(request)) if (typeof value === 'number') expectCount(name, value)
    expectTerms(request)
    return {
      value: request,
      encode: () => {
        const { head, entries } = encodeAppendFrame(seq, request)
        return Buffer.concat([head.subarray(GRPC_PREFIX_BYTES), ...(entries ? [entries] : [])])
      },
    }
  },
}

/** The log is written as it came, and its terms never go back: not within the entries, nor from what is before them. */
function expectTerms({ entries, prevLogTerm, term }: AppendEntriesRequest): Status {
  let before: number = prevLogTerm
  for (let index: number = entries?.firstIndex ?? 1; index <= (entries?.lastIndex ?? 0); index++) {
    const own = entries!.termAt(logIndex(index))
    expectCount('term of an entry', own)
    if (own < before || own > term) throw new Error(`entry ${index} of term ${own} after one of term ${before} was taken in term ${term}`)
    before = own
  }
  return Status.OK
}

/** What becomes an index, a term or a length must be one. */
function expectCount(name: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${name} was taken for ${value}`)
}

function expectCounts(path: string, value: unknown): void {
  if (typeof value === 'number') expectCount(path, value)
  if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value))
    for (const [key, below] of Object.entries(value)) expectCounts(`${path}.${key}`, below)
}

const BEAT = { stream: 3, term: 7, prevLogTerm: 6, prevLogIndex: 2 ** 40, committedIndex: 12 }

const heartbeats: Decoder = {
  name: 'heartbeats',
  covers: ['src/rpc/heartbeat-codec.ts decodeBeats'],
  samples: () =>
    [
      { seq: 1, fresh: true, beats: [], others: false, silent: [] },
      { seq: 2 ** 33, fresh: false, beats: [BEAT], others: true, silent: [0, 300] },
      { seq: 3, fresh: false, beats: [BEAT, { ...BEAT, stream: 4, prevLogIndex: 0, outranked: true }], others: false, silent: [] },
    ].map((frame) => encodeBeats(frame).subarray(GRPC_PREFIX_BYTES)),
  run: (bytes) => {
    const value = decodeBeats(bytes)
    if (!value) return { refused: 'null' }
    expectCounts('frame', value)
    return { value, encode: () => encodeBeats(value).subarray(GRPC_PREFIX_BYTES) }
  },
}

const heartbeatAcks: Decoder = {
  name: 'heartbeat-acks',
  covers: ['src/rpc/heartbeat-codec.ts decodeBeatAcks'],
  samples: () => [
    encodeBeatAcks({ seq: 9, acks: [], others: true, unanswered: [] }),
    encodeBeatAcks({
      seq: 10,
      acks: [
        { place: 0, status: Status.OK, response: ACKNOWLEDGED },
        { place: 5, status: Status.error(1008, 'no entry there') },
      ],
      others: false,
      unanswered: [1, 2000],
    }),
  ],
  run: (bytes) => {
    const value = decodeBeatAcks(bytes)
    if (!value) return { refused: 'null' }
    expectCounts('unanswered', value.unanswered)
    for (const { response } of value.acks) expectCounts('ack', response ?? {})
    return { value, encode: () => encodeBeatAcks(value) }
  },
}

const appendAck: Decoder = {
  name: 'append-ack',
  covers: ['src/rpc/peer-codec.ts decodeAck'],
  samples: () => [encodeAck(5, Status.OK, ACKNOWLEDGED), encodeAck(7, Status.error(1008, 'no entry there'))],
  run: (bytes) => {
    const ack = decodeAck(bytes)
    if (!ack) return { refused: 'null' }
    expectCounts('ack', ack.response ?? {})
    return { value: ack, encode: () => encodeAck(ack.seq, ack.status, ack.response) }
  },
}

const peerMethods = Object.keys(peerMethodCodecs) as Exclude<PeerMethod, 'hello'>[]

const peerMessages: Decoder = {
  name: 'peer-messages',
  covers: [
    'src/rpc/peer-messages.ts decodeHelloRequest',
    'src/rpc/peer-messages.ts decodeHelloResponse',
    'src/rpc/raft-messages.ts snapshotMetaOf',
  ],
  samples: () => [
    Buffer.concat([Buffer.from([0]), encodeHelloRequest(GOLDEN.hello.request, 'n1')]),
    Buffer.concat([Buffer.from([1]), encodeHelloResponse(GOLDEN.hello.response, { name: 'n1', clusterId: 'c', version: '1' })]),
    ...peerMethods.flatMap((method, i) => [
      Buffer.concat([Buffer.from([2 + 2 * i]), peerMethodCodecs[method].encodeRequest(GOLDEN[method].request as never)]),
      Buffer.concat([Buffer.from([3 + 2 * i]), peerMethodCodecs[method].encodeResponse(GOLDEN[method].response as never)]),
    ]),
  ],
  run: (bytes) => {
    const kind = (bytes[0] ?? 0) % (2 + 2 * peerMethods.length)
    const body = bytes.subarray(1)
    const made = <T>(value: T, encode: (value: T) => Buffer) => {
      expectCounts('message', value)
      return { value, encode: () => Buffer.concat([Buffer.from([kind]), encode(value)]) }
    }
    return decodesOrCounts(() => {
      if (kind === 0) return made(decodeHelloRequest(body), ({ request, name }) => encodeHelloRequest(request, name))
      if (kind === 1) return made(decodeHelloResponse(body), ({ response, extras }) => encodeHelloResponse(response, extras))
      const codec = peerMethodCodecs[peerMethods[(kind - 2) >> 1]!]
      if (kind % 2 === 0) return made(codec.decodeRequest(body), (request) => codec.encodeRequest(request as never))
      return made(codec.decodeResponse(body), (response) => codec.encodeResponse(response as never))
    })
  },
}

/** As `decodes`, but a number that is none is a finding. */
function decodesOrCounts(run: () => Exclude<Outcome, { refused: string }>): Outcome {
  const outcome = decodes(run)
  if ('refused' in outcome && / was taken for /.test(outcome.refused)) throw new Error(outcome.refused)
  return outcome
}

const grpcMessages: Decoder = {
  name: 'grpc-messages',
  covers: ['src/rpc/message-reader.ts MessageReader'],
  samples: () => {
    const one = (text: string) => Buffer.concat([Buffer.from([0, 0, 0, 0, text.length]), Buffer.from(text)])
    return [one(''), one('abc'), Buffer.concat([one('a'), one(''), one('bc')]), Buffer.from([1, 0, 0, 0, 0])]
  },
  run: (bytes, random) => {
    const read = (parts: readonly Buffer[]) => {
      const reader = new MessageReader()
      const taken: Buffer[] = []
      let problem: string | null = null
      for (const part of parts) problem ??= reader.push(part, (message) => taken.push(Buffer.from(message)))
      return { taken, problem }
    }
    const inPieces = read(pieces(bytes, random))
    const atOnce = read([bytes])
    if (inPieces.problem !== atOnce.problem) throw new Error(`in pieces: ${inPieces.problem}, at once: ${atOnce.problem}`)
    if (!Buffer.concat(inPieces.taken).equals(Buffer.concat(atOnce.taken))) throw new Error('pieces make other messages')
    return atOnce.problem ? { refused: atOnce.problem } : { value: atOnce.taken }
  },
}

/** Every service of braft, with a member behind it that answers. */
function services(post: (fn: () => void) => void): RpcService[] {
  const nodes = new NodeManager<FakeNode>()
  const handler = silentHandler({ handleAppendEntries: (request, answer) => answer(expectTerms(request), ACKNOWLEDGED) })
  nodes.add(new FakeNode('Counter', PeerId.parse('127.0.0.1:8500')!, handler))
  const leading = { state: 'LEADER', leaderId: PeerId.parse('127.0.0.1:8501')! } as const
  nodes.add(new FakeNode('Counter', PeerId.parse('127.0.0.1:8501')!, undefined, leading))
  const options = { nodes, executor: { post }, checksum, allowBraftPeers: () => true }
  return [raftService(options), cliService(options), fileService(nodes, { post }), raftStatService(nodes)]
}

function methodOf(services: readonly RpcService[], number: number): RpcMethod {
  const all = services.flatMap((service) => Object.values(service.methods))
  return all[number % all.length]!
}

const numberOf = (service: string, method: string) =>
  services(() => {})
    .flatMap((one) => Object.keys(one.methods).map((name) => `${one.name}.${name}`))
    .indexOf(`${service}.${method}`)

/** Entries of these terms from a leader of term 3, after one of term 2. */
function appends(...cases: readonly (readonly number[])[]) {
  const address = { group_id: 'Counter', server_id: '127.0.0.1:8501:0:0', peer_id: '127.0.0.1:8500:0:0' }
  const entryOf = (term: number) => ({ term, type: 2, data_len: 0 })
  return cases.map((terms) => {
    const request = { ...address, term: 3, prev_log_term: 2, prev_log_index: 7, committed_index: 7, entries: terms.map(entryOf) }
    const body = Buffer.from(braftRoot.braft.AppendEntriesRequest.encode(request).finish())
    return { service: 'braft.RaftService', method: 'append_entries', body, attachment: Buffer.alloc(0) }
  })
}

const braftCalls: Decoder = {
  name: 'braft-calls',
  covers: ['src/rpc/service.ts dispatch'],
  samples: () => {
    const requests = frames().filter(({ kind }) => kind === 'request')
    return [...requests, ...appends([2, 3], [3, 2], [1], [2, 4])].flatMap(({ service, method, body, attachment }) => {
      const number = numberOf(service, method)
      const length = Buffer.alloc(2)
      length.writeUInt16BE(body.length)
      return number < 0 ? [] : [Buffer.concat([Buffer.from([number]), length, body, attachment])]
    })
  },
  run: (bytes) => {
    const queue: (() => void)[] = []
    const method = methodOf(
      services((fn) => queue.push(fn)),
      bytes[0] ?? 0,
    )
    const cut = 3 + (bytes.length >= 3 ? bytes.readUInt16BE(1) : 0)
    const context = {
      protocol: 'baidu_std',
      attachment: bytes.subarray(cut),
      peerAddress: '127.0.0.1:1',
      fields: new Map(),
      drop: () => {},
    } as const
    const answers: Status[] = []
    dispatch(method, bytes.subarray(3, cut), context, (status) => answers.push(status))
    for (let next = queue.shift(); next; next = queue.shift()) next()
    if (answers.length > 1) throw new Error(`answered ${answers.length} times`)
    const [status] = answers
    if (status && /the handler failed/.test(status.message)) throw new Error(status.message)
    return status?.ok ? { value: status } : { refused: status?.message ?? 'not answered yet' }
  },
}

const shapes = (): MessageShape[] =>
  services(() => {}).flatMap((one) => Object.values(one.methods).flatMap(({ json }) => (json ? [json.request, json.response] : [])))

const jsonCalls: Decoder = {
  name: 'json-calls',
  covers: ['src/rpc/json-message.ts messageFromJson', 'src/rpc/json-message.ts JsonMessageError'],
  samples: () =>
    shapes().map((shape, i) => {
      const filled = (of: MessageShape): unknown =>
        Object.fromEntries(
          Object.entries(of).map(([name, { type, rule }]) => {
            const one = type === 'string' ? '127.0.0.1:8500:0:0' : type === 'bool' ? true : typeof type === 'string' ? 7 : filled(type)
            return [name, rule === 'repeated' ? [one, one] : one]
          }),
        )
      return Buffer.concat([Buffer.from([i]), Buffer.from(JSON.stringify(filled(shape)))])
    }),
  run: (bytes) => {
    const all = shapes()
    const shape = all[(bytes[0] ?? 0) % all.length]!
    return refusedBy([JsonMessageError, SyntaxError], () => {
      const value = messageFromJson(shape, JSON.parse(bytes.toString('utf8', 1)))
      return { value, encode: () => Buffer.concat([bytes.subarray(0, 1), Buffer.from(JSON.stringify(messageToJson(shape, value)))]) }
    })
  },
}

const DETAIL_KEY = 'grpc-status-details-bin'

const errorDetail: Decoder = {
  name: 'error-detail',
  covers: ['src/rpc/error-detail.ts readErrorDetail'],
  samples: () =>
    (['yes', 'no', 'unknown'] as const).map((applied) => {
      const { metadata } = toGrpcError(
        grpc.status.ABORTED,
        { code: 'E_NO_LEADER', leaderHint: '127.0.0.1:1:0:0', retryable: true, applied },
        'no leader',
      )
      return metadata.get(DETAIL_KEY)[0] as Buffer
    }),
  run: (bytes) => {
    const metadata = new grpc.Metadata()
    metadata.set(DETAIL_KEY, bytes)
    const value = readErrorDetail({ metadata })
    return value ? { value } : { refused: 'null' }
  },
}

const firstBytes: Decoder = {
  name: 'first-bytes',
  covers: [],
  samples: () => ['PRPC', 'PRI * HTTP/2.0\r\n', 'GET / HTTP/1.1', 'POST /a/b HTTP/1.1', 'P'].map((text) => Buffer.from(text)),
  run: (bytes) => {
    const value = protocolOf(bytes)
    // What is decided stays decided, whatever follows.
    if (value !== 'unsure' && protocolOf(Buffer.concat([bytes, Buffer.from('x')])) !== value)
      throw new Error('another byte makes another protocol')
    return value === null ? { refused: 'null' } : { value }
  },
}

export const NETWORK: readonly Decoder[] = [
  ...[
    baiduStdStream,
    rpcMeta,
    ...messages,
    appendStream,
    appendAck,
    heartbeats,
    heartbeatAcks,
    peerMessages,
    grpcMessages,
    braftCalls,
    jsonCalls,
  ],
  ...[errorDetail, firstBytes],
]
