import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as grpc from '@grpc/grpc-js'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { raftctl } from '../../src/generated/kv.js'
import { SnapshotEncoder } from '../../src/machines/kv/snapshot-encoder.js'
import { toGrpcError } from '../../src/rpc/error-detail.js'
import type { CallFailure } from '../../src/rpc/grpc-call.js'
import { ARCHIVE_END, entryHeader, manifestBytes, paddingOf } from '../../src/rpc/snapshot-archive.js'
import { agree, COMMIT, type FakeNode, fakeCluster } from '../support/fake-control.js'
import { CliHome } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'

const test = suite('snapshots')
const home = new CliHome('warm')
let nodes: FakeNode[] = []
const taken = { index: COMMIT, term: 8, bytes: 388_000_000, age_ms: 10, path: '/d/snapshot', checksum: 'crc32c:0badcafe' }

test.before.each(async () => {
  nodes = await fakeCluster()
  for (const node of nodes) {
    node.answers.TriggerSnapshot = (_call, done) => done(null, { snapshot: taken, took_ms: 1900 })
    node.answers.ListSnapshots = (_call, done) => done(null, { snapshots: [taken] })
    sends(node, archive)
  }
})
test.after.each(() => {
  for (const node of nodes) node.close()
})
test.after(() => home.remove())

/** What a kv machine with `keys` would save, as one archive. */
function archiveOf(keys: readonly string[]): Buffer {
  const encoder = new SnapshotEncoder()
  const blocks: Buffer[] = [encoder.header()]
  const add = (record: raftctl.kv.StateRecord.$Properties) => {
    const block = encoder.add(record)
    if (block) blocks.push(Buffer.from(block))
  }
  add({ header: { revision: keys.length + 1, compacted_revision: -1, leader_time_ms: 5 } })
  for (const [at, key] of keys.entries()) {
    const version = { mod_revision: at + 2, create_revision: at + 2, version: 1, value: Buffer.from('v'.repeat(100)) }
    add({ key: { key: Buffer.from(key), versions: [version] } })
  }
  const data = Buffer.concat([...blocks, ...encoder.finish().buffers])
  const manifest = manifestBytes({
    ...{ format: 'raftctl-snapshot' as const, schemaVersion: 1, index: COMMIT, term: 8, clusterId: '7f3a00000000000000000000000000c1' },
    ...{ group: 'kv', machine: 'kv', configIndex: 12 },
    members: [{ peerId: '10.0.0.1:7001:0:0', name: 'n1', role: 'voter' }],
    files: [{ name: 'data', size: data.length, sha256: createHash('sha256').update(data).digest('hex') }],
  })
  const entry = (name: string, bytes: Buffer) => [entryHeader(name, bytes.length)!, bytes, Buffer.alloc(paddingOf(bytes.length))]
  return Buffer.concat([...entry('manifest.json', manifest), ...entry('files/data', data), ARCHIVE_END])
}

const archive = archiveOf(Array.from({ length: 3000 }, (_, at) => `users/${String(at).padStart(5, '0')}`))

/** Sends `bytes` in pieces, from where it is asked to, at most `upTo` of them. */
function sends(node: FakeNode, bytes: Buffer, upTo = bytes.length): void {
  node.answers.StreamSnapshot = (call) => {
    const sha256 = createHash('sha256').update(archive).digest()
    call.write({ offset: 0, total_bytes: 0 })
    for (let at = Number(call.request.resume_offset); at < upTo; at += 64_000) {
      const data = bytes.subarray(at, Math.min(at + 64_000, upTo))
      const last = at + 64_000 >= bytes.length ? { sha256 } : {}
      call.write({ offset: at, data, total_bytes: bytes.length, ...last })
    }
    call.end()
  }
}

