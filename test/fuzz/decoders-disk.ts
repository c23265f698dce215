import { createHash } from 'node:crypto'
import { canonicalRecords } from '../../src/machines/kv/canonical.js'
import { describeCommand } from '../../src/machines/kv/describe.js'
import { SnapshotDecoder } from '../../src/machines/kv/snapshot-decoder.js'
import { SnapshotEncoder } from '../../src/machines/kv/snapshot-encoder.js'
import { SnapshotDamage } from '../../src/machines/kv/snapshot-format.js'
import { KvStateMachine } from '../../src/machines/kv/state-machine.js'
import { ConfigurationEntry, decodeConfiguration, encodeConfiguration } from '../../src/raft/configuration.js'
import type { File } from '../../src/raft/environment.js'
import { Status } from '../../src/raft/errors.js'
import { EntryBatch } from '../../src/raft/log-entry.js'
import { PeerId } from '../../src/raft/peer-id.js'
import type { RaftMeta, SnapshotList } from '../../src/raft/storage.js'
import { asTerm, logIndex } from '../../src/raft/types.js'
import { entryHeader, manifestBytes, paddingOf, readEntryHeader, type SnapshotManifest } from '../../src/rpc/snapshot-archive.js'
import { ArchiveDamage, ArchiveReader } from '../../src/rpc/snapshot-archive-reader.js'
import { decodeSlot, RECORD_BYTES } from '../../src/storage/alternating-record.js'
import { checksum } from '../../src/storage/checksum.js'
import { decodeMark } from '../../src/storage/durable-length.js'
import { decodeGroupRecord, encodeGroupRecord } from '../../src/storage/group-record.js'
import { decodeIdentity, encodeIdentity, type IdentityRecord } from '../../src/storage/identity-file.js'
import { decodeMetaFile, encodeMetaFile } from '../../src/storage/meta-place.js'
import { decodeFramed, frame, type MessageCodec } from '../../src/storage/protobuf-file.js'
import { META_CODEC } from '../../src/storage/raft-meta.js'
import { decodeSeals } from '../../src/storage/seal-file.js'
import { Segment } from '../../src/storage/segment.js'
import { SegmentScan } from '../../src/storage/segment-scan.js'
import { SNAPSHOT_LIST_CODEC } from '../../src/storage/snapshot-list.js'
import { decodeListSeals } from '../../src/storage/snapshot-seal.js'
import { batch, configuration, members } from '../support/entries.js'
import { snapshotMeta } from '../support/snapshot-bench.js'
import { b, encode } from '../unit/kv/commands.js'
import { type Decoder, refusedBy } from './decoder.js'

const ID = { index: logIndex(5), term: asTerm(2) }

/** Entries with the checksums of whatever they hold now, as far as their headers can be followed. */
function resealEntries(bytes: Buffer): Buffer {
  for (let at = 0; at + 24 <= bytes.length; ) {
    const length = Math.min(bytes.readUInt32BE(at + 12), bytes.length - at - 24)
    bytes[at + 9] = 1
    bytes.writeUInt32BE(length, at + 12)
    bytes.writeUInt32BE(checksum.crc32c(bytes.subarray(at + 24, at + 24 + length)), at + 16)
    bytes.writeUInt32BE(checksum.crc32c(bytes.subarray(at, at + 20)), at + 20)
    at += 24 + length
  }
  return bytes
}

const entrySamples = () => [
  batch(1, 1, ['a']).bytes,
  batch(1, 3, ['a', '', 'long'.repeat(40), configuration(members(1, 2, 3), members(1, 2))]).bytes,
  Buffer.concat([batch(1, 1, ['a', 'b']).bytes, batch(3, 2 ** 40, ['c']).bytes]),
]

