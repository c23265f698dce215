// What the commands print and answer on a group of C++ braft nodes, played by nodes that answer as those do.
// timeout: 480s
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FakeBraftCluster, FakeBraftNode } from '../support/fake-braft.js'
import { FakeNode } from '../support/fake-control.js'
import { type Document, documentOf } from '../support/local-clusters.js'
import { CliHome } from '../support/run-cli.js'
import { problemsOf } from '../support/schemas.js'

const test = suite('a group of braft nodes')
let home: CliHome
let cluster: FakeBraftCluster
let [a, b, c]: string[] = []

test.before.each(async () => {
  home = new CliHome('warm')
  cluster = await FakeBraftCluster.start()
  ;[a, b, c] = cluster.nodes.map((node) => node.address)
})
test.after.each(() => {
  cluster.close()
  home.remove()
})

/** Ports differ from run to run, and with them the width of columns; A, B and C are who they belong to. */
function called(text: string): string {
  let told = text
  for (const [at, address] of cluster.nodes.map((node) => node.address).entries()) told = told.replaceAll(address, 'ABCDE'[at]!)
  return told.replace(/[ ]{2,}/g, '  ').replace(/ +$/gm, '')
}

async function run(...args: string[]) {
  const { exitCode, stdout, stderr } = await home.run([...args, '-e', b!])
  return { exitCode, stdout: called(stdout), stderr: called(stderr) }
}

async function json(...args: string[]): Promise<Document> {
  const document = documentOf(await home.run([...args, '-e', b!, '--json']), args)
  assert.equal(problemsOf(document), [], args.join(' '))
  return document
}

test('status finds out what answers and which group it hosts; what braft does not say is unknown', async () => {
  const { exitCode, stdout } = await run('status')
  assert.is(exitCode, 0)
  assert.is(
    stdout,
    `● B  HEALTHY  3/3 voters reachable · tolerates 1 more failure · leader A · term 3 · commit 82
NODE  ROLE  STATE  TERM  COMMIT  APPLIED  LAG  CONTACT  SNAPSHOT  LOG  DATA  VERSION
A  leader  ok  3  82  82  -  -  79  8  -  braft ab0017f
B  voter  ok  3  82  82  0  20 ms  79  8  -  braft ab0017f
C  voter  ok  3  82  82  0  20 ms  79  8  -  braft ab0017f
`,
  )
  const { data } = await json('status')
  assert.equal([data.group, data.leaderForMs, data.leaderConfirmed], ['Counter', null, true])
  const { kind, standing, dataBytes, uptimeMs, snapshot, log, match, peerId } = data.nodes[1]
  assert.equal([kind, standing, dataBytes, uptimeMs], ['braft', null, null, 125_910])
  assert.equal([snapshot, log, match], [{ index: 79, term: 3, bytes: null, ageMs: null }, { first: 75, last: 82, bytes: null }, 82])
  assert.is(peerId, cluster.nodes[1]!.peerId)
})

test('a member that is down is a row; without a quorum it is exit 4, with nobody there exit 5', async () => {
  cluster.kill(cluster.nodes[2]!)
  const { stdout } = await run('status')
  assert.match(stdout, '▲ B  DEGRADED  2/3 voters reachable · tolerates 0 more failures · leader A')
  assert.match(stdout, /^C {2}voter {2}DOWN .* {2}\? .*tcp: connection refused$/m)
  Object.assign(cluster.nodes[1]!.state, { leader: '0.0.0.0:0:0:0', lastMsgMs: 6762 })
  cluster.kill(cluster.nodes[0]!)
  const without = await run('status')
  assert.is(without.exitCode, 4)
  assert.match(without.stderr, 'E_NO_QUORUM')
  cluster.nodes[1]!.close()
  assert.is((await run('status')).exitCode, 5)
})

test('a leader that followers still name, and that says itself that it does not lead, is none', async () => {
  Object.assign(cluster.leader.state, { state: 'FOLLOWER', leader: '0.0.0.0:0:0:0' })
  const { error, data } = await json('status')
  assert.equal([error?.code, data.leader, data.verdict], ['E_NO_LEADER', null, 'no-quorum'])
})

