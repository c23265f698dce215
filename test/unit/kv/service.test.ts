import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { etcdserverpb } from '../../../src/generated/kv.js'
import { CALLS_MAX, type CallContext } from '../../../src/machines/kv/call.js'
import { GrpcStatus, KvFailure } from '../../../src/machines/kv/failure.js'
import { ENTRY_BYTES_MAX } from '../../../src/machines/kv/forwarding.js'
import { KvService } from '../../../src/machines/kv/service.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { applyNext, FakeClock, FakeLeaderCalls, FakeNode, NOT_LEADER, newMachine, peer, STEPPED_DOWN } from './fakes.js'

const b = (text: string) => Buffer.from(text)
const SESSION = { clientId: 'c', sequence: 1, acknowledgedThrough: 0 }
const ANONYMOUS: CallContext = { session: null, timeoutMs: 1000, forwarded: false }
const NAMED: CallContext = { ...ANONYMOUS, session: SESSION }
const FORWARDED: CallContext = { ...NAMED, forwarded: true }

function setUp() {
  const clock = new FakeClock()
  const machine = newMachine()
  const node = new FakeNode(machine)
  const leaderCalls = new FakeLeaderCalls()
  const service = new KvService({ node, machine, clock, wallClockMs: () => 77, leaderCalls, clusterId: () => 'abc' })
  const replies: { failure: KvFailure | null; response: etcdserverpb.PutResponse.$Properties | null }[] = []
  const put = (context = ANONYMOUS, key = 'a') =>
    service.put({ key: b(key), value: b('1') }, context, (failure, response) => replies.push({ failure, response }))
  const reads: { failure: KvFailure | null; response: etcdserverpb.RangeResponse.$Properties | null }[] = []
  const get = (fields: etcdserverpb.RangeRequest.$Properties = {}, context = ANONYMOUS) =>
    service.range({ key: b('a'), ...fields }, context, (failure, response) => reads.push({ failure, response }))
  const failed = (at = replies.length - 1) => {
    const { failure } = replies[at] as { failure: KvFailure }
    return { code: failure.code, applied: failure.applied, retryable: failure.retryable, status: failure.status }
  }
  return { clock, machine, node, leaderCalls, service, replies, put, reads, get, failed }
}

test("a leader proposes a write with its own time and answers with the machine's revision", () => {
  const { node, put, replies, machine } = setUp()
  node.lead()
  put(NAMED)
  assert.is(replies.length, 1)
  const header = replies[0]?.response?.header
  assert.is(header?.revision, 2)
  assert.is(header?.raft_term, 1)
  assert.is.not(String(header?.cluster_id), String(header?.member_id))
  assert.is(machine.sessions.nowMs, 77)
  assert.is(machine.sessions.get('c')?.answers.get(1)?.put?.header?.raft_term, undefined, 'the kept answer has nothing of this member')
})

test('what is wrong by itself is refused before the log', () => {
  const { node, service, replies } = setUp()
  node.lead()
  service.put({ value: b('x') }, ANONYMOUS, (failure, response) => replies.push({ failure, response }))
  assert.is(replies[0]?.failure?.message, 'etcdserver: key is not provided')
  assert.is(node.tasks.length, 0)
})

test('what no entry may hold is refused before the log, and the largest entry is taken', () => {
  const { node, service, replies } = setUp()
  node.lead()
  const put = (bytes: number) =>
    service.put({ key: b('k'), value: Buffer.alloc(bytes) }, ANONYMOUS, (failure, response) => replies.push({ failure, response }))
  put(ENTRY_BYTES_MAX)
  assert.equal([replies[0]?.failure?.code, replies[0]?.failure?.applied, node.tasks.length], ['E_TOO_LARGE', 'no', 0])
  put(ENTRY_BYTES_MAX - 64)
  assert.is(replies[1]?.response?.header?.revision, 2)
})

test('a refusal of the machine reaches the caller', () => {
  const { node, put, replies, failed } = setUp()
  node.lead()
  put({ ...NAMED, session: { ...SESSION, sequence: 2 } })
  assert.equal(failed(), { code: 'SESSION_EXPIRED', applied: 'unknown', retryable: false, status: GrpcStatus.FAILED_PRECONDITION })
  assert.is(replies.length, 1)
})

