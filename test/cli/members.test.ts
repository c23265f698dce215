// What the commands that change members print and answer, against nodes that say what the test wants.
// timeout: 300s
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as grpc from '@grpc/grpc-js'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { raftctl } from '../../src/generated/raftctl.js'
import { toGrpcError } from '../../src/rpc/error-detail.js'
import { saveInto } from '../support/contexts.js'
import { agree, type FakeNode, fakeCluster } from '../support/fake-control.js'
import { type Document, documentOf } from '../support/local-clusters.js'
import { CliHome } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'

const test = suite('members')
const home = new CliHome('warm')
let nodes: FakeNode[] = []
let asked: raftctl.v1.ChangeMembersRequest[] = []

type Gate = raftctl.v1.GateResult.$Properties

const fine: readonly Gate[] = [
  { gate: 'G1', passed: true, message: 'n1 leads, confirmed by a quorum' },
  { gate: 'G4', passed: true, message: 'no change pending' },
]

/** The leader answers dry runs with `gates` and everything else with `verdict`. */
function decide(gates: readonly Gate[], verdict: { code: string; applied?: 'no' | 'unknown' } | 'done' = 'done'): void {
  nodes[0]!.answers.ChangeMembers = (call) => {
    asked.push(call.request)
    const { membership } = nodes[0]!.status
    call.write({ stage: 'gates', gates: [...gates], ...(membership ? { membership } : {}) })
    if (call.request.dry_run || verdict === 'done') {
      if (!call.request.dry_run) call.write({ stage: 'done', ...(membership ? { membership } : {}) })
      call.end()
      return
    }
    const detail = { code: verdict.code, retryable: false, applied: verdict.applied ?? 'no' } as const
    call.fail(toGrpcError(grpc.status.FAILED_PRECONDITION, detail, `refused with ${verdict.code}`))
  }
}

test.before.each(async () => {
  nodes = await fakeCluster()
  asked = []
  decide(fine)
})
test.after.each(() => {
  for (const node of nodes) node.close()
})
test.after(() => home.remove())

const at = () => ['-e', nodes[1]!.address]

/** With and without --json: one exit code. */
async function both(...args: string[]): Promise<{ document: Document; stdout: string; stderr: string }> {
  const text = await home.run([...args, ...at()])
  const json = await home.run([...args, ...at(), '--json'])
  assert.is(json.exitCode, text.exitCode, `${args.join(' ')}: ${text.stderr}`)
  return { document: documentOf(json, args), stdout: text.stdout, stderr: text.stderr }
}

test('a removal is planned, executed upon the configuration it was planned on, and verified', async () => {
  const { document, stdout, stderr } = await both('member', 'remove', 'n3', '--yes', '--reason', 'old')
  assert.is(document.exitCode, 0)
  assert.match(stderr, /^Plan {2}remove n3 {3}cluster 7f3a…c1 {3}impact: membership\n {2}before {2}3 voters/)
  assert.match(stdout, /n3 removed \(config 12\) {3}✓ verified on n1 n2 {3}took /)
  assert.match(stderr, 'raftctl node wipe DIR')
  const { dry_run, expect_config_index, remove, reason } = asked.at(-1)!
  assert.equal([dry_run, Number(expect_config_index), remove[0]?.peer_id, reason], [false, 12, nodes[2]!.peerId, 'old'])
})

test('every gate that does not hold is refused with its exit code, dry or not, and nothing is asked for', async () => {
  const cases = [
    ['G2', 'E_NO_QUORUM', 4],
    ['G3', 'E_QUORUM_AT_RISK', 6],
    ['G4', 'E_CONFIG_PENDING', 8],
    ['G5', 'E_NOT_CAUGHT_UP', 6],
    ['G6', 'E_CLUSTER_MISMATCH', 8],
    ['G6', 'E_NOT_JOINABLE', 6],
  ] as const
  for (const [gate, code, exitCode] of cases) {
    decide([{ gate, passed: false, code, message: 'no' }])
    for (const dry of [['--dry-run'], []]) {
      const { document } = await both('member', 'remove', 'n3', '--yes', ...dry)
      assert.equal([document.exitCode, document.error.code, document.data.executed], [exitCode, code, false], `${gate} ${dry}`)
    }
  }
  assert.ok(asked.every((request) => request.dry_run))
})

test('what the leader answers to the change itself decides the exit code', async () => {
  for (const [code, exitCode] of [
    ['E_PLAN_STALE', 8],
    ['E_CONFIG_PENDING', 8],
    ['E_WAIT_TIMEOUT', 124],
    ['E_QUORUM_AT_RISK', 6],
  ] as const) {
    decide(fine, { code })
    assert.equal([(await both('member', 'remove', 'n3', '--yes')).document.exitCode, code], [exitCode, code])
  }
})

test('a change without a verdict is exit 13 and says how to look', async () => {
  decide(fine, { code: 'E_OUTCOME_UNKNOWN', applied: 'unknown' })
  const run = await home.run(['member', 'remove', 'n3', '--yes', '--timeout', '300ms', '--json', ...at()], { timeoutMs: 30_000 })
  const document = documentOf(run)
  assert.equal([document.exitCode, document.error.code], [13, 'E_OUTCOME_UNKNOWN'])
  assert.match(document.error.hint, 'raftctl member list')
})

