import { execFile } from 'node:child_process'
import net from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  KvClient,
  KvClientError,
  type KvClientOptions,
  OutcomeUnknownError,
  RefusedError,
  UnreachableError,
} from '../../../src/machines/kv/client.js'
import { Kv, kvHandlers } from '../../../src/machines/kv/grpc-service.js'
import { GrpcLeaderCalls } from '../../../src/machines/kv/leader-calls.js'
import { KvService } from '../../../src/machines/kv/service.js'
import type { KvStateMachine } from '../../../src/machines/kv/state-machine.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { callGuard } from '../../../src/rpc/call-guard.js'
import { MAX_MESSAGE_BYTES } from '../../../src/rpc/grpc.js'
import { ProcessIdentity } from '../../../src/rpc/identity.js'
import { RpcServer } from '../../../src/rpc/server.js'
import { ProductionClock } from '../../../src/server/clock.js'
import { applyNext, FakeNode, NOT_LEADER, newMachine, peer, STEPPED_DOWN } from './fakes.js'

// Members whose log is a shared machine: gRPC, forwarding and the client are the real ones, over loopback.

const EXAMPLE = fileURLToPath(new URL('../../../examples/key-value.js', import.meta.url))
const CLUSTER = 'ab'.repeat(16)
const b = (text: string) => Buffer.from(text)

interface Member {
  readonly node: FakeNode
  readonly address: string
  starting: boolean
  stop(): Promise<void>
}

const clients: KvClient[] = []
const members: Member[] = []

async function start(machine: KvStateMachine): Promise<Member> {
  const identity = new ProcessIdentity(peer(1), 'n', 'boot', '0', CLUSTER)
  const server = new RpcServer({ guard: callGuard({ identity, onCall: () => {} }) })
  let service: KvService | null = null
  server.addGrpcService(Kv, kvHandlers({ serviceOf: (group) => (group !== 'kv' ? null : member.starting ? 'starting' : service) }))
  const { port } = await server.listen()
  const node = new FakeNode(machine, peer(port))
  const clock = new ProductionClock({ post: (fn) => setImmediate(fn) })
  const leaderCalls = new GrpcLeaderCalls(identity)
  service = new KvService({ node, machine, clock, wallClockMs: Date.now, leaderCalls, clusterId: () => CLUSTER })
  let stopped = false
  const member: Member = {
    node,
    address: `127.0.0.1:${port}`,
    starting: false,
    async stop() {
      if (stopped) return
      stopped = true
      service?.close()
      clock.stop()
      await server.close({ deadlineMs: 50 })
    },
  }
  members.push(member)
  return member
}

async function cluster(count: number): Promise<{ machine: KvStateMachine; all: Member[] }> {
  const machine = newMachine()
  const all = await Promise.all(Array.from({ length: count }, () => start(machine)))
  elect(all, 0)
  return { machine, all }
}

function elect(all: readonly Member[], leader: number): void {
  for (const member of all) member.node.follow(all[leader]?.node.peerId as PeerId)
}

function client(options: Partial<KvClientOptions> & { endpoints: string[] }): KvClient {
  const made = new KvClient({ timeoutMs: 1500, clusterId: CLUSTER, ...options })
  clients.push(made)
  return made
}

async function failure(promise: Promise<unknown>): Promise<KvClientError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof KvClientError) return error
    throw error
  }
  throw new Error('it did not fail')
}

test.after.each(async () => {
  for (const one of clients.splice(0)) one.close()
  for (const member of members.splice(0)) await member.stop()
})

test('every method of the client, through a follower', async () => {
  const { all } = await cluster(2)
  const kv = client({ endpoints: [all[1]?.address as string] })
  assert.equal(await kv.put(b('a'), b('1')), { revision: 2, previous: null })
  assert.is(String((await kv.put(b('a'), b('2'))).previous?.value), '1')
  assert.is(String((await kv.get(b('a'))).item?.value), '2')
  assert.is(String((await kv.get(b('a'), { revision: 2 })).item?.value), '1')
  assert.is((await kv.get(b('missing'))).item, null)

  assert.is((await kv.cas(b('a'), { value: b('1') }, b('x'))).swapped, false)
  const swapped = await kv.cas(b('a'), { value: b('2') }, b('3'))
  assert.equal([swapped.swapped, String(swapped.current?.value), swapped.current?.modRevision], [true, '3', 4])
  assert.is((await kv.cas(b('a'), { modRevision: 3 }, b('x'))).swapped, false)
  assert.is(String((await kv.cas(b('a'), { absent: true }, b('x'))).current?.value), '3')
  assert.is((await kv.cas(b('b/1'), { absent: true }, b('y'))).swapped, true)
  await kv.put(b('b/2'), b('z'))

  const page = await kv.list(b('b/'), { limit: 1 })
  assert.equal([page.items.map((i) => String(i.key)), page.more, page.count], [['b/1'], true, 2])
  const rest = await kv.list(b('b/'), { after: b('b/1'), keysOnly: true })
  assert.equal(
    rest.items.map((i) => [String(i.key), i.value.length]),
    [['b/2', 0]],
  )
  assert.is((await kv.list(b(''))).count, 3)

  assert.is((await kv.delPrefix(b('b/'))).deleted, 2)
  assert.is((await kv.del(b('a'))).deleted, 1)
  const { revision } = await kv.del(b('a'))
  await kv.compact(revision)
  assert.is((await failure(kv.get(b('a'), { revision: 2 }))).code, 'E_COMPACTED')
  assert.is(all[1]?.node.tasks.length, 0, 'the follower proposed nothing')
})