test('without a leader a write is held, and applied once one is known', () => {
  const { node, put, replies, clock } = setUp()
  put()
  clock.advance(300)
  assert.is(replies.length, 0)
  node.lead()
  assert.is(replies[0]?.response?.header?.revision, 2)
  clock.advance(2000)
  assert.is(replies.length, 1)
  assert.is(clock.pending, 0, 'no timer is left when nothing waits')
})

test('without a leader until the deadline nears a write was certainly not applied', () => {
  const { put, failed, replies, clock } = setUp()
  put()
  clock.advance(880)
  assert.is(replies.length, 0)
  clock.advance(60)
  assert.equal(failed(), { code: 'E_NO_LEADER', applied: 'no', retryable: true, status: GrpcStatus.UNAVAILABLE })
})

test('a task that the engine did not take is proposed again here', () => {
  const { node, put, replies, clock } = setUp()
  node.lead()
  node.applies = NOT_LEADER
  put()
  assert.is(replies.length, 0)
  node.applies = 'commits'
  clock.advance(20)
  assert.is(replies[0]?.response?.header?.revision, 2)
})

test('a leader that steps down with the write in its log does not know the outcome', () => {
  const { node, put, failed } = setUp()
  node.lead()
  node.applies = STEPPED_DOWN
  put()
  assert.equal(failed(), { code: 'E_OUTCOME_UNKNOWN', applied: 'unknown', retryable: false, status: GrpcStatus.UNAVAILABLE })
  put(FORWARDED)
  assert.equal(failed(), { code: 'E_OUTCOME_UNKNOWN', applied: 'unknown', retryable: true, status: GrpcStatus.UNAVAILABLE })
})

test('with a session an unknown outcome is resolved by sending the same sequence again', () => {
  const { node, put, replies, clock, machine } = setUp()
  node.lead()
  node.applies = 'holds'
  put(NAMED)
  const [task] = node.tasks
  applyNext(machine, task?.data as Uint8Array)
  task?.done?.run(STEPPED_DOWN)
  assert.is(replies.length, 0)
  node.applies = 'commits'
  clock.advance(20)
  assert.is(replies[0]?.response?.header?.revision, 2)
  assert.is(machine.store.get('a')?.version, 1)
})

test('an unknown outcome stays unknown when nobody leads any more', () => {
  const { node, put, failed, clock } = setUp()
  node.lead()
  node.applies = STEPPED_DOWN
  put(NAMED)
  node.follow(PeerId.EMPTY)
  clock.advance(1000)
  assert.equal(failed(), { code: 'E_OUTCOME_UNKNOWN', applied: 'unknown', retryable: true, status: GrpcStatus.DEADLINE_EXCEEDED })
})

test('a refusal after an unknown outcome does not make it known', () => {
  const { node, put, failed, clock } = setUp()
  node.lead()
  node.applies = STEPPED_DOWN
  put(NAMED)
  node.applies = Status.error(ErrorCode.ENOSPC, 'the disk is full')
  clock.advance(20)
  assert.is(failed().applied, 'unknown')
})

test('a write that the quorum never confirms is answered before the deadline, once', () => {
  const { node, put, failed, clock, replies } = setUp()
  node.lead()
  node.applies = 'holds'
  put()
  clock.advance(1000)
  assert.equal(failed(), { code: 'E_OUTCOME_UNKNOWN', applied: 'unknown', retryable: false, status: GrpcStatus.DEADLINE_EXCEEDED })
  node.commit(node.tasks[0] as never)
  assert.is(replies.length, 1)
})

test('a full disk refuses at once', () => {
  const { node, put, failed } = setUp()
  node.lead()
  node.applies = Status.error(ErrorCode.ENOSPC, 'the disk is full')
  put()
  assert.equal(failed(), { code: 'E_NO_SPACE', applied: 'no', retryable: false, status: GrpcStatus.RESOURCE_EXHAUSTED })
})

test('a follower forwards to the leader with what is left of the time', () => {
  const { node, put, replies, leaderCalls, clock } = setUp()
  put(NAMED)
  clock.advance(400)
  node.follow(peer(2))
  const [call] = leaderCalls.calls
  assert.is(call?.leader.port, 2)
  assert.is(call?.context.timeoutMs, 500)
  assert.equal(call?.context.session, SESSION)
  call?.reply(null, { put: { header: { revision: 9 } } })
  assert.is(replies[0]?.response?.header?.revision, 9)
  assert.is(node.tasks.length, 0)
})

