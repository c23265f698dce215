import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../src/raft/errors.js'
import { EntryBatch, EntryType } from '../../src/raft/log-entry.js'
import type { AppendEntriesRequest, AppendEntriesResponse, PeerHandler, ReadIndexRequest } from '../../src/raft/messages.js'
import { PeerId } from '../../src/raft/peer-id.js'
import { asTerm, logIndex, NO_INDEX, NO_TERM } from '../../src/raft/types.js'
import type { ManagedNode } from '../../src/rpc/node-manager.js'
import { checksum } from '../../src/storage/checksum.js'
import { Scheduler } from '../../src/testing/scheduler.js'
import { SimNetwork } from '../../src/testing/sim-network.js'
import { SimProcess } from '../../src/testing/sim-process.js'
import { SimRandom } from '../../src/testing/sim-random.js'

const A = new PeerId('10.0.0.1', 1)
const B = new PeerId('10.0.0.2', 1)
const ACCEPTED: AppendEntriesResponse = {
  term: asTerm(1),
  success: true,
  lastLogIndex: NO_INDEX,
  readonly: false,
  short: false,
  rebuilding: false,
}

function world(seed = 1, lossRate = 0) {
  const scheduler = new Scheduler()
  const random = new SimRandom(seed)
  const network = new SimNetwork(
    scheduler,
    { delayMinMs: 1, delayMeanMs: 5, lossRate, duplicateRate: 0, resetRate: 0, corruptRate: 0 },
    random.fork('network'),
    checksum,
  )
  const processOf = (peer: PeerId, id: number): SimProcess =>
    new SimProcess(scheduler, `n${id}`, id, peer.address, 1, random.fork(`${id}`), { clockRate: 1, timerLatenessMs: 0 })
  const [a, b] = [processOf(A, 1), processOf(B, 2)]
  const [fromA] = [network.transportOf(a), network.transportOf(b)]
  const received: AppendEntriesRequest[] = []
  let broken = 0
  const served = { reads: 0 }
  const handler = {
    handleAppendEntries: (request: AppendEntriesRequest, answer: (status: Status, response: AppendEntriesResponse) => void) => {
      received.push(request)
      answer(Status.OK, ACCEPTED)
    },
    handleReadIndex: (_: ReadIndexRequest, answer: (status: Status, response: { index: number }) => void) => {
      served.reads++
      answer(Status.OK, { index: 7 })
    },
    handleStreamBroken: () => broken++,
  } as unknown as PeerHandler
  b.nodes.add({ groupId: 'g', peerId: B, handler } as ManagedNode)
  const call = (timeoutMs = 1000): { status: Status | null; times: number } => {
    const outcome = { status: null as Status | null, times: 0 }
    fromA.call(B, 'readIndex', { groupId: 'g', serverId: A, peerId: B, mode: 'confirmed' }, timeoutMs, (status) => {
      outcome.status = status
      outcome.times++
    })
    return outcome
  }
  const request = (index: number): AppendEntriesRequest => ({
    groupId: 'g',
    serverId: A,
    peerId: B,
    term: asTerm(1),
    prevLogIndex: logIndex(index - 1),
    prevLogTerm: NO_TERM,
    committedIndex: NO_INDEX,
    entries: EntryBatch.encode(logIndex(index), asTerm(1), [{ type: EntryType.DATA, data: Buffer.from([index & 0xff]) }], checksum),
  })
  return { scheduler, network, a, b, fromA, received, served, call, request, brokenAtReceiver: () => broken }
}

test('a call is answered once, even when its request arrives twice', () => {
  const { scheduler, network, call, served } = world()
  network.profile.duplicateRate = 1
  const outcome = call()
  scheduler.runUntil(5000)
  assert.ok(outcome.status?.ok)
  assert.is(outcome.times, 1)
  assert.is(served.reads, 2)
})

test('a call through a cut link times out, in either direction, and works again when mended', () => {
  for (const [from, to] of [
    [A, B],
    [B, A],
  ] as const) {
    const { scheduler, network, call } = world()
    network.cutOneWay(from.address, to.address)
    const outcome = call(300)
    scheduler.runUntil(299)
    assert.is(outcome.status, null)
    scheduler.runUntil(400)
    assert.is(outcome.status!.code, ErrorCode.ETIMEDOUT)
    network.mendAll()
    const second = call(300)
    scheduler.runUntil(1000)
    assert.ok(second.status?.ok)
  }
})

test('dialling tells a dead process on a running machine from a machine that is gone and from a paused process', () => {
  const results: string[] = []
  const { scheduler, network, b, fromA } = world()
  const dial = (): void => {
    fromA.dial(B, 100, (result) => results.push(result))
    scheduler.runUntil(scheduler.now + 200)
  }
  dial()
  b.pause()
  dial()
  b.die()
  network.processGone(B.address, true)
  dial()
  network.processGone(B.address, false)
  dial()
  assert.equal(results, ['accepted', 'accepted', 'refused', 'unknown'])
})

