import { mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { placeOfGroup, refuseBraft, takeDataDirectory } from '../../../src/server/data-directory.js'
import { StartError } from '../../../src/server/start-error.js'
import { checksum } from '../../../src/storage/checksum.js'
import { encodeIdentity, type IdentityRecord } from '../../../src/storage/identity-file.js'

/** What was synced while `run` ran. */
async function syncedDuring(run: () => Promise<unknown>): Promise<string[]> {
  const file = await open(tmpdir(), 'r')
  const prototype = Object.getPrototypeOf(file) as FileHandle
  await file.close()
  const { sync } = prototype
  const synced: string[] = []
  prototype.sync = function (this: FileHandle) {
    synced.push(readlinkSync(`/proc/self/fd/${this.fd}`))
    return sync.call(this)
  }
  try {
    await run()
  } finally {
    prototype.sync = sync
  }
  return synced
}

if (process.platform === 'linux') {
  test('the name of the data directory is durable, also where it is found: a killed process may have made it', async () => {
    const home = mkdtempSync(join(tmpdir(), 'raftctl-data-'))
    const path = join(home, 'a', 'b', 'data')
    try {
      for (const how of ['made', 'found']) {
        const synced = await syncedDuring(async () => (await takeDataDirectory(path)).release())
        for (let at = dirname(path); at !== '/'; at = dirname(at)) assert.ok(synced.includes(at), `${how}: ${at} is not synced`)
      }
    } finally {
      rmSync(home, { recursive: true })
    }
  })
}

const IDENTITY: IdentityRecord = {
  clusterId: null,
  peerId: '127.0.0.1:7001:0:0',
  name: null,
  standing: 'member',
  incarnation: 'ab',
  generation: 1,
  founders: null,
  removed: null,
}

async function withDirectory(run: (path: string) => Promise<void>): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), 'raftctl-place-'))
  try {
    await run(path)
  } finally {
    rmSync(path, { recursive: true })
  }
}

function putIdentity(directory: string, more: Partial<IdentityRecord>): void {
  mkdirSync(join(directory, 'raftctl'), { recursive: true })
  writeFileSync(join(directory, 'raftctl', 'node.json'), encodeIdentity({ ...IDENTITY, ...more }, checksum))
}

const refusalOf = (attempt: Promise<unknown>) =>
  attempt.then(
    () => null,
    (error: Error) => {
      assert.instance(error, StartError)
      return error.message
    },
  )

test('the first group of a directory lies in it, whatever it is called, and others do not start there', () =>
  withDirectory(async (path) => {
    for (const group of ['kv', 'Counter']) assert.equal(await placeOfGroup(path, group, checksum), { directory: path, found: null })
    putIdentity(path, { group: 'Counter', machine: 'counter' })
    assert.is((await placeOfGroup(path, 'Counter', checksum)).directory, path)
    for (const group of ['kv', 'Kounter'])
      assert.match((await refusalOf(placeOfGroup(path, group, checksum)))!, `${path} holds group Counter, this node is to run ${group}`)
  }))

test('a directory of before groups had names is of kv; a group that lies below stays there', () =>
  withDirectory(async (path) => {
    putIdentity(path, {})
    assert.is((await placeOfGroup(path, 'kv', checksum)).directory, path)
    assert.match((await refusalOf(placeOfGroup(path, 'Counter', checksum)))!, 'holds group kv')
    putIdentity(join(path, 'groups', 'Counter'), {})
    const { directory, found } = await placeOfGroup(path, 'Counter', checksum)
    assert.is(directory, join(path, 'groups', 'Counter'))
    assert.is((found as IdentityRecord).incarnation, 'ab')
  }))

test('a directory of braft is told from one of ours, and from one that is new', () =>
  withDirectory(async (path) => {
    assert.is(await refusalOf(refuseBraft(path, 'Counter')), null)
    mkdirSync(join(path, 'log'))
    writeFileSync(join(path, 'log', 'log_meta'), '')
    assert.is(await refusalOf(refuseBraft(path, 'Counter')), null, 'it never held an entry')
    for (const [part, name] of [
      ['log', 'log_inprogress_00000000000000000001'],
      ['raft_meta', 'raft_meta'],
      ['snapshot', 'snapshot_00000000000000000031'],
    ] as const) {
      mkdirSync(join(path, part), { recursive: true })
      writeFileSync(join(path, part, name), '')
      assert.match((await refusalOf(refuseBraft(path, 'Counter')))!, 'was written by braft')
      if (name !== 'raft_meta') rmSync(join(path, part, name))
    }
    mkdirSync(join(path, 'raftctl'))
    writeFileSync(join(path, 'raftctl', 'meta.a'), '')
    assert.is(
      await refusalOf(refuseBraft(path, 'Counter')),
      null,
      'one of ours whose identity is gone is damaged, and said to be by its opening',
    )
  }))

test.run()