test('a forwarded call is never forwarded again', () => {
  const { node, put, replies, failed, leaderCalls } = setUp()
  node.follow(peer(2))
  put(FORWARDED)
  assert.equal(failed(), { code: 'E_NOT_LEADER', applied: 'no', retryable: true, status: GrpcStatus.UNAVAILABLE })
  assert.is(replies[0]?.failure?.leaderHint, '127.0.0.1:2:0:0')
  assert.is(leaderCalls.calls.length, 0)
  node.lead()
  node.applies = NOT_LEADER
  put(FORWARDED)
  assert.is(failed().code, 'E_NOT_LEADER')
})

test('an answer applied = no is tried again by the member that took the call', () => {
  const { node, put, replies, leaderCalls, clock } = setUp()
  node.follow(peer(2))
  put()
  leaderCalls.calls[0]?.reply(new KvFailure(GrpcStatus.UNAVAILABLE, 'E_NOT_LEADER', 'not me', 'no', true), null)
  assert.is(replies.length, 0)
  node.leader = peer(3)
  clock.advance(20)
  assert.is(leaderCalls.calls[1]?.leader.port, 3)
  leaderCalls.calls[1]?.reply(null, { put: { header: { revision: 2 } } })
  assert.is(replies[0]?.response?.header?.revision, 2)
})

test('a forwarded write that broke off is sent again only with a session', () => {
  const { node, put, leaderCalls, failed, clock } = setUp()
  node.follow(peer(2))
  put(ANONYMOUS)
  leaderCalls.calls[0]?.reply(new KvFailure(GrpcStatus.UNAVAILABLE, 'E_OUTCOME_UNKNOWN', 'lost', 'unknown', false), null)
  assert.is(failed().applied, 'unknown')
  put(NAMED)
  leaderCalls.calls[1]?.reply(new KvFailure(GrpcStatus.UNAVAILABLE, 'E_OUTCOME_UNKNOWN', 'lost', 'unknown', true), null)
  clock.advance(20)
  assert.is(leaderCalls.calls.length, 3)
  assert.equal(leaderCalls.calls[2]?.context.session, SESSION)
})

test('a named write at a leader that hangs goes to the new leader', () => {
  const { node, put, leaderCalls, replies } = setUp()
  node.follow(peer(2))
  put(NAMED)
  put(ANONYMOUS)
  node.follow(peer(3))
  assert.equal(
    leaderCalls.calls.map(({ leader, cancelled }) => [leader.port, cancelled]),
    [
      [2, true],
      [2, false],
      [3, false],
    ],
  )
  assert.is(replies.length, 0)
})

test('a caller that gave up is not proposed for', () => {
  const { node, put } = setUp()
  put({ ...ANONYMOUS, isCancelled: () => true })
  node.lead()
  assert.is(node.tasks.length, 0)
})

test('calls that wait are bounded', () => {
  const { put, replies, failed } = setUp()
  for (let i = 0; i < CALLS_MAX; i++) put()
  assert.is(replies.length, 0)
  put()
  assert.equal(failed(), { code: 'E_BUSY', applied: 'no', retryable: false, status: GrpcStatus.RESOURCE_EXHAUSTED })
})

test('a read goes by the lease only where its caller says so', () => {
  const { node, get } = setUp()
  node.reads = 'confirms'
  get()
  get({}, { ...ANONYMOUS, readMode: 'lease' })
  get({ serializable: true }, { ...ANONYMOUS, readMode: 'lease' })
  assert.equal(node.readModes, ['confirmed', 'lease'])
})

test('a linearizable read waits for its index, a serializable one does not', () => {
  const { node, get, reads } = setUp()
  node.follow(peer(2))
  node.reads = 'holds'
  get()
  get({ serializable: true })
  assert.is(reads.length, 1)
  assert.is(reads[0]?.response?.count, 0)
  applyNext(node.machine, new Uint8Array())
  node.lead()
  node.applies = 'commits'
  node.heldReads[0]?.(Status.OK)
  assert.is(reads.length, 2)
})

