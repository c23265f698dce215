import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Configuration, ConfigurationEntry } from '../../../src/raft/configuration.js'
import { ErrorCode, ErrorType, RaftError, Status } from '../../../src/raft/errors.js'
import type { PeerStatus } from '../../../src/raft/node-status.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { readinessOf, readyPage } from '../../../src/rpc/health.js'
import type { HttpReply } from '../../../src/rpc/http.js'
import { NodeManager } from '../../../src/rpc/node-manager.js'
import { raftStatHandler, raftStatPage } from '../../../src/rpc/raft-stat.js'
import { FakeNode, FIXTURES, nodeStatus, peer } from '../../support/rpc.js'

type TextReply = HttpReply & { readonly body: string }

const PEERS = Configuration.parse('127.0.0.1:8500,127.0.0.1:8501,127.0.0.1:8503')!

function configurationAt(index: number, term: number): ConfigurationEntry {
  return new ConfigurationEntry({ index: logIndex(index), term: asTerm(term) }, PEERS)
}

function peerStatus(text: string, overrides: Partial<PeerStatus> = {}): PeerStatus {
  const base = { matchIndex: logIndex(82), nextIndex: logIndex(83), inflightRequests: 0, inflightBytes: 0, state: 'replicate' as const }
  return {
    peerId: peer(text),
    ...base,
    lastContactMs: 5,
    consecutiveErrors: 0,
    lastError: '',
    rebuilding: false,
    isShort: false,
    readonlyIndex: logIndex(0),
    priority: 100,
    witness: false,
    snapshotBytesSent: 0,
    snapshotBytesTotal: 0,
    ...overrides,
  }
}

/** What the captured nodes knew of themselves. */
const CAPTURED = [
  nodeStatus(),
  nodeStatus({
    peerId: peer('127.0.0.1:8501'),
    state: 'LEADER',
    leaderContactMs: null,
    configuration: configurationAt(79, 3),
    firstIndex: logIndex(75),
    electionTimer: { timeoutMs: 1000, firesInMs: null },
    stepdownTimer: { timeoutMs: 1000, firesInMs: 310 },
    leaderReadyForMs: 5000,
    snapshotId: { index: logIndex(79), term: asTerm(3) },
    snapshot: { id: { index: logIndex(79), term: asTerm(3) }, state: 'idle', bytesDone: 0, bytesTotal: 0 },
    peers: [peerStatus('127.0.0.1:8500'), peerStatus('127.0.0.1:8503')],
  }),
  nodeStatus({
    peerId: peer('127.0.0.1:8502'),
    term: asTerm(2),
    leaderId: PeerId.EMPTY,
    leaderContactMs: 6762,
    configuration: configurationAt(63, 2),
    lastId: { index: logIndex(63), term: asTerm(2) },
    durableIndex: logIndex(63),
    committedIndex: logIndex(62),
    appliedIndex: logIndex(62),
    electionTimer: { timeoutMs: 1000, firesInMs: 376 },
  }),
  nodeStatus({
    peerId: peer('127.0.0.1:8503'),
    leaderContactMs: 70,
    configuration: configurationAt(79, 3),
    firstIndex: logIndex(80),
    electionTimer: { timeoutMs: 1000, firesInMs: 1745 },
    snapshotId: { index: logIndex(79), term: asTerm(3) },
  }),
]

/** What braft prints and this engine does not have: a snapshot timer, ids and counters of replicators. */
function comparable(page: string): string {
  return page
    .replace(/^snapshot_timer: .*$/gm, 'snapshot_timer:')
    .replace(/replicator_\d+@/g, 'replicator_N@')
    .replace(/ hc=\d+ ac=\d+ ic=\d+/g, '')
}

test('the page of a node in each captured state is braft’s page, line ends included', () => {
  CAPTURED.forEach((status, i) => {
    const golden = readFileSync(new URL(`counter-4-peers/raft_stat_${i}.txt`, FIXTURES), 'utf8')
    const withSnapshot = i === 0 ? { ...status, snapshotId: { index: logIndex(31), term: asTerm(2) } } : status
    const nodes = new NodeManager()
    nodes.add(new FakeNode('Counter', status.peerId, undefined, withSnapshot))
    const page = raftStatPage(nodes, null, 'plain')
    assert.is(comparable(page).replace(/\r\n$/, ''), comparable(golden).replace(/\r\n$/, ''))
    assert.ok(page.includes('snapshot_timer: timeout(0ms) STOPPED\r\n'))
    assert.ok(page.endsWith('\r\n\r\n') && golden.endsWith('\r\n\r\n'))
  })
})

