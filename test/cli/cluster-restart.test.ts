// `cluster restart` of real nodes, under load, and what it refuses.
// timeout: 300s
import { renameSync, writeFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KvClient } from '../../src/machines/kv/client.js'
import { Load, missing } from '../process/node-cluster.js'
import { type Document, documentOf, freePorts, isAlive, LocalClusters } from '../support/local-clusters.js'
import { problemsOf } from '../support/schemas.js'

const test = suite('cluster restart')
const home = new LocalClusters('warm')
let port = 0

test.before(async () => {
  port = await freePorts(3)
  const { exitCode, error } = await home.json(['cluster', 'start', '--base-port', String(port)])
  assert.is(exitCode, 0, error?.message)
})
test.after(() => home.remove())

const endpoints = () => [0, 1, 2].map((n) => `127.0.0.1:${port + n}`)
const client = () => new KvClient({ endpoints: endpoints(), timeoutMs: 15_000, connectTimeoutMs: 1000 })
const pids = () => home.state('dev').nodes.map((node) => node.pid)

/** Longer than `run` waits. */
async function patient(...args: string[]): Promise<Document> {
  const one = home.spawn([...args, '--json'])
  const exitCode = (await one.ended) ?? -1
  return documentOf({ exitCode, stdout: one.stdout(), stderr: one.stderr() }, args)
}

test('a rolling restart under load: every node new, the leader last after handing over, 0 failed writes, none lost', async () => {
  const before = pids()
  const led = (await home.json(['status'])).data.leader as string
  const load = new Load([client(), client(), client()], 'rolling')
  await load.more(50)
  const { exitCode, data, error } = await patient('cluster', 'restart', '--rolling')
  await load.more(50)
  const acknowledged = await load.stop()
  assert.is(exitCode, 0, error?.message)
  assert.equal(
    data.nodes.map((node: { outcome: string }) => node.outcome),
    ['restarted', 'restarted', 'restarted'],
  )
  const former = data.nodes.find((node: { id: string }) => node.id === led)
  assert.ok(former.handedTo !== null && former.handedTo !== led)
  assert.is.not(data.leader, led)
  assert.equal([load.failures.map(String), data.writes.failed, data.writes.error], [[], 0, null])
  assert.ok(data.writes.writes > 0 && acknowledged.size > 100, `${data.writes.writes} and ${acknowledged.size} writes`)
  const after = pids()
  assert.ok(after.every((pid, at) => isAlive(pid) && pid !== before[at]))
  const reader = client()
  assert.equal(await missing(reader, 'rolling', acknowledged), [])
  assert.equal((await reader.list(Buffer.from('raftctl-probe/'), { limit: 10 })).items, [], 'the probe leaves no key')
  reader.close()
  assert.ok(problemsOf({ schema: 'raftctl.cluster.restart/1', ...{ data } } as never).length > 0)
})

test('one node only, and all at once; a document that lacks something fails', async () => {
  const before = pids()
  const one = await patient('cluster', 'restart', 'dev', '--node', 'n2', '--no-probe')
  assert.equal([one.exitCode, one.data.writes], [0, null])
  assert.equal(
    pids().map((pid, at) => pid === before[at]),
    [true, false, true],
  )
  const all = await patient('cluster', 'restart')
  assert.equal([all.exitCode, all.data.writes, all.data.nodes.length], [0, null, 3])
  assert.ok(pids().every((pid, at) => pid !== before[at]))
  const { handedTo: _, ...less } = all.data.nodes[0]
  assert.ok(problemsOf({ ...all, data: { ...all.data, nodes: [less] } } as never).length > 0)
})

test('exit 2 for two ways at once, 7 for what is not there', async () => {
  assert.is((await home.json(['cluster', 'restart', '--rolling', '--node', 'n1'])).exitCode, 2)
  const unknown = await home.json(['cluster', 'restart', 'nothere'])
  assert.equal([unknown.exitCode, unknown.error.code], [7, 'E_NO_CLUSTER'])
  assert.equal((await home.json(['cluster', 'restart', '--node', 'n9'])).error.code, 'E_NO_SUCH_NODE')
})

test('a node that does not come back is exit 11: the rows say which, and the others are not touched', async () => {
  const { leader } = (await home.json(['status'])).data
  const victim = home.state('dev').nodes.find((node) => node.name !== leader)!
  // Its directory cannot be opened at the next start; the node that runs has everything open already.
  renameSync(victim.dataDir, `${victim.dataDir}.saved`)
  writeFileSync(victim.dataDir, '')
  const { exitCode, error, data } = await patient('cluster', 'restart', '--rolling')
  assert.equal([exitCode, error.code, error.details.cause], [11, 'E_PARTIAL', 'E_DATA_DIR'], error.message)
  const outcomes = Object.fromEntries(data.nodes.map((node: { id: string; outcome: string }) => [node.id, node.outcome]))
  assert.is(outcomes[victim.name], 'failed')
  assert.is(outcomes[leader], 'untouched')
  assert.match(error.message, 'not touched')
})

test('a step that would leave no quorum is exit 6, without a quorum at all it is exit 4', async () => {
  const nodes = home.state('dev').nodes
  const up = nodes.filter((node) => isAlive(node.pid))
  assert.is(up.length, 2)
  const refused = await patient('cluster', 'restart', '--node', up[0]!.name)
  assert.equal([refused.exitCode, refused.error.code], [6, 'E_QUORUM_AT_RISK'])
  assert.match(refused.error.hint, '--force')
  assert.ok(isAlive(up[0]!.pid))
  process.kill(up[0]!.pid as number, 'SIGKILL')
  // A leader believes that it leads until its followers have been silent for an election timeout.
  while ((await home.json(['status'])).exitCode !== 4) await pause(50)
  const none = await patient('cluster', 'restart', '--rolling')
  assert.is(none.exitCode, 4)
  assert.ok(['E_NO_QUORUM', 'E_NO_LEADER'].includes(none.error.code))
})

test.run()
