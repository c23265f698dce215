// The chaos commands on a real cluster of this machine, and on nodes that lie.
// timeout: 200s
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as grpc from '@grpc/grpc-js'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Control } from '../../src/rpc/control-definition.js'
import { toGrpcError } from '../../src/rpc/error-detail.js'
import { ServiceClient } from '../../src/rpc/grpc.js'
import { agree, fakeCluster, type KvHandlers } from '../support/fake-control.js'
import { type Document, documentOf, freePorts, isAlive, LocalClusters, until } from '../support/local-clusters.js'
import { problemsOf } from '../support/schemas.js'

const test = suite('chaos')
const home = new LocalClusters('warm')
let port = 0

test.before(async () => {
  port = await freePorts(3)
  const { exitCode, error } = await home.json(['cluster', 'start', '--base-port', String(port), '--election-timeout', '500ms'])
  assert.is(exitCode, 0, error?.message)
})
test.after(() => home.remove())

/** Longer than `run` waits. */
async function patient(...args: string[]): Promise<Document> {
  const one = home.spawn([...args, '--json'])
  const exitCode = (await one.ended) ?? -1
  return documentOf({ exitCode, stdout: one.stdout(), stderr: one.stderr() }, args)
}

const pidOf = (name: string) => home.state('dev').nodes.find((node) => node.name === name)!.pid
const texts = (document: Document): string => document.data.story.map((line: { text: string }) => line.text).join('\n')

/** Everything held, and the writers left nothing behind. */
async function held(document: Document): Promise<void> {
  assert.equal([document.exitCode, document.data.verdict, document.data.broken], [0, 'held', []], document.error?.message)
  assert.ok(document.data.writes.verified > 0 && document.data.writes.verified === document.data.writes.acknowledged)
  assert.ok(document.data.history.operations > 0)
  assert.is((await home.json(['kv', 'list', 'raftctl-chaos/'])).data.count, 0)
}

test('the leader is cut off: another is elected, it steps down, and nothing that was acknowledged is lost', async () => {
  const { leader } = (await home.json(['status'])).data
  const done = await patient('chaos', 'partition', 'leader', '--for', '2500ms')
  await held(done)
  assert.match(texts(done), new RegExp(`partition \\{${leader}\\}`))
  assert.match(texts(done), /n\d elected after .* \(term \d+\)/)
  assert.match(texts(done), new RegExp(`${leader} stepped down after .* \\(check-quorum\\)`))
  const { story: _, ...less } = done.data
  assert.ok(problemsOf({ ...done, data: less } as never).length > 0)
  assert.ok(problemsOf({ ...done, data: { ...done.data, mood: 'calm' } } as never).length > 0)
})

test('a scenario kills the leader and fills a disk to the last byte: both nodes are started again', async () => {
  const file = join(home.directory, 'short.yaml')
  writeFileSync(
    file,
    'name: short\nsteps:\n  - { what: kill, who: leader, for: 1s }\n  - { what: disk-full, who: follower, free: 0, for: 1s }\n',
  )
  const before = home.state('dev').nodes.map(({ pid }) => pid)
  const done = await patient('chaos', 'run', file, '--seed', '7')
  await held(done)
  assert.equal([done.data.scenario, done.data.seed, done.data.faults.length], ['short', 7, 2])
  assert.match(texts(done), 'had stopped for good and is started anew')
  assert.is(home.state('dev').nodes.filter(({ pid }, at) => pid !== before[at] && isAlive(pid)).length, 2)
})

