import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { raftctl } from '../../../src/generated/raftctl.js'
import { Configuration, encodeConfiguration } from '../../../src/raft/configuration.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { EntryBatch, EntryType } from '../../../src/raft/log-entry.js'
import type { AppendEntriesRequest } from '../../../src/raft/messages.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { asTerm, fromInt64, logIndex } from '../../../src/raft/types.js'
import { MessageReader } from '../../../src/rpc/message-reader.js'
import { decodeAck, decodeFrame, encodeAck, encodeFrame } from '../../../src/rpc/peer-codec.js'
import { checksum } from '../../../src/storage/checksum.js'

const route = { groupId: 'kv', from: PeerId.parse('127.0.0.1:1')!, to: PeerId.parse('127.0.0.1:2')! }
const number = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.maxSafeInteger().map(Math.abs))

function requestOf(
  values: { term: number; prevLogTerm: number; prevLogIndex: number; committedIndex: number },
  data: readonly Uint8Array[],
): AppendEntriesRequest {
  const entries = data.map((bytes) => ({ type: EntryType.DATA, data: bytes }))
  return {
    groupId: route.groupId,
    serverId: route.from,
    peerId: route.to,
    term: asTerm(values.term),
    prevLogTerm: asTerm(values.prevLogTerm),
    prevLogIndex: logIndex(values.prevLogIndex),
    committedIndex: logIndex(values.committedIndex),
    entries: data.length > 0 ? EntryBatch.encode(logIndex(values.prevLogIndex + 1), asTerm(values.term), entries, checksum) : null,
  }
}

/** The gRPC message of a frame, without its prefix. */
function messageOf(seq: number, request: AppendEntriesRequest): Buffer {
  const { head, entries } = encodeFrame(seq, request)
  const whole = entries ? Buffer.concat([head, entries]) : Buffer.from(head)
  assert.is(whole[0], 0)
  assert.is(whole.readUInt32BE(1), whole.length - 5)
  return whole.subarray(5)
}

const frames = fc.record({
  seq: number,
  values: fc
    .record({ term: number, prevLogTerm: number, prevLogIndex: fc.integer({ min: 0, max: 2 ** 50 }), committedIndex: number })
    .map((values) => ({ ...values, prevLogTerm: Math.min(values.prevLogTerm, values.term) })),
  data: fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }),
})

test('a frame reads back as it was written, and is what protobuf would have written', () => {
  fc.assert(
    fc.property(frames, ({ seq, values, data }) => {
      const request = requestOf(values, data)
      const message = messageOf(seq, request)
      const decoded = decodeFrame(message, route, checksum)
      assert.ok(decoded.status.ok, decoded.status.toString())
      assert.is(decoded.seq, seq)
      assert.equal({ ...decoded.request, entries: null }, { ...request, entries: null })
      assert.equal(decoded.request!.entries?.bytes ?? null, request.entries?.bytes ?? null)
      const { term, prevLogTerm, prevLogIndex, committedIndex } = values
      const bytes = request.entries?.bytes ?? Buffer.alloc(0)
      const proto = { seq, term, prev_log_term: prevLogTerm, prev_log_index: prevLogIndex, committed_index: committedIndex, entries: bytes }
      assert.equal(Buffer.from(raftctl.v1.AppendFrame.encode(proto).finish()), message)
    }),
    { numRuns: 300 },
  )
})

test('the entries of a frame are the bytes of the log, going out and coming in: nothing is copied', () => {
  const request = requestOf({ term: 3, prevLogTerm: 2, prevLogIndex: 7, committedIndex: 5 }, [Buffer.from('abc')])
  assert.is(encodeFrame(1, request).entries, request.entries!.bytes)
  const message = messageOf(1, request)
  const arrived = decodeFrame(message, route, checksum).request!.entries!
  assert.is(arrived.bytes.buffer, message.buffer)
})

