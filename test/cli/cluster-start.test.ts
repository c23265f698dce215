// `cluster start` with real processes: what it makes, and what it leaves behind when it cannot.
// timeout: 180s
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Document, freePorts, isAlive, LocalClusters, until } from '../support/local-clusters.js'

const test = suite<{ home: LocalClusters; port: number }>('cluster start')

test.before.each(async (context) => {
  context.home = new LocalClusters('warm')
  context.port = await freePorts(3)
})

test.after.each(({ home }) => home.remove())

const start = (port: number, ...more: string[]) => ['cluster', 'start', '--base-port', String(port), ...more]

function listen(port: number): Promise<Server> {
  const server = createServer()
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)))
}

/** Nothing runs, and of what was made only what was there before is left. */
function leavesNothing(home: LocalClusters, before: readonly string[]): void {
  assert.equal(home.processes(), [])
  assert.equal(home.files(), before)
}

test('gives three real nodes, a leader and a context, and a second start changes nothing', async ({ home, port }) => {
  const { exitCode, stdout, stderr } = await home.run(start(port))
  assert.is(exitCode, 0, stderr)
  assert.match(stdout, `✓ dev created · ports ${port}-${port + 2} · data ${join(home.clusters, 'dev').replace(home.directory, '~')}`)
  assert.match(stdout, /✓ leader n[123] elected in \d+ ms \(term \d+\)/)
  assert.match(stdout, /^NODE +ADDRESS +STATE +PID +METRICS +LOG$/m)
  assert.match(stderr, 'context dev selected')
  assert.match(stderr, 'try:  raftctl status')
  const { nodes, clusterId } = home.state('dev')
  assert.equal(
    nodes.map((node) => [node.name, node.port, isAlive(node.pid)]),
    [1, 2, 3].map((i) => [`n${i}`, port + i - 1, true]),
  )
  assert.is(new Set(nodes.map((node) => node.pid)).size, 3)
  for (const node of nodes) assert.ok(existsSync(node.dataDir))
  const context = JSON.parse(readFileSync(home.contextFile('dev'), 'utf8'))
  assert.equal([context.clusterId, context.playground, context.endpoints.length], [clusterId, true, 3])

  const again = await home.json(['cluster', 'start'])
  assert.is(again.exitCode, 0)
  assert.equal([again.data.created, again.data.electedAfterMs, again.warnings], [false, null, []])
  assert.equal(
    again.data.nodes.map((node: { outcome: string }) => node.outcome),
    ['running', 'running', 'running'],
  )
  assert.equal(
    again.data.nodes.map((node: { pid: number }) => node.pid),
    nodes.map((node) => node.pid),
  )
  assert.ok(again.data.leader)

  const others = [
    '--nodes 5',
    '--base-port 9000',
    '--dir /elsewhere',
    '--group other',
    '--no-enable-faults',
    '--ephemeral',
    '--election-timeout 2s',
  ]
  const refused = await Promise.all(others.map((other) => home.json(['cluster', 'start', ...other.split(' ')])))
  for (const [i, { exitCode, error }] of refused.entries()) {
    assert.equal([exitCode, error.code], [8, 'E_EXISTS'], others[i])
    assert.is(error.details.differences.length, 1, others[i])
  }
  assert.equal(
    home.state('dev').nodes.map((node) => node.pid),
    nodes.map((node) => node.pid),
  )
})

test('a second cluster runs beside the first, and a stopped one keeps its ports', async ({ home, port }) => {
  const first = await home.json(start(port, '--nodes', '1'))
  const second = await home.json(['cluster', 'start', '--name', 'two', '--nodes', '1'])
  assert.equal([first.exitCode, second.exitCode], [0, 0])
  assert.is.not(second.data.nodes[0].port, port)
  const { data } = await home.json(['cluster', 'ls'])
  assert.equal(
    data.clusters.map((one: { name: string; state: string }) => [one.name, one.state]),
    [
      ['dev', 'running'],
      ['two', 'running'],
    ],
  )
  // The last one started is the selected one, and what is not named means that.
  assert.is((await home.json(['cluster', 'info'])).data.name, 'two')
  assert.equal((await home.json(['cluster', 'stop', 'dev'])).data.clusters[0].nodes, [{ id: 'n1', outcome: 'stopped' }])
  const reserved = await home.json(start(port, '--name', 'three', '--nodes', '1'))
  assert.equal([reserved.exitCode, reserved.error.code, reserved.error.details.cluster], [6, 'E_PORT', 'dev'])
})