test('a dry run changes nothing and is exit 0, and the plan is the answer', async () => {
  const { document, stdout } = await both('member', 'add', 'n4=10.0.0.4:7004', '--dry-run')
  assert.equal([document.exitCode, document.data.executed, document.data.plan.title], [0, false, 'add n4=10.0.0.4:7004'])
  assert.match(stdout, /after {3}4 voters/)
  assert.ok(asked.every((request) => request.dry_run))
})

test('nobody who can be asked: exit 12 with the flag; --force asks for the name; production raises the level', async () => {
  assert.is((await both('member', 'remove', 'n3')).document.error.details.flag, '--yes')
  decide([...fine, { gate: 'G3', passed: false, forcible: true, code: 'E_QUORUM_AT_RISK', message: 'no' }])
  const forced = await both('member', 'remove', 'n3', '--force', '--yes')
  assert.equal([forced.document.exitCode, forced.document.error.details.flag], [12, '--confirm=7f3a0000'])
  const named = await both('member', 'remove', 'n3', '--force', '--confirm', '7f3a0000')
  assert.equal([named.document.exitCode, asked.at(-1)!.force, named.document.data.plan.forced], [0, true, true])
  assert.is((await both('member', 'remove', 'n3', '--force', '--confirm', 'prod')).document.exitCode, 12)
})

test('pain 17: a production context asks for its name, and the question names it; another cluster is exit 8', async () => {
  const { address } = nodes[0]!
  const file = join(home.directory, '.config', 'raftctl', 'contexts', 'prod.json')
  saveInto(home, { name: 'prod', endpoints: [address] })
  writeFileSync(file, JSON.stringify({ name: 'prod', endpoints: [address], clusterId: nodes[0]!.clusterId, env: 'production' }))
  const asks = documentOf(await home.run(['member', 'remove', 'n3', '-c', 'prod', '--yes', '--json']))
  assert.equal([asks.exitCode, asks.error.details.flag], [12, '--confirm=prod'])
  assert.match(asks.error.message, 'Remove n3 from prod?')
  assert.is((await home.run(['member', 'remove', 'n3', '-c', 'prod', '--confirm', 'prod'])).exitCode, 0)
  writeFileSync(file, JSON.stringify({ name: 'prod', endpoints: [address], clusterId: 'f'.repeat(32), env: 'production' }))
  const wrong = documentOf(await home.run(['member', 'remove', 'n3', '-c', 'prod', '--confirm', 'prod', '--json']))
  assert.equal([wrong.exitCode, wrong.error.code], [8, 'E_CLUSTER_MISMATCH'])
})

test('no leader is exit 4, nothing there exit 5, nobody of that name exit 7, a bad argument exit 2, a name that is taken exit 8', async () => {
  assert.is((await both('member', 'remove', 'n9', '--yes')).document.exitCode, 7)
  assert.is((await both('member', 'add', 'n4')).document.exitCode, 2)
  assert.is((await both('member', 'add')).document.exitCode, 2)
  assert.is((await both('member', 'replace', 'n3')).document.exitCode, 2)
  assert.is((await both('member', 'add', 'n3=10.0.0.9:7009', '--yes')).document.exitCode, 8)
  assert.is((await both('member', 'add', `n9=${nodes[0]!.address}`, '--yes')).document.exitCode, 8)
  assert.is((await both('member', 'apply', '-f', join(home.directory, 'nowhere.yaml'))).document.exitCode, 2)
  const nothing = await both('member', 'add', `n3=${nodes[2]!.address}`, '--yes')
  assert.equal([nothing.document.exitCode, nothing.document.data.executed], [0, false], 'it is a member already')
  agree(nodes, { leader: null, term: 9 })
  assert.is((await both('member', 'remove', 'n3', '--yes')).document.exitCode, 4)
  assert.is((await home.run(['member', 'remove', 'n3', '--yes', '-e', '127.0.0.1:1'])).exitCode, 5)
})

test('a plan from a file: executed, refused where it is no plan, stale, or of another kind', async () => {
  const file = join(home.directory, 'plan.json')
  const planned = await both('member', 'remove', 'n3', '--plan-out', file)
  assert.match(planned.stderr, `raftctl apply ${file}`)
  assert.is((await both('apply', file)).document.exitCode, 12)
  const applied = await both('apply', file, '--yes')
  assert.equal([applied.document.exitCode, applied.document.data.executed], [0, true])
  const plan = JSON.parse(readFileSync(file, 'utf8'))
  const changed = async (changes: object) => {
    const other = join(home.directory, 'other.json')
    writeFileSync(other, JSON.stringify({ ...plan, ...changes }))
    return (await both('apply', other, '--yes')).document
  }
  assert.is((await changed({ configIndex: 11 })).error.code, 'E_PLAN_STALE')
  assert.equal([(await changed({ expiresAt: new Date(0).toISOString() })).exitCode], [8])
  assert.is((await changed({ clusterId: 'f'.repeat(32) })).error.code, 'E_CLUSTER_MISMATCH')
  assert.is((await changed({ action: { kind: 'dance' } })).exitCode, 2)
  assert.is((await changed({ schema: 'raftctl.status/1' })).exitCode, 2)
  assert.is((await both('apply', join(home.directory, 'nowhere.json'))).document.exitCode, 2)
})

