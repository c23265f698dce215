import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ControlCalls } from '../../../src/admin/engines/control-calls.js'
import { executeCreate, planCreate, waitForLeader } from '../../../src/admin/group-create.js'
import { draftCreation, draftRemoval, recheckGroup } from '../../../src/admin/group-plan.js'
import { halfRemoved, planRemove } from '../../../src/admin/group-remove.js'
import { type Copy, mayCount, rowsOf, surveyGroups } from '../../../src/admin/groups.js'
import { othersOf } from '../../../src/admin/membership-address.js'
import { planMembership } from '../../../src/admin/membership-plan.js'
import type { raftctl } from '../../../src/generated/raftctl.js'
import { CliError } from '../../../src/terminal/errors.js'
import { fakeClient } from './fake-engine.js'
import { address, leader, membership, peer, report, up } from './replies.js'

type Hosted = raftctl.v1.ListGroupsResponse.Group.$Properties

const UID = 'a'.repeat(32)
const KV: Hosted = { group: 'kv', state: 'FOLLOWER', standing: 'member', members: [peer(1), peer(2), peer(3)], commit_index: 9, term: 2 }

function orders(members: readonly number[], changes: Partial<Hosted> = {}): Hosted {
  const founders = [1, 2, 3].map(peer)
  return { ...KV, group: 'orders', machine: 'kv', uid: UID, founders, members: members.map(peer), ...changes }
}

/** kv runs on n1 to n3; what each process hosts besides is given by its number. Who is not named does not answer. */
function cluster(hosted: Readonly<Record<number, readonly Hosted[]>>) {
  const asked: string[] = []
  const created: string[] = []
  const { client } = fakeClient(() => [up(leader({ membership: membership(3) })), up(report(2)), up(report(3))])
  const at = new Map(Object.entries(hosted).map(([number, groups]) => [address(Number(number)), groups]))
  const send = async (endpoint: string, ask: (call: never, options: never) => unknown) => {
    asked.push(endpoint)
    const groups = at.get(endpoint)
    if (!groups) throw new CliError('E_UNREACHABLE', 'refused', { details: { reason: 'connection refused' } })
    const call = async (method: string) => {
      if (method === 'ListGroups') return { groups }
      created.push(endpoint)
      return { created: true, removed: true }
    }
    return ask({ call } as never, {} as never)
  }
  const calls = { read: send, write: send } as unknown as ControlCalls
  return { client, calls, asked, created }
}

const home = [KV]
const create = { group: 'orders', machine: 'kv', members: null, host: null }

async function refusal(work: Promise<unknown>): Promise<CliError> {
  try {
    await work
  } catch (thrown) {
    if (thrown instanceof CliError) return thrown
    throw thrown
  }
  throw new Error('it was not refused')
}

test('members that are none of the group of the connection are asked as well, and who they name in turn', async () => {
  const { client, calls } = cluster({
    1: [KV, orders([1, 4], { state: 'LEADER' })],
    ...{ 2: home, 3: home },
    4: [orders([1, 4]), orders([4, 5], { group: 'audit', uid: 'b'.repeat(32) })],
    5: [orders([4, 5], { group: 'audit', uid: 'b'.repeat(32), state: 'LEADER' })],
  })
  const found = await surveyGroups(client, calls)
  assert.equal(found.nodes.map(({ address, groups }) => [address, groups]).slice(3), [
    [address(4), 2],
    [address(5), 1],
  ])
  assert.equal(
    rowsOf(found).map(({ group, state, hosts }) => [group, state, [...hosts].sort()]),
    [
      ['audit', 'ok', [address(4), address(5)]],
      ['kv', 'no-leader', ['n1', 'n2', 'n3']],
      ['orders', 'ok', [address(4), 'n1']],
    ],
  )
})

test('a founder of long ago is asked only where what it holds is meant', async () => {
  const hosted = { 1: [KV, orders([1, 2], { founders: [peer(1), peer(9)] })], 2: [KV, orders([1, 2])], 3: home }
  const listed = cluster(hosted)
  assert.ok((await surveyGroups(listed.client, listed.calls)).nodes.every(({ error }) => error === null))
  const removed = cluster(hosted)
  const { code, message } = await refusal(planRemove(removed.client, removed.calls, { group: 'orders', node: null, force: false }))
  assert.equal([code, message.includes(address(9))], ['E_UNREACHABLE', true])
})

