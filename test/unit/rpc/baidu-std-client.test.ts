import * as net from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { encodeFrame, type Frame, FrameReader, responseMeta } from '../../../src/rpc/baidu-std.js'
import {
  BaiduStdClient,
  type BaiduStdClientOptions,
  type BaiduStdRequest,
  type BaiduStdResponse,
} from '../../../src/rpc/baidu-std-client.js'
import { BrpcCode } from '../../../src/rpc/braft-error.js'
import { Channels } from '../../../src/rpc/channel.js'
import { rawCodec } from '../../../src/rpc/grpc.js'
import { RpcServer } from '../../../src/rpc/server.js'
import { rpcMethod } from '../../../src/rpc/service.js'

const closers: (() => unknown)[] = []
test.after.each(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A bare server that gives each frame it reads to the test, with the socket it came by. */
async function startPeer(onFrame: (frame: Frame, socket: net.Socket) => void) {
  const sockets = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket)
    const reader = new FrameReader()
    socket.on('error', () => {})
    socket.on('data', (chunk) => reader.read(chunk, (frame) => onFrame(frame, socket)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as net.AddressInfo).port, sockets }
}

function connect(port: number, options: BaiduStdClientOptions = {}): BaiduStdClient {
  const client = new BaiduStdClient('127.0.0.1', port, { connectTimeoutMs: 5000, ...options })
  closers.push(() => client.close())
  return client
}

const CALL: BaiduStdRequest = { service: 'test.Echo', method: 'say', message: Buffer.from('hello') }

function ask(client: BaiduStdClient, overrides: Partial<BaiduStdRequest> = {}): Promise<{ status: Status; response?: BaiduStdResponse }> {
  return new Promise((resolve) =>
    client.call({ ...CALL, ...overrides }, (status, response) => resolve(response ? { status, response } : { status })),
  )
}

function reply(socket: net.Socket, frame: Frame, text = ''): void {
  socket.write(encodeFrame(responseMeta(frame.meta.correlationId, { errorCode: 0, errorText: '' }), Buffer.from(text)))
}

test('message, attachment and user fields travel both ways over one connection', async () => {
  const server = new RpcServer()
  const callers = new Set<string>()
  server.addService({
    name: 'test.Echo',
    methods: {
      say: rpcMethod({
        request: rawCodec,
        response: rawCodec,
        handle: (request, context, done) => {
          callers.add(context.peerAddress)
          done(Status.OK, Buffer.from(`${request} from ${context.fields.get('who')}`), Buffer.from(context.attachment).reverse())
        },
      }),
    },
  })
  const { port } = await server.listen()
  closers.push(() => server.close({ deadlineMs: 0 }))
  const channels = new Channels()
  closers.push(() => channels.close())
  const client = channels.baiduStd(`127.0.0.1:${port}`)
  assert.is(channels.baiduStd(`127.0.0.1:${port}`), client)
  const userFields = new Map([['who', 'me']])
  const answers = await Promise.all(
    ['abc', '', 'x'.repeat(3_000_000)].map((data) => ask(client, { attachment: Buffer.from(data), userFields })),
  )
  assert.equal(
    answers.map(({ response }) => `${response?.message}`),
    Array(3).fill('hello from me'),
  )
  assert.equal(
    answers.map(({ response }) => response?.attachment.length),
    [3, 0, 3_000_000],
  )
  assert.is(`${answers[0]!.response?.attachment}`, 'cba')
  assert.is(callers.size, 1)
  assert.is(client.pendingCalls, 0)
})

test('answers find their calls in any order; late and foreign ones are dropped', async () => {
  const frames: Frame[] = []
  const peer = await startPeer((frame, socket) => {
    frames.push(frame)
    if (frames.length < 3) return
    socket.write(encodeFrame(responseMeta(999n, { errorCode: 0, errorText: '' }), Buffer.from('foreign')))
    for (const held of frames.toReversed()) {
      reply(socket, held, `${held.body}!`)
      reply(socket, held, 'a second answer')
    }
  })
  const client = connect(peer.port)
  const answers = await Promise.all(['a', 'b', 'c'].map((text) => ask(client, { message: Buffer.from(text) })))
  assert.equal(
    answers.map(({ response }) => `${response?.message}`),
    ['a!', 'b!', 'c!'],
  )
})