test('two that lead: the one of the higher term is believed, and who thinks otherwise is told', async () => {
  Object.assign(cluster.nodes[2]!.state, { term: 2, state: 'LEADER', replicators: new Map() })
  const { stdout } = await run('status')
  assert.match(stdout, 'leader A')
  assert.match(stdout, '! C thinks the leader is C (term 2)')
})

test('the group: found where there is one, asked for where there are several, exact where it is named', async () => {
  cluster.nodes[1]!.otherGroups.push('Other')
  const several = await run('status')
  assert.is(several.exitCode, 2)
  assert.match(several.stderr, 'B hosts 2 groups: say which with --group (Counter, Other)')
  assert.is((await run('status', '--group', 'Counter')).exitCode, 0)
  const none = await run('status', '--group', 'Nope')
  assert.is(none.exitCode, 7)
  assert.match(none.stderr, 'B hosts no group Nope, but Counter, Other')
})

test('the rest that reads: members, one node, the leader, the log, snapshots, waiting', async () => {
  assert.is(
    (await run('member', 'list')).stdout,
    `ID  ADDRESS  ROLE  STATE  MATCH  LAG  VERSION
A  A  leader  ok  -  -  braft ab0017f
B  B  voter  ok  82  0  braft ab0017f
C  C  voter  ok  82  0  braft ab0017f
`,
  )
  assert.is(
    (await run('node', 'status')).stdout,
    `✓ B  voter of group Counter  ok
  term  3
  leader  A, heard 20 ms ago
  log  75 to 82 (term 3) · durable 82
  commit  82 · applied 82
  snapshot  79 (term 3) · idle · every 1h00m
  timers  election 1.0 s
  process  pid 4242 · braft ab0017f · up 2m05s
`,
  )
  assert.is((await run('leader', 'show')).stdout, 'A  term 3, named by a majority, followed by B C\n')
  assert.match(
    (await run('log', 'stats')).stdout,
    /^log {2}75 to 82 on A, committed up to 82\nsize {2}8 entries\nrate {2}0 entries\/s\nsnapshot {2}79: a start applies the 3 behind it\n$/,
  )
  assert.match((await run('snapshot', 'list')).stdout, 'A  79  3  -  -  -')
  assert.match((await run('wait', 'leader')).stdout, 'leader A (term 3)')
  for (const words of [
    ['member', 'list'],
    ['node', 'status', a!],
    ['leader', 'show'],
    ['log', 'stats'],
    ['snapshot', 'list'],
    ['wait', 'healthy'],
  ])
    assert.is((await json(...words)).ok, true, words.join(' '))
})

test('a process that hides its variables is not less of a node', async () => {
  for (const node of cluster.nodes) node.hidesVars = true
  const { data } = await json('node', 'status')
  assert.equal(data.process, { pid: null, version: 'braft', uptimeMs: null })
})

test('leadership is handed over, and seen to be', async () => {
  const { exitCode, stdout } = await run('leader', 'transfer', c!)
  assert.equal([exitCode, stdout], [0, 'A → C  term 3 → 4  chosen: C as asked, lag 0\n'])
  assert.is(cluster.leader.address, c)
  const { data } = await json('leader', 'step-down')
  assert.equal([data.done, data.termAfter, data.gapMs, data.pausedMs], [true, 5, null, null])
  assert.is.not(cluster.leader.address, c)
  assert.equal(cluster.nodes.flatMap((node) => node.asked.filter((method) => method === 'transfer_leader')).length, 2)
})

test('a target that is too far behind, or does not answer, is refused before anything is asked', async () => {
  Object.assign(cluster.leader.state, { last: 5000, committed: 5000, applied: 5000 })
  const behind = await run('leader', 'transfer', c!)
  assert.is(behind.exitCode, 6)
  assert.match(behind.stderr, 'C is 4918 entries behind, and at most 1000 are allowed')
  cluster.kill(cluster.nodes[2]!)
  const silent = await run('leader', 'transfer', c!)
  assert.is(silent.exitCode, 6)
  assert.match(silent.stderr, 'C does not answer the leader')
  assert.is(cluster.leader.asked.includes('transfer_leader'), false)
})