test('a leader that refuses and a new one elsewhere: the member that took the call finds it', async () => {
  const { all, machine } = await cluster(3)
  const [first, second, third] = all as [Member, Member, Member]
  first.node.applies = NOT_LEADER
  const written = client({ endpoints: [third.address] }).put(b('a'), b('1'))
  await first.node.asked()
  second.node.lead()
  elect(all, 1)
  assert.is((await written).revision, 2)
  assert.is(machine.store.get('a')?.version, 1)
})

test('a named write whose outcome was lost with the leader is applied once', async () => {
  const { all, machine } = await cluster(3)
  const [first, , third] = all as [Member, Member, Member]
  const kv = client({ endpoints: [third.address] })
  await kv.put(b('open'), b('x'))
  first.node.applies = 'holds'
  const written = kv.put(b('a'), b('1'))
  await first.node.asked(2)
  applyNext(machine, first.node.tasks[1]?.data as Uint8Array)
  await first.stop()
  elect(all, 1)
  assert.is((await written).revision, 3)
  assert.is(machine.store.get('a')?.version, 1)
})

test('a dead endpoint is passed over', async () => {
  const { all } = await cluster(2)
  await all[0]?.stop()
  elect(all, 1)
  const kv = client({ endpoints: all.map((m) => m.address) })
  assert.is((await kv.put(b('a'), b('1'))).revision, 2)
  assert.is(String((await kv.get(b('a'))).item?.value), '1')
})

test('writes of one client at once are each applied once, whatever order they take', async () => {
  const { all, machine } = await cluster(2)
  const kv = client({ endpoints: [all[1]?.address as string] })
  await Promise.all(Array.from({ length: 50 }, (_, i) => kv.put(b(`k${i}`), b('v'))))
  assert.is(machine.store.revision, 51)
  assert.is(machine.sessions.size, 1)
  await kv.put(b('last'), b('v'))
  const [session] = machine.sessions.freeze().sessions
  assert.is(session?.acknowledgedThrough, 50, 'what was answered is acknowledged')
})

test('a session that the servers forgot is opened anew when nothing was in doubt', async () => {
  const { all, machine } = await cluster(1)
  const kv = client({ endpoints: [all[0]?.address as string] })
  await kv.put(b('a'), b('1'))
  ;(machine.sessions as unknown as { sessions: Map<string, unknown> }).sessions.clear()
  assert.is((await kv.put(b('a'), b('2'))).revision, 3)
})

test('nothing reachable is said at once, with the stage', async () => {
  const { all } = await cluster(1)
  await all[0]?.stop()
  const refused = await failure(client({ endpoints: [all[0]?.address as string], timeoutMs: 60_000 }).put(b('a'), b('1')))
  assert.instance(refused, UnreachableError)
  assert.equal([refused.code, (refused as UnreachableError).stage, refused.applied], ['E_UNREACHABLE', 'tcp', 'no'])
})

test('a name that does not resolve fails at the dns stage', async () => {
  const kv = client({ endpoints: ['nowhere.invalid:7001'], timeoutMs: 3000, connectTimeoutMs: 400 })
  assert.is(((await failure(kv.get(b('a')))) as UnreachableError).stage, 'dns')
})