const entries: Decoder = {
  name: 'log-entries',
  covers: ['src/raft/log-entry.ts EntryBatch', 'src/raft/log-entry.ts checkEntry'],
  samples: entrySamples,
  reseal: resealEntries,
  run: (bytes) => {
    const { batch: good, goodBytes, problem } = EntryBatch.parse(logIndex(1), bytes, checksum)
    if (goodBytes > bytes.length || (good?.byteLength ?? 0) !== goodBytes) throw new Error('another length than was read')
    if (!good) return { refused: problem ?? 'no entry' }
    for (let index = 1; index <= good.count; index++) good.dataAt(logIndex(index))
    return { value: good, encode: () => Buffer.from(good.bytes) }
  },
}

const segment: Decoder = {
  name: 'segment-scan',
  covers: ['src/storage/segment-scan.ts SegmentScan'],
  samples: entrySamples,
  reseal: resealEntries,
  run: (bytes, random) => {
    const found = new Segment('/log', logIndex(1), false)
    const file = { read: (position, length, done) => done(Status.OK, bytes.subarray(position, position + length)) } as File
    const scan = new SegmentScan({ segment: found, file, fileBytes: bytes.length, verifyData: random.chance(0.5), checksum })
    const results: string[] = []
    scan.run((status, result) => results.push(status.ok ? (result!.problem ?? 'whole') : status.message))
    if (results.length !== 1) throw new Error(`answered ${results.length} times`)
    if (found.bytes > bytes.length) throw new Error('more bytes than the file has')
    return results[0] === 'whole' ? { value: found.count } : { refused: results[0]! }
  },
}

const configurations: Decoder = {
  name: 'configuration-entry',
  covers: ['src/raft/configuration.ts decodeConfiguration'],
  samples: () => [
    encodeConfiguration({ conf: members(1, 2, 3), old: members(1, 2), learners: [new PeerId('h.example', 9)] }, logIndex(2 ** 45)),
    encodeConfiguration(new ConfigurationEntry(ID, members(7))),
  ],
  run: (bytes) => {
    const value = decodeConfiguration(bytes, ID)
    if (!value) return { refused: 'null' }
    return { value, encode: () => encodeConfiguration(value, value.configIndex) }
  },
}

function resealSlot(bytes: Buffer): Buffer {
  if (bytes.length !== RECORD_BYTES) return bytes
  bytes.write('RAFTCTL1')
  bytes.writeUInt32BE(checksum.crc32c(bytes.subarray(0, RECORD_BYTES - 4)), RECORD_BYTES - 4)
  return bytes
}

/** A record slot as AlternatingRecord writes it. */
export function slotOf(sequence: number, payload: Buffer): Buffer {
  const bytes = Buffer.alloc(RECORD_BYTES)
  bytes.writeBigUInt64BE(BigInt(sequence), 8)
  bytes.writeUInt32BE(payload.length, 16)
  payload.copy(bytes, 20)
  return resealSlot(bytes)
}

const slots: Decoder = {
  name: 'record-slot',
  covers: ['src/storage/alternating-record.ts decodeSlot', 'src/storage/durable-length.ts decodeMark'],
  samples: () => [
    slotOf(1, Buffer.alloc(24, 1)),
    slotOf(2, Buffer.from('0000000000000005127.0.0.1:1:0:0')),
    slotOf(3, Buffer.alloc(0)),
    Buffer.alloc(RECORD_BYTES),
  ],
  reseal: resealSlot,
  run: (bytes) => {
    const slot = decodeSlot(bytes, checksum)
    if (slot.state !== 'valid') return { refused: slot.state }
    decodeMark(slot.payload)
    return { value: slot, encode: () => slotOf(slot.sequence, slot.payload) }
  },
}

function framed<T>(name: string, covers: readonly string[], codec: MessageCodec<T>, samples: readonly T[]): Decoder {
  return {
    name,
    covers: [...covers, 'src/storage/protobuf-file.ts decodeFramed'],
    samples: () => samples.map((one) => frame(codec.encode(one).finish())),
    run: (bytes) => {
      const decoded = decodeFramed(bytes, codec)
      if ('problem' in decoded) return { refused: decoded.problem }
      return { value: decoded.message, encode: () => frame(codec.encode(decoded.message).finish()) }
    },
    reseal: (bytes) => {
      if (bytes.length >= 4) bytes.writeUInt32BE(bytes.length - 4, 0)
      return bytes
    },
  }
}

