import { once } from 'node:events'
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, statSync, writeFileSync, writeSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import * as grpc from '@grpc/grpc-js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { raftctl } from '../../src/generated/kv.js'
import { Pipeline } from '../../src/machines/kv/pipeline-service.js'
import { fromInt64 } from '../../src/raft/types.js'
import { readErrorDetail } from '../../src/rpc/error-detail.js'
import { ServiceClient } from '../../src/rpc/grpc.js'
import { MetadataKey } from '../../src/rpc/identity.js'
import { eventually, freePorts, TestCluster, TestNode } from './node-cluster.js'

const cluster = await TestCluster.start(1)
const node = cluster.nodes[0]!

test.after(() => cluster.close())

async function tryToStart(name: string, port: number, flags: readonly string[] = []) {
  const other = new TestNode(name, port, cluster.home, flags)
  const ended = await other.start().exited()
  const records = ended.output.split('\n').filter((line) => line.startsWith('{'))
  return { ...ended, dataDir: other.dataDir, fatal: JSON.parse(records.at(-1) ?? '{}') as Record<string, unknown> }
}

test('a busy port is one clear error with exit 6, and nothing is left behind', async () => {
  const { code, output, dataDir, fatal } = await tryToStart('busy', node.port)
  assert.is(code, 6)
  assert.match(output, `E_PORT`)
  assert.match(output, `cannot listen on ${node.address}`)
  assert.equal([fatal.level, fatal.code, fatal.exitCode], ['fatal', 'E_PORT', 6])
  assert.not(existsSync(dataDir))
})

test('a directory that cannot be one is one clear error with exit 6, and the port is free again', async () => {
  const [port] = await freePorts(1)
  writeFileSync(join(cluster.home, 'occupied'), '')
  const { code, output } = await tryToStart('occupied', port!)
  assert.is(code, 6)
  assert.match(output, 'E_DATA_DIR')
  await new Promise<void>((resolve, reject) => {
    const probe = net.createServer().on('error', reject)
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve()))
  })
})

test('a log file where no directory can be made is one clear error, not a hang', async () => {
  const [port] = await freePorts(1)
  const { code, output } = await tryToStart('unlogged', port!, ['--log-file', '/proc/no/such/node.log'])
  assert.is(code, 6)
  assert.match(output, 'the log file cannot be opened')
})

test('a directory in use names the process that holds it', async () => {
  const [port] = await freePorts(1)
  const { code, output } = await tryToStart('n1', port!)
  assert.is(code, 6)
  assert.match(output, `in use by process ${node.pid}`)
})

test('a node that is missing from its own --peers is a usage error', async () => {
  const [port] = await freePorts(1)
  const { code, output, fatal } = await tryToStart('lonely', port!, ['--peers', '127.0.0.1:1'])
  assert.is(code, 2)
  assert.match(output, 'is missing from --peers')
  assert.is(fatal.exitCode, 2)
})

test('the directory of another member is refused', async () => {
  const first = new TestNode('moved', (await freePorts(1))[0]!, cluster.home, [])
  first.start()
  await eventually('it to lead', async () => (await first.status()).state === 'LEADER')
  assert.is((await first.signal('SIGTERM')).code, 0)
  await first.close()
  const { code, output } = await tryToStart('moved', (await freePorts(1))[0]!)
  assert.is(code, 6)
  assert.match(output, 'belongs to member')
})

test('a damaged log stops the node with exit 10 and is not touched', async () => {
  const home = join(cluster.home, 'damage')
  mkdirSync(home)
  const victim = new TestNode('n', (await freePorts(1))[0]!, home, [])
  victim.start()
  await eventually('it to lead', async () => (await victim.status()).state === 'LEADER')
  const client = victim.client()
  for (let i = 0; i < 50; i++) await client.put(Buffer.from(`k${i}`), Buffer.alloc(1000, 'v'))
  client.close()
  await victim.signal('SIGTERM')
  await victim.close()
  const segment = join(victim.dataDir, 'log', readdirSync(join(victim.dataDir, 'log')).find((name) => name.startsWith('log_inprogress'))!)
  const file = openSync(segment, 'r+')
  writeSync(file, Buffer.from('damage'), 0, 6, 5000)
  closeSync(file)
  const { size } = statSync(segment)
  const { code, output } = await victim.start().exited()
  assert.is(code, 10)
  assert.match(output, 'E_CORRUPT')
  assert.is(statSync(segment).size, size)
})

