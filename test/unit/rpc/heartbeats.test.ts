import net from 'node:net'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { Answer, AppendEntriesRequest, AppendEntriesResponse } from '../../../src/raft/messages.js'
import type { PeerId } from '../../../src/raft/peer-id.js'
import { logIndex } from '../../../src/raft/types.js'
import { MetadataKey } from '../../../src/rpc/identity.js'
import type { FrameReply } from '../../../src/rpc/peer-service.js'
import {
  ACCEPTED,
  answersHello,
  CLUSTER,
  callHello,
  closeAll,
  closers,
  frame,
  openStream,
  overEach,
  startClient,
  startPeer,
} from '../../support/transport-bench.js'

test.after.each(closeAll)

const PATIENCE_MS = 60_000
const GROUPS = ['a', 'b', 'c']

/** A process with three groups, each of which one of the other leads; counts what travels. */
async function pair(
  handle: (request: AppendEntriesRequest, answer: Answer<AppendEntriesResponse>) => void,
  groups: readonly string[] = GROUPS,
) {
  const peer = await startPeer({ handleAppendEntries: handle })
  for (const group of groups) peer.addGroup(group)
  const frames = { together: 0, alone: 0, opened: 0 }
  /** Of the last frame of many heartbeats, and of the answer to it. */
  const bytes = { asked: 0, answered: 0 }
  const openAppend = peer.service.openAppend.bind(peer.service)
  const refuse = { heartbeats: false }
  peer.service.openAppend = (fields, sink) => {
    const kind = fields(MetadataKey.heartbeats) ? 'together' : 'alone'
    if (kind === 'together') frames.opened++
    if (kind === 'together' && refuse.heartbeats) return Status.error(ErrorCode.EREQUEST, 'no group, sender or receiver in the metadata')
    const opened = openAppend(fields, sink)
    if (opened instanceof Status) return opened
    const { receiver } = opened
    const counted = {
      frame: (frame: Buffer, reply: FrameReply) => {
        frames[kind]++
        if (kind === 'alone') return receiver.frame(frame, reply)
        bytes.asked = frame.length
        const acknowledge = (ack: Buffer) => {
          bytes.answered = ack.length
          reply.acknowledge(ack)
        }
        receiver.frame(frame, { acknowledge, drop: () => reply.drop() })
      },
      closed: () => receiver.closed(),
    }
    return { ...opened, receiver: counted }
  }
  // Nothing here is about time.
  const client = startClient(CLUSTER, PATIENCE_MS, undefined, PATIENCE_MS)
  const streams = groups.map((group) => ({ group, ...openStream(client, peer.peerId, group) }))
  // The streams are open, and everything from here on is counted.
  for (const { stream, group } of streams) stream.send(1, { ...frame(peer.peerId, client.self, 1, 'x'), groupId: group })
  for (const { answered } of streams) await answered(1)
  frames.alone = 0
  return { peer, client, streams, frames, bytes, refuse }
}

function beat(to: PeerId, from: PeerId, groupId: string, index: number): AppendEntriesRequest {
  return { ...frame(to, from, index, null), groupId, committedIndex: logIndex(index - 3), outranked: true }
}

overEach(test, 'heartbeats of several groups of one turn are one message each way, and to the engine what they were', async () => {
  const heard: AppendEntriesRequest[] = []
  const { peer, client, streams, frames } = await pair((request, answer) => {
    if (!request.entries) heard.push(request)
    answer(Status.OK, { ...ACCEPTED, lastLogIndex: logIndex(request.prevLogIndex + 100) })
  })
  const sent = streams.map(({ group }, at) => beat(peer.peerId, client.self, group, 2 ** 33 + at))
  for (const [at, { stream }] of streams.entries()) stream.send(7 + at, sent[at]!)
  for (const [at, { answered }] of streams.entries()) {
    const answer = (await answered(2))[1]!
    assert.is(answer.seq, 7 + at)
    assert.equal(answer.response, { ...ACCEPTED, lastLogIndex: logIndex(2 ** 33 + at + 99) })
  }
  assert.equal(heard, sent)
  assert.equal(frames, { together: 1, alone: 0, opened: 1 })

  streams[0]!.stream.send(20, sent[0]!)
  assert.is((await streams[0]!.answered(3))[2]!.seq, 20)
  assert.equal(frames, { together: 1, alone: 1, opened: 1 }, 'one that is alone travels as ever')
})

