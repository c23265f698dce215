// timeout: 180s
// A whole node in this process, and garbage on its port by every protocol that it speaks.
import { mkdtempSync, rmSync } from 'node:fs'
import * as http2 from 'node:http2'
import * as net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Kv } from '../../src/machines/kv/grpc-service.js'
import { encodeFrame, requestMeta } from '../../src/rpc/baidu-std.js'
import { Channels } from '../../src/rpc/channel.js'
import { ServiceClient } from '../../src/rpc/grpc.js'
import { parseConfiguration } from '../../src/server/configuration.js'
import type { Logger } from '../../src/server/logging.js'
import { NodeProcess } from '../../src/server/node-process.js'
import { SeededRandom } from '../support/fake-environment.js'
import { capturedFrames, RawConnection, wireBytes } from '../support/rpc.js'
import { mutant } from './mutate.js'

const CONNECTIONS = 120
const AT_A_TIME = 20
/** What all the garbage together may leave behind outside of the heap. */
const HELD_BYTES_MAX = 128 * 1024 * 1024

const silent = new Proxy({}, { get: () => () => {} }) as Logger
const uncaught: unknown[] = []
process.on('uncaughtException', (error) => uncaught.push(error.stack))

const directory = mkdtempSync(join(tmpdir(), 'raftctl-fuzz-server-'))
const channels = new Channels()
let port = 0
let node: NodeProcess

test.before(async () => {
  port = await freePort()
  const address = `127.0.0.1:${port}`
  const flags = { listen: address, peers: address, data: join(directory, 'n1'), group: 'kv', electionTimeout: '200ms', logLevel: 'silent' }
  node = new NodeProcess(parseConfiguration(flags), silent, {
    requestStop: () => {},
    checkAdoption: async () => {},
    fail: (error) => uncaught.push(error),
  })
  await node.start()
  const deadline = Date.now() + 20_000
  while (!(await put('before').catch(() => false))) assert.ok(Date.now() < deadline, 'it never led')
})

test.after(async () => {
  channels.close()
  await node.stop(0)
  rmSync(directory, { recursive: true, force: true })
})

const bytesOf = (text: string) => Buffer.from(text)

async function put(value: string): Promise<boolean> {
  const kv = new ServiceClient(Kv, channels.grpc(`127.0.0.1:${port}`))
  await kv.call('Put', { key: bytesOf('kept'), value: bytesOf(value) }, { timeoutMs: 5000 })
  return true
}

/** It serves as before, by every protocol, and nothing was thrown out of it. */
async function expectServing(): Promise<void> {
  assert.equal(uncaught, [])
  const kv = new ServiceClient(Kv, channels.grpc(`127.0.0.1:${port}`))
  const { kvs } = await kv.call('Range', { key: bytesOf('kept') }, { timeoutMs: 10_000 })
  assert.is(Buffer.from(kvs[0]!.value!).toString(), 'before')
  const page = await fetch(`http://127.0.0.1:${port}/raft_stat`)
  assert.is(page.status, 200)
  assert.match(await page.text(), /LEADER/)
  const braft = await RawConnection.open(port)
  braft.send(
    encodeFrame(requestMeta(1n, { serviceName: 'braft.CliService', methodName: 'get_leader' }), Buffer.from([0x0a, 2, 0x6b, 0x76])),
  )
  assert.ok((await braft.receiveFrame()).length > 12)
  braft.reset()
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = net.createServer()
    server.listen(0, '127.0.0.1', () => {
      const { port: free } = server.address() as net.AddressInfo
      server.close(() => resolve(free))
    })
  })
}

/** What a gRPC client sends for a call, as bytes. */
function recordedCall(path: string, message: Buffer): Promise<Buffer> {
  return new Promise((resolve) => {
    const received: Buffer[] = []
    const server = net.createServer((socket) => {
      socket.on('error', () => {})
      socket.on('data', (chunk) => {
        received.push(chunk)
        // The last bytes are those of the message.
        if (!Buffer.concat(received).includes(message)) return
        client.destroy()
        server.close(() => resolve(Buffer.concat(received)))
      })
    })
    let client: http2.ClientHttp2Session
    server.listen(0, '127.0.0.1', () => {
      client = http2.connect(`http://127.0.0.1:${(server.address() as net.AddressInfo).port}`)
      client.on('error', () => {})
      const request = client.request({
        ':method': 'POST',
        ':path': path,
        'content-type': 'application/grpc',
        te: 'trailers',
        'raftctl-group': 'kv',
      })
      request.on('error', () => {})
      request.end(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]))
    })
  })
}

