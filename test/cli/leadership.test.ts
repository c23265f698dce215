import * as grpc from '@grpc/grpc-js'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { toGrpcError } from '../../src/rpc/error-detail.js'
import { saveInto } from '../support/contexts.js'
import { agree, COMMIT, type FakeNode, fakeCluster } from '../support/fake-control.js'
import { CliHome } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'

const test = suite('leadership')
const home = new CliHome('warm')
let nodes: FakeNode[] = []
/** PeerIds that transfers were asked for, in order. */
let asked: string[] = []

test.before.each(async () => {
  nodes = await fakeCluster()
  asked = []
  for (const node of nodes) willing(node)
})
test.after.each(() => {
  for (const node of nodes) node.close()
})
test.after(() => home.remove())

/** Hands over to whom it is asked to, as a real leader would. */
function willing(node: FakeNode): void {
  node.answers.TransferLeader = (call, done) => {
    const at = nodes.findIndex((other) => other.peerId === call.request.target)
    asked.push(call.request.target)
    agree(nodes, { leader: at, term: 9 })
    nodes[at]!.status.leader_ready_for_ms = 0
    done(null, {
      old_leader: node.peerId,
      new_leader: nodes[at]!.peerId,
      ...{ old_term: 8, new_term: 9, paused_ms: 30, since_last_ack_ms: 31, reason: 'as asked' },
    })
  }
}

function refusing(node: FakeNode, code: string, applied: 'no' | 'unknown' = 'no', leaderHint?: string): void {
  node.answers.TransferLeader = (call, done) => {
    asked.push(call.request.target)
    done(toGrpcError(grpc.status.FAILED_PRECONDITION, { code, retryable: false, applied, leaderHint }, `refused with ${code}`))
  }
}

interface Outcome {
  readonly done: boolean
  readonly from: { readonly id: string }
  readonly to: { readonly id: string }
  readonly termAfter: number | null
  readonly gapMs: number | null
  readonly chosen: { readonly reason: string }
  readonly candidates: readonly { readonly id: string; readonly unfit: string | null }[]
}

/** The command and its document, checked by its schema. */
async function transfer(args: string[], env: Record<string, string> = {}) {
  const run = await home.run([...args, '--json'], { env })
  const document = JSON.parse(run.stdout) as { exitCode: number; error?: { code: string; message: string; hint: string }; data: Outcome }
  assert.equal(problemsOf(document as never), [])
  assert.is(document.exitCode, run.exitCode)
  return { ...run, ...document }
}

const from = (at: number) => ['-e', nodes[at]!.address]

test('pain 10: leader transfer works by name, from a follower, past an endpoint that is down, and prints the gap', async () => {
  const run = await home.run(['leader', 'transfer', 'n2', '-e', `127.0.0.1:1,${nodes[2]!.address}`])
  assert.is(run.exitCode, 0, run.stderr)
  assert.match(run.stdout, /^n1 → n2 {2}term 8 → 9 {2}gap \d+ ms {2}chosen: n2 as asked, lag 0\n$/)
  assert.equal(asked, [nodes[1]!.peerId])
})

test('a member is named by address and by PeerId too', async () => {
  assert.is((await transfer(['leader', 'transfer', nodes[1]!.address, ...from(2)])).data.to.id, 'n2')
  assert.is((await transfer(['leader', 'transfer', nodes[0]!.peerId, ...from(2)])).data.to.id, 'n1')
})

test('without a member the longest log leads next, and between equals the nearest', async () => {
  nodes[0]!.status.progress![0]!.match_index = COMMIT - 500
  const longest = await transfer(['leader', 'transfer', ...from(1)])
  assert.equal([longest.data.to.id, longest.data.chosen.reason], ['n3', 'n3 lag 0'])
  agree(nodes, { leader: 0, term: 8 })
  nodes[0]!.answers.CheckPeers = (_call, done) =>
    done(null, {
      peers: [
        { peer_id: nodes[1]!.peerId, reachable: true, p50_ms: 2.5 },
        { peer_id: nodes[2]!.peerId, reachable: true, p50_ms: 0.4 },
      ],
    })
  nodes[0]!.status.progress![1]!.match_index = COMMIT - 90
  const nearest = await transfer(['leader', 'transfer', ...from(1)])
  assert.is(nearest.data.chosen.reason, 'n3 lag 90, rtt 0.4 ms')
})

