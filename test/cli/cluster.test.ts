// The life of local clusters, with real processes: kill, pause, look, lose, stop, remove.
// timeout: 180s
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KvClient } from '../../src/machines/kv/client.js'
import { type Document, freePorts, isAlive, LocalClusters, until } from '../support/local-clusters.js'
import { problemsOf, readSchema } from '../support/schemas.js'

const test = suite<{ home: LocalClusters; port: number }>('cluster')

/** One cluster for all tests that leave it whole. */
const home = new LocalClusters('warm')
let port = 0

test.before(async () => {
  port = await freePorts(3)
  const { exitCode, stderr } = await home.run(['cluster', 'start', '--base-port', String(port)])
  assert.is(exitCode, 0, stderr)
})

test.after(() => home.remove())

interface NodeRow {
  readonly id: string
  readonly state: string
  readonly pid: number | null
  readonly uptimeMs: number | null
}

async function info(): Promise<{ state: string; leader: string | null; nodes: NodeRow[] }> {
  return (await home.json(['cluster', 'info', 'dev'])).data
}

async function start(): Promise<Document> {
  return home.json(['cluster', 'start'])
}

function client(): KvClient {
  return new KvClient({ endpoints: home.state('dev').nodes.map((node) => `127.0.0.1:${node.port}`) })
}

test('every key is there after all nodes were killed and started again', async () => {
  const keys = Array.from({ length: 200 }, (_, i) => `key-${i}`)
  const writing = client()
  await Promise.all(keys.map((key) => writing.put(Buffer.from(key), Buffer.from(`value of ${key}`))))
  writing.close()
  const leader = (await info()).leader
  const order = ['n1', 'n2', 'n3'].sort((a, b) => Number(b === leader) - Number(a === leader))
  const killed: Document[] = []
  for (const name of order) killed.push(await home.json(['cluster', 'kill', name]))
  assert.equal(
    killed.map((one) => [one.exitCode, one.data.node, one.data.running]),
    order.map((name, i) => [0, name, 2 - i]),
  )
  const [first, second, third] = killed as [Document, Document, Document]
  assert.equal([first.data.led, first.data.leader !== leader, first.data.electedAfterMs > 0, first.warnings], [true, true, true, []])
  assert.match(second.warnings[0]!, '1 of 3 nodes run: no quorum')
  assert.match(third.warnings[0]!, '0 of 3 nodes run: no quorum')
  assert.equal(home.processes(), [])
  const down = await info()
  assert.equal([down.state, down.leader, ...down.nodes.map((node) => node.state)], ['stopped', null, 'stopped', 'stopped', 'stopped'])
  const again = await home.json(['cluster', 'kill', 'n1'])
  assert.equal([again.exitCode, again.error.code, again.error.details.state], [7, 'E_NO_SUCH_NODE', 'stopped'])

  const started = await start()
  assert.equal([started.exitCode, started.data.created, started.warnings], [0, false, []])
  assert.ok(started.data.electedAfterMs > 0)
  const reading = client()
  for (const key of keys) assert.is((await reading.get(Buffer.from(key))).item?.value.toString(), `value of ${key}`)
  reading.close()
  const { exitCode, stdout } = await home.run(['kv', 'get', 'key-7'])
  assert.equal([exitCode, stdout], [0, 'value of key-7'])
})

test('a node that is not there is exit 7 with the likely name', async () => {
  const nodes = await Promise.all(['kill', 'pause', 'resume', 'logs'].map((verb) => home.json(['cluster', verb, 'n9'])))
  for (const { exitCode, error } of nodes) {
    assert.equal([exitCode, error.code, error.hint], [7, 'E_NO_SUCH_NODE', 'nodes: n1, n2, n3'])
    assert.match(error.message, 'did you mean n')
  }
  const clusters = await Promise.all(['info', 'stop', 'rm'].map((verb) => home.json(['cluster', verb, 'dve'])))
  for (const { exitCode, error } of clusters) {
    assert.equal([exitCode, error.code], [7, 'E_NO_CLUSTER'])
    assert.match(error.message, 'did you mean dev?')
  }
})

test('a process that is gone is shown as stale, and the next start says so and goes on', async () => {
  const [node] = home.state('dev').nodes
  process.kill(node!.pid!, 'SIGKILL')
  await until(() => !isAlive(node!.pid), 'the end of n1')
  const seen = await info()
  assert.equal([seen.state, seen.nodes[0]!.state, seen.nodes[0]!.uptimeMs], ['partial', 'stale', null])
  assert.ok(seen.nodes[1]!.uptimeMs! > 0)
  const { exitCode, data, warnings } = await start()
  assert.is(exitCode, 0)
  assert.equal(warnings, [`n1: its process ${node!.pid} is gone without having been stopped; started it again`])
  assert.equal(
    data.nodes.map((one: { outcome: string }) => one.outcome),
    ['started', 'running', 'running'],
  )
  assert.ok(isAlive(home.state('dev').nodes[0]!.pid))
})

