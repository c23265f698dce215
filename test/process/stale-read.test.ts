// alone: three nodes and their clients need the machine
import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KvClient } from '../../src/machines/kv/client.js'
import { LinkProxy } from '../support/proxy.js'
import { TestCluster, type TestNode } from './node-cluster.js'

const KEY = Buffer.from('key')
const cluster = await TestCluster.start(3)
const proxies: LinkProxy[] = []

test.after(async () => {
  await cluster.close()
  for (const proxy of proxies) proxy.close()
})

/** A linearizable read of one node alone: the value, or null when it refuses. */
async function read(client: KvClient): Promise<string | null> {
  return await client.get(KEY).then(
    ({ item }) => item?.value.toString() ?? '',
    () => null,
  )
}

async function readDirectly(node: TestNode, timeoutMs: number): Promise<string | null> {
  const client = node.client(timeoutMs)
  try {
    return await read(client)
  } finally {
    client.close()
  }
}

async function write(node: TestNode, value: string): Promise<void> {
  const client = node.client(10_000)
  await client.put(KEY, Buffer.from(value))
  client.close()
}

test('a leader that slept for 3 s never answers a read with what it knew before', async () => {
  const old = await cluster.leader()
  await write(old, 'before')
  const connected = Array.from({ length: 4 }, () => old.client(6000))
  for (const client of connected) assert.is(await read(client), 'before')
  old.pause()
  const sleeping = pause(3000)
  const next = await cluster.leader(cluster.others(old))
  await write(next, 'after')
  // These wait in its sockets: when it wakes they are the first thing it sees, before any timer of its own.
  const waiting = connected.map(read)
  await sleeping
  old.resume()
  const answers = await Promise.all([...waiting, readDirectly(old, 3000), readDirectly(next, 3000)])
  assert.not(answers.includes('before'), `read ${answers} after 'after' was acknowledged`)
  assert.is(answers.at(-1), 'after')
  for (const client of connected) client.close()
  assert.is(await readDirectly(await cluster.leader(), 3000), 'after')
})

test('a leader cut off by proxies in the dial maps refuses reads while the new one serves them', async () => {
  const old = await cluster.leader()
  const others = cluster.others(old)
  const outward: Record<string, string> = {}
  for (const other of others) {
    const there = await LinkProxy.to({ host: '127.0.0.1', port: other.port })
    const back = await LinkProxy.to({ host: '127.0.0.1', port: old.port })
    proxies.push(there, back)
    outward[other.peerId] = there.address
    await other.faults({ dial_map: { [old.peerId]: back.address } })
  }
  await old.faults({ dial_map: outward })
  const through = await cluster.leader()
  await write(through, 'through proxies')
  assert.is(await readDirectly(through, 3000), 'through proxies')

  for (const proxy of proxies) proxy.cut()
  const next = await cluster.leader(others)
  await write(next, 'behind the cut')
  const [stale, fresh] = await Promise.all([readDirectly(old, 1500), readDirectly(next, 3000)])
  assert.is(stale, null)
  assert.is(fresh, 'behind the cut')

  for (const proxy of proxies) proxy.heal()
  for (const node of cluster.nodes) await node.faults({ heal: true })
  const leader = await cluster.leader()
  assert.is(await readDirectly(leader, 5000), 'behind the cut')
})

test.run()