test('a transfer that comes to nothing is exit 124', async () => {
  cluster.transferFails = true
  const { exitCode, stderr } = await run('leader', 'transfer', c!)
  assert.is(exitCode, 124)
  assert.match(stderr, 'C did not take over within 1000 ms: A leads on in term 3')
})

test('a member is added: waited for, caught up, verified; a name is not kept', async () => {
  const fresh = await cluster.newcomer()
  const { exitCode, stdout, stderr } = await run('member', 'add', `n4=${fresh.address}`, '--yes')
  assert.is(exitCode, 0, stderr)
  assert.is(
    stderr.replace(/^D catches up.*\n/gm, ''),
    `Plan  add D  impact: membership
  before  3 voters  A* B C  quorum 2  reachable 3  tolerates 1 more failure
  after  4 voters  A* B C D  quorum 3  reachable 4  tolerates 1 more failure
  ✓ A leads in term 3, by its own word and that of 2 of 2 others  ✓ 3 of 3 voters answer the leader  ✓ 4 of 4 answer afterwards, 3 are needed  ✓ 4 of 4 hold the log  ✓ no change pending  ✓ D answers, empty log
  ! 4 voters tolerate no more failures than 3: one more would raise it to 2
  steps  1 D catches up, without a vote  2 commit the configuration {A, B, C, D}  3 verify on A B C D
`,
  )
  assert.match(stderr, 'D catches up (no vote yet)  0%  snapshot')
  assert.match(stdout, /^✓ D added \(config 83\) {2}✓ verified on A B C D {2}took .*\n$/)
  assert.equal(
    cluster.nodes[0]!.asked.filter((method) => method.endsWith('peers') || method.endsWith('peer')),
    ['add_peer'],
  )
})

test('a member that does not run is told how to start, waited for, and given up with the members as they were', async () => {
  const { exitCode, stderr } = await run('member', 'add', '127.0.0.1:9', '--yes', '--catchup-timeout', '1s')
  assert.is(exitCode, 124)
  assert.match(stderr, '127.0.0.1:9 does not run yet. Start its braft server with group Counter and an empty initial configuration.')
  assert.match(stderr, 'waiting for 127.0.0.1:9: does not answer: connection refused')
  assert.match(stderr, 'gave up after 1.0 s, and the members are what they were')
  assert.is(cluster.leader.asked.includes('add_peer'), false)
})

test('a member that never catches up: the outcome is open, and how to end it is told', async () => {
  cluster.catchUpPages = null
  const fresh = await cluster.newcomer()
  const { exitCode, stderr } = await run('member', 'add', fresh.address, '--yes', '--catchup-timeout', '1s', '--timeout', '1s')
  assert.is(exitCode, 13)
  assert.match(stderr, 'D did not catch up within 1.0 s, and the leader goes on with it')
  assert.match(stderr, 'stop the process of D')
})

test('a member is removed; the leader itself goes after it has handed over; what remains to be done is told', async () => {
  const removed = await run('member', 'remove', c!, '--yes')
  assert.is(removed.exitCode, 0)
  assert.match(removed.stderr, '3 stop the process of C: it may not hear of it')
  assert.match(removed.stderr, 'stop the process of C: a braft member need not hear that it was removed')
  assert.equal(cluster.leader.state.peers, [cluster.nodes[0]!.peerId, cluster.nodes[1]!.peerId])
  const { data } = await json('member', 'remove', a!, '--yes')
  assert.equal([data.executed, data.plan.action.transferTo.address, data.plan.action.leaderKind], [true, b, 'braft'])
  assert.equal(cluster.leader.state.peers, [cluster.nodes[1]!.peerId])
})

test('a member is replaced in one step, by joint consensus', async () => {
  const fresh = await cluster.newcomer()
  const { exitCode, stdout, stderr } = await run('member', 'replace', c!, fresh.address, '--yes')
  assert.is(exitCode, 0, stderr)
  assert.match(stdout, '✓ C replaced by D (config 83)  ✓ verified on A B D')
  assert.ok(cluster.leader.asked.includes('change_peers'))
})