test('a pid that belongs to somebody else now is not the node', async () => {
  const file = join(home.clusters, 'dev', 'state.json')
  const before = readFileSync(file, 'utf8')
  const state = JSON.parse(before)
  state.nodes[1].pid = process.pid
  writeFileSync(file, JSON.stringify(state))
  assert.is((await info()).nodes[1]!.state, 'stale')
  const { exitCode, error } = await home.json(['cluster', 'kill', 'n2'])
  assert.equal([exitCode, error.details.state], [7, 'stale'])
  // The real n2 still holds its port.
  const refused = await start()
  assert.equal([refused.exitCode, refused.error.code, refused.error.details], [6, 'E_PORT', { node: 'n2', port: port + 1 }])
  assert.equal(
    refused.data.nodes.map((one: { outcome: string }) => one.outcome),
    ['running', 'failed', 'running'],
  )
  assert.ok(refused.data.leader, 'the others go on')
  writeFileSync(file, before)
})

test('a paused leader is followed by another, and goes on when resumed', async () => {
  const { leader } = await info()
  const paused = await home.run(['cluster', 'pause', leader!])
  assert.is(paused.exitCode, 0, paused.stderr)
  assert.match(paused.stdout, new RegExp(`^paused ${leader} \\(leader\\) → n[123] elected in \\d+ ms \\(term \\d+\\)\\n$`))
  const seen = await info()
  assert.is(seen.nodes.find((node) => node.id === leader)!.state, 'paused')
  assert.is.not(seen.leader, leader)
  const again = await start()
  assert.match(again.warnings[0]!, `${leader} is paused`)
  assert.equal((await home.json(['cluster', 'resume', leader!])).data, { node: leader, wasPaused: true })
  assert.equal((await home.json(['cluster', 'resume', leader!])).data, { node: leader, wasPaused: false })
  assert.is((await info()).nodes.find((node) => node.id === leader)!.state, 'running')
})

test('pausing is the same document', async () => {
  const { leader } = await info()
  const follower = ['n1', 'n2', 'n3'].find((name) => name !== leader)!
  const { exitCode, data } = await home.json(['cluster', 'pause', follower])
  assert.equal([exitCode, data.led, data.leader, data.electedAfterMs, data.running], [0, false, leader, null, 2])
  await home.json(['cluster', 'resume', follower])
})

test('logs come merged in order of time, by node, level and pattern', async () => {
  const { data } = await home.json(['cluster', 'logs'])
  const lines = data.lines as { node: string; timeMs: number; level: string; message: string }[]
  assert.equal([...new Set(lines.map((line) => line.node))].sort(), ['n1', 'n2', 'n3'])
  for (let i = 1; i < lines.length; i++) assert.ok(lines[i]!.timeMs >= lines[i - 1]!.timeMs)
  const one = (await home.json(['cluster', 'logs', 'n2', '--grep', '"msg":"(ELECTION|leader)', '--level', 'info'])).data
    .lines as typeof lines
  assert.ok(one.length > 0)
  assert.ok(one.every((line) => line.node === 'n2' && /election|leader/.test(line.message)))
  assert.ok(lines.filter((line) => line.level === 'warn').length > 0)
  assert.ok((await home.json(['cluster', 'logs', '--level', 'warn'])).data.lines.every((line: { level: string }) => line.level !== 'info'))
  assert.equal((await home.json(['cluster', 'logs', '--since', '0'])).data.lines, [])
  assert.is((await home.json(['cluster', 'logs', '--grep', '('])).exitCode, 2)
  const text = await home.run(['cluster', 'logs', 'n1', '--grep', 'process.ready'])
  assert.match(text.stdout, /^\d\d:\d\d:\d\d\.\d{3} {2}n1 {3}info {3}process\.ready {2}clusterId=/m)
})

test('logs -f goes on with new lines, one document a line with --json, and ends on SIGINT', async () => {
  const following = home.spawn(['cluster', 'logs', 'n3', '-f', '--json', '--grep', 'process'])
  await until(() => following.stdout().includes('process.ready'), 'the lines that are there')
  const before = following.stdout().length
  await home.json(['cluster', 'kill', 'n3', '--signal', 'TERM'])
  await until(() => following.stdout().slice(before).includes('process.stopped'), 'the lines that follow')
  following.child.kill('SIGINT')
  assert.is(await following.ended, 130)
  const { $schema: _schema, ...schema } = readSchema('cluster.log-line.schema.json')
  assert.is(schema.$id, 'urn:raftctl:cluster:log-line:1')
  for (const line of following.stdout().trimEnd().split('\n')) {
    const document = {
      schema: 'raftctl.cluster.logs/1',
      ok: true,
      exitCode: 0,
      context: null,
      clusterId: null,
      data: { lines: [JSON.parse(line)] },
      warnings: [],
    }
    assert.equal(problemsOf(document), [])
  }
  assert.is((await info()).nodes[2]!.state, 'stopped', 'SIGTERM is waited for too')
  assert.is((await start()).exitCode, 0)
})

