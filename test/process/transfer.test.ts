// alone: up to five nodes and their clients need the machine
// timeout: 120s
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CliHome } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'
import { eventually, Load, missing, TestCluster, type TestNode } from './node-cluster.js'

const home = new CliHome('warm')
const clusters: TestCluster[] = []
const loads: Load[] = []

test.after(async () => {
  await Promise.all(loads.map((load) => load.stop()))
  await Promise.all(clusters.map((cluster) => cluster.close()))
  home.remove()
})

async function start(count: number, flags: readonly string[] = []): Promise<TestCluster> {
  const cluster = await TestCluster.start(count, flags)
  clusters.push(cluster)
  return cluster
}

interface Moved {
  readonly from: { readonly id: string }
  readonly to: { readonly id: string }
  readonly termBefore: number
  readonly termAfter: number
  readonly gapMs: number | null
  readonly pausedMs: number | null
}

/** `leader transfer` or `step-down`, asked of one node. */
async function leader(words: readonly string[], node: TestNode): Promise<{ exitCode: number; data: Moved; error?: { message: string } }> {
  const run = await home.run(['leader', ...words, '-e', node.address, '--json'])
  const document = JSON.parse(run.stdout)
  assert.equal(problemsOf(document), [])
  return document
}

test('pain 10: a transfer under load, asked of a follower by name, loses no acknowledged write and prints the gap', async () => {
  const cluster = await start(3)
  const load = new Load([cluster.client(10_000), cluster.client(10_000), cluster.client(10_000), cluster.client(10_000)], 'moved')
  loads.push(load)
  await load.more(200)
  for (let round = 0; round < 3; round++) {
    const old = await cluster.leader()
    const [target, other] = cluster.others(old)
    const { exitCode, data } = await leader(['transfer', target!.name], other!)
    assert.is(exitCode, 0)
    assert.equal([data.from.id, data.to.id, data.termAfter > data.termBefore], [old.name, target!.name, true])
    assert.ok(data.gapMs !== null && data.pausedMs !== null)
    console.log(`      ${data.from.id} → ${data.to.id} under load: gap ${data.gapMs} ms, writes paused ${data.pausedMs} ms`)
    assert.is(await cluster.leader(), target)
    await load.more(200)
  }
  const acknowledged = await load.stop()
  assert.equal(load.failures, [])
  const reader = cluster.client()
  assert.equal(await missing(reader, 'moved', acknowledged), [])
  reader.close()
})

test('a target that does not answer is refused at once, and step-down takes another', async () => {
  const cluster = clusters[0]!
  const old = await cluster.leader()
  const [silent, other] = cluster.others(old)
  silent!.pause()
  await eventually('the leader to miss it', async () => {
    const progress = (await old.status()).progress!.find((peer) => peer.peer_id === silent!.peerId)!
    return Number(progress.last_contact_ms ?? 0) > 1000
  })
  const refused = await home.run([
    'leader',
    'transfer',
    silent!.name,
    '-e',
    old.address,
    '--connect-timeout',
    '300ms',
    '--timeout',
    '500ms',
  ])
  assert.is(refused.exitCode, 6)
  assert.match(refused.stderr, `E_NOT_CAUGHT_UP  ${silent!.name} does not answer the leader`)
  assert.is(await cluster.leader([old, other!]), old)
  const { data } = await leader(['step-down', '--connect-timeout', '300ms', '--timeout', '2s'], old)
  assert.is(data.to.id, other!.name)
  silent!.resume()
})

test('without a quorum a transfer is exit 4', async () => {
  const cluster = clusters[0]!
  const old = await cluster.leader()
  for (const node of cluster.others(old)) await node.signal('SIGKILL')
  await eventually('the leader to step down', async () => (await old.status()).state !== 'LEADER')
  const { exitCode } = await leader(['transfer'], old)
  assert.is(exitCode, 4)
  for (const node of cluster.others(old)) node.start()
  await cluster.leader()
})

test('five nodes hand over without waiting for stickiness: their election timeout is longer than the transfer may take', async () => {
  const cluster = await start(5, ['--election-timeout', '3000ms'])
  const old = await cluster.leader()
  const [, , target, , asked] = [old, ...cluster.others(old)]
  const { exitCode, data } = await leader(['transfer', target!.name, '--timeout', '2s'], asked!)
  assert.is(exitCode, 0)
  console.log(`      five nodes, idle: writes paused ${data.pausedMs} ms`)
  assert.is(await cluster.leader(), target)
})

test.run()
