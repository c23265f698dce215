import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { changesBetween } from '../../../src/admin/braft-watch.js'
import type { NodeReport } from '../../../src/admin/node-report.js'
import { leader, membership, peer, progress, report } from './replies.js'

const test = suite('what happened to a braft node between two looks')

const braft = (one: NodeReport): NodeReport => ({ ...one, kind: 'braft' })
const names = (before: NodeReport, after: NodeReport) => changesBetween(before, after).map(({ name }) => name)

test('nothing, when nothing but its numbers moved', () => {
  assert.equal(changesBetween(braft(report(2)), braft(report(2, { commitIndex: 200, lastIndex: 200, leaderContactMs: 40 }))), [])
})

test('an election, seen from who wins, who loses and who follows', () => {
  const won = leader({ term: 9, leaderId: peer(2), raftState: 'LEADER', leaderReady: true })
  assert.equal(names(braft(report(2)), braft(won)), ['leader.lost', 'term.raised', 'state.changed', 'election.won', 'leader.ready'])
  const lost = report(1, { term: 9, leaderId: peer(2) })
  assert.equal(names(braft(leader({ leaderReady: true })), braft(lost)), ['term.raised', 'state.changed', 'leader.followed'])
  const follows = changesBetween(braft(report(3)), braft(report(3, { term: 9, leaderId: peer(2) })))
  assert.equal(follows, [
    { name: 'leader.lost', fields: { leader: peer(1), term: '8' } },
    { name: 'term.raised', fields: { term: '9', from: '8' } },
    { name: 'leader.followed', fields: { leader: peer(2), term: '9' } },
  ])
})

test('a leader that goes silent is lost, and a new term of the same one is told', () => {
  assert.equal(names(braft(report(2)), braft(report(2, { leaderId: null }))), ['leader.lost'])
  assert.equal(names(braft(report(2)), braft(report(2, { term: 9 }))), ['term.raised', 'leader.followed'])
})

test('members that change: the stages on the leader, the configuration once it is committed', () => {
  const now = leader({ leaderReady: true })
  const catching = leader({ leaderReady: true, membership: membership(3, { stage: 'catching_up' }) })
  assert.equal(
    changesBetween(braft(now), braft(catching)).map(({ name, fields }) => [name, fields.stage]),
    [['configuration.stage', 'catching_up']],
  )
  const four = membership(4, { configIndex: 101, entryIndex: 101 })
  const told = changesBetween(braft(report(2)), braft(report(2, { membership: four })))
  assert.equal(told, [{ name: 'configuration.committed', fields: { index: '101', peers: [1, 2, 3, 4].map(peer).join(',') } }])
  const uncommitted = braft(report(2, { membership: { ...four, committed: false } }))
  assert.equal(changesBetween(braft(report(2)), uncommitted), [])
  assert.equal(names(uncommitted, braft(report(2, { membership: four }))), ['configuration.committed'])
})

test('a snapshot that cuts the log makes its last entry the one that holds the members: nothing was changed', () => {
  const snapshot = { index: 90, term: 8, bytes: null, ageMs: null }
  const before = braft(report(2, { membership: membership(3, { entryIndex: 79 }) }))
  const after = braft(report(2, { snapshot, membership: membership(3, { entryIndex: 90 }) }))
  assert.equal(names(before, after), ['snapshot.saved'])
  const others = braft(report(2, { snapshot, membership: membership(4, { entryIndex: 90 }) }))
  assert.ok(names(before, others).includes('configuration.committed'))
})

test('peers that stop answering the leader and begin again', () => {
  const heard = leader({ leaderReady: true, progress: [progress(2, { answering: true })] })
  const silent = leader({ leaderReady: true, progress: [progress(2, { answering: false, lastError: 'failed' })] })
  assert.equal(changesBetween(braft(heard), braft(silent)), [{ name: 'peer.down', fields: { peer: peer(2), status: 'failed' } }])
  assert.equal(names(braft(silent), braft(heard)), ['peer.up'])
  const unknown = leader({ leaderReady: true, progress: [progress(2, { answering: null })] })
  assert.equal([names(braft(unknown), braft(heard)), names(braft(heard), braft(unknown))], [[], []])
})

test('a snapshot within its log was taken, one beyond came from the leader', () => {
  const at = (index: number) => braft(report(2, { snapshot: { index, term: 8, bytes: null, ageMs: null } }))
  assert.equal(changesBetween(at(50), at(90)), [{ name: 'snapshot.saved', fields: { index: '90', snapshotTerm: '8' } }])
  assert.equal(names(at(50), at(5000)), ['snapshot.installed'])
  assert.equal(names(at(90), at(90)), [])
})

test('another process at the address is a start', () => {
  assert.equal(names(braft(report(2, { pid: 1 })), braft(report(2, { pid: 2 }))), ['node.started'])
  assert.equal(names(braft(report(2, { pid: null })), braft(report(2, { pid: 2 }))), [])
})

test.run()