test('a stopped cluster drops and takes up the hooks for faults', async ({ home, port }) => {
  const enabled = () => home.state('dev').nodes.map((node) => (node as unknown as { argv: string[] }).argv.includes('--enable-faults'))
  await home.json(start(port, '--nodes', '1'))
  assert.equal(enabled(), [true])
  await home.json(['cluster', 'stop'])
  assert.is((await home.json(['cluster', 'start', '--no-enable-faults'])).exitCode, 0)
  assert.equal(enabled(), [false])
  const refused = await home.json(['chaos', 'delay', 'n1', '--ms', '1', '--for', '1s'])
  assert.equal([refused.exitCode, refused.error.code], [6, 'E_FAULTS_DISABLED'])
  assert.match(refused.error.hint, 'raftctl cluster stop dev && raftctl cluster start --name dev --enable-faults')
})

test('a busy port is exit 6 and leaves nothing behind', async ({ home, port }) => {
  const holder = await listen(port + 1)
  const before = home.files()
  try {
    const text = await home.run(start(port))
    assert.is(text.exitCode, 6)
    assert.is(text.stdout, '')
    assert.match(text.stderr, `E_PORT  port ${port + 1} on 127.0.0.1 cannot be used: it is in use`)
    const { error } = await home.json(start(port))
    assert.equal([error.code, error.details.port], ['E_PORT', port + 1])
  } finally {
    holder.close()
  }
  leavesNothing(home, before)
})

test('a node that refuses to start takes its new cluster with it', async ({ home, port }) => {
  const before = home.files()
  // Only the node looks at the name of its group. The leader that cannot come is not waited for: run() gives up after 20 s.
  const { exitCode, error } = await home.json(start(port, '--group', 'a b', '--dir', join('deep', 'er'), '--timeout', '60s'))
  assert.equal([exitCode, error.code], [2, 'E_USAGE'])
  assert.match(error.message, /^n[123]: --group "a b" is not allowed/)
  assert.is(error.hint, 'Use letters, digits, dot, dash and underscore.')
  leavesNothing(home, before)
})

test('a directory that cannot be written to is exit 6 and leaves nothing behind', async ({ home, port }) => {
  writeFileSync(join(home.directory, 'file'), '')
  const before = home.files()
  const below = join(home.directory, 'file', 'data')
  const dir = await home.json(start(port, '--dir', below))
  assert.equal([dir.exitCode, dir.error.code], [6, 'E_DATA_DIR'])
  assert.match(dir.error.message, 'file/data')
  const state = await home.json(start(port), { env: { XDG_DATA_HOME: below } })
  assert.equal([state.exitCode, state.error.code], [6, 'E_DATA_DIR'])
  const context = await home.json(start(port), { env: { XDG_CONFIG_HOME: below } })
  assert.equal([context.exitCode, context.error.code], [6, 'E_DATA_DIR'])
  leavesNothing(home, before)
})

test('files of somebody else are not taken for its own', async ({ home, port }) => {
  mkdirSync(join(home.directory, 'mine', 'n2'), { recursive: true })
  writeFileSync(join(home.directory, 'mine', 'n2', 'thesis.txt'), 'years of work')
  const before = home.files()
  const { exitCode, error } = await home.json(start(port, '--dir', 'mine'))
  assert.equal([exitCode, error.code], [6, 'E_DATA_DIR'])
  leavesNothing(home, before)
})

