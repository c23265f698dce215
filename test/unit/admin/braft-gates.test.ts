import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { braftGates, type Newcomer } from '../../../src/admin/engines/braft-gates.js'
import { parseRaftStat, type RaftStat } from '../../../src/rpc/raft-stat-text.js'
import { FakeBraftCluster, type FakeBraftNode } from '../../support/fake-braft.js'

const test = suite('gates of a change in a braft group')
let cluster: FakeBraftCluster
test.before.each(async () => {
  cluster = await FakeBraftCluster.start()
})
test.after.each(() => cluster.close())

const pageOf = (node: FakeBraftNode): RaftStat => parseRaftStat(node.text())[0]!
const ref = (node: FakeBraftNode) => ({ id: node.address, peerId: node.peerId })

function gates({ added = [], removed = [] }: { added?: Newcomer[]; removed?: FakeBraftNode[] }) {
  const leader = pageOf(cluster.leader)
  const others = cluster.nodes.filter((node) => node !== cluster.leader && leader.peers.includes(node.peerId)).map(pageOf)
  return braftGates({ leader, others, added, removed: removed.map(ref) })
}

const failing = (all: ReturnType<typeof gates>) =>
  all.filter(({ gate, passed }) => gate.startsWith('G') && !passed).map(({ gate, code, forcible }) => [gate, code, forcible])
const newcomer = (node: FakeBraftNode): Newcomer => ({ ...ref(node), stat: pageOf(node), problem: '', elsewhere: false })

test('a sound removal passes, and two voters are warned of', () => {
  const all = gates({ removed: [cluster.nodes[2]!] })
  assert.equal(failing(all), [])
  assert.equal(
    all.filter(({ gate }) => gate.startsWith('W')).map(({ gate }) => gate),
    ['W2'],
  )
})

test('G1: somebody in a newer term', () => {
  cluster.nodes[1]!.state.term = 4
  assert.equal(failing(gates({ removed: [cluster.nodes[2]!] })), [['G1', 'E_NO_LEADER', false]])
})

test('G2: too few answer the leader', () => {
  cluster.kill(cluster.nodes[1]!)
  cluster.kill(cluster.nodes[2]!)
  assert.equal(failing(gates({ removed: [cluster.nodes[2]!] }))[0], ['G2', 'E_NO_QUORUM', false])
})

test('G2: peers that have not answered a new leader yet count for nothing', () => {
  for (const replicator of cluster.leader.state.replicators.values()) replicator.activity = 'appending [83, 82]'
  const all = gates({ removed: [cluster.nodes[2]!] })
  assert.equal(failing(all)[0], ['G2', 'E_NO_QUORUM', false])
  assert.match(all.find(({ gate }) => gate === 'G3')!.message, `${cluster.nodes[1]!.address} has not answered this leader yet`)
})

test('G3: too few would answer afterwards; who is silent is named with the requests that failed', () => {
  cluster.kill(cluster.nodes[2]!)
  const all = gates({ removed: [cluster.nodes[1]!] })
  assert.equal(failing(all), [['G3', 'E_QUORUM_AT_RISK', true]])
  const risk = all.find(({ gate }) => gate === 'G3')!
  assert.match(risk.message, `${cluster.nodes[2]!.address} does not answer the leader (41 requests in a row failed)`)
  assert.match(risk.instead ?? '', `raftctl member remove ${cluster.nodes[2]!.address}`)
})

test('G3: nobody would be left', () => {
  assert.equal(failing(gates({ removed: cluster.nodes })), [['G3', 'E_QUORUM_AT_RISK', false]])
})

test('G4: a change that runs, the first entry of a term included', () => {
  cluster.leader.state.confIndex = 83
  assert.equal(failing(gates({ removed: [cluster.nodes[2]!] })), [['G4', 'E_CONFIG_PENDING', false]])
  Object.assign(cluster.leader.state, { confIndex: 79, stage: 'CATCHING_UP' })
  assert.equal(failing(gates({ removed: [cluster.nodes[2]!] })), [['G4', 'E_CONFIG_PENDING', false]])
})

test('G5: those that would make the quorum do not hold the log', () => {
  Object.assign(cluster.leader.state, { last: 5000, committed: 5000, applied: 5000 })
  for (const replicator of cluster.leader.state.replicators.values()) replicator.next = 100
  assert.equal(failing(gates({ removed: [cluster.nodes[2]!] })), [['G5', 'E_NOT_CAUGHT_UP', true]])
})

test('G6: an empty node passes, and one that was a member before', async () => {
  const fresh = await cluster.newcomer()
  assert.equal(failing(gates({ added: [newcomer(fresh)] })), [])
  Object.assign(fresh.state, { last: 60, peers: [fresh.peerId, cluster.nodes[0]!.peerId] })
  assert.equal(failing(gates({ added: [newcomer(fresh)] })), [])
})

test('G6: a node of another group of members, one that leads, one that broke, one that is called otherwise', async () => {
  const fresh = await cluster.newcomer()
  const refused = [['G6', 'E_NOT_JOINABLE', false]]
  fresh.state.peers = [fresh.peerId, '127.0.0.1:9:0:0']
  assert.equal(failing(gates({ added: [newcomer(fresh)] })), refused)
  Object.assign(fresh.state, { peers: [], state: 'LEADER' })
  assert.equal(failing(gates({ added: [newcomer(fresh)] })), refused)
  fresh.state.state = 'ERROR'
  assert.equal(failing(gates({ added: [newcomer(fresh)] })), refused)
  fresh.state.state = 'FOLLOWER'
  assert.equal(failing(gates({ added: [{ ...newcomer(fresh), peerId: `${fresh.address}:1:0` }] })), refused)
  assert.equal(failing(gates({ added: [{ ...newcomer(fresh), stat: null, elsewhere: true, problem: 'hosts no group Counter' }] })), refused)
})

test('G6: one that does not run is waited for', async () => {
  const silent = { id: 'a', peerId: '127.0.0.1:9:0:0', stat: null, elsewhere: false, problem: 'connection refused' }
  assert.equal(failing(gates({ added: [silent] })), [['G6', 'E_WAIT_TIMEOUT', false]])
})

test('G7: a leader that is removed hands over first', () => {
  assert.ok(gates({ removed: [cluster.leader] }).some(({ gate, passed }) => gate === 'G7' && passed))
})

test.run()