test('a forced removal says who was silent and may keep its copy, also outside the group of the connection', async () => {
  const { client, calls } = cluster({ 1: [KV, orders([1, 4])], 2: home, 3: home })
  assert.is((await refusal(planRemove(client, calls, { group: 'orders', node: null, force: false }))).code, 'E_UNREACHABLE')
  const plan = await planRemove(client, calls, { group: 'orders', node: null, force: true })
  assert.equal(plan.silent, [address(4)])
  const outcome = { group: 'orders', executed: true, entries: 9, silent: plan.silent, nodes: [] }
  assert.match(halfRemoved(outcome)!.message, /10\.0\.0\.4:7001 did not answer/)
})

test('a plan to create a group refuses what the nodes would refuse: a bad name, and founders that do not answer', async () => {
  const { client, calls } = cluster({ 1: home, 2: home, 3: home })
  assert.is((await refusal(planCreate(client, calls, { ...create, group: 'a/b' }))).code, 'E_USAGE')
  const dead = await refusal(planCreate(client, calls, { ...create, members: ['n1', address(7)] }))
  assert.equal([dead.code, dead.message.includes(address(7))], ['E_UNREACHABLE', true])
  assert.is((await refusal(planCreate(client, calls, { ...create, members: ['n1', 'n7'] }))).code, 'E_NO_SUCH_NODE')
})

test('unless others are named its founders are the members of the group of the connection, and nobody else', async () => {
  const { client, calls, created } = cluster({ 1: [KV, orders([1, 4], { group: 'audit' })], 2: home, 3: home, 4: [] })
  const plan = await planCreate(client, calls, create)
  assert.equal([...plan.members].sort(), ['n1', 'n2', 'n3'])
  await executeCreate(calls, plan)
  assert.equal(created.sort(), [address(1), address(2), address(3)])
  const typed = await planCreate(client, calls, { ...create, members: ['n1', `${address(4)}:0:0`] })
  assert.equal(typed.members, ['n1', address(4)], 'an address may be typed as a PeerId')
})

test('a group that has no leader in time is there all the same: what was done is told, and how to go on or undo it', async () => {
  const founding = [orders([1, 2, 3], { standing: 'founding', state: 'UNINITIALIZED', members: [] })]
  const { client, calls } = cluster({ 1: [KV, ...founding], 2: [KV, ...founding], 3: [KV, ...founding] })
  const plan = await planCreate(client, calls, create)
  const { leader, error } = await waitForLeader(calls, plan, { timeoutMs: 1 })
  assert.equal([leader, error?.code], [null, 'E_WAIT_TIMEOUT'])
  assert.match(error!.message, /^group orders is on n1, n2, n3 and has no leader yet/)
  assert.match(error!.hint!, /same command, or undo it: {2}raftctl group remove orders/)
})

test('a copy may count where its node is a voter, was one before it moved, or holds what a member holds', () => {
  const copy: Copy = {
    ...{ node: 'n4', address: address(4), group: 'orders', uid: UID, machine: 'kv', founders: [], members: [], problem: '' },
    ...{ standing: 'rebuilding', state: 'FOLLOWER', leaderId: '', term: 1, commit: 1, movedFrom: [] },
  }
  const members = [peer(1), peer(2)]
  assert.is(mayCount(copy, members), false)
  assert.is(mayCount(copy, [...members, peer(4)]), true)
  assert.is(mayCount({ ...copy, movedFrom: [peer(2)] }, members), true)
  assert.is(mayCount({ ...copy, movedFrom: [peer(3)] }, members), false)
  assert.is(mayCount({ ...copy, standing: 'member' }, members), true)
})

test('a member that moves is told which other groups of its process call it where it was', async () => {
  const both = [KV, orders([1, 3])]
  const { client, calls } = cluster({ 1: both, 2: home, 3: both })
  assert.equal(await othersOf(client, calls, { id: 'n3', from: address(3), to: '10.0.0.9:7003' }), [
    `orders has n3 at ${address(3)} too. Tell it next:  raftctl member set n3 --address 10.0.0.9:7003 -g orders`,
  ])
  assert.equal(await othersOf(client, calls, { id: 'n2', from: address(2), to: '10.0.0.9:7003' }), [])
})

const change = { command: 'member replace', add: [], remove: [], force: false, reason: null, catchupTimeoutMs: 1000 }
const { client: members } = fakeClient(() => [up(leader({ membership: membership(3) })), up(report(2)), up(report(3))], {
  engine: { changeMembers: async () => ({ gates: [] }) as never },
})

