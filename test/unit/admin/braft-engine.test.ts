// What the engines make of a group of braft nodes, played by nodes that answer as those do.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { BraftEngine } from '../../../src/admin/engines/braft.js'
import { EitherEngine } from '../../../src/admin/engines/either.js'
import type { ChangeMembersCall, ChangeProgress } from '../../../src/admin/engines/engine.js'
import { braft } from '../../../src/generated/braft.js'
import type { ErrorCode } from '../../../src/terminal/errors.js'
import { BrpcFailure, FakeBraftCluster, type FakeBraftNode } from '../../support/fake-braft.js'
import { FakeNode } from '../../support/fake-control.js'
import { refused } from '../../support/refused.js'
import { connection } from './fake-engine.js'

const test = suite('a group of braft nodes to those who administer it')
let cluster: FakeBraftCluster
let engine: BraftEngine
let [a, b, c]: FakeBraftNode[] = []

test.before.each(async () => {
  cluster = await FakeBraftCluster.start()
  ;[a, b, c] = cluster.nodes
  engine = new BraftEngine(settings())
})
test.after.each(() => {
  engine?.[Symbol.dispose]()
  cluster?.close()
})

function settings() {
  return { ...connection, endpoints: [a!.address], group: 'Counter', timeoutMs: 10_000, connectTimeoutMs: 10_000 }
}

const at = (node: FakeBraftNode) => ({ endpoint: node.address, group: 'Counter' })
const refOf = ({ address, peerId }: FakeBraftNode) => ({ id: address, peerId })
const asked = (method: string) => cluster.nodes.flatMap((node) => node.asked.filter((one) => one === method)).length

function change(changes: Partial<ChangeMembersCall>): Promise<ChangeProgress> {
  const call: ChangeMembersCall = {
    ...at(cluster.leader),
    ...{ add: [], remove: [], expectConfigIndex: null, expectVoters: null, dryRun: false, force: false },
    ...{ catchupTimeoutMs: 10_000, reason: null, ...changes },
  }
  return engine.changeMembers(call, () => {})
}

const transfer = (from: FakeBraftNode, to: FakeBraftNode) => engine.transferLeader({ ...at(from), target: to.peerId, timeoutMs: 500 })

test('a transfer is done once somebody leads in a newer term, by its word or by that of who follows it', async () => {
  const { newLeader, newTerm } = await transfer(a!, c!)
  assert.equal([newLeader, newTerm], [c!.peerId, 4])
})

test('what a node that did not hear of the transfer says of its leader is no proof', async () => {
  cluster.transferFails = true
  Object.assign(c!.state, { leader: c!.peerId, term: 3 })
  const error = await refused(transfer(a!, c!))
  assert.equal([error.code, error.message.includes('leads on in term 3')], ['E_WAIT_TIMEOUT', true])
})

test('a node that does not lead is asked for nothing', async () => {
  const error = await refused(transfer(b!, c!))
  assert.equal([error.code, error.details.applied, asked('transfer_leader')], ['E_NO_LEADER', 'no', 0])
})

test('a transfer after which nobody leads is open, not done', async () => {
  a!.answers.set('transfer_leader', () => {
    for (const node of cluster.nodes) Object.assign(node.state, { state: 'FOLLOWER', leader: '0.0.0.0:0:0:0', term: 4 })
    return braft.TransferLeaderResponse.encode({}).finish()
  })
  assert.is((await refused(transfer(a!, c!))).code, 'E_OUTCOME_UNKNOWN')
})

test('an error that braft reports as INTERNAL is an error of every call, by its number', async () => {
  const fail = (code: number, text: string) => () => {
    throw new BrpcFailure(code, text)
  }
  const codes: [number, ErrorCode][] = [
    [2, 'E_NO_GROUP'],
    [16, 'E_CONFIG_PENDING'],
    [10003, 'E_WAIT_TIMEOUT'],
    [2001, 'E_OUTCOME_UNKNOWN'],
  ]
  for (const [number, expected] of codes) {
    a!.answers.set('remove_peer', fail(number, 'no'))
    assert.is((await refused(change({ remove: [refOf(c!)] }))).code, expected, `remove_peer ${number}`)
    b!.answers.set('reset_peer', fail(number, 'no'))
    assert.is((await refused(engine.resetMembers(resetCall(b!)))).code, expected, `reset_peer ${number}`)
  }
  assert.equal(a!.state.peers.length, 3)
  b!.answers.set('snapshot', fail(5, 'Input/output error'))
  assert.is((await refused(engine.snapshots.take(at(b!)))).code, 'E_SNAPSHOT_FAILED')
  b!.answers.set('snapshot', fail(16, 'Doing another snapshot'))
  const busy = await refused(engine.snapshots.take(at(b!)))
  assert.equal([busy.code, busy.details.applied, busy.hint?.includes('raftctl node status')], ['E_BUSY', 'no', true])
})

function resetCall(node: FakeBraftNode) {
  return { ...at(node), node: node.peerId, members: [refOf(node)], expectGeneration: null, expectConfigIndex: null }
}

test('a change that was planned upon other members is not asked for', async () => {
  const stale = await refused(change({ remove: [refOf(c!)], expectVoters: [a!.peerId, b!.peerId, '127.0.0.1:9:0:0'] }))
  assert.equal([stale.code, asked('remove_peer')], ['E_PLAN_STALE', 0])
  const stranger = await refused(change({ remove: [{ id: 'x', peerId: '127.0.0.1:9:0:0' }] }))
  assert.equal([stranger.code, asked('remove_peer')], ['E_NO_SUCH_NODE', 0])
})