test('one flipped bit anywhere in the entries refuses the frame', () => {
  const message = messageOf(
    9,
    requestOf({ term: 3, prevLogTerm: 2, prevLogIndex: 7, committedIndex: 5 }, [Buffer.from('abcd'), Buffer.from('efgh')]),
  )
  const entriesAt = message.length - 2 * 28
  for (let at = entriesAt; at < message.length; at++) {
    // Header bytes 10 and 11 are reserved; the header's own checksum covers them all the same.
    const damaged = Buffer.from(message)
    damaged[at]! ^= 1 << (at % 8)
    const { seq, status, request } = decodeFrame(damaged, route, checksum)
    assert.is(status.code, ErrorCode.EREQUEST, `byte ${at - entriesAt}`)
    assert.is(seq, 9)
    assert.is(request, undefined)
  }
})

test('a configuration that is none refuses the frame, whatever its checksum says', () => {
  const request = requestOf({ term: 3, prevLogTerm: 2, prevLogIndex: 7, committedIndex: 5 }, [])
  const decoded = (data: Uint8Array) => {
    const entries = EntryBatch.encode(logIndex(8), asTerm(3), [{ type: EntryType.CONFIGURATION, data }], checksum)
    return decodeFrame(messageOf(4, { ...request, entries }), route, checksum).status
  }
  assert.match(String(decoded(Buffer.from([0x0a, 0x7f]))), 'from 127.0.0.1:1:0:0: entry 8 holds no configuration')
  assert.ok(decoded(encodeConfiguration({ conf: new Configuration([route.from]), old: new Configuration([]), learners: [] }, null)).ok)
})

test('entries whose terms go back, are beyond the frame’s or begin below the one before refuse the frame', () => {
  const request = requestOf({ term: 3, prevLogTerm: 2, prevLogIndex: 7, committedIndex: 5 }, [])
  const decoded = (...terms: number[]) => {
    const batches = terms.map((term, i) =>
      EntryBatch.encode(logIndex(8 + i), asTerm(term), [{ type: EntryType.DATA, data: Buffer.from('a') }], checksum),
    )
    return decodeFrame(messageOf(4, { ...request, entries: EntryBatch.concat(batches) }), route, checksum)
  }
  for (const [terms, text] of [
    [[3, 2], 'entry 9 is of term 2, after one of term 3'],
    [[2, 3, 2, 3], 'entry 10 is of term 2, after one of term 3'],
    [[2, 4], 'entry 9 is of term 4, the request of term 3'],
    [[1, 3], 'entry 8 is of term 1, after one of term 2'],
  ] as const) {
    const { seq, status, request: taken } = decoded(...terms)
    assert.equal([seq, status.code, taken], [4, ErrorCode.EREQUEST, undefined], terms.join(' '))
    assert.match(status.message, `from 127.0.0.1:1:0:0: ${text}`)
  }
  assert.ok(decoded(2, 2, 3).status.ok)
})

test('a frame cut short anywhere is refused, or is a shorter frame without entries', () => {
  const message = messageOf(1000, requestOf({ term: 3, prevLogTerm: 2, prevLogIndex: 700, committedIndex: 5 }, [Buffer.from('abcd')]))
  for (let length = 0; length < message.length; length++) {
    const { status, request } = decodeFrame(message.subarray(0, length), route, checksum)
    assert.ok(!status.ok || request!.entries === null, `${length} bytes`)
  }
})

test('any bytes are a frame or refused, never a throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const { status, request } = decodeFrame(Buffer.from(bytes), route, checksum)
      assert.is(status.ok, request !== undefined)
      decodeAck(Buffer.from(bytes))
    }),
    { numRuns: 1000 },
  )
})

test('fields that a newer peer adds are skipped', () => {
  const message = messageOf(4, requestOf({ term: 3, prevLogTerm: 2, prevLogIndex: 7, committedIndex: 5 }, []))
  const newer = Buffer.concat([message, Buffer.from([0xf8, 0x06, 0x01, 0xf2, 0x06, 0x02, 0x61, 0x62, 0xf5, 0x06, 1, 2, 3, 4])])
  const { seq, status, request } = decodeFrame(newer, route, checksum)
  assert.ok(status.ok)
  assert.equal([seq, request!.term, request!.prevLogIndex], [4, 3, 7])
})