test('a read that is not confirmed is asked again, and says whether a leader is missing or a quorum', () => {
  const { node, get, reads, clock } = setUp()
  node.reads = Status.error(ErrorCode.EAGAIN, 'no leader is known')
  get()
  clock.advance(100)
  node.reads = 'confirms'
  clock.advance(20)
  assert.is(reads[0]?.response?.count, 0)

  node.reads = 'holds'
  get()
  clock.advance(1000)
  assert.is(reads[1]?.failure?.code, 'E_NO_LEADER')
  node.follow(peer(2))
  get()
  clock.advance(1000)
  assert.is(reads[2]?.failure?.code, 'E_NO_QUORUM')
  node.heldReads[1]?.(Status.OK)
  assert.is(reads.length, 3, 'a late confirmation answers nobody twice')
})

test('a transaction that only reads is answered as a read', () => {
  const { node, service } = setUp()
  node.follow(peer(2))
  let answer: etcdserverpb.TxnResponse.$Properties | null = null
  service.txn({ success: [{ request_range: { key: b('a') } }] }, ANONYMOUS, (_failure, response) => (answer = response))
  assert.is((answer as etcdserverpb.TxnResponse.$Properties | null)?.succeeded, true)
  assert.is(node.tasks.length, 0)
})

test('a member that has stopped takes nothing more, ends what waits for a leader and passes on what the leader answers', () => {
  const { node, put, failed, service, leaderCalls, clock, replies } = setUp()
  let drained = 0
  put(ANONYMOUS, 'waits')
  node.follow(peer(2))
  put(ANONYMOUS, 'with the leader')
  put(ANONYMOUS, 'refused by it')
  node.leader = PeerId.EMPTY
  put(ANONYMOUS, 'waits too')
  service.drain(1000, () => drained++)
  assert.equal(failed(), { code: 'E_NO_LEADER', applied: 'no', retryable: true, status: GrpcStatus.UNAVAILABLE })
  put()
  assert.equal([failed().applied, drained], ['no', 0])

  const answered = replies.length
  const [first, second, third] = leaderCalls.calls
  first!.reply(null, {})
  second!.reply(null, { put: {} })
  assert.is(drained, 0)
  third!.reply(new KvFailure(GrpcStatus.UNAVAILABLE, 'E_NOT_LEADER', 'not here', 'no', true), null)
  assert.equal([failed().code, failed().applied], ['E_NO_LEADER', 'no'])
  assert.equal([replies.length - answered, drained], [3, 1])
  clock.advance(2000)
  assert.is(drained, 1)
})

test('a leader that does not answer holds a stopping member up no longer than it was told', () => {
  const { node, put, service, clock } = setUp()
  let drained = 0
  node.follow(peer(2))
  put({ ...ANONYMOUS, timeoutMs: 60_000 })
  service.drain(1000, () => drained++)
  clock.advance(999)
  assert.is(drained, 0)
  clock.advance(1)
  assert.is(drained, 1)
})

test('behind a braft leader neither a read nor a write waits for its deadline: the error says what to do', () => {
  const { node, put, get, reads, leaderCalls, failed, replies } = setUp()
  node.follow(peer(2))
  node.reads = Status.error(ErrorCode.ENOMETHOD, 'it is a braft node')
  get()
  put()
  leaderCalls.calls[0]?.reply(new KvFailure(GrpcStatus.UNIMPLEMENTED, 'E_UNSUPPORTED', 'Fail to find method'), null)
  const expected = { code: 'E_MIXED', applied: 'no', retryable: false, status: GrpcStatus.FAILED_PRECONDITION }
  const { code, applied, retryable, status, message } = reads[0]!.failure!
  assert.equal({ code, applied, retryable, status }, expected)
  assert.match(message, /the leader 127.0.0.1:2 is a braft node.*raftctl leader transfer.*--read stale/)
  assert.equal(failed(), expected)
  assert.equal([reads.length, replies.length], [1, 1])
})

test('closing answers everything that waits and takes nothing more', () => {
  const { node, put, failed, service, leaderCalls, clock, replies } = setUp()
  put()
  node.follow(peer(2))
  service.close()
  assert.is(failed().code, 'E_OUTCOME_UNKNOWN')
  assert.ok(leaderCalls.closed)
  put()
  assert.equal(failed(), { code: 'E_NO_LEADER', applied: 'no', retryable: true, status: GrpcStatus.UNAVAILABLE })
  assert.is(clock.pending, 0)
  assert.is(replies.length, 2)
})

test.run()
