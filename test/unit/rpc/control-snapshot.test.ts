import { createHash, randomBytes } from 'node:crypto'
import * as grpc from '@grpc/grpc-js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { type LogIndex, logIndex } from '../../../src/raft/types.js'
import { consistencyHandlers } from '../../../src/rpc/control-consistency.js'
import { Control } from '../../../src/rpc/control-definition.js'
import type { ControlHost, ControlledNode } from '../../../src/rpc/control-host.js'
import { SnapshotControl } from '../../../src/rpc/control-snapshot.js'
import { readErrorDetail } from '../../../src/rpc/error-detail.js'
import { ServiceClient } from '../../../src/rpc/grpc.js'
import { NodeManager } from '../../../src/rpc/node-manager.js'
import { RpcServer } from '../../../src/rpc/server.js'
import { ArchiveReader } from '../../../src/rpc/snapshot-archive-reader.js'
import { SnapshotInfos } from '../../../src/rpc/snapshot-info.js'
import { nodeStatus, peer } from '../../support/rpc.js'
import { FakeSnapshot } from '../../support/snapshots.js'

const closers: (() => unknown)[] = []
test.after.each(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A control service whose one node leads and has `snapshot`; the test changes what it does. */
async function serve(snapshot: FakeSnapshot, changes: { node?: Partial<ControlledNode>; host?: Partial<ControlHost> } = {}) {
  closers.push(() => snapshot.remove())
  const me = peer('127.0.0.1:7001')
  const status = nodeStatus({ groupId: 'kv', peerId: me, state: 'LEADER', leaderId: me, snapshotId: snapshot.reader().meta.lastIncluded })
  snapshot.open = 0
  const node = {
    ...{ groupId: 'kv', peerId: me, status: () => status, leaderId: () => status.leaderId, isLeader: () => status.state === 'LEADER' },
    snapshot: (done: (outcome: Status) => void) => done(Status.OK),
    openSnapshot: (done: (outcome: Status, reader: unknown) => void) => done(Status.OK, snapshot.reader()),
    whenApplied: (_index: LogIndex, done: (outcome: Status) => void) => done(Status.OK),
    ...changes.node,
  } as unknown as ControlledNode
  const nodes = new NodeManager<ControlledNode>()
  nodes.add(node)
  const host = {
    nodes,
    executor: snapshot.executor,
    identity: { peerId: me, clusterId: 'c1' },
    facts: async () => ({ machine: 'kv' }),
    nameOf: (one: { port: number }) => `n${one.port - 7000}`,
    mark: (_group: string, done: (outcome: Status, index: LogIndex) => void) => done(Status.OK, logIndex(77)),
    hashAt: (_group: string, _index: LogIndex, done: (outcome: Status, hash: unknown) => void) =>
      done(Status.OK, { sha256: 'ab'.repeat(32), keys: 3 }),
    ...changes.host,
  } as unknown as ControlHost
  const control = new SnapshotControl(host, new SnapshotInfos((start) => snapshot.onExecutor(start)))
  const server = new RpcServer()
  server.addGrpcService(Control, { ...control.handlers, ...consistencyHandlers(host) })
  const { port } = await server.listen()
  const channel = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure())
  closers.push(
    () => server.close({ deadlineMs: 0 }),
    () => channel.close(),
  )
  return { client: new ServiceClient(Control, channel), snapshot }
}

async function codeOf(call: Promise<unknown>): Promise<string | null> {
  return call.then(
    () => null,
    (error: grpc.ServiceError) => readErrorDetail(error)?.code ?? error.message,
  )
}

type Client = Awaited<ReturnType<typeof serve>>['client']

async function streamed(client: Client, request: { index?: number; resume_offset?: number } = {}) {
  const pieces: Buffer[] = []
  let sha256: Uint8Array = Buffer.alloc(0)
  let total = 0
  for await (const chunk of client.serverStream('StreamSnapshot', request)) {
    pieces.push(chunk.data as Buffer)
    total = Number(chunk.total_bytes)
    if (chunk.sha256.length > 0) sha256 = chunk.sha256
  }
  return { bytes: Buffer.concat(pieces), sha256, total }
}

