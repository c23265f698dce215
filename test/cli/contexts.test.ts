import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { saveInto } from '../support/contexts.js'
import { agree, type FakeNode, fakeCluster } from '../support/fake-control.js'
import { type Document, documentOf } from '../support/local-clusters.js'
import { CliHome } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'

const test = suite<{ home: CliHome; nodes: FakeNode[] }>('contexts on the command line')

test.before.each(async (context) => {
  context.home = new CliHome('warm')
  context.nodes = await fakeCluster()
})
test.after.each(({ home, nodes }) => {
  for (const node of nodes) node.close()
  home.remove()
})

const NOBODY = '127.0.0.1:1'
const fileOf = (home: CliHome, name: string) => join(home.directory, '.config', 'raftctl', 'contexts', `${name}.json`)
const quick = ['--timeout', '2s', '--connect-timeout', '1s']

/** With and without --json: one exit code. */
async function both(home: CliHome, args: readonly string[], env: Record<string, string> = {}): Promise<Document & { text: string }> {
  const text = await home.run(args, { env })
  const json = await home.run([...args, '--json'], { env })
  assert.is(json.exitCode, text.exitCode, `with --json ${json.exitCode}, without ${text.exitCode}: ${text.stderr}`)
  return { ...documentOf(json, args), text: text.stdout + text.stderr }
}

/** Something listens, accepts, and never speaks. */
function mute(): Promise<Server> {
  const server = createServer((socket) => socket.on('error', () => {}).end('220 mail.example.org ESMTP\r\n'))
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}
const portOf = (server: Server) => (server.address() as { port: number }).port

test('context add pins the cluster that answers, selects the first one, and keeps what it was told', async ({ home, nodes }) => {
  const first = await home.run(['context', 'add', 'prod', '-e', nodes[1]!.address, '--env', 'production', '--read-only'])
  assert.is(first.exitCode, 0, first.stderr)
  assert.match(first.stdout, `prod added (cluster ${nodes[0]!.clusterId} pinned), selected`)
  const saved = JSON.parse(readFileSync(fileOf(home, 'prod'), 'utf8'))
  assert.equal(
    [saved.clusterId, saved.env, saved.readOnly, saved.playground, saved.endpoints],
    [nodes[0]!.clusterId, 'production', true, false, [nodes[1]!.address]],
  )
  const second = await home.run(['context', 'add', 'other', '-e', nodes[0]!.address, '-g', 'kv', '--json'])
  const document = documentOf(second)
  assert.equal([document.data.selected, document.data.replaced], [false, false])
  assert.is((await home.run(['status', '--field', 'leader'])).stdout, 'n1\n')
  assert.is((await home.run(['kv', 'put', 'a', 'b'])).exitCode, 6)
})

test('a name that is taken is exit 8 unless it may be replaced', async ({ home, nodes }) => {
  await home.run(['context', 'add', 'prod', '-e', nodes[0]!.address])
  const { exitCode, error } = await both(home, ['context', 'add', 'prod', '-e', nodes[1]!.address])
  assert.equal([exitCode, error.code], [8, 'E_EXISTS'])
  const replaced = await both(home, ['context', 'add', 'prod', '-e', nodes[1]!.address, '--replace'])
  assert.equal([replaced.exitCode, replaced.data.replaced, replaced.data.endpoints], [0, true, [nodes[1]!.address]])
})

test('what cannot be pinned is not added: exit 5, 8 for two clusters; --no-pin-cluster-id adds it unasked', async ({ home, nodes }) => {
  const nobody = await both(home, ['context', 'add', 'lab', '-e', NOBODY, ...quick])
  assert.equal([nobody.exitCode, nobody.error.code], [5, 'E_UNREACHABLE'])
  assert.match(nobody.error.hint, '--no-pin-cluster-id')
  nodes[2]!.clusterId = 'e'.repeat(32)
  const mixed = await both(home, ['context', 'add', 'lab', '-e', `${nodes[0]!.address},${nodes[2]!.address}`])
  assert.equal([mixed.exitCode, mixed.error.code], [8, 'E_CLUSTER_MISMATCH'])
  assert.not(existsSync(fileOf(home, 'lab')))
  const unpinned = await both(home, ['context', 'add', 'lab', '-e', NOBODY, '--no-pin-cluster-id', '--replace'])
  assert.equal([unpinned.exitCode, unpinned.data.clusterId], [0, null])
})

