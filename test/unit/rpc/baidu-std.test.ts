import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { braft, brpc, example } from '../../../src/generated/braft.js'
import { encodeFrame, type Frame, FrameReader, requestMeta, responseMeta, splitBody } from '../../../src/rpc/baidu-std.js'
import { type Codec, MAX_MESSAGE_BYTES } from '../../../src/rpc/grpc.js'
import { decodeMeta, encodeMeta, FrameError, type RequestMeta } from '../../../src/rpc/rpc-meta.js'
import { type CapturedFrame, capturedFrames, hex, wireBytes } from '../../support/rpc.js'

const CAPTURED = [...capturedFrames('cli-and-client'), ...capturedFrames('counter-4-peers')]

const REQUEST = hex(`50525043 0000002d 00000024
  0a1e 0a10 62726166742e436c6953657276696365 120a 6765745f6c6561646572 1800 2001 0a07 436f756e746572`)
const RESPONSE = hex('50525043 0000001c 00000008 1202 0800 1800 2001 0a12 3132372e302e302e313a383130303a303a30')

function framesIn(bytes: Buffer): Frame[] {
  const frames: Frame[] = []
  new FrameReader().read(bytes, (frame) => frames.push(frame))
  return frames
}

type Namespace = Readonly<Record<string, unknown>>

/** The message class of a captured frame, by the names of the protocol files. */
function codecOf({ service, method, kind }: CapturedFrame): Codec<unknown, object> {
  const suffix = kind === 'request' ? 'Request' : 'Response'
  if (service === 'example.CounterService') return (kind === 'request' ? example.FetchAddRequest : example.CounterResponse) as never
  const camel =
    method === 'pre_vote' ? 'RequestVote' : method.replace(/(^|_)([a-z])/g, (_, _separator, letter: string) => letter.toUpperCase())
  return (braft as unknown as Namespace)[camel + suffix] as never
}

test('the golden request and response of get_leader are written byte for byte', () => {
  const request = braft.GetLeaderRequest.encode({ group_id: 'Counter' }).finish()
  const meta = requestMeta(1n, { serviceName: 'braft.CliService', methodName: 'get_leader' })
  assert.equal(encodeFrame(meta, request), REQUEST)

  const response = braft.GetLeaderResponse.encode({ leader_id: '127.0.0.1:8100:0:0' }).finish()
  assert.equal(encodeFrame(responseMeta(1n, { errorCode: 0, errorText: '' }), response), RESPONSE)
})

test('the golden frames are read back', () => {
  const [request, response] = framesIn(Buffer.concat([REQUEST, RESPONSE]))
  assert.equal(request!.meta.request, { serviceName: 'braft.CliService', methodName: 'get_leader' })
  assert.is(request!.meta.correlationId, 1n)
  assert.is(braft.GetLeaderRequest.decode(request!.body).group_id, 'Counter')
  assert.equal(response!.meta.response, { errorCode: 0, errorText: '' })
  assert.is(braft.GetLeaderResponse.decode(response!.body).leader_id, '127.0.0.1:8100:0:0')
})

test('a caller that says something else than in its last call is heard', () => {
  const [short, long] = ['getLeader', 'x'.repeat(300)]
  const calls: RequestMeta[] = [
    { serviceName: 'braft.One', methodName: short },
    { serviceName: 'braft.One', methodName: short },
    { serviceName: 'braft.Two', methodName: short },
    { serviceName: 'braft.Two', methodName: 'getMember' },
    { serviceName: 'braft.Two', methodName: 'getMember', logId: 5n },
    { serviceName: 'braft.Two', methodName: 'getMember', logId: 6n },
    { serviceName: 'braft.Two', methodName: 'getMember', logId: 6n, timeoutMs: 50 },
    { serviceName: 'braft.Two', methodName: long },
    { serviceName: 'braft.Two', methodName: long },
    { serviceName: 'braft.Two', methodName: `${long.slice(1)}y` },
    { serviceName: 'braft.One', methodName: short },
  ]
  const reader = new FrameReader()
  const read: Frame[] = []
  // Each comes in the memory of the one before.
  const memory = Buffer.alloc(1024)
  calls.forEach((call, i) => {
    const bytes = encodeFrame(requestMeta(BigInt(i), call), Buffer.from([i]))
    memory.set(bytes)
    reader.read(memory.subarray(0, bytes.length), (frame) => read.push(frame))
  })
  assert.equal(
    read.map(({ meta }) => meta.request),
    calls,
  )
  assert.equal(
    read.map(({ meta }) => Number(meta.correlationId)),
    calls.map((_, i) => i),
  )
})

