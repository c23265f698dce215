import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Configuration, ConfigurationEntry } from '../../../src/raft/configuration.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { PeerStatus } from '../../../src/raft/node-status.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import {
  type AddedPeer,
  type Gate,
  type GateFacts,
  isUp,
  learnersOf,
  membershipGates,
  type PeerAnswer,
  standing,
  targetOf,
  WAITING,
} from '../../../src/rpc/membership-gates.js'
import { parseRaftStat, type RaftStat } from '../../../src/rpc/raft-stat-text.js'
import { FIXTURES } from '../../support/rpc.js'

const n = [1, 2, 3, 4, 5, 6, 7].map((i) => PeerId.parse(`10.0.0.${i}:7000`)!)
const [n1, n2, n3, n4, n5] = n as [PeerId, PeerId, PeerId, PeerId, PeerId]
const CLUSTER = '7f3a00000000000000000000000000c1'
const COMMIT = 1_284_511

function follower(peerId: PeerId, changes: Partial<PeerStatus> = {}): PeerStatus {
  return {
    peerId,
    matchIndex: logIndex(COMMIT),
    nextIndex: logIndex(COMMIT + 1),
    inflightRequests: 0,
    inflightBytes: 0,
    state: 'replicate',
    lastContactMs: 12,
    consecutiveErrors: 0,
    lastError: '',
    rebuilding: false,
    isShort: false,
    readonlyIndex: logIndex(0),
    priority: 100,
    ...changes,
  } as PeerStatus
}

const down = (peer: PeerId) => follower(peer, { lastContactMs: 252_000, consecutiveErrors: 9 })

const answering: PeerAnswer = {
  version: '0.1.0',
  clusterId: CLUSTER,
  standing: 'rebuilding',
  lastLogIndex: 0,
  groups: ['kv'],
  peerId: null,
  freeBytes: 210e9,
  mixed: false,
  movedFrom: [],
  incarnation: 'aa',
}

const add = (peer: PeerId, changes: Partial<PeerAnswer> | null = {}): AddedPeer => ({
  peer,
  name: `n${n.indexOf(peer) + 1}`,
  answer: changes === null ? null : { ...answering, ...changes },
  problem: changes === null ? 'connection refused' : '',
})

interface Case {
  readonly voters?: readonly PeerId[]
  readonly peers?: readonly PeerStatus[]
  readonly added?: readonly AddedPeer[]
  readonly removed?: readonly PeerId[]
  readonly stage?: 'none' | 'catching_up' | 'joint' | 'stable'
  readonly committed?: boolean
  readonly old?: readonly PeerId[]
  readonly confirmed?: Status
  readonly dataBytes?: number
  readonly mixed?: boolean
  readonly braft?: readonly PeerId[]
  readonly learners?: readonly PeerId[]
  readonly promoted?: readonly PeerId[]
  readonly demoted?: readonly PeerId[]
}

function facts(given: Case): GateFacts {
  const voters = given.voters ?? [n1, n2, n3]
  const conf = new Configuration(voters)
  return {
    groupId: 'kv',
    status: {
      peerId: n1,
      configuration: new ConfigurationEntry(
        { index: logIndex(12), term: asTerm(8) },
        conf,
        new Configuration(given.old ?? []),
        given.learners ?? [],
      ),
      configurationCommitted: given.committed ?? true,
      committedIndex: logIndex(COMMIT),
      electionTimeoutMs: 1000,
      heartbeatMs: 100,
      peers: given.peers ?? voters.filter((peer) => peer !== n1).map((peer) => follower(peer)),
      membership: { stage: given.stage ?? 'none', target: null },
    },
    confirmed: given.confirmed ?? Status.OK,
    clusterId: CLUSTER,
    version: '0.1.0',
    added: given.added ?? [],
    removed: given.removed ?? [],
    promoted: given.promoted ?? [],
    demoted: given.demoted ?? [],
    dataBytes: given.dataBytes ?? 400e6,
    mixed: given.mixed ?? false,
    isBraft: (peer) => given.braft?.includes(peer) ?? false,
    nameOf: (peer) => `n${n.findIndex((one) => one.equals(peer)) + 1}`,
  }
}