/** Sends bytes and hangs up in the given way. */
function send(bytes: Buffer, hangUp: (socket: net.Socket) => void): Promise<void> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port: node.port })
    socket.on('error', () => {})
    socket.on('close', () => resolve())
    socket.write(bytes, () => hangUp(socket))
  })
}

test('garbage, half frames and resets never hurt it', async () => {
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
  const texts = ['\0\0\0\0garbage', 'PRPC\xff\xff\xff\xff', 'PRP', preface, `${preface}${'\xff'.repeat(64)}`, 'GET / HT', '\x16\x03\x01']
  const pieces = texts.map((text) => Buffer.from(text, 'latin1'))
  await Promise.all(
    pieces.flatMap((piece) => [send(piece, (socket) => socket.destroySoon()), send(piece, (socket) => socket.resetAndDestroy())]),
  )
  const client = node.client()
  await client.put(Buffer.from('a'), Buffer.from('b'))
  assert.is((await client.get(Buffer.from('a'))).item?.value.toString(), 'b')
  client.close()
})

test("another cluster's caller is refused, ours is answered by name", async () => {
  const stranger = new grpc.Metadata()
  stranger.set(MetadataKey.clusterId, 'f'.repeat(32))
  const error = await node.control.call('GetNodeStatus', {}, { metadata: stranger, timeoutMs: 2000 }).then(
    () => null,
    (refused: grpc.ServiceError) => refused,
  )
  assert.is(error?.code, grpc.status.FAILED_PRECONDITION)
  assert.equal(readErrorDetail(error!), { code: 'E_CLUSTER_MISMATCH', leaderHint: undefined, retryable: false, applied: 'no' })
  let greeting: grpc.Metadata | null = null
  const status = await node.control.call('GetNodeStatus', {}, { timeoutMs: 2000, onMetadata: (metadata) => (greeting = metadata) })
  assert.is((greeting as grpc.Metadata | null)?.get(MetadataKey.clusterId)[0], status.cluster_id)
  assert.is((greeting as grpc.Metadata | null)?.get(MetadataKey.peerId)[0], node.peerId)
})

test('a stream of the pipeline writes and reads at a node', async () => {
  const channel = new grpc.Client(`127.0.0.1:${node.port}`, grpc.credentials.createInsecure())
  const call = new ServiceClient(Pipeline, channel).bidiStream('Run', { timeoutMs: 10_000 })
  const answers: raftctl.kv.PipelineAnswer.$Properties[] = []
  call.on('data', (response) => answers.push(...(response.answers ?? [])))
  call.write({ calls: Array.from({ length: 200 }, (_, id) => ({ id, put: { key: Buffer.from(`p${id}`), value: Buffer.from('v') } })) })
  await eventually('200 answers', () => Promise.resolve(answers.length === 200))
  call.end({ calls: [{ id: 200, range: { key: Buffer.from('p'), range_end: Buffer.from('q'), count_only: true } }] })
  await once(call, 'end')
  channel.close()
  assert.equal(
    answers.filter(({ failure }) => failure),
    [],
  )
  assert.is(fromInt64(answers.at(-1)!.range!.count as number), 200)
})

test('what this version does not offer says so', async () => {
  const error = await node.control.call('Drain', {}, { timeoutMs: 2000 }).then(
    () => null,
    (refused: grpc.ServiceError) => refused,
  )
  assert.is(error?.code, grpc.status.UNIMPLEMENTED)
  assert.is(readErrorDetail(error!)?.code, 'E_UNSUPPORTED')
})

test('a member that waits for its founders answers administrators all the time, and stops when told to', async () => {
  const [port, other] = await freePorts(2)
  const waiting = new TestNode('waiting', port!, cluster.home, ['--peers', `127.0.0.1:${port},127.0.0.1:${other}`])
  waiting.start()
  const answers = new Set<string>()
  await eventually('it to wait', async () => {
    const answer = await waiting.status().catch((error: grpc.ServiceError) => readErrorDetail(error)?.code ?? 'not yet')
    answers.add(typeof answer === 'string' ? answer : answer.standing)
    return typeof answer !== 'string' && answer.incarnation !== ''
  })
  assert.not(answers.has('E_INTERNAL'), [...answers].join())
  assert.is((await waiting.status()).state, 'UNINITIALIZED')
  assert.is((await waiting.signal('SIGTERM')).code, 0)
  await waiting.close()
})

test('Control.Shutdown stops the node with 0', async () => {
  await node.control.call('Shutdown', {}, { timeoutMs: 2000 })
  assert.is((await node.exited()).code, 0)
})

test.run()
