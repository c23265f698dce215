import * as grpc from '@grpc/grpc-js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { braft } from '../../../src/generated/braft.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import type { BaiduStdClient } from '../../../src/rpc/baidu-std-client.js'
import { codeInText } from '../../../src/rpc/braft-error.js'
import { addBraftServices, addPages } from '../../../src/rpc/builtin.js'
import { Channels } from '../../../src/rpc/channel.js'
import { type Codec, defineService, ServiceClient, unary } from '../../../src/rpc/grpc.js'
import { Health } from '../../../src/rpc/health.js'
import { NodeManager } from '../../../src/rpc/node-manager.js'
import { RpcServer } from '../../../src/rpc/server.js'
import { EventLoopExecutor } from '../../../src/server/executor.js'
import { checksum } from '../../../src/storage/checksum.js'
import { FakeNode, nodeStatus, peer, silentHandler } from '../../support/rpc.js'

const methods = {
  get_leader: unary(braft.GetLeaderRequest, braft.GetLeaderResponse),
  transfer_leader: unary(braft.TransferLeaderRequest, braft.TransferLeaderResponse),
  add_peer: unary(braft.AddPeerRequest, braft.AddPeerResponse),
  remove_peer: unary(braft.RemovePeerRequest, braft.RemovePeerResponse),
  change_peers: unary(braft.ChangePeersRequest, braft.ChangePeersResponse),
  reset_peer: unary(braft.ResetPeerRequest, braft.ResetPeerResponse),
  snapshot: unary(braft.SnapshotRequest, braft.SnapshotResponse),
}
type MethodName = keyof typeof methods