const any = () => ['-e', nodes[2]!.address]
const failing = (code: string) => (_call: unknown, done: (failure: CallFailure) => void) =>
  done(toGrpcError(grpc.status.FAILED_PRECONDITION, { code, retryable: false, applied: 'no' }, `refused with ${code}`))

async function run<Data = Record<string, never>>(words: string[], endpoints = any()) {
  const result = await home.run([...words, ...endpoints, '--json'])
  const document = JSON.parse(result.stdout) as { exitCode: number; data: Data; error?: { code: string; message: string; hint: string } }
  assert.equal(problemsOf(document as never), [])
  assert.is(document.exitCode, result.exitCode)
  return { ...document, text: result }
}

test('create asks a healthy follower, a named member, or everybody', async () => {
  const text = await home.run(['snapshot', 'create', ...any()])
  assert.is(text.stdout, 'n2  snapshot 1,284,511 · 388 MB · 1.9 s\n')
  const ids = async (...flags: string[]) =>
    (await run<{ nodes: { id: string }[] }>(['snapshot', 'create', ...flags])).data.nodes.map((row) => row.id)
  assert.equal(await ids('--node', 'n1'), ['n1'])
  assert.equal(await ids('--all'), ['n1', 'n2', 'n3'])
})

test('of several, one that fails is exit 11 with its row; of one, its own exit code', async () => {
  nodes[1]!.answers.TriggerSnapshot = failing('E_BUSY')
  const all = await run<{ nodes: { error: { code: string } | null }[] }>(['snapshot', 'create', '--all'])
  assert.equal([all.exitCode, all.data.nodes.map((row) => row.error?.code ?? null)], [11, [null, 'E_BUSY', null]])
  for (const [code, exitCode] of [
    ['E_BUSY', 6],
    ['E_UNSUPPORTED', 6],
    ['E_NO_SNAPSHOT', 7],
  ] as const) {
    nodes[1]!.answers.TriggerSnapshot = failing(code)
    assert.is((await run(['snapshot', 'create', '--node', 'n2'])).exitCode, exitCode, code)
  }
  assert.is((await run(['snapshot', 'create', '--node', 'n9'])).exitCode, 7)
  assert.is((await run(['snapshot', 'create'], ['-e', '127.0.0.1:1'])).exitCode, 5)
})

test('list shows every member, and works without a leader', async () => {
  agree(nodes, { leader: null, term: 9 })
  const { stdout } = await home.run(['snapshot', 'list', ...any()])
  assert.match(stdout, /^n2 +1,284,511 +8 +388 MB +10 ms +crc32c:0badcafe$/m)
  nodes[0]!.close()
  const partial = await run<{ nodes: unknown[] }>(['snapshot', 'list'])
  assert.equal([partial.exitCode, partial.data.nodes.length], [11, 3])
  assert.is((await run(['snapshot', 'list', '--node', 'n7'])).exitCode, 7)
})

test('pain 13: save picks a healthy follower by itself, checks every byte, and only then gives the file its name', async () => {
  const file = join(home.directory, 'a.snap')
  nodes[1]!.status.standing = 'rebuilding'
  const saved = await run<{ node: { id: string }; state: { keys: number } }>(['snapshot', 'save', file])
  assert.equal([saved.exitCode, saved.data.node.id, saved.data.state.keys], [0, 'n3', 3000])
  assert.ok(readFileSync(file).equals(archive))
  assert.not(existsSync(`${file}.partial`))
  const again = await run(['snapshot', 'save', file])
  assert.equal([again.exitCode, again.error!.code], [8, 'E_EXISTS'])
})

test('pain 13: what arrives damaged is exit 10 and leaves nothing behind', async () => {
  const file = join(home.directory, 'b.snap')
  const flipped = Buffer.from(archive)
  flipped[100_000]! ^= 1
  sends(nodes[1]!, flipped)
  const damaged = await run(['snapshot', 'save', file])
  assert.equal([damaged.exitCode, damaged.error!.code], [10, 'E_CORRUPT'])
  assert.not(existsSync(file) || existsSync(`${file}.partial`))
  const other = archiveOf(['somebody/else'])
  sends(nodes[1]!, other)
  assert.is((await run(['snapshot', 'save', file])).exitCode, 10)
  assert.not(existsSync(file) || existsSync(`${file}.partial`))
})

