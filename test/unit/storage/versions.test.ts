import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KvStateMachine } from '../../../src/machines/kv/state-machine.js'
import { Configuration } from '../../../src/raft/configuration.js'
import type { Transport } from '../../../src/raft/environment.js'
import type { Status } from '../../../src/raft/errors.js'
import { Node } from '../../../src/raft/node.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { productionEnvironment } from '../../../src/server/environment.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import { checksum } from '../../../src/storage/checksum.js'
import { decodeIdentity, encodeIdentity } from '../../../src/storage/identity-file.js'
import { decodeMetaFile } from '../../../src/storage/meta-place.js'
import { NodeFileSystem } from '../../../src/storage/node-file-system.js'
import { openStorage } from '../../../src/storage/open-storage.js'
import { decodeFramed, frame } from '../../../src/storage/protobuf-file.js'
import { META_CODEC } from '../../../src/storage/raft-meta.js'
import { SNAPSHOT_LIST_CODEC } from '../../../src/storage/snapshot-list.js'

const VERSIONS = ['0.1.0']
const PEER = new PeerId('127.0.0.1', 7001)
/** Fields of numbers that no message has. */
const UNKNOWN = Buffer.from('c8bb0107d2bb0103616263', 'hex')
const directories: string[] = []

test.after(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
})

function copyOf(version: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'raftctl-version-'))
  directories.push(directory)
  cpSync(`test/fixtures/raftctl-${version}/data`, directory, { recursive: true })
  return directory
}

/** A group of one has nobody to talk to. */
const NOBODY: Transport = {
  call: () => ({ cancel: () => {} }),
  openAppendStream: () => ({ send: () => {}, close: () => {} }),
  dial: () => {},
}

/** Starts the only member of a group on a directory, with this version's engine, storage and machine; waits until it leads. */
async function start(directory: string) {
  const executor = new EventLoopExecutor()
  let ready = () => {}
  const leads = new Promise<void>((resolve) => {
    ready = resolve
  })
  const environment = productionEnvironment({
    executor,
    transport: NOBODY,
    observer: { event: ({ name }) => void (name === 'leader.ready' && ready()) },
  })
  const { clock, random } = environment
  const fileSystem = new NodeFileSystem(executor)
  const storage = openStorage({ fileSystem, executor, clock, random, directory, peerId: PEER, clusterId: null, name: null })
  const machine = new KvStateMachine({ executor })
  const node = new Node('kv', PEER)
  const on = (run: (done: (status: Status) => void) => void) => new Promise<Status>((resolve) => executor.post(() => run(resolve), 'test'))
  const initialConf = new Configuration([PEER])
  const status = await on((done) =>
    node.init({ environment, initialConf, fsm: machine, ...storage, bootId: 'boot', electionTimeoutMs: 100 }, done),
  )
  assert.is(status.toString(), 'OK')
  await leads
  return { node, machine, storage, stop: () => on((done) => node.shutdown(done)) }
}

for (const version of VERSIONS) {
  test(`J01 a directory that version ${version} wrote is gone on with: identity, log, snapshot and keys`, async () => {
    const directory = copyOf(version)
    for (let round = 0; round < 2; round++) {
      const { node, machine, storage, stop } = await start(directory)
      const value = (key: string) => machine.store.get(Buffer.from(key).toString('latin1'))
      const text = (key: string) => {
        const found = value(key)
        return found && Buffer.from(found.value as never, 'latin1').toString()
      }
      assert.equal([text('b'), text('d'), text('users/1')], ['four', 'y'.repeat(50), 'x'.repeat(200)])
      assert.equal([value('a'), value('c')], [null, null], 'they were deleted, before the snapshot and after it')
      const { snapshotId, term } = node.status()
      assert.equal([snapshotId.index, term > 3], [8, true], 'it goes on in a later term')
      assert.is(storage.identityStorage.clusterId, '26ff2da502d93b13a6fd9624cf7e6e7f')
      assert.ok((await stop()).ok)
    }
  })

  test(`J01 the files of version ${version} are understood with fields behind them that are not known`, () => {
    const read = (file: string) => readFileSync(`test/fixtures/raftctl-${version}/data/${file}`)
    const message = <T>(bytes: Buffer, codec: Parameters<typeof decodeFramed<T>>[1]): T => {
      const decoded = decodeFramed(bytes, codec)
      if (!('message' in decoded)) throw new Error(decoded.problem)
      return decoded.message
    }
    const longer = (file: Buffer) => frame(Buffer.concat([file.subarray(4), UNKNOWN]))
    const meta = read('raft_meta/raft_meta')
    assert.equal(decodeMetaFile(longer(meta), META_CODEC, checksum), decodeMetaFile(meta, META_CODEC, checksum))
    assert.equal(decodeMetaFile(meta, META_CODEC, checksum), { message: message(meta, META_CODEC) })
    const list = read('snapshot/snapshot_00000000000000000008/__raft_snapshot_meta')
    assert.equal(message(longer(list), SNAPSHOT_LIST_CODEC), message(list, SNAPSHOT_LIST_CODEC))
    const identity = decodeIdentity(read('raftctl/node.json'), checksum)
    if (typeof identity === 'string') throw new Error(identity)
    const newer = encodeIdentity({ ...identity, settledAt: 5 }, checksum)
    assert.equal(decodeIdentity(newer, checksum), { ...identity, format: 1, settledAt: 5 })
  })
}

test.run()
