// braft's example machines in real processes.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { example } from '../../src/generated/braft.js'
import { KvClient, KvClientError } from '../../src/machines/kv/client.js'
import { BaiduStdClient, callBaiduStd } from '../../src/rpc/baidu-std-client.js'
import { eventually, TestCluster, TestNode } from './node-cluster.js'

const cluster = await TestCluster.prepare(3, ['--group', 'Counter=counter', '--election-timeout', '500ms'])
test.after(() => cluster.close())

const FETCH_ADD = {
  service: 'example.CounterService',
  method: 'fetch_add',
  request: example.FetchAddRequest,
  response: example.CounterResponse,
}
const GET = { service: 'example.CounterService', method: 'get', request: example.GetRequest, response: example.CounterResponse }

/** As braft's client: asks a member, and whoever it is sent to. */
async function call(method: typeof FETCH_ADD | typeof GET, request: object, node: TestNode): Promise<{ value: number; by: string }> {
  return await eventually('an answer of the leader', async () => {
    for (let address = node.address; ; ) {
      const client = new BaiduStdClient('127.0.0.1', Number(address.split(':')[1]))
      try {
        const { response } = await callBaiduStd(client, method as typeof FETCH_ADD, request as { value: number }, { timeoutMs: 2000 })
        if (response.success) return { value: Number(response.value), by: address }
        if (!response.redirect) return null
        address = response.redirect.split(':').slice(0, 2).join(':')
      } finally {
        client.close()
      }
    }
  })
}

test('a counter keeps its value over a new leader, a snapshot and a restart of all', async () => {
  for (const node of cluster.nodes) node.start()
  const [n1, n2, n3] = cluster.nodes as [TestNode, TestNode, TestNode]
  for (let i = 0; i < 10; i++) assert.is((await call(FETCH_ADD, { value: 7 }, n1)).value, 7 * i)
  const { by } = await call(GET, {}, n2)

  const leader = cluster.nodes.find((node) => node.address === by)!
  await leader.control.call('TriggerSnapshot', { group: 'Counter' }, { timeoutMs: 5000 })
  await leader.signal('SIGKILL')
  const others = cluster.others(leader)
  assert.is((await call(FETCH_ADD, { value: 1 }, others[0]!)).value, 70)

  for (const node of others) await node.signal('SIGTERM')
  for (const node of cluster.nodes) node.start()
  assert.is((await call(GET, {}, n3)).value, 71)
})

test('its log is told in words, its members can be compared, and it has no keys', async () => {
  const { by } = await call(GET, {}, cluster.nodes[0]!)
  const leader = cluster.nodes.find((node) => node.address === by)!
  const { index } = await leader.control.call('Mark', { group: 'Counter' }, { timeoutMs: 5000 })
  const hashes = await Promise.all(
    cluster.nodes.map((node) => node.control.call('HashState', { group: 'Counter', mark: index }, { timeoutMs: 5000 })),
  )
  const [first] = hashes
  assert.is(Number(first!.keys), 1)
  for (const { sha256 } of hashes) assert.equal(Buffer.from(sha256), Buffer.from(first!.sha256))
  const client = new KvClient({ endpoints: [by], timeoutMs: 5000, direct: true, group: 'Counter' })
  const error = await client.get(Buffer.from('key')).then(
    () => null,
    (thrown: KvClientError) => thrown,
  )
  assert.instance(error, KvClientError)
  assert.is(error!.code, 'E_OTHER_MACHINE')
  client.close()
})

test('a directory of the counter does not start as another machine', async () => {
  const node = cluster.nodes[2]!
  await node.signal('SIGTERM')
  const { code, output } = await new TestNode(node.name, node.port, cluster.home, ['--group', 'Counter']).start().exited()
  assert.is(code, 6, output)
  assert.match(output, 'holds the counter machine, this node is to run kv')
})

test.run()
