import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Status } from '../../../src/raft/errors.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import type { RaftMeta, RaftMetaStorage } from '../../../src/raft/storage.js'
import { asTerm } from '../../../src/raft/types.js'
import { ProductionClock } from '../../../src/server/clock.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import type { StorageContext } from '../../../src/storage/local-storages.js'
import { parseMixedPath } from '../../../src/storage/merged-meta.js'
import { closeMetaDatabases, MetaDatabase } from '../../../src/storage/meta-database.js'
import { NodeFileSystem } from '../../../src/storage/node-file-system.js'
import { describeMeta } from '../../../src/storage/raft-meta.js'
import { raftMetaStorages } from '../../../src/storage/storage-by-uri.js'

interface World {
  directory: string
  context: StorageContext & { clock: ProductionClock }
}

const test = suite<World>('term and vote in a shared LevelDB')

test.before.each((world) => {
  const executor = new EventLoopExecutor()
  world.directory = mkdtempSync(join(tmpdir(), 'raftctl-merged-'))
  world.context = {
    ...{ executor, fileSystem: new NodeFileSystem(executor), clock: new ProductionClock(executor) },
    versionedGroupId: 'Counter_0',
  }
})

test.after.each(async ({ directory, context }) => {
  context.clock.stop()
  await closeMetaDatabases()
  rmSync(directory, { recursive: true, force: true })
})

const A = PeerId.parse('127.0.0.1:8100:0:0')!
const B = PeerId.parse('127.0.0.1:8101:0:0')!
const meta = (term: number, votedFor = PeerId.EMPTY): RaftMeta => ({ term: asTerm(term), votedFor })

function open(uri: string, context: StorageContext): RaftMetaStorage {
  const found = raftMetaStorages.open(uri, context)
  assert.not(found instanceof Status, `${found}`)
  return found as RaftMetaStorage
}

const load = (uri: string, context: StorageContext) =>
  new Promise<string>((resolve) =>
    open(uri, context).load((status, found) => resolve(status.ok ? describeMeta(found!) : status.toString())),
  )

/** As a node does it: what is there is read first. */
const save = (uri: string, context: StorageContext, what: RaftMeta) =>
  new Promise<Status>((resolve) => {
    const storage = open(uri, context)
    storage.load((loaded) => (loaded.ok ? storage.save(what, resolve) : resolve(loaded)))
  })

const gc = (uri: string, context: StorageContext) => new Promise<Status>((resolve) => raftMetaStorages.gc(uri, context, resolve))

/** What another process would find. */
async function raw<T>(directory: string, use: (database: MetaDatabase) => Promise<T>): Promise<T> {
  await closeMetaDatabases()
  const database = new MetaDatabase(directory)
  try {
    return await use(database)
  } finally {
    await database.close()
  }
}

test('key and value are those of braft, and what braft wrote is taken over with adopt', async ({ directory, context }) => {
  const path = join(directory, 'merged')
  const uri = `local-merged://${path}`
  assert.is(await load(uri, context), 'term 1, no vote')
  assert.ok((await save(uri, context, meta(300, A))).ok)
  // StablePBMeta: term as a varint, then the vote as text.
  const bytes = `08ac021212${Buffer.from('127.0.0.1:8100:0:0').toString('hex')}`
  assert.is(await raw(path, async (database) => (await database.get('Counter_0'))!.toString('hex')), bytes)
  const empty = `0802120d${Buffer.from('0.0.0.0:0:0:0').toString('hex')}`
  await raw(path, (database) => database.put('Other_3', Buffer.from(empty, 'hex')))
  const other = { ...context, versionedGroupId: 'Other_3' }
  assert.match(await load(uri, other), 'no record of ours vouches for it')
  assert.is(await load(uri, { ...other, adopt: true }), 'term 2, no vote')
  assert.is(await load(uri, other), 'term 2, no vote', 'from now on it is vouched for')
})

test('members of many groups share one database, at the same time, and it outlives its process', async ({ directory, context }) => {
  const uri = `local-merged://${directory}/merged`
  const members = Array.from({ length: 200 }, (_, i) => ({ ...context, versionedGroupId: `group ${i}/x_0` }))
  const saved = await Promise.all(members.map((member, i) => save(uri, member, meta(i + 2, A))))
  assert.ok(saved.every((status) => status.ok))
  await closeMetaDatabases()
  const loaded = await Promise.all(members.map((member) => load(uri, member)))
  assert.equal(
    loaded,
    members.map((_, i) => `term ${i + 2}, vote for ${A}`),
  )
  assert.ok((await gc(uri, members[7]!)).ok)
  assert.equal([await load(uri, members[7]!), await load(uri, members[8]!)], ['term 1, no vote', `term 10, vote for ${A}`])
})

test('from single over mixed to merged nothing is lost', async ({ directory, context }) => {
  const [single, merged] = [`${directory}/single`, `${directory}/merged`]
  const mixed = `local-mixed://merged_path=${merged}&&single_path=${single}`
  assert.ok((await save(`local://${single}`, context, meta(7, A))).ok)
  assert.is(await load(mixed, context), `term 7, vote for ${A}`)
  assert.is(await load(`local-merged://${merged}`, context), `term 7, vote for ${A}`, 'it has caught up')
  assert.ok((await save(mixed, context, meta(8))).ok)
  assert.ok((await save(`local-merged://${merged}`, context, meta(9, B))).ok)
  assert.is(await load(`local-merged://${merged}`, context), `term 9, vote for ${B}`)
  assert.is(await load(`local://${single}`, context), 'term 8, no vote')
})

