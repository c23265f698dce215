// What is written can be read, and says the same.
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Configuration, ConfigurationEntry, decodeConfiguration, encodeConfiguration } from '../../src/raft/configuration.js'
import { Status } from '../../src/raft/errors.js'
import { EntryBatch, EntryType } from '../../src/raft/log-entry.js'
import { PeerId } from '../../src/raft/peer-id.js'
import { asTerm, logIndex } from '../../src/raft/types.js'
import { encodeFrame, FrameReader, requestMeta, responseMeta, splitBody } from '../../src/rpc/baidu-std.js'
import { decodeAck, decodeFrame, encodeAck, encodeFrame as encodeAppend, GRPC_PREFIX_BYTES } from '../../src/rpc/peer-codec.js'
import { decodeMeta, encodeMeta } from '../../src/rpc/rpc-meta.js'
import { entryHeader, readEntryHeader } from '../../src/rpc/snapshot-archive.js'
import { checksum } from '../../src/storage/checksum.js'
import { decodeIdentity, encodeIdentity, type IdentityRecord } from '../../src/storage/identity-file.js'
import { SNAPSHOT_LIST_CODEC } from '../../src/storage/snapshot-list.js'
import { durationFlag, parseDuration } from '../../src/terminal/format.js'
import { snapshotMeta } from '../support/snapshot-bench.js'

/** Objects as the code makes them. */
const PLAIN = { noNullPrototype: true } as const
const RUNS = { numRuns: 300, seed: 1 }
const int64 = fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n)
const count = fc.maxSafeNat()
const int32 = fc.integer()
// Half a surrogate pair is no text: what is written of it is another character.
const text = fc.string({ unit: 'binary', maxLength: 40 })
const bytes = fc.uint8Array({ maxLength: 80 }).map((array) => Buffer.from(array))
const host = fc.oneof(
  fc.ipV4(),
  fc.domain().filter((name) => name.length < 200),
  fc
    .ipV6()
    .filter((name) => !name.includes('.') || name.length < 45)
    .map((name) => `[${name}]`),
)
const peer = fc
  .tuple(host, fc.integer({ min: 1, max: 65535 }), fc.integer({ min: 0, max: 0x7fffffff }), fc.constantFrom(0, 1))
  .map(([at, port, idx, role]) => PeerId.parse(`${at}:${port}:${idx}:${role}`)!)

test('a frame of baidu_std, in pieces of any size', () => {
  const request = fc.record({ serviceName: text, methodName: text, logId: int64, timeoutMs: int32 }, PLAIN)
  const meta = fc.oneof(
    fc
      .tuple(int64, request, fc.dictionary(text, text, PLAIN))
      .map(([id, one, fields]) => requestMeta(id, one, { userFields: new Map(Object.entries(fields)) })),
    fc.tuple(int64, fc.record({ errorCode: int32, errorText: text }, PLAIN)).map(([id, one]) => responseMeta(id, one)),
  )
  fc.assert(
    fc.property(meta, bytes, bytes, fc.array(fc.nat(300), { maxLength: 6 }), (without, message, attachment, cuts) => {
      const one = { ...without, attachmentSize: attachment.length }
      assert.equal(decodeMeta(encodeMeta(one)), one)
      const wire = Buffer.concat([encodeFrame(one, message), attachment])
      const at = [...cuts.map((cut) => cut % (wire.length + 1)).sort((a, b) => a - b), wire.length]
      const reader = new FrameReader()
      const found: unknown[] = []
      at.reduce((from, to) => {
        reader.read(wire.subarray(from, to), (frame) => found.push([frame.meta, splitBody(frame)]))
        return to
      }, 0)
      assert.equal(found, [[one, { message, attachment }]])
    }),
    RUNS,
  )
})