test('every captured frame is read, and its message is written back to the same bytes', () => {
  assert.ok(CAPTURED.length > 400)
  const frames = framesIn(Buffer.concat(CAPTURED.map(wireBytes)))
  assert.is(frames.length, CAPTURED.length)
  CAPTURED.forEach((captured, i) => {
    const { message, attachment } = splitBody(frames[i]!)!
    assert.equal(message, captured.body)
    assert.equal(attachment, captured.attachment)
    if (frames[i]!.meta.response?.errorCode) return assert.is(message.length, 0)
    const codec = codecOf(captured)
    assert.equal(Buffer.from(codec.encode(codec.decode(message)).finish()), captured.body, `${captured.kind} ${captured.method}`)
  })
})

test('the meta written by hand says what protobuf reads in braft’s', () => {
  for (const captured of CAPTURED) {
    const ours = brpc.policy.RpcMeta.decode(encodeMeta(decodeMeta(captured.meta)))
    const theirs = brpc.policy.RpcMeta.decode(captured.meta)
    for (const field of ['compress_type', 'attachment_size'] as const) assert.is(ours[field] ?? 0, theirs[field] ?? 0)
    assert.equal(String(ours.correlation_id), String(theirs.correlation_id))
    assert.equal(ours.request?.service_name, theirs.request?.service_name)
    assert.equal(ours.request?.method_name, theirs.request?.method_name)
    assert.equal(ours.response?.error_code, theirs.response?.error_code)
    assert.equal(ours.response?.error_text, theirs.response?.error_text)
  }
})

test('correlation ids keep all 64 bits, negative ones too', () => {
  for (const id of [0n, 1n, 127n, 128n, 2n ** 32n, 2n ** 49n - 1n, 2n ** 49n, 2n ** 53n + 1n, 2n ** 63n - 1n, -1n, -(2n ** 63n)]) {
    const bytes = encodeMeta(responseMeta(id, { errorCode: 0, errorText: '' }))
    assert.is(decodeMeta(bytes).correlationId, id)
    assert.is(String(brpc.policy.RpcMeta.decode(bytes).correlation_id), String(id))
  }
})

test('user fields, log id, deadline, error and attachment size survive; unknown fields are skipped', () => {
  const userFields = new Map([
    ['raftctl-cluster-id', 'aé'],
    ['empty', ''],
  ])
  const request = { serviceName: 's', methodName: 'm', logId: -7n, timeoutMs: 250 }
  const unknown = Buffer.from(
    brpc.policy.RpcMeta.encode({ checksum_type: 1, checksum_value: Buffer.from('abcd'), content_type: 2 }).finish(),
  )
  const meta = decodeMeta(
    Buffer.concat([unknown, encodeMeta(requestMeta(5n, request, { attachmentSize: 300, userFields })), hex('f50101020304')]),
  )
  assert.equal(meta.request, request)
  assert.equal([...meta.userFields], [...userFields])
  assert.is(meta.attachmentSize, 300)
  assert.equal(decodeMeta(encodeMeta(responseMeta(1n, { errorCode: -1, errorText: 'x' }))).response, { errorCode: -1, errorText: 'x' })
})