test('from merged over mixed to single nothing is lost, nor is a vote given after the other half was written', async ({
  directory,
  context,
}) => {
  const [single, merged] = [`${directory}/single`, `${directory}/merged`]
  const mixed = `local-mixed://merged_path=${merged}&&single_path=${single}`
  assert.ok((await save(`local-merged://${merged}`, context, meta(7, A))).ok)
  assert.is(await load(mixed, context), `term 7, vote for ${A}`)
  assert.is(await load(`local://${single}`, context), `term 7, vote for ${A}`)
  // A save that came no further than the single storage.
  assert.ok((await save(`local://${single}`, context, meta(8, B))).ok)
  assert.is(await load(mixed, context), `term 8, vote for ${B}`)
  assert.is(await load(`local-merged://${merged}`, context), `term 8, vote for ${B}`)
  assert.ok((await gc(mixed, context)).ok)
  assert.is(await load(mixed, context), 'term 1, no vote')
})

test('two votes in one term are a conflict, and nothing is changed', async ({ directory, context }) => {
  const [single, merged] = [`${directory}/single`, `${directory}/merged`]
  for (const [uri, vote] of [
    [`local://${single}`, A],
    [`local-merged://${merged}`, B],
  ] as const) {
    assert.ok((await save(uri, context, meta(7, vote))).ok)
  }
  assert.match(await load(`local-mixed://merged_path=${merged}&&single_path=${single}`, context), /ECORRUPT.*8100.*8101.*two leaders/)
  assert.is(await load(`local-merged://${merged}`, context), `term 7, vote for ${B}`)
})

test('a vote that the database lost stands in our own records', async ({ directory, context }) => {
  const path = join(directory, 'merged')
  const uri = `local-merged://${path}`
  await save(uri, context, meta(4, A))
  await save(uri, context, meta(5, B))
  await closeMetaDatabases()
  const log = join(path, readdirSync(path).find((name) => name.endsWith('.log'))!)
  const bytes = readFileSync(log)
  bytes[bytes.length - 5]! ^= 1
  writeFileSync(log, bytes)
  assert.is(
    await raw(path, async (database) => (await database.get('Counter_0'))?.includes('8101') ?? false),
    false,
    'LevelDB passes over it',
  )
  assert.is(await load(uri, context), `term 5, vote for ${B}`)
})

test('what cannot be opened is said in one error', async ({ directory, context }) => {
  const path = join(directory, 'merged')
  const uri = `local-merged://${path}`
  await save(uri, context, meta(4, A))
  await raw(path, async (other) => {
    await other.get('Counter_0')
    assert.match(await load(uri, context), /EBUSY.*merged is open in another process/)
  })
  await closeMetaDatabases()
  writeFileSync(join(path, 'CURRENT'), 'MANIFEST-gone\n')
  assert.match(await load(uri, context), /term and vote in .*merged/)
  await closeMetaDatabases()

  const refusal = (address: string, without: StorageContext = context) => String(raftMetaStorages.open(address, without))
  const { versionedGroupId, ...nobody } = context
  assert.is(versionedGroupId, 'Counter_0')
  assert.match(refusal(uri, nobody), 'versionedGroupId')
  assert.match(refusal('local-merged://'), 'names no directory')
  for (const parameter of ['', '/a', 'merged_path=/a', 'single_path=/a&&merged_path=/b', 'merged_path=&&single_path=/b'])
    assert.match(refusal(`local-mixed://${parameter}`), 'EINVAL')
  assert.equal(parseMixedPath('merged_path=/a&&single_path=/b&c'), { merged: '/a', single: '/b&c' })
})

/** Saves one term after the other, and says which are durable. */
const WRITER = `
  const [uri, at] = process.argv.slice(1)
  const { raftMetaStorages } = await import(at + 'storage/storage-by-uri.js')
  const { NodeFileSystem } = await import(at + 'storage/node-file-system.js')
  const { EventLoopExecutor } = await import(at + 'server/executor.js')
  const { PeerId } = await import(at + 'raft/peer-id.js')
  const executor = new EventLoopExecutor()
  const storage = raftMetaStorages.open(uri, { executor, fileSystem: new NodeFileSystem(executor), versionedGroupId: 'Counter_0' })
  const save = (term) => storage.save({ term, votedFor: PeerId.EMPTY }, (status) => {
    if (!status.ok) process.exit(1)
    process.stdout.write(term + '\\n')
    save(term + 1)
  })
  storage.load(({ ok }, meta) => (ok ? save(meta.term + 1) : process.exit(1)))
`

test('a process that is killed has what it said was saved', async ({ directory, context }) => {
  const uri = `local-merged://${directory}/merged`
  const sources = new URL('../../../src/', import.meta.url).href
  const child = spawn(process.execPath, ['--input-type=module', '-e', WRITER, uri, sources], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (data) => {
    said += data
    if (said.split('\n').length > 20) child.kill('SIGKILL')
  })
  const [code, signal] = await once(child, 'close')
  assert.equal([code, signal], [null, 'SIGKILL'], pathToFileURL(directory).href)
  const last = Number(said.slice(0, said.lastIndexOf('\n')).split('\n').at(-1))
  const term = Number(/term (\d+)/.exec(await load(uri, context))![1])
  assert.ok(term === last || term === last + 1, `${last} was saved, ${term} is there`)
})

test.run()