test('--dry-run says who would lead and why the others would not, and changes nothing', async () => {
  nodes[0]!.status.progress![1]!.match_index = COMMIT - 5000
  const { data, exitCode } = await transfer(['leader', 'transfer', '--dry-run', ...from(1)])
  assert.is(exitCode, 0)
  assert.equal([data.done, data.to.id, data.termAfter, data.chosen.reason], [false, 'n2', null, 'n2 the only voter fit to lead, lag 0'])
  assert.is(data.candidates[1]!.unfit, 'is 5000 entries behind, and at most 1000 are allowed')
  const { stdout } = await home.run(['leader', 'step-down', '--dry-run', ...from(1)])
  assert.match(stdout, /^Plan {2}leadership n1 → n2 .* impact: leadership\n {2}chosen: n2/)
  assert.match(stdout, /^ {2}not n3: it is 5000 entries behind/m)
  assert.equal(asked, [])
})

test('a target that is too far behind, silent, rebuilding or receiving a snapshot is exit 6 at once', async () => {
  const [, n3] = nodes[0]!.status.progress!
  for (const [changes, why] of [
    [{ match_index: COMMIT - 1001 }, 'n3 is 1001 entries behind'],
    [{ consecutive_errors: 4 }, 'n3 does not answer the leader'],
    [{ rebuilding: true }, 'n3 is rebuilding'],
    [{ state: 'snapshot' }, 'n3 is receiving a snapshot'],
  ] as const) {
    const before = { ...n3 }
    Object.assign(n3!, changes)
    const { exitCode, error } = await transfer(['leader', 'transfer', 'n3', ...from(1)])
    assert.equal([exitCode, error!.code], [6, 'E_NOT_CAUGHT_UP'])
    assert.match(error!.message, why)
    assert.is((await transfer(['leader', 'transfer', 'n3', '--dry-run', ...from(1)])).exitCode, 6)
    for (const key of Object.keys(changes)) delete (n3 as Record<string, unknown>)[key]
    Object.assign(n3!, before)
  }
  assert.equal(asked, [])
})

test('the leader has the last word: what it refuses with decides the exit code', async () => {
  for (const [code, exitCode] of [
    ['E_NOT_CAUGHT_UP', 6],
    ['E_CONFIG_PENDING', 8],
    ['E_WAIT_TIMEOUT', 124],
  ] as const) {
    refusing(nodes[0]!, code)
    assert.is((await transfer(['leader', 'transfer', 'n2', ...from(1)])).exitCode, exitCode, code)
  }
})

test('an unknown member is exit 7 and the members are listed', async () => {
  const { exitCode, error } = await transfer(['leader', 'transfer', 'n9', ...from(1)])
  assert.is(exitCode, 7)
  assert.match(error!.hint, /^Members: n1 \(127\.0\.0\.1:\d+\), n2 /)
  assert.is((await transfer(['leader', 'step-down', '--exclude', 'n9', ...from(1)])).exitCode, 7)
})

test('without a quorum, or a leader, it is exit 4; when nothing answers exit 5', async () => {
  for (const progress of nodes[0]!.status.progress!) Object.assign(progress, { last_contact_ms: 60_000, consecutive_errors: 9 })
  nodes[1]!.close()
  nodes[2]!.close()
  const alone = await transfer(['leader', 'transfer', 'n2', ...from(0)])
  assert.equal([alone.exitCode, alone.error!.code], [4, 'E_NO_QUORUM'])
  agree(nodes, { leader: null, term: 9 })
  assert.is((await transfer(['leader', 'step-down', ...from(0)])).exitCode, 4)
  assert.is((await transfer(['leader', 'transfer', '-e', '127.0.0.1:1'])).exitCode, 5)
  assert.equal(asked, [])
})

test('with --direct a follower is not asked to pass it on', async () => {
  assert.is((await transfer(['leader', 'transfer', 'n2', '--direct', ...from(1)])).error!.code, 'E_NOT_LEADER')
  assert.is((await transfer(['leader', 'transfer', 'n2', '--direct', ...from(0)])).exitCode, 0)
})