test('a copy that breaks off is exit 5, keeps what came, and goes on with --resume from a member that has that snapshot', async () => {
  const file = join(home.directory, 'c.snap')
  sends(nodes[1]!, archive, 128_000)
  const broken = await run(['snapshot', 'save', file])
  assert.is(broken.exitCode, 5)
  assert.match(broken.error!.hint, '--resume')
  assert.is(readFileSync(`${file}.partial`).length, 128_000)
  for (const node of nodes) node.status.snapshot = { index: 900, term: 8 }
  assert.equal([(await run(['snapshot', 'save', file, '--resume'])).exitCode, existsSync(`${file}.partial`)], [7, true])
  nodes[2]!.status.snapshot = { index: COMMIT, term: 8 }
  const resumed = await run<{ resumedAt: number; node: { id: string } }>(['snapshot', 'save', file, '--resume'])
  assert.equal([resumed.exitCode, resumed.data.resumedAt, resumed.data.node.id], [0, 128_000, 'n3'])
  assert.ok(readFileSync(file).equals(archive))
})

test('a damaged part is not gone on with', async () => {
  const file = join(home.directory, 'd.snap')
  const part = Buffer.from(archive.subarray(0, 128_000))
  part[700]! ^= 1
  writeFileSync(`${file}.partial`, part)
  assert.is((await run(['snapshot', 'save', file, '--resume'])).exitCode, 10)
  assert.not(existsSync(`${file}.partial`))
})

test('to stdout come the bytes and nothing else', async () => {
  const { execa } = await import('execa')
  const { PROJECT } = await import('../support/run-cli.js')
  const out = await execa(process.execPath, [join(PROJECT, 'bin/run.js'), 'snapshot', 'save', '-', '--present', ...any()], {
    env: home.environment(),
    extendEnv: false,
    encoding: 'buffer',
  })
  assert.ok(Buffer.from(out.stdout).equals(archive))
  assert.match(Buffer.from(out.stderr).toString(), 'verified')
})

test('inspect says what is in a file and which prefixes take the room; verify says it is whole, replayed too', async () => {
  const file = join(home.directory, 'e.snap')
  writeFileSync(file, archiveOf(['a/1', 'a/2', 'b/1', 'plain']))
  const { stdout } = await home.run(['snapshot', 'inspect', file])
  assert.match(stdout, /e\.snap {2}index 1,284,511 term 8 · 4 keys · /)
  assert.match(stdout, /^a\/ +50% +2 +206 B +206 B$/m)
  const top = await run<{ prefixes: unknown[]; others: { prefixes: number } }>(['snapshot', 'inspect', file, '--top', '1'], [])
  assert.equal([top.data.prefixes.length, top.data.others.prefixes], [1, 2])
  const verified = await run<{ replayedHash: string; state: { sha256: string } }>(['snapshot', 'verify', file, '--replay'], [])
  assert.is(verified.data.replayedHash, verified.data.state.sha256)
  assert.match((await home.run(['snapshot', 'verify', file])).stdout, /^ok: framing, sha256, 4 keys, state hash [0-9a-f]{64}\n$/)
})

test('verify and inspect of what is damaged, cut or no archive are exit 10; of no file exit 2', async () => {
  const file = join(home.directory, 'f.snap')
  const good = archiveOf(['a/1'])
  for (const bytes of [
    good.subarray(0, good.length - 1),
    Buffer.concat([good, Buffer.from('x')]),
    Buffer.from('x'.repeat(2000)),
    Buffer.alloc(0),
  ]) {
    writeFileSync(file, bytes)
    const { exitCode, error } = await run(['snapshot', 'verify', file], [])
    assert.equal([exitCode, error!.code], [10, 'E_CORRUPT'])
    assert.is((await run(['snapshot', 'inspect', file], [])).exitCode, 10)
  }
  assert.is((await run(['snapshot', 'verify', join(home.directory, 'none')], [])).exitCode, 2)
})