overEach(test, 'a group that answers late holds up no other, and has its answer in the end', async () => {
  const late: Answer<AppendEntriesResponse>[] = []
  const { peer, client, streams, frames } = await pair((request, answer) => {
    if (request.groupId === 'b' && !request.entries) late.push(answer)
    else answer(Status.OK, ACCEPTED)
  })
  for (const { stream, group } of streams) stream.send(7, beat(peer.peerId, client.self, group, 9))
  await Promise.all([streams[0]!.answered(2), streams[2]!.answered(2)])
  while (late.length < 2) await new Promise((resolve) => setImmediate(resolve))
  late[0]!(Status.OK, ACCEPTED)
  late[1]!(Status.OK, ACCEPTED)
  const answers = await streams[1]!.answered(2)
  assert.equal(
    answers.map(({ seq }) => seq),
    [1, 7],
  )
  assert.equal(frames, { together: 1, alone: 1, opened: 1 })
})

overEach(test, 'a peer that takes no heartbeats together is sent each by itself', async () => {
  const { peer, client, streams, frames, refuse } = await pair((_request, answer) => answer(Status.OK, ACCEPTED))
  refuse.heartbeats = true
  for (const { stream, group } of streams) stream.send(7, beat(peer.peerId, client.self, group, 9))
  for (const { answered } of streams) assert.is((await answered(2))[1]!.seq, 7)
  for (const { stream, group } of streams) stream.send(8, beat(peer.peerId, client.self, group, 9))
  for (const { answered } of streams) assert.is((await answered(3))[2]!.seq, 8)
  assert.equal(frames, { together: 0, alone: 6, opened: 1 })
})

overEach(test, 'a refusal, and a group that is there no more, are said to the stream they belong to', async () => {
  const { peer, client, streams } = await pair((request, answer) =>
    request.groupId === 'a' && !request.entries ? answer(Status.error(ErrorCode.EBUSY, 'is busy')) : answer(Status.OK, ACCEPTED),
  )
  peer.identity.knowGroup('b', 'f'.repeat(32))
  for (const { stream, group } of streams) stream.send(7, beat(peer.peerId, client.self, group, 9))
  const codes = await Promise.all(streams.map(async ({ answered }) => (await answered(2))[1]!.status.code))
  assert.equal(codes, [ErrorCode.EBUSY, ErrorCode.EPERM, 0])

  peer.nodes.remove(peer.nodes.nodesOf('c')[0]!)
  for (const { stream, group } of streams) stream.send(8, beat(peer.peerId, client.self, group, 9))
  const later = await Promise.all(streams.map(async ({ answered }) => (await answered(3))[2]!.status.code))
  assert.equal(later, [ErrorCode.EBUSY, ErrorCode.EPERM, ErrorCode.ENOENT])
})

overEach(test, 'on a link that a fault concerns every heartbeat travels by itself, and is delayed or lost as before', async () => {
  const { peer, client, streams, frames } = await pair((_request, answer) => answer(Status.OK, ACCEPTED))
  client.faults.add('slow', { kind: 'delay', delayMs: 1, jitterMs: 0, peers: new Set([peer.peerId.address]) }, 60_000)
  for (const { stream, group } of streams) stream.send(7, beat(peer.peerId, client.self, group, 9))
  for (const { answered } of streams) await answered(2)
  client.faults.remove(['slow'])
  peer.faults.add('slow', { kind: 'delay', delayMs: 1, jitterMs: 0, peers: new Set([client.self.address]) }, 60_000)
  for (const { stream, group } of streams) stream.send(8, beat(peer.peerId, client.self, group, 9))
  for (const { answered } of streams) await answered(3)
  assert.equal(frames, { together: 1, alone: 6, opened: 1 }, 'the other side hands back what it may not answer at once')
})

