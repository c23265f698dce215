// timeout: 180s
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readErrorDetail } from '../../src/rpc/error-detail.js'
import { eventually, TestCluster, type TestNode } from './node-cluster.js'

const cluster = await TestCluster.start(3)
test.after(() => cluster.close())

async function reset(node: TestNode, expectGeneration: number): Promise<number | string> {
  const request = { group: 'kv', expect_generation: expectGeneration, members: [{ peer_id: node.peerId }] }
  return node.control.call('ResetPeers', request, { timeoutMs: 10_000 }).then(
    ({ generation }) => Number(generation),
    (error) => readErrorDetail(error)!.code!,
  )
}

test('J02 two of three are lost for good: the third is made a group of one, serves what it held, and keeps a record', async () => {
  const leader = await cluster.leader()
  const client = cluster.client()
  for (const key of ['a', 'b', 'c']) await client.put(Buffer.from(key), Buffer.from(`value of ${key}`))
  client.close()
  const lost = cluster.others(leader)
  const { generation } = await leader.status()
  assert.is(await reset(leader, Number(generation)), 'E_QUORUM_ALIVE')
  for (const node of lost) {
    await node.signal('SIGKILL')
    node.wipe()
  }
  assert.is(await reset(leader, Number(generation) + 1), 'E_PLAN_STALE')
  assert.is(await reset(leader, Number(generation)), Number(generation) + 1)
  await eventually('it leads alone', async () => (await leader.status()).leader_ready_for_ms != null)

  const alone = leader.client()
  for (const key of ['a', 'b', 'c']) assert.is(String((await alone.get(Buffer.from(key))).item!.value), `value of ${key}`)
  await alone.put(Buffer.from('d'), Buffer.from('written alone'))
  alone.close()
  const record = JSON.parse(readFileSync(join(leader.dataDir, 'raftctl', 'node.json'), 'utf8'))
  assert.is(record.recoveries.length, 1)
  assert.equal([record.generation, record.recoveries[0].after], [Number(generation) + 1, leader.peerId])
  assert.equal(record.recoveries[0].lost.split(',').sort(), lost.map((node) => node.peerId).sort())

  await leader.signal('SIGKILL')
  leader.start()
  await eventually('it leads again', async () => (await leader.status()).leader_ready_for_ms != null)
  const status = await leader.status()
  assert.equal([status.membership!.members!.length, Number(status.generation)], [1, Number(generation) + 1])
  const again = leader.client()
  assert.is(String((await again.get(Buffer.from('d'))).item!.value), 'written alone')
  again.close()
})

test.run()