test('gates are decided here: a risk to the quorum is exit 6, a change that runs exit 8, a node of another group exit 6', async () => {
  cluster.kill(cluster.nodes[2]!)
  const risk = await run('member', 'remove', b!, '--dry-run')
  assert.is(risk.exitCode, 6)
  assert.match(risk.stderr, 'E_QUORUM_AT_RISK')
  assert.match(risk.stderr, 'do instead:  raftctl member remove C  (safe: leaves A B, up)')
  cluster.leader.state.stage = 'CATCHING_UP'
  assert.is((await run('member', 'remove', c!, '--dry-run')).exitCode, 8)
  cluster.leader.state.stage = 'NONE'
  const other = await FakeBraftNode.listen('Other')
  try {
    const foreign = await run('member', 'add', other.address, '--dry-run')
    assert.is(foreign.exitCode, 6)
    assert.match(foreign.stderr, 'hosts no group Counter, but Other')
  } finally {
    other.close()
  }
  assert.is((await run('member', 'remove', c!)).exitCode, 12)
  assert.is((await run('member', 'add', 'db4.example:8104', '--dry-run')).exitCode, 2)
  assert.is((await run('member', 'remove', '127.0.0.1:9')).exitCode, 7)
  assert.equal(
    cluster.nodes.flatMap((node) => node.asked.filter((method) => method.includes('_peer'))),
    [],
  )
})

test('a plan is good after an election, and stale once the members are others', async () => {
  const file = join(home.directory, 'plan.json')
  assert.is((await run('member', 'remove', c!, '--plan-out', file)).exitCode, 0)
  cluster.lead(cluster.nodes[1]!, 4)
  for (const node of cluster.nodes) Object.assign(node.state, { last: 83, committed: 83, applied: 83, confIndex: 83 })
  for (const replicator of cluster.leader.state.replicators.values()) replicator.next = 84
  const plan = readFileSync(file, 'utf8')
  assert.match(plan, '"configIndex": 79')
  const applied = await run('apply', file, '--yes')
  assert.is(applied.exitCode, 0, applied.stderr)
  assert.equal(cluster.leader.state.peers.length, 2)
  const again = await run('apply', file, '--yes')
  assert.is(again.exitCode, 8)
  assert.match(again.stderr, 'E_PLAN_STALE')
})

test('a group whose majority is gone: planned, asked about by name, and set by hand on those that are left', async () => {
  const alive = await run('recover', 'plan')
  assert.equal([alive.exitCode, alive.stderr.includes('every member answers (A, B, C): nothing is lost')], [6, true])
  cluster.kill(cluster.nodes[2]!)
  const majority = await run('recover', 'plan')
  assert.is(majority.exitCode, 6)
  assert.match(majority.stderr, 'E_QUORUM_ALIVE  A, B of 3 voters answer, which is a majority: a change of members will do')
  cluster.kill(cluster.nodes[0]!)
  const heard = await run('recover', 'plan')
  assert.equal([heard.exitCode, heard.stderr.includes('B hears A lead (20 ms ago): the majority lives on')], [6, true])
  Object.assign(cluster.nodes[1]!.state, { leader: '0.0.0.0:0:0:0', committed: 80 })
  const planned = await run('recover', 'plan')
  assert.is(planned.exitCode, 0)
  assert.is(
    planned.stdout,
    `Plan  set the members to B by hand, without A, C  impact: unsafe
  before  3 voters  A B C  quorum 2  reachable 1 (A down, C down)  writes stop
  after  1 voter  B  quorum 1  reachable 1  tolerates 0 more failures
  B holds the log up to 82 (term 3), and knows it to be committed up to 80
  becomes final: entries 81 to 82, committed or not
  lost: whatever A, C held above 82, which nobody can know
  ✓ 1 of 3 voters answer, no majority  ✓ B answers
  ! what only the lost members held is gone for good, acknowledged or not
  ! A, C must not come back with what they hold: they could elect a leader of their own
  steps  1 tell B that the members are B  2 wait until they have elected a leader  3 verify on B  4 empty the directories of A, C before they run again, then raftctl member add
`,
  )
  const wrong = await run('recover', 'apply', '--lost', b!, '--confirm=Counter')
  assert.equal([wrong.exitCode, wrong.stderr.includes('B is not lost: it answers')], [2, true])
  const asked = await run('recover', 'apply', '--lost', `${a},${c}`)
  assert.equal([asked.exitCode, asked.stderr.includes('Add --confirm=Counter.')], [12, true])
  const half = await run('recover', 'apply', '--lost', a!, '--confirm=Counter')
  assert.equal([half.exitCode, half.stderr.includes('C does not answer, and is not among the lost')], [6, true])
  const file = join(home.directory, 'recover.json')
  assert.is((await run('recover', 'plan', '--plan-out', file)).exitCode, 0)
  assert.is(cluster.nodes[1]!.asked.includes('reset_peer'), false)
  const document = await json('apply', file, '--confirm=Counter')
  assert.equal([document.data.executed, document.data.result.configIndex, document.data.result.verified.length], [true, 83, 1])
  assert.equal(cluster.nodes[1]!.state.peers, [cluster.nodes[1]!.peerId])
  assert.is((await run('recover', 'apply', '--confirm=Counter')).exitCode, 6)
})