overEach(test, 'two processes have one connection, however many groups they share', async () => {
  const peer = await startPeer({ ...answersHello, handleAppendEntries: (_request, answer) => answer(Status.OK, ACCEPTED) })
  let connections = 0
  const between = net.createServer((socket) => {
    connections++
    const way = net.connect(peer.peerId.port, '127.0.0.1')
    socket.pipe(way).pipe(socket)
    for (const end of [socket, way]) end.on('error', () => {})
  })
  await new Promise<void>((resolve) => between.listen(0, '127.0.0.1', resolve))
  closers.push(() => between.close())
  const client = startClient(CLUSTER, PATIENCE_MS, undefined, PATIENCE_MS)
  client.faults.set({ dialMap: { [peer.peerId.address]: `127.0.0.1:${(between.address() as net.AddressInfo).port}` } })
  const streams = Array.from({ length: 50 }, (_, at) => {
    peer.addGroup(`g${at}`)
    return { group: `g${at}`, ...openStream(client, peer.peerId, `g${at}`) }
  })
  for (let seq = 1; seq <= 3; seq++) {
    for (const { stream, group } of streams) stream.send(seq, beat(peer.peerId, client.self, group, 9))
    for (const { answered } of streams) await answered(seq)
  }
  assert.ok((await callHello(client, peer.peerId)).status.ok)
  assert.is(connections, 1)
})

/** Numbers in the two messages besides their own: there are at most so many bytes where nobody is named. */
const NOBODY_BYTES = 8

overEach(test, 'who says what it said before is not named, and neither is who is answered the same', async () => {
  const heard: AppendEntriesRequest[] = []
  const last = { b: 109 }
  const { peer, client, streams, frames, bytes } = await pair((request, answer) => {
    if (!request.entries) heard.push(request)
    answer(Status.OK, { ...ACCEPTED, lastLogIndex: logIndex(request.groupId === 'b' ? last.b : 100) })
  })
  const say = async (round: number, index: (group: string) => number) => {
    heard.length = 0
    const sent = streams.map(({ group }) => beat(peer.peerId, client.self, group, index(group)))
    for (const [at, { stream }] of streams.entries()) stream.send(10 * round + at, sent[at]!)
    const answers = await Promise.all(streams.map(async ({ answered }) => (await answered(1 + round))[round]!))
    assert.equal(
      heard.toSorted((one, other) => one.groupId.localeCompare(other.groupId)),
      sent,
    )
    assert.equal(
      answers.map(({ seq }) => seq),
      [10 * round, 10 * round + 1, 10 * round + 2],
    )
    return answers.map(({ response }) => response!.lastLogIndex as number)
  }
  assert.equal(await say(1, () => 9), [100, 109, 100])
  assert.ok(bytes.asked > NOBODY_BYTES && bytes.answered > NOBODY_BYTES)
  assert.equal(await say(2, () => 9), [100, 109, 100])
  assert.ok(bytes.asked <= NOBODY_BYTES && bytes.answered <= NOBODY_BYTES, `${bytes.asked} and ${bytes.answered} bytes`)

  last.b = 110
  assert.equal(await say(3, (group) => (group === 'c' ? 12 : 9)), [100, 110, 100])
  assert.ok(bytes.asked > NOBODY_BYTES && bytes.answered > NOBODY_BYTES)
  assert.equal(await say(4, (group) => (group === 'c' ? 12 : 9)), [100, 110, 100])
  assert.ok(bytes.asked <= NOBODY_BYTES && bytes.answered <= NOBODY_BYTES)
  assert.equal(frames, { together: 4, alone: 0, opened: 1 })
})

overEach(test, 'a group that does not beat with the others is not taken to, and is there again when it does', async () => {
  const heard: string[] = []
  const { peer, client, streams, frames } = await pair((request, answer) => {
    if (!request.entries) heard.push(request.groupId)
    answer(Status.OK, ACCEPTED)
  })
  const [a, b, c] = streams as [(typeof streams)[0], (typeof streams)[0], (typeof streams)[0]]
  const say = async (round: number, who: typeof streams) => {
    for (const { stream, group } of who) stream.send(10 * round, beat(peer.peerId, client.self, group, 9))
    for (const { answered } of who)
      while ((await answered(1)).at(-1)!.seq !== 10 * round) await new Promise((resolve) => setImmediate(resolve))
    return heard.splice(0).sort()
  }
  assert.equal(await say(1, [a, b, c]), ['a', 'b', 'c'])
  assert.equal(await say(2, [a, c]), ['a', 'c'])
  assert.equal(await say(3, [a, b, c]), ['a', 'b', 'c'])
  c.stream.close()
  assert.equal(await say(4, [a, b]), ['a', 'b'])
  assert.equal(frames, { together: 4, alone: 0, opened: 1 })
})