const gatesOf = (given: Case) => membershipGates(facts(given))
const inTheWay = (given: Case, force = false) => standing(gatesOf(given), { force })
const warnings = (given: Case) => gatesOf(given).filter((gate) => gate.gate.startsWith('W'))
const find = (gates: readonly Gate[], name: string) => gates.find((gate) => gate.gate === name)

/** What stands in the way first: gate, code, whether it may be forced; null: nothing does. */
const table: readonly (Case & { readonly name: string; readonly expected: readonly [string, string, boolean] | null })[] = [
  { name: 'a fourth to three', added: [add(n4)], expected: null },
  { name: 'two at once to three', added: [add(n4), add(n5)], expected: null },
  { name: 'a second to one', voters: [n1], added: [add(n2)], expected: null },
  { name: 'one of three, all up', removed: [n3], expected: null },
  { name: 'the leader', removed: [n1], expected: null },
  { name: 'down to one, all up', removed: [n2, n3], expected: null },
  { name: 'the dead one of three', peers: [follower(n2), down(n3)], removed: [n3], expected: null },
  { name: 'the dead one of three for a new one', peers: [follower(n2), down(n3)], removed: [n3], added: [add(n4)], expected: null },
  {
    name: 'G1: no quorum confirms',
    confirmed: Status.error(ErrorCode.ETIMEDOUT, 'no'),
    added: [add(n4)],
    expected: ['G1', 'E_NO_QUORUM', false],
  },
  { name: 'G2: two of three are down', peers: [down(n2), down(n3)], removed: [n3], expected: ['G2', 'E_NO_QUORUM', false] },
  {
    name: 'G2: a rebuilding voter counts for nothing',
    peers: [follower(n2, { rebuilding: true }), down(n3)],
    removed: [n3],
    expected: ['G2', 'E_NO_QUORUM', false],
  },
  {
    name: 'G3: one more than the quorum allows',
    peers: [follower(n2), down(n3)],
    removed: [n2],
    expected: ['G3', 'E_QUORUM_AT_RISK', true],
  },
  {
    name: 'G3: a voter is heard for two election timeouts and no longer',
    peers: [follower(n2), follower(n3, { lastContactMs: 2001 })],
    removed: [n2],
    expected: ['G3', 'E_QUORUM_AT_RISK', true],
  },
  {
    name: 'G3: one whose process has just gone is not waited for',
    peers: [follower(n2), follower(n3, { lastContactMs: 401, consecutiveErrors: 1 })],
    removed: [n2],
    expected: ['G3', 'E_QUORUM_AT_RISK', true],
  },
  {
    name: 'G3: a request that failed a moment after an answer is no silence',
    peers: [follower(n2), follower(n3, { lastContactMs: 400, consecutiveErrors: 1 })],
    removed: [n2],
    expected: null,
  },
  { name: 'G3: heard just in time', peers: [follower(n2), follower(n3, { lastContactMs: 2000 })], removed: [n2], expected: null },
  { name: 'G3: the last one', voters: [n1], removed: [n1], expected: ['G3', 'E_QUORUM_AT_RISK', false] },
  {
    name: 'G3: replacing a live one while another is dead',
    peers: [follower(n2), down(n3)],
    removed: [n2],
    added: [add(n4)],
    expected: null,
  },
  { name: 'G4: another change catches up', stage: 'catching_up', added: [add(n4)], expected: ['G4', 'E_CONFIG_PENDING', false] },
  { name: 'G4: joint', old: [n1, n2], stage: 'joint', added: [add(n4)], expected: ['G4', 'E_CONFIG_PENDING', false] },
  { name: 'G4: not committed', committed: false, added: [add(n4)], expected: ['G4', 'E_CONFIG_PENDING', false] },
  {
    name: 'G5: the new quorum needs one that is far behind',
    peers: [follower(n2), follower(n3, { matchIndex: logIndex(COMMIT - 1001) })],
    removed: [n2],
    expected: ['G5', 'E_NOT_CAUGHT_UP', true],
  },
  {
    name: 'G5: a thousand entries are level',
    peers: [follower(n2), follower(n3, { matchIndex: logIndex(COMMIT - 1000) })],
    removed: [n2],
    expected: null,
  },
  {
    name: 'G5: it is behind, and nobody needs it',
    peers: [follower(n2), follower(n3, { matchIndex: logIndex(1) })],
    added: [add(n4), add(n5)],
    expected: null,
  },
  { name: 'G6: another cluster', added: [add(n4, { clusterId: 'f'.repeat(32) })], expected: ['G6', 'E_CLUSTER_MISMATCH', false] },
  { name: 'G6: no cluster yet, empty log', added: [add(n4, { clusterId: null })], expected: null },
  { name: 'G6: a log of no cluster', added: [add(n4, { clusterId: null, lastLogIndex: 7 })], expected: ['G6', 'E_NOT_JOINABLE', false] },
  { name: 'G6: a log of ours', added: [add(n4, { standing: 'member', lastLogIndex: 900 })], expected: null },
  { name: 'G6: another version', added: [add(n4, { version: '0.2.0' })], expected: ['G6', 'E_NOT_JOINABLE', false] },
  { name: 'G6: the same version family', added: [add(n4, { version: '0.1.7' })], expected: null },
  { name: 'G6: founds a group of its own', added: [add(n4, { standing: 'founding' })], expected: ['G6', 'E_NOT_JOINABLE', false] },
  { name: 'G6: another group', added: [add(n4, { groups: ['other'] })], expected: ['G6', 'E_NOT_JOINABLE', false] },
  { name: 'G6: it calls itself otherwise', added: [add(n4, { peerId: '127.0.0.1:7000:0:0' })], expected: ['G6', 'E_NOT_JOINABLE', false] },
  { name: 'G6: it calls itself so', added: [add(n4, { peerId: '10.0.0.4:7000:0:0' })], expected: null },
  { name: 'G6: it does not run: that is waited for', added: [add(n4, null)], expected: null },
]

