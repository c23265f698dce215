import * as grpc from '@grpc/grpc-js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Configuration, ConfigurationEntry } from '../../../src/raft/configuration.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { NodeStatus } from '../../../src/raft/node-status.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { asTerm, fromInt64, logIndex } from '../../../src/raft/types.js'
import { Control } from '../../../src/rpc/control-definition.js'
import { type ControlHost, type ControlledNode, ControlService } from '../../../src/rpc/control-service.js'
import { readErrorDetail } from '../../../src/rpc/error-detail.js'
import { EventLog } from '../../../src/rpc/event-log.js'
import { Faults } from '../../../src/rpc/faults.js'
import { ServiceClient } from '../../../src/rpc/grpc.js'
import { ProcessIdentity } from '../../../src/rpc/identity.js'
import { NodeManager } from '../../../src/rpc/node-manager.js'
import { RpcServer } from '../../../src/rpc/server.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'

const n1 = PeerId.parse('127.0.0.1:7001')!
const n2 = PeerId.parse('127.0.0.1:7002')!
const n3 = PeerId.parse('127.0.0.1:7003')!
const timer = { timeoutMs: 1000, firesInMs: null }
const closers: (() => unknown)[] = []

test.after.each(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const following: NodeStatus = {
  groupId: 'kv',
  peerId: n1,
  state: 'FOLLOWER',
  readonly: false,
  priority: 100,
  witness: false,
  term: asTerm(8),
  votedFor: PeerId.EMPTY,
  leaderId: n2,
  leaderContactMs: 12,
  leaderForMs: 340,
  leaderReadyForMs: null,
  membership: { stage: 'none', target: null },
  configuration: new ConfigurationEntry(
    { index: logIndex(40), term: asTerm(8) },
    new Configuration([n1, n2, n3]),
    Configuration.EMPTY,
    [],
    logIndex(1),
  ),
  configurationCommitted: true,
  firstIndex: logIndex(1),
  lastId: { index: logIndex(45), term: asTerm(8) },
  durableIndex: logIndex(44),
  committedIndex: logIndex(43),
  appliedIndex: logIndex(42),
  pendingIndex: logIndex(0),
  pendingTasks: 0,
  writeLatency: null,
  snapshotId: { index: logIndex(0), term: asTerm(0) },
  snapshot: { id: { index: logIndex(0), term: asTerm(0) }, state: 'idle', bytesDone: 0, bytesTotal: 0 },
  machineActivity: 'Idle',
  electionTimer: timer,
  voteTimer: timer,
  snapshotTimer: { timeoutMs: 0, firesInMs: null },
  stepdownTimer: timer,
  electionTimeoutMs: 1000,
  heartbeatMs: 100,
  standing: 'member',
  incarnation: 'i1',
  diskStalledForMs: null,
  lease: { state: 'disabled', term: null, leaseEpoch: null },
  error: null,
  peers: [],
}

const leading: NodeStatus = {
  ...following,
  state: 'LEADER',
  leaderId: n1,
  leaderContactMs: null,
  peers: [
    {
      peerId: n2,
      matchIndex: logIndex(41),
      nextIndex: logIndex(46),
      inflightRequests: 2,
      inflightBytes: 100,
      state: 'replicate',
      lastContactMs: null,
      consecutiveErrors: 0,
      lastError: '',
      rebuilding: false,
      isShort: false,
      readonlyIndex: logIndex(0),
      priority: 100,
      witness: false,
      snapshotBytesSent: 97,
      snapshotBytesTotal: 388,
    },
  ],
}

/** A control service over a real port; `state.status` is what its one node says of itself. */
async function serve(initial: NodeStatus, options: { readonly faultsEnabled?: boolean; readonly node?: Partial<ControlledNode> } = {}) {
  const state = { status: initial, stopped: 0, sinceLastAckMs: null as number | null }
  const nodes = new NodeManager<ControlledNode>()
  const node = {
    groupId: 'kv',
    peerId: n1,
    status: () => state.status,
    leaderId: () => state.status.leaderId,
    isLeader: () => state.status.state === 'LEADER',
    ...options.node,
  }
  nodes.add(node as ControlledNode)
  const events = new EventLog()
  const facts = {
    dataDir: '/d',
    logBytes: 10,
    dataBytes: 20,
    syncP99Ms: null,
    machine: 'kv',
    machineRevision: 7,
    alarms: [],
    snapshotIntervalMs: 3_600_000,
    mixed: true,
  }
  const host: ControlHost = {
    movedFrom: () => [],
    identity: new ProcessIdentity(n1, 'n1', 'boot', '0.1.0', 'c'.repeat(32)),
    nodes,
    executor: new EventLoopExecutor(),
    events,
    faults: new Faults(options.faultsEnabled ?? false),
    uptimeMs: () => 1234.5,
    sinceLastAckMs: () => state.sinceLastAckMs,
    facts: async () => facts,
    nameOf: (peer) => (peer.equals(n2) ? 'n2' : ''),
    kindOf: (peer) => (peer.equals(n2) ? 'braft' : null),
    learnName: () => {},
    shutdown: (graceMs) => (state.stopped = graceMs),
    setLogLevel: (level) => (level === 'debug' ? level : null),
    effectiveConfig: () => ({ values: { group: 'kv' }, origins: { group: 'flag' } }),
    checkDisk: async () => ({ p50Ms: 1, p99Ms: 2, freeBytes: 3, totalBytes: 4 }),
    checkPeers: async () => [],
    mark: (_group, done) => done(Status.error(ErrorCode.EINVAL, 'no marks')),
    hashAt: (_group, _index, done) => done(Status.error(ErrorCode.EINVAL, 'no marks')),
    flipByte: (groupId) => (groupId === 'G' ? false : null),
    recordRecovery: async () => 0,
    createdGroups: () => [],
    createGroup: async () => ({ status: Status.OK, created: true }),
    removeGroup: async () => ({ status: Status.OK, removed: true }),
    generationOf: () => 3,
    describeCommand: () => null,
    logSegments: async () => 1,
  }
  const server = new RpcServer()
  server.addGrpcService(Control, new ControlService(host).handlers)
  const { port } = await server.listen()
  const channel = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure())
  closers.push(
    () => server.close({ deadlineMs: 0 }),
    () => channel.close(),
  )
  return { client: new ServiceClient(Control, channel), events, state, forget: () => nodes.remove(node as ControlledNode) }
}