const closers: (() => unknown)[] = []
test.after.each(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** The outcome of a call, whatever protocol carried it. */
interface Outcome {
  /** braft's error number. */
  readonly code: number
  /** gRPC or HTTP status; 0 on baidu_std. */
  readonly status: number
  readonly text: string
  readonly response: Record<string, unknown>
}
type Protocol = (service: string, method: MethodName, request: object) => Promise<Outcome>

function start(...nodesHere: FakeNode[]) {
  return startWith({}, ...nodesHere)
}

async function startWith(options: { disableCli?: boolean }, ...nodesHere: FakeNode[]) {
  const nodes = new NodeManager<FakeNode>()
  for (const node of nodesHere) nodes.add(node)
  const server = new RpcServer()
  addBraftServices(server, { nodes, executor: new EventLoopExecutor(), checksum, allowBraftPeers: () => true, ...options })
  addPages(server, { nodes, metrics: () => 'up 1\n' })
  const { port } = await server.listen()
  const channels = new Channels({ baiduStd: { connectTimeoutMs: 5000 } })
  closers.push(
    () => server.close({ deadlineMs: 0 }),
    () => channels.close(),
  )
  const address = `127.0.0.1:${port}`
  const protocols: Record<string, Protocol> = {
    gRPC: byGrpc(channels.grpc(address)),
    baidu_std: byBaiduStd(channels.baiduStd(address)),
    HTTP: (service, method, request) => byHttp(`http://${address}/${service}/${method}`, request),
  }
  return { protocols, address, channels }
}

function byGrpc(channel: grpc.Client): Protocol {
  return async (service, method, request) => {
    try {
      const response = await new ServiceClient(defineService(service, methods), channel).call(method, request as never)
      return { code: 0, status: 0, text: '', response: { ...response } }
    } catch (error) {
      const { code, details } = error as grpc.ServiceError
      return { code: codeInText(details) ?? -1, status: code, text: details, response: {} }
    }
  }
}

function byBaiduStd(client: BaiduStdClient): Protocol {
  return (service, method, request) =>
    new Promise((resolve) => {
      const codecs = methods[method] as { request: Codec<object, object>; response: Codec<object, object> }
      client.call({ service, method, message: codecs.request.encode(request).finish() }, (status, answer) => {
        const response = answer ? { ...codecs.response.decode(answer.message) } : {}
        resolve({ code: status.code, status: 0, text: status.message, response })
      })
    })
}

async function byHttp(url: string, request: object): Promise<Outcome> {
  const reply = await fetch(url, { method: 'POST', body: JSON.stringify(request) })
  const text = await reply.text()
  const code = Number(reply.headers.get('x-bd-error-code') ?? 0)
  return { code, status: reply.status, text, response: reply.ok && text !== '' ? JSON.parse(text) : {} }
}

/** The error of a call that must fail. */
function failureOf(call: Promise<unknown>): Promise<grpc.ServiceError> {
  return call.then(
    () => {
      throw new Error('the call did not fail')
    },
    (error) => error as grpc.ServiceError,
  )
}

const leader = () => new FakeNode('Counter', peer('127.0.0.1:8501'), silentHandler(), { state: 'LEADER' })
const follower = (overrides = {}) => new FakeNode('Counter', peer('127.0.0.1:8500'), silentHandler(), overrides)

/** Every protocol, under the full and the short name of the service, must say the same. */
async function everywhere(
  protocols: Record<string, Protocol>,
  method: MethodName,
  request: object,
  expected: { code: number; text?: string; grpc?: grpc.status; http?: number; response?: object },
): Promise<void> {
  for (const [name, call] of Object.entries(protocols)) {
    for (const service of ['braft.CliService', 'CliService']) {
      const outcome = await call(service, method, request)
      const where = `${name} ${service}.${method}: ${outcome.text}`
      assert.is(outcome.code, expected.code, where)
      if (expected.text !== undefined) assert.match(outcome.text, expected.text, where)
      if (expected.response) assert.equal(outcome.response, expected.response, where)
      if (expected.code !== 0) assert.match(outcome.text, /^\[127\.0\.0\.1:\d+\]\[E\d+\]/)
      if (name === 'gRPC') assert.is(outcome.status, expected.grpc ?? grpc.status.OK, where)
      if (name === 'HTTP') assert.is(outcome.status, expected.http ?? 200, where)
    }
  }
}

const NOT_FOUND = { code: ErrorCode.ENOENT, grpc: grpc.status.INTERNAL, http: 500 }
const INVALID = { code: ErrorCode.EINVAL, grpc: grpc.status.INVALID_ARGUMENT, http: 400 }

test('get_leader answers with whom the asked node, or any node of the group, follows', async () => {
  const { protocols } = await start(follower({ leaderId: PeerId.EMPTY }), leader())
  await everywhere(protocols, 'get_leader', { group_id: 'Counter' }, { code: 0, response: { leader_id: '127.0.0.1:8501:0:0' } })
  await everywhere(
    protocols,
    'get_leader',
    { group_id: 'Counter', peer_id: '127.0.0.1:8501' },
    { code: 0, response: { leader_id: '127.0.0.1:8501:0:0' } },
  )
  const unknown = { code: ErrorCode.EAGAIN, grpc: grpc.status.INTERNAL, http: 500, text: 'Unknown leader' }
  await everywhere(protocols, 'get_leader', { group_id: 'Counter', peer_id: '127.0.0.1:8500' }, unknown)
  await everywhere(
    protocols,
    'get_leader',
    { group_id: 'Counter', peer_id: '127.0.0.1:1' },
    { ...NOT_FOUND, text: 'No nodes in group Counter' },
  )
  await everywhere(protocols, 'get_leader', { group_id: 'Nope' }, { ...NOT_FOUND, text: 'No nodes in group Nope' })
  await everywhere(protocols, 'get_leader', { group_id: 'Counter', peer_id: 'x' }, { ...INVALID, text: 'Fail to parse x' })
})

test('transfer_leader begins a transfer on the node it names, to anyone when it names nobody', async () => {
  const node = leader()
  const { protocols } = await start(follower(), node)
  const at = { group_id: 'Counter', leader_id: '127.0.0.1:8501:0:0' }
  await everywhere(protocols, 'transfer_leader', { ...at, peer_id: '127.0.0.1:8500:0:0' }, { code: 0, response: {} })
  assert.equal([...new Set(node.transfers.map(String))], ['127.0.0.1:8500:0:0'])
  node.transfers.length = 0
  await everywhere(protocols, 'transfer_leader', at, { code: 0 })
  assert.equal(new Set(node.transfers), new Set([null]))
  await everywhere(protocols, 'transfer_leader', { ...at, peer_id: 'x' }, { ...INVALID, text: 'Fail to parse x' })
  const elsewhere = { ...at, leader_id: '127.0.0.1:1:0:0' }
  await everywhere(protocols, 'transfer_leader', elsewhere, { ...NOT_FOUND, text: 'Fail to find node 127.0.0.1:1:0:0 in group Counter' })
  await everywhere(protocols, 'transfer_leader', { ...at, leader_id: '' }, { ...INVALID, text: "there're 2 nodes in group Counter" })
  node.transferRefusal = Status.error(ErrorCode.EPERM, 'is not leader')
  const denied = { code: ErrorCode.EPERM, grpc: grpc.status.PERMISSION_DENIED, http: 403 }
  await everywhere(protocols, 'transfer_leader', at, { ...denied, text: 'Fail to invoke transfer_leadership_to : is not leader' })
})

const PEERS = ['127.0.0.1:8500:0:0', '127.0.0.1:8501:0:0', '127.0.0.1:8503:0:0']
const to = (port: number) => ({ group_id: 'Counter', leader_id: `127.0.0.1:${port}:0:0` })

test('a change of members is refused: not found, then not leader, then not readable', async () => {
  const { protocols } = await start(follower(), leader())
  const notLeader = { code: ErrorCode.EPERM, grpc: grpc.status.PERMISSION_DENIED, http: 403, text: 'Not leader' }
  for (const method of ['add_peer', 'remove_peer'] as const) {
    await everywhere(protocols, method, { ...to(1), peer_id: 'x' }, { ...NOT_FOUND, text: 'Fail to find node 127.0.0.1:1:0:0 in group' })
    await everywhere(protocols, method, { ...to(8500), peer_id: 'x' }, notLeader)
    await everywhere(protocols, method, { ...to(8501), peer_id: 'x' }, { ...INVALID, text: 'Fail to parse peer_id x' })
  }
  await everywhere(protocols, 'change_peers', { ...to(8500), new_peers: [] }, notLeader)
  await everywhere(protocols, 'change_peers', { ...to(8501), new_peers: ['127.0.0.1:9', 'x'] }, { ...INVALID, text: 'Fail to parse x' })
})

test('members are added, removed and replaced; the answer names them before and after', async () => {
  const node = leader()
  const { protocols } = await start(node)
  const answers = async (method: MethodName, request: object, old_peers: string[], new_peers: string[]) => {
    node.asked.length = 0
    await everywhere(protocols, method, request, { code: 0, response: { old_peers, new_peers } })
    assert.equal([...new Set(node.asked)], [`change ${[...new_peers].sort().join()}`])
  }
  await answers('add_peer', { ...to(8501), peer_id: '127.0.0.1:8502' }, PEERS, [...PEERS, '127.0.0.1:8502:0:0'])
  await answers('add_peer', { ...to(8501), peer_id: '127.0.0.1:8503' }, PEERS, PEERS)
  await answers('remove_peer', { ...to(8501), peer_id: '127.0.0.1:8500' }, PEERS, PEERS.slice(1))
  await answers('remove_peer', { ...to(8501), peer_id: '127.0.0.1:8509' }, PEERS, PEERS)
  const changed = ['127.0.0.1:8501:0:0', '127.0.0.1:8509:0:0']
  await answers('change_peers', { ...to(8501), new_peers: [...changed].reverse() }, PEERS, changed)
})

test('what becomes of a change is told by braft’s numbers', async () => {
  const node = leader()
  const { protocols } = await start(node)
  const internal = { grpc: grpc.status.INTERNAL, http: 500 }
  const cases = [
    { status: Status.error(ErrorCode.EBUSY, 'Doing another configuration change'), code: ErrorCode.EBUSY, ...internal },
    { status: Status.error(ErrorCode.ECATCHUP, 'Peer x failed to catch up'), code: ErrorCode.ECATCHUP, ...internal },
    {
      status: Status.error(ErrorCode.EOUTCOMEUNKNOWN, 'leader stepped down: of another term'),
      code: ErrorCode.EPERM,
      grpc: grpc.status.PERMISSION_DENIED,
      http: 403,
    },
  ]
  for (const { status, ...expected } of cases) {
    node.outcome = status
    await everywhere(protocols, 'add_peer', { ...to(8501), peer_id: '127.0.0.1:9' }, { ...expected, text: status.message })
  }
})

test('reset_peer sets the members of the node it names, leader or not', async () => {
  const node = follower()
  const { protocols } = await start(node, leader())
  const reset = { group_id: 'Counter', peer_id: '127.0.0.1:8500:0:0', old_peers: PEERS }
  await everywhere(protocols, 'reset_peer', { ...reset, new_peers: ['127.0.0.1:8500'] }, { code: 0, response: {} })
  assert.equal([...new Set(node.asked)], ['reset 127.0.0.1:8500:0:0'])
  await everywhere(protocols, 'reset_peer', { ...reset, new_peers: ['x'] }, { ...INVALID, text: 'Fail to parse x' })
  node.outcome = Status.error(ErrorCode.EINVAL, 'a group needs at least one member')
  await everywhere(protocols, 'reset_peer', { ...reset, new_peers: [] }, { ...INVALID, text: 'a group needs at least one member' })
})

test('snapshot answers when the snapshot is there', async () => {
  const node = leader()
  const { protocols } = await start(node)
  await everywhere(protocols, 'snapshot', { group_id: 'Counter' }, { code: 0, response: {} })
  assert.equal([...new Set(node.asked)], ['snapshot'])
  await everywhere(protocols, 'snapshot', { group_id: 'Nope' }, { ...NOT_FOUND, text: 'Fail to find node in group Nope' })
  node.outcome = Status.error(ErrorCode.EBUSY, 'Is saving another snapshot')
  const busy = { code: ErrorCode.EBUSY, grpc: grpc.status.INTERNAL, http: 500, text: 'Is saving another snapshot' }
  await everywhere(protocols, 'snapshot', { group_id: 'Counter' }, busy)
})

test('where it is switched off everything but get_leader is EACCES, and nothing is done', async () => {
  const node = leader()
  const { protocols } = await startWith({ disableCli: true }, node)
  const ask = protocols['baidu_std']!
  assert.is((await ask('braft.CliService', 'snapshot', { group_id: 'Counter' })).code, ErrorCode.EACCES)
  const change = { ...to(8501), new_peers: ['127.0.0.1:8500'] }
  assert.is((await ask('braft.CliService', 'change_peers', change)).code, ErrorCode.EACCES)
  assert.equal(node.asked, [])
  assert.is((await ask('braft.CliService', 'get_leader', { group_id: 'Counter' })).code, 0)
})

test('a group with braft members takes nobody whom they cannot dial', async () => {
  const node = leader()
  const { protocols } = await start(node)
  const refused = { ...INVALID, text: 'n4.example:8504:0:0 is no IPv4 address' }
  await everywhere(protocols, 'add_peer', { ...to(8501), peer_id: 'n4.example:8504' }, refused)
  await everywhere(protocols, 'change_peers', { ...to(8501), new_peers: ['n4.example:8504'] }, refused)
  await everywhere(protocols, 'reset_peer', { group_id: 'Counter', peer_id: '', old_peers: [], new_peers: ['n4.example:8504'] }, refused)
  assert.equal(node.asked, [])
})

test('a request without a required field is EREQUEST on every protocol', async () => {
  const { address, channels } = await start(leader())
  const raw = unary({ encode: (bytes: Buffer) => ({ finish: () => bytes }), decode: (bytes: Uint8Array) => bytes }, braft.GetLeaderResponse)
  for (const bytes of [Buffer.alloc(0), Buffer.from([0xff, 0xff]), Buffer.from([0x12, 1, 0x78])]) {
    const client = new ServiceClient(defineService('braft.CliService', { get_leader: raw }), channels.grpc(address))
    const error = await failureOf(client.call('get_leader', bytes))
    assert.is(error.code, grpc.status.INVALID_ARGUMENT)
    assert.is(codeInText(error.details), 1003)
    const status = await new Promise<Status>((done) =>
      channels.baiduStd(address).call({ service: 'CliService', method: 'get_leader', message: bytes }, done),
    )
    assert.is(status.code, 1003)
  }
  for (const body of ['{}', '{"group_id":5}', 'not json', '[]', 'null']) {
    const reply = await fetch(`http://${address}/CliService/get_leader`, { method: 'POST', body })
    assert.equal([reply.status, reply.headers.get('x-bd-error-code')], [400, '1003'], body)
  }
  const huge = await fetch(`http://${address}/CliService/get_leader`, {
    method: 'POST',
    body: `{"group_id":"Counter"}${' '.repeat(1024 * 1024)}`,
  })
  assert.is(huge.headers.get('x-bd-error-code'), '1003')
})

test('unknown services and methods are told apart as brpc tells them apart', async () => {
  const { address, channels } = await start(leader())
  const call = (service: string, method: string) =>
    new Promise<number>((done) =>
      channels.baiduStd(address).call({ service, method, message: Buffer.alloc(0) }, (status) => done(status.code)),
    )
  assert.is(await call('Nothing', 'x'), 1001)
  assert.is(await call('braft.Nothing', 'x'), 1002)
  assert.is(await call('CliService', 'nothing'), 1002)
  assert.is(await call('CliService', 'toString'), 1002)
  for (const path of [
    '/braft.Nothing/get_leader',
    '/braft.CliService/nothing',
    '/nothing',
    '/CliService/get_leader/x',
    '/FileService/get_files',
  ]) {
    const reply = await fetch(`http://${address}${path}`, { method: 'POST', body: '{}' })
    assert.equal([reply.status, reply.headers.get('x-bd-error-code')], [404, '1002'], path)
  }
  const get = await fetch(`http://${address}/CliService/get_leader?group_id=Counter`)
  assert.equal([get.status, get.headers.get('x-bd-error-code')], [400, '1003'])
  const nothing = new ServiceClient(defineService('braft.CliService', { nothing: methods.get_leader }), channels.grpc(address))
  const error = await failureOf(nothing.call('nothing', { group_id: 'Counter' }))
  assert.is(error.code, grpc.status.UNIMPLEMENTED)
})

test('entries with data over gRPC or JSON are refused: their attachment cannot have come along', async () => {
  let appends = 0
  const node = new FakeNode(
    'Counter',
    peer('127.0.0.1:8500'),
    silentHandler({
      handleAppendEntries: (request, answer) => {
        appends++
        answer(Status.OK, {
          term: request.term,
          success: true,
          lastLogIndex: logIndex(7),
          readonly: false,
          short: false,
          rebuilding: false,
        })
      },
    }),
  )
  const { address, channels } = await start(node)
  const Raft = defineService('braft.RaftService', { append_entries: unary(braft.AppendEntriesRequest, braft.AppendEntriesResponse) })
  const client = new ServiceClient(Raft, channels.grpc(address))
  const heartbeat = {
    group_id: 'Counter',
    server_id: '127.0.0.1:8501:0:0',
    peer_id: '127.0.0.1:8500:0:0',
    term: 3,
    prev_log_term: 2,
    prev_log_index: 7,
    committed_index: 7,
    entries: [] as object[],
  }
  assert.is((await client.call('append_entries', heartbeat as never)).success, true)
  const data = { ...heartbeat, entries: [{ term: asTerm(3), type: 2, data_len: 1 }] }
  const error = await failureOf(client.call('append_entries', data as never))
  assert.equal([error.code, codeInText(error.details)], [grpc.status.INVALID_ARGUMENT, ErrorCode.EINVAL])
  const reply = await fetch(`http://${address}/RaftService/append_entries`, { method: 'POST', body: JSON.stringify(data) })
  assert.equal([reply.status, reply.headers.get('x-bd-error-code')], [400, '22'])
  const json = await fetch(`http://${address}/RaftService/append_entries`, { method: 'POST', body: JSON.stringify(heartbeat) })
  assert.equal(await json.json(), { term: 3, success: true, last_log_index: 7, readonly: false })
  assert.is(appends, 2)
})

test('the pages of a process: health, readiness, metrics, raft_stat, and grpc health', async () => {
  const node = leader()
  const { address, channels } = await start(node)
  const get = async (path: string) => {
    const reply = await fetch(`http://${address}${path}`, { headers: { 'user-agent': 'curl/8' } })
    return [reply.status, await reply.text()] as const
  }
  assert.equal(await get('/health'), [200, 'OK'])
  assert.equal(await get('/healthz'), [200, 'OK'])
  assert.equal(await get('/metrics'), [200, 'up 1\n'])
  assert.is((await get('/readyz'))[0], 200)
  node.current = nodeStatus({ leaderId: PeerId.EMPTY })
  assert.is((await get('/readyz'))[0], 503)
  assert.is((await get('/healthz'))[0], 200)
  assert.match((await get('/raft_stat'))[1], /^\[Counter\]\r\npeer_id: /)
  assert.match((await get('/raft_stat/Counter'))[1], /^\[Counter\]\r\npeer_id: /)
  assert.equal(await get('/raft_stat/Nope'), [200, ''])
  const page = await new Promise<string>((done) =>
    channels
      .baiduStd(address)
      .call({ service: 'raft_stat', method: 'default_method', message: Buffer.alloc(0) }, (_status, answer) =>
        done(`${answer?.attachment}`),
      ),
  )
  assert.is(page, (await get('/raft_stat'))[1])
  const health = await new ServiceClient(Health, channels.grpc(address)).call('Check', Buffer.alloc(0))
  assert.equal(health, Buffer.from([8, 1]))
  const head = await fetch(`http://${address}/healthz`, { method: 'HEAD' })
  assert.equal([head.status, await head.text()], [200, ''])
})

test.run()
