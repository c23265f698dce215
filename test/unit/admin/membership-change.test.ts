import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClusterEngine } from '../../../src/admin/engines/engine.js'
import { parseMembers } from '../../../src/admin/members-file.js'
import { changeMembership } from '../../../src/admin/membership-change.js'
import type { ChangeMembersAction, MembershipPlan } from '../../../src/admin/membership-plan.js'
import { parseNewMember } from '../../../src/admin/membership-plan.js'
import type { MembershipReport, NodeReply } from '../../../src/admin/node-report.js'
import { makePlan } from '../../../src/admin/plan.js'
import { CliError } from '../../../src/terminal/errors.js'
import { fakeClient } from './fake-engine.js'
import { address, leader, membership, peer, report, up } from './replies.js'

const ref = (i: number) => ({ id: `n${i}`, address: address(i), peerId: peer(i) })

function removal(): MembershipPlan {
  const action: ChangeMembersAction = {
    kind: 'members.change',
    add: [],
    remove: [ref(3)],
    transferTo: null,
    leaderKind: 'raftctl',
    removedBraft: [],
    ...{ learners: [], promote: [], demote: [], movedFrom: null, targetLearners: [] },
    target: [ref(1), ref(2)],
    force: false,
    catchupTimeoutMs: 50,
  }
  return makePlan({
    ...{ command: 'member remove', title: 'remove n3', impact: 'membership', level: 'moderate', context: null, clusterId: null },
    ...{ group: 'kv', configIndex: 12, term: 8, before: null, after: null, facts: [], gates: [], warnings: [], steps: [], reason: null },
    ...{ force: false, action },
  }).plan
}

const three = membership(3, { configIndex: 12, stage: 'none' })
const two = membership(2, { configIndex: 40, stage: 'none' })

/** n1 leads; `membership` is what each of them knows. */
function replies(known: readonly MembershipReport[]): NodeReply[] {
  return known.map((membership, at) => up(at === 0 ? leader({ membership }) : report(at + 1, { membership })))
}

const progress = (membership: MembershipReport) => ({
  ...{ stage: 'done', peerId: null, matchIndex: 0, lastIndex: 0, state: '', snapshotBytesSent: 0, snapshotBytesTotal: 0 },
  ...{ stalled: null, rebuilding: false, membership, gates: [] },
})

const unknown = () => new CliError('E_OUTCOME_UNKNOWN', 'no verdict')

async function run(known: (round: number) => readonly MembershipReport[], changeMembers: ClusterEngine['changeMembers']) {
  const { client } = fakeClient((round) => replies(known(round)), {
    connection: { endpoints: [address(1)], timeoutMs: 300 },
    engine: { changeMembers },
  })
  const options = { listener: () => {}, verify: true, signal: new AbortController().signal }
  try {
    return { result: await changeMembership(client, removal(), options), error: null }
  } catch (thrown) {
    return { result: null, error: thrown as CliError }
  }
}

test('pain 6: it is done once every member says that it knows the committed configuration', async () => {
  const { result } = await run(
    () => [two, two, three],
    async () => progress(two),
  )
  assert.equal(
    [result?.configIndex, result?.verified.map((row) => [row.id, row.ok])],
    [
      40,
      [
        ['n1', true],
        ['n2', true],
      ],
    ],
  )
})

test('pain 6: the leader said done, and the members do not: exit 13, never success', async () => {
  const { error } = await run(
    () => [two, three, three],
    async () => progress(two),
  )
  assert.equal([error?.exitCode, error?.code], [13, 'E_OUTCOME_UNKNOWN'])
  assert.match(error!.message, 'n2 has not heard of it yet')
})

test('an answer that never came is looked up: what is in force decides', async () => {
  let calls = 0
  const { result } = await run(
    (round) => (round === 0 ? [three, three, three] : [two, two, three]),
    async () => {
      calls++
      throw unknown()
    },
  )
  assert.equal([result?.configIndex, calls], [40, 1])
})

test('an answer that never came is asked for again, upon the same configuration', async () => {
  const expected: (number | null)[] = []
  const { result } = await run(
    (round) => (round < 2 ? [three, three, three] : [two, two, three]),
    async (call) => {
      expected.push(call.expectConfigIndex)
      if (expected.length === 1) throw unknown()
      return progress(two)
    },
  )
  assert.equal([result?.configIndex, expected], [40, [12, 12]])
})

test('nobody can tell: exit 13, with how to look', async () => {
  const { error } = await run(
    () => [three, three, three],
    async () => {
      throw unknown()
    },
  )
  assert.is(error?.exitCode, 13)
})

test('somebody else changed the members while an answer was missing: exit 13, not success', async () => {
  const other: MembershipReport = { ...three, configIndex: 41 }
  let calls = 0
  const { error } = await run(
    (round) => (round === 0 ? [three, three, three] : [other, other, other]),
    async () => {
      calls++
      throw calls === 1 ? unknown() : new CliError('E_PLAN_STALE', 'changed')
    },
  )
  assert.equal([error?.exitCode, calls], [13, 2])
})

test('a leader that is lost before it took the change is looked for again; a refusal is final', async () => {
  let calls = 0
  const { result } = await run(
    () => [two, two, three],
    async () => {
      calls++
      if (calls === 1) throw new CliError('E_NO_LEADER', 'does not lead any more', { details: { applied: 'no' } })
      return progress(two)
    },
  )
  assert.equal([result?.configIndex, calls], [40, 2])
  for (const code of ['E_PLAN_STALE', 'E_CONFIG_PENDING', 'E_WAIT_TIMEOUT', 'E_QUORUM_AT_RISK'] as const) {
    const { error } = await run(
      () => [three, three, three],
      async () => {
        throw new CliError(code, 'no')
      },
    )
    assert.is(error?.code, code)
  }
})

test('a member is written NAME=HOST:PORT', () => {
  assert.equal(parseNewMember('n4=10.0.0.4:7004'), { id: 'n4', address: '10.0.0.4:7004' })
  assert.equal(parseNewMember('n4=[::1]:7004'), { id: 'n4', address: '[::1]:7004' })
  for (const text of ['n4', '=10.0.0.4:7004', 'n4=', 'n4=10.0.0.4', 'n 4=10.0.0.4:7004', 'n4=10.0.0.4:0'])
    assert.throws(() => parseNewMember(text), text)
})

test('a file of members is read as YAML and as JSON, and what is wrong is named with its line', () => {
  const expected = [
    { id: 'n1', address: '10.0.0.1:7001' },
    { id: 'n2', address: '10.0.0.2:7002' },
  ]
  assert.equal(parseMembers('# who\nmembers:\n  n1: 10.0.0.1:7001\n  "n2": 10.0.0.2:7002 # two\n', 'm'), expected)
  assert.equal(parseMembers('{"members": {"n1": "10.0.0.1:7001", "n2": "10.0.0.2:7002"}}', 'm'), expected)
  const refused = (text: string) => {
    try {
      parseMembers(text, 'm')
    } catch (thrown) {
      return (thrown as CliError).message
    }
    return null
  }
  assert.match(refused('members:\n  n1: nowhere\n')!, /^m:2: /)
  assert.match(refused('members:\nn1: 10.0.0.1:7001\n')!, /^m:2: /)
  assert.match(refused('n1: 10.0.0.1:7001\n')!, /^m:1: /)
  assert.match(refused('members:\n  n1: 10.0.0.1:7001\n  n2: 10.0.0.1:7001\n')!, 'stands there twice')
  assert.match(refused('members:\n')!, 'names no member')
  assert.match(refused('{"members": []}')!, 'not an object')
})

test.run()