test('a plan from a file does not tell to start what runs by now', async () => {
  const file = join(home.directory, 'late.json')
  decide([...fine, { gate: 'G6', passed: false, code: 'E_WAIT_TIMEOUT', message: 'n4 does not answer at 127.0.0.1:9: connection refused' }])
  const planned = await both('member', 'add', 'n4=127.0.0.1:9', '--plan-out', file)
  assert.is(planned.document.exitCode, 0)
  assert.match((await both('apply', file)).stderr, 'n4 does not run yet')
  decide([...fine, { gate: 'G6', passed: true, message: 'n4 answers, version 0.1.0, empty log' }])
  const { stderr } = await both('apply', file)
  assert.match(stderr, 'n4 answers')
  assert.not.match(stderr, 'n4 does not run yet')
  assert.not.match(stderr, 'wait until all new members run')
})

test('interrupted, it is exit 130 and says whether the leader goes on without it', async () => {
  for (const [lastIndex, says] of [
    [0, 'the change had not begun'],
    [22, 'the leader goes on without this command'],
  ] as const) {
    nodes[0]!.answers.ChangeMembers = (call) => {
      call.write({ stage: 'gates', gates: [...fine] })
      if (call.request.dry_run) {
        call.end()
        return
      }
      const stalled = lastIndex === 0 ? 'does not answer: connection refused' : 'gains nothing for 2 s'
      call.write({ stage: 'catching_up', peer_id: '127.0.0.1:9:0:0', last_index: lastIndex, match_index: 8, stalled })
    }
    const child = home.start(['member', 'add', 'n4=127.0.0.1:9', '--yes', ...at()])
    for await (const line of child.iterable({ from: 'stderr' })) if (/waiting for|catches up \(/.test(line)) child.kill('SIGINT')
    const { exitCode, stderr } = await child
    assert.is(exitCode, 130)
    assert.match(String(stderr), says)
  }
})

test('pain 18: no command is taken for another, and no member for one whose name begins so', async () => {
  for (const words of [
    ['member', 'rem', 'n3'],
    ['member', 'rm', 'n3'],
    ['member', 'delete', 'n3'],
    ['member', 'del', 'n3'],
  ])
    assert.is((await home.run([...words, '--yes', ...at()])).exitCode, 127, words.join(' '))
  for (const name of ['n', '3', nodes[2]!.address.slice(0, -1)])
    assert.is((await both('member', 'remove', name, '--yes')).document.exitCode, 7, name)
  assert.ok(asked.every((request) => request.dry_run))
})

test('what was executed leaves a line in the history, with its outcome; what was not leaves none', async () => {
  const other = new CliHome('warm')
  const file = join(other.directory, '.local', 'state', 'raftctl', 'history.jsonl')
  const env = { HOME: other.directory }
  await home.run(['member', 'remove', 'n3', '--dry-run', ...at()], { env })
  await home.run(['member', 'remove', 'n3', ...at()], { env })
  assert.not.ok(existsSync(file))
  await home.run(['member', 'remove', 'n3', '--yes', '--reason', 'why not', ...at()], { env })
  decide(fine, { code: 'E_WAIT_TIMEOUT' })
  await home.run(['member', 'remove', 'n3', '--yes', ...at()], { env })
  const records = readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.equal(
    records.map(({ command, title, reason, outcome, exitCode, forced }) => [command, title, reason, outcome, exitCode, forced]),
    [
      ['member remove', 'remove n3', 'why not', 'ok', 0, false],
      ['member remove', 'remove n3', null, 'E_WAIT_TIMEOUT', 124, false],
    ],
  )
  other.remove()
})

test('read-only mode refuses before anything is asked', async () => {
  const run = await home.run(['member', 'remove', 'n3', '--yes', ...at()], { env: { RAFTCTL_READ_ONLY: '1' } })
  assert.equal([run.exitCode, asked.length], [6, 0])
})

test('a broken document of a change, or of an applied plan, fails its schema', async () => {
  const { document } = await both('member', 'remove', 'n3', '--yes')
  for (const schema of ['raftctl.member.change/1', 'raftctl.apply/1']) {
    assert.equal(problemsOf({ ...document, schema }), [])
    const { tookMs: _, ...incomplete } = document.data.result
    for (const data of [
      { ...document.data, extra: 1 },
      { ...document.data, result: incomplete },
      { ...document.data, plan: { ...document.data.plan, level: 'wild' } },
      { plan: document.data.plan, executed: true },
    ])
      assert.ok(problemsOf({ ...document, schema, data } as never).length > 0)
  }
})

test.run()
