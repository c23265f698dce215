// timeout: 180s
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { eventually, freePorts, TestNode } from '../process/node-cluster.js'
import { saveInto } from '../support/contexts.js'
import { type FakeNode, fakeCluster } from '../support/fake-control.js'
import { type Document, documentOf } from '../support/local-clusters.js'
import { CliHome } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'

/** A directory that a node used, and a cluster of three others that may know it. */
const test = suite<{ home: CliHome; nodes: FakeNode[]; node: TestNode }>('node wipe')

test.before.each(async (context) => {
  context.home = new CliHome('warm')
  context.nodes = await fakeCluster()
  const [port] = await freePorts(1)
  context.node = new TestNode('n4', port!, context.home.directory, [])
  context.node.start()
  await eventually('it to lead', async () => (await context.node.status()).state === 'LEADER')
  const { cluster_id } = await context.node.status()
  for (const node of context.nodes) node.clusterId = cluster_id
})
test.after.each(async ({ home, nodes, node }) => {
  await node.close()
  for (const one of nodes) one.close()
  home.remove()
})

async function wipe(home: CliHome, ...args: string[]): Promise<Document & { text: string }> {
  const json = await home.run(['node', 'wipe', ...args, '--json'])
  return { ...documentOf(json, args), text: json.stderr }
}
const aside = (node: TestNode) => readdirSync(dirname(node.dataDir)).filter((name) => name.startsWith('n4.removed-'))

test('a directory in use is refused with the process that uses it', async ({ home, node }) => {
  const { exitCode, error } = await wipe(home, node.dataDir, '--force', '--confirm', 'n4')
  assert.equal([exitCode, error.code, error.details.pid], [6, 'E_DATA_DIR', node.pid])
  assert.ok(existsSync(node.dataDir))
})

test('a node that the committed configuration names is refused, one that it lacks is put aside, and twice a day too', async ({
  home,
  nodes,
  node,
}) => {
  await node.signal('SIGTERM')
  const members = nodes[0]!.status.membership!.members!
  for (const one of nodes) one.status.membership!.members = [...members, { peer_id: node.peerId, name: 'n4', role: 'voter' }]
  const member = await wipe(home, node.dataDir, '-e', nodes[1]!.address, '--confirm', 'n4')
  assert.equal([member.exitCode, member.error.code], [6, 'E_STILL_MEMBER'])
  assert.match(member.error.hint, 'raftctl member remove n4')
  for (const one of nodes) one.status.membership!.members = members
  const unconfirmed = await wipe(home, node.dataDir, '-e', nodes[1]!.address)
  assert.equal([unconfirmed.exitCode, unconfirmed.error.details.flag], [12, '--confirm n4'])
  const misnamed = await wipe(home, node.dataDir, '-e', nodes[1]!.address, '--confirm', 'n3')
  assert.is(misnamed.exitCode, 12)
  assert.equal(aside(node), [])
  // The context that is pinned to the cluster of the directory is found by itself.
  saveInto(home, { name: 'prod', endpoints: [nodes[2]!.address], clusterId: nodes[2]!.clusterId })
  const wiped = await wipe(home, node.dataDir, '--confirm', 'n4')
  assert.equal([wiped.exitCode, wiped.data.grounds, wiped.data.from, wiped.data.node], [0, 'not-a-member', node.dataDir, 'n4'])
  assert.match(wiped.data.to, /\/n4\.removed-\d{8}$/)
  assert.not(existsSync(node.dataDir))
  assert.ok(existsSync(join(wiped.data.to, 'log')))
  assert.not(existsSync(join(wiped.data.to, 'raftctl', 'LOCK')))
  assert.ok(problemsOf({ ...wiped, data: { ...wiped.data, grounds: 'because' } } as never).length > 0)
  await node.start()
  await eventually('it to lead', async () => (await node.status()).state === 'LEADER')
  await node.signal('SIGTERM')
  const second = await wipe(home, node.dataDir, '--force', '--confirm', 'n4')
  assert.equal([second.exitCode, second.data.grounds], [0, 'forced'])
  assert.match(second.data.to, /\/n4\.removed-\d{8}-2$/)
})

test('nobody who could tell is exit 5, another cluster exit 8, nothing there exit 7, nobody it belongs to exit 6', async ({
  home,
  nodes,
  node,
}) => {
  await node.signal('SIGTERM')
  const alone = await wipe(home, node.dataDir, '--confirm', 'n4')
  assert.equal([alone.exitCode, alone.error.code], [5, 'E_UNREACHABLE'])
  assert.match(alone.error.hint, '--force')
  const silent = await wipe(home, node.dataDir, '--confirm', 'n4', '-e', '127.0.0.1:1', '--connect-timeout', '1s')
  assert.equal([silent.exitCode, silent.error.code], [5, 'E_UNREACHABLE'])
  for (const one of nodes) one.clusterId = 'e'.repeat(32)
  const other = await wipe(home, node.dataDir, '--confirm', 'n4', '-e', nodes[0]!.address)
  assert.equal([other.exitCode, other.error.code], [8, 'E_CLUSTER_MISMATCH'])
  assert.is((await wipe(home, join(home.directory, 'nowhere'))).exitCode, 7)
  mkdirSync(join(home.directory, 'braft', 'log'), { recursive: true })
  writeFileSync(join(home.directory, 'braft', 'log', 'log_meta'), '')
  const nobody = await wipe(home, join(home.directory, 'braft'), '--force')
  assert.equal([nobody.exitCode, nobody.error.code], [6, 'E_DATA_DIR'])
  assert.ok(existsSync(node.dataDir))
})

test.run()