/** Cuts behind the last byte, and ends well. */
const inOnePiece = { below: (n: number) => n - 1, chance: () => false }

/** Sends the bytes in pieces, ends or breaks off, and waits until the connection is gone. */
function say(bytes: Buffer, random: Pick<SeededRandom, 'below' | 'chance'>): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1')
    const patience = setTimeout(() => reject(new Error(`not closed after ${bytes.length} bytes: ${bytes.toString('base64')}`)), 30_000)
    socket.on('error', () => {})
    socket.resume()
    socket.once('close', () => {
      clearTimeout(patience)
      resolve()
    })
    const cut = random.below(bytes.length + 1)
    socket.write(bytes.subarray(0, cut))
    if (random.chance(0.2)) socket.resetAndDestroy()
    // Whoever only half closes an HTTP/2 connection is found out by the keepalive, much later: break it off.
    else socket.end(bytes.subarray(cut), () => setTimeout(() => socket.destroy(), 300))
  })
}

async function bombard(samples: readonly Buffer[], seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  for (let i = 0; i < CONNECTIONS; i += AT_A_TIME) {
    await Promise.all(Array.from({ length: AT_A_TIME }, () => say(mutant(samples, random), random)))
  }
  assert.ok(process.memoryUsage().arrayBuffers < HELD_BYTES_MAX, `${process.memoryUsage().arrayBuffers} bytes are held`)
  await expectServing()
}

test('a node serves on after garbage in the frames of braft', async () => {
  const calls = ['get_leader', 'change_peers', 'snapshot'].map((methodName, i) =>
    encodeFrame(requestMeta(BigInt(i), { serviceName: 'braft.CliService', methodName }), Buffer.from([0x0a, 2, 0x6b, 0x76])),
  )
  await bombard([...capturedFrames('counter-4-peers').slice(0, 30).map(wireBytes), ...calls], 1)
})

test('a node serves on after garbage in HTTP/1', async () => {
  const body = '{"group_id":"kv"}'
  const requests = [
    'GET /health HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /raft_stat/kv?console=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    'GET /metrics HTTP/1.0\r\n\r\n',
    `POST /CliService/get_leader HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    `POST /braft.CliService/get_leader HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n${body}\r\n0\r\n\r\n`,
    'HEAD / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nUpgrade: h2c\r\n\r\n',
  ]
  await bombard(requests.map(bytesOf), 2)
})

test('a node serves on after garbage in HTTP/2 and gRPC', async () => {
  const message = Buffer.from('0a026b76120d3132372e302e302e313a313a301a0d3132372e302e302e313a323a30', 'hex')
  const paths = [
    '/raftctl.v1.Peer/Hello',
    '/raftctl.v1.Peer/Append',
    '/raftctl.v1.Peer/RequestVote',
    '/etcdserverpb.KV/Range',
    '/raftctl.v1.Control/Nothing',
  ]
  await bombard(await Promise.all(paths.map((path) => recordedCall(path, message))), 3)
})

test('a call that is taken back in the packet that opened it does not end the node', async () => {
  const resetStream = Buffer.from('00000403000000000100000008', 'hex')
  const call = await recordedCall('/of.nobody/Nothing', bytesOf('message'))
  const headersOnly = call.subarray(0, call.indexOf('message') - 5 - 9)
  for (const bytes of [call, headersOnly]) await say(Buffer.concat([bytes, resetStream]), inOnePiece)
  await expectServing()
})

test('lengths that are announced and never come cost no memory', async () => {
  const before = process.memoryUsage().arrayBuffers
  const announced = Buffer.from('50525043' + '03ffffff' + '00000010', 'hex')
  const connections = await Promise.all(Array.from({ length: 64 }, () => RawConnection.open(port)))
  for (const connection of connections) connection.send(announced)
  await expectServing()
  const held = process.memoryUsage().arrayBuffers - before
  assert.ok(held < 32 * 1024 * 1024, `64 frames of 64 MiB that were announced hold ${held} bytes`)
  for (const connection of connections) connection.reset()
  await expectServing()
})

test.run()