test('Ctrl-C heals first and then verifies: exit 130', async () => {
  const one = home.spawn(['chaos', 'delay', 'n2', '--ms', '100', '--for', '60s', '--every', '61s', '--json'])
  await listed('n2', 'sends to everybody 100 ms late')
  one.child.kill('SIGINT')
  const exitCode = (await one.ended) ?? -1
  const done = documentOf({ exitCode, stdout: one.stdout(), stderr: one.stderr() })
  assert.equal([exitCode, done.error.code, done.data.verdict], [130, 'E_INTERRUPTED', 'held'])
  const { data } = await home.json(['chaos', 'list'])
  assert.equal(data.faults, [])
  assert.ok(problemsOf({ schema: 'raftctl.chaos.list/1', ok: true, exitCode: 0, data: {} } as never).length > 0)
})

/** Waits until `chaos list` shows a fault. */
async function listed(node: string, text: string): Promise<Document> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const found = await home.json(['chaos', 'list'])
    if (found.data.faults.some((fault: { node: string; text: string }) => fault.node === node && fault.text === text)) return found
  }
  throw new Error(`${node} never ${text}`)
}

test('who is killed without a word leaves a guard behind: the frozen node goes on by itself', async () => {
  const pid = pidOf('n1')!
  const one = home.spawn(['chaos', 'pause', 'n1', '--for', '1s', '--quiet'])
  await until(() => isFrozen(pid), 'n1 is frozen')
  one.child.kill('SIGKILL')
  await one.ended
  await until(() => !isFrozen(pid), 'n1 goes on')
  assert.ok(isAlive(pid))
  await until(() => !existsSync(join(home.clusters, 'dev', 'chaos.json')), 'nothing is written down any more')
  await home.json(['kv', 'del', '--prefix', 'raftctl-chaos/', '--yes'])
})

function isFrozen(pid: number): boolean {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return text.slice(text.lastIndexOf(')') + 2).startsWith('T')
}

test('heal ends everything at once, a killed node runs again', async () => {
  const one = home.spawn(['chaos', 'kill', 'n3', '--for', '60s', '--quiet'])
  await listed('n3', 'killed')
  // It is listed before it is killed, so that it comes back whatever becomes of whoever kills it.
  await until(() => pidOf('n3') === null, 'n3 is gone')
  const { data, exitCode } = await home.json(['chaos', 'heal'])
  assert.is(exitCode, 0)
  assert.equal(
    data.clusters[0].healed.map(({ node, text }: { node: string; text: string }) => [node, text]),
    [['n3', 'killed']],
  )
  await until(() => isAlive(pidOf('n3')), 'n3 runs again')
  one.child.kill('SIGTERM')
  assert.is(await one.ended, 143)
  assert.equal((await home.json(['chaos', 'heal', '--all'])).data.clusters[0].healed, [])
  assert.is((await home.json(['chaos', 'heal', 'n9'])).exitCode, 7)
  assert.ok(problemsOf({ schema: 'raftctl.chaos.heal/1', ok: true, exitCode: 0, data: { clusters: [{}] } } as never).length > 0)
})

test('exit 2 for what makes no sense, 6 for what may not be broken, 7 for who is not there', async () => {
  const code = async (...args: string[]) => (await home.json(['chaos', ...args])).exitCode
  const senseless = [
    'kill n1 --for 10s --every 5s',
    'kill n1 --for 61m',
    'kill n1 --times 2',
    'skew n1',
    'drop --pct 101',
    'partition n1 n1',
    `run ${join(home.directory, 'nothere.yaml')}`,
  ]
  const codes = await Promise.all(senseless.map((words) => code(...words.split(' '))))
  assert.equal(
    codes,
    senseless.map(() => 2),
  )
  const file = join(home.directory, 'broken.yaml')
  writeFileSync(file, 'steps:\n  - what: kil\n    who: leader\n')
  const broken = await home.json(['chaos', 'run', file])
  assert.equal([broken.exitCode, broken.error.details.line, broken.error.details.column], [2, 2, 11])
  const remote = await home.json(['chaos', 'delay', 'n1', '--ms', '1', '-e', `127.0.0.1:${port}`])
  assert.equal([remote.exitCode, remote.error.code], [6, 'E_REMOTE'])
  const process = await home.json(['chaos', 'kill', 'n1', '-e', `127.0.0.1:${port}`, '--allow-remote'])
  assert.equal([process.exitCode, process.error.code], [6, 'E_REMOTE'])
  assert.is(await code('kill', 'n9'), 7)
  assert.is((await home.json(['kv', 'list', 'raftctl-chaos/'])).data.count, 0, 'a refused run leaves no keys')
})