const hash = (byte: string) => Buffer.from(byte.repeat(32), 'hex')

test('check consistency: all equal 0, one that differs 10 and named, one that cannot be asked 11', async () => {
  nodes[0]!.answers.Mark = (_call, done) => done(null, { index: 77 })
  for (const node of nodes) node.answers.HashState = (_call, done) => done(null, { mark: 77, sha256: hash('ab'), keys: 3 })
  assert.match((await home.run(['check', 'consistency', ...any()])).stdout, /^✓ index 77 {2}3\/3 equal\n/)
  nodes[1]!.answers.HashState = (_call, done) => done(null, { mark: 77, sha256: hash('cd'), keys: 3 })
  const diverged = await run<{ members: { verdict: string }[] }>(['check', 'consistency'])
  assert.equal([diverged.exitCode, diverged.error!.code], [10, 'E_DIVERGED'])
  assert.match(diverged.error!.message, 'n2 holds another state at 77')
  nodes[1]!.answers.HashState = failing('E_WAIT_TIMEOUT')
  const unknown = await run<{ equal: number }>(['check', 'consistency'])
  assert.equal([unknown.exitCode, unknown.data.equal, unknown.error!.code], [11, 2, 'E_PARTIAL'])
  nodes[2]!.answers.HashState = (_call, done) => done(null, { mark: 77, sha256: hash('ee'), keys: 3 })
  const split = await run(['check', 'consistency'])
  assert.match(split.error!.message, 'no majority says which is right')
  nodes[0]!.answers.Mark = failing('E_UNSUPPORTED')
  assert.is((await run(['check', 'consistency'])).exitCode, 6)
  agree(nodes, { leader: null, term: 9 })
  assert.is((await run(['check', 'consistency'])).exitCode, 4)
})

test('check disk: all fast 0, one above its limit 3 and named, one that cannot be asked 11', async () => {
  const figures = (p99_ms: number) => ({ p50_ms: 0.4, p99_ms, free_bytes: 5e9, total_bytes: 2e10 })
  let asked = 0
  for (const node of nodes) {
    node.status.election_timeout_ms = 1000
    node.answers.CheckDisk = (call, done) => {
      asked = call.request.samples
      done(null, figures(99))
    }
  }
  const text = await home.run(['check', 'disk', ...any(), '--samples', '20'])
  assert.match(text.stdout, /^✓ 20 durable writes of 4 KiB at each member {2}3\/3 fast\n/)
  assert.match(text.stdout, /^n2 +fast +0\.40 ms +99 ms +100 ms +5\.0 GB$/m)
  assert.equal([text.exitCode, asked], [0, 20])
  nodes[1]!.answers.CheckDisk = (_call, done) => done(null, figures(101))
  const slow = await run<{ slow: number; members: { id: string; verdict: string; limitMs: number }[] }>(['check', 'disk'])
  assert.equal([slow.exitCode, slow.error!.code, slow.data.slow, asked], [3, 'E_UNHEALTHY', 1, 100])
  assert.match(slow.error!.message, 'the disk of n2 is slow')
  assert.is((await run(['check', 'disk', '--limit', '102ms'])).exitCode, 0)
  nodes[1]!.answers.CheckDisk = failing('E_WAIT_TIMEOUT')
  nodes[0]!.close()
  const unknown = await run<{ fast: number; members: { id: string; verdict: string; reason: string | null }[] }>(['check', 'disk'])
  assert.equal([unknown.exitCode, unknown.data.fast, unknown.error!.code], [11, 1, 'E_PARTIAL'])
  assert.equal(
    unknown.data.members.map(({ id, verdict }) => [id, verdict]),
    [
      ['n1', 'unknown'],
      ['n2', 'unknown'],
      ['n3', 'fast'],
    ],
  )
  assert.is((await run(['check', 'disk', '--samples', '101'])).exitCode, 2)
})

