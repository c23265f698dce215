// Groups that are created and removed in processes that run, with the real command.
// timeout: 300s
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type * as grpc from '@grpc/grpc-js'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { raftctl as proto } from '../../src/generated/raftctl.js'
import { readErrorDetail } from '../../src/rpc/error-detail.js'
import { type Document, documentOf } from '../support/local-clusters.js'
import { CliHome } from '../support/run-cli.js'
import { eventually, TestCluster, type TestNode } from './node-cluster.js'

const test = suite('groups')
const home = new CliHome()
let cluster: TestCluster

test.before(async () => {
  cluster = await TestCluster.start(3, ['--election-timeout', '500ms'])
})
test.after(async () => {
  await cluster.close()
  home.remove()
})

/** Runs a command; its document is checked against its schema, and its exit code against both. */
async function raftctl(...args: string[]): Promise<Document> {
  const endpoints = cluster.nodes.map((node) => node.address).join(',')
  return documentOf(await home.run([...args, '--json', '-e', endpoints], { timeoutMs: 60_000 }), args)
}

async function groupOn(node: TestNode, group: string): Promise<proto.v1.ListGroupsResponse.Group | undefined> {
  const { groups } = await node.control.call('ListGroups', {}, { timeoutMs: 1000 })
  return groups.find((one) => one.group === group) as proto.v1.ListGroupsResponse.Group | undefined
}

/** The code by which a node refuses to host a group. */
async function refusal(node: TestNode, more: proto.v1.CreateGroupRequest.$Properties): Promise<string | undefined> {
  try {
    await node.control.call('CreateGroup', { machine: 'kv', uid: 'd'.repeat(32), ...more }, { timeoutMs: 2000 })
    return undefined
  } catch (error) {
    return readErrorDetail(error as grpc.ServiceError)?.code
  }
}