function pageWith(overrides: Parameters<typeof nodeStatus>[0]): string {
  const nodes = new NodeManager()
  nodes.add(new FakeNode('Counter', peer('127.0.0.1:8500'), undefined, overrides))
  return raftStatPage(nodes, 'Counter', 'plain')
}

test('a leader says what its replicators and a configuration change are at', () => {
  const page = pageWith({
    state: 'LEADER',
    configuration: new ConfigurationEntry({ index: logIndex(5), term: asTerm(1) }, PEERS, Configuration.parse('127.0.0.1:8500')!),
    membership: { stage: 'joint', target: PEERS },
    leaderReadyForMs: 1000,
    pendingIndex: logIndex(83),
    pendingTasks: 4,
    writeLatency: null,
    snapshotId: { index: logIndex(9), term: asTerm(2) },
    peers: [
      peerStatus('127.0.0.1:8501', { state: 'blocked', consecutiveErrors: 7 }),
      peerStatus('127.0.0.1:8502', { state: 'snapshot' }),
      peerStatus('127.0.0.1:8503', { inflightRequests: 2, matchIndex: logIndex(80), nextIndex: logIndex(84) }),
    ],
  })
  assert.match(page, 'changing_conf: YES    stage: STAGE_JOINT\r\nnew_peers: 127.0.0.1:8500:0:0 127.0.0.1:8501:0:0 127.0.0.1:8503:0:0\r\n')
  assert.match(page, 'old_peers: 127.0.0.1:8500:0:0\r\n')
  assert.match(page, 'pending_index: 83\r\npending_queue_size: 4\r\n')
  assert.match(page, 'replicator_1@127.0.0.1:8501:0:0: next_index=83  flying_append_entries_size=0 blocking consecutive_error_times=7\r\n')
  assert.match(page, 'replicator_2@127.0.0.1:8502:0:0: next_index=83  flying_append_entries_size=0 installing snapshot {9, 2}\r\n')
  assert.match(page, 'replicator_3@127.0.0.1:8503:0:0: next_index=84  flying_append_entries_size=2 appending [81, 83]\r\n')
  assert.not.match(page, 'leader: ')

  const readonly = pageWith({ state: 'LEADER', readonly: true, peers: [peerStatus('127.0.0.1:8501', { readonlyIndex: logIndex(81) })] })
  assert.match(readonly, 'state: LEADER\r\nreadonly: 1\r\n')
  assert.match(readonly, 'next_index=83  flying_append_entries_size=0  readonly_index=81 idle\r\n')

  const catchingUp = pageWith({ state: 'LEADER', leaderReadyForMs: 9, membership: { stage: 'catching_up', target: PEERS } })
  assert.match(catchingUp, /changing_conf: YES {4}stage: STAGE_CATCHING_UP\r\nnew_peers: .*\r\nold_peers: /)
  const stable = pageWith({ state: 'LEADER', leaderReadyForMs: 9, membership: { stage: 'stable', target: PEERS } })
  assert.match(stable, /changing_conf: YES {4}stage: STAGE_STABLE\r\nnew_peers: /)
  assert.match(pageWith({ state: 'LEADER' }), 'changing_conf: YES    stage: STAGE_STABLE\r\n', 'its first entry is not committed yet')
})

test('without a leader the page says so, and that nothing was heard', () => {
  assert.match(pageWith({ leaderId: PeerId.EMPTY, leaderContactMs: null }), 'leader: 0.0.0.0:0:0:0\r\nlast_msg_to_now: -1\r\n')
})

