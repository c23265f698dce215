import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Status } from '../../../src/raft/errors.js'
import { EntryBatch, EntryType } from '../../../src/raft/log-entry.js'
import type { AppendEntriesRequest, PeerMethod } from '../../../src/raft/messages.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { decodeAck, decodeFrame, encodeAck, encodeFrame, GRPC_PREFIX_BYTES } from '../../../src/rpc/peer-codec.js'
import {
  decodeHelloRequest,
  decodeHelloResponse,
  encodeHelloRequest,
  encodeHelloResponse,
  type PeerMethodCodec,
  peerMethodCodecs,
} from '../../../src/rpc/peer-messages.js'
import { checksum } from '../../../src/storage/checksum.js'
import { GOLDEN } from '../../support/golden-messages.js'

/** Bytes in hex of what a version sent, by method; never written anew. */
interface Wire {
  readonly calls: Readonly<Record<PeerMethod, { readonly request: string; readonly response: string }>>
  readonly frame: string
  readonly ack: string
}

const VERSIONS = ['0.1.0']
const EXTRAS = { name: 'nö', clusterId: 'aa'.repeat(16), version: '0.1.0' }
const METHODS = Object.keys(GOLDEN) as PeerMethod[]
/** Fields of numbers that no message has: a varint, bytes, 64 and 32 bits. */
const UNKNOWN = Buffer.from('c8bb0107d2bb0103616263d1bb010102030405060708d5bb0101020304'.replace(/\s/g, ''), 'hex')

const hello: PeerMethodCodec<'hello'> = {
  name: 'Hello',
  encodeRequest: (request) => encodeHelloRequest(request, EXTRAS.name),
  decodeRequest: (bytes) => decodeHelloRequest(bytes).request,
  encodeResponse: (response) => encodeHelloResponse(response, EXTRAS),
  decodeResponse: (bytes) => decodeHelloResponse(bytes).response,
}
const codecOf = (method: PeerMethod): PeerMethodCodec<PeerMethod> =>
  (method === 'hello' ? hello : peerMethodCodecs[method]) as unknown as PeerMethodCodec<PeerMethod>

const { groupId, serverId: from, peerId: to } = GOLDEN.release.request
const route = { groupId, from, to }
const request: AppendEntriesRequest = {
  ...GOLDEN.release.request,
  prevLogTerm: asTerm(300),
  prevLogIndex: logIndex(2 ** 40),
  committedIndex: logIndex(2 ** 40 - 1),
  entries: EntryBatch.encode(
    logIndex(2 ** 40 + 1),
    asTerm(301),
    [
      { type: EntryType.DATA, data: Buffer.from('first') },
      { type: EntryType.NO_OP, data: Buffer.alloc(0) },
    ],
    checksum,
  ),
}
const answer = { term: asTerm(301), success: true, lastLogIndex: logIndex(2 ** 40 + 2), readonly: false, short: true, rebuilding: true }

function frameBytes(): Buffer {
  const { head, entries } = encodeFrame(9, request)
  return Buffer.concat([head.subarray(GRPC_PREFIX_BYTES), entries!])
}

function wireOf(version: string): Wire {
  return JSON.parse(readFileSync(`test/fixtures/raftctl-${version}/wire.json`, 'utf8'))
}

/** Reads every message, as it is and with fields behind it that this version does not know. */
function expectUnderstood({ calls, frame, ack }: Wire): void {
  for (const more of [Buffer.alloc(0), UNKNOWN]) {
    const bytes = (text: string) => Buffer.concat([Buffer.from(text, 'hex'), more])
    for (const method of METHODS) {
      const codec = codecOf(method)
      const what = `${method}, ${more.length} bytes more`
      assert.equal(codec.decodeRequest(bytes(calls[method].request)), GOLDEN[method].request, what)
      assert.equal(codec.decodeResponse(bytes(calls[method].response)), GOLDEN[method].response, what)
    }
    const found = decodeFrame(bytes(frame), route, checksum)
    assert.equal([found.seq, { ...found.request, entries: null }], [9, { ...request, entries: null }])
    assert.equal(found.request!.entries!.bytes, request.entries!.bytes)
    assert.equal(decodeAck(bytes(ack)), { seq: 9, status: Status.OK, response: answer })
  }
}

for (const version of VERSIONS) {
  test(`J01 what members of version ${version} say is understood, and what they do not know yet is no trouble to them`, () => {
    expectUnderstood(wireOf(version))
  })
}

test('J01 what this version says is understood, also with fields of a later one', () => {
  const calls = Object.fromEntries(
    METHODS.map((method) => {
      const codec = codecOf(method)
      const { request, response } = GOLDEN[method]
      return [method, { request: codec.encodeRequest(request).toString('hex'), response: codec.encodeResponse(response).toString('hex') }]
    }),
  ) as unknown as Wire['calls']
  const wire = { calls, frame: frameBytes().toString('hex'), ack: encodeAck(9, Status.OK, answer).toString('hex') }
  expectUnderstood(wire)
})

test.run()
