import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode } from '../../../src/raft/errors.js'
import { Node } from '../../../src/raft/node.js'
import { ProcessIdentity } from '../../../src/rpc/identity.js'
import { NodeManager } from '../../../src/rpc/node-manager.js'
import { productionEnvironment } from '../../../src/server/environment.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import { RunTimeGroups, type RunTimeGroupsOptions } from '../../../src/server/run-time-groups.js'
import { NodeFileSystem } from '../../../src/storage/node-file-system.js'
import { peer } from '../../support/entries.js'

const record = { group: 'g', machine: 'kv', uid: 'a'.repeat(32), founders: [String(peer(1))] }

/** As much of a process as is needed while nothing runs. */
function groupsIn(dataDir: string): { groups: RunTimeGroups; end: () => void } {
  const executor = new EventLoopExecutor()
  const environment = productionEnvironment({ executor } as never)
  const options = {
    configuration: { dataDir, group: 'kv' },
    environment,
    fileSystem: new NodeFileSystem(executor),
    log: { error: () => {}, info: () => {} },
  } as unknown as RunTimeGroupsOptions
  return { groups: new RunTimeGroups(options), end: () => environment.clock.stop() }
}

test('before all that the disk holds is known no group is created or removed: it may be there', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'raftctl-run-time-'))
  const { groups, end } = groupsIn(dataDir)
  assert.is((await groups.create(record)).status.code, ErrorCode.EAGAIN)
  assert.is((await groups.remove('g', '')).status.code, ErrorCode.EAGAIN)
  writeFileSync(join(dataDir, 'groups'), 'no directory')
  await groups.openAll()
  const { status } = await groups.create(record)
  assert.is(status.code, ErrorCode.EIO)
  assert.match(status.message, /^the groups on the disk cannot be read/)
  end()
  rmSync(dataDir, { recursive: true })
})

test('a group whose place another node has in this process is listed with that, and the other one stays', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'raftctl-run-time-'))
  const nodes = new NodeManager<Node>()
  const other = new Node('g', peer(1))
  nodes.add(other)
  const executor = new EventLoopExecutor()
  const environment = productionEnvironment({ executor, observer: { event: () => {} } } as never)
  let fail: (error: string) => void = () => {}
  const failed = new Promise<string>((resolve) => {
    fail = resolve
  })
  const identity = new ProcessIdentity(peer(1), 'n1', 'boot', '0', null)
  const groups = new RunTimeGroups({
    configuration: { dataDir, group: 'kv', peerId: peer(1), name: 'n1', sync: { when: 'immediately' }, electionTimeoutMs: 1000 },
    environment,
    fileSystem: new NodeFileSystem(executor),
    identity,
    nodes,
    log: { info: () => {}, error: ({ error }: { error: string }) => fail(error) },
  } as unknown as RunTimeGroupsOptions)
  await groups.openAll()
  assert.is((await groups.create(record)).status.ok, true)
  assert.match(await failed, /a node of group g is in this process already/)
  assert.match(groups.list()[0]!.problem!, /a node of group g is in this process already/)
  await groups.close()
  assert.is(nodes.get('g', peer(1)), other)
  environment.clock.stop()
  rmSync(dataDir, { recursive: true })
})

test.run()