test('a page lists all groups in order, one group by its name, and nothing for an unknown one', () => {
  const nodes = new NodeManager()
  for (const [group, id] of [
    ['b', '127.0.0.1:2'],
    ['a/b', '127.0.0.1:1'],
    ['b', '127.0.0.1:1'],
  ] as const)
    nodes.add(new FakeNode(group, peer(id)))
  const all = raftStatPage(nodes, null, 'plain')
  assert.equal(all.match(/^\[.*\]|^peer_id: .*/gm), [
    '[a/b]',
    'peer_id: 127.0.0.1:1:0:0',
    '[b]',
    'peer_id: 127.0.0.1:1:0:0',
    'peer_id: 127.0.0.1:2:0:0',
  ])
  assert.is(raftStatPage(nodes, 'nothere', 'plain'), '')
  const handler = raftStatHandler(nodes)
  const get = (path: string) => (handler({ path, query: new URLSearchParams(), headers: {} }) as TextReply).body
  assert.equal(get('/raft_stat/a%2Fb').match(/^\[.*\]/gm), ['[a/b]'])
  assert.equal(get('/raft_stat/a/b/').match(/^\[.*\]/gm), ['[a/b]'])
  assert.is(get('/raft_stat/a/nothere'), '', 'what follows a name of a group belongs to it')
  assert.is(get('/raft_stat/%zz'), '')
  assert.is(get('/raft_stat'), all)
})

test('browsers get HTML, curl and ?console=1 get text, and names cannot inject markup', () => {
  const nodes = new NodeManager()
  nodes.add(new FakeNode('<script>', peer('127.0.0.1:8500')))
  const handler = raftStatHandler(nodes)
  const get = (query: string, headers: Record<string, string>) =>
    handler({ path: '/raft_stat', query: new URLSearchParams(query), headers }) as TextReply
  for (const reply of [get('', { 'user-agent': 'Mozilla/5.0' }), get('console=0', {})]) {
    assert.match(reply.contentType, 'text/html')
    assert.match(reply.body, '<h1>&lt;script&gt;</h1>')
    assert.match(reply.body, '<a href="http://127.0.0.1:8501/raft_stat/%3Cscript%3E">127.0.0.1:8501:0:0</a>')
    assert.not.match(reply.body, '<script>')
  }
  for (const reply of [get('', { 'user-agent': 'curl/8' }), get('', {}), get('console=1', { 'user-agent': 'Mozilla/5.0' })]) {
    assert.match(reply.contentType, 'text/plain')
    assert.match(reply.body, '[<script>]\r\n')
  }
})

test('a process is ready when it hosts a group and each one knows a leader and did not fail', () => {
  const nodes = new NodeManager()
  const ready = () => readyPage(nodes)({ path: '/readyz', query: new URLSearchParams(), headers: {} }) as TextReply
  assert.is(ready().status, 503)
  nodes.add(new FakeNode('a', peer('127.0.0.1:1')))
  assert.is(ready().status, 200)
  assert.equal(JSON.parse(ready().body).ready, true)
  const other = new FakeNode('b', peer('127.0.0.1:1'), undefined, { leaderId: PeerId.EMPTY })
  nodes.add(other)
  assert.is(ready().status, 503)
  assert.is(JSON.parse(ready().body).groups[1].reason, 'no leader is known')
  const error = new RaftError(ErrorType.LOG, Status.error(ErrorCode.EIO, 'disk gone'))
  other.current = nodeStatus({ groupId: 'b', state: 'ERROR', error })
  assert.is(readinessOf(other).reason, 'stopped by an error: EIO: disk gone')
  nodes.remove(other)
  assert.is(ready().status, 200)
})

test('a node manager holds one node per group and identity, whatever its role', () => {
  const nodes = new NodeManager<FakeNode>()
  const node = new FakeNode('a', peer('127.0.0.1:1:0:0'))
  const witness = new FakeNode('a', peer('127.0.0.1:1:0:1'))
  assert.ok(nodes.add(node))
  assert.not.ok(nodes.add(witness))
  assert.not.ok(nodes.remove(witness))
  assert.is(nodes.get('a', witness.peerId), node)
  assert.is(nodes.get('a', peer('127.0.0.1:1:1')), null)
  assert.is(nodes.get('b', node.peerId), null)
  assert.equal(nodes.nodesOf('b'), [])
  assert.ok(nodes.remove(node))
  assert.equal(nodes.all(), [])
  assert.ok(nodes.add(witness))
})

test.run()