overEach(test, 'several heartbeats of one stream in one turn keep their order, and have an answer each', async () => {
  const heard: number[] = []
  const { peer, client, streams, frames } = await pair((request, answer) => {
    if (request.groupId === 'a' && !request.entries) heard.push(request.prevLogIndex)
    answer(Status.OK, ACCEPTED)
  })
  const [a, ...others] = streams
  for (const seq of [7, 8, 9]) a!.stream.send(seq, beat(peer.peerId, client.self, 'a', seq))
  for (const { stream, group } of others) stream.send(7, beat(peer.peerId, client.self, group, 9))
  assert.equal(
    (await a!.answered(4)).map(({ seq }) => seq),
    [1, 7, 8, 9],
  )
  assert.equal(heard, [6, 7, 8])
  for (const { answered } of others) assert.is((await answered(2))[1]!.seq, 7)
  assert.equal(frames, { together: 1, alone: 3, opened: 1 })
})

overEach(test, 'an answer that comes late is not taken for that to a later heartbeat', async () => {
  const late: Answer<AppendEntriesResponse>[] = []
  let beats = 0
  const { peer, client, streams } = await pair((request, answer) => {
    if (request.entries || request.groupId !== 'b') return answer(Status.OK, ACCEPTED)
    // Both of the first, together and by itself, are kept; so is the second one, while the first is answered.
    if (++beats <= 3) late.push(answer)
    else answer(Status.OK, { ...ACCEPTED, lastLogIndex: logIndex(8) })
    if (beats === 3) late[0]!(Status.OK, { ...ACCEPTED, lastLogIndex: logIndex(7) })
  })
  for (const { stream, group } of streams) stream.send(7, beat(peer.peerId, client.self, group, 9))
  await streams[0]!.answered(2)
  while (beats < 2) await new Promise((resolve) => setImmediate(resolve))
  for (const { stream, group } of streams) stream.send(8, beat(peer.peerId, client.self, group, 9))
  const answers = await streams[1]!.answered(2)
  assert.equal([answers[1]!.seq, answers[1]!.response!.lastLogIndex], [8, 8], 'asked again by itself')
})

overEach(test, 'streams that are over are forgotten, however many came and went', async () => {
  const groups = Array.from({ length: 200 }, (_, at) => `g${at}`)
  const { peer, client, streams, bytes, frames } = await pair((_request, answer) => answer(Status.OK, ACCEPTED), groups)
  const say = async (round: number, who: typeof streams) => {
    for (const { stream, group } of who) stream.send(1 + round, beat(peer.peerId, client.self, group, 9))
    for (const { answered } of who) assert.is((await answered(1 + round))[round]!.seq, 1 + round)
  }
  await say(1, streams)
  for (const { stream } of streams.slice(50)) stream.close()
  const left = streams.slice(0, 50)
  await say(2, left)
  await say(3, left)
  await say(4, left)
  assert.ok(bytes.asked <= NOBODY_BYTES && bytes.answered <= NOBODY_BYTES, `${bytes.asked} and ${bytes.answered} bytes`)
  assert.equal(frames, { together: 4, alone: 0, opened: 1 })
})

overEach(test, 'a stream that is closed while its heartbeat is under way hears nothing of it', async () => {
  const { peer, client, streams, frames } = await pair((_request, answer) => answer(Status.OK, ACCEPTED))
  for (const { stream, group } of streams) stream.send(7, beat(peer.peerId, client.self, group, 9))
  while (frames.together === 0) await new Promise((resolve) => setImmediate(resolve))
  streams[0]!.stream.close()
  for (const { answered } of streams.slice(1)) await answered(2)
  assert.is((await streams[0]!.answered(1)).length, 1)
})

overEach(test, 'the loss of the connection breaks every stream, and no heartbeat is answered after that', async () => {
  const held: Answer<AppendEntriesResponse>[] = []
  const { peer, client, streams } = await pair((request, answer) => (request.entries ? answer(Status.OK, ACCEPTED) : held.push(answer)))
  for (const { stream, group } of streams) stream.send(7, beat(peer.peerId, client.self, group, 9))
  while (held.length < 2 * GROUPS.length) await new Promise((resolve) => setImmediate(resolve))
  await peer.server.close({ deadlineMs: 0 })
  for (const answer of held) answer(Status.OK, ACCEPTED)
  for (const { broken, answered } of streams) {
    assert.not((await broken).ok)
    assert.is((await answered(1)).length, 1)
  }
})

test.run()
