import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { braft } from '../../../src/generated/braft.js'
import { decodeConfiguration } from '../../../src/raft/configuration.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { EntryBatch, EntryType } from '../../../src/raft/log-entry.js'
import type { AppendEntriesRequest, AppendEntriesResponse, PeerHandler } from '../../../src/raft/messages.js'
import { asTerm, type LogIndex, logIndex, plus } from '../../../src/raft/types.js'
import { BaiduStdClient, BaiduStdError, callBaiduStd } from '../../../src/rpc/baidu-std-client.js'
import { BrpcCode } from '../../../src/rpc/braft-error.js'
import { addBraftServices } from '../../../src/rpc/builtin.js'
import { Faults } from '../../../src/rpc/faults.js'
import { NodeManager } from '../../../src/rpc/node-manager.js'
import type { RaftServiceOptions } from '../../../src/rpc/raft-service.js'
import { RpcServer } from '../../../src/rpc/server.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import { checksum } from '../../../src/storage/checksum.js'
import { capturedFrames, FakeNode, FIXTURES, peer, RawConnection, silentHandler, wireBytes } from '../../support/rpc.js'

const closers: (() => unknown)[] = []
test.after.each(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

const APPENDED: AppendEntriesResponse = {
  term: asTerm(3),
  success: true,
  lastLogIndex: logIndex(9),
  readonly: false,
  short: false,
  rebuilding: false,
}

/** A server with the four captured members as nodes of this process, and a braft peer connected to it. */
async function start(handler: Partial<PeerHandler>, options: Partial<Omit<RaftServiceOptions, 'nodes'>> = {}) {
  const nodes = new NodeManager<FakeNode>()
  for (const port of [8500, 8501, 8502, 8503]) nodes.add(new FakeNode('Counter', peer(`127.0.0.1:${port}`), silentHandler(handler)))
  const server = new RpcServer()
  addBraftServices(server, { nodes, executor: new EventLoopExecutor(), checksum, allowBraftPeers: () => true, ...options })
  const { port } = await server.listen()
  const client = new BaiduStdClient('127.0.0.1', port, { connectTimeoutMs: 5000 })
  closers.push(
    () => server.close({ deadlineMs: 0 }),
    () => client.close(),
  )
  return { nodes, port, client }
}

const APPEND = {
  service: 'braft.RaftService',
  method: 'append_entries',
  request: braft.AppendEntriesRequest,
  response: braft.AppendEntriesResponse,
}
const VOTE = {
  service: 'braft.RaftService',
  method: 'request_vote',
  request: braft.RequestVoteRequest,
  response: braft.RequestVoteResponse,
}
const INSTALL = {
  ...VOTE,
  method: 'install_snapshot',
  request: braft.InstallSnapshotRequest,
  response: braft.InstallSnapshotResponse,
}
const ADDRESS = { group_id: 'Counter', server_id: '127.0.0.1:8501:0:0', peer_id: '127.0.0.1:8500:0:0' }
const HEARTBEAT = { ...ADDRESS, term: 3, prev_log_term: 2, prev_log_index: 7, entries: [], committed_index: 7 }
const vote = { ...ADDRESS, term: 3, last_log_term: 2, last_log_index: 7 }

async function statusOf(call: Promise<unknown>): Promise<Status> {
  try {
    await call
  } catch (error) {
    if (error instanceof BaiduStdError) return error.status
    throw error
  }
  return Status.OK
}

async function refused(call: Promise<unknown>, code: number, text: string): Promise<void> {
  const status = await statusOf(call)
  assert.is(status.code, code, `${status}`)
  assert.match(status.message, `[E${code}]`)
  assert.match(status.message, text)
}

/** The log that braft left on a disk, as one batch. */
function logOnDisk(): EntryBatch {
  const directory = new URL('counter-4-peers/n0/data/log/', FIXTURES)
  const batches: EntryBatch[] = []
  for (const name of readdirSync(directory)
    .filter((file) => file !== 'log_meta')
    .sort()) {
    const first = Number(/_(\d{20})/.exec(name)![1])
    batches.push(EntryBatch.parse(logIndex(first), readFileSync(new URL(name, directory)), checksum).batch!)
  }
  return EntryBatch.concat(batches)
}

test('captured appends, replayed, give the engine the very bytes that braft wrote to its segments', async () => {
  const got: AppendEntriesRequest[] = []
  const { port } = await start({
    handleAppendEntries: (request, answer) => {
      got.push(request)
      answer(Status.OK, { ...APPENDED, term: request.term })
    },
  })
  const requests = capturedFrames('counter-4-peers').filter((frame) => frame.kind === 'request' && frame.method === 'append_entries')
  const connection = await RawConnection.open(port)
  connection.send(Buffer.concat(requests.map(wireBytes)))
  for (const _ of requests) await connection.receiveFrame()
  connection.reset()

  const disk = logOnDisk()
  const seen = new Set<LogIndex>()
  assert.is(got.length, requests.length)
  for (const { entries, prevLogIndex } of got) {
    if (!entries) continue
    assert.is(entries.firstIndex, prevLogIndex + 1)
    for (let index = entries.firstIndex; index <= entries.lastIndex; index = plus(index, 1)) {
      assert.equal(entries.slice(index, index).bytes, disk.slice(index, index).bytes, `entry ${index}`)
      seen.add(index)
    }
  }
  // the capture holds every entry but these two
  const missing = Array.from({ length: 82 }, (_, i) => logIndex(i + 1)).filter((index) => !seen.has(index))
  assert.equal(missing, [63, 69])
})

test('every captured request of braft, replayed, gets one answer with its correlation id', async () => {
  const { port } = await start({
    handleAppendEntries: (_request, answer) => answer(Status.OK, APPENDED),
    handlePreVote: (request, answer) =>
      answer(Status.OK, { term: request.term, granted: true, disrupted: false, previousTerm: request.term, rejectedByLease: false }),
    handleTimeoutNow: (request, answer) => answer(Status.OK, { term: request.term, success: true }),
    handleInstallSnapshot: (_request, answer) => answer(Status.error(ErrorCode.EINVAL, 'Not support snapshot')),
  })
  const requests = [...capturedFrames('cli-and-client'), ...capturedFrames('counter-4-peers')].filter((frame) => frame.kind === 'request')
  const connection = await RawConnection.open(port)
  const client = { pre_vote: 0, timeout_now: 0, append_entries: 0, get_leader: 0, transfer_leader: 0 } as Record<string, number>
  const expected: Record<string, number> = { ...client, request_vote: 1, install_snapshot: 22, get_file: ErrorCode.ENOENT, fetch_add: 1002 }
  Object.assign(expected, { snapshot: 0, add_peer: 1, remove_peer: 1, change_peers: 1, reset_peer: 0 })
  for (const request of requests) {
    connection.send(wireBytes(request))
    const answer = await connection.receiveFrame()
    const meta = answer.subarray(12, 12 + answer.readUInt32BE(8)).toString('latin1')
    const code = Number(/\[E(\d+)\]/.exec(meta)?.[1] ?? 0)
    const nowhere = request.body.includes('Nope')
    assert.is(code, nowhere ? ErrorCode.ENOENT : expected[request.method], `${request.method}: ${meta}`)
  }
  connection.reset()
})

test('a request is refused as braft refuses it: bad peer, unknown node, then a group without braft members', async () => {
  const { client } = await start({}, { allowBraftPeers: (group) => group === 'Mixed' })
  await refused(callBaiduStd(client, VOTE, { ...vote, peer_id: 'nonsense' }), ErrorCode.EINVAL, 'peer_id invalid')
  await refused(callBaiduStd(client, VOTE, { ...vote, peer_id: '127.0.0.1:1:0:0' }), ErrorCode.ENOENT, 'peer_id not exist')
  await refused(callBaiduStd(client, VOTE, vote), ErrorCode.EPERM, 'takes no braft members')
  await refused(callBaiduStd(client, APPEND, HEARTBEAT), ErrorCode.EPERM, 'takes no braft members')
})

test('without a say on braft members every group refuses them', async () => {
  const { client } = await start({ handleRequestVote: () => assert.unreachable('reached the engine') }, { allowBraftPeers: undefined! })
  await refused(callBaiduStd(client, VOTE, vote), ErrorCode.EPERM, 'takes no braft members')
})

test('a sender that cannot be read is EINVAL to votes, EREQUEST to appends, and nothing to timeout_now', async () => {
  const { client } = await start({
    handleTimeoutNow: (request, answer) => answer(Status.OK, { term: request.term, success: request.serverId.isEmpty }),
  })
  const bad = { server_id: 'x' }
  await refused(callBaiduStd(client, VOTE, { ...vote, ...bad }), ErrorCode.EINVAL, 'server_id')
  await refused(callBaiduStd(client, APPEND, { ...HEARTBEAT, ...bad }), BrpcCode.EREQUEST, 'server_id')
  const timeoutNow = { ...VOTE, method: 'timeout_now', request: braft.TimeoutNowRequest, response: braft.TimeoutNowResponse }
  const { response } = await callBaiduStd(client, timeoutNow, { ...ADDRESS, ...bad, term: 5 })
  assert.equal([Number(response.term), response.success], [5, true])
})

test('terms and indexes that are no numbers of ours never reach the engine', async () => {
  const { client } = await start({ handleAppendEntries: () => assert.unreachable('reached the engine') })
  for (const wrong of [{ term: -1 }, { prev_log_index: -1 }, { prev_log_term: 2 ** 60 }, { committed_index: -5 }]) {
    await refused(callBaiduStd(client, APPEND, { ...HEARTBEAT, ...wrong }), BrpcCode.EREQUEST, 'out of range')
  }
})

const DATA = (term: number, data_len: number | null) => ({ term, type: EntryType.DATA, data_len })

test('entries take their data from the attachment in order, across terms and kinds', async () => {
  const got: EntryBatch[] = []
  const { client } = await start({
    handleAppendEntries: (request, answer) => {
      got.push(request.entries!)
      answer(Status.OK, APPENDED)
    },
  })
  const configuration = {
    term: 3,
    type: EntryType.CONFIGURATION,
    data_len: 0,
    peers: ['127.0.0.1:8501:0:0', '127.0.0.1:8500:0:0'],
    old_peers: ['127.0.0.1:8500:0:0'],
  }
  const entries = [DATA(1, 2), DATA(1, null), configuration, DATA(3, 3), { term: 3, type: EntryType.NO_OP }]
  const request = { ...HEARTBEAT, prev_log_term: 1, entries }
  const { response } = await callBaiduStd(client, APPEND, request, { attachment: Buffer.from('abcde') })
  assert.is(response.success, true)
  assert.is(response.last_log_index, null)
  const batch = got[0]!
  assert.equal([batch.firstIndex, batch.lastIndex], [8, 12])
  const all = [8, 9, 10, 11, 12].map((i) => logIndex(i))
  assert.equal(
    all.map((i) => batch.termAt(i)),
    [1, 1, 3, 3, 3],
  )
  assert.equal(
    all.map((i) => batch.typeAt(i)),
    [2, 2, 3, 2, 1],
  )
  assert.equal(
    [8, 9, 11, 12].map((i) => batch.dataAt(logIndex(i)).toString()),
    ['ab', '', 'cde', ''],
  )
  assert.equal([batch.newestBare, batch.isBareAt(logIndex(11))], [9, false], 'without data_len the data was left out, as for a witness')
  const read = decodeConfiguration(batch.dataAt(logIndex(10)), { index: logIndex(10), term: asTerm(3) })!
  assert.equal([`${read.conf}`, `${read.old}`], ['127.0.0.1:8500:0:0,127.0.0.1:8501:0:0', '127.0.0.1:8500:0:0'])
  assert.is(EntryBatch.parse(batch.firstIndex, batch.bytes, checksum).problem, null)
})

test('lengths that do not add up to the attachment are refused, never stored', async () => {
  const { client } = await start({ handleAppendEntries: () => assert.unreachable('reached the engine') })
  for (const [lengths, attachment] of [
    [[2, 2], 'abc'],
    [[2], 'abc'],
    [[2], ''],
    [[], 'a'],
    [[null], 'a'],
    [[-1, 2], 'a'],
  ] as const) {
    const entries = lengths.map((length) => DATA(3, length))
    const call = callBaiduStd(client, APPEND, { ...HEARTBEAT, entries }, { attachment: Buffer.from(attachment) })
    await refused(call, BrpcCode.EREQUEST, lengths[0] === -1 ? 'out of range' : 'add up')
  }
})

test('entries of unknown type, configurations without members and data where none belongs are refused', async () => {
  const { client } = await start({ handleAppendEntries: () => assert.unreachable('reached the engine') })
  const refuse = (entry: braft.EntryMeta.$Properties, text: string, attachment = '') =>
    refused(
      callBaiduStd(client, APPEND, { ...HEARTBEAT, entries: [entry] }, { attachment: Buffer.from(attachment) }),
      BrpcCode.EREQUEST,
      text,
    )
  await refuse({ term: 3, type: 0 }, 'unknown type')
  await refuse({ term: 3, type: 9 as EntryType }, 'Fail to parse request')
  await refuse({ term: 3, type: EntryType.CONFIGURATION }, 'without peers')
  await refuse({ term: 3, type: EntryType.CONFIGURATION, peers: ['x'] }, 'Fail to parse peers')
  await refuse({ term: 3, type: EntryType.NO_OP, data_len: 1 }, 'only a data entry', 'a')
})

test('entries whose terms go back, are beyond the request’s or begin below the one before are refused, never stored', async () => {
  const { client } = await start({ handleAppendEntries: () => assert.unreachable('reached the engine') })
  for (const [terms, text] of [
    [[3, 2], 'entry 9 is of term 2, after one of term 3'],
    [[2, 3, 2, 3], 'entry 10 is of term 2, after one of term 3'],
    [[2, 4], 'entry 9 is of term 4, the request of term 3'],
    [[1, 3], 'entry 8 is of term 1, after one of term 2'],
  ] as const) {
    const entries = terms.map((term) => DATA(term, null))
    await refused(callBaiduStd(client, APPEND, { ...HEARTBEAT, entries }), BrpcCode.EREQUEST, text)
  }
})

test('answers carry what braft needs: the log’s end after a probe and a failure, and nothing but term and success after entries', async () => {
  let answered: AppendEntriesResponse = APPENDED
  const { client } = await start({ handleAppendEntries: (_request, answer) => answer(Status.OK, answered) })
  const append = async (entries: braft.EntryMeta.$Properties[]) => (await callBaiduStd(client, APPEND, { ...HEARTBEAT, entries })).response
  const fields = (response: braft.AppendEntriesResponse) => [
    Number(response.term),
    response.success,
    response.last_log_index && Number(response.last_log_index),
    response.readonly,
  ]
  assert.equal(fields(await append([])), [3, true, 9, false])
  assert.equal(fields(await append([DATA(3, null)])), [3, true, null, null])
  answered = { ...APPENDED, success: false, lastLogIndex: logIndex(0) }
  const failure = await append([DATA(3, null)])
  assert.is(failure.success, false)
  assert.is(Number(failure.last_log_index), 0)
  assert.ok(Object.hasOwn(failure, 'last_log_index'))
  assert.is(failure.readonly, null)
  // A disk that runs short is no read-only mode: a braft leader would send nothing until it hears otherwise.
  answered = { ...APPENDED, readonly: true }
  assert.equal(fields(await append([])), [3, true, 9, true])
  answered = { ...APPENDED, short: true }
  assert.equal(fields(await append([])), [3, true, 9, false])
})

test('a directory that may have forgotten a term follows a braft leader, and every append is EAGAIN, empty or not, but for a later term', async () => {
  const heard: AppendEntriesRequest[] = []
  let answered: AppendEntriesResponse = { ...APPENDED, rebuilding: true }
  const { client, nodes } = await start({
    handleAppendEntries: (request, answer) => {
      heard.push(request)
      answer(Status.OK, answered)
    },
    handleInstallSnapshot: (_request, answer) => answer(Status.OK, { term: asTerm(3), success: true }),
  })
  const node = nodes.get('Counter', peer(ADDRESS.peer_id))!
  const entries = [{ term: 3, type: EntryType.DATA, data_len: 1 }]
  const append = async () => (await callBaiduStd(client, APPEND, { ...HEARTBEAT, entries }, { attachment: Buffer.from('a') })).response
  const beat = async () => (await callBaiduStd(client, APPEND, HEARTBEAT)).response
  const meta = { last_included_index: 5, last_included_term: 2, peers: [ADDRESS.peer_id] }
  const install = () => callBaiduStd(client, INSTALL, { ...ADDRESS, term: 3, meta, uri: 'remote://127.0.0.1:1/1' })
  node.countsForBraft = false
  await refused(install(), ErrorCode.EAGAIN, 'no past that it knows of')
  // A log that does not match keeps a braft leader in office as much as one that does.
  for (const success of [true, false]) {
    answered = { ...answered, success }
    await refused(append(), ErrorCode.EAGAIN, 'no past that it knows of')
    await refused(beat(), ErrorCode.EAGAIN, 'no past that it knows of')
  }
  assert.equal(
    heard.map(({ term, entries: taken }) => [term, taken]),
    Array(4).fill([3, null]),
  )
  answered = { ...answered, term: asTerm(4) }
  for (const { term, success } of [await append(), await beat()]) assert.equal([Number(term), success], [4, false])
  node.countsForBraft = true
  answered = APPENDED
  assert.is((await append()).success, true)
  assert.is((await beat()).success, true)
  assert.is(heard.at(-2)!.entries!.count, 1)
  assert.is((await install()).response.success, true)
})

test('the process hears of every braft node that calls, and whether it was taken', async () => {
  const called: string[] = []
  const { client } = await start(
    { handleAppendEntries: (_request, answer) => answer(Status.OK, APPENDED) },
    {
      allowBraftPeers: (group) => group !== 'Counter' || called.length > 0,
      onBraftPeer: (group, from, taken) => called.push(`${group} ${from.address} ${taken}`),
    },
  )
  await refused(callBaiduStd(client, APPEND, HEARTBEAT), ErrorCode.EPERM, 'takes no braft members')
  await callBaiduStd(client, APPEND, HEARTBEAT)
  assert.equal(called, ['Counter 127.0.0.1:8501 false', 'Counter 127.0.0.1:8501 true'])
})

test('a node is told when the connection breaks by which a braft leader appends, once, and not by one that only asked for votes', async () => {
  const broken: string[] = []
  let told: () => void = () => {}
  const both = new Promise<void>((resolve) => (told = resolve))
  const { client, port } = await start({
    handleAppendEntries: (_request, answer) => answer(Status.OK, APPENDED),
    handleRequestVote: (_request, answer) => answer(Status.error(ErrorCode.EAGAIN, 'not now')),
    handleStreamBroken: (from) => void (broken.push(from.address) === 2 && told()),
  })
  const other = new BaiduStdClient('127.0.0.1', port, { connectTimeoutMs: 5000 })
  await statusOf(callBaiduStd(other, VOTE, vote))
  other.close()
  await callBaiduStd(client, APPEND, HEARTBEAT)
  await callBaiduStd(client, APPEND, HEARTBEAT)
  await callBaiduStd(client, APPEND, { ...HEARTBEAT, peer_id: '127.0.0.1:8502:0:0' })
  client.close()
  await both
  assert.equal(broken, ['127.0.0.1:8501', '127.0.0.1:8501'])
})

test('faults on the link to a braft node hold there too', async () => {
  const faults = new Faults(true)
  let reached = 0
  const { client } = await start(
    {
      handleAppendEntries: (_request, answer) => {
        reached++
        answer(Status.OK, APPENDED)
      },
    },
    { faults },
  )
  const timed = (timeoutMs: number) =>
    new Promise<number>((resolve) => {
      const message = braft.AppendEntriesRequest.encode(HEARTBEAT).finish()
      client.call({ ...APPEND, message, timeoutMs }, (status) => resolve(status.code))
    })
  for (const [direction, count] of [
    ['in', 0],
    ['out', 1],
  ] as const) {
    faults.add('cut', { kind: 'cut', peers: new Set(['127.0.0.1:8501']), direction }, 60_000)
    assert.is(await timed(100), BrpcCode.ERPCTIMEDOUT)
    assert.is(reached, count)
  }
  faults.remove(['cut'])
  assert.is(await timed(5000), 0)
})

test('install_snapshot goes to the node, and its refusal comes back', async () => {
  let uri = ''
  const { client } = await start({
    handleInstallSnapshot: (request, answer) => {
      uri = request.uri
      answer(Status.error(ErrorCode.EINVAL, 'Not support snapshot'))
    },
  })
  const meta = { last_included_index: 5, last_included_term: 2, peers: ['127.0.0.1:8500:0:0'] }
  await refused(
    callBaiduStd(client, INSTALL, { ...ADDRESS, term: 3, meta, uri: 'remote://127.0.0.1:1/-5' }),
    ErrorCode.EINVAL,
    'Not support snapshot',
  )
  assert.is(uri, 'remote://127.0.0.1:1/-5')
})

test.run()