const METAS: readonly RaftMeta[] = [
  { term: asTerm(5), votedFor: new PeerId('127.0.0.1', 1) },
  { term: asTerm(2 ** 40), votedFor: PeerId.EMPTY },
]

/** With a checksum behind the message, as we write it, and without, as braft does. */
const metaFile: Decoder = {
  name: 'raft-meta',
  covers: ['src/storage/meta-place.ts decodeMetaFile', 'src/storage/raft-meta.ts META_CODEC'],
  samples: () => METAS.flatMap((meta) => [encodeMetaFile(meta, META_CODEC, checksum), frame(META_CODEC.encode(meta).finish())]),
  run: (bytes) => {
    const decoded = decodeMetaFile(bytes, META_CODEC, checksum)
    if ('problem' in decoded) return { refused: decoded.problem }
    return { value: decoded.message, encode: () => encodeMetaFile(decoded.message, META_CODEC, checksum) }
  },
  reseal: (bytes) => {
    const end = bytes.length < 4 ? 0 : 4 + bytes.readUInt32BE(0)
    if (end > 0 && end + 4 <= bytes.length) bytes.writeUInt32BE(checksum.crc32c(bytes.subarray(0, end)), end)
    return bytes
  },
}

const LISTS: readonly SnapshotList[] = [
  {
    meta: snapshotMeta(7),
    files: new Map([
      ['data', { checksum: 'crc32c:00000000', size: 3 }],
      ['a/b', { userMeta: Buffer.from('x') }],
    ]),
  },
  { meta: snapshotMeta(2 ** 40, 9, ['127.0.0.1:1:0:0', '10.0.0.1:2:3:1'], 5), files: new Map() },
]

const IDENTITY: IdentityRecord = {
  ...{ clusterId: 'c'.repeat(32), peerId: '127.0.0.1:1:0:0', name: 'n1', standing: 'member', incarnation: 'ab'.repeat(16), generation: 1 },
  ...{ founders: { '127.0.0.1:1:0': 'ab'.repeat(16) }, removed: { reason: 'x', members: ['127.0.0.1:2'] }, settledAt: 9 },
}

/** The checksum of a JSON file anew, where it is one. */
function resealJson(bytes: Buffer): Buffer {
  try {
    const { crc32c: _, ...body } = JSON.parse(bytes.toString()) as Record<string, unknown>
    const sum = checksum.crc32c(Buffer.from(JSON.stringify(body, null, 2)))
    return Buffer.from(JSON.stringify({ ...body, crc32c: sum.toString(16).padStart(8, '0') }))
  } catch {
    return bytes
  }
}

const GROUP = { group: 'orders', machine: 'kv', uid: '0123456789abcdef'.repeat(2), founders: ['10.0.0.1:7001:0:0', '10.0.0.2:7001:0:0'] }

const group: Decoder = {
  name: 'group-json',
  covers: ['src/storage/group-record.ts decodeGroupRecord'],
  samples: () => [encodeGroupRecord(GROUP, checksum), encodeGroupRecord({ ...GROUP, founders: [] }, checksum)],
  reseal: resealJson,
  run: (bytes) => {
    const value = decodeGroupRecord(bytes, checksum)
    return typeof value === 'string' ? { refused: value } : { value, encode: () => encodeGroupRecord(value, checksum) }
  },
}