test('logs whose reader has gone end quietly', async () => {
  const following = home.spawn(['cluster', 'logs', '-f'])
  await until(() => following.stdout().length > 0, 'the first lines')
  following.child.stdout!.destroy()
  await home.json(['cluster', 'resume', 'n1'])
  process.kill(home.state('dev').nodes[2]!.pid!, 'SIGTERM')
  assert.is(await following.ended, 0, following.stderr())
  assert.is(following.stderr(), '')
  await until(() => !isAlive(home.state('dev').nodes[2]!.pid), 'the end of n3')
  assert.is((await start()).exitCode, 0)
})

test('stop keeps the data, twice is the same, and what does not stop in time is killed', async () => {
  process.kill(home.state('dev').nodes[1]!.pid!, 'SIGSTOP')
  const { exitCode, data } = await home.json(['cluster', 'stop', '--grace', '0'])
  assert.is(exitCode, 0)
  assert.equal(data.clusters[0].nodes.length, 3)
  assert.ok(data.clusters[0].nodes.every((node: { outcome: string }) => ['stopped', 'killed'].includes(node.outcome)))
  assert.equal(home.processes(), [])
  const again = await home.run(['cluster', 'stop'])
  assert.equal([again.exitCode, again.stdout], [0, `dev was stopped already (data in ${join('~', 'share/raftctl/clusters/dev')})\n`])
  assert.ok(home.state('dev').nodes.every((node) => existsSync(node.dataDir) && node.pid === null))
  const all = await home.json(['cluster', 'stop', '--all'])
  assert.equal(
    all.data.clusters[0].nodes.map((node: { outcome: string }) => node.outcome),
    ['was-stopped', 'was-stopped', 'was-stopped'],
  )
})

test('a damaged directory is exit 10, and the others serve', async () => {
  const node = home.state('dev').nodes[0]!
  const log = join(node.dataDir, 'log')
  const segment = join(log, readdirSync(log).find((file) => file.startsWith('log_0') || file.startsWith('log_in'))!)
  const bytes = readFileSync(segment)
  const damaged = Buffer.from(bytes)
  damaged[40]! ^= 0xff
  writeFileSync(segment, damaged)
  const { exitCode, error, data } = await start()
  assert.equal([exitCode, error.code], [10, 'E_CORRUPT'], error.message)
  assert.match(error.message, /^n1: /)
  assert.equal(
    data.nodes.map((one: { outcome: string }) => one.outcome),
    ['failed', 'started', 'started'],
  )
  assert.ok(data.leader)
  assert.is(home.state('dev').nodes[0]!.pid, null)
  assert.is((await home.run(['kv', 'put', 'while', 'damaged'])).exitCode, 0)
  writeFileSync(segment, bytes)
  assert.is((await start()).exitCode, 0)
})

test('a node whose directory was wiped is rebuilt by cluster start; with a majority wiped nobody may vote: exit 4, with why', async () => {
  const { leader } = await info()
  const victim = home.state('dev').nodes.find((node) => node.name !== leader)!
  const incarnationOf = (dataDir: string) => JSON.parse(readFileSync(join(dataDir, 'raftctl', 'node.json'), 'utf8')).incarnation
  await home.json(['cluster', 'kill', victim.name])
  const saved = `${victim.dataDir}.saved`
  renameSync(victim.dataDir, saved)
  assert.is((await home.run(['kv', 'put', 'two', 'of three'])).exitCode, 0)
  const rebuilt = await start()
  assert.equal(
    [rebuilt.exitCode, rebuilt.warnings],
    [0, [`${victim.name} has no data any more: it counts only once it holds what the others send it`]],
  )
  assert.ok(argumentsOf(victim.name).includes('--rebuild'))
  const wait = await home.json(['wait', `member=${victim.name}:caught-up`, '--for', '15s'])
  assert.is(wait.exitCode, 0, wait.error?.message)
  assert.is.not(incarnationOf(victim.dataDir), incarnationOf(saved))
  // Started once more it is a member like any other: only an empty directory is rebuilt.
  await home.json(['cluster', 'kill', victim.name])
  assert.equal([(await start()).exitCode, argumentsOf(victim.name).includes('--rebuild')], [0, false])
  rmSync(saved, { recursive: true })

  await home.json(['cluster', 'stop'])
  const nodes = home.state('dev').nodes
  for (const { dataDir } of nodes.slice(0, 2)) renameSync(dataDir, `${dataDir}.saved`)
  const { exitCode, error } = await start()
  assert.equal([exitCode, error.code, error.details.lost], [4, 'E_NO_QUORUM', ['n1', 'n2']])
  assert.match(error.message, '1 of 3 voters is left, and 2 are needed to lead')
  assert.match(error.hint, 'Put the directories back')
  assert.equal((await home.json(['cluster', 'restart'])).error.code, 'E_NO_QUORUM')
  assert.equal(home.processes(), [], 'nothing was started')
  for (const { dataDir } of nodes.slice(0, 2)) renameSync(`${dataDir}.saved`, dataDir)
  assert.is((await start()).exitCode, 0)
})