test('a stream keeps its order through loss, clogs and cuts, and shares no bytes', () => {
  for (let seed = 0; seed < 20; seed++) {
    const { scheduler, network, fromA, received, request } = world(seed, 0.2)
    const answers: number[] = []
    let broken = 0
    const stream = fromA.openAppendStream('g', A, B, { answer: (seq) => answers.push(seq), broken: () => broken++ })
    const sent = Array.from({ length: 50 }, (_, i) => request(i + 1))
    for (const [i, message] of sent.entries()) {
      stream.send(i + 1, message)
      if (i === 10) network.clog(A.address, B.address, 50)
      if (i === 20) network.cutOneWay(A.address, B.address)
      if (i === 25) network.cutOneWay(B.address, A.address)
      if (i === 30) network.mendAll()
      scheduler.runUntil(scheduler.now + 3)
    }
    scheduler.runUntil(scheduler.now + 20_000)
    assert.is(broken, 0)
    assert.equal(
      received.map((message) => message.entries!.firstIndex),
      Array.from({ length: 50 }, (_, i) => i + 1),
    )
    assert.equal(
      answers,
      Array.from({ length: 50 }, (_, i) => i + 1),
    )
    for (const message of sent) message.entries!.bytes.fill(0)
    assert.ok(received.every((message) => message.entries!.termAt(message.entries!.firstIndex) === 1))
    assert.ok(Object.isFrozen(received[0]))
  }
})

test('a stream breaks at once when the other process dies, and not when it is paused', () => {
  const { scheduler, network, b, fromA, request } = world()
  let broken: Status | null = null
  const stream = fromA.openAppendStream('g', A, B, { answer: () => {}, broken: (status) => (broken = status) })
  stream.send(1, request(1))
  scheduler.runUntil(100)
  b.pause()
  scheduler.runUntil(2000)
  assert.is(broken, null)
  b.die()
  network.processGone(B.address, true)
  scheduler.runUntil(2100)
  assert.is((broken as Status | null)?.code, ErrorCode.ECONNRESET)
})

test('a stream through a cut link gives up after a while, and tells both ends', () => {
  const { scheduler, network, fromA, request, brokenAtReceiver } = world()
  let broken = 0
  const stream = fromA.openAppendStream('g', A, B, { answer: () => {}, broken: () => broken++ })
  stream.send(1, request(1))
  scheduler.runUntil(100)
  network.cutOneWay(A.address, B.address)
  stream.send(2, request(2))
  scheduler.runUntil(3000)
  assert.is(broken, 0)
  scheduler.runUntil(30_000)
  assert.is(broken, 1)
  assert.is(brokenAtReceiver(), 1)
})

test('nothing follows the reset of a stream', () => {
  const { scheduler, network, fromA, received, request } = world()
  network.profile.resetRate = 1
  let broken = 0
  const stream = fromA.openAppendStream('g', A, B, { answer: () => {}, broken: () => broken++ })
  stream.send(1, request(1))
  network.profile.resetRate = 0
  stream.send(2, request(2))
  scheduler.runUntil(1000)
  assert.is(broken, 1)
  assert.is(received.length, 0)
})

test('a paused process gets what it missed in order, and a dead one nothing', () => {
  const { scheduler, b } = world()
  const ran: number[] = []
  for (let i = 0; i < 5; i++) b.clock.schedule(10 * i, () => ran.push(i), 'timer')
  const cancelled = b.clock.schedule(15, () => ran.push(99), 'timer')
  b.pause()
  scheduler.runUntil(100)
  assert.equal(ran, [])
  cancelled.cancel()
  b.resume()
  scheduler.runUntil(101)
  assert.equal(ran, [0, 1, 2, 3, 4])
  b.clock.schedule(1, () => ran.push(5), 'timer')
  b.die()
  scheduler.runUntil(200)
  assert.equal(ran, [0, 1, 2, 3, 4])
})

test('events of one moment run in the order they were given, whatever rounding says', () => {
  const scheduler = new Scheduler()
  const ran: number[] = []
  const time = 0.1 + 0.2
  for (let i = 0; i < 100; i++) {
    scheduler.scheduleAt(time, null, 'x', () => {
      ran.push(i)
      scheduler.post(null, 'y', () => ran.push(1000 + i))
    })
  }
  scheduler.runUntil(1)
  assert.equal(
    ran.slice(0, 100),
    Array.from({ length: 100 }, (_, i) => i),
  )
  assert.equal(
    ran.slice(100),
    Array.from({ length: 100 }, (_, i) => 1000 + i),
  )
})

test.run()
