import http2 from 'node:http2'
import net from 'node:net'
import * as grpc from '@grpc/grpc-js'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { EntryBatch, EntryType } from '../../../src/raft/log-entry.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { encodeFrame, FrameReader, responseMeta } from '../../../src/rpc/baidu-std.js'
import type { Faults } from '../../../src/rpc/faults.js'
import type { PeerProtocol } from '../../../src/rpc/peer-channel.js'
import { Peer } from '../../../src/rpc/peer-definition.js'
import { checksum } from '../../../src/storage/checksum.js'
import { LinkProxy } from '../../support/proxy.js'
import {
  ACCEPTED,
  answersHello,
  CLUSTER,
  callHello,
  closeAll,
  closers,
  frame,
  GROUP,
  openStream,
  overEach,
  startClient,
  startPeer,
} from '../../support/transport-bench.js'

test.after.each(closeAll)

overEach(test, 'hello carries names and founders both ways', async () => {
  const peer = await startPeer(answersHello)
  const client = startClient()
  const { status, response } = await callHello(client, peer.peerId)
  assert.ok(status.ok, status.toString())
  assert.equal(response, {
    incarnation: 'i2',
    standing: 'member',
    bootId: 'b',
    founders: new Map([['127.0.0.1:2:0', 'i1']]),
    lastLogIndex: logIndex(0),
  })
  assert.equal(peer.learned, ['127.0.0.1:2:0=client'])
  assert.equal(client.names, [`${peer.peerId.key}=server`])
})

overEach(test, 'a vote request arrives as it was sent, and so does its answer', async () => {
  let seen: unknown
  const response = { term: asTerm(7), granted: true, disrupted: true, previousTerm: asTerm(6), rejectedByLease: true }
  const peer = await startPeer({
    handleRequestVote: (request, answer) => {
      seen = request
      answer(Status.OK, response)
    },
  })
  const client = startClient()
  const leader = { peerId: PeerId.parse('127.0.0.1:3:1')!, term: asTerm(6) }
  const addressed = { groupId: GROUP, serverId: client.self, peerId: peer.peerId }
  const request = { ...addressed, term: asTerm(2 ** 40), lastLogTerm: asTerm(5), lastLogIndex: logIndex(2 ** 33), disruptedLeader: leader }
  const outcome = await new Promise((resolve) =>
    client.transport.call(peer.peerId, 'requestVote', request, 2000, (status, r) => resolve([status, r])),
  )
  assert.equal(outcome, [Status.OK, response])
  assert.equal(seen, request)
})

overEach(test, 'a group that was created anew under its name hears nothing of the one before', async () => {
  let heard = 0
  const peer = await startPeer({
    ...answersHello,
    handleAppendEntries: (_request, answer) => {
      heard++
      answer(Status.OK, ACCEPTED)
    },
  })
  const client = startClient()
  const [old, anew] = ['a'.repeat(32), 'b'.repeat(32)]
  client.identity.knowGroup(GROUP, old)
  assert.is((await callHello(client, peer.peerId)).status.code, ErrorCode.EPERM, 'one that was not created at run time')
  peer.identity.knowGroup(GROUP, old)
  assert.ok((await callHello(client, peer.peerId)).status.ok)
  const { stream, answered } = openStream(client, peer.peerId)
  stream.send(1, frame(peer.peerId, client.self, 5, null))
  assert.ok((await answered(1))[0]!.status.ok)
  peer.identity.forgetGroup(GROUP)
  peer.identity.knowGroup(GROUP, anew)
  stream.send(2, frame(peer.peerId, client.self, 5, null))
  assert.is((await answered(2))[1]!.status.code, ErrorCode.EPERM, 'a stream that was opened before')
  assert.is((await callHello(client, peer.peerId)).status.code, ErrorCode.EPERM)
  assert.is(heard, 1)
})