async function refusal(call: Promise<unknown>) {
  const error = await call.then(
    () => null,
    (refused: grpc.ServiceError) => refused,
  )
  assert.ok(error, 'it was answered')
  return { code: error.code, detail: readErrorDetail(error), text: error.details }
}

test('a leader says where the time of its writes goes, in order; what it cannot say now it leaves out', async () => {
  const stage = (p50Ms: number | null, p99Ms: number | null) => ({ count: 1, sumMs: 1, classes: [], p50Ms, p99Ms })
  const writeLatency = { total: stage(3, 9), append: stage(0, 7.0625008), queue: stage(0, 0), replicate: stage(null, null) }
  const { client } = await serve({ ...leading, writeLatency })
  const { write_stages } = await client.call('GetNodeStatus', {})
  assert.equal(
    write_stages!.map(({ stage, p50_ms, p99_ms }) => [stage, p50_ms, p99_ms]),
    [
      ['queue', 0, 0],
      ['append', 0, 7.063],
      ['total', 3, 9],
    ],
  )
})

test('the status of a follower: what is unknown is absent, names stand beside ids', async () => {
  const { client } = await serve(following)
  const status = await client.call('GetNodeStatus', {})
  assert.equal(
    [status.state, Number(status.term), Number(status.commit_index), Number(status.applied_index), status.leader_id, status.voted_for],
    ['FOLLOWER', 8, 43, 42, n2.toString(), ''],
  )
  assert.equal(
    [Number(status.leader_contact_ms), Number(status.machine_revision), status.sync_p99_ms, status.snapshot ?? null],
    [12, 7, null, null],
  )
  assert.equal(
    status.membership!.members!.map(({ peer_id, name, role }) => [peer_id, name, role]),
    [
      [n1.toString(), '', 'voter'],
      [n2.toString(), 'n2', 'voter'],
      [n3.toString(), '', 'voter'],
    ],
  )
  assert.equal(
    [Number(status.membership!.config_index), Number(status.membership!.entry_index), status.membership!.committed],
    [1, 40, true],
  )
  assert.equal([Number(status.log_bytes), Number(status.uptime_ms), status.pid], [10, 1235, process.pid])
})

