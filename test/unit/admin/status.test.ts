import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { advise } from '../../../src/admin/advice.js'
import { assemble } from '../../../src/admin/discovery.js'
import type { NodeReply } from '../../../src/admin/node-report.js'
import { statusOf } from '../../../src/admin/status.js'
import type { CliError } from '../../../src/terminal/errors.js'
import { address, down, leader, membership, peer, progress, report, up } from './replies.js'

const read = (replies: NodeReply[], direct = false) => statusOf(assemble(replies, { group: 'kv', direct }))
const STALE = { lastContactMs: 5_000, consecutiveErrors: 4 }

test('three that agree are healthy', () => {
  const { status, error, clusterId } = read([up(leader()), up(report(2)), up(report(3))])
  assert.is(error, null)
  assert.is(clusterId, 'c1')
  const { verdict, leader: name, term, commit, voters, quorum, reachableVoters, tolerates } = status
  assert.equal(
    { verdict, name, term, commit, voters, quorum, reachableVoters, tolerates },
    { verdict: 'healthy', name: 'n1', term: 8, commit: 100, voters: 3, quorum: 2, reachableVoters: 3, tolerates: 1 },
  )
})

test('a dead member keeps its row, with the stage that failed and what the leader last knew', () => {
  const { status, error } = read([
    up(leader({ progress: [progress(2), progress(3, { ...STALE, matchIndex: 59 })] })),
    up(report(2)),
    down(3),
  ])
  assert.is(error, null)
  assert.is(status.verdict, 'degraded')
  assert.is(status.reachableVoters, 2)
  assert.is(status.tolerates, 0)
  const row = status.nodes[2]!
  assert.equal([row.id, row.address, row.role, row.reachable, row.state], ['n3', address(3), 'voter', false, 'DOWN'])
  assert.equal([row.lag, row.term, row.match, row.lastContactMs], [null, null, 59, 5_000])
  assert.equal(row.error, { code: 'E_UNREACHABLE', stage: 'tcp', message: 'connection refused' })
})

test('what a dead member runs is what the leader last knew', () => {
  const view = leader({ progress: [progress(2, { kind: 'raftctl' }), progress(3, { ...STALE, kind: 'braft' })] })
  const { status } = read([up(view), up(report(2)), down(3)])
  assert.equal(
    status.nodes.map(({ kind }) => kind),
    ['raftctl', 'raftctl', 'braft'],
  )
})

test('a change under way is said, with who catches up and how far, for no row tells of it', () => {
  const coming = progress(4, { matchIndex: 36 })
  const { warnings } = read([
    up(leader({ progress: [progress(2), progress(3), coming], membership: membership(3, { stage: 'catching_up' }) })),
    up(report(2)),
    up(report(3)),
  ])
  assert.match(warnings.join(), /^a change of the members is under way: \S+ catches up \(36 of \d+ entries\)$/)
  assert.equal(read([up(leader()), up(report(2)), up(report(3))]).warnings, [])
})

test('whom followers still name, and who says itself that it does not lead, leads nobody', () => {
  const former = report(1, { leaderId: null, leaderContactMs: null })
  const { status, error } = read([up(former), up(report(2)), up(report(3))])
  assert.equal([status.leader, status.leaderConfirmed, error?.code], [null, false, 'E_NO_LEADER'])
  const younger = { ...former, term: 7 }
  assert.is(read([up(younger), up(report(2)), up(report(3))]).status.leader, 'n1', 'what it said in an older term counts for nothing')
})

test('of one that a braft leader has no answer from yet nobody says how much it holds', () => {
  const catching = { ...membership(3), stage: 'catching_up' }
  const coming = progress(4, { matchIndex: null, lastContactMs: null, answering: null })
  const members = [2, 3].map((at) => progress(at, { lastContactMs: null, answering: true }))
  const braft = leader({ kind: 'braft', membership: catching, progress: [...members, coming] })
  const { warnings } = read([up(braft), up(report(2)), up(report(3))])
  assert.equal(warnings, ['a change of the members is under way: 10.0.0.4:7001 catches up (nobody knows how many of 100 entries)'])
})

