// timeout: 400s
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { saveInto } from '../support/contexts.js'
import { agree, type FakeNode, fakeCluster } from '../support/fake-control.js'
import { CliHome, type CliRun, PROJECT } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'

const test = suite('reads')
const home = new CliHome('warm')
let nodes: FakeNode[] = []

test.before.each(async () => {
  nodes = await fakeCluster()
})
test.after.each(() => {
  for (const node of nodes) node.close()
})
test.after(() => home.remove())

const any = () => ['-e', nodes[1]!.address]

/** stdout is one document that its schema accepts, and it says the exit code. */
function documentOf(run: CliRun): Record<string, never> & { ok: boolean; exitCode: number; data: never } {
  const document = JSON.parse(run.stdout)
  assert.equal(problemsOf(document), [])
  assert.is(document.exitCode, run.exitCode)
  return document
}

/** The same command with and without --json: the exit codes have to agree. */
async function both(
  args: string[],
  env: Record<string, string> = {},
): Promise<{ text: CliRun; json: CliRun; document: ReturnType<typeof documentOf> }> {
  const text = await home.run(args, { env })
  const json = await home.run([...args, '--json'], { env })
  assert.is(json.exitCode, text.exitCode, `with --json ${json.exitCode}, without ${text.exitCode}: ${text.stderr}`)
  return { text, json, document: documentOf(json) }
}

test('status of a healthy cluster is exit 0, from any one endpoint', async () => {
  const { text, document } = await both(['status', ...any()])
  assert.is(text.exitCode, 0)
  assert.match(text.stdout, /HEALTHY {2}3\/3 voters reachable · tolerates 1 more failure · leader n1 for 2h14m · term 8 · commit 1,284,511/)
  assert.match(text.stdout, /^n2 +voter +ok +8 +1,284,511/m)
  assert.is(text.stderr, '')
  const { data } = document as unknown as { data: { leader: string; nodes: unknown[] } }
  assert.is(data.leader, 'n1')
  assert.is(data.nodes.length, 3)
})

test('pain 7: a dead member is a row, exit 0, and exit 3 when asked for', async () => {
  nodes[2]!.close()
  nodes[0]!.status.progress![1]!.consecutive_errors = 9
  const { text } = await both(['status', ...any()])
  assert.is(text.exitCode, 0)
  assert.match(text.stdout, /^n3 +voter +DOWN .*tcp: connection refused/m)
  assert.match(text.stdout, /^next: n3 is down, 0 more failures tolerated/m)
  const asked = await both(['status', ...any(), '--exit-code'])
  assert.is(asked.text.exitCode, 3)
  assert.is(asked.document.ok, true)
  const rows = (document: unknown, list: string) => (document as Record<string, never>)[list] as Record<string, unknown>[]
  const dead = rows(asked.document.data, 'nodes').find((row) => row.id === 'n3')!
  const { code, stage, message } = dead.error as Record<string, unknown>
  assert.equal([dead.reachable, dead.role, code, stage, message], [false, 'voter', 'E_UNREACHABLE', 'tcp', 'connection refused'])
  const members = rows((await both(['member', 'list', ...any()])).document.data, 'members')
  assert.equal(
    members.map((row) => [row.id, row.reachable]),
    [
      ['n1', true],
      ['n2', true],
      ['n3', false],
    ],
  )
})

test('pain 8: each cause has an exit code of its own, the same with and without --json', async () => {
  const codeOf = async (args: string[], env: Record<string, string> = {}) => (await both(args, env)).text.exitCode
  saveInto(home, { name: 'pinned', endpoints: [nodes[0]!.address], clusterId: 'f'.repeat(32) })
  saveInto(home, { name: 'looking', endpoints: [nodes[0]!.address], readOnly: true })
  assert.is(await codeOf(['status', ...any()]), 0)
  assert.is(await codeOf(['status', ...any(), '--nonsense']), 2)
  assert.is(await codeOf(['status', '-e', '127.0.0.1:1']), 5)
  assert.is(await codeOf(['kv', 'put', 'a', 'b', '-c', 'looking']), 6)
  assert.is(await codeOf(['status', '-c', 'nothere']), 7)
  assert.is(await codeOf(['status', '-c', 'pinned']), 8)
  assert.is(await codeOf(['wait', 'leader=n3', '--for', '1ms', ...any()]), 124)
  assert.is(await codeOf(['sttaus']), 127)
  nodes[2]!.close()
  nodes[0]!.status.progress![1]!.consecutive_errors = 9
  assert.is(await codeOf(['status', ...any(), '--exit-code']), 3)
  agree(nodes.slice(0, 2), { leader: null, term: 9 })
  assert.is(await codeOf(['status', ...any()]), 4)
})

test('without a leader status is exit 4 with its rows in the document', async () => {
  agree(nodes, { leader: null, term: 9 })
  const { text, json, document } = await both(['status', ...any()])
  assert.is(text.exitCode, 4)
  assert.match(text.stderr, 'E_NO_LEADER')
  assert.match(json.stderr, 'E_NO_LEADER')
  assert.is(document.ok, false)
  assert.is((document.data as unknown as { nodes: unknown[] }).nodes.length, 3)
  assert.is((await both(['leader', 'show', ...any()])).text.exitCode, 4)
})