test('a member cannot take the place of another: that would only make the group smaller', async () => {
  const replaced = { ...change, add: [{ id: 'n2', address: address(2) }], remove: ['n3'] }
  const { code, hint } = await refusal(planMembership(members, replaced))
  assert.equal([code, hint], ['E_EXISTS', 'To make the group smaller:  raftctl member remove n3'])
  const { plan } = await planMembership(members, { ...change, add: [{ id: 'n2', address: address(2) }] })
  assert.equal(plan.action.add, [], 'one that is there already needs no adding')
})

test('a member that is named twice is meant once', async () => {
  const demoted = await planMembership(members, { ...change, command: 'member demote', demote: ['n2', 'n2', address(2)] })
  assert.equal(
    demoted.plan.action.demote.map(({ id }) => id),
    ['n2'],
  )
  const removed = await planMembership(members, { ...change, command: 'member remove', remove: ['n2', address(2)] })
  assert.equal(
    removed.plan.action.remove.map(({ id }) => id),
    ['n2'],
  )
})

test('a plan to create a group is executed as it was made, with the id it gave the group, and only while nobody hosts it', async () => {
  const { client, calls } = cluster({ 1: home, 2: home, 3: home })
  const { plan } = await draftCreation(client, calls, { ...create, reason: 'a tenant' })
  assert.equal([plan.title, plan.level, plan.reason, plan.group], ['create group orders', 'mild', 'a tenant', 'kv'])
  assert.equal(plan.steps.length, 3)
  const again = await recheckGroup(client, calls, plan)
  assert.is(again.plan.action.create.uid, plan.action.create.uid)

  const meanwhile = cluster({ 1: [KV, orders([1, 2, 3])], 2: home, 3: home })
  assert.is((await refusal(recheckGroup(meanwhile.client, meanwhile.calls, plan))).code, 'E_PLAN_STALE')
  const silent = cluster({ 1: home, 2: home })
  assert.is((await refusal(recheckGroup(silent.client, silent.calls, plan))).code, 'E_UNREACHABLE')
  const late = { ...plan, expiresAt: new Date(Date.now() - 1).toISOString() }
  for (const now of [cluster({ 1: home, 2: home, 3: home }), silent])
    assert.is((await refusal(recheckGroup(now.client, now.calls, late))).code, 'E_PLAN_STALE')
})

test('a plan to remove a group is severe where something is lost, and stale once other nodes hold it or it was created anew', async () => {
  const held = { 1: [KV, orders([1, 2], { state: 'LEADER' })], 2: [KV, orders([1, 2])], 3: home }
  const { client, calls } = cluster(held)
  const { plan } = await draftRemoval(client, calls, { group: 'orders', node: null, force: false, reason: null })
  assert.equal([plan.title, plan.level, plan.impact], ['remove group orders', 'severe', 'data'])
  const written = cluster({ ...held, 1: [KV, orders([1, 2], { state: 'LEADER', commit_index: 99 })] })
  assert.is((await recheckGroup(written.client, written.calls, plan)).plan, plan, 'what is written meanwhile was meant, too')

  const spread = cluster({ ...held, 3: [KV, orders([1, 2, 3])] })
  const anew = cluster({ ...held, 2: [KV, orders([1, 2], { uid: 'b'.repeat(32) })] })
  const gone = cluster({ 1: home, 2: home, 3: home })
  for (const other of [spread, anew, gone]) assert.is((await refusal(recheckGroup(other.client, other.calls, plan))).code, 'E_PLAN_STALE')

  const founding = { standing: 'founding', members: [], commit_index: 0 }
  const empty = cluster({ 1: [KV, orders([], founding)], 2: [KV, orders([], founding)], 3: [KV, orders([], founding)] })
  const unfounded = await draftRemoval(empty.client, empty.calls, { group: 'orders', node: null, force: false, reason: null })
  assert.is(unfounded.plan.level, 'moderate')
  const founded = cluster({ 1: [KV, orders([1, 2, 3])], 2: [KV, orders([1, 2, 3])], 3: [KV, orders([1, 2, 3])] })
  assert.is(
    (await refusal(recheckGroup(founded.client, founded.calls, unfounded.plan))).code,
    'E_PLAN_STALE',
    'there is something to lose now',
  )
})

test.run()