test('whether a peer answers a braft leader that has just begun the peer itself says, or nobody', () => {
  const unknown = { lastContactMs: null, answering: null, matchIndex: null }
  const braft = leader({ kind: 'braft', progress: [progress(2, unknown), progress(3, unknown)] })
  const both = read([up(braft), up(report(2)), down(3)]).status
  assert.equal([both.verdict, both.reachableVoters, both.tolerates], ['degraded', 2, 0])
  assert.equal(both.nodes[1]?.state, 'ok')
  const alone = read([up(braft), down(2), down(3)]).status
  assert.equal([alone.verdict, alone.reachableVoters], ['no-quorum', 1])
  const elsewhere = report(2, { leaderId: null, leaderContactMs: null })
  assert.is(read([up(braft), up(elsewhere), down(3)]).status.verdict, 'no-quorum')
  const longAgo = report(2, { leaderContactMs: 2001 })
  assert.is(read([up(braft), up(longAgo), down(3)]).status.verdict, 'no-quorum')
})

test('who waits to be added is outside, and the command that adds it is next', () => {
  const { status } = read([up(leader()), up(report(2)), up(report(3)), up(report(4, { standing: 'rebuilding' }))])
  const row = status.nodes[3]!
  assert.equal([row.role, row.state], [null, 'outside'])
  assert.is(advise(status, { playground: null }), `n4 waits to be added → raftctl member add n4=${address(4)}`)
})

test('of a member that never answered this leader it is not known how far it came', () => {
  const progressOf3 = progress(3, { ...STALE, lastContactMs: null, matchIndex: 0 })
  const { status } = read([up(leader({ progress: [progress(2), progressOf3] })), up(report(2)), down(3)])
  assert.is(status.nodes[2]!.match, null)
})

test('a member that died a moment ago does not count, though the leader has not noticed yet', () => {
  const { status } = read([up(leader({ progress: [progress(2), progress(3, { lastContactMs: 900 })] })), up(report(2)), down(3)])
  assert.is(status.reachableVoters, 2)
})

test('a member that the leader hears but we cannot reach counts, with a warning', () => {
  const { status, warnings } = read([up(leader()), up(report(2)), down(3, { message: 'no answer' })])
  assert.is(status.reachableVoters, 3)
  assert.is(status.verdict, 'degraded')
  assert.match(warnings.join(), 'n3 is reached by the others but not from here')
})

test('whom an idle leader, which rests every second time, heard so long ago counts still', () => {
  const reachable = (lastContactMs: number) =>
    read([up(leader({ progress: [progress(2), progress(3, { lastContactMs })] })), up(report(2)), down(3)]).status.reachableVoters
  assert.equal([390, 410].map(reachable), [3, 2])
})

test('a member that answers us but not the leader is cut off and does not count', () => {
  const { status } = read([up(leader({ progress: [progress(2), progress(3, STALE)] })), up(report(2)), up(report(3))])
  assert.is(status.reachableVoters, 2)
  assert.is(status.nodes[2]!.state, 'CUT OFF')
})

test('without a leader it is exit 4 with every row: no quorum when too few answer, no leader otherwise', () => {
  const lost = { leaderId: null, leaderContactMs: null, leaderForMs: null }
  const one = read([down(1), down(2), up(report(3, lost))])
  assert.is(one.status.verdict, 'no-quorum')
  assert.is(one.error?.code, 'E_NO_QUORUM')
  assert.is(one.error?.exitCode, 4)
  assert.match(one.error?.hint ?? '', 'n1')
  assert.is(one.status.nodes.length, 3)
  assert.is(one.status.leader, null)
  const two = read([down(1), up(report(2, lost)), up(report(3, lost))])
  assert.is(two.error?.code, 'E_NO_LEADER')
  assert.is(two.status.reachableVoters, 2)
})

test('a leader that lost its followers is not believed, though it has not stepped down yet', () => {
  const { status, error } = read([up(leader({ progress: [progress(2, STALE), progress(3, STALE)] })), down(2), down(3)])
  assert.is(error?.code, 'E_NO_QUORUM')
  assert.is(status.leader, null)
  assert.is(status.leaderConfirmed, false)
})

test('a leader that we cannot reach is believed when a quorum follows it', () => {
  const { status, error } = read([down(1), up(report(2)), up(report(3))])
  assert.is(error, null)
  assert.is(status.leader, 'n1')
  assert.is(status.verdict, 'degraded')
})

test('of two leaders the one of the higher term with a quorum wins, and the other is a disagreement', () => {
  const old = leader({ term: 7, progress: [progress(2, STALE), progress(3, STALE)] })
  const fresh = report(2, {
    raftState: 'LEADER',
    term: 9,
    leaderId: peer(2),
    leaderContactMs: null,
    progress: [progress(1, STALE), progress(3)],
  })
  const { status } = read([up(old), up(fresh), up(report(3, { term: 9, leaderId: peer(2) }))])
  assert.is(status.leader, 'n2')
  assert.is(status.term, 9)
  assert.is(status.verdict, 'degraded')
  assert.equal(status.disagreements, [{ node: 'n1', leader: 'n1', term: 7 }])
})