const pages = [0, 1, 2].map((at) => parseRaftStat(readFileSync(new URL(`counter-4-peers/raft_stat_${at}.txt`, FIXTURES), 'utf8'))[0]!)

/** A braft node at the address of n4, as its page shows it. */
function braftAt(peer: PeerId, changes: Partial<RaftStat> | null, problem = ''): AddedPeer {
  const stat = changes && { ...pages[0]!, peerId: peer.toString(), peers: [], lastIndex: 0, ...changes }
  return { peer, name: 'n4', answer: null, problem: '', braft: { stat, problem } }
}

const mixedTable: typeof table = [
  { name: 'mixed: an empty braft node', mixed: true, added: [braftAt(n4, {})], expected: null },
  {
    name: 'mixed: a braft node that was a member before',
    mixed: true,
    added: [braftAt(n4, { peers: [String(n1), String(n4)] })],
    expected: null,
  },
  {
    name: 'mixed: a braft node of others',
    mixed: true,
    added: [braftAt(n4, { peers: [String(n5)] })],
    expected: ['G6', 'E_NOT_JOINABLE', false],
  },
  {
    name: 'mixed: a braft node that leads',
    mixed: true,
    added: [braftAt(n4, { state: 'LEADER' })],
    expected: ['G6', 'E_NOT_JOINABLE', false],
  },
  {
    name: 'mixed: a braft node at another address',
    mixed: true,
    added: [braftAt(n4, { peerId: String(n5) })],
    expected: ['G6', 'E_NOT_JOINABLE', false],
  },
  {
    name: 'mixed: a braft process without the group',
    mixed: true,
    added: [braftAt(n4, null, 'serves other, not kv')],
    expected: ['G6', 'E_NOT_JOINABLE', false],
  },
  { name: 'not mixed: a braft node', added: [braftAt(n4, {})], expected: ['G6', 'E_MIXED', false] },
  {
    name: 'mixed: one of ours that refuses the braft members',
    mixed: true,
    braft: [n3],
    added: [add(n4)],
    expected: ['G6', 'E_MIXED', false],
  },
  { name: 'mixed: one of ours that takes them', mixed: true, braft: [n3], added: [add(n4, { mixed: true })], expected: null },
  {
    name: 'mixed: the last braft member leaves, and one of ours takes none',
    mixed: true,
    braft: [n3],
    removed: [n3],
    added: [add(n4)],
    expected: null,
  },
]