test('members that differ are exit 10', async () => {
  await home.json(['kv', 'put', 'some', 'value'])
  // There is nothing to flip in n3 before it has applied that.
  const own = ['kv', 'get', 'some', '--read', 'stale', '-e', `127.0.0.1:${port + 2}`]
  while ((await home.json(own)).exitCode !== 0);
  const channel = new grpc.Client(`127.0.0.1:${port + 2}`, grpc.credentials.createInsecure())
  await new ServiceClient(Control, channel).call('SetFaults', { flip_group: 'kv' }, { timeoutMs: 5000 })
  channel.close()
  const done = await patient('chaos', 'slow-disk', 'n3', '--ms', '5', '--for', '300ms')
  assert.equal([done.exitCode, done.error.code, done.data.verdict], [10, 'E_DIVERGED', 'broken'])
})

test('acknowledged writes that are gone are exit 3, key by key', async () => {
  const kept = new Map<string, Buffer>()
  let puts = 0
  const header = () => ({ revision: puts + 1 })
  const nodes = await fakeCluster({
    kv: {
      Put: (call, done) => {
        const { key, value } = call.request
        if (puts++ % 10 !== 0) kept.set(Buffer.from(key).toString(), Buffer.from(value))
        done(null, { header: header() })
      },
      Range: (call, done) => {
        const start = Buffer.from(call.request.key).toString()
        const end = Buffer.from(call.request.range_end).toString()
        const found = [...kept].filter(([key]) => (end === '' ? key === start : key >= start && key < end)).sort()
        done(null, { header: header(), count: found.length, kvs: found.map(([key, value]) => ({ key: Buffer.from(key), value })) })
      },
      Txn: (_call, done) => done(null, { header: header(), succeeded: false, responses: [{ response_range: { kvs: [] } }] }),
      DeleteRange: (_call, done) => done(null, { header: header(), deleted: kept.size }),
    } as KvHandlers,
  })
  try {
    for (const node of nodes) node.answers.SetFaults = (_call, done) => done(null, {})
    const args = ['chaos', 'delay', 'n1', '--ms', '1', '--for', '500ms', '--allow-remote', '-e', nodes[0]!.address]
    const done = await patient(...args)
    assert.equal([done.exitCode, done.ok, done.data.verdict], [3, true, 'broken'])
    assert.ok(done.data.writes.lost.length > 0)
    assert.match(done.data.writes.lost[0].key, /^raftctl-chaos\/[0-9a-f]+\/w\d+\/\d+$/)
    assert.is(done.data.writes.lost[0].found, null)
    const { stdout, exitCode } = await home.run(args)
    assert.is(exitCode, 3)
    assert.match(stdout, /lost {2}raftctl-chaos\/.*acknowledged "\d+\.\d+", gone/)
    for (const node of nodes)
      node.answers.SetFaults = (_call, refuse) =>
        refuse(toGrpcError(grpc.status.FAILED_PRECONDITION, { code: 'E_FAULTS_DISABLED', retryable: false, applied: 'no' }, 'not enabled'))
    const disabled = await patient(...args)
    assert.equal([disabled.exitCode, disabled.error.code], [6, 'E_FAULTS_DISABLED'])
    agree(nodes, { leader: null, term: 9 })
    assert.is((await patient(...args)).exitCode, 4)
  } finally {
    for (const node of nodes) node.close()
  }
  assert.is((await home.json(['chaos', 'list', '-e', '127.0.0.1:1'])).exitCode, 5)
})

test.run()