overEach(test, "a peer's refusal keeps its error number", async () => {
  const peer = await startPeer({ handleReadIndex: (_request, answer) => answer(Status.error(ErrorCode.EPERM, 'is not leader, näh')) })
  const client = startClient()
  const request = { groupId: GROUP, serverId: client.self, peerId: peer.peerId, mode: 'confirmed' as const }
  const status = await new Promise<Status>((resolve) => client.transport.call(peer.peerId, 'readIndex', request, 2000, resolve))
  assert.is(status.code, ErrorCode.EPERM)
  assert.is(status.message, 'is not leader, näh')
})

overEach(test, 'a group that is not here answers ENOENT', async () => {
  const peer = await startPeer({})
  const client = startClient()
  const request = { groupId: 'other', serverId: client.self, peerId: peer.peerId, mode: 'confirmed' as const }
  const status = await new Promise<Status>((resolve) => client.transport.call(peer.peerId, 'readIndex', request, 2000, resolve))
  assert.is(status.code, ErrorCode.ENOENT)
})

overEach(test, 'silence ends with ETIMEDOUT, once, and a cancelled call does not complete', async () => {
  let release: () => void = () => {}
  const peer = await startPeer({
    ...answersHello,
    handleReadIndex: (_request, answer) => (release = () => answer(Status.OK, { index: logIndex(1) })),
  })
  const client = startClient()
  const request = { groupId: GROUP, serverId: client.self, peerId: peer.peerId, mode: 'confirmed' as const }
  let completions = 0
  const status = await new Promise<Status>((resolve) =>
    client.transport.call(peer.peerId, 'readIndex', request, 150, (s) => {
      completions++
      resolve(s)
    }),
  )
  release()
  client.transport.call(peer.peerId, 'readIndex', request, 50, () => completions++).cancel()
  await callHello(client, peer.peerId, 200)
  assert.is(status.code, ErrorCode.ETIMEDOUT)
  assert.is(completions, 1)
})

overEach(test, 'nobody listens: calls and streams fail at once with ECONNREFUSED, dial says refused', async () => {
  const unused = await freePort()
  const to = new PeerId('127.0.0.1', unused)
  const client = startClient()
  assert.is((await callHello(client, to)).status.code, ErrorCode.ECONNREFUSED)
  const { broken } = openStream(client, to)
  assert.is((await broken).code, ErrorCode.ECONNREFUSED)
  assert.is(await new Promise((resolve) => client.transport.dial(to, 500, resolve)), 'refused')
})

overEach(test, 'somebody listens and says nothing: the stream breaks within the connect timeout, dial says accepted', async () => {
  const silent = net.createServer(() => {})
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  closers.push(() => silent.close())
  const to = new PeerId('127.0.0.1', (silent.address() as net.AddressInfo).port)
  const client = startClient(CLUSTER, 60_000)
  const status = await openStream(client, to).broken
  assert.is(status.code, ErrorCode.EHOSTDOWN)
  assert.match(status.message, 'did not take the append stream')
  assert.is(await new Promise((resolve) => client.transport.dial(to, 500, resolve)), 'accepted')
})

overEach(test, 'frames arrive in order with their bytes, and every one is answered under its number', async () => {
  const seen: string[] = []
  const peer = await startPeer({
    handleAppendEntries: (request, answer) => {
      seen.push(`${request.prevLogIndex}:${request.entries?.dataAt(request.entries.firstIndex).toString() ?? 'heartbeat'}`)
      answer(Status.OK, ACCEPTED)
    },
  })
  const client = startClient()
  const { stream, answered } = openStream(client, peer.peerId)
  const big = 'x'.repeat(300_000)
  stream.send(1, frame(peer.peerId, client.self, 5, 'a'))
  stream.send(2, frame(peer.peerId, client.self, 6, big))
  stream.send(3, frame(peer.peerId, client.self, 7, null))
  const answers = await answered(3)
  assert.equal(seen, ['4:a', `5:${big}`, '6:heartbeat'])
  assert.equal(
    answers.map(({ seq, response }) => [seq, response]),
    [1, 2, 3].map((seq) => [seq, ACCEPTED]),
  )
})