test('a braft node says by its page what it is, and is awaited by nobody', () => {
  const gate = find(gatesOf({ mixed: true, added: [braftAt(n4, {})] }), 'G6')!
  assert.equal([gate.passed, gate.message], [true, 'n4 answers, a braft node, empty log'])
  assert.equal([isUp(braftAt(n4, {})), isUp(add(n4)), isUp(add(n4, null))], [true, true, false])
})

for (const { name, expected, ...given } of [...table, ...mixedTable]) {
  test(name, () => {
    const gate = inTheWay(given)
    assert.equal(gate && [gate.gate, gate.code, gate.forcible], expected && [...expected])
    if (expected?.[2]) assert.is(inTheWay(given, true), null, 'it may be forced')
    else if (expected) assert.ok(inTheWay(given, true), 'it may not be forced')
  })
}

test('pain 24: what is tolerated afterwards is said in words, even counts and pairs are warned of', () => {
  const said = (given: Case) => warnings(given).map(({ gate, message }) => `${gate} ${message}`)
  assert.equal(said({ added: [add(n4)] }), ['W2 4 voters tolerate no more failures than 3: one more would raise it to 2'])
  assert.equal(said({ added: [add(n4), add(n5)] }), [])
  assert.equal(said({ peers: [follower(n2), down(n3)], removed: [n3] }), [
    'W2 two voters: losing either one stops writes. Better: raftctl member replace n3 NEW=HOST:PORT',
  ])
  assert.equal(
    said({ peers: [follower(n2), down(n3)], removed: [n2] }).filter((text) => text.startsWith('W2')),
    ['W2 two voters: losing either one stops writes. Better: raftctl member replace n3 NEW=HOST:PORT'],
    'who is down is replaced first, whoever is to be removed',
  )
  assert.equal(said({ voters: [n1], added: [add(n2)] }), ['W2 two voters: losing either one stops writes. Add a third.'])
  assert.equal(said({ removed: [n2, n3] }), ['W1 no failure tolerated afterwards, and 1 failure now'])
  assert.equal(said({ voters: [n1, n2, n3, n4, n5], removed: [n4, n5] }), ['W1 1 failure tolerated afterwards, and 2 failures now'])
  assert.equal(said({ peers: [follower(n2), down(n3)], removed: [n3], added: [add(n4)] }), [])
})

test('a disk too short for the data is warned of', () => {
  const short = warnings({ added: [add(n4, { freeBytes: 700e6 }), add(n5)], dataBytes: 400e6 })
  assert.equal(
    short.map(({ gate, message }) => [gate, message]),
    [['W3', 'n4 has 700 MB of disk left, and the leader keeps 400 MB']],
  )
  assert.equal(warnings({ added: [add(n4, { freeBytes: null }), add(n5)] }), [])
})

test('the refusal says what is needed, who is silent since when, and what to do instead', () => {
  const gate = inTheWay({ peers: [follower(n2), down(n3)], removed: [n2] })!
  assert.is(
    gate.message,
    'removing n2 leaves voters n1, n3, but only n1 is reachable: writes would stop (needed 2, reachable 1). n3 has not answered for 4m12s.',
  )
  assert.is(gate.instead, 'raftctl member remove n3     (safe: leaves n1 n2, up)')
})

test('removing the leader says that leadership moves first, and nobody else', () => {
  assert.match(find(gatesOf({ removed: [n1] }), 'G7')!.message, 'n1 leads and is removed')
  assert.is(find(gatesOf({ removed: [n2] }), 'G7'), undefined)
})

test('who does not answer is named with why, and is the only gate that does not hold without standing in the way', () => {
  const gates = gatesOf({ added: [add(n4, null)] })
  const silent = find(gates, 'G6')!
  assert.equal([silent.passed, silent.code, silent.message], [false, WAITING, 'n4 does not answer at 10.0.0.4:7000: connection refused'])
  assert.is(standing(gates, { force: false }), null)
})

test('what holds says so in words', () => {
  const gates = gatesOf({ added: [add(n4)] })
  assert.equal(
    gates.filter((gate) => gate.passed).map(({ gate, message }) => `${gate} ${message}`),
    [
      'G1 n1 leads, confirmed by a quorum',
      'G2 3 of 3 voters answer the leader',
      'G3 4 of 4 answer afterwards, 3 are needed',
      'G5 4 of 4 hold the log',
      'G4 no change pending',
      'G6 n4 answers, version 0.1.0, empty log',
    ],
  )
})