test('context add without an endpoint, with half a certificate or with a name that cannot be is exit 2', async ({ home }) => {
  for (const args of [['lab'], ['../x', '-e', NOBODY], ['lab', '-e', 'nonsense'], ['lab', '-e', NOBODY, '--cert', 'c']]) {
    const { exitCode, error } = await both(home, ['context', 'add', ...args, '--no-pin-cluster-id'])
    assert.equal([exitCode, error.code], [2, 'E_USAGE'], args.join(' '))
  }
})

test('a directory for contexts that cannot be written to is exit 6', async ({ home }) => {
  writeFileSync(join(home.directory, 'file'), '')
  const { exitCode, error } = await both(home, ['context', 'add', 'lab', '-e', NOBODY, '--no-pin-cluster-id'], {
    XDG_CONFIG_HOME: join(home.directory, 'file'),
  })
  assert.equal([exitCode, error.code], [6, 'E_DATA_DIR'])
})

test('context remove forgets one, goes back to the one before, and takes away a damaged file too', async ({ home }) => {
  for (const name of ['a', 'b']) await home.run(['context', 'add', name, '-e', NOBODY, '--no-pin-cluster-id', '--select'])
  const removed = documentOf(await home.run(['context', 'remove', 'b', '--json']))
  assert.equal(removed.data, { name: 'b', current: 'a' })
  writeFileSync(fileOf(home, 'a'), '{')
  assert.match((await home.run(['context', 'remove', 'a'])).stdout, 'a removed')
  assert.not(existsSync(fileOf(home, 'a')))
  saveInto(home, { name: 'staging', endpoints: [NOBODY] })
  const { exitCode, error } = await both(home, ['context', 'remove', 'stagign'])
  assert.equal([exitCode, error.code], [7, 'E_NO_CONTEXT'])
  assert.match(error.message, 'did you mean staging?')
})

test('a damaged context is one row of the list with its problem, and the others are there', async ({ home }) => {
  saveInto(home, { name: 'good', endpoints: [NOBODY] })
  mkdirSync(join(home.directory, '.config', 'raftctl', 'contexts'), { recursive: true })
  writeFileSync(fileOf(home, 'broken'), '{"endpoints": [1]}')
  const { exitCode, data, text } = await both(home, ['context', 'list'])
  assert.is(exitCode, 0)
  assert.equal(
    data.contexts.map((row: { name: string; problem: string | null }) => [row.name, row.problem === null]),
    [
      ['broken', false],
      ['good', true],
    ],
  )
  assert.match(text, /^ +broken +✗ .*broken\.json: endpoints is not a list/m)
  assert.match(text, /^ +good +127\.0\.0\.1:1 /m)
})

test('context test goes to the members that it learns of: 0 when all answer, 3 when one does not', async ({ home, nodes }) => {
  saveInto(home, { name: 'prod', endpoints: [nodes[0]!.address], clusterId: nodes[0]!.clusterId })
  const well = await both(home, ['context', 'test', 'prod'])
  assert.is(well.exitCode, 0)
  const [{ nodes: rows, leader, ok }] = well.data.contexts
  assert.equal([leader, ok], ['n1', true])
  assert.equal(
    rows.map((row: { id: string; configured: boolean }) => [row.id, row.configured]),
    [
      ['n1', true],
      ['n2', false],
      ['n3', false],
    ],
  )
  nodes[2]!.close()
  const broken = await both(home, ['context', 'test', 'prod', ...quick])
  assert.equal([broken.exitCode, broken.ok], [3, true])
  assert.match(broken.text, /^n3 +127\.0\.0\.1:\d+ +✓ 0 ms +✗ +- +- +tcp: connection refused/m)
})

test('context test without a leader is exit 3 and says so', async ({ home, nodes }) => {
  agree(nodes, { leader: null, term: 9 })
  saveInto(home, { name: 'prod', endpoints: nodes.map((node) => node.address) })
  const { exitCode, text } = await both(home, ['context', 'test', 'prod'])
  assert.is(exitCode, 3)
  assert.match(text, 'E_NO_LEADER')
})