test('pain 16: node status says role, vote, log and how the leader sees each peer; 3 when asked, 5 and 7 when it cannot', async () => {
  Object.assign(nodes[0]!.status, { voted_for: nodes[0]!.peerId, durable_index: COMMIT, pid: 41 })
  nodes[0]!.answers.GetEffectiveConfig = (_call, done) => done(null, { values: { 'log-level': 'info' } })
  const { stdout } = await home.run(['node', 'status', 'n1', ...any()])
  assert.match(stdout, /^✓ n1 {2}127\.0\.0\.1:\d+ {2}leader of group kv {2}ok\n {2}term +8, voted for n1/)
  assert.match(stdout, /^n2 +1,284,511 +1,284,512 +0 +replicate +12 ms/m)
  assert.match(stdout, /log-level=info/)
  const { data } = await run<{ id: string; log: { durable: number } }>(['node', 'status'])
  assert.is(data.id, 'n3')
  nodes[2]!.status.alarms = ['NOSPACE']
  assert.is((await run(['node', 'status', '--exit-code'])).exitCode, 3)
  assert.is((await run(['node', 'status', 'n9'])).exitCode, 7)
  nodes[1]!.close()
  assert.is((await run(['node', 'status', 'n2'])).exitCode, 5)
})

test('pain 16: status says how far a member is that is rebuilt or sent a snapshot, and counts it for nothing', async () => {
  Object.assign(nodes[1]!.status, {
    ...{ standing: 'rebuilding', applied_index: 998_120, snapshot_state: 'downloading' },
    ...{ snapshot_bytes_done: 240_000_000, snapshot_bytes_total: 388_000_000 },
  })
  Object.assign(nodes[0]!.status.progress![1]!, { state: 'snapshot', snapshot_bytes_sent: 97_000_000, snapshot_bytes_total: 388_000_000 })
  const { stdout } = await home.run(['status', ...any()])
  assert.match(stdout, /2\/3 voters reachable · tolerates 0 more failures/)
  assert.match(stdout, /^n2 +voter +REBUILDING .* snapshot 61% of 388 MB$/m)
  assert.match(stdout, /^n3 +voter +installing .* snapshot 25% of 388 MB$/m)
})

test('a document of each that adds or leaves out a word does not pass', async () => {
  const file = join(home.directory, 'g.snap')
  writeFileSync(file, archiveOf(['a']))
  nodes[0]!.answers.Mark = (_call, done) => done(null, { index: 77 })
  for (const node of nodes) node.answers.HashState = (_call, done) => done(null, { mark: 77, sha256: hash('ab'), keys: 3 })
  for (const words of [
    ['snapshot', 'create', ...any()],
    ['snapshot', 'list', ...any()],
    ['snapshot', 'save', join(home.directory, 'h.snap'), ...any()],
    ['snapshot', 'inspect', file],
    ['snapshot', 'verify', file],
    ['check', 'consistency', ...any()],
    ['node', 'status', 'n1', ...any()],
  ]) {
    const { stdout } = await home.run([...words, '--json'])
    const document = JSON.parse(stdout)
    assert.equal(problemsOf(document), [], words.join(' '))
    const [first, ...rest] = Object.keys(document.data)
    assert.ok(
      problemsOf({ ...document, data: Object.fromEntries(rest.map((key) => [key, document.data[key]])) }).length > 0,
      `without ${first}`,
    )
    assert.ok(problemsOf({ ...document, data: { ...document.data, mood: 'calm' } }).length > 0)
  }
})

test.run()