test('a higher term without a quorum does not unseat a leader that has one', () => {
  const candidate = report(3, { raftState: 'CANDIDATE', term: 12, leaderId: null })
  const { status, error } = read([up(leader({ progress: [progress(2), progress(3, STALE)] })), up(report(2)), up(candidate)])
  assert.is(error, null)
  assert.is(status.leader, 'n1')
  assert.is(status.nodes[2]!.state, 'electing')
})

test('a claim of a higher term that nobody follows does not unseat a leader with a quorum', () => {
  const pretender = report(3, { raftState: 'LEADER', term: 12, leaderId: peer(3), progress: [progress(1, STALE), progress(2, STALE)] })
  const { status, error } = read([up(leader({ progress: [progress(2), progress(3, STALE)] })), up(report(2)), up(pretender)])
  assert.is(error, null)
  assert.is(status.leader, 'n1')
  assert.equal(status.disagreements, [{ node: 'n3', leader: 'n3', term: 12 }])
})

test('in a joint configuration the old members need a quorum too', () => {
  const joint = membership(3, {
    stage: 'joint',
    oldMembers: [1, 4, 5].map((at) => ({ peerId: peer(at), name: `n${at}`, role: 'voter' as const })),
  })
  const unheard = { progress: [progress(2), progress(3), progress(4, STALE), progress(5, STALE)], membership: joint }
  assert.is(read([up(leader(unheard)), up(report(2)), up(report(3)), down(4), down(5)]).error?.exitCode, 4)
  const heard = { ...unheard, progress: [progress(2), progress(3), progress(4), progress(5, STALE)] }
  const { error, status } = read([up(leader(heard)), up(report(2)), up(report(3)), up(report(4)), down(5)])
  assert.is(error, null)
  assert.is(status.nodes.length, 5)
})

test('a rebuilding member counts neither as reachable nor for tolerance', () => {
  const { status } = read([
    up(leader({ progress: [progress(2), progress(3, { rebuilding: true, matchIndex: 40 })] })),
    up(report(2)),
    up(report(3, { standing: 'rebuilding', appliedIndex: 40 })),
  ])
  assert.is(status.reachableVoters, 2)
  assert.is(status.tolerates, 0)
  assert.is(status.verdict, 'degraded')
  assert.equal([status.nodes[2]!.state, status.nodes[2]!.lag], ['REBUILDING', 60])
})

test('a rebuilding member that only says so itself counts neither: it is a row that says how far', () => {
  const { status } = read([
    up(leader({ progress: [progress(2), progress(3)] })),
    up(report(2)),
    up(
      report(3, { standing: 'rebuilding', appliedIndex: 40, snapshotState: 'downloading', snapshotBytesDone: 62, snapshotBytesTotal: 388 }),
    ),
  ])
  assert.equal([status.reachableVoters, status.tolerates], [2, 0])
  assert.equal([status.nodes[2]!.state, status.nodes[2]!.catchUp], ['REBUILDING', { by: 'snapshot', done: 62, total: 388 }])
})

test('how far a member is that is sent a snapshot: by what it says, by what was sent, else by its log', () => {
  const at = (leaders: object, own: object) =>
    read([up(leader({ progress: [progress(2), progress(3, leaders)] })), up(report(2)), up(report(3, { appliedIndex: 40, ...own }))]).status
      .nodes[2]!
  const sent = at({ state: 'snapshot', snapshotBytesSent: 10, snapshotBytesTotal: 20 }, {})
  assert.equal([sent.state, sent.catchUp], ['installing', { by: 'snapshot', done: 10, total: 20 }])
  const loading = at({}, { snapshotState: 'loading' })
  assert.equal([loading.state, loading.catchUp], ['installing', { by: 'log', done: 40, total: 100 }])
  assert.equal([at({}, { snapshotState: 'saving' }).state, at({}, {}).catchUp], ['ok', null])
})

test('a learner takes no part in the quorum but has its row', () => {
  const members = [...membership(3).members, { peerId: peer(4), name: 'n4', role: 'learner' as const }]
  const four = membership(3, { members })
  const { status } = read([
    up(leader({ membership: four, progress: [progress(2), progress(3), progress(4, { state: 'snapshot' })] })),
    up(report(2)),
    up(report(3)),
    up(report(4, { appliedIndex: 10 })),
  ])
  assert.equal([status.voters, status.quorum, status.reachableVoters], [3, 2, 3])
  assert.equal([status.nodes[3]!.role, status.nodes[3]!.state, status.nodes[3]!.lag], ['learner', 'installing', 90])
})

