import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checksum } from '../../src/storage/checksum.js'
import { decodeIdentity, encodeIdentity, type IdentityRecord } from '../../src/storage/identity-file.js'
import { eventually, freePorts, TestCluster, TestNode } from './node-cluster.js'

const cluster = await TestCluster.start(1)
const founder = cluster.nodes[0]!

test.after(() => cluster.close())

const identityOf = (node: TestNode) => JSON.parse(readFileSync(join(node.dataDir, 'raftctl', 'node.json'), 'utf8'))

async function newNode(name: string, flags: readonly string[]): Promise<TestNode> {
  const [port] = await freePorts(1)
  return new TestNode(name, port!, cluster.home, flags)
}

test('--join learns the cluster from any member before the directory is bound to one', async () => {
  const [deaf] = await freePorts(1)
  const joining = await newNode('joining', ['--join', `127.0.0.1:${deaf},${founder.address}`])
  joining.start()
  await eventually('its identity', async () => existsSync(join(joining.dataDir, 'raftctl', 'node.json')))
  const { clusterId, standing, founders } = identityOf(joining)
  assert.is(clusterId, (await founder.status()).cluster_id)
  assert.equal([standing, founders], ['rebuilding', null])
  await joining.close()
})

test('--join with another --cluster-id is exit 8 and leaves nothing behind', async () => {
  const wrong = await newNode('wrong', ['--join', founder.address, '--cluster-id', 'f'.repeat(32)])
  const { code, output } = await wrong.start().exited()
  assert.is(code, 8)
  assert.match(output, 'E_CLUSTER_MISMATCH')
  assert.match(output, `${founder.address} belongs to cluster`)
  assert.not(existsSync(wrong.dataDir))
})

test('while no member answers it waits, says for whom, and stops when told to', async () => {
  const [nobody] = await freePorts(1)
  const waiting = await newNode('waiting', ['--join', `127.0.0.1:${nobody}`])
  waiting.start()
  await eventually('it to say so', async () => {
    const log = readFileSync(join(cluster.home, 'waiting.log'), 'utf8')
    return log.includes('join.waiting') && log.includes(`127.0.0.1:${nobody}`)
  })
  assert.is((await waiting.control.call('Probe', {}, { timeoutMs: 2000 })).log_empty, true)
  assert.is((await waiting.signal('SIGTERM')).code, 0)
  assert.not(existsSync(waiting.dataDir))
  await waiting.close()
})

test('a directory whose member was removed is refused at once, with what to type', async () => {
  const removed = await newNode('removed', [])
  removed.start()
  await eventually('it to lead', async () => (await removed.status()).state === 'LEADER')
  await removed.signal('SIGTERM')
  await removed.close()
  const file = join(removed.dataDir, 'raftctl', 'node.json')
  const identity = decodeIdentity(readFileSync(file), checksum) as IdentityRecord
  writeFileSync(file, encodeIdentity({ ...identity, removed: { reason: 'n1 said so', members: [founder.address] } }, checksum))
  const { code, output } = await removed.start().exited()
  assert.is(code, 6)
  assert.match(output, 'E_REMOVED_FROM_CLUSTER  removed is no longer a member of its cluster: n1 said so')
  assert.match(output, `raftctl node wipe ${removed.dataDir}`)
  assert.match(output, `--join ${founder.address} --data ${removed.dataDir}`)
  assert.match(output, `raftctl member add removed=${removed.address}`)
  assert.not.match(output, 'node.started')
})

test.run()