test('a leader tells how far its followers are; one that never answered has no contact', async () => {
  const { client } = await serve(leading)
  const { progress, leader_contact_ms } = await client.call('GetNodeStatus', {})
  assert.is(leader_contact_ms, null)
  assert.is(progress!.length, 1)
  const [peer] = progress!
  assert.equal([Number(peer!.snapshot_bytes_sent), Number(peer!.snapshot_bytes_total)], [97, 388])
  assert.equal([peer!.peer_id, Number(peer!.match_index), peer!.inflight_requests, peer!.last_contact_ms], [n2.toString(), 41, 2, null])
})

test('an unknown group is named, with those that are here', async () => {
  const { client } = await serve(following)
  const { code, detail, text } = await refusal(client.call('GetNodeStatus', { group: 'other' }))
  assert.equal([code, detail!.code], [grpc.status.NOT_FOUND, 'E_NO_GROUP'])
  assert.match(text, 'its groups: kv')
})

test('a process that hosts no group yet is starting, which is worth asking again', async () => {
  const { client, forget } = await serve(following)
  forget()
  const { code, detail } = await refusal(client.call('GetNodeStatus', {}))
  assert.equal([code, detail!.code, detail!.retryable], [grpc.status.UNAVAILABLE, 'E_UNREACHABLE', true])
})

test('a leader is reported unconfirmed, confirmed, or not at all when no quorum confirms it', async () => {
  const outcome = { status: Status.OK }
  const { client, state } = await serve(leading, { node: { readIndex: (_timeout, done) => done(outcome.status) } })
  assert.equal((await client.call('GetLeader', {})).confirmed, false)
  const { leader_id, confirmed } = await client.call('GetLeader', { confirm: true })
  assert.equal([leader_id, confirmed], [n1.toString(), true])
  outcome.status = Status.error(ErrorCode.ETIMEDOUT, 'nobody answers')
  assert.is((await refusal(client.call('GetLeader', { confirm: true }))).detail!.code, 'E_NO_QUORUM')
  state.status = { ...following, leaderId: PeerId.EMPTY, leaderForMs: null }
  assert.is((await refusal(client.call('GetLeader', { confirm: true }))).detail!.code, 'E_NO_LEADER')
  const unknown = await client.call('GetLeader', {})
  assert.equal([unknown.leader_id, unknown.leader_for_ms], ['', null])
})

test('a configuration that is not committed is not given out as committed', async () => {
  const { client, state } = await serve({ ...following, configurationCommitted: false })
  assert.is((await client.call('GetConfiguration', {})).membership!.committed, false)
  assert.is((await refusal(client.call('GetConfiguration', { committed: true }))).detail!.code, 'E_CONFIG_PENDING')
  state.status = following
  assert.is((await client.call('GetConfiguration', { committed: true })).membership!.committed, true)
})

test('only the leader transfers, and a follower tells who that is', async () => {
  const { client } = await serve(following)
  const { code, detail } = await refusal(client.call('TransferLeader', {}))
  assert.is(code, grpc.status.FAILED_PRECONDITION)
  assert.equal(detail, { code: 'E_NO_LEADER', leaderHint: n2.toString(), retryable: true, applied: 'no' })
})

test('a transfer answers once the new leader is known here', async () => {
  let asked: PeerId | null = null
  const { client, state, events } = await serve(leading, {
    node: {
      transferLeadershipTo: (target, done) => {
        asked = target
        state.status = { ...following, leaderId: PeerId.EMPTY }
        done(Status.OK)
        setImmediate(() => {
          state.status = { ...following, term: asTerm(9), leaderId: n2 }
          events.add({ groupId: 'kv', peerId: n1, name: 'leader.followed', leader: n2, term: asTerm(9) })
        })
      },
    },
  })
  const answer = await client.call('TransferLeader', { target: n2.toString() })
  assert.ok(n2.equals(asked!))
  assert.equal(
    [answer.old_leader, answer.new_leader, Number(answer.old_term), Number(answer.new_term)],
    [n1.toString(), n2.toString(), 8, 9],
  )
})