test('--dry-run on a cluster that runs says what is up, and status advises to resume what is paused', async () => {
  const plan = await home.json(['cluster', 'start', '--dry-run'])
  assert.equal(
    plan.data.nodes.map((node: { outcome: string }) => node.outcome),
    ['running', 'running', 'running'],
  )
  assert.match((await home.run(['cluster', 'start', '--dry-run'])).stdout, 'dev runs already, nothing would be started')
  const { leader } = await info()
  const [paused, down] = home.state('dev').nodes.filter((node) => node.name !== leader)
  await home.json(['cluster', 'pause', paused!.name])
  const text = await home.run(['status', '--timeout', '1s', '--connect-timeout', '500ms'])
  assert.match(text.stdout, `raftctl cluster resume ${paused!.name} --name dev`)
  assert.not.match(text.stdout, 'raftctl cluster start')
  await home.json(['cluster', 'resume', paused!.name])
  await home.json(['cluster', 'kill', down!.name])
  assert.match((await home.run(['cluster', 'start', '--dry-run'])).stdout, `would start ${down!.name} of dev`)
  assert.is((await start()).exitCode, 0)
})

test('with the data of all nodes gone nothing is founded anew', async () => {
  await home.json(['cluster', 'stop'])
  for (const { dataDir } of home.state('dev').nodes) rmSync(dataDir, { recursive: true })
  const { exitCode, error } = await start()
  assert.equal([exitCode, error.code], [6, 'E_NEEDS_REBUILD'])
  assert.match(error.hint, 'raftctl cluster rm dev')
  assert.equal(home.processes(), [])
})

function argumentsOf(name: string): readonly string[] {
  return (home.state('dev').nodes.find((node) => node.name === name) as unknown as { argv: string[] }).argv
}

test('a state file that cannot be read is named, and does not hide the other clusters', async () => {
  const file = join(home.clusters, 'dev', 'state.json')
  const before = readFileSync(file, 'utf8')
  writeFileSync(file, '{ half')
  const broken = await home.json(['cluster', 'info', 'dev'])
  assert.equal([broken.exitCode, broken.error.code], [2, 'E_CONFIG'])
  const list = await home.json(['cluster', 'ls'])
  assert.equal([list.exitCode, list.data.clusters, list.warnings.length], [0, [], 1])
  writeFileSync(file, before)
})

test('rm asks first, takes everything, and leaves what was never its own', async () => {
  const asked = await home.json(['cluster', 'rm', 'dev'])
  assert.equal([asked.exitCode, asked.error.code, asked.error.details.flag], [12, 'E_NOT_CONFIRMED', '--yes'])
  assert.is((await home.run(['cluster', 'rm', 'dev'])).exitCode, 12)
  writeFileSync(join(home.clusters, 'dev', 'notes.txt'), 'mine')
  const directories = home.state('dev').nodes.map((node) => join(node.logFile, '..'))
  const removed = await home.json(['cluster', 'rm', 'dev', '--yes'])
  assert.equal([removed.exitCode, removed.data.directories], [0, directories])
  assert.ok(removed.data.freedBytes > 0)
  assert.equal(readdirSync(join(home.clusters, 'dev')), ['notes.txt'])
  assert.not.ok(existsSync(home.contextFile('dev')))
  assert.equal((await home.json(['cluster', 'ls'])).data.clusters, [])
})

test('rm --keep-data forgets the cluster and keeps its directories; it is not taken for a new one', async () => {
  const dir = join(home.directory, 'kept')
  const args = ['cluster', 'start', '--name', 'kept', '--nodes', '1', '--base-port', String(port), '--dir', dir]
  assert.is((await home.json(args)).exitCode, 0)
  const removed = await home.json(['cluster', 'rm', 'kept', '--keep-data', '--yes'])
  assert.equal([removed.exitCode, removed.data.directories, removed.data.freedBytes], [0, [], 0])
  assert.equal(home.processes(), [])
  assert.ok(existsSync(join(dir, 'n1', 'data', 'raftctl')))
  const again = await home.json(args)
  assert.equal([again.exitCode, again.error.code], [6, 'E_DATA_DIR'])
  assert.match(again.error.message, 'holds files already')
})

test.run()
