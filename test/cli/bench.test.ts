import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toGrpcError } from '../../src/rpc/error-detail.js'
import { agree, type FakeNode, fakeCluster, type KvHandlers } from '../support/fake-control.js'
import type { Document } from '../support/local-clusters.js'
import { CliHome } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'

const test = suite('bench')
const home = new CliHome('warm')
const header = { revision: 42 }
let nodes: FakeNode[] = []
let store = new Set<string>()
/** Every so many-th put is refused; 0: none. */
let refuseEach = 0
let puts = 0
let prefixesDeleted: string[] = []
/** What the fake cannot do once something was put. */
let cannot: 'remove' | 'remove or count' | null = null
/** The put at which another member leads. */
let changesAt = 0
/** The first put without an answer, as all that follow. */
let silentFrom = Number.POSITIVE_INFINITY

const busy = () => toGrpcError(status.RESOURCE_EXHAUSTED, { code: 'E_BUSY', retryable: false, applied: 'no' }, 'too much is proposed')

const kv: KvHandlers = {
  Range: (call, done) => {
    const key = Buffer.from(call.request.key).toString()
    if (cannot === 'remove or count' && puts > 0) return done(busy())
    if (call.request.range_end.length > 0) return done(null, { header, count: [...store].filter((one) => one.startsWith(key)).length })
    const kvs = store.has(key) ? [{ key: call.request.key, value: Buffer.alloc(8), create_revision: 1, mod_revision: 1, version: 1 }] : []
    done(null, { header, kvs, count: kvs.length })
  },
  Put: (call, done) => {
    puts++
    if (puts === changesAt) agree(nodes, { leader: 1, term: 9 })
    if (puts >= silentFrom) return
    if (refuseEach > 0 && puts % refuseEach === 0) return done(busy())
    store.add(Buffer.from(call.request.key).toString())
    done(null, { header })
  },
  DeleteRange: (call, done) => {
    const prefix = Buffer.from(call.request.key).toString()
    prefixesDeleted.push(prefix)
    if (cannot !== null) return done(busy())
    const before = store.size
    store = new Set([...store].filter((key) => !key.startsWith(prefix)))
    done(null, { header, deleted: before - store.size })
  },
}

test.before(async () => {
  nodes = await fakeCluster({ kv })
})
test.before.each(() => {
  store = new Set(['mine'])
  refuseEach = 0
  puts = 0
  prefixesDeleted = []
  cannot = null
  changesAt = 0
  silentFrom = Number.POSITIVE_INFINITY
  agree(nodes, { leader: 0, term: 8 })
})
test.after(() => {
  for (const node of nodes) node.close()
  home.remove()
})

/** Little work, with what is said otherwise. */
function small(own: Record<string, string> = {}): string[] {
  const flags = { '--clients': '4', '--conns': '2', '--ops': '40', '--keys': '20', '--warmup': '1ms', ...own }
  return Object.entries(flags).flat()
}

async function bench(verb: string, ...args: string[]) {
  const words = ['bench', verb, '-e', nodes[0]!.address, ...args]
  const run = await home.run([...words, '--json'])
  const document = JSON.parse(run.stdout) as Document
  assert.equal(problemsOf(document), [])
  assert.is(document.exitCode, run.exitCode)
  return { ...document, stderr: run.stderr }
}

test('put counts what was answered, and takes its keys away again', async () => {
  const { exitCode, data } = await bench('put', ...small({ '--key-size': '40B', '--value-size': '1KB' }))
  assert.is(exitCode, 0)
  assert.equal([data.operations, data.results.length, data.results[0].operation, data.errors, data.kept], [40, 1, 'put', 0, false])
  assert.equal([data.measured.clients, data.measured.connections, data.measured.valueBytes], [4, 2, 1000])
  assert.equal([prefixesDeleted, [...store]], [[data.prefix], ['mine']])
  assert.ok(data.removed > 0 && data.removed <= 20, `${data.removed}`)
})

test('get writes its keys before it reads them; mixed does both; each operation has a row', async () => {
  const { data: get } = await bench('get', ...small())
  assert.equal([puts, get.results.map((row: { operation: string }) => row.operation), get.operations], [20, ['get'], 40])
  const { data: mixed } = await bench('mixed', ...small({ '--reads': '50', '--ops': '200' }))
  assert.equal(mixed.results.map((row: { operation: string }) => row.operation).sort(), ['get', 'put'])
  assert.is(mixed.operations, 200)
  assert.equal([...store], ['mine'])
})