test('pain 20: the stage at which a connection ends is named: dns, tcp, grpc, and then the leader', async ({ home, nodes }) => {
  const server = await mute()
  const cases = [
    ['nohost.invalid:7001', 'dns', 'unknown host nohost.invalid'],
    [NOBODY, 'tcp', 'connection refused'],
    [`127.0.0.1:${portOf(server)}`, 'grpc', 'does not speak gRPC'],
  ] as const
  try {
    for (const [endpoint, stage, message] of cases) {
      saveInto(home, { name: 'one', endpoints: [endpoint] })
      const { exitCode, error, data } = await both(home, ['context', 'test', 'one', ...quick])
      assert.equal([exitCode, error.code], [5, 'E_UNREACHABLE'], stage)
      const [node] = data.contexts[0].nodes
      assert.is(node.error.stage, stage)
      assert.match(node.error.message, message)
      assert.is(node.stages[stage], 'failed')
      const status = await both(home, ['status', '-c', 'one', ...quick])
      assert.is(status.exitCode, 5)
      assert.match(status.error.message, `${stage}: `)
    }
    agree(nodes, { leader: null, term: 9 })
    saveInto(home, { name: 'one', endpoints: [nodes[0]!.address] })
    assert.match((await both(home, ['context', 'test', 'one'])).text, 'no leader in term 9')
  } finally {
    server.close()
  }
})

test('another cluster behind the endpoints is exit 8, a port without TLS behind a context with TLS is exit 9', async ({ home, nodes }) => {
  saveInto(home, { name: 'pinned', endpoints: [nodes[0]!.address], clusterId: 'f'.repeat(32) })
  const other = await both(home, ['context', 'test', 'pinned'])
  assert.equal([other.exitCode, other.error.code], [8, 'E_CLUSTER_MISMATCH'])
  await home.run(['context', 'add', 'tls', '-e', nodes[0]!.address, '--tls', '--no-pin-cluster-id'])
  const plain = await both(home, ['context', 'test', 'tls', ...quick])
  assert.equal([plain.exitCode, plain.error.code], [9, 'E_TLS'])
})

test('context test --all tells them apart, and one that cannot be read is a failed test', async ({ home, nodes }) => {
  saveInto(home, { name: 'prod', endpoints: [nodes[0]!.address] })
  saveInto(home, { name: 'gone', endpoints: [NOBODY] })
  writeFileSync(fileOf(home, 'broken'), '{')
  const { exitCode, data } = await both(home, ['context', 'test', '--all', ...quick])
  assert.is(exitCode, 3)
  assert.equal(
    data.contexts.map((one: { context: string; error: { code: string } | null }) => [one.context, one.error?.code ?? null]),
    [
      ['broken', 'E_CONFIG'],
      ['gone', 'E_UNREACHABLE'],
      ['prod', null],
    ],
  )
  assert.is((await both(home, ['context', 'test', 'nothere'])).exitCode, 7)
  assert.is((await both(home, ['context', 'test'])).exitCode, 7)
  assert.is((await both(home, ['context', 'test', 'prod', '--all'])).exitCode, 2)
})

test('broken documents of these commands fail their schemas', async ({ home, nodes }) => {
  const add = documentOf(await home.run(['context', 'add', 'prod', '-e', nodes[0]!.address, '--json']))
  assert.ok(problemsOf({ ...add, data: { ...add.data, clusterId: 7 } } as never).length > 0)
  const tested = documentOf(await home.run(['context', 'test', 'prod', '--json']))
  const [one] = tested.data.contexts
  const withNode = (node: object) => ({ ...tested, data: { contexts: [{ ...one, nodes: [node] }] } }) as never
  assert.equal(problemsOf(withNode(one.nodes[0])), [])
  assert.ok(problemsOf(withNode({ ...one.nodes[0], stages: { dns: 'ok' } })).length > 0)
  assert.ok(problemsOf(withNode({ ...one.nodes[0], stages: { ...one.nodes[0].stages, tcp: 'fine' } })).length > 0)
  const list = documentOf(await home.run(['context', 'list', '--json']))
  const { problem: _, ...withoutProblem } = list.data.contexts[0]
  assert.ok(problemsOf({ ...list, data: { contexts: [withoutProblem] } } as never).length > 0)
  const remove = documentOf(await home.run(['context', 'remove', 'prod', '--json']))
  assert.ok(problemsOf({ ...remove, data: { name: 'prod' } } as never).length > 0)
})

test.run()