test('an error of the server comes with its number and text', async () => {
  const peer = await startPeer((frame, socket) =>
    socket.write(encodeFrame(responseMeta(frame.meta.correlationId, { errorCode: 16, errorText: '[E16]busy' }), Buffer.alloc(0))),
  )
  assert.equal((await ask(connect(peer.port))).status, new Status(16, '[E16]busy'))
})

test('a call that is not answered in time fails alone; its late answer is dropped', async () => {
  let held: (() => void) | null = null
  const peer = await startPeer((frame, socket) => {
    if (held) reply(socket, frame, 'now')
    else held = () => reply(socket, frame, 'late')
  })
  const client = connect(peer.port)
  assert.is((await ask(client, { timeoutMs: 20 })).status.code, BrpcCode.ERPCTIMEDOUT)
  held!()
  assert.is(`${(await ask(client)).response?.message}`, 'now')
})

test('a cancelled call is not told anything', async () => {
  let cancelled = 0
  const peer = await startPeer((frame, socket) => reply(socket, frame))
  const client = connect(peer.port)
  const call = client.call(CALL, () => cancelled++)
  call.cancel()
  call.cancel()
  await ask(client)
  assert.is(cancelled, 0)
  assert.is(client.pendingCalls, 0)
})

test('a lost connection fails every waiting call, and the next call opens another', async () => {
  let calls = 0
  const peer = await startPeer((frame, socket) => {
    calls++
    if (calls === 2) socket.resetAndDestroy()
    if (calls > 2) reply(socket, frame, 'again')
  })
  const client = connect(peer.port)
  const lost = await Promise.all([ask(client), ask(client)])
  for (const { status } of lost) assert.ok([BrpcCode.EFAILEDSOCKET, BrpcCode.EEOF].includes(status.code as never), `${status}`)
  assert.is(client.pendingCalls, 0)
  const [early, known] = [await ask(client), lost[0]!.status]
  assert.equal(early.status, known, 'a server that hung up is left alone for a moment')
  client.resetBackoff()
  assert.is(`${(await ask(client)).response?.message}`, 'again')
  assert.is(peer.sockets.size, 2)
})

test('nobody listens: ECONNREFUSED, from a later turn, as often as asked', async () => {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  const client = connect(port)
  for (let i = 0; i < 3; i++) {
    const { status } = await ask(client)
    assert.is(status.code, ErrorCode.ECONNREFUSED, `${status}`)
    assert.match(status.message, 'ECONNREFUSED')
  }
})

test('bytes that are no frame end the connection and its calls', async () => {
  const peer = await startPeer((_frame, socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'))
  assert.is((await ask(connect(peer.port))).status.code, BrpcCode.ERESPONSE)
})

test('an answer whose attachment is longer than itself is ERESPONSE', async () => {
  const peer = await startPeer((frame, socket) => {
    const bytes = encodeFrame(
      { ...responseMeta(frame.meta.correlationId, { errorCode: 0, errorText: '' }), attachmentSize: 5 },
      Buffer.alloc(0),
    )
    bytes.writeUInt32BE(bytes.length - 12, 4)
    socket.write(bytes)
  })
  assert.is((await ask(connect(peer.port))).status.code, BrpcCode.ERESPONSE)
})

test('calls and unsent bytes are bounded: more is refused at once, and taken again when there is room', async () => {
  const held: (() => void)[] = []
  const peer = await startPeer((frame, socket) => held.push(() => reply(socket, frame, 'ok')))
  const client = connect(peer.port, { pendingCallsMax: 2, unsentBytesMax: 1000 })
  const first = [ask(client), ask(client, { attachment: Buffer.alloc(5000) })]
  assert.is((await ask(client)).status.code, BrpcCode.ELIMIT)
  while (held.length < 2) await new Promise((resolve) => setImmediate(resolve))
  for (const answer of held.splice(0)) answer()
  for (const { status } of await Promise.all(first)) assert.ok(status.ok)
  const big = ask(client, { attachment: Buffer.alloc(5000) })
  assert.is((await ask(client)).status.code, BrpcCode.EOVERCROWDED)
  while (held.length < 1) await new Promise((resolve) => setImmediate(resolve))
  for (const answer of held.splice(0)) answer()
  assert.ok((await big).status.ok)
})

test('a closed client fails what waits and takes no more', async () => {
  const peer = await startPeer(() => {})
  const client = connect(peer.port)
  const waiting = ask(client)
  client.close()
  assert.is((await waiting).status.code, ErrorCode.ECANCELED)
  assert.is((await ask(client)).status.code, ErrorCode.ECANCELED)
})

test.run()
