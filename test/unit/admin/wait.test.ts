import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { assemble, survey } from '../../../src/admin/discovery.js'
import type { NodeReply } from '../../../src/admin/node-report.js'
import { statusOf } from '../../../src/admin/status.js'
import { evaluate, parseCondition, waitFor } from '../../../src/admin/wait.js'
import type { CliError } from '../../../src/terminal/errors.js'
import { fakeClient as client } from './fake-engine.js'
import { address, down, leader, progress, report, up } from './replies.js'

const STALE = { lastContactMs: 5_000, consecutiveErrors: 4 }
const healthy = [up(leader()), up(report(2)), up(report(3))]
const degraded = [up(leader({ progress: [progress(2), progress(3, STALE)] })), up(report(2)), down(3)]
const met = (condition: string, replies: NodeReply[]) =>
  evaluate(parseCondition(condition), statusOf(assemble(replies, { group: 'kv', direct: false })).status).met

test('each condition holds when it should and only then', () => {
  const lost = { leaderId: null, leaderContactMs: null }
  const leaderless = [down(1), up(report(2, lost)), up(report(3, lost))]
  const behind = [up(leader()), up(report(2)), up(report(3, { appliedIndex: 90 }))]
  const table: [string, NodeReply[], boolean][] = [
    ['leader', healthy, true],
    ['leader', leaderless, false],
    ['leader=n1', healthy, true],
    ['leader=n2', healthy, false],
    [`leader=${address(1)}`, healthy, true],
    ['healthy', healthy, true],
    ['healthy', degraded, false],
    ['node=n3:reachable', healthy, true],
    ['node=n3:reachable', degraded, false],
    ['node=n9:reachable', healthy, false],
    ['member=n3:caught-up', healthy, true],
    ['member=n3:caught-up', behind, false],
    ['member=n3:caught-up', leaderless, false],
    ['commit>=100', healthy, true],
    ['commit>=101', healthy, false],
    ['commit>=1', leaderless, false],
  ]
  for (const [condition, replies, expected] of table) assert.is(met(condition, replies), expected, condition)
})

test('what is no condition is a usage error that lists them', () => {
  for (const text of ['leder', 'commit>1', 'commit>=', 'node=:reachable', 'member=n3', '']) {
    assert.throws(
      () => parseCondition(text),
      (error: CliError) => error.exitCode === 2 && /caught-up/.test(error.hint),
    )
  }
})

test('one endpoint is enough: the others are asked as the configuration names them, each once', async () => {
  const { client: one, asked } = client(() => healthy)
  const found = await survey(one)
  assert.is(found.reports.size, 3)
  assert.equal(asked.sort(), [address(1), address(2), address(3)])
})

test('directly, only the given endpoint is asked', async () => {
  const { client: one, asked } = client(() => healthy, { connection: { direct: true } })
  await survey(one)
  assert.equal(asked, [address(2)])
})

test('a reply of another cluster than the pinned one does not count', async () => {
  const { client: one } = client(() => healthy, { connection: { clusterId: 'c9' } })
  try {
    await survey(one)
    assert.unreachable()
  } catch (error) {
    assert.is((error as CliError).code, 'E_CLUSTER_MISMATCH')
  }
})

test('waiting ends when the condition comes true', async () => {
  const { client: one } = client((round) => (round < 2 ? degraded : healthy))
  const { outcome } = await waitFor(one, 'healthy', { forMs: 20_000, signal: new AbortController().signal })
  assert.is(outcome.met, true)
  assert.is(outcome.leader, 'n1')
})

test('waiting in vain is exit 124 with what was missing; with nobody there it is exit 5', async () => {
  const codeOf = async (replies: NodeReply[]) => {
    const { client: one } = client(() => replies)
    return waitFor(one, 'healthy', { forMs: 150, signal: new AbortController().signal }).then(
      () => null,
      (error: CliError) => error,
    )
  }
  const vain = await codeOf(degraded)
  assert.is(vain?.exitCode, 124)
  assert.match(vain?.message ?? '', 'degraded: 2/3 voters reachable')
  assert.is((await codeOf([down(2)]))?.exitCode, 5)
})

test.run()