test('a heartbeat says who is outranked, and its answer which priority its sender has; where it is the default nothing is said', () => {
  const numbers = { term: asTerm(1), prevLogTerm: asTerm(1), prevLogIndex: logIndex(1), committedIndex: logIndex(1) }
  const beat = { groupId: route.groupId, serverId: route.from, peerId: route.to, ...numbers, entries: null, outranked: true }
  assert.is(decodeFrame(messageOf(1, beat), route, checksum).request!.outranked, true)
  assert.is(raftctl.v1.AppendFrame.decode(messageOf(1, beat)).outranked, true)
  const answer = { term: asTerm(1), success: true, lastLogIndex: logIndex(1), readonly: false, short: false, rebuilding: false }
  for (const priority of [0, 1, 1000]) {
    const bytes = encodeAck(1, Status.OK, { ...answer, priority })
    assert.equal([decodeAck(bytes)!.response!.priority, raftctl.v1.AppendAck.decode(bytes).priority], [priority, priority + 1])
  }
  assert.not(Object.hasOwn(decodeAck(encodeAck(1, Status.OK, answer))!.response!, 'priority'))
})

test('an acknowledgement reads back, and is what protobuf would have written', () => {
  fc.assert(
    fc.property(
      fc.tuple(number, number, number, fc.boolean(), fc.boolean(), fc.boolean(), fc.boolean()),
      ([seq, term, last, success, readonly, short, rebuilding]) => {
        const response = { term: asTerm(term), success, lastLogIndex: logIndex(last), readonly, short, rebuilding }
        const bytes = encodeAck(seq, Status.OK, response)
        assert.equal(decodeAck(bytes), { seq, status: Status.OK, response })
        const proto = raftctl.v1.AppendAck.decode(bytes)
        assert.equal([fromInt64(proto.seq), fromInt64(proto.term), proto.success], [seq, term, success])
        assert.equal(
          Buffer.from(raftctl.v1.AppendAck.encode({ seq, term, success, last_log_index: last, readonly, short, rebuilding }).finish()),
          Buffer.from(bytes),
        )
      },
    ),
    { numRuns: 200 },
  )
})

test('a refusal carries its number and its words', () => {
  const refused = Status.error(ErrorCode.EREQUEST, 'nö, damaged')
  assert.equal(decodeAck(encodeAck(7, refused)), { seq: 7, status: refused })
})

test('messages are found however the bytes are cut', () => {
  const bodies = fc.array(fc.uint8Array({ maxLength: 60 }), { minLength: 1, maxLength: 8 })
  const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 60 })
  fc.assert(
    fc.property(bodies, cuts, (messages, sizes) => {
      const stream = Buffer.concat(
        messages.flatMap((body) => {
          const prefix = Buffer.alloc(5)
          prefix.writeUInt32BE(body.length, 1)
          return [prefix, Buffer.from(body)]
        }),
      )
      const reader = new MessageReader()
      const found: Buffer[] = []
      for (let at = 0, i = 0; at < stream.length; i++) {
        const size = sizes[i % sizes.length]!
        assert.is(
          reader.push(stream.subarray(at, at + size), (message) => found.push(Buffer.from(message))),
          null,
        )
        at += size
      }
      assert.equal(
        found,
        messages.map((body) => Buffer.from(body)),
      )
    }),
    { numRuns: 300 },
  )
})

test('a compressed or enormous message ends the stream instead of filling the memory', () => {
  assert.match(new MessageReader().push(Buffer.from([1, 0, 0, 0, 1, 0]), () => {})!, 'compressed')
  assert.match(new MessageReader().push(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), () => {})!, 'bytes')
})

test.run()
