import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import type { LogStorage, RaftMetaStorage, SnapshotStorage } from '../../../src/raft/storage.js'
import { asTerm } from '../../../src/raft/types.js'
import { ProductionClock } from '../../../src/server/clock.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import { integrityDirectoryOf, type StorageContext } from '../../../src/storage/local-storages.js'
import { MemoryLogStorage } from '../../../src/storage/memory-log.js'
import { NodeFileSystem } from '../../../src/storage/node-file-system.js'
import { gcRaftData, logStorages, raftMetaStorages, snapshotStorages } from '../../../src/storage/storage-by-uri.js'
import { StorageRegistry } from '../../../src/storage/uri.js'

const test = suite<{ directory: string; context: StorageContext & { clock: ProductionClock } }>('storages by their address')

test.before.each((context) => {
  const executor = new EventLoopExecutor()
  context.directory = mkdtempSync(join(tmpdir(), 'raftctl-uri-'))
  context.context = { executor, fileSystem: new NodeFileSystem(executor), clock: new ProductionClock(executor) }
})

test.after.each(({ directory, context }) => {
  context.clock.stop()
  rmSync(directory, { recursive: true, force: true })
})

function told<T = unknown>(ask: (done: (status: Status, value?: T) => void) => void): Promise<{ status: Status; value: T | undefined }> {
  return new Promise((resolve) => ask((status, value) => resolve({ status, value })))
}

function opened<T>(found: T | Status): T {
  assert.not(found instanceof Status, `${found}`)
  return found as T
}

test('an address without a type that is known is refused, by its name and those that are', ({ context }) => {
  for (const registry of [logStorages, raftMetaStorages, snapshotStorages]) {
    for (const uri of ['', 'local', 'hdfs://log', '://log', 'LOCAL://log']) {
      const refusal = registry.open(uri, context)
      assert.instance(refusal, Status)
      assert.is((refusal as Status).code, ErrorCode.EINVAL)
      assert.match((refusal as Status).message, `"${uri}" is no address of a ${registry.what} storage`)
      assert.match((refusal as Status).message, 'local://')
    }
    assert.match(String(registry.open('local:// / ', context)), 'names no directory')
  }
  assert.match(String(raftMetaStorages.open('memory://x', context)), 'there is no type "memory"')
})

test('every local storage makes its directory, and finds again what was written; white space in an address does not count', async ({
  directory,
  context,
}) => {
  const meta = opened<RaftMetaStorage>(raftMetaStorages.open(` local://${directory}/ raft_\tmeta/ `, context))
  assert.ok((await told((done) => meta.load(done))).status.ok)
  assert.ok((await told((done) => meta.save({ term: asTerm(7), votedFor: new PeerId('10.0.0.1', 7000) }, done))).status.ok)
  const again = opened<RaftMetaStorage>(raftMetaStorages.open(`local://${directory}/raft_meta`, context))
  const { value } = await told<{ term: number; votedFor: PeerId }>((done) => again.load(done))
  assert.is(value!.term, 7)
  const log = opened<LogStorage>(logStorages.open(`local://${directory}/log`, context))
  assert.ok((await told((done) => log.init(done))).status.ok)
  assert.ok((await told((done) => log.close(done))).status.ok)
  const snapshots = opened<SnapshotStorage>(snapshotStorages.open(`local://${directory}/snapshot`, context))
  assert.ok((await told((done) => snapshots.init(done))).status.ok)
  assert.equal(readdirSync(directory).sort(), ['log', 'raft_meta', 'raftctl', 'snapshot'])
  assert.instance(opened<LogStorage>(logStorages.open('memory://', context)), MemoryLogStorage)
})

test('storages beside each other do not share what vouches for them', () => {
  assert.is(integrityDirectoryOf('/data/log'), '/data/raftctl')
  assert.is(integrityDirectoryOf('/data/log-of-a'), '/data/raftctl-log-of-a')
  assert.is(integrityDirectoryOf('log'), './raftctl')
})

test('a program registers a storage of its own, once', async ({ context }) => {
  const registry = new StorageRegistry<string, StorageContext>('log')
  const collected: string[] = []
  const kind = {
    open: (parameter: string) => `opened ${parameter}`,
    gc: (parameter: string, _context: StorageContext, done: (status: Status) => void) => {
      collected.push(parameter)
      done(Status.OK)
    },
  }
  assert.is(registry.register('mine', kind), true)
  assert.is(registry.register('mine', kind), false)
  assert.is(registry.open('mine://a b', context), 'opened ab')
  assert.ok((await told((done) => registry.gc('mine://x', context, done))).status.ok)
  assert.is((await told((done) => registry.gc('other://x', context, done))).status.code, ErrorCode.EINVAL)
  assert.equal(collected, ['x'])
})

test('all data of a member is deleted, what a crash left of an earlier try and what vouches for it too, and nothing else', async ({
  directory,
  context,
}) => {
  for (const name of ['log', 'raft_meta', 'snapshot/snapshot_1', 'raftctl', 'log.tmp', 'mine']) {
    mkdirSync(join(directory, name), { recursive: true })
    writeFileSync(join(directory, name, 'file'), '')
  }
  const uris = {
    logUri: `local://${directory}/log`,
    raftMetaUri: `local://${directory}/raft_meta`,
    snapshotUri: `local://${directory}/snapshot`,
  }
  for (let i = 0; i < 2; i++) {
    const { status } = await told((done) => gcRaftData(uris, context, done))
    assert.ok(status.ok, `${status}`)
    assert.equal(readdirSync(directory), ['mine'])
  }
})

test('one part that cannot be deleted does not keep the others, and an address that is none keeps all', async ({ directory, context }) => {
  for (const name of ['log', 'raft_meta']) mkdirSync(join(directory, name))
  writeFileSync(join(directory, 'file'), '')
  const log = { logUri: `local://${directory}/log` }
  const none = await told((done) => gcRaftData({ ...log, raftMetaUri: 'nonsense' }, context, done))
  assert.is(none.status.code, ErrorCode.EINVAL)
  assert.ok(existsSync(join(directory, 'log')))
  const below = await told((done) => gcRaftData({ raftMetaUri: log.logUri, logUri: `local://${directory}/file/log` }, context, done))
  assert.not(below.status.ok)
  assert.not(existsSync(join(directory, 'log')))
})

test.run()
