import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { File, OpenOptions } from '../../../src/raft/environment.js'
import { ErrorCode, type Status } from '../../../src/raft/errors.js'
import type { EntryBatch } from '../../../src/raft/log-entry.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import type { LogRecovery, NodeIdentity, RaftMeta } from '../../../src/raft/storage.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { NodeFileSystem } from '../../../src/storage/node-file-system.js'
import { groupDirectory, type NodeStorage, openStorage } from '../../../src/storage/open-storage.js'
import { batch, texts } from '../../support/entries.js'
import { SeededRandom } from '../../support/fake-environment.js'

let directory = ''
const labels: string[] = []
const executor = {
  post(fn: () => void, label: string) {
    labels.push(label)
    setImmediate(fn)
  },
}
const clock = {
  now: () => 0,
  schedule(delayMs: number, fn: () => void) {
    const timer = setTimeout(fn, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
}
const fileSystem = new NodeFileSystem(executor)

test.before.each(() => {
  directory = mkdtempSync(join(tmpdir(), 'raftctl-storage-'))
})

test.after.each(() => rmSync(directory, { recursive: true, force: true }))

function call<T>(run: (done: (status: Status, value?: T) => void) => void): Promise<{ status: Status; value: T }> {
  return new Promise((resolve) => run((status, value) => resolve({ status, value: value as T })))
}

async function open(name: string, options: OpenOptions): Promise<File> {
  const { status, value } = await call<File>((done) => fileSystem.open(join(directory, name), options, done))
  assert.is(status.toString(), 'OK')
  return value
}

const run = async (step: (done: (status: Status) => void) => void) => (await call<void>(step)).status

async function touch(name: string): Promise<void> {
  const file = await open(name, { write: true, create: true })
  assert.is((await run((done) => file.close(done))).ok, true)
}

test('writes of many buffers land whole at their position, reads stop at the end', async () => {
  const file = await open('data', { write: true, create: true, dsync: true })
  const buffers = Array.from({ length: 2500 }, (_, i) => Buffer.from(String(i % 10)))
  assert.is((await run((done) => file.write([Buffer.alloc(0), ...buffers, Buffer.alloc(0)], 5, done))).toString(), 'OK')
  const expected = `${'\0'.repeat(5)}${buffers.join('')}`
  assert.is(readFileSync(join(directory, 'data'), 'latin1'), expected)
  assert.is((await call<Buffer>((done) => file.read(2503, 100, done))).value.toString(), '89')
  assert.is((await call<Buffer>((done) => file.read(9999, 100, done))).value.length, 0)
  assert.is((await run((done) => file.write([], 0, done))).ok, true)
  assert.is((await run((done) => file.truncate(7, done))).ok, true)
  assert.is((await run((done) => file.datasync(done))).ok, true)
  assert.is((await run((done) => file.close(done))).ok, true)
  assert.is(statSync(join(directory, 'data')).size, 7)
})

test('errors have the codes of the port and name the file', async () => {
  const at = (name: string) => join(directory, name)
  const missing = await call<File>((done) => fileSystem.open(at('none'), {}, done))
  assert.is(missing.status.code, ErrorCode.ENOENT)
  assert.match(missing.status.message, at('none'))
  await touch('here')
  assert.is(
    (await call<File>((done) => fileSystem.open(at('here'), { write: true, create: true, exclusive: true }, done))).status.code,
    ErrorCode.EEXIST,
  )
  assert.is((await call((done) => fileSystem.stat(at('none'), done))).status.code, ErrorCode.ENOENT)
  assert.is((await call((done) => fileSystem.list(at('none'), done))).status.code, ErrorCode.ENOENT)
  assert.is((await run((done) => fileSystem.rename(at('none'), at('x'), done))).code, ErrorCode.ENOENT)
  assert.is((await run((done) => fileSystem.unlink(at('none'), done))).code, ErrorCode.ENOENT)
  assert.is((await run((done) => fileSystem.syncDir(at('none'), done))).code, ErrorCode.ENOENT)
  assert.is((await run((done) => fileSystem.remove(at('none'), done))).ok, true)
  assert.is((await call((done) => fileSystem.list(at('here'), done))).status.code, ErrorCode.EIO, 'what is no directory')
  const readOnly = await open('here', {})
  assert.is((await run((done) => readOnly.write([Buffer.from('x')], 0, done))).code, ErrorCode.EIO)
  await run((done) => readOnly.close(done))
})

test('a full disk is ENOSPC', async () => {
  const { status, value } = await call<File>((done) => fileSystem.open('/dev/full', { write: true }, done))
  if (!status.ok) return assert.is(process.platform === 'linux', false)
  assert.is((await run((done) => value.write([Buffer.from('x')], 0, done))).code, ErrorCode.ENOSPC)
  await run((done) => value.close(done))
})

test('a large file is removed whole, and one that has another name is left as it is there', async () => {
  const at = (name: string) => join(directory, name)
  const bytes = 40 * 1024 * 1024
  await run((done) => fileSystem.mkdir(at('old'), done))
  for (const name of ['old/alone', 'old/linked']) {
    closeSync(openSync(at(name), 'w'))
    truncateSync(at(name), bytes)
  }
  await run((done) => fileSystem.link(at('old/linked'), at('kept'), done))
  assert.is((await run((done) => fileSystem.remove(at('old'), done))).ok, true)
  assert.is(existsSync(at('old')), false)
  assert.is(statSync(at('kept')).size, bytes)
})

test('two who remove the same at once both succeed', async () => {
  const at = (name: string) => join(directory, name)
  for (let round = 0; round < 20; round++) {
    await run((done) => fileSystem.mkdir(at('twice/deep'), done))
    for (const name of ['twice/a', 'twice/deep/b']) await touch(name)
    const both = await Promise.all([1, 2].map(() => run((done) => fileSystem.remove(at('twice'), done))))
    assert.equal(
      both.map((status) => status.toString()),
      ['OK', 'OK'],
    )
  }
})

test('names: directories with parents, list in order, link, rename, remove', async () => {
  const at = (...parts: string[]) => join(directory, ...parts)
  assert.is((await run((done) => fileSystem.mkdir(at('a', 'b', 'c'), done))).toString(), 'OK')
  assert.is((await run((done) => fileSystem.mkdir(at('a', 'b', 'c'), done))).ok, true)
  for (const name of ['z', 'y', 'x']) await touch(`a/b/${name}`)
  await run((done) => fileSystem.rename(at('a', 'b', 'z'), at('a', 'b', 'w'), done))
  await run((done) => fileSystem.link(at('a', 'b', 'w'), at('a', 'b', 'v'), done))
  await run((done) => fileSystem.unlink(at('a', 'b', 'y'), done))
  assert.equal((await call<string[]>((done) => fileSystem.list(at('a', 'b'), done))).value, ['c', 'v', 'w', 'x'])
  const stat = await call<{ isDirectory: boolean }>((done) => fileSystem.stat(at('a'), done))
  assert.is(stat.value.isDirectory, true)
  await run((done) => fileSystem.remove(at('a'), done))
  assert.equal((await call<string[]>((done) => fileSystem.list(directory, done))).value, [])
  const space = await call<{ freeBytes: number; totalBytes: number }>((done) => fileSystem.statfs(directory, done))
  assert.ok(space.value.freeBytes > 0 && space.value.totalBytes >= space.value.freeBytes)
})

test('every completion comes through the executor, never from inside the call', async () => {
  labels.length = 0
  let inside = true
  const answered = call((done) =>
    fileSystem.stat(directory, (status) => {
      assert.is(inside, false)
      done(status)
    }),
  )
  inside = false
  assert.is((await answered).status.ok, true)
  assert.equal(labels, ['file-system'])
})

function storageAt(data: string): NodeStorage {
  const peerId = new PeerId('127.0.0.1', 7001)
  return openStorage({
    fileSystem,
    executor,
    clock,
    random: new SeededRandom(1),
    directory: data,
    peerId,
    clusterId: null,
    name: 'n1',
    maxSegmentBytes: 2000,
  })
}

test('a data directory on a real disk: identity, term and vote, and a log that rolls, is cut and opened again', async () => {
  const data = join(directory, 'n1')
  const first = storageAt(data)
  const identity = (await call<NodeIdentity>((done) => first.identityStorage.load('founding', done))).value
  assert.is((await call<RaftMeta>((done) => first.metaStorage.load(done))).value.term, 1)
  assert.is((await call<LogRecovery>((done) => first.logStorage.init(done))).status.toString(), 'OK')
  for (let index = 1; index <= 100; index++) {
    assert.is((await run((done) => first.logStorage.appendEntries([batch(index, index, ['x'.repeat(index)])], done))).ok, true)
  }
  assert.is((await run((done) => first.logStorage.truncateSuffix(logIndex(90), done))).ok, true)
  assert.is((await run((done) => first.logStorage.truncatePrefix(logIndex(40), done))).ok, true)
  assert.is((await run((done) => first.metaStorage.save({ term: asTerm(90), votedFor: PeerId.EMPTY }, done))).ok, true)
  assert.is((await run((done) => first.logStorage.close(done))).ok, true)

  const again = storageAt(data)
  assert.equal((await call<NodeIdentity>((done) => again.identityStorage.load('member', done))).value, identity)
  assert.is((await call<RaftMeta>((done) => again.metaStorage.load(done))).value.term, 90)
  const { value: recovery } = await call<LogRecovery>((done) => again.logStorage.init(done))
  assert.equal([recovery.firstIndex, recovery.lastIndex, recovery.tornTail], [40, 90, null])
  const read = await call<EntryBatch>((done) => again.logStorage.getEntries(logIndex(90), 1, done))
  assert.equal(texts(read.value), [`90:90:${'x'.repeat(90)}`])
  assert.is((await run((done) => again.logStorage.close(done))).ok, true)
})

test('groups have their own directories, and no name leads out of them', () => {
  assert.is(groupDirectory('/data', 'kv'), '/data')
  assert.is(groupDirectory('/data', 'Counter'), '/data/groups/Counter')
  assert.is(groupDirectory('/data', '../x/y'), '/data/groups/%2E%2E%2Fx%2Fy')
})

test.run()
