import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Status } from '../../../src/raft/errors.js'
import { requestMeta } from '../../../src/rpc/baidu-std.js'
import { BaiduStdClient } from '../../../src/rpc/baidu-std-client.js'
import { BaiduStdServer, type BaiduStdServerOptions } from '../../../src/rpc/baidu-std-server.js'
import { BrpcCode, decorate, undecorated } from '../../../src/rpc/braft-error.js'
import { MAX_MESSAGE_BYTES, rawCodec } from '../../../src/rpc/grpc.js'
import { decodeMeta, encodeMeta, type FrameMeta } from '../../../src/rpc/rpc-meta.js'
import { type RpcMethod, rpcMethod, ServiceRegistry } from '../../../src/rpc/service.js'
import { listen, RawConnection } from '../../support/rpc.js'

const closers: (() => unknown)[] = []
test.after.each(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const raw = (handle: RpcMethod['handle']) => rpcMethod({ request: rawCodec, response: rawCodec, handle })

/** A server of one service `test.Echo` whose methods the test gives, on a port of its own. */
async function start(methods: Readonly<Record<string, RpcMethod>>, options: Partial<BaiduStdServerOptions> = {}) {
  const registry = new ServiceRegistry()
  registry.add({ name: 'test.Echo', methods })
  const server = new BaiduStdServer(registry, { frameTimeoutMs: 60_000, ...options })
  const { port, close } = await listen((socket) =>
    socket.once('data', (first) => {
      socket.pause()
      server.serve(socket, first)
    }),
  )
  closers.push(close)
  return { server, port }
}

async function open(port: number): Promise<RawConnection> {
  const connection = await RawConnection.open(port)
  closers.push(() => connection.reset())
  return connection
}

const echo = raw((request, _context, done) => done(Status.OK, request))

/** A frame whose lengths are what they are, whatever its meta says of them. */
function frameOf(meta: FrameMeta, body: Buffer): Buffer {
  const metaBytes = encodeMeta(meta)
  const header = Buffer.alloc(12)
  header.write('PRPC')
  header.writeUInt32BE(metaBytes.length + body.length, 4)
  header.writeUInt32BE(metaBytes.length, 8)
  return Buffer.concat([header, metaBytes, body])
}

const asking = (methodName: string, rest: Partial<FrameMeta> = {}): FrameMeta => ({
  ...requestMeta(7n, { serviceName: 'test.Echo', methodName }),
  ...rest,
})

async function codeOf(connection: RawConnection): Promise<number> {
  const frame = await connection.receiveFrame()
  return decodeMeta(frame.subarray(12, 12 + frame.readUInt32BE(8))).response!.errorCode
}

test('of two things that are wrong with a call the one is told that brpc looks at first', async () => {
  const held: (() => void)[] = []
  const hold = raw((_request, _context, done) => held.push(() => done(Status.OK, Buffer.alloc(0))))
  const { server, port } = await start({ hold, echo }, { pendingCallsMax: 1 })
  const connection = await open(port)
  const told = async (meta: FrameMeta) => {
    connection.send(frameOf(meta, Buffer.from('abc')))
    return codeOf(connection)
  }
  const overlong = { attachmentSize: 4 }
  assert.is(await told(asking('nothing', overlong)), BrpcCode.EREQUEST)
  assert.is(await told({ ...asking('x', overlong), request: null }), BrpcCode.EREQUEST)
  assert.is(await told({ ...asking('x'), request: null }), BrpcCode.ENOSERVICE)
  assert.is(await told(asking('nothing', { compressType: 2 })), BrpcCode.ENOMETHOD)
  assert.is(await told(asking('echo', { compressType: 2 })), BrpcCode.EREQUEST)
  assert.is(await told(asking('echo')), 0)

  connection.send(frameOf(asking('hold'), Buffer.alloc(0)))
  assert.is(await told(asking('echo', overlong)), BrpcCode.ELIMIT)
  server.drain()
  assert.is(await told(asking('echo', overlong)), BrpcCode.ELOGOFF)
  for (const answer of held) answer()
  assert.is(await codeOf(connection), 0)
  await connection.closed
})

test('a connection may call one method after the other, and is answered in order, with little and much', async () => {
  const grow = raw((request, _context, done) => done(Status.OK, Buffer.alloc(Number(`${request}`), 'g'), Buffer.from(`+${request}`)))
  const { port } = await start({ echo, grow })
  const connection = await open(port)
  const calls: [string, string][] = [
    ['echo', 'a'],
    ['grow', '1'],
    ['grow', '5000'],
    ['echo', 'b'],
    ['nothing', 'c'],
    ['grow', '2'],
    ['echo', 'd'],
  ]
  connection.send(Buffer.concat(calls.map(([method, body], i) => frameOf(asking(method, { correlationId: BigInt(i) }), Buffer.from(body)))))
  const answers: unknown[] = []
  for (const _ of calls) {
    const frame = await connection.receiveFrame()
    const metaEnd = 12 + frame.readUInt32BE(8)
    const { correlationId, response, attachmentSize } = decodeMeta(frame.subarray(12, metaEnd))
    const message = frame.subarray(metaEnd, frame.length - attachmentSize)
    answers.push([Number(correlationId), response!.errorCode, message.length, `${frame.subarray(frame.length - attachmentSize)}`])
  }
  assert.equal(answers, [
    [0, 0, 1, ''],
    [1, 0, 1, '+1'],
    [2, 0, 5000, '+5000'],
    [3, 0, 1, ''],
    [4, BrpcCode.ENOMETHOD, 0, ''],
    [5, 0, 2, '+2'],
    [6, 0, 1, ''],
  ])
})

test('a handler that answers twice is told so, and the caller hears it once', async () => {
  let thrown: unknown
  const twice = raw((request, _context, done) => {
    done(Status.OK, request)
    try {
      done(Status.OK, request)
    } catch (error) {
      thrown = error
    }
  })
  const { port } = await start({ twice, echo })
  const connection = await open(port)
  connection.send(Buffer.concat([frameOf(asking('twice'), Buffer.from('a')), frameOf(asking('echo'), Buffer.from('bc'))]))
  await connection.receiveFrame()
  assert.is((await connection.receiveFrame()).subarray(-2).toString(), 'bc')
  assert.match((thrown as Error).message, /answered twice/)
})

test('while more waits to be sent than brpc allows, calls that were read already are refused', async () => {
  const big = raw((_request, _context, done) => done(Status.OK, Buffer.alloc(1_000_000)))
  const { port } = await start({ big }, { overcrowdedBytes: 500_000 })
  const connection = await open(port)
  const call = frameOf(asking('big'), Buffer.alloc(0))
  connection.send(Buffer.concat([call, call]))
  assert.equal([await codeOf(connection), await codeOf(connection)], [0, BrpcCode.EOVERCROWDED])
  connection.send(call)
  assert.is(await codeOf(connection), 0)
})

test('what is too large for a frame is never sent: the call is told so, and the connection goes on', async () => {
  const grow = raw((request, _context, done) => done(Status.OK, Buffer.alloc(MAX_MESSAGE_BYTES - Number(`${request}`))))
  const { port } = await start({ grow, echo })
  const client = new BaiduStdClient('127.0.0.1', port, { connectTimeoutMs: 5000 })
  closers.push(() => client.close())
  const ask = (method: string, message: Buffer) =>
    new Promise<{ code: number; bytes: number }>((resolve) =>
      client.call({ service: 'test.Echo', method, message }, (status, response) =>
        resolve({ code: status.code, bytes: response?.message.length ?? 0 }),
      ),
    )
  assert.equal(await ask('grow', Buffer.from('1')), { code: BrpcCode.ERESPONSE, bytes: 0 })
  assert.equal(await ask('grow', Buffer.from('100')), { code: 0, bytes: MAX_MESSAGE_BYTES - 100 })
  assert.equal(await ask('echo', Buffer.alloc(MAX_MESSAGE_BYTES)), { code: BrpcCode.EREQUEST, bytes: 0 })
  assert.equal(await ask('echo', Buffer.from('small')), { code: 0, bytes: 5 })
  assert.is(client.pendingCalls, 0)
})

test('a call that is dropped gets no answer and holds nothing up; its connection tells when it is gone', async () => {
  let gone: () => void = () => {}
  const closed = new Promise<void>((resolve) => (gone = resolve))
  const drop = raw((_request, context) => {
    context.connection!.onClose(gone)
    context.drop()
  })
  const { server, port } = await start({ drop, echo })
  const connection = await open(port)
  connection.send(frameOf(asking('drop'), Buffer.alloc(0)))
  connection.send(frameOf(asking('echo', { correlationId: 8n }), Buffer.from('x')))
  const frame = await connection.receiveFrame()
  assert.is(decodeMeta(frame.subarray(12, 12 + frame.readUInt32BE(8))).correlationId, 8n)
  server.drain()
  await connection.closed
  await closed
})

test('a handler’s text comes back from under what servers and clients of brpc put before it', () => {
  const status = new Status(22, 'Fail to parse [E1] x:1')
  const decorated = decorate(status, '127.0.0.1:8100')
  assert.is(undecorated(decorated), status.message)
  assert.is(undecorated(`[E22]${decorated}`), status.message)
  assert.is(undecorated(`[R1][E22]${decorate(status, '::1:8100')}`), status.message)
  for (const plain of ['', 'plain', '[not] one', '[a:1] address alone']) assert.is(undecorated(plain), plain)
})

test.run()