test('the newest committed configuration is the one that counts', () => {
  const newer = membership(3, { configIndex: 9 })
  const proposed = membership(5, { configIndex: 12, committed: false })
  const { status } = read([
    up(leader({ membership: newer })),
    up(report(2, { membership: membership(1, { configIndex: 2 }) })),
    up(report(3, { membership: proposed })),
  ])
  assert.is(status.voters, 3)
  assert.is(status.configIndex, 9)
})

test('nodes of different clusters are refused', () => {
  assert.throws(
    () => read([up(leader()), up(report(2, { clusterId: 'c2' }))]),
    (error: CliError) => error.code === 'E_CLUSTER_MISMATCH' && error.exitCode === 8,
  )
})

test('one that answers as another cluster is exit 8 when nobody else answers, and a row otherwise', () => {
  const mismatch = { code: 'E_CLUSTER_MISMATCH', stage: null, message: 'belongs to cluster c2' } as const
  assert.throws(
    () => read([down(1, mismatch), down(2)]),
    (error: CliError) => error.exitCode === 8,
  )
  const { status } = read([up(leader()), up(report(2)), down(3, mismatch)])
  assert.is(status.nodes[2]!.state, 'WRONG CLUSTER')
})

test('when nothing answers it is exit 5 with the endpoints as rows and nothing known', () => {
  const { status, error } = read([down(1), down(2, { stage: 'dns', message: 'unknown host' })])
  assert.is(error?.exitCode, 5)
  assert.match(error?.message ?? '', 'tcp: connection refused')
  assert.match(error?.message ?? '', 'dns: unknown host')
  assert.is(status.verdict, 'unknown')
  assert.equal([status.leader, status.term, status.commit, status.voters, status.quorum], [null, null, null, null, null])
  assert.equal(
    status.nodes.map((row) => row.id),
    [address(1), address(2)],
  )
})

test('asked directly, one node is taken at its word and the verdict stays unknown', () => {
  const { status, error } = read([up(report(2))], true)
  assert.is(error, null)
  assert.equal([status.leader, status.verdict], ['n1', 'unknown'])
  assert.equal(
    status.nodes.map((row) => row.state),
    ['unasked', 'ok', 'unasked'],
  )
})

test('an even number of voters is warned about, as is an endpoint that is nobody', () => {
  const four = membership(4)
  const replies = [
    up(leader({ membership: four, progress: [progress(2), progress(3), progress(4)] })),
    up(report(2)),
    up(report(3)),
    up(report(4)),
    down(9),
  ]
  const text = read(replies).warnings.join('\n')
  assert.match(text, '4 voters tolerate no more failures than 3')
  assert.match(text, `endpoint ${address(9)} does not answer`)
})

test('who acknowledges before the disk holds it is named, and is well all the same', () => {
  const { status, warnings } = read([up(leader()), up(report(2, { alarms: ['UNSAFESYNC'] })), up(report(3))])
  assert.is(status.verdict, 'healthy')
  assert.match(warnings.join('\n'), 'writes that n2 acknowledged can be lost with power')
})

test('the advice names who is down and how to bring it back', () => {
  const { status } = read([up(leader({ progress: [progress(2), progress(3, STALE)] })), up(report(2)), down(3)])
  assert.is(advise(status, { playground: 'dev' }), 'n3 is down, 0 more failures tolerated → raftctl cluster start --name dev')
  assert.is(advise(read([up(leader()), up(report(2)), up(report(3))]).status, { playground: null }), null)
})

test('the advice names whose disk runs short, and what became of the leadership', () => {
  const alarms = ['NOSPACE']
  const advised = (...rest: Parameters<typeof report>[1][]) => {
    const [first, second, third] = rest
    return advise(read([up(leader(first)), up(report(2, second)), up(report(3, third))]).status, { playground: 'dev' })
  }
  assert.is(advised({}, { alarms }, {}), 'n2 is short of space, n1 leads → free space on its disk')
  assert.is(
    advised({ alarms }, { alarms }, {}),
    'n1 and n2 are short of space, n1 leads and refuses writes: too few others could take them → free space on their disks',
  )
})

test('the advice names who is in read-only mode', () => {
  const alarms = ['READONLY']
  const advised = (...rest: Parameters<typeof report>[1][]) =>
    advise(read([up(leader(rest[0])), up(report(2, rest[1])), up(report(3))]).status, { playground: 'dev' })
  assert.is(advised({}, { alarms }), 'n2 is in read-only mode: writes do without it')
  assert.is(advised({ alarms }, { alarms }), 'n1 leads and takes no writes: read-only mode → raftctl node status n1')
})

test.run()