test('what becomes of voters and learners', () => {
  const [n4, n5] = [n[3]!, n[4]!]
  const ports = (peers: readonly PeerId[]) =>
    peers
      .map((peer) => n.indexOf(peer) + 1)
      .sort()
      .join()
  const after = (given: Case) => [ports(targetOf(facts(given)).peers), ports(learnersOf(facts(given)))]
  assert.equal(after({ added: [{ ...add(n4), learner: true }] }), ['1,2,3', '4'])
  assert.equal(after({ learners: [n4], promoted: [n4] }), ['1,2,3,4', ''])
  assert.equal(after({ learners: [n4], promoted: [n4], demoted: [n3], added: [{ ...add(n5), learner: true }] }), ['1,2,4', '3,5'])
  assert.equal(after({ learners: [n4], removed: [n4] }), ['1,2,3', ''])
})

test('a learner is added without a word about voters; one that answers is waited for, one that does not is not promoted', () => {
  const n4 = n[3]!
  assert.equal(warnings({ added: [{ ...add(n4), learner: true }], voters: [n1, n2] }), [])
  const level = [follower(n2), follower(n3)]
  const behind = { learners: [n4], promoted: [n4], peers: [...level, follower(n4, { matchIndex: logIndex(COMMIT - 7000) })] }
  assert.is(inTheWay(behind), null)
  assert.match(
    gatesOf(behind)
      .map((gate) => gate.message)
      .join('; '),
    /n4 lacks 7,000 entries, and is waited for/,
  )
  const silent = inTheWay({ ...behind, peers: [...level, down(n4)] }, true)
  assert.equal([silent?.code, silent?.message], ['E_NOT_CAUGHT_UP', 'n4 has not answered for 4m12s: a learner votes once it holds the log'])
})

test('a voter is not demoted where that leaves no quorum; the leader hands over first', () => {
  const risk = inTheWay({ demoted: [n2], peers: [follower(n2), down(n3)] })
  assert.is(risk?.code, 'E_QUORUM_AT_RISK')
  assert.match(risk!.message, /^demoting n2 leaves voters n1, n3, but only n1 is reachable/)
  const last = inTheWay({ voters: [n1], demoted: [n1], peers: [] })
  assert.equal([last?.message, last?.instead], ['this would leave no voter at all', 'raftctl member replace n1 NEW=HOST:PORT'])
  assert.is(find(gatesOf({ demoted: [n1] }), 'G7')?.message, 'n1 leads and is made a learner: leadership moves first')
})

test('a directory of another member is not taken for this one, nor added beside itself', () => {
  const n4 = n[3]!
  const moving = (had: PeerId | null, lastLogIndex = 9) => ({
    ...add(n4, { movedFrom: had ? [String(had)] : [], lastLogIndex }),
    movedFrom: n3,
  })
  assert.is(inTheWay({ added: [moving(n3)], removed: [n3] }), null)
  const other = inTheWay({ added: [moving(n2)], removed: [n3] }, true)
  assert.is(other?.code, 'E_NOT_JOINABLE')
  assert.match(other!.message, /is not n4: it has the directory of n2, not the one that n4 had/)
  assert.match(inTheWay({ added: [moving(null, 0)], removed: [n3] })!.instead, /^raftctl member replace n3 n4=/)
  const beside = inTheWay({ added: [add(n4, { movedFrom: [String(n3)] })] })
  assert.equal([beside?.code, beside?.instead], ['E_NOT_JOINABLE', `raftctl member set n3 --address ${n4.address}`])
  assert.is(inTheWay({ added: [add(n4, { movedFrom: ['10.9.9.9:1:0:0'] })] }), null, 'a member that is none any more')
  const copy = { ...moving(n3), before: { ...answering, incarnation: 'aa' } }
  assert.match(inTheWay({ added: [copy], removed: [n3] }, true)!.message, /n4 still runs at 10\.0\.0\.3:7000, upon a copy/)
  const newcomer = { ...moving(n3), before: { ...answering, incarnation: 'bb' } }
  assert.is(inTheWay({ added: [newcomer], removed: [n3] }), null, 'somebody else runs there by now')
})

test.run()