test('a snapshot on demand answers what it is, and the list names it', async () => {
  const { client, snapshot } = await serve(new FakeSnapshot({ data: randomBytes(1000) }))
  const { snapshot: taken } = await client.call('TriggerSnapshot', {})
  assert.equal([Number(taken!.index), Number(taken!.term), Number(taken!.bytes), taken!.path], [1200, 8, 1000, snapshot.path])
  assert.match(taken!.checksum ?? '', /^crc32c:[0-9a-f]{8}$/)
  assert.is((await client.call('ListSnapshots', {})).snapshots!.length, 1)
  assert.is(snapshot.open, 0)
})

test('why there is no snapshot is said by code', async () => {
  for (const [status, code] of [
    [Status.error(ErrorCode.EBUSY, 'is being saved'), 'E_BUSY'],
    [Status.error(ErrorCode.ENODATA, 'nothing'), 'E_NO_SNAPSHOT'],
    [Status.error(ErrorCode.EINVAL, 'not supported'), 'E_UNSUPPORTED'],
    [Status.error(ErrorCode.ENOSPC, 'full'), 'E_NO_SPACE'],
    [Status.error(ErrorCode.EIO, 'broken'), 'E_SNAPSHOT_FAILED'],
  ] as const) {
    const { client } = await serve(new FakeSnapshot({ data: randomBytes(10) }), { node: { snapshot: (done) => done(status) } })
    assert.is(await codeOf(client.call('TriggerSnapshot', {})), code)
  }
})

test('the archive arrives whole with its hash, goes on where a copy broke off, and its snapshot is let go', async () => {
  const { client, snapshot } = await serve(new FakeSnapshot({ data: randomBytes(700_000), other: randomBytes(3) }))
  const whole = await streamed(client)
  const reader = new ArchiveReader()
  reader.push(whole.bytes)
  const { manifest, sha256 } = reader.end()
  assert.equal([manifest.index, manifest.clusterId, manifest.machine, manifest.configIndex], [1200, 'c1', 'kv', 5])
  assert.equal(
    manifest.members.map(({ name, role }) => `${name} ${role}`),
    ['n1 voter', 'n2 voter', 'n3 voter'],
  )
  assert.is(Buffer.from(whole.sha256).toString('hex'), sha256)
  assert.is(whole.total, whole.bytes.length)
  const rest = await streamed(client, { index: 1200, resume_offset: 400_000 })
  assert.ok(rest.bytes.equals(whole.bytes.subarray(400_000)))
  assert.equal(rest.sha256, createHash('sha256').update(whole.bytes).digest())
  assert.is(snapshot.open, 0)
})

test('a snapshot that is gone, one beyond its end and a damaged one are refused', async () => {
  const { client, snapshot } = await serve(new FakeSnapshot({ data: randomBytes(100_000) }))
  assert.is(await codeOf(streamed(client, { index: 900 })), 'E_NO_SNAPSHOT')
  assert.is(await codeOf(streamed(client, { resume_offset: 10_000_000 })), 'E_USAGE')
  const damaged = await serve(new FakeSnapshot({ data: randomBytes(100_000) }))
  damaged.snapshot.write('data', randomBytes(100_000))
  assert.is(await codeOf(streamed(damaged.client)), 'E_CORRUPT')
  assert.equal([snapshot.open, damaged.snapshot.open], [0, 0])
})