test('a transfer to nobody, to a stranger, or after which nobody leads, is an error that says which', async () => {
  const { client, state } = await serve(leading, {
    node: {
      transferLeadershipTo: (_target, done) => {
        state.status = { ...following, leaderId: PeerId.EMPTY }
        done(Status.OK)
      },
    },
  })
  assert.is((await refusal(client.call('TransferLeader', { target: 'n2' }))).detail!.code, 'E_USAGE')
  assert.is((await refusal(client.call('TransferLeader', { target: '127.0.0.1:9' }))).detail!.code, 'E_NO_SUCH_NODE')
  const { detail } = await refusal(client.call('TransferLeader', { target: n2.toString(), timeout_ms: 50 }))
  assert.equal([detail!.code, detail!.applied], ['E_OUTCOME_UNKNOWN', 'unknown'])
})

test('a transfer tells how old the last acknowledgement of that leadership is, and nothing of an earlier one', async () => {
  const { client, state } = await serve(leading, {
    node: {
      transferLeadershipTo: (_target, done) => {
        state.status = { ...following, term: asTerm(9), leaderId: n2 }
        done(Status.OK)
      },
    },
  })
  const transfer = async (sinceLastAckMs: number | null) => {
    state.status = leading
    state.sinceLastAckMs = sinceLastAckMs
    return (await client.call('TransferLeader', { target: n2.toString() })).since_last_ack_ms ?? null
  }
  assert.is(await transfer(12.5), 12.5)
  assert.is(await transfer(leading.leaderForMs! + 60_000), null)
  assert.is(await transfer(null), null)
})

test('why a transfer failed decides how: too far behind, given up, or nobody knows', async () => {
  const { client, state } = await serve(leading, {
    node: { transferLeadershipTo: (_target, done) => done(outcome) },
  })
  let outcome = Status.error(ErrorCode.ECATCHUP, 'n2 is 5000 entries behind')
  const failed = async () => (await refusal(client.call('TransferLeader', { target: n2.toString() }))).detail!
  assert.equal([(await failed()).code, (await failed()).applied], ['E_NOT_CAUGHT_UP', 'no'])
  outcome = Status.error(ErrorCode.ERAFTTIMEDOUT, 'n2 did not take over')
  assert.equal([(await failed()).code, (await failed()).applied], ['E_WAIT_TIMEOUT', 'no'])
  state.status = leading
  outcome = Status.error(ErrorCode.EBUSY, 'a change of the members runs')
  assert.equal([(await failed()).code, (await failed()).retryable], ['E_CONFIG_PENDING', true])
})

test('a leader that stopped leading while it handed over does not know the outcome', async () => {
  const { client, state } = await serve(leading, {
    node: {
      transferLeadershipTo: (_target, done) => {
        state.status = { ...following, leaderId: PeerId.EMPTY }
        done(Status.error(ErrorCode.ERAFTTIMEDOUT, 'a quorum has not answered for an election timeout'))
      },
    },
  })
  const { detail } = await refusal(client.call('TransferLeader', { target: n2.toString() }))
  assert.equal([detail!.code, detail!.applied], ['E_OUTCOME_UNKNOWN', 'unknown'])
})

test('stepping down excludes whom it is told to', async () => {
  const { client } = await serve(leading)
  assert.is((await refusal(client.call('StepDown', { exclude: n2.toString() }))).detail!.code, 'E_NOT_CAUGHT_UP')
})

test('faults are refused without --enable-faults and shown with it', async () => {
  const refusing = await serve(following)
  assert.is((await refusal(refusing.client.call('SetFaults', { heal: true }))).detail!.code, 'E_FAULTS_DISABLED')
  const { client } = await serve(following, { faultsEnabled: true })
  assert.is((await refusal(client.call('SetFaults', { dial_map: { [n2.address]: 'nowhere' } }))).detail!.code, 'E_USAGE')
  assert.is((await refusal(client.call('SetFaults', { flip_group: 'G' }))).detail!.code, 'E_NO_KEY', 'it holds no value')
  assert.is((await refusal(client.call('SetFaults', { flip_group: 'other' }))).detail!.code, 'E_UNSUPPORTED')
  const faults = await client.call('SetFaults', { dial_map: { [n2.toString()]: '127.0.0.1:9' }, partition: [n3.address] })
  assert.equal({ ...faults.dial_map }, { [n2.address]: '127.0.0.1:9' })
  assert.equal((await client.call('GetFaults', {})).partition, [n3.address])
})