overEach(test, 'a frame whose entry was damaged on the way is refused with EREQUEST and never reaches the node', async () => {
  let handled = 0
  const peer = await startPeer({
    handleAppendEntries: (_request, answer) => {
      handled++
      answer(Status.OK, ACCEPTED)
    },
  })
  const client = startClient()
  const { stream, answered } = openStream(client, peer.peerId)
  const two = ['good', 'the data of an entry'].map((data) => ({ type: EntryType.DATA, data: Buffer.from(data) }))
  const damaged = { ...frame(peer.peerId, client.self, 4, null), entries: EntryBatch.encode(logIndex(4), asTerm(3), two, checksum) }
  damaged.entries.bytes[damaged.entries.bytes.length - 1]! ^= 1
  stream.send(1, damaged)
  stream.send(2, frame(peer.peerId, client.self, 5, 'good'))
  const [first, second] = await answered(2)
  assert.is(first!.status.code, ErrorCode.EREQUEST)
  assert.match(first!.status.message, 'entry 5')
  assert.ok(second!.status.ok)
  assert.is(handled, 1)
})

overEach(test, "a closed stream tells the other side's node that it broke, a vanished peer tells this side", async () => {
  let gone: (peer: PeerId) => void = () => {}
  const brokenAtPeer = new Promise<PeerId>((resolve) => {
    gone = resolve
  })
  const peer = await startPeer({
    handleAppendEntries: (_r, answer) => answer(Status.OK, ACCEPTED),
    handleStreamBroken: (from) => gone(from),
  })
  const client = startClient()
  const first = openStream(client, peer.peerId)
  first.stream.send(1, frame(peer.peerId, client.self, 5, null))
  await first.answered(1)
  first.stream.close()
  assert.ok((await brokenAtPeer).equals(client.self))
  const second = openStream(client, peer.peerId)
  second.stream.send(1, frame(peer.peerId, client.self, 5, null))
  await second.answered(1)
  await peer.server.close({ deadlineMs: 0 })
  assert.not((await second.broken).ok)
})

overEach(test, 'E14 a caller of another cluster is refused on both sides, on calls and streams', async () => {
  const peer = await startPeer({ ...answersHello, handleAppendEntries: (_r, answer) => answer(Status.OK, ACCEPTED) })
  const stranger = startClient('bb'.repeat(16))
  assert.not((await callHello(stranger, peer.peerId)).status.ok)
  const { stream, broken } = openStream(stranger, peer.peerId)
  stream.send(1, frame(peer.peerId, stranger.self, 5, null))
  assert.is((await broken).code, ErrorCode.EPERM)
})

test('a caller without raftctl metadata is not raftctl', async () => {
  const peer = await startPeer(answersHello)
  const channel = new grpc.Client(peer.peerId.address, grpc.credentials.createInsecure())
  closers.push(() => channel.close())
  const identity = (bytes: Buffer) => bytes
  const error = await new Promise<grpc.ServiceError | null>((resolve) =>
    channel.makeUnaryRequest(`/${Peer.name}/Hello`, identity, identity, Buffer.alloc(0), (e) => resolve(e)),
  )
  assert.is(error?.code, grpc.status.FAILED_PRECONDITION)
})

overEach(test, 'a dial map moves the connection, a partition cuts it, healing brings it back', async () => {
  const peer = await startPeer(answersHello)
  const other = await startPeer({
    handleHello: (_request, answer) =>
      answer(Status.OK, { incarnation: 'other', standing: 'member', bootId: 'b', founders: null, lastLogIndex: logIndex(0) }),
  })
  const client = startClient()
  assert.ok((await callHello(client, peer.peerId)).status.ok)
  client.faults.set({ dialMap: { [peer.peerId.toString()]: other.peerId.address } })
  assert.is((await callHello(client, peer.peerId)).status.code, ErrorCode.ENOENT)
  client.faults.set({ heal: true })
  assert.ok((await callHello(client, peer.peerId)).status.ok)
  client.faults.set({ partition: [peer.peerId.address] })
  assert.is((await callHello(client, peer.peerId, 100)).status.code, ErrorCode.ETIMEDOUT)
  assert.is(await new Promise((resolve) => client.transport.dial(peer.peerId, 50, resolve)), 'unknown')
  client.faults.set({ heal: true })
  assert.ok((await callHello(client, peer.peerId)).status.ok)
})