test('texts of any length are written as protobuf writes them', () => {
  for (const length of [0, 1, 127, 128, 129, 16_383, 16_384, 200_000]) {
    const long = 'é'.repeat(length >> 1) + 'x'.repeat(length & 1)
    const response = { errorCode: 1, errorText: long }
    const bytes = encodeMeta(
      responseMeta(7n, response, {
        userFields: new Map([
          [long, long],
          ['a', 'b'],
        ]),
      }),
    )
    const read = brpc.policy.RpcMeta.decode(bytes)
    assert.is(read.response!.error_text ?? '', long)
    assert.equal(Object.keys(read.user_fields), [long, 'a'])
    assert.is(read.user_fields[long], long)
    assert.equal(
      [...decodeMeta(bytes).userFields],
      [
        [long, long],
        ['a', 'b'],
      ],
    )
    const request = decodeMeta(encodeMeta(requestMeta(7n, { serviceName: long, methodName: long, logId: -1n, timeoutMs: 5 }))).request
    assert.equal(request, { serviceName: long, methodName: long, logId: -1n, timeoutMs: 5 })
  }
})

test('a stream cut at any byte gives the same frames', () => {
  const stream = Buffer.concat([REQUEST, RESPONSE, wireBytes(CAPTURED.find((f) => f.attachment.length > 0)!)])
  for (let cut = 1; cut < stream.length; cut++) {
    const reader = new FrameReader()
    const bodies: Buffer[] = []
    for (const part of [stream.subarray(0, cut), stream.subarray(cut)]) reader.read(part, (frame) => bodies.push(frame.body))
    assert.is(bodies.length, 3)
    assert.not(reader.isMidFrame)
  }
  const reader = new FrameReader()
  let frames = 0
  for (let i = 0; i < stream.length; i++) reader.read(stream.subarray(i, i + 1), () => frames++)
  assert.is(frames, 3)
})

test('a frame that cannot be one is refused by its header, whatever follows', () => {
  const header = (body: number, meta: number, magic = 'PRPC') => {
    const bytes = Buffer.alloc(12)
    bytes.write(magic)
    bytes.writeUInt32BE(body, 4)
    bytes.writeUInt32BE(meta, 8)
    return bytes
  }
  assert.throws(() => framesIn(header(10, 5, 'XRPC')), /not a baidu_std frame/)
  assert.throws(() => framesIn(header(10, 11)), /meta is longer/)
  assert.throws(() => framesIn(header(MAX_MESSAGE_BYTES + 1, 5)), /the limit/)
  assert.throws(() => framesIn(header(0xffffffff, 0xffffffff)), /the limit/)
  assert.equal(framesIn(header(MAX_MESSAGE_BYTES, 5)), [])
})

test('a meta of damaged bytes is a FrameError, never another error, never a hang', () => {
  let seed = 1
  const random = (n: number) => (seed = (seed * 48271) % 0x7fffffff) % n
  const samples = [
    encodeMeta(requestMeta(-1n, { serviceName: 'braft.X', methodName: 'y' }, { userFields: new Map([['a', 'b']]) })),
    CAPTURED[0]!.meta,
  ]
  let refused = 0
  for (let i = 0; i < 4000; i++) {
    const bytes = Buffer.from(samples[i % 2]!)
    for (let k = 0; k <= random(3); k++) bytes[random(bytes.length)] = random(256)
    const cut = bytes.subarray(0, 1 + random(bytes.length))
    try {
      decodeMeta(cut)
    } catch (error) {
      assert.instance(error, FrameError)
      refused++
    }
  }
  assert.ok(refused > 400, `${refused} refused`)
})

test('a negative or an overlong attachment is not cut', () => {
  const bytes = Buffer.from(brpc.policy.RpcMeta.encode({ attachment_size: -5 }).finish())
  assert.throws(() => decodeMeta(bytes), /negative/)
  assert.is(splitBody({ meta: requestMeta(1n, { serviceName: 's', methodName: 'm' }, { attachmentSize: 3 }), body: Buffer.alloc(2) }), null)
})

test.run()