test('entries, and the append frame that carries them', () => {
  const entry = fc.record({ type: fc.constantFrom(EntryType.DATA, EntryType.NO_OP), data: bytes }, PLAIN)
  const numbers = fc.tuple(count, count, fc.integer({ min: 0, max: 2 ** 50 }), count)
  const route = { groupId: 'kv', from: new PeerId('a', 1), to: new PeerId('b', 2) }
  fc.assert(
    fc.property(numbers, count, fc.array(entry, { maxLength: 5 }), ([term, before, prevLogIndex, committedIndex], seq, data) => {
      const prevLogTerm = Math.min(before, term)
      const entries = data.length === 0 ? null : EntryBatch.encode(logIndex(prevLogIndex + 1), asTerm(term), data, checksum)
      const request = {
        ...{ groupId: 'kv', serverId: route.from, peerId: route.to, entries },
        ...{
          term: asTerm(term),
          prevLogTerm: asTerm(prevLogTerm),
          prevLogIndex: logIndex(prevLogIndex),
          committedIndex: logIndex(committedIndex),
        },
      }
      const { head, entries: tail } = encodeAppend(seq, request)
      const found = decodeFrame(Buffer.concat([head.subarray(GRPC_PREFIX_BYTES), ...(tail ? [tail] : [])]), route, checksum)
      assert.is(found.seq, seq)
      assert.equal({ ...found.request, entries: found.request?.entries?.bytes ?? null }, { ...request, entries: entries?.bytes ?? null })
    }),
    RUNS,
  )
})

test('an acknowledgement', () => {
  const response = fc.record(
    {
      term: count.map(asTerm),
      success: fc.boolean(),
      lastLogIndex: count.map(logIndex),
      readonly: fc.boolean(),
      short: fc.boolean(),
      rebuilding: fc.boolean(),
    },
    PLAIN,
  )
  fc.assert(
    fc.property(count, response, (seq, one) => {
      assert.equal(decodeAck(encodeAck(seq, Status.OK, one)), { seq, status: Status.OK, response: one })
    }),
    RUNS,
  )
})

test('a member and a configuration, as text and in the log', () => {
  fc.assert(
    fc.property(fc.uniqueArray(peer, { maxLength: 7, selector: (one) => one.key }), count, (peers, index) => {
      for (const one of peers) assert.is(PeerId.parse(one.toString())?.toString(), one.toString())
      const conf = new Configuration(peers)
      assert.is(Configuration.parse(conf.toString())?.toString(), conf.toString())
      const id = { index: logIndex(9), term: asTerm(2) }
      const found = decodeConfiguration(encodeConfiguration({ conf, old: conf, learners: peers }, logIndex(index)), id)
      assert.equal(found, new ConfigurationEntry(id, conf, conf, peers, logIndex(index)))
    }),
    RUNS,
  )
})

test('an identity, a list of files and the header of a file in an archive', () => {
  const nullable = fc.option(text)
  const identity: fc.Arbitrary<IdentityRecord> = fc.record(
    {
      ...{
        clusterId: nullable,
        peerId: text,
        name: nullable,
        standing: fc.constantFrom('founding', 'rebuilding', 'member'),
        incarnation: text,
      },
      ...{
        generation: count,
        founders: fc.option(
          fc.dictionary(
            text.filter((key) => key !== '__proto__'),
            text,
            PLAIN,
          ),
        ),
      },
      removed: fc.option(fc.record({ reason: text, members: fc.array(text, { maxLength: 3 }) }, PLAIN)),
      settledAt: count,
    },
    PLAIN,
  )
  const name = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 60 }).filter((one) => !/[/.\0]/.test(one))
  const file = fc.record({ checksum: text, size: count, userMeta: bytes }, { ...PLAIN, requiredKeys: [] })
  fc.assert(
    fc.property(identity, fc.dictionary(name, file, PLAIN), name, count, (record, files, path, size) => {
      const back = decodeIdentity(encodeIdentity(record, checksum), checksum)
      assert.equal(back, { format: 1, ...record })
      const list = { meta: snapshotMeta(7), files: new Map(Object.entries(files)) }
      const found = SNAPSHOT_LIST_CODEC.decode(SNAPSHOT_LIST_CODEC.encode(list).finish())
      assert.equal(new Map([...found.files].sort()), new Map([...list.files].sort()))
      assert.equal(readEntryHeader(entryHeader(path, size)!), { name: path, size })
    }),
    RUNS,
  )
})

test('a length of time', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 31 - 1), (ms) => {
      assert.is(parseDuration(durationFlag(ms)), ms)
    }),
    RUNS,
  )
})

test.run()
