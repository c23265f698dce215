import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { ProcessFacts } from '../../../src/admin/engines/braft-pages.js'
import { braftReport, matchOf } from '../../../src/admin/engines/braft-report.js'
import { parseRaftStat, type ReplicatorStat } from '../../../src/rpc/raft-stat-text.js'
import { FakeBraftCluster } from '../../support/fake-braft.js'

const test = suite('what a page of braft says of a node')
let cluster: FakeBraftCluster
test.before.each(async () => {
  cluster = await FakeBraftCluster.start()
})
test.after.each(() => cluster.close())

const nothing: ProcessFacts = { pid: null, uptimeMs: null, revision: null }

function reportOf(at: number, facts = nothing) {
  const node = cluster.nodes[at]!
  return braftReport(node.address, parseRaftStat(node.text())[0]!, facts)
}

test('what it does not say is null, and nothing else is', () => {
  const { clusterId, standing, heartbeatMs, logBytes, dataBytes, dataDir, pid, incarnation, uptimeMs, machine, leaderForMs } = reportOf(0)
  const unknown = [clusterId, standing, heartbeatMs, logBytes, dataBytes, dataDir, pid, incarnation, uptimeMs, machine, leaderForMs]
  assert.ok(unknown.every((value) => value === null))
  const { kind, term, commitIndex, appliedIndex, durableIndex, firstIndex, electionTimeoutMs, snapshot, version } = reportOf(0)
  assert.equal([kind, term, commitIndex, appliedIndex, durableIndex, firstIndex, electionTimeoutMs], ['braft', 3, 82, 82, 82, 75, 1000])
  assert.equal([snapshot, version], [{ index: 79, term: 3, bytes: null, ageMs: null }, 'braft'])
  assert.equal(reportOf(0, { pid: 7, uptimeMs: 9, revision: 'ab0017f' }).version, 'braft ab0017f')
})

test('a fourth part of 1 is a witness, and index 0 no snapshot', () => {
  const { state } = cluster.nodes[1]!
  assert.equal(
    reportOf(1).membership?.members.map(({ role }) => role),
    ['voter', 'voter', 'voter'],
  )
  Object.assign(state, { peers: [...state.peers.slice(0, 2), `${cluster.nodes[2]!.address}:0:1`], snapshotIndex: 0, snapshotTerm: 0 })
  assert.equal(
    reportOf(1).membership?.members.map(({ role }) => role),
    ['voter', 'voter', 'witness'],
  )
  assert.is(reportOf(1).snapshot, null)
})

test('a leader names itself, a follower its leader or nobody', () => {
  const [leader, follower] = cluster.nodes as [(typeof cluster.nodes)[0], (typeof cluster.nodes)[0]]
  assert.is(reportOf(0).leaderId, leader.peerId)
  assert.equal([reportOf(1).leaderId, reportOf(1).leaderContactMs], [leader.peerId, 20])
  follower.state.leader = '0.0.0.0:0:0:0'
  assert.equal([reportOf(1).leaderId, reportOf(1).leaderContactMs], [null, null])
})

test('it takes writes once the entry that opens its term is committed', () => {
  assert.is(reportOf(0).leaderReady, true)
  cluster.leader.state.confIndex = 83
  assert.is(reportOf(0).leaderReady, false)
  assert.is(reportOf(0).membership?.committed, false)
  assert.is(reportOf(1).leaderReady, false)
})

test('the old members count while the change is joint, and not while somebody catches up', () => {
  const { state } = cluster.leader
  Object.assign(state, { stage: 'CATCHING_UP', newPeers: state.peers, oldPeers: state.peers.slice(0, 2) })
  assert.equal([reportOf(0).membership?.stage, reportOf(0).membership?.oldMembers], ['catching_up', []])
  state.stage = 'JOINT'
  assert.is(reportOf(0).membership?.oldMembers.length, 2)
})

test('a peer answers unless requests to it fail, and its times are not known', () => {
  cluster.kill(cluster.nodes[2]!)
  const told = reportOf(0).progress.map(({ answering, matchIndex, state, lastContactMs }) => [answering, matchIndex, state, lastContactMs])
  assert.equal(told, [
    [true, 82, 'replicate', null],
    [false, null, 'blocked', null],
  ])
})

test('whether a peer answers is not known before it answered the first time', () => {
  const { replicators } = cluster.leader.state
  const [second, third] = [...replicators.values()]
  Object.assign(second!, { activity: 'appending [83, 82]', flying: 0 })
  Object.assign(third!, { activity: 'appending [75, 82]', flying: 8 })
  assert.equal(
    reportOf(0).progress.map(({ answering, matchIndex, state }) => [answering, matchIndex, state]),
    [
      [null, null, 'probe'],
      [true, 74, 'replicate'],
    ],
  )
})

test('what a peer holds is known once it has answered; before, the next index is a guess', () => {
  const peer: ReplicatorStat = { peerId: 'a', nextIndex: 83, flying: 0, activity: 'idle', appending: null, installing: null, errors: 0 }
  assert.is(matchOf(peer), 82)
  assert.is(matchOf({ ...peer, flying: 8, activity: 'appending', appending: { first: 75, last: 82 } }), 74)
  assert.is(matchOf({ ...peer, activity: 'appending', appending: { first: 83, last: 82 } }), null)
  assert.is(matchOf({ ...peer, errors: 1 }), null)
  assert.is(matchOf({ ...peer, activity: 'blocking' }), null)
  assert.is(matchOf({ ...peer, activity: 'installing', installing: 79 }), null)
})

test.run()