const identity: Decoder = {
  name: 'node-json',
  covers: ['src/storage/identity-file.ts decodeIdentity', 'src/storage/checked-json.ts decodeChecked'],
  samples: () => [
    encodeIdentity(IDENTITY, checksum),
    encodeIdentity({ ...IDENTITY, clusterId: null, name: null, founders: null, removed: null }, checksum),
  ],
  reseal: resealJson,
  run: (bytes) => {
    const value = decodeIdentity(bytes, checksum)
    return typeof value === 'string' ? { refused: value } : { value, encode: () => encodeIdentity(value, checksum) }
  },
}

const FILES = { data: Buffer.alloc(700, 5), 'more/empty': Buffer.alloc(0), 'more/block': Buffer.alloc(512, 1) }

function archive(): Buffer {
  const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
  const manifest: SnapshotManifest = {
    ...{ format: 'raftctl-snapshot', schemaVersion: 1, index: 1200, term: 8, clusterId: 'c1', group: 'kv', machine: 'kv' },
    members: [{ peerId: '127.0.0.1:7001:0:0', name: 'n1', role: 'voter' }],
    configIndex: 5,
    files: Object.entries(FILES).map(([name, bytes]) => ({ name, size: bytes.length, sha256: sha256(bytes) })),
  }
  const part = (name: string, bytes: Buffer) => [entryHeader(name, bytes.length)!, bytes, Buffer.alloc(paddingOf(bytes.length))]
  return Buffer.concat([
    ...part('manifest.json', manifestBytes(manifest)),
    ...Object.entries(FILES).flatMap(([name, bytes]) => part(`files/${name}`, bytes)),
    Buffer.alloc(1024),
  ])
}

/** Writes the manifest anew around whatever it says now, so that its own checksums are right. */
function resealArchive(bytes: Buffer): Buffer {
  const end = bytes.indexOf('\n}\n')
  if (end < 512) return bytes
  try {
    const { sha256: _, ...manifest } = JSON.parse(bytes.toString('utf8', 512, end + 3)) as SnapshotManifest & { sha256?: string }
    const written = manifestBytes(manifest)
    const rest = bytes.subarray(end + 3 + paddingOf(end + 3 - 512))
    return Buffer.concat([entryHeader('manifest.json', written.length)!, written, Buffer.alloc(paddingOf(written.length)), rest])
  } catch {
    return bytes
  }
}

const archives: Decoder = {
  name: 'snapshot-archive',
  covers: [
    'src/rpc/snapshot-archive-reader.ts ArchiveReader',
    'src/rpc/snapshot-archive-reader.ts ArchiveDamage',
    'src/rpc/snapshot-archive.ts readEntryHeader',
  ],
  samples: () => [archive(), archive().subarray(0, 512)],
  reseal: resealArchive,
  run: (bytes, random) =>
    refusedBy([ArchiveDamage], () => {
      if (bytes.length >= 512) readEntryHeader(bytes.subarray(0, 512))
      const reader = new ArchiveReader()
      const size = 1 + random.below(1500)
      for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size))
      return { value: reader.end() }
    }),
}

const commands = () => [
  encode({ put: { key: b('k'), value: b('v'), lease: 0, prev_kv: true } }),
  encode({ delete_range: { key: b('a'), range_end: b('z') } }),
  encode({ compact: { revision: 3 } }),
  encode({ mark: {} }),
  encode({
    ...{ client_id: 'c'.repeat(16), sequence: 3, leader_time_ms: 1000 },
    txn: {
      compare: [{ key: b('k'), target: 0, result: 0, version: 0 }],
      success: [{ request_put: { key: b('k'), value: b('w') } }, { request_range: { key: b('k') } }],
      failure: [{ request_txn: { success: [{ request_delete_range: { key: b('k') } }] } }],
    },
  } as never),
]