test('the context of another cluster is not overwritten', async ({ home, port }) => {
  mkdirSync(join(home.configHome, 'raftctl', 'contexts'), { recursive: true })
  const context = JSON.stringify({ endpoints: ['db1:7001'], clusterId: 'abc' })
  writeFileSync(home.contextFile('prod'), context)
  const before = home.files()
  const { exitCode, error } = await home.json(start(port, '--name', 'prod'))
  assert.equal([exitCode, error.code], [8, 'E_EXISTS'])
  assert.match(error.hint, '--no-context')
  assert.is((await home.json(start(port, '--name', 'prod', '--no-context', '--dry-run'))).exitCode, 0)
  assert.is(readFileSync(home.contextFile('prod'), 'utf8'), context)
  leavesNothing(home, before)
})

test('--dry-run says what it would do and does nothing', async ({ home, port }) => {
  const before = home.files()
  const { data } = await home.json(start(port, '--nodes', '2', '--dry-run'))
  assert.equal(
    [data.created, data.planned, data.nodes.length, data.nodes[0].outcome, data.nodes[1].port],
    [true, true, 2, 'planned', port + 1],
  )
  assert.match((await home.run(start(port, '--dry-run'))).stdout, `would create dev: 3 nodes on ports ${port}-${port + 2}`)
  leavesNothing(home, before)
})

test('names, counts and ports that cannot be are exit 2', async ({ home }) => {
  const bad = ['--name ../x', '--nodes 0', '--nodes 99', '--base-port 65535', '--base-port 0']
  // One after the other: of several at once, whoever makes a directory may find another in it when it would take it away.
  for (const flags of bad) assert.is((await home.json(['cluster', 'start', ...flags.split(' ')])).exitCode, 2, flags)
  leavesNothing(home, [])
})

test('two starts at once make one cluster', async ({ home, port }) => {
  const [one, other] = (await Promise.all([home.json(start(port)), home.json(start(port))])) as [Document, Document]
  assert.equal([one.exitCode, other.exitCode], [0, 0])
  assert.equal([one.data.created, other.data.created].sort(), [false, true])
  assert.equal(
    one.data.nodes.map((node: { pid: number }) => node.pid),
    other.data.nodes.map((node: { pid: number }) => node.pid),
  )
  assert.is(home.processes().length, 3)
})

test('the lock of a dead raftctl holds up nobody', async ({ home, port }) => {
  mkdirSync(home.clusters, { recursive: true })
  const lock = join(home.clusters, '.dev.lock')
  writeFileSync(lock, JSON.stringify({ pid: process.pid, processStart: 'another boot:1' }))
  const { exitCode } = await home.json(start(port, '--nodes', '1'))
  assert.is(exitCode, 0)
  assert.not.ok(existsSync(lock))
})

test('an interrupted start of a new cluster takes away what it began', async ({ home, port }) => {
  const before = home.files()
  const begun = home.spawn(start(port))
  await until(() => home.processes().length > 0, 'the first process')
  begun.child.kill('SIGINT')
  assert.is(await begun.ended, 130, begun.stderr())
  assert.is(begun.stdout(), '')
  leavesNothing(home, before)
})

test('no leader in time is exit 4 and leaves nothing behind', async ({ home, port }) => {
  const before = home.files()
  const { exitCode, error } = await home.json(start(port, '--timeout', '1ms'))
  assert.equal([exitCode, error.code], [4, 'E_NO_LEADER'])
  leavesNothing(home, before)
})

test('--foreground prints its document when the cluster is up, and stops the nodes at the end', async ({ home, port }) => {
  const begun = home.spawn(start(port, '--nodes', '1', '--ephemeral', '--foreground', '--json'))
  await until(() => begun.stdout().endsWith('}\n'), 'the document')
  const { data } = JSON.parse(begun.stdout()) as Document
  assert.ok(isAlive(data.nodes[0].pid))
  begun.child.kill('SIGINT')
  assert.is(await begun.ended, 0, begun.stderr())
  assert.match(begun.stderr(), 'SIGINT: stopped dev')
  assert.equal(JSON.parse(begun.stdout()).data, data)
  assert.equal(home.processes(), [])
  assert.not.ok(existsSync(join(home.clusters, 'dev')), 'an ephemeral cluster is gone when it is stopped')
  assert.not.ok(existsSync(home.contextFile('dev')))
})

test.run()
