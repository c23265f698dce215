import type { Test } from 'uvu'
import type { AppendStreamEvents } from '../../src/raft/environment.js'
import { Status } from '../../src/raft/errors.js'
import { EntryBatch, EntryType } from '../../src/raft/log-entry.js'
import type { AppendEntriesRequest, AppendEntriesResponse, PeerHandler } from '../../src/raft/messages.js'
import { PeerId } from '../../src/raft/peer-id.js'
import { asTerm, logIndex } from '../../src/raft/types.js'
import { addPeerService } from '../../src/rpc/builtin.js'
import { callGuard } from '../../src/rpc/call-guard.js'
import type { Lookup } from '../../src/rpc/dial.js'
import { Faults } from '../../src/rpc/faults.js'
import { ProcessIdentity } from '../../src/rpc/identity.js'
import { type ManagedNode, NodeManager } from '../../src/rpc/node-manager.js'
import { PEER_PROTOCOLS, type PeerProtocol } from '../../src/rpc/peer-channel.js'
import { PeerService } from '../../src/rpc/peer-service.js'
import { RpcServer } from '../../src/rpc/server.js'
import { PeerTransport } from '../../src/rpc/transport.js'
import { EventLoopExecutor } from '../../src/server/executor.js'
import { checksum } from '../../src/storage/checksum.js'

export const GROUP = 'kv'
export const CLUSTER = 'aa'.repeat(16)
export const ACCEPTED: AppendEntriesResponse = {
  term: asTerm(3),
  success: true,
  lastLogIndex: logIndex(9),
  readonly: false,
  short: false,
  rebuilding: false,
}
export const closers: (() => unknown)[] = []

let protocol: PeerProtocol = 'grpc'

/** A test of what holds whatever the peers speak: once for each protocol. */
export function overEach(test: Test, title: string, run: (protocol: PeerProtocol) => Promise<unknown>): void {
  for (const spoken of PEER_PROTOCOLS)
    test(`${title} (${spoken})`, async () => {
      protocol = spoken
      try {
        await run(spoken)
      } finally {
        protocol = 'grpc'
      }
    })
}

/** For `test.after.each`: closes what the test opened. */
export async function closeAll(): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close()
}

/** A process with one node whose answers the test decides. */
export async function startPeer(
  handler: Partial<PeerHandler>,
  clusterId: string | null = CLUSTER,
  { host = '127.0.0.1', port: listenOn = 0, name = host }: { host?: string; port?: number; name?: string } = {},
) {
  const executor = new EventLoopExecutor()
  const nodes = new NodeManager()
  const faults = new Faults(true)
  const learned: string[] = []
  const identity = new ProcessIdentity(PeerId.parse('127.0.0.1:1')!, 'server', 'boot-of-server', '0.1.0', clusterId)
  const server = new RpcServer({ guard: callGuard({ identity, onCall: () => {} }) })
  const service = new PeerService({
    nodes,
    executor,
    checksum,
    identity,
    faults,
    onName: (peer, name) => learned.push(`${peer.key}=${name}`),
    onAlive: () => {},
  })
  addPeerService(server, service)
  const { port } = await server.listen({ host, port: listenOn })
  const peerId = new PeerId(name, port)
  const addGroup = (groupId: string) =>
    nodes.add({ groupId, peerId, handler: { handleStreamBroken: () => {}, ...handler } as PeerHandler } as ManagedNode)
  addGroup(GROUP)
  closers.push(() => server.close({ deadlineMs: 0 }))
  return { peerId, faults, identity, nodes, learned, server, service, addGroup }
}

export function startClient(clusterId: string | null = CLUSTER, pingMs = 100, lookup?: Lookup, connectTimeoutMs = lookup ? 1000 : 400) {
  const identity = new ProcessIdentity(PeerId.parse('127.0.0.1:2')!, 'client', 'boot-of-client', '0.1.0', clusterId)
  const faults = new Faults(true)
  const names: string[] = []
  const transport = new PeerTransport({
    protocol,
    executor: new EventLoopExecutor(),
    identity,
    faults,
    onName: (peer, name) => names.push(`${peer.key}=${name}`),
    connectTimeoutMs,
    pingMs,
    ...(lookup ? { lookup } : {}),
  })
  closers.push(() => transport.close())
  return { transport, faults, names, identity, self: identity.peerId }
}

export function callHello(client: ReturnType<typeof startClient>, to: PeerId, timeoutMs = 2000) {
  const request = { groupId: GROUP, serverId: client.self, peerId: to, incarnation: 'i1', standing: 'founding' as const }
  return new Promise<{ status: Status; response?: unknown }>((resolve) => {
    client.transport.call(to, 'hello', request, timeoutMs, (status, response) => resolve({ status, response }))
  })
}

export const answersHello: Partial<PeerHandler> = {
  handleHello: (_request, answer) =>
    answer(Status.OK, {
      incarnation: 'i2',
      standing: 'member',
      bootId: 'b',
      founders: new Map([['127.0.0.1:2:0', 'i1']]),
      lastLogIndex: logIndex(0),
    }),
}

export function frame(to: PeerId, from: PeerId, index: number, data: string | null): AppendEntriesRequest {
  const entries =
    data === null ? null : EntryBatch.encode(logIndex(index), asTerm(3), [{ type: EntryType.DATA, data: Buffer.from(data) }], checksum)
  return {
    groupId: GROUP,
    serverId: from,
    peerId: to,
    term: asTerm(3),
    prevLogTerm: asTerm(2),
    prevLogIndex: logIndex(index - 1),
    committedIndex: logIndex(index - 1),
    entries,
  }
}

/** An append stream whose events are promises. */
export function openStream(client: ReturnType<typeof startClient>, to: PeerId, groupId = GROUP) {
  const answers: { seq: number; status: Status; response?: AppendEntriesResponse }[] = []
  const waiters: (() => void)[] = []
  let breakNow: (status: Status) => void = () => {}
  const broken = new Promise<Status>((resolve) => {
    breakNow = resolve
  })
  const events: AppendStreamEvents = {
    answer: (seq, status, response) => {
      answers.push(response ? { seq, status, response } : { seq, status })
      for (const wake of waiters.splice(0)) wake()
    },
    broken: (status) => breakNow(status),
  }
  const stream = client.transport.openAppendStream(groupId, client.self, to, events)
  const answered = async (count: number) => {
    while (answers.length < count) await new Promise<void>((resolve) => waiters.push(resolve))
    return answers
  }
  return { stream, answered, broken }
}