const kvCommands: Decoder = {
  name: 'kv-command',
  covers: ['src/machines/kv/state-machine.ts KvStateMachine', 'src/machines/kv/describe.ts describeCommand'],
  samples: () => commands().map((one) => Buffer.from(one)),
  run: (bytes) => {
    const machines = [0, 1].map(() => new KvStateMachine({ executor: { post: () => {} } }))
    const answers = machines.map((machine) => {
      machine.applyCommand(commands()[0]!, logIndex(1))
      return JSON.stringify(machine.applyCommand(bytes, logIndex(2)))
    })
    if (answers[0] !== answers[1] || machines[0]!.stateHash() !== machines[1]!.stateHash())
      throw new Error('two members make something else of it')
    describeCommand(bytes)
    return /E_UNKNOWN_COMMAND/.test(answers[0]!) ? { refused: 'no command' } : { value: answers[0] }
  },
}

function kvSnapshot(): Buffer {
  const machine = new KvStateMachine({ executor: { post: () => {} } })
  for (const [i, command] of [...commands(), ...commands()].entries()) machine.applyCommand(command, logIndex(i + 1))
  const state = machine.freeze()
  const encoder = new SnapshotEncoder()
  const parts = [encoder.header()]
  for (const record of canonicalRecords(state)) {
    const block = record && encoder.add(record)
    if (block) parts.push(Buffer.from(block))
  }
  parts.push(...encoder.finish().buffers)
  return Buffer.concat(parts)
}

/** The checksums of header, first block and footer of a snapshot of one block. */
function resealKvSnapshot(bytes: Buffer): Buffer {
  const seal = (from: number, to: number) =>
    to <= bytes.length && bytes.writeUInt32LE(checksum.crc32c(bytes.subarray(from, to - 4)), to - 4)
  if (bytes.length < 20 + 20 + 92) return bytes
  seal(0, 20)
  const length = Math.min(bytes.readUInt32LE(20), bytes.length - 40)
  bytes.writeUInt32LE(checksum.crc32c(bytes.subarray(40, 40 + length)), 32)
  seal(20, 40)
  seal(bytes.length - 92, bytes.length)
  return bytes
}

const kvSnapshots: Decoder = {
  name: 'kv-snapshot',
  covers: ['src/machines/kv/snapshot-decoder.ts SnapshotDecoder', 'src/machines/kv/snapshot-format.ts SnapshotDamage'],
  samples: () => [kvSnapshot()],
  reseal: resealKvSnapshot,
  run: (bytes, random) =>
    refusedBy([SnapshotDamage], () => {
      const decoder = new SnapshotDecoder()
      const size = 1 + random.below(200)
      let records = 0
      for (let at = 0; at < bytes.length; at += size) for (const _ of decoder.push(bytes.subarray(at, at + size))) records++
      return { value: [records, decoder.end()] }
    }),
}

/** Records of 32 bytes, the last four of which are the checksum of the others. What is damaged is said to be, never read. */
const seals: Decoder = {
  name: 'seals',
  covers: ['src/storage/seal-file.ts decodeSeals', 'src/storage/snapshot-seal.ts decodeListSeals'],
  samples: () => [1, 2].map((count) => resealRecords(Buffer.alloc(32 * count, 1))),
  reseal: resealRecords,
  run: (bytes) => {
    const { starts, segments, badRecords } = decodeSeals(bytes, checksum)
    if (starts.length + segments.length + badRecords.length !== Math.ceil(bytes.length / 32)) throw new Error('a record was passed over')
    decodeListSeals(bytes)
    return badRecords.length > 0 ? { refused: `damaged at ${badRecords}` } : { value: [...starts, ...segments] }
  },
}

function resealRecords(bytes: Buffer): Buffer {
  const sealed = Buffer.from(bytes)
  for (let at = 0; at + 32 <= sealed.length; at += 32) sealed.writeUInt32BE(checksum.crc32c(sealed.subarray(at, at + 28)), at + 28)
  return sealed
}

export const DISK: readonly Decoder[] = [
  ...[entries, segment, configurations, slots, identity, group, archives, kvCommands, kvSnapshots, seals],
  metaFile,
  framed('snapshot-list', ['src/storage/snapshot-list.ts SNAPSHOT_LIST_CODEC'], SNAPSHOT_LIST_CODEC, LISTS),
]