overEach(test, 'a connection that lost its other end without a word is found out by ping', async () => {
  const peer = await startPeer({ handleAppendEntries: (_r, answer) => answer(Status.OK, ACCEPTED) })
  const proxy = await LinkProxy.to(peer.peerId)
  closers.push(() => proxy.close())
  const client = startClient()
  client.faults.set({ dialMap: { [peer.peerId.address]: proxy.address } })
  const { stream, answered, broken } = openStream(client, peer.peerId)
  stream.send(1, frame(peer.peerId, client.self, 5, null))
  await answered(1)
  proxy.cut()
  const status = await broken
  assert.is(status.code, ErrorCode.EHOSTDOWN)
  assert.match(status.message, 'ping')
})

/** Takes a stream and reads nothing of it. */
function deafServer(protocol: PeerProtocol): net.Server | http2.Http2Server {
  if (protocol === 'grpc') {
    const deaf = http2.createServer()
    deaf.on('stream', (stream) => stream.respond({ ':status': 200, 'content-type': 'application/grpc' }))
    deaf.on('session', (session) => closers.push(() => session.destroy()))
    return deaf
  }
  return net.createServer((socket) => {
    closers.push(() => socket.destroy())
    const reader = new FrameReader()
    socket.on('data', (chunk) =>
      reader.read(chunk, ({ meta }) => {
        socket.write(encodeFrame(responseMeta(meta.correlationId, { errorCode: 0, errorText: '' }), Buffer.alloc(0)))
        socket.pause()
      }),
    )
  })
}

