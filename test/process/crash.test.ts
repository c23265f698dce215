// alone: three nodes and their clients need the machine
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually, Load, missing, TestCluster } from './node-cluster.js'

const cluster = await TestCluster.start(3)

test.after(() => cluster.close())

test('the leader is killed under load: writes resume by themselves and every acknowledged key is readable', async () => {
  const load = new Load([cluster.client(10_000), cluster.client(10_000), cluster.client(10_000), cluster.client(10_000)], 'one')
  await load.more(200)
  const leader = await cluster.leader()
  const killedAt = performance.now()
  await leader.signal('SIGKILL')
  const survivors = cluster.others(leader)
  await cluster.leader(survivors)
  await load.more(1)
  console.log(`      acknowledged again ${Math.round(performance.now() - killedAt)} ms after the kill`)
  await load.more(200)
  const acknowledged = await load.stop()
  const reader = cluster.client()
  assert.equal(await missing(reader, 'one', acknowledged), [])
  reader.close()

  leader.start()
  const target = Math.max(...(await Promise.all(survivors.map(async (node) => Number((await node.status()).commit_index)))))
  await eventually('the killed node to come level', async () => Number((await leader.status()).applied_index) >= target)
  const own = leader.client()
  const here = await own.list(Buffer.from('one/'), { consistency: 'stale', limit: 100_000 })
  own.close()
  assert.ok(here.count >= acknowledged.size)
})

test('all nodes are killed at once and started again: every acknowledged key is there', async () => {
  const load = new Load([cluster.client(), cluster.client(), cluster.client(), cluster.client()], 'two')
  await load.more(300)
  const stopped = load.stop()
  await Promise.all(cluster.nodes.map((node) => node.signal('SIGKILL')))
  const acknowledged = await stopped
  for (const node of cluster.nodes) node.start()
  await cluster.leader()
  const reader = cluster.client(10_000)
  assert.ok(acknowledged.size >= 300)
  assert.equal(await missing(reader, 'two', acknowledged), [])
  await reader.put(Buffer.from('after'), Buffer.from('restart'))
  reader.close()
})

test('a leader that is asked to stop hands over first and exits with 0', async () => {
  const leader = await cluster.leader()
  const before = await leader.status()
  const { code, output } = await leader.signal('SIGTERM')
  assert.is(code, 0)
  assert.match(output, '"msg":"leader.handover"')
  assert.match(output, '"msg":"process.stopped"')
  const next = await cluster.leader(cluster.others(leader))
  assert.ok(Number((await next.status()).term) > Number(before.term))
  leader.start()
  await eventually('it to follow again', async () => (await leader.status()).leader_id !== '')
})

test('a node whose directory was wiped does not start as if it were new: exit 6, and the others keep serving', async () => {
  const leader = await cluster.leader()
  const [victim] = cluster.others(leader)
  await victim!.signal('SIGKILL')
  victim!.wipe()
  const { code, output } = await victim!.start().exited()
  assert.is(code, 6)
  assert.match(output, 'E_NEEDS_REBUILD')
  const fatal = output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .find(({ level }) => level === 'fatal')
  assert.is(fatal?.code, 'E_NEEDS_REBUILD')
  assert.is(fatal?.exitCode, 6)
  const client = cluster.client()
  await client.put(Buffer.from('still'), Buffer.from('served'))
  assert.is((await client.get(Buffer.from('still'))).item?.value.toString(), 'served')
  client.close()
})

test.run()