/** Commands that changed something, or tried to, and what became of them. */
function history(): string[] {
  const lines = readFileSync(join(home.directory, '.local', 'state', 'raftctl', 'history.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
  return lines.map((line) => JSON.parse(line)).map(({ command, outcome }) => `${command} ${outcome}`)
}

function rows(document: Document, group: string): Document['data'][] {
  return document.data.groups.filter((row: { group: string }) => row.group === group)
}

test('a group that is created in running nodes takes writes at once, is finished by the same command, and is there after a restart', async () => {
  const [n1, n2, n3] = cluster.nodes as [TestNode, TestNode, TestNode]
  await n3.signal('SIGKILL')
  const early = await raftctl('group', 'create', 'orders')
  assert.is(early.exitCode, 5, 'a founder is away')
  n3.start()
  await eventually('n3', () => groupOn(n3, 'kv'))
  const founders = cluster.nodes.map(({ peerId }) => peerId)
  assert.is(await refusal(n1, { group: 'kv', founders }), 'E_EXISTS', 'the group that the nodes were started with')
  assert.is(await refusal(n1, { group: 'count', machine: 'counter', founders }), 'E_UNSUPPORTED')
  assert.is(await refusal(n1, { group: 'theirs', founders: founders.slice(1) }), 'E_USAGE', 'it is no founder itself')
  await n1.control.call('CreateGroup', { group: 'orders', machine: 'kv', uid: 'e'.repeat(32), founders }, { timeoutMs: 2000 })
  const [half] = rows(await raftctl('group', 'list'), 'orders')
  assert.equal([half.state, half.missing], ['founding', ['n2', 'n3']])

  const finished = await raftctl('group', 'create', 'orders')
  assert.equal(
    finished.data.nodes.map((node: { as: string; created: boolean }) => [node.as, node.created]),
    [
      ['here', false],
      ['founder', true],
      ['founder', true],
    ],
  )
  assert.is(finished.data.uid, 'e'.repeat(32))
  assert.is((await raftctl('group', 'create', 'orders', '--members', 'n1,n2')).exitCode, 8, 'other members')
  assert.ok((await raftctl('kv', 'put', 'a', '1', '-g', 'orders')).ok)

  for (const node of cluster.nodes) await node.signal('SIGKILL')
  for (const node of cluster.nodes) node.start()
  await eventually('orders led again', async () => rows(await raftctl('group', 'list'), 'orders')[0]?.state === 'ok')
  assert.is((await raftctl('kv', 'get', 'a', '-g', 'orders')).data.value, '1')
  const status = await n2.control.call('GetNodeStatus', { group: 'orders' }, { timeoutMs: 1000 })
  assert.ok(status.data_dir.endsWith('/groups/orders'), status.data_dir)
})

test('a group that is removed while a node is away and created anew does not meet its former life', async () => {
  const [n1, n2, n3] = cluster.nodes as [TestNode, TestNode, TestNode]
  assert.is((await raftctl('group', 'remove', 'orders', '--yes')).exitCode, 12, 'it holds something')
  assert.is((await raftctl('group', 'remove', 'orders', '--node', 'n3', '--confirm', 'orders')).exitCode, 6, 'n3 is a member')
  await n3.signal('SIGKILL')
  assert.is((await raftctl('group', 'remove', 'orders', '--confirm', 'orders')).exitCode, 5)
  const removed = await raftctl('group', 'remove', 'orders', '--confirm', 'orders', '--force')
  assert.is(removed.exitCode, 11)
  assert.is(removed.data.entries > 0, true)
  assert.equal([await groupOn(n1, 'orders'), await groupOn(n2, 'orders')], [undefined, undefined])

  const creation = join(home.directory, 'create.json')
  assert.ok((await raftctl('group', 'create', 'orders', '--members', 'n1,n2', '--plan-out', creation)).ok)
  assert.is(await groupOn(n1, 'orders'), undefined, 'it is only planned')
  const applied = await raftctl('apply', creation)
  assert.is(applied.data.result.uid, JSON.parse(readFileSync(creation, 'utf8')).action.create.uid)
  assert.is((await raftctl('apply', creation)).error.code, 'E_PLAN_STALE')
  assert.ok((await raftctl('kv', 'put', 'b', '2', '-g', 'orders')).ok)
  n3.start()
  // It asks for votes by what it knew: the group of now must not hear it.
  await eventually('the old life of the group on n3', async () => (await groupOn(n3, 'orders'))?.uid === 'e'.repeat(32))
  assert.is((await raftctl('group', 'create', 'orders')).exitCode, 8, 'two groups of one name')
  const lives = rows(await raftctl('group', 'list'), 'orders')
  assert.equal(lives.map(({ hosts }: { hosts: string[] }) => hosts.length).sort(), [1, 2])
  assert.ok((await raftctl('group', 'remove', 'orders', '--node', 'n3', '--confirm', 'orders')).ok)

  assert.ok((await raftctl('group', 'create', 'orders', '--host', n3.address)).ok)
  assert.ok((await raftctl('member', 'add', `n3=${n3.address}`, '-g', 'orders', '--yes')).ok)
  const [row] = rows(await raftctl('group', 'list'), 'orders')
  assert.equal([row.state, [...row.members].sort(), row.problems], ['ok', ['n1', 'n2', 'n3'], []])
  assert.is((await raftctl('kv', 'get', 'a', '-g', 'orders')).exitCode, 7, 'what the former life held')

  assert.ok((await raftctl('member', 'remove', 'n3', '-g', 'orders', '--yes')).ok)
  await eventually('n3 to run it no more', async () => (await groupOn(n3, 'orders'))?.problem.startsWith('this node was removed'))
  assert.is((await n3.status()).group, 'kv', 'its other group goes on')
  const removal = join(home.directory, 'remove.json')
  assert.ok((await raftctl('group', 'remove', 'orders', '--plan-out', removal)).ok)
  assert.is((await raftctl('apply', removal, '--yes')).exitCode, 12, 'it asks for the name of the group')
  assert.ok((await raftctl('apply', removal, '--confirm', 'orders')).ok)
  assert.is(await groupOn(n1, 'orders'), undefined)
  const groupLines = history().filter((line) => line.startsWith('group'))
  assert.equal(groupLines, [
    ...['group create ok', 'group remove E_PARTIAL', 'group create ok', 'group remove ok', 'group create ok', 'group remove ok'],
  ])
})

test.run()