test('a snapshot is taken; that one is being taken already is exit 6', async () => {
  assert.match((await run('snapshot', 'create', '--node', a!)).stdout, /^A {2}snapshot 82 · \d/)
  assert.is((await json('snapshot', 'create', '--all')).data.nodes.length, 3)
  const { BrpcFailure } = await import('../support/fake-braft.js')
  cluster.nodes[0]!.answers.set('snapshot', () => {
    throw new BrpcFailure(16, 'Doing another snapshot')
  })
  const busy = await run('snapshot', 'create', '--node', a!)
  assert.is(busy.exitCode, 6)
  assert.match(busy.stderr, 'E_BUSY  A: Doing another snapshot')
  cluster.nodes[0]!.answers.set('snapshot', () => {
    throw new BrpcFailure(5, 'Input/output error')
  })
  const failed = await run('snapshot', 'create', '--node', a!)
  assert.equal([failed.exitCode, failed.stderr.includes('E_SNAPSHOT_FAILED  A: Input/output error')], [1, true])
})

test('what braft does not offer is refused in one line that says so, with what to do instead', async () => {
  const refused = [
    ['log', 'show'],
    ['log', 'get', '80'],
    ['log', 'tail'],
    ['snapshot', 'save', 'x.snap'],
    ['check', 'consistency'],
    ['events'],
    ['kv', 'get', 'key'],
    ['kv', 'put', 'key', 'value'],
    ['kv', 'list'],
  ]
  for (const words of refused) {
    const { exitCode, stderr } = await run(...words)
    assert.is(exitCode, 6, `${words.join(' ')}: ${stderr}`)
    assert.match(stderr, /^✗ E_UNSUPPORTED {2}[ABC] is a braft node: /, words.join(' '))
    assert.is(stderr.trimEnd().split('\n').length, 2, stderr)
    const document = documentOf(await home.run([...words, '-e', b!, '--json']), words)
    assert.equal([document.ok, document.exitCode, document.error?.code], [false, 6, 'E_UNSUPPORTED'])
  }
})

test('events happen from now on', async () => {
  const watching = home.start(['events', '-f', '--type', 'election', '--json', '-e', b!])
  const lines = watching.iterable()[Symbol.asyncIterator]()
  await untilWatched(cluster.nodes[1]!)
  cluster.lead(cluster.nodes[1]!, 4)
  const { value } = await lines.next()
  watching.kill('SIGINT')
  const event = JSON.parse(String(value)) as { name: string; node: string; fields: unknown }
  assert.equal([event.name, event.node, event.fields], ['election.won', b, { term: '4' }])
  await watching
})

/** Resolves once whoever watches the node has something to compare with: the members are looked for first. */
async function untilWatched(node: FakeBraftNode): Promise<void> {
  await new Promise<void>((resolve) => {
    let pages = 0
    const before = node.onPage
    node.onPage = () => {
      before()
      if (++pages === 3) resolve()
    }
  })
}