test('a caller that does not read holds the node back, and one that hangs up lets the snapshot go', async () => {
  const reads = { bytes: 0 }
  const snapshot = new FakeSnapshot({ data: randomBytes(32_000_000) })
  const { client } = await serve(snapshot, {
    node: {
      openSnapshot: (done) => {
        const reader = snapshot.reader()
        const { fileSystem } = reader
        const counting = Object.assign(Object.create(fileSystem), {
          open: (path: string, options: object, opened: Parameters<typeof fileSystem.open>[2]) =>
            fileSystem.open(path, options, (status, file) => {
              if (!file) return opened(status)
              const read: typeof file.read = (position, length, then) => {
                reads.bytes += length
                file.read(position, length, then)
              }
              opened(status, Object.assign(Object.create(file), { read }))
            }),
        })
        done(Status.OK, { ...reader, fileSystem: counting })
      },
    },
  })
  const call = client.serverStream('StreamSnapshot', {})
  call.on('error', () => {})
  await new Promise((resolve) => call.once('readable', resolve))
  const stalled = async () => {
    for (let before = -1; before !== reads.bytes; ) {
      before = reads.bytes
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  await stalled()
  // Once for the manifest, and then only what the stream holds.
  assert.ok(reads.bytes < 32_000_000 + 12_000_000, `${reads.bytes} bytes were read for a caller that reads nothing`)
  assert.is(snapshot.open, 1)
  call.cancel()
  while (snapshot.open > 0) await new Promise((resolve) => setTimeout(resolve, 10))
})

test('only so many copies at once are sent from a node', async () => {
  const { client, snapshot } = await serve(new FakeSnapshot({ data: randomBytes(8_000_000) }))
  const calls = [1, 2, 3, 4].map(() => client.serverStream('StreamSnapshot', {}))
  for (const call of calls) call.on('error', () => {})
  await Promise.all(calls.map((call) => new Promise((resolve) => call.once('readable', resolve))))
  assert.is(await codeOf(streamed(client)), 'E_BUSY')
  for (const call of calls) call.cancel()
  while (snapshot.open > 0) await new Promise((resolve) => setTimeout(resolve, 10))
  assert.ok((await streamed(client)).total > 8_000_000)
})

test('a mark answers its index, a hash waits until the mark is applied here', async () => {
  const waiting: ((status: Status) => void)[] = []
  const { client } = await serve(new FakeSnapshot({}), { node: { whenApplied: (_index, done) => waiting.push(done) } })
  assert.is(Number((await client.call('Mark', {})).index), 77)
  assert.is(await codeOf(client.call('HashState', { mark: 77 }, { timeoutMs: 400 })), 'E_WAIT_TIMEOUT')
  assert.is(await codeOf(client.call('HashState', {})), 'E_USAGE')
  assert.is(await codeOf(client.call('HashState', { mark: 77, range_start: Buffer.from('a') })), 'E_UNSUPPORTED')
  const hash = client.call('HashState', { mark: 77 })
  while (waiting.length < 2) await new Promise((resolve) => setTimeout(resolve, 5))
  waiting[1]!(Status.OK)
  assert.equal([Buffer.from((await hash).sha256).toString('hex'), Number((await hash).keys)], ['ab'.repeat(32), 3])
})

test('a mark that was forgotten, and a machine without marks, are told apart', async () => {
  const forgotten = await serve(new FakeSnapshot({}), { host: { hashAt: (_g, _i, done) => done(Status.error(ErrorCode.ENOENT, 'gone')) } })
  assert.is(await codeOf(forgotten.client.call('HashState', { mark: 5 })), 'E_COMPACTED')
  const other = await serve(new FakeSnapshot({}), { host: { mark: (_g, done) => done(Status.error(ErrorCode.EINVAL, 'no marks')) } })
  assert.is(await codeOf(other.client.call('Mark', {})), 'E_UNSUPPORTED')
  const lost = await serve(new FakeSnapshot({}), { host: { mark: (_g, done) => done(Status.error(ErrorCode.EOUTCOMEUNKNOWN, 'lost')) } })
  assert.is(await codeOf(lost.client.call('Mark', {})), 'E_OUTCOME_UNKNOWN')
})

test.run()