test('something that accepts connections and is no raftctl node fails at the grpc stage', async () => {
  const sockets: net.Socket[] = []
  const server = net.createServer((socket) => sockets.push(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  const error = await failure(client({ endpoints: [`127.0.0.1:${port}`], connectTimeoutMs: 200 }).get(b('a')))
  assert.is((error as UnreachableError).stage, 'grpc')
  for (const socket of sockets) socket.destroy()
  server.close()
})

test('without a leader a write is refused as not applied', async () => {
  const { all } = await cluster(1)
  all[0]?.node.follow(PeerId.EMPTY)
  const error = await failure(client({ endpoints: [all[0]?.address as string], timeoutMs: 400 }).put(b('a'), b('1')))
  assert.instance(error, RefusedError)
  assert.equal([error.code, error.applied], ['E_NO_LEADER', 'no'])
})

test('a value that no message can carry is refused as not applied', async () => {
  const { all } = await cluster(1)
  const kv = client({ endpoints: [all[0]?.address as string] })
  const error = await failure(kv.put(b('a'), Buffer.alloc(MAX_MESSAGE_BYTES)))
  assert.instance(error, RefusedError)
  assert.equal([error.code, error.applied], ['E_TOO_LARGE', 'no'])
})

test('a member that is starting is passed over', async () => {
  const { all } = await cluster(2)
  const [first, second] = all as [Member, Member]
  elect(all, 1)
  first.starting = true
  await client({ endpoints: [first.address, second.address] }).put(b('a'), b('1'))
  const error = await failure(client({ endpoints: [first.address], timeoutMs: 400 }).put(b('a'), b('1')))
  assert.equal([error.code, error.applied], ['E_NO_LEADER', 'no'])
})

test('a write that may have been applied is never called refused', async () => {
  const { all } = await cluster(1)
  const [member] = all as [Member]
  const kv = client({ endpoints: [member.address], timeoutMs: 500 })
  await kv.put(b('open'), b('x'))
  member.node.lead()
  member.node.applies = STEPPED_DOWN
  const written = failure(kv.put(b('a'), b('1')))
  await member.node.asked(2)
  member.node.follow(PeerId.EMPTY)
  const error = await written
  assert.instance(error, OutcomeUnknownError)
  assert.equal([error.code, error.applied], ['E_OUTCOME_UNKNOWN', 'unknown'])
})

test('a call for another cluster or group is refused', async () => {
  const { all, machine } = await cluster(1)
  const endpoints = [all[0]?.address as string]
  assert.is((await failure(client({ endpoints, clusterId: 'cd'.repeat(16) }).put(b('a'), b('1')))).code, 'E_CLUSTER_MISMATCH')
  assert.is((await failure(client({ endpoints, group: 'other' }).put(b('a'), b('1')))).code, 'E_NO_GROUP')
  assert.is(machine.store.revision, 1)
})

test('a direct call is answered by that member or not at all', async () => {
  const { all } = await cluster(2)
  const kv = client({ endpoints: [all[1]?.address as string], direct: true })
  const error = await failure(kv.put(b('a'), b('1')))
  assert.equal([error.code, error.leaderHint], ['E_NOT_LEADER', all[0]?.node.peerId.toString()])
  assert.is((await kv.get(b('a'), { consistency: 'stale' })).item, null)
})

test('a stale read needs no leader', async () => {
  const { all } = await cluster(1)
  const kv = client({ endpoints: [all[0]?.address as string] })
  await kv.put(b('a'), b('1'))
  all[0]?.node.follow(PeerId.EMPTY)
  assert.is(String((await kv.get(b('a'), { consistency: 'stale' })).item?.value), '1')
})

test('keys and values may be text or bytes of any kind', async () => {
  const { all } = await cluster(1)
  const kv = client({ endpoints: [all[0]!.address] })
  const slice = new Uint8Array([0, 195, 188, 0]).subarray(1, 3)
  await kv.put('k/ü', slice)
  assert.is(String((await kv.get(Uint8Array.from(b('k/ü')))).item?.value), 'ü')
  assert.is((await kv.cas('k/ü', { value: 'ü' }, 'u')).swapped, true)
  await kv.put('k/v', '')
  const { items } = await kv.list('k/', { after: 'k/ü' })
  assert.is(items.length, 0, 'v comes before ü')
  assert.is((await kv.list('k/', { after: 'k/v' })).items.length, 1)
  assert.is((await kv.del('k/v')).deleted, 1)
  assert.is((await kv.delPrefix('k/')).deleted, 1)
})

test('the example adds in several processes at once, and no increment is lost', async () => {
  const { all } = await cluster(2)
  const dead = '127.0.0.1:1'
  const run = async (endpoints: readonly string[]) => {
    const { stdout } = await promisify(execFile)(process.execPath, [EXAMPLE, endpoints.join(), 'sum', '20'], { timeout: 30_000 })
    return Number(stdout)
  }
  const sums = await Promise.all([run([dead, all[1]!.address]), run([all[0]!.address, dead])])
  assert.is(Math.max(...sums), 40)
  assert.is(String((await client({ endpoints: [all[0]!.address] }).get('sum')).item?.value), '40')
})

test.run()