test('fill leaves every key there and says how to remove them', async () => {
  const args = ['bench', 'fill', '-e', nodes[0]!.address, '--keys', '30', '--clients', '4', '--prefix', 'size/']
  const { exitCode, stdout } = await home.run(args)
  assert.is(exitCode, 0)
  assert.match(stdout, /30 in .* no errors/)
  assert.match(stdout, 'raftctl kv del size/ --prefix')
  assert.equal([store.size, prefixesDeleted], [31, []])
})

test('an assertion that does not hold is exit 3 and says by how much; one that is none is exit 2', async () => {
  const missed = await bench('put', ...small(), '--assert', 'p50<0.001ms', '--assert', 'ops>0')
  assert.equal([missed.exitCode, missed.ok, missed.error.code], [3, false, 'E_UNHEALTHY'])
  assert.match(missed.error.message, /^put: p50<0\.001ms does not hold \(/)
  assert.equal(
    missed.data.assertions.map((row: { holds: boolean }) => row.holds),
    [false, true],
  )
  assert.is((await bench('put', ...small(), '--assert', 'p98<1ms').catch(() => ({ exitCode: 2 }))).exitCode, 2)
})

test('operations that fail are counted by their code: exit 11; when all fail it is their error', async () => {
  refuseEach = 10
  const some = await bench('put', ...small({ '--warmup': '0' }))
  assert.equal([some.exitCode, some.error.code, some.data.errors], [11, 'E_PARTIAL', 4])
  assert.equal(some.data.failures, [{ code: 'E_BUSY', count: 4, message: 'too much is proposed' }])
  refuseEach = 1
  const all = await home.run(['bench', 'put', '-e', nodes[0]!.address, ...small(), '--json'])
  assert.is(JSON.parse(all.stdout).error.code, 'E_BUSY')
})

test('a result is compared with one of the same work, and with no other', async () => {
  const file = join(home.directory, 'base.json')
  const base = await bench('put', ...small())
  writeFileSync(file, JSON.stringify(base))
  const same = await bench('put', ...small(), '--compare', file, '--tolerance', '100')
  assert.is(same.data.comparison.length, 3)
  const [results] = [base.data.results]
  writeFileSync(
    file,
    JSON.stringify({ ...base, data: { ...base.data, results: [{ ...results[0], perSecond: results[0].perSecond * 1000 }] } }),
  )
  const worse = await bench('put', ...small(), '--compare', file)
  assert.equal([worse.exitCode, worse.error.code], [3, 'E_UNHEALTHY'])
  const other = await home.run(['bench', 'put', '-e', nodes[0]!.address, ...small({ '--value-size': '9B', '--compare': file })])
  assert.is(other.exitCode, 2)
  assert.match(other.stderr, 'valueBytes was 128')
  writeFileSync(file, JSON.stringify({ ...base, ok: false, error: { code: 'E_UNHEALTHY' } }))
  assert.is((await bench('put', ...small(), '--compare', file, '--tolerance', '100')).data.comparison.length, 3, 'its figures are whole')
  writeFileSync(file, JSON.stringify({ ...base, ok: false, error: { code: 'E_INTERRUPTED' } }))
  const failed = await home.run(['bench', 'put', '-e', nodes[0]!.address, ...small(), '--compare', file])
  assert.is(failed.exitCode, 2)
  assert.match(failed.stderr, 'is of a run that failed (E_INTERRUPTED)')
  for (const path of ['nothere.json', join(home.directory, 'other.json')]) {
    writeFileSync(join(home.directory, 'other.json'), '{"schema":"raftctl.status/1","data":{}}')
    const { exitCode, stderr } = await home.run(['bench', 'put', '-e', nodes[0]!.address, ...small(), '--compare', path])
    assert.equal([exitCode, /does not exist|holds no result/.test(stderr)], [2, true], stderr)
  }
})

test('keys that could not be removed are named, also when the bench failed', async () => {
  cannot = 'remove'
  const { data, exitCode } = await bench('put', ...small())
  assert.equal([exitCode, data.kept, data.removed, data.errors], [11, true, null, 0])
  assert.is((await bench('put', ...small(), '--keep')).exitCode, 0, 'they were to stay')
  puts = 0
  cannot = 'remove or count'
  refuseEach = 1
  const run = await home.run(['bench', 'put', '-e', nodes[0]!.address, ...small(), '--prefix', 'left/'])
  assert.is(run.exitCode, 6)
  assert.match(run.stderr, 'too much is proposed')
  assert.match(run.stderr, 'raftctl kv del left/ --prefix')
})

test('a context that is marked as production asks first', async () => {
  const added = await home.run(['context', 'add', 'prod', '-e', nodes[0]!.address, '--env', 'production'])
  assert.is(added.exitCode, 0, added.stderr)
  const run = await home.run(['bench', 'put', '--context', 'prod', ...small()])
  assert.is(run.exitCode, 12)
  assert.match(run.stderr, 'prod is marked as production')
  assert.is(puts, 0)
  assert.is((await home.run(['bench', 'put', '--context', 'prod', '--yes', ...small()])).exitCode, 0)
})

test('the spread is drawn, and written for plotters', async () => {
  const file = join(home.directory, 'put.hgrm')
  const { stdout, exitCode } = await home.run(['bench', 'put', '-e', nodes[0]!.address, ...small(), '--histogram', '--hdr-out', file])
  assert.is(exitCode, 0, stdout)
  assert.match(stdout, /no errors {2}latencies in ms$/m)
  assert.match(stdout, /^\d+ keys? removed$/m)
  assert.match(stdout, /^put, up to ms\n +[\d.]+ {2}▇/m)
  assert.match(readFileSync(file, 'utf8'), /^# put, milliseconds\n +Value +Percentile/)
})

test('keys that are there already are neither written over nor removed: exit 8', async () => {
  store.add('mine/')
  for (const verb of ['put', 'fill']) {
    const run = await home.run(['bench', verb, '-e', nodes[0]!.address, '--keys', '5', '--prefix', 'mine/'])
    assert.is(run.exitCode, 8)
    assert.match(run.stderr, '1 key begins with "mine/", and the bench would remove them')
  }
  assert.equal([puts, prefixesDeleted, store.has('mine/')], [0, [], true])
})

test('what cannot be run is exit 2 and writes nothing', async () => {
  for (const [own, why] of [
    [{ '--duration': '1s' }, '--duration and --ops were both given'],
    [{ '--key-size': '5B' }, 'keys of 5 bytes have no room'],
    [{ '--rate': '0' }, '--rate must be above 0'],
    [{ '--prefix': '' }, '--prefix is empty'],
    [{ '--clients': '10001' }, '10001 clients'],
    [{ '--keys': '10000001' }, '10000001 keys'],
    [{ '--value-size': '5GB' }, 'values of 5000000000 bytes'],
  ] as const) {
    const run = await home.run(['bench', 'put', '-e', nodes[0]!.address, ...small(own)])
    assert.is(run.exitCode, 2)
    assert.match(run.stderr, why)
  }
  assert.is(puts, 0)
})

/** Of a fake that answers at once, on a machine that may do anything else meanwhile. */
function patient(own: Record<string, string> = {}): string[] {
  const flags = { '--duration': '200ms', '--min-throughput': '1', '--max-p99': '30s', '--max-latency': '30s', ...own }
  return Object.entries(flags).flat()
}

async function perf(own: Record<string, string> = {}) {
  const run = await home.run(['check', 'perf', '-e', nodes[0]!.address, ...patient(own), '--json'])
  const document = JSON.parse(run.stdout) as Document
  assert.equal(problemsOf(document), [])
  assert.is(document.exitCode, run.exitCode)
  const verdicts = (document.data?.checks ?? []) as { check: string; verdict: string; measured: number }[]
  return { ...document, bad: verdicts.filter(({ verdict }) => verdict !== 'pass').map(({ check, measured }) => [check, measured]) }
}

test('check perf judges a load at its rate, prints a line for each threshold, and takes its keys away', async () => {
  const passed = await perf()
  assert.equal([passed.exitCode, passed.data.verdict, passed.bad], [0, 'pass', []])
  assert.equal([passed.data.load, passed.data.rate, passed.data.writes <= 30], ['s', 150, true])
  assert.equal([passed.data.keys.left, prefixesDeleted, [...store]], [0, [passed.data.keys.prefix], ['mine']])
  assert.ok(passed.data.keys.removed > 0)
  const { stdout, stderr, exitCode } = await home.run(['check', 'perf', '-e', nodes[0]!.address, ...patient({ '--max-p99': '0.1us' })])
  assert.is(exitCode, 3)
  assert.match(stdout, /^✗ FAIL {2}load s, 150 writes\/s: \d+ writes in /)
  assert.match(stdout, /^PASS +throughput +[\d.]+% +≥ 1% +--min-throughput$/m)
  assert.match(stdout, /^FAIL +p99 +[\d.,]+ ms +≤ 0\.00 ms +--max-p99$/m)
  assert.match(stdout, /^PASS +failed writes +0 +≤ 0 +--max-failed$/m)
  assert.match(stdout, /keys removed, 0 left$/m)
  assert.match(stderr, /E_UNHEALTHY {2}p99 [\d.,]+ ms, above /)
})

test('check perf: writes that fail and a leader that changes fail it, unless as many may', async () => {
  refuseEach = 10
  changesAt = 3
  const failed = await perf()
  assert.equal([failed.exitCode, failed.bad.map(([check]) => check)], [3, ['failed-writes', 'leader-changes']])
  assert.equal([failed.data.failures[0].code, failed.bad[1]![1]], ['E_BUSY', 1])
  agree(nodes, { leader: 0, term: 8 })
  puts = 0
  assert.equal((await perf({ '--max-failed': '1000', '--max-leader-changes': '1' })).bad, [])
})

test('check perf: keys that cannot be removed are exit 11 and named', async () => {
  cannot = 'remove'
  const { exitCode, error, data, bad } = await perf()
  assert.equal([exitCode, error.code, bad, data.keys.removed], [11, 'E_PARTIAL', [], null])
  assert.is(data.keys.left, store.size - 1)
  assert.match(error.hint, `raftctl kv del ${data.keys.prefix} --prefix`)
  puts = 0
  cannot = 'remove or count'
  const blind = await perf()
  assert.equal([blind.exitCode, blind.error.code, blind.data.keys.left], [11, 'E_PARTIAL', null])
})

test('check perf writes: a read-only context refuses it, and one of production asks', async () => {
  const add = (...args: string[]) => home.run(['context', 'add', ...args, '-e', nodes[0]!.address])
  await add('looked-at', '--read-only')
  await add('sold', '--env', 'production')
  const refused = await home.run(['check', 'perf', '--context', 'looked-at'])
  assert.equal([refused.exitCode, /looked-at is read-only/.test(refused.stderr)], [6, true], refused.stderr)
  assert.is((await home.run(['check', 'perf', '-e', nodes[0]!.address], { env: { RAFTCTL_READ_ONLY: '1' } })).exitCode, 6)
  const asked = await home.run(['check', 'perf', '--context', 'sold'])
  assert.equal([asked.exitCode, /sold is marked as production/.test(asked.stderr)], [12, true], asked.stderr)
  assert.is(puts, 0)
  assert.is((await home.run(['check', 'perf', '--context', 'sold', '--yes', ...patient()])).exitCode, 0)
})

test('check perf: interrupted it judges what was measured, takes its keys away and is exit 130', async () => {
  const running = home.start(['check', 'perf', '-e', nodes[0]!.address, ...patient({ '--duration': '1h' }), '--json'])
  // Of an hour only the first tenth begins: one line.
  for await (const line of running.iterable({ from: 'stderr' })) if (line.includes('"measuring"')) running.kill('SIGINT')
  const { stdout, exitCode } = await running
  const document = JSON.parse(stdout) as Document
  assert.equal(problemsOf(document), [])
  assert.equal([exitCode, document.exitCode, document.error.code, document.data.endedEarly], [130, 130, 'E_INTERRUPTED', true])
  assert.ok(document.data.elapsedMs < 3_600_000 && document.data.writes > 0)
  assert.equal([document.data.keys.removed > 0, document.data.keys.left, [...store]], [true, 0, ['mine']])
})

test('a member that its leader does not hear is told of: the figures are not those of the whole cluster', async () => {
  for (const peer of nodes[0]!.status.progress!.slice(1)) peer.last_contact_ms = 10_000
  const { data } = await perf()
  assert.equal([data.voters, data.reachableVoters], [3, 2])
  const { stdout } = await home.run(['check', 'perf', '-e', nodes[0]!.address, ...patient()])
  assert.match(stdout, / · 2 of 3 voters reachable · /)
  const { data: measured } = await bench('put', ...small())
  assert.equal([measured.environment.voters, measured.environment.reachableVoters], [3, 2])
})

test('interrupted twice it does not wait for what is on its way, and says which keys may stay: exit 130', async () => {
  silentFrom = 1
  const running = home.start(['bench', 'put', '-e', nodes[0]!.address, ...small({ '--prefix': 'twice/', '--timeout': '1h' })])
  for await (const line of running.iterable({ from: 'stderr' })) if (/^(warming up|ending:)/.test(line)) running.kill('SIGINT')
  const { exitCode, stderr } = await running
  assert.is(exitCode, 130, stderr)
  assert.match(
    stderr,
    /once more to leave them there\nKeys of this load may still be there; remove them: {2}raftctl kv del twice\/ --prefix$/m,
  )
  assert.equal(prefixesDeleted, [])
})

test.run()