test('when nothing answers status is exit 5 and names the stage', async () => {
  const { text, document } = await both(['status', '-e', '127.0.0.1:1'])
  assert.is(text.exitCode, 5)
  assert.match(text.stderr, 'tcp: connection refused')
  const { error } = document as unknown as { error: { code: string; details: { stage: string } } }
  assert.equal([error.code, error.details.stage], ['E_UNREACHABLE', 'tcp'])
  assert.is((await both(['member', 'list', '-e', '127.0.0.1:1'])).text.exitCode, 5)
  assert.is((await both(['leader', 'show', '-e', 'no-such-host.invalid:1'])).text.exitCode, 5)
})

test('leader show has the leader prove it', async () => {
  const { text } = await both(['leader', 'show', ...any()])
  assert.is(text.exitCode, 0)
  assert.match(text.stdout, /^n1 for 2h14m {2}127\.0\.0\.1:\d+ {2}term 8, confirmed by a round of heartbeats, followed by n2 n3$/m)
  nodes[0]!.leader = { leader_id: nodes[0]!.peerId, term: 8, confirmed: false }
  assert.is((await both(['leader', 'show', ...any()])).text.exitCode, 4)
})

test('member list needs no leader', async () => {
  agree(nodes, { leader: null, term: 9 })
  const { text } = await both(['member', 'list', ...any()])
  assert.is(text.exitCode, 0)
  assert.match(text.stdout, /^n1 +127\.0\.0\.1:\d+ +voter +leaderless/m)
})

test('wait ends when it holds, with 124 when it does not, with 2 when it is no condition', async () => {
  assert.is((await both(['wait', 'leader=n1', ...any()])).text.exitCode, 0)
  assert.is((await both(['wait', 'leader=n2', ...any(), '--for', '200ms'])).text.exitCode, 124)
  assert.is((await both(['wait', 'someday', ...any()])).text.exitCode, 2)
  assert.is((await both(['wait', 'leader', '-e', '127.0.0.1:1', '--for', '100ms'])).text.exitCode, 5)
})

test('a context pins the cluster: another one that answers is exit 8', async () => {
  saveInto(home, { name: 'prod', endpoints: [nodes[0]!.address], clusterId: 'ffff0000ffff0000ffff0000ffff0000' })
  const { text, document } = await both(['status', '-c', 'prod'])
  assert.is(text.exitCode, 8)
  assert.is((document as unknown as { error: { code: string } }).error.code, 'E_CLUSTER_MISMATCH')
})

test('flag beats environment beats context beats the files', async () => {
  saveInto(home, { name: 'dead', endpoints: ['127.0.0.1:1'] })
  const context = { RAFTCTL_CONTEXT: 'dead' }
  assert.is((await home.run(['status'], { env: context })).exitCode, 5)
  assert.is((await home.run(['status'], { env: { ...context, RAFTCTL_ENDPOINT: nodes[0]!.address } })).exitCode, 0)
  assert.is((await home.run(['status', ...any()], { env: { RAFTCTL_ENDPOINT: '127.0.0.1:1' } })).exitCode, 0)
  assert.is((await home.run(['status', '-e', '127.0.0.1:1'], { env: { RAFTCTL_ENDPOINT: nodes[0]!.address } })).exitCode, 5)
})

test('an endpoint on the command line stands for itself: the selected context is left out', async () => {
  const other = new CliHome('warm')
  saveInto(other, { name: 'elsewhere', endpoints: ['127.0.0.1:1'], clusterId: 'ffff0000ffff0000ffff0000ffff0000' })
  assert.is((await other.run(['context', 'use', 'elsewhere'])).exitCode, 0)
  const alone = await other.run(['status', ...any(), '--json'])
  assert.is(alone.exitCode, 0)
  assert.is(documentOf(alone).context, null)
  assert.is((await other.run(['status', ...any(), '-c', 'elsewhere'])).exitCode, 8)
  other.remove()
})

test('--field prints one value, --columns chooses, and what is not there is exit 2', async () => {
  assert.is((await home.run(['status', ...any(), '--field', 'leader'])).stdout, 'n1\n')
  assert.is((await home.run(['status', ...any(), '--field', 'nodes[].id'])).stdout, 'n1\nn2\nn3\n')
  assert.is((await home.run(['status', ...any(), '--field', 'laeder'])).exitCode, 2)
  assert.is((await home.run(['member', 'list', ...any(), '--columns', 'id', '--no-headers'])).stdout, 'n1\nn2\nn3\n')
  assert.is((await home.run(['member', 'list', ...any(), '--columns', 'idd'])).exitCode, 2)
})

test('a pipe that closes early ends it quietly', async () => {
  const { execa } = await import('execa')
  const run = await execa('sh', ['-c', `"$0" bin/run.js status -e ${nodes[0]!.address} --watch=50ms | head -1`, process.execPath], {
    cwd: PROJECT,
    env: home.environment(),
    extendEnv: false,
    timeout: 20_000,
  })
  assert.match(run.stdout, 'HEALTHY')
  assert.is(run.stderr, '')
})

test('watching with --json is one document a line; SIGINT ends it with 130', async () => {
  const child = home.start(['status', ...any(), '--watch=50ms', '--json'])
  const lines: string[] = []
  for await (const line of child) {
    lines.push(String(line))
    if (lines.length === 3) child.kill('SIGINT')
    if (lines.length > 50) break
  }
  const end = await child
  assert.is(end.exitCode, 130)
  assert.ok(lines.length >= 3)
  for (const line of lines) assert.equal(problemsOf(JSON.parse(line)), [])
})

test.run()
