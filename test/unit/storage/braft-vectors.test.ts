// braft's files byte for byte: what each looks like, and every file that real nodes left.
import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { braft, example } from '../../../src/generated/braft.js'
import { ConfigurationEntry } from '../../../src/raft/configuration.js'
import { EntryBatch, EntryType } from '../../../src/raft/log-entry.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { asTerm, logIndex, plus } from '../../../src/raft/types.js'
import { checksum, murmurChecksum } from '../../../src/storage/checksum.js'
import { decodeFramed, frame, type MessageCodec } from '../../../src/storage/protobuf-file.js'
import { META_CODEC } from '../../../src/storage/raft-meta.js'
import { SNAPSHOT_LIST_CODEC } from '../../../src/storage/snapshot-list.js'
import { configuration, data, members } from '../../support/entries.js'

const FIXTURES = 'test/fixtures/braft/counter-4-peers'
const bare = (text: string) => text.replaceAll(' ', '')
const framed = <T>(codec: MessageCodec<T>, message: T) => frame(codec.encode(message).finish()).toString('hex')

test('entries, with either checksum', () => {
  const noOp = { type: EntryType.NO_OP, data: Buffer.alloc(0) }
  const conf = configuration(members(8100, 8101))
  const confData = '0a12 3132372e302e302e313a383130303a303a30 0a12 3132372e302e302e313a383130313a303a30'
  const vectors = [
    [data('hello'), 1, checksum, '0000000000000001 02010000 00000005 9a71bb4c beb21d8d 68656c6c6f'],
    [data('hello'), 1, murmurChecksum, '0000000000000001 02000000 00000005 248bfa47 a0d2074f 68656c6c6f'],
    [noOp, 1, checksum, '0000000000000001 01010000 00000000 00000000 2a174daa'],
    [noOp, 1, murmurChecksum, '0000000000000001 01000000 00000000 00000000 cebaeca5'],
    [conf, 2, checksum, `0000000000000002 03010000 00000028 caf7e5d5 1e690392 ${confData}`],
    [conf, 2, murmurChecksum, `0000000000000002 03000000 00000028 bb6f3618 26884620 ${confData}`],
  ] as const
  for (const [entry, term, sums, expected] of vectors) {
    const { bytes } = EntryBatch.encode(logIndex(1), asTerm(term), [entry], sums)
    assert.is(bytes.toString('hex'), bare(expected))
    // Whoever reads goes by the entry, not by what it writes itself.
    for (const reader of [checksum, murmurChecksum]) assert.is(EntryBatch.parse(logIndex(1), bytes, reader).problem, null)
  }
})

test('log_meta, raft_meta and the list of a snapshot', () => {
  const logMeta = (first: number) => frame(braft.LogPBMeta.encode({ first_log_index: first }).finish()).toString('hex')
  assert.is(logMeta(1), bare('00000002 0801'))
  assert.is(logMeta(10_001), bare('00000003 08914e'))
  assert.is(framed(META_CODEC, { term: asTerm(1), votedFor: PeerId.EMPTY }), bare('00000011 0801 120d 302e302e302e303a303a303a30'))
  assert.is(
    framed(META_CODEC, { term: asTerm(2), votedFor: new PeerId('127.0.0.1', 8100) }),
    bare('00000016 0802 1212 3132372e302e302e313a383130303a303a30'),
  )
  const lastIncluded = { index: logIndex(1000), term: asTerm(2) }
  const meta = { lastIncluded, configuration: new ConfigurationEntry(lastIncluded, members(8100)) }
  assert.is(
    framed(SNAPSHOT_LIST_CODEC, { meta, files: new Map([['data', {}]]) }),
    bare('00000025 0a19 08e807 1002 1a12 3132372e302e302e313a383130303a303a30 1208 0a04 64617461 1200'),
  )
})

/** Reads and writes a message again. */
const again =
  <T>(codec: MessageCodec<T>) =>
  (bytes: Buffer): Buffer => {
    const decoded = decodeFramed(bytes, codec)
    if ('problem' in decoded) throw new Error(decoded.problem)
    return frame(codec.encode(decoded.message).finish())
  }

const REWRITE: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  segment: segmentAgain,
  log_meta: again(braft.LogPBMeta),
  raft_meta: again(META_CODEC),
  __raft_snapshot_meta: again(SNAPSHOT_LIST_CODEC),
  data: again(example.Snapshot),
}

test('every file that braft left is read, and written again is the same', () => {
  const files = readdirSync(FIXTURES, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.parentPath.includes('/data'))
    .map((entry) => join(entry.parentPath, entry.name))
  const seen = new Map<string, number>()
  for (const file of files) {
    const bytes = readFileSync(file)
    const name = basename(file)
    const kind = name.startsWith('log_') && name !== 'log_meta' ? 'segment' : name
    assert.equal(REWRITE[kind]!(bytes).toString('hex'), bytes.toString('hex'), file)
    seen.set(kind, (seen.get(kind) ?? 0) + 1)
  }
  assert.equal([...seen].sort(), [
    ['__raft_snapshot_meta', 3],
    ['data', 3],
    ['log_meta', 4],
    ['raft_meta', 4],
    ['segment', 7],
  ])
})

function segmentAgain(bytes: Buffer): Buffer {
  const { batch, problem } = EntryBatch.parse(logIndex(1), bytes, checksum)
  assert.is(problem, null)
  const entries: Buffer[] = []
  for (let index = batch!.firstIndex; index <= batch!.lastIndex; index = plus(index, 1)) {
    const entry = { type: batch!.typeAt(index), data: batch!.dataAt(index) }
    entries.push(EntryBatch.encode(index, batch!.termAt(index), [entry], checksum).bytes)
  }
  return Buffer.concat(entries)
}

test.run()