test('a context learns what the nodes are and which group they host, and its commands are the same', async () => {
  const added = documentOf(await home.run(['context', 'add', 'legacy', '-e', b!, '--json']), ['context', 'add'])
  assert.equal([added.data.engine, added.data.group, added.data.clusterId], ['braft', 'Counter', null])
  assert.match(added.warnings.join(), 'braft clusters have no id, so the context is not pinned to it')
  assert.equal(problemsOf(added), [])
  const status = await home.run(['status', '--json'])
  assert.is(documentOf(status, ['status']).data.leader, a)
  const tested = documentOf(await home.run(['context', 'test', '--json']), ['context', 'test'])
  assert.equal(problemsOf(tested), [])
  assert.equal(tested.data.contexts[0].nodes.map((node: { kind: string; stages: unknown }) => [node.kind, node.stages])[0], [
    'braft',
    { dns: 'ok', tcp: 'ok', tls: 'skipped', grpc: 'ok', http: 'ok' },
  ])
  const shown = documentOf(await home.run(['context', 'show', '--json']), ['context', 'show'])
  assert.equal([shown.data.engine, problemsOf(shown)], ['braft', []])
})

test('--engine: braft reads the pages at once; raftctl does not know what answers', async () => {
  assert.is((await run('status', '--engine', 'braft')).exitCode, 0)
  assert.equal(
    cluster.nodes.flatMap((node) => node.asked),
    [],
  )
  const wrong = await run('status', '--engine', 'raftctl')
  assert.is(wrong.exitCode, 6)
  assert.match(wrong.stderr, 'E_UNSUPPORTED  B is a braft node')
})

test('--engine braft where nothing serves such pages names how far it came', async () => {
  const ours = await FakeNode.listen()
  try {
    const { exitCode, stderr } = await home.run(['status', '--engine', 'braft', '-e', ours.address])
    assert.is(exitCode, 5)
    assert.match(stderr, /\(http: /)
  } finally {
    ours.close()
  }
})

test('a group of both kinds shows both, each by what it can say', async () => {
  const ours = await FakeNode.listen()
  try {
    const members = [...cluster.nodes.slice(0, 2).map((node) => node.peerId), ours.peerId]
    for (const node of cluster.nodes) node.state.peers = members
    const { replicators } = cluster.leader.state
    replicators.set(ours.peerId, replicators.get(cluster.nodes[2]!.peerId)!)
    replicators.delete(cluster.nodes[2]!.peerId)
    ours.status = {
      ...{ group: 'Counter', peer_id: ours.peerId, name: 'n3', standing: 'member', term: 3, version: '0.1.0', machine: 'counter' },
      ...{ state: 'FOLLOWER', leader_id: cluster.leader.peerId, leader_contact_ms: 7, mixed: true },
      ...{ first_index: 75, last_index: 82, commit_index: 82, applied_index: 82, data_bytes: 412_000, election_timeout_ms: 1000 },
      membership: {
        members: members.map((peer_id) => ({ peer_id, role: 'voter', name: peer_id === ours.peerId ? 'n3' : '' })),
        ...{ config_index: 60, entry_index: 79, committed: true, stage: 'none' },
      },
    }
    const { data } = await json('status')
    assert.equal(
      data.nodes.map((node: { id: string; kind: string; version: string; dataBytes: number | null }) => [
        node.id,
        node.kind,
        node.version,
        node.dataBytes,
      ]),
      [
        [a, 'braft', 'braft ab0017f', null],
        [b, 'braft', 'braft ab0017f', null],
        ['n3', 'raftctl', '0.1.0', 412_000],
      ],
    )
    assert.equal([data.verdict, data.configIndex], ['healthy', 79])
    assert.match((await run('status')).stdout, 'NODE  KIND  ROLE')
    const events = await run('events')
    assert.is(events.exitCode, 0)
    assert.match(events.stderr, 'braft nodes keep no events, so none are told of A, B')
    assert.match((await home.run(['context', 'add', 'both', '-e', b!])).stdout, 'both added (mixed, group Counter, ')
  } finally {
    ours.close()
  }
})

test.run()
