// alone: three nodes and their clients need the machine
// timeout: 120s
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CliHome } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'
import { Load, TestCluster } from './node-cluster.js'

const cluster = await TestCluster.start(3)
const home = new CliHome('warm')

test.after(async () => {
  await cluster.close()
  home.remove()
})

async function run<Data>(words: readonly string[]) {
  const { stdout, exitCode } = await home.run([...words, '--json'])
  const document = JSON.parse(stdout) as { data: Data; exitCode: number; error?: { code: string; message: string } }
  assert.equal(problemsOf(document as never), [])
  assert.is(document.exitCode, exitCode)
  return document
}

interface Saved {
  readonly index: number
  readonly node: { readonly id: string }
  readonly sha256: string
  readonly state: { readonly keys: number; readonly sha256: string }
  readonly replayedHash?: string
}

const endpoints = () => ['-e', cluster.nodes.map((node) => node.address).join(',')]

test('pain 13: a follower saves under load what inspect, verify and a replay then find whole; a flipped bit is found at its offset', async () => {
  const load = new Load([cluster.client(), cluster.client()], 'save/me')
  await load.more(300)
  const file = join(home.directory, 'dev.snap')
  const saved = await run<Saved>(['snapshot', 'save', file, ...endpoints()])
  assert.is(saved.exitCode, 0)
  await load.stop()
  const leader = await cluster.leader()
  assert.is.not(saved.data.node.id, leader.name)
  assert.ok(saved.data.state.keys >= 300)

  const inspected = await run<{ prefixes: { prefix: string; keys: number }[] }>(['snapshot', 'inspect', file, '--depth', '2'])
  assert.equal([inspected.data.prefixes[0]!.prefix, inspected.data.prefixes[0]!.keys], ['save/me/', saved.data.state.keys])
  const verified = await run<Saved>(['snapshot', 'verify', file, '--replay'])
  assert.is(verified.data.replayedHash, saved.data.state.sha256)

  const bytes = readFileSync(file)
  bytes[bytes.length - 3000]! ^= 0x10
  writeFileSync(file, bytes)
  const damaged = await home.run(['snapshot', 'verify', file])
  assert.is(damaged.exitCode, 10)
  assert.match(damaged.stderr, /E_CORRUPT {2}.*dev\.snap: .*at byte \d+/)
  rmSync(file)
})

test('every member takes a snapshot, the list names them, and the log before it is gone', async () => {
  const taken = await run<{ nodes: { id: string; snapshot: { index: number } }[] }>(['snapshot', 'create', '--all', ...endpoints()])
  assert.is(taken.exitCode, 0)
  const listed = await run<{ nodes: { id: string; snapshot: { index: number; bytes: number; checksum: string } }[] }>([
    'snapshot',
    'list',
    ...endpoints(),
  ])
  for (const [at, node] of cluster.nodes.entries()) {
    const { snapshot } = listed.data.nodes[at]!
    assert.is(snapshot.index, taken.data.nodes[at]!.snapshot.index)
    assert.ok(snapshot.bytes > 0 && snapshot.checksum.startsWith('crc32c:'))
    assert.is(Number((await node.status()).snapshot!.index), snapshot.index)
  }
})

interface Compared {
  readonly equal: number
  readonly members: readonly { readonly id: string; readonly verdict: string; readonly reason: string | null }[]
}

test('all members of a healthy cluster are equal, while it is written to', async () => {
  const load = new Load([cluster.client()], 'meanwhile')
  await load.more(50)
  const { exitCode, data } = await run<Compared>(['check', 'consistency', ...endpoints()])
  await load.stop()
  assert.equal([exitCode, data.equal], [0, 3])
})

interface Judged {
  readonly writes: number
  readonly checks: readonly { readonly check: string; readonly verdict: string }[]
  readonly keys: { readonly prefix: string; readonly removed: number; readonly left: number }
}

test('check perf passes what may take any time, fails what may take none, and takes its keys away', async () => {
  const patient = ['--duration', '1s', '--min-throughput', '1', '--max-latency', '60s', '--max-leader-changes', '100', ...endpoints()]
  const passed = await run<Judged>(['check', 'perf', '--max-p99', '60s', ...patient])
  assert.is(passed.exitCode, 0)
  assert.equal([passed.data.checks.map(({ verdict }) => verdict).join(), passed.data.keys.left], ['pass,pass,pass,pass,pass', 0])
  assert.ok(passed.data.writes > 0 && passed.data.keys.removed > 0)
  const failed = await run<Judged>(['check', 'perf', '--max-p99', '1us', ...patient])
  assert.equal([failed.exitCode, failed.error?.code], [3, 'E_UNHEALTHY'])
  assert.equal(
    failed.data.checks.filter(({ verdict }) => verdict === 'fail').map(({ check }) => check),
    ['p99'],
  )
  const left = await run<{ count: number }>(['kv', 'list', 'raftctl-check/', ...endpoints()])
  assert.is(left.data.count, 0)
})

test('a stopped member is unknown, never equal: exit 11', async () => {
  const leader = await cluster.leader()
  const stopped = cluster.others(leader)[0]!
  await stopped.signal('SIGTERM')
  const { exitCode, data } = await run<Compared>(['check', 'consistency', '-e', leader.address])
  assert.is(exitCode, 11)
  assert.equal(
    data.members.filter((row) => row.verdict === 'unknown').map((row) => row.id),
    [stopped.name],
  )
  assert.is(data.equal, 2)
  stopped.start()
  assert.is((await home.run(['wait', 'healthy', '-e', leader.address])).exitCode, 0)
})

test('one byte flipped in one machine is found and the member named: exit 10', async () => {
  const leader = await cluster.leader()
  const odd = cluster.others(leader)[1]!
  await odd.faults({ flip_group: 'kv' })
  const { exitCode, data, error } = await run<Compared>(['check', 'consistency', ...endpoints()])
  assert.equal([exitCode, error!.code], [10, 'E_DIVERGED'])
  assert.equal(
    data.members.filter((row) => row.verdict === 'different').map((row) => row.id),
    [odd.name],
  )
  assert.match(error!.message, `${odd.name} holds another state`)
})

test.run()
