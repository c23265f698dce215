import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseRaftStat, type RaftStat, RaftStatError } from '../../../src/rpc/raft-stat-text.js'
import { FIXTURES } from '../../support/rpc.js'

const test = suite('raft_stat, read')

function golden(at: number): string {
  return readFileSync(new URL(`counter-4-peers/raft_stat_${at}.txt`, FIXTURES), 'utf8')
}

function only(page: string): RaftStat {
  const nodes = parseRaftStat(page)
  assert.is(nodes.length, 1)
  return nodes[0]!
}

const PEERS = ['127.0.0.1:8500:0:0', '127.0.0.1:8501:0:0', '127.0.0.1:8503:0:0']

test('the page of a leader of braft', () => {
  assert.equal(only(golden(1)), {
    ...{ group: 'Counter', peerId: '127.0.0.1:8501:0:0', state: 'LEADER', readOnly: false, term: 3, confIndex: 79, peers: PEERS },
    ...{ stage: 'none', newPeers: null, oldPeers: null, leader: null, leaderContactMs: null },
    ...{ electionTimeoutMs: 1000, snapshotIntervalMs: 3_600_000, firstIndex: 75, lastIndex: 82, diskIndex: 82, appliedIndex: 82 },
    ...{ lastTerm: 3, machine: 'Idle', committedIndex: 82, snapshotIndex: 79, snapshotTerm: 3, snapshotState: 'idle' },
    replicators: [
      { peerId: '127.0.0.1:8500:0:0', nextIndex: 83, flying: 0, activity: 'idle', appending: null, installing: null, errors: 0 },
      { peerId: '127.0.0.1:8503:0:0', nextIndex: 83, flying: 0, activity: 'idle', appending: null, installing: null, errors: 0 },
    ],
  })
})

test('the pages of followers of braft, with a leader and without', () => {
  const { leader, leaderContactMs, stage, committedIndex, replicators } = only(golden(0))
  assert.equal([leader, leaderContactMs, stage, committedIndex, replicators], ['127.0.0.1:8501:0:0', 20, null, 82, []])
  assert.equal([only(golden(2)).leader, only(golden(2)).leaderContactMs, only(golden(2)).confIndex], ['0.0.0.0:0:0:0', 6762, 63])
})

test('several groups on one page, and none on an empty one', () => {
  const page = golden(0) + golden(1).replace('[Counter]', '[a/b: c]')
  assert.equal(
    parseRaftStat(page).map(({ group, peerId }) => [group, peerId]),
    [
      ['Counter', '127.0.0.1:8500:0:0'],
      ['a/b: c', '127.0.0.1:8501:0:0'],
    ],
  )
  assert.equal(parseRaftStat(''), [])
  assert.equal(parseRaftStat('\r\n'), [])
})

test('several nodes of one group in a process', () => {
  const body = golden(0).slice('[Counter]\r\n'.length)
  const page = `${golden(0)}${body.replace('peer_id: 127.0.0.1:8500:0:0', 'peer_id: 127.0.0.1:8500:1:0')}`
  assert.equal(
    parseRaftStat(page).map(({ peerId }) => peerId),
    ['127.0.0.1:8500:0:0', '127.0.0.1:8500:1:0'],
  )
})

test('a change that runs, and what a leader says of peers that are behind', () => {
  const page = golden(1)
    .replace(
      'changing_conf: NO    stage: STAGE_NONE',
      'changing_conf: YES    stage: STAGE_CATCHING_UP\r\nnew_peers: a:1:0:0 b:2:0:0\r\nold_peers: a:1:0:0',
    )
    .replace(
      /next_index=83 {2}flying_append_entries_size=0 idle hc=66 ac=15 ic=0/,
      'next_index=75  flying_append_entries_size=0 installing snapshot {79, 3} hc=1 ac=2 ic=1',
    )
    .replace(
      'flying_append_entries_size=0 idle hc=66 ac=17',
      'flying_append_entries_size=8 appending [75, 82] consecutive_error_times=4 hc=66 ac=17',
    )
  const { stage, newPeers, oldPeers, replicators } = only(page)
  assert.equal([stage, newPeers, oldPeers], ['catching_up', ['a:1:0:0', 'b:2:0:0'], ['a:1:0:0']])
  assert.equal(
    replicators.map(({ activity, appending, installing, errors, flying }) => [activity, appending, installing, errors, flying]),
    [
      ['installing', null, 79, 0, 0],
      ['appending', { first: 75, last: 82 }, null, 4, 8],
    ],
  )
})

test('lines that nobody knows are passed over, one that everybody says may not be missing', () => {
  assert.equal(only(golden(0).replace('readonly: 0', 'newer_line: 7\r\nreadonly: 0')), only(golden(0)))
  for (const line of [
    'term',
    'state',
    'peers',
    'conf_index',
    'storage',
    'disk_index',
    'known_applied_index',
    'last_committed_index',
    'last_log_id',
  ])
    assert.throws(
      () => parseRaftStat(golden(0).replace(new RegExp(`^${line}: .*\\r?\\n`, 'm'), '')),
      (error: Error) => error instanceof RaftStatError && error.message.includes(line),
    )
})

test('what is no page, or holds what is no number, is refused with what it is', () => {
  for (const page of [
    '<html></html>',
    'peer_id: 127.0.0.1:1:0:0',
    golden(0).replace('term: 3', 'term: three'),
    golden(0).replace('storage: [1, 82]', 'storage: [1]'),
    golden(1).replace(/next_index=83/, 'next_index=x'),
    golden(1).replace('STAGE_NONE', ''),
  ])
    assert.throws(
      () => parseRaftStat(page),
      (error: Error) => error instanceof RaftStatError,
    )
})

test.run()