test('a gate that does not hold is not passed by asking braft, which has none', async () => {
  cluster.kill(c!)
  const risk = await refused(change({ remove: [refOf(b!)] }))
  assert.equal([risk.code, risk.details.applied, asked('remove_peer')], ['E_QUORUM_AT_RISK', 'no', 0])
  const { stage, gates } = await change({ remove: [refOf(b!)], dryRun: true })
  assert.equal([stage, gates.some(({ code }) => code === 'E_QUORUM_AT_RISK'), asked('remove_peer')], ['gates', true, 0])
  await change({ remove: [refOf(b!)], force: true })
  assert.is(asked('remove_peer'), 1)
})

test('a change is read back: members that somebody else made others are said, not taken for what was asked', async () => {
  a!.answers.set('remove_peer', () => {
    a!.state.peers = [a!.peerId]
    return braft.RemovePeerResponse.encode({ old_peers: [], new_peers: [a!.peerId, b!.peerId] }).finish()
  })
  const error = await refused(change({ remove: [refOf(c!)] }))
  assert.equal([error.code, error.message.includes('somebody else changes them, too')], ['E_OUTCOME_UNKNOWN', true])
})

test('the members that braft names in its answer count for nothing: its page does', async () => {
  a!.answers.set('remove_peer', () => {
    a!.state.peers = [a!.peerId, b!.peerId]
    return Buffer.from([0xff, 0xff])
  })
  const { stage, membership } = await change({ remove: [refOf(c!)] })
  assert.equal([stage, membership?.members.length], ['done', 2])
})

test('an added peer may be named without its role', async () => {
  const fresh = await cluster.newcomer()
  a!.answers.set('add_peer', () => {
    const short = `${fresh.address}:0`
    Object.assign(a!.state, { peers: [...a!.state.peers, short] })
    return braft.AddPeerResponse.encode({ old_peers: [], new_peers: [short] }).finish()
  })
  assert.is((await change({ add: [refOf(fresh)] })).stage, 'done')
})

test('one call for one member, change_peers for more', async () => {
  const fresh = await cluster.newcomer()
  await change({ add: [refOf(fresh)] })
  await change({ remove: [refOf(fresh)] })
  await change({ add: [refOf(fresh)], remove: [refOf(c!)] })
  assert.equal([asked('add_peer'), asked('remove_peer'), asked('change_peers')], [1, 1, 1])
})

test('braft members are named by IPv4 alone', async () => {
  assert.is((await refused(change({ add: [{ id: 'x', peerId: '[::1]:8100:0:0' }] }))).code, 'E_USAGE')
})

test('members are set by hand on the node that was named, with those that are left', async () => {
  await engine.resetMembers(resetCall(b!))
  assert.equal([b!.state.peers, a!.state.peers.length], [[b!.peerId], 3])
})

test('what braft keeps to itself is null, and what it cannot do is refused', async () => {
  const count = await engine.countLog(at(a!))
  assert.equal(count, {
    ...{ firstIndex: 75, lastIndex: 82, entries: 8, snapshotIndex: 79 },
    ...{ bytes: null, segments: null, entriesByType: null, bytesByType: null, largest: null },
  })
  const [snapshot] = await engine.snapshots.list(at(a!))
  assert.equal(snapshot, { index: 79, term: 3, bytes: null, ageMs: null, path: null, checksum: null })
  a!.state.snapshotIndex = 0
  assert.equal(await engine.snapshots.list(at(a!)), [])
  assert.equal(await engine.settings(), {})
  for (const promise of [
    engine.confirmLeader(at(a!)),
    engine.roundTrips(at(a!)),
    engine.snapshots.mark(at(a!)),
    engine.snapshots.hash(at(a!)),
    engine.snapshots.copy({ ...at(a!), offset: 0 } as never).next(),
    engine.readLog({ ...at(a!) } as never).next(),
  ])
    assert.is((await refused(promise)).code, 'E_UNSUPPORTED')
})

test('each node is asked by what it is; one that fails otherwise is not taken for braft', async () => {
  const ours = await FakeNode.listen()
  using either = new EitherEngine(settings(), 'raftctl')
  try {
    ours.status = { group: 'Counter', peer_id: ours.peerId, state: 'FOLLOWER', term: 3, version: '0.1.0' }
    const kinds = await Promise.all([a!.address, ours.address].map((endpoint) => either.nodeStatus({ endpoint, group: 'Counter' })))
    assert.equal(
      kinds.map(({ kind }) => kind),
      ['braft', 'raftctl'],
    )
    assert.is((await refused(either.nodeStatus({ endpoint: '127.0.0.1:9', group: 'Counter' }))).code, 'E_UNREACHABLE')
    using stranger = new EitherEngine({ ...settings(), clusterId: '0'.repeat(32) }, 'raftctl')
    assert.is((await refused(stranger.nodeStatus({ endpoint: ours.address, group: 'Counter' }))).code, 'E_CLUSTER_MISMATCH')
    assert.is((await refused(either.confirmLeader(at(b!)))).code, 'E_UNSUPPORTED')
    assert.equal((await either.snapshots.list(at(b!)))[0]?.index, 79)
    await either.resetMembers(resetCall(b!))
    assert.is(asked('reset_peer'), 1)
  } finally {
    ours.close()
  }
})

test('a node whose page says that it became ours is asked as ours', async () => {
  using either = new EitherEngine(settings(), 'braft')
  assert.is((await either.nodeStatus(at(b!))).kind, 'braft')
  assert.is(asked('GetNodeStatus'), 0)
  b!.server = 'raftctl'
  await either.nodeStatus(at(b!))
  assert.is(asked('GetNodeStatus'), 1)
})

test.run()
