import * as http2 from 'node:http2'
import type * as net from 'node:net'
import * as grpc from '@grpc/grpc-js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { braft } from '../../../src/generated/braft.js'
import { Status } from '../../../src/raft/errors.js'
import { encodeFrame, requestMeta } from '../../../src/rpc/baidu-std.js'
import { Channels } from '../../../src/rpc/channel.js'
import { bidiStream, type Codec, defineService, rawCodec, ServiceClient, unary } from '../../../src/rpc/grpc.js'
import { textReply } from '../../../src/rpc/http.js'
import { decodeMeta } from '../../../src/rpc/rpc-meta.js'
import { ListenError, protocolOf, RpcServer, type RpcServerOptions } from '../../../src/rpc/server.js'
import { type Reply, rpcMethod } from '../../../src/rpc/service.js'
import { RawConnection } from '../../support/rpc.js'

const closers: (() => unknown)[] = []
test.after.each(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

type LeaderReply = Reply<braft.GetLeaderResponse.$Properties>

/** A server with one service that names the group it was asked for, or does what the test says. */
async function start(options: RpcServerOptions = {}, handle?: (group: string, done: LeaderReply) => void) {
  const server = new RpcServer(options)
  const shape = { group_id: { type: 'string', rule: 'required' } } as const
  server.addService({
    name: 'braft.CliService',
    methods: {
      get_leader: rpcMethod({
        request: braft.GetLeaderRequest,
        response: braft.GetLeaderResponse,
        json: { request: shape, response: { leader_id: { type: 'string', rule: 'required' } } },
        handle: (request, _context, done) => (handle ? handle(request.group_id, done) : done(Status.OK, { leader_id: request.group_id })),
      }),
    },
  })
  server.addRoute('/health', () => textReply('OK'))
  const { port } = await server.listen()
  closers.push(() => server.close({ deadlineMs: 0 }))
  return { server, port }
}

const Cli = defineService('braft.CliService', { get_leader: unary(braft.GetLeaderRequest, braft.GetLeaderResponse) })

function frameFor(group: string, correlationId = 1n): Buffer {
  const message = braft.GetLeaderRequest.encode({ group_id: group }).finish()
  return encodeFrame(requestMeta(correlationId, { serviceName: 'braft.CliService', methodName: 'get_leader' }), message)
}

function grpcClient(port: number): ServiceClient<(typeof Cli)['methods']> {
  const channels = new Channels()
  closers.push(() => channels.close())
  return new ServiceClient(Cli, channels.grpc(`127.0.0.1:${port}`))
}

/** Asks once by every protocol; throws when one does not answer as it should. */
async function assertServes(port: number): Promise<void> {
  const connection = await RawConnection.open(port)
  connection.send(frameFor('baidu'))
  const answer = await connection.receiveFrame()
  assert.ok(answer.includes('baidu'))
  connection.reset()
  assert.is((await grpcClient(port).call('get_leader', { group_id: 'grpc' })).leader_id, 'grpc')
  const page = await fetch(`http://127.0.0.1:${port}/CliService/get_leader`, { method: 'POST', body: '{"group_id":"http"}' })
  assert.equal(await page.json(), { leader_id: 'http' })
  assert.is(await (await fetch(`http://127.0.0.1:${port}/health`)).text(), 'OK')
}

test('one port speaks baidu_std, gRPC and HTTP at once', async () => {
  const { port } = await start()
  await Promise.all([assertServes(port), assertServes(port), assertServes(port)])
})

test('the protocol is certain only when no other one can follow', () => {
  const cases = [
    ['', 'unsure'],
    ['P', 'unsure'],
    ['PR', 'unsure'],
    ['PRP', 'unsure'],
    ['PRPC', 'baidu_std'],
    ['PRPCxyz', 'baidu_std'],
    ['PRI * HTTP/2.', 'unsure'],
    ['PRI * HTTP/2.0\r\n\r\nSM', 'http2'],
    ['PRI * HTTP/1.1\r\n', null],
    ['PO', 'unsure'],
    ['POST ', 'http1'],
    ['PUT /', 'http1'],
    ['PATCH', 'unsure'],
    ['GET', 'unsure'],
    ['GET /', 'http1'],
    ['GETX', null],
    ['get /', null],
    ['\x16\x03\x01', null],
    ['\0', null],
  ] as const
  for (const [first, expected] of cases) assert.is(protocolOf(Buffer.from(first, 'latin1')), expected, JSON.stringify(first))
})

test('an opening that arrives byte by byte is understood', async () => {
  const { port } = await start()
  const frame = frameFor('slow')
  const connection = await RawConnection.open(port)
  connection.socket.setNoDelay(true)
  for (const byte of frame) {
    connection.send(Buffer.from([byte]))
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.ok((await connection.receiveFrame()).includes('slow'))
  connection.reset()
  const page = await RawConnection.open(port)
  page.socket.setNoDelay(true)
  for (const character of 'GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n') {
    page.send(character)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await page.closed
  assert.match(page.received.toString(), /^HTTP\/1\.1 200 OK\r\n/)
})

test('many calls on one connection are answered as they finish, each to its own id', async () => {
  const held: (() => void)[] = []
  const { port } = await start({}, (group, done) => held.push(() => done(Status.OK, { leader_id: group })))
  const connection = await RawConnection.open(port)
  const ids = [1n, -1n, 2n ** 62n, 7n]
  connection.send(Buffer.concat(ids.map((id) => frameFor(`group${id}`, id))))
  while (held.length < ids.length) await new Promise((resolve) => setImmediate(resolve))
  for (const answer of held.reverse()) answer()
  for (const id of ids.toReversed()) {
    const frame = await connection.receiveFrame()
    assert.is(decodeMeta(frame.subarray(12, 12 + frame.readUInt32BE(8))).correlationId, id)
    assert.ok(frame.includes(`group${id}`))
  }
  connection.reset()
})

test('a handler that throws answers EINTERNAL, one that answers without a required field ERESPONSE', async () => {
  const { port } = await start({}, (group, done) => {
    if (group === 'throws') throw new Error('broken handler')
    done(Status.OK, {} as braft.GetLeaderResponse.$Properties)
  })
  for (const [group, code] of [
    ['throws', 2001],
    ['empty', 2002],
  ] as const) {
    const connection = await RawConnection.open(port)
    connection.send(frameFor(group))
    assert.ok((await connection.receiveFrame()).includes(`[E${code}]`), group)
    connection.reset()
    const error = await grpcClient(port)
      .call('get_leader', { group_id: group })
      .then(
        () => null,
        (e) => e as grpc.ServiceError,
      )
    assert.is(error?.code, grpc.status.INTERNAL)
  }
})

test('garbage, half frames, huge lengths and resets leave the server answering', async () => {
  const { server, port } = await start()
  let seed = 7
  const random = (n: number) => (seed = (seed * 48271) % 0x7fffffff) % n
  const bytes = (length: number) => Buffer.from(Array.from({ length }, () => random(256)))
  const good = frameFor('x')
  const header = (body: number, meta: number) => {
    const frame = Buffer.from(good)
    frame.writeUInt32BE(body, 4)
    frame.writeUInt32BE(meta, 8)
    return frame
  }
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  const attacks: (() => Buffer)[] = [
    () => bytes(1 + random(200)),
    () => Buffer.concat([Buffer.from('PRPC'), bytes(random(300))]),
    () => good.subarray(0, 1 + random(good.length - 1)),
    () => header(0xffffffff, 10),
    () => header(64 * 1024 * 1024 + 1, 10),
    () => header(10, 11),
    () => header(good.length - 12, 0),
    () => Buffer.concat([good, bytes(20)]),
    () => Buffer.concat([preface, bytes(random(200))]),
    () => preface.subarray(0, 1 + random(23)),
    () => Buffer.from(`GET /${'a'.repeat(random(100_000))} HTTP/1.1\r\n`),
    () => Buffer.concat([Buffer.from('POST /CliService/get_leader HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n'), bytes(20)]),
    () => Buffer.concat([Buffer.from('POST /CliService/get_leader HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n'), bytes(50)]),
    () => Buffer.from([0x16, 3, 1, 2, 0, 1]),
    () => {
      const damaged = Buffer.concat([good, good, good])
      for (let i = 0; i < 4; i++) damaged[random(damaged.length)] = random(256)
      return damaged
    },
  ]
  for (let round = 0; round < 12; round++) {
    await Promise.all(
      attacks.map(async (attack) => {
        const connection = await RawConnection.open(port)
        connection.send(attack())
        await new Promise((resolve) => setImmediate(resolve))
        if (random(2)) connection.reset()
        else connection.socket.end()
        await connection.closed
      }),
    )
  }
  await assertServes(port)
  while (server.connections > 3) await new Promise((resolve) => setImmediate(resolve)) // the keep-alive ones of assertServes
})

test('bytes that are no protocol, or break one, are answered by closing the connection', async () => {
  const { port } = await start()
  const withMeta = (bytes: Buffer) => {
    const frame = Buffer.alloc(12)
    frame.write('PRPC')
    frame.writeUInt32BE(bytes.length, 4)
    frame.writeUInt32BE(bytes.length, 8)
    return Buffer.concat([frame, bytes])
  }
  const tooLong = frameFor('x')
  tooLong.writeUInt32BE(64 * 1024 * 1024 + 1, 4)
  for (const bytes of [Buffer.from('hello\n'), withMeta(Buffer.from([0xff, 0xff])), tooLong, Buffer.from('PRPX')]) {
    const connection = await RawConnection.open(port)
    connection.send(bytes)
    await connection.closed
    assert.is(connection.received.length, 0)
  }
})

test('who withholds its bytes is cut off: nothing sent, half an opening, half a frame, half a request', async () => {
  const { port } = await start({ limits: { detectTimeoutMs: 40, requestTimeoutMs: 40 } })
  const openings = [
    '',
    'PR',
    frameFor('x').subarray(0, 30),
    'GET /health HTTP/1.1\r\nHost',
    'POST /CliService/get_leader HTTP/1.1\r\nContent-Length: 9\r\n\r\n{',
  ]
  await Promise.all(
    openings.map(async (opening) => {
      const connection = await RawConnection.open(port)
      if (opening.length > 0) connection.send(opening)
      await connection.closed
    }),
  )
  await assertServes(port)
})

test('a frame that trickles in keeps no connection beyond its time, an idle connection between frames stays', async () => {
  const { port } = await start({ limits: { requestTimeoutMs: 60 } })
  const idle = await RawConnection.open(port)
  idle.send(frameFor('first'))
  await idle.receiveFrame()
  const trickle = await RawConnection.open(port)
  const frame = frameFor('y'.repeat(10_000))
  let sent = 20
  trickle.send(frame.subarray(0, sent))
  const timer = setInterval(() => trickle.send(frame.subarray(sent, ++sent)), 5)
  await trickle.closed
  clearInterval(timer)
  assert.ok(sent < frame.length)
  idle.send(frameFor('second'))
  assert.ok((await idle.receiveFrame()).includes('second'))
  idle.reset()
})

test('no more connections than allowed are taken, and room is made again', async () => {
  const { port } = await start({ limits: { maxConnections: 3 } })
  const connections = await Promise.all([1, 2, 3].map(() => RawConnection.open(port)))
  for (const connection of connections) {
    connection.send(frameFor('in'))
    await connection.receiveFrame()
  }
  const refused = await RawConnection.open(port)
  await refused.closed
  connections[0]!.reset()
  for (;;) {
    const next = await RawConnection.open(port)
    next.send(frameFor('again'))
    const answer = await next.receiveFrame().catch(() => null)
    next.reset()
    if (answer) break
  }
  for (const connection of connections) connection.reset()
})

test('a message of more than 4 MiB passes by gRPC and baidu_std, both ways', async () => {
  const { port } = await start()
  const group = 'g'.repeat(5 * 1024 * 1024)
  assert.is((await grpcClient(port).call('get_leader', { group_id: group })).leader_id.length, group.length)
  const connection = await RawConnection.open(port)
  connection.send(frameFor(group))
  assert.ok((await connection.receiveFrame()).length > group.length)
  connection.reset()
})

test('a gRPC client learns the status of handlers and the server’s metadata; a method without a handler is UNIMPLEMENTED', async () => {
  const text: Codec<string, string> = {
    encode: (message) => ({ finish: () => Buffer.from(message) }),
    decode: (bytes) => Buffer.from(bytes).toString(),
  }
  const Echo = defineService('test.Echo', { Say: unary(text, text), Hang: unary(text, text), Absent: unary(text, text) })
  const ended: string[] = []
  const who: [string, string][] = [['who', 'server']]
  const server = new RpcServer({
    guard: { refusal: () => null, introduction: () => who, onEnd: (path, code) => void ended.push(`${path} ${grpc.status[code]}`) },
  })
  server.addGrpcService(Echo, {
    Say: (call, done) => done(null, `${call.field('name')}: ${call.request}`),
    Hang: () => {},
  })
  const { port } = await server.listen()
  closers.push(() => server.close({ deadlineMs: 0 }))
  const channels = new Channels()
  closers.push(() => channels.close())
  const client = new ServiceClient(Echo, channels.grpc(`127.0.0.1:${port}`))
  const metadata = new grpc.Metadata()
  metadata.set('name', 'client')
  let told: unknown
  assert.is(await client.call('Say', 'hi', { metadata, onMetadata: (m) => (told = m.get('who')[0]) }), 'client: hi')
  assert.is(told, 'server')
  const codeOf = (call: Promise<string>) =>
    call.then(
      () => 0,
      (error) => (error as grpc.ServiceError).code,
    )
  assert.is(await codeOf(client.call('Absent', 'hi')), grpc.status.UNIMPLEMENTED)
  assert.is(await codeOf(client.call('Hang', 'hi', { timeoutMs: 30 })), grpc.status.DEADLINE_EXCEEDED)
  const aborted = new AbortController()
  const hanging = codeOf(client.call('Hang', 'hi', { signal: aborted.signal }))
  aborted.abort()
  assert.is(await hanging, grpc.status.CANCELLED)
  assert.is(await codeOf(client.call('Hang', 'hi', { signal: aborted.signal })), grpc.status.CANCELLED)
  assert.equal(ended.slice(0, 2), ['/test.Echo/Say OK', '/unknown UNIMPLEMENTED'])
})

test('a call that has failed is given nothing more of what came with the request that failed it', async () => {
  const Pipe = defineService('test.Pipe', { Flow: bidiStream(rawCodec, rawCodec) })
  const server = new RpcServer()
  let taken = 0
  server.addGrpcService(Pipe, {
    Flow: (call) => call.on('data', () => ++taken === 1 && call.fail({ code: grpc.status.ABORTED, details: 'enough' })),
  })
  const { port } = await server.listen()
  const session = http2.connect(`http://127.0.0.1:${port}`)
  closers.push(
    () => server.close({ deadlineMs: 0 }),
    () => session.destroy(),
  )
  const request = session.request({ ':method': 'POST', ':path': '/test.Pipe/Flow', 'content-type': 'application/grpc' })
  const headers = new Promise<http2.IncomingHttpHeaders>((resolve) => request.once('response', resolve))
  request.on('error', () => {})
  request.end(Buffer.alloc(15)) // three empty messages
  assert.is((await headers)['grpc-status'], String(grpc.status.ABORTED))
  assert.is(taken, 1)
})

test('a port in use, a foreign address and a forbidden port are told apart', async () => {
  const { port } = await start()
  const errorOf = (address: { host?: string; port: number }) =>
    new RpcServer().listen(address).then(
      () => null,
      (error) => error as ListenError,
    )
  const busy = await errorOf({ port })
  assert.instance(busy, ListenError)
  assert.is(busy?.code, 'EADDRINUSE')
  assert.is(busy?.message, `cannot listen on 127.0.0.1:${port}: the port is in use by another process`)
  const foreign = await errorOf({ host: '192.0.2.1', port: 0 })
  assert.is(foreign?.code, 'EADDRNOTAVAIL')
  const denied = new ListenError('EACCES', { host: '127.0.0.1', port: 80 }, new Error('EACCES'))
  assert.match(denied.message, 'may not open that port')
})

test('a server that is not told otherwise listens on loopback alone', async () => {
  const { server } = await start()
  const address = (server as unknown as { listener: net.Server }).listener.address() as net.AddressInfo
  assert.is(address.address, '127.0.0.1')
})

test('close lets running calls finish and answers new ones that the server is stopping', async () => {
  const held: (() => void)[] = []
  const { server, port } = await start({}, (group, done) => held.push(() => done(Status.OK, { leader_id: group })))
  const connection = await RawConnection.open(port)
  connection.send(frameFor('running', 1n))
  const viaGrpc = grpcClient(port).call('get_leader', { group_id: 'grpc' })
  while (held.length < 2) await new Promise((resolve) => setImmediate(resolve))
  const closed = server.close({ deadlineMs: 60_000 })
  connection.send(frameFor('late', 2n))
  assert.ok((await connection.receiveFrame()).includes('[E2003]'))
  for (const answer of held) answer()
  assert.ok((await connection.receiveFrame()).includes('running'))
  assert.is((await viaGrpc).leader_id, 'grpc')
  await closed
  await connection.closed
  const refused = await RawConnection.open(port).catch((error) => error.code)
  assert.is(refused, 'ECONNREFUSED')
})

test('close cuts what does not finish by the deadline', async () => {
  let asked = 0
  const { server, port } = await start({}, () => asked++)
  const connection = await RawConnection.open(port)
  connection.send(frameFor('never'))
  const stuck = [
    grpcClient(port)
      .call('get_leader', { group_id: 'grpc' })
      .then(
        () => 'answered',
        () => 'cut',
      ),
    fetch(`http://127.0.0.1:${port}/CliService/get_leader`, { method: 'POST', body: '{"group_id":"x"}' }).then(
      () => 'answered',
      () => 'cut',
    ),
  ]
  while (asked < 3) await new Promise((resolve) => setImmediate(resolve))
  await server.close({ deadlineMs: 20 })
  await connection.closed
  assert.equal(await Promise.all(stuck), ['cut', 'cut'])
  assert.is(server.connections, 0)
})

test.run()