overEach(test, 'a peer that does not read breaks the stream before it fills the memory', async (protocol) => {
  const deaf = deafServer(protocol)
  await new Promise<void>((resolve) => deaf.listen(0, '127.0.0.1', resolve))
  closers.push(() => deaf.close())
  const to = new PeerId('127.0.0.1', (deaf.address() as net.AddressInfo).port)
  const client = startClient()
  const { stream, broken } = openStream(client, to)
  const big = frame(to, client.self, 5, 'x'.repeat(1024 * 1024))
  let status: Status | null = null
  void broken.then((s) => (status = s))
  let sent = 0
  for (; status === null && sent < 200; sent++) {
    stream.send(sent, big)
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.is((await broken).code, ErrorCode.EAGAIN)
  assert.ok(sent > 32 && sent < 80, `${sent} MiB`)
})

overEach(test, 'a delay keeps the order of the frames, also when it ends', async () => {
  const seen: number[] = []
  const peer = await startPeer({
    handleAppendEntries: (request, answer) => {
      seen.push(request.prevLogIndex)
      answer(Status.OK, ACCEPTED)
    },
  })
  const client = startClient()
  const { stream, answered } = openStream(client, peer.peerId)
  client.faults.set({ delayMs: { [peer.peerId.address]: 30 } })
  stream.send(1, frame(peer.peerId, client.self, 11, null))
  client.faults.set({ delayMs: { [peer.peerId.address]: 5 } })
  stream.send(2, frame(peer.peerId, client.self, 12, null))
  client.faults.set({ heal: true })
  stream.send(3, frame(peer.peerId, client.self, 13, null))
  await answered(3)
  assert.equal(seen, [10, 11, 12])
})

overEach(test, 'a one-way cut lets requests through and no answer back; nothing reaches who is cut both ways', async () => {
  let reached = 0
  const peer = await startPeer({
    handleHello: (request, answer) => {
      reached++
      answersHello.handleHello!(request, answer)
    },
    handleAppendEntries: (_request, answer) => {
      reached++
      answer(Status.OK, ACCEPTED)
    },
  })
  const client = startClient()
  const cut = (direction: 'in' | 'out') =>
    peer.faults.add('cut', { kind: 'cut', peers: new Set([client.self.toString()]), direction }, 60_000)
  cut('out')
  assert.is((await callHello(client, peer.peerId, 200)).status.code, ErrorCode.ETIMEDOUT)
  const mute = openStream(client, peer.peerId)
  mute.stream.send(1, frame(peer.peerId, client.self, 5, null))
  assert.is((await mute.broken).code, ErrorCode.EHOSTDOWN)
  assert.equal([reached, await mute.answered(0)], [2, []])
  cut('in')
  assert.is((await callHello(client, peer.peerId, 200)).status.code, ErrorCode.ETIMEDOUT)
  assert.is(reached, 2)
  peer.faults.remove(['cut'])
  assert.ok((await callHello(client, peer.peerId)).status.ok)
})

overEach(test, 'a lost message is one that was never sent, and breaks the stream that promised its order', async () => {
  const peer = await startPeer({ ...answersHello, handleAppendEntries: (_request, answer) => answer(Status.OK, ACCEPTED) })
  const client = startClient()
  const lose = (faults: Faults, percent: number) => faults.add('drop', { kind: 'drop', peers: new Set(), percent }, 60_000)
  lose(client.faults, 100)
  assert.is((await callHello(client, peer.peerId, 100)).status.code, ErrorCode.ETIMEDOUT)
  const lost = openStream(client, peer.peerId)
  lost.stream.send(1, frame(peer.peerId, client.self, 5, null))
  assert.is((await lost.broken).code, ErrorCode.ECONNRESET)
  lose(client.faults, 0)
  lose(peer.faults, 100)
  const unanswered = openStream(client, peer.peerId)
  unanswered.stream.send(1, frame(peer.peerId, client.self, 5, null))
  assert.not((await unanswered.broken).ok)
  lose(peer.faults, 0)
  assert.ok((await callHello(client, peer.peerId)).status.ok)
})

overEach(test, 'a node that stops ends the streams of its peers at once, and none of their frames is left without an answer', async () => {
  let held = 0
  let arrived: () => void = () => {}
  const both = new Promise<void>((resolve) => (arrived = resolve))
  const peer = await startPeer({ handleAppendEntries: () => void (++held === 2 && arrived()) })
  const client = startClient()
  const { stream, broken } = openStream(client, peer.peerId)
  stream.send(1, frame(peer.peerId, client.self, 5, 'a'))
  stream.send(2, frame(peer.peerId, client.self, 6, 'b'))
  await both
  peer.service.close()
  assert.not((await broken).ok)
  // Calls that wait for ever would keep the server from draining.
  await peer.server.close({ deadlineMs: 60_000 })
})

overEach(test, 'two groups share a connection, each with a stream of its own', async () => {
  const seen: string[] = []
  const peer = await startPeer({
    handleAppendEntries: ({ groupId, prevLogIndex }, answer) => {
      seen.push(`${groupId}:${prevLogIndex}`)
      answer(Status.OK, ACCEPTED)
    },
  })
  peer.addGroup('other')
  const client = startClient()
  const kv = openStream(client, peer.peerId)
  const other = openStream(client, peer.peerId, 'other')
  kv.stream.send(1, frame(peer.peerId, client.self, 5, null))
  await kv.answered(1)
  other.stream.send(1, frame(peer.peerId, client.self, 7, null))
  await other.answered(1)
  kv.stream.close()
  other.stream.send(2, frame(peer.peerId, client.self, 8, null))
  await other.answered(2)
  assert.equal(seen, [`${GROUP}:4`, 'other:6', 'other:7'])
  assert.is(peer.server.connections, 1)
})

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as net.AddressInfo
      probe.close(() => resolve(port))
    })
  })
}

test.run()
