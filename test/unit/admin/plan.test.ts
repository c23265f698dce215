import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { checkPlan, makePlan, PLAN_LIFE_MS, type PlanDraft, type PlanGate } from '../../../src/admin/plan.js'
import { readPlan, writePlan } from '../../../src/admin/plan-file.js'
import type { CliError } from '../../../src/terminal/errors.js'
import { problemsOf } from '../../support/schemas.js'

const test = suite('plan')
const directory = mkdtempSync(join(tmpdir(), 'raftctl-plan-'))
test.after(() => rmSync(directory, { recursive: true }))

const action = {
  kind: 'members.change',
  add: [],
  remove: [{ id: 'n3', address: '10.0.0.3:7003', peerId: '10.0.0.3:7003:0:0' }],
  transferTo: null,
  leaderKind: 'raftctl',
  removedBraft: [],
  ...{ learners: [], promote: [], demote: [], movedFrom: null, targetLearners: [] },
  target: [{ id: 'n1', address: '10.0.0.1:7001', peerId: '10.0.0.1:7001:0:0' }],
  force: false,
  catchupTimeoutMs: 600_000,
}

const side = { voters: [{ id: 'n1', leader: true, reachable: true, note: null }], quorum: 1, reachable: 1, tolerates: 0 }

function draft(gates: readonly PlanGate[] = [], force = false): PlanDraft<typeof action> {
  return {
    command: 'member remove',
    title: 'remove n3',
    impact: 'membership',
    level: 'moderate',
    context: 'prod',
    clusterId: '7f3a00000000000000000000000000c1',
    group: 'kv',
    configIndex: 12,
    term: 8,
    before: side,
    after: side,
    facts: [],
    gates,
    warnings: ['two voters'],
    steps: ['one'],
    reason: null,
    force,
    action,
  }
}

const gate = (name: string, passed: boolean, forcible: boolean, code: string): PlanGate => ({
  gate: name,
  passed,
  forcible,
  code: passed ? null : code,
  message: `${name} says so`,
  instead: passed ? null : 'raftctl member remove n3',
})
const G3 = gate('G3', false, true, 'E_QUORUM_AT_RISK')
const G4 = gate('G4', false, false, 'E_CONFIG_PENDING')

function thrownBy(act: () => unknown): CliError {
  try {
    act()
  } catch (thrown) {
    return thrown as CliError
  }
  throw new Error('nothing was thrown')
}

test('a plan with every gate passed is refused by nothing and valid for five minutes', () => {
  const now = new Date('2026-11-20T10:00:00Z')
  const { plan, refusal } = makePlan(draft([gate('G1', true, false, '')]), now)
  assert.is(refusal, null)
  assert.equal([plan.level, plan.forced, plan.expiresAt], ['moderate', false, '2026-11-20T10:05:00.000Z'])
  assert.equal(problemsOf(plan), [])
  checkPlan(plan, { clusterId: plan.clusterId, now: new Date(now.getTime() + PLAN_LIFE_MS) })
})

test('a gate that does not hold refuses with its code, what to do instead, and how to override', () => {
  const { refusal } = makePlan(draft([G3]))
  assert.equal([refusal?.exitCode, refusal?.code], [6, 'E_QUORUM_AT_RISK'])
  assert.is(refusal?.hint, 'do instead:  raftctl member remove n3\noverride:    --force   (you will be asked to type "prod")')
})

test('--force overrides what may be overridden, makes the plan severe, and nothing else', () => {
  const forced = makePlan(draft([G3], true))
  assert.equal([forced.refusal, forced.plan.level, forced.plan.forced], [null, 'severe', true])
  const pending = makePlan(draft([G3, G4], true))
  assert.equal([pending.refusal?.code, pending.refusal?.exitCode], ['E_CONFIG_PENDING', 8])
  const unneeded = makePlan(draft([], true))
  assert.equal([unneeded.plan.level, unneeded.plan.forced], ['moderate', false])
})

test('what the execution waits for refuses nothing, but a dry run', () => {
  const { refusal, awaited } = makePlan(draft([gate('G6', false, false, 'E_WAIT_TIMEOUT')]))
  assert.equal([refusal, awaited?.code, awaited?.exitCode], [null, 'E_WAIT_TIMEOUT', 124])
})

test('a plan is read back as it was written, for its owner only', () => {
  const { plan } = makePlan(draft())
  const file = join(directory, 'plan.json')
  writePlan(plan, file)
  assert.equal(readPlan(file), plan)
  assert.is(statSync(file).mode & 0o777, 0o600)
  assert.equal(problemsOf(JSON.parse(readFileSync(file, 'utf8'))), [])
})

test('what is no plan is exit 2 and says why', () => {
  const file = join(directory, 'no-plan.json')
  assert.is(thrownBy(() => readPlan(join(directory, 'missing.json'))).exitCode, 2)
  const { plan } = makePlan(draft())
  const { action: _, ...inert } = plan
  for (const [text, why] of [
    ['{ half', 'JSON'],
    ['null', 'raftctl.plan/1'],
    [JSON.stringify({ ...plan, schema: 'raftctl.status/1' }), 'raftctl.plan/1'],
    [JSON.stringify({ ...plan, title: 7 }), 'title'],
    [JSON.stringify({ ...plan, gates: {} }), 'gates'],
    [JSON.stringify({ ...plan, expiresAt: 'soon' }), 'expiresAt'],
    [JSON.stringify(inert), 'nothing to execute'],
  ] as const) {
    writeFileSync(file, text)
    const error = thrownBy(() => readPlan(file))
    assert.is(error.exitCode, 2)
    assert.match(error.message, why)
  }
})

test('an expired plan and a plan of another cluster are exit 8', () => {
  const { plan } = makePlan(draft(), new Date('2026-11-20T10:00:00Z'))
  const late = thrownBy(() => checkPlan(plan, { clusterId: plan.clusterId, now: new Date('2026-11-20T10:05:01Z') }))
  assert.equal([late.exitCode, late.code], [8, 'E_PLAN_STALE'])
  const elsewhere = thrownBy(() => checkPlan(plan, { clusterId: 'ffff0000ffff0000ffff0000ffff0000' }))
  assert.equal([elsewhere.exitCode, elsewhere.code], [8, 'E_CLUSTER_MISMATCH'])
})

test('a broken plan document fails its schema', () => {
  const { plan } = makePlan(draft([G3]))
  const { quorum: _, ...open } = side
  for (const broken of [
    { ...plan, extra: 1 },
    { ...plan, before: open },
    { ...plan, impact: 'read' },
    { ...plan, action: { ...action, kind: 'other' } },
    { ...plan, gates: [{ gate: 'G3' }] },
  ])
    assert.ok(problemsOf(broken).length > 0, JSON.stringify(broken))
})

test.run()