test('an added fault needs an end and sense, is listed with the time it has left, and goes by its id', async () => {
  const { client } = await serve(following, { faultsEnabled: true })
  const refused = async (fault: object) => (await refusal(client.call('SetFaults', { add: [fault] }))).detail!.code
  const link = { id: 'a', ttl_ms: 60_000, peers: [n2.toString()] }
  assert.is(await refused({ ...link, ttl_ms: 0, cut: { direction: 'both' } }), 'E_USAGE')
  assert.is(await refused({ ...link, ttl_ms: 3_600_001, cut: { direction: 'both' } }), 'E_USAGE')
  assert.is(await refused({ ...link, cut: { direction: 'sideways' } }), 'E_USAGE')
  assert.is(await refused({ ...link, peers: [], cut: { direction: 'in' } }), 'E_USAGE')
  assert.is(await refused({ ...link, drop: { percent: 101 } }), 'E_USAGE')
  assert.is(await refused({ ...link, id: '', drop: { percent: 10 } }), 'E_USAGE')
  assert.is(await refused(link), 'E_UNSUPPORTED')
  const skew = { id: 'b', ttl_ms: 60_000, skew: { ahead_ms: 2000 } }
  const { faults = [] } = await client.call('SetFaults', { add: [{ ...link, cut: { direction: 'out' } }, skew] })
  assert.equal(
    faults.map(({ id, peers, cut, skew }) => [id, peers, cut?.direction ?? null, skew?.rate ?? null]),
    [
      ['a', [n2.address], 'out', null],
      ['b', [], null, 1],
    ],
  )
  assert.ok(faults.every(({ ttl_ms }) => fromInt64(ttl_ms) > 50_000))
  const left = await client.call('SetFaults', { remove: ['a'] })
  assert.equal(
    left.faults!.map(({ id }) => id),
    ['b'],
  )
  await client.call('SetFaults', { heal: true })
})

test('events are told from where the caller left off, by type, and on as they happen', async () => {
  const { client, events } = await serve(following)
  for (const term of [1, 2, 3]) events.add({ groupId: 'kv', peerId: n1, name: 'term.raised', term: asTerm(term), from: asTerm(0) })
  const stream = client.serverStream('Subscribe', { since_seq: 1, types: ['term'] })
  stream.on('error', () => {})
  const seen: string[] = []
  await new Promise<void>((resolve) =>
    stream.on('data', (event) => {
      seen.push(`${event.seq} ${event.name} ${event.fields.term}`)
      if (seen.length === 2) {
        events.add({ groupId: 'kv', peerId: n1, name: 'node.stopped' })
        events.add({ groupId: 'kv', peerId: n1, name: 'term.raised', term: asTerm(4), from: asTerm(3) })
      }
      if (seen.length === 3) resolve()
    }),
  )
  stream.cancel()
  assert.equal(seen, ['2 term.raised 2', '3 term.raised 3', '5 term.raised 4'])
})

test('what it does for an operator: stop, log level, configuration, checks', async () => {
  const { client, state } = await serve(following)
  await client.call('Shutdown', { grace_ms: 700 })
  assert.is(state.stopped, 700)
  assert.is((await client.call('SetLogLevel', { level: 'debug' })).level, 'debug')
  assert.is((await refusal(client.call('SetLogLevel', { level: 'loud' }))).detail!.code, 'E_USAGE')
  assert.equal({ ...(await client.call('GetEffectiveConfig', {})).values }, { group: 'kv' })
  assert.is(Number((await client.call('CheckDisk', {})).free_bytes), 3)
  assert.ok(Math.abs(Number((await client.call('CheckClock', {})).wall_ms) - Date.now()) < 60_000)
  const probe = await client.call('Probe', {})
  assert.equal([probe.name, probe.standing, probe.log_empty, probe.groups], ['n1', 'member', false, ['kv']])
  assert.equal(
    (await client.call('ListGroups', {})).groups!.map(({ state: s }) => s),
    ['FOLLOWER'],
  )
})

test('every method that is not built says so with E_UNSUPPORTED', async () => {
  const { client } = await serve(following)
  for (const refused of [await refusal(client.call('CompactLog', {})), await refusal(client.call('Drain', {}))])
    assert.equal([refused.code, refused.detail!.code], [grpc.status.UNIMPLEMENTED, 'E_UNSUPPORTED'])
})

test.run()