test('no verdict is exit 13 and says how to look, unless a newer leader is there to be seen', async () => {
  refusing(nodes[0]!, 'E_OUTCOME_UNKNOWN', 'unknown')
  const { exitCode, error } = await transfer(['leader', 'transfer', 'n2', ...from(1)])
  assert.is(exitCode, 13)
  assert.match(error!.hint, 'raftctl leader show')
  nodes[0]!.answers.TransferLeader = (_call, done) => {
    agree(nodes, { leader: 1, term: 9 })
    nodes[1]!.status.leader_ready_for_ms = 3
    done(toGrpcError(grpc.status.DEADLINE_EXCEEDED, { code: 'E_OUTCOME_UNKNOWN', retryable: false, applied: 'unknown' }, 'nobody known'))
  }
  const seen = await transfer(['leader', 'transfer', 'n2', ...from(1)])
  assert.equal([seen.exitCode, seen.data.to.id, seen.data.gapMs], [0, 'n2', null])
})

test('a new leader that never takes writes is exit 124; --no-wait does not look', async () => {
  const handOver = nodes[0]!.answers.TransferLeader!
  nodes[0]!.answers.TransferLeader = (call, done) =>
    handOver(call, (error, answer) => {
      delete nodes[1]!.status.leader_ready_for_ms
      done(error, answer)
    })
  const { exitCode, error } = await transfer(['leader', 'transfer', 'n2', '--timeout', '300ms', ...from(1)])
  assert.equal([exitCode, error!.code], [124, 'E_WAIT_TIMEOUT'])
  agree(nodes, { leader: 0, term: 8 })
  assert.is((await transfer(['leader', 'transfer', 'n2', '--no-wait', ...from(1)])).exitCode, 0)
})

test('a leader that lost leadership since it was found is looked for again, once', async () => {
  nodes[0]!.answers.TransferLeader = (call, done) => {
    asked.push(`n1: ${call.request.target}`)
    agree(nodes, { leader: 2, term: 9 })
    nodes[2]!.status.leader_ready_for_ms = 0
    done(toGrpcError(grpc.status.FAILED_PRECONDITION, { code: 'E_NO_LEADER', retryable: true, applied: 'no' }, 'n1 does not lead'))
  }
  const { data, exitCode } = await transfer(['leader', 'transfer', 'n2', ...from(1)])
  assert.is(exitCode, 0)
  assert.equal([data.from.id, data.to.id], ['n3', 'n2'])
  assert.equal(asked, [`n1: ${nodes[1]!.peerId}`, nodes[1]!.peerId])
})

test('a member that leads already is exit 0 and nobody is asked', async () => {
  const { stdout, exitCode } = await home.run(['leader', 'transfer', 'n1', ...from(1)])
  assert.equal([exitCode, stdout], [0, 'n1 leads already  term 8\n'])
  assert.equal(asked, [])
})

test('step-down leaves out whom it is told to, and refuses with exit 6 when nobody is left', async () => {
  assert.is((await transfer(['leader', 'step-down', '--exclude', 'n2', ...from(1)])).data.to.id, 'n3')
  agree(nodes, { leader: 0, term: 8 })
  nodes[0]!.status.progress![1]!.consecutive_errors = 3
  const { exitCode, error } = await transfer(['leader', 'step-down', '--exclude', 'n2', ...from(1)])
  assert.is(exitCode, 6)
  assert.match(error!.message, 'no voter besides n1 is fit to lead: n2 is excluded; n3 does not answer the leader')
})

test('a production context asks, a read-only one refuses, another cluster is exit 8', async () => {
  saveInto(home, { name: 'prod', endpoints: [nodes[1]!.address], env: 'production' })
  const unasked = await transfer(['leader', 'transfer', 'n2', '-c', 'prod'])
  assert.equal([unasked.exitCode, unasked.error!.code], [12, 'E_NOT_CONFIRMED'])
  assert.equal(asked, [])
  assert.is((await transfer(['leader', 'transfer', 'n2', '-c', 'prod', '--yes'])).exitCode, 0)
  assert.is((await transfer(['leader', 'transfer', 'n2', ...from(1)], { RAFTCTL_READ_ONLY: '1' })).exitCode, 6)
  saveInto(home, { name: 'other', endpoints: [nodes[1]!.address], clusterId: 'ffff0000ffff0000ffff0000ffff0000' })
  assert.is((await transfer(['leader', 'step-down', '-c', 'other'])).exitCode, 8)
})

test('a document that leaves out the gap or adds a word does not pass', async () => {
  const { stdout } = await transfer(['leader', 'transfer', 'n2', ...from(1)])
  const document = JSON.parse(stdout)
  const { gapMs: _, ...withoutGap } = document.data
  assert.ok(problemsOf({ ...document, data: withoutGap }).length > 0)
  assert.ok(problemsOf({ ...document, data: { ...document.data, mood: 'calm' } }).length > 0)
})

test.run()
