import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { StateRecord } from '../../../src/machines/kv/canonical.js'
import { snapshotFileRecords, verifySnapshotFile } from '../../../src/machines/kv/snapshot-file.js'
import {
  BLOCK_BYTES,
  BLOCK_HEADER_BYTES,
  FOOTER_BYTES,
  HEADER_BYTES,
  SnapshotDamage,
  type SnapshotSummary,
} from '../../../src/machines/kv/snapshot-format.js'
import { crc32c } from '../../../src/storage/checksum.js'
import { b, encode, entry } from './commands.js'
import { applyNext, newMachine } from './fakes.js'
import { fileOf, hexOf, read, snapshotOf, streamOf } from './snapshot-files.js'

const header: StateRecord = { header: { revision: 9, compacted_revision: -1, leader_time_ms: 5 } }
const keyOf = (key: string, valueBytes = 1): StateRecord => ({
  key: { key: b(key), versions: [{ mod_revision: 2, create_revision: 2, version: 1, value: Buffer.alloc(valueBytes, key) }] },
})

function whole(result: ReturnType<typeof read>): { records: string[]; summary: SnapshotSummary } {
  if (result instanceof SnapshotDamage) throw result
  return result
}

function damage(result: ReturnType<typeof read>): SnapshotDamage {
  if (!(result instanceof SnapshotDamage)) throw new Error('it was accepted')
  return result
}

/** A machine with a bit of everything in it. */
function busyMachine() {
  const machine = newMachine()
  for (let i = 0; i < 8; i++) {
    applyNext(
      machine,
      encode({ client_id: `c${i % 3}`, sequence: 1 + Math.floor(i / 3), put: { key: b(`k${i % 4}`), value: b(`${i}`), prev_kv: true } }),
    )
  }
  applyNext(machine, encode({ delete_range: { key: b('k1') } }))
  applyNext(machine, encode({ compact: { revision: 4 } }))
  return machine
}

test('a file is read back record for record, in pieces of any size, and names the state hash', () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 60 }), fc.integer({ min: 1, max: 400 }), (log, pieceBytes) => {
      const machine = newMachine()
      for (const data of log) applyNext(machine, data)
      const { bytes, summary } = snapshotOf(machine)
      const { records, summary: found } = whole(read(bytes, pieceBytes))
      assert.equal(records, streamOf(machine.freeze()))
      assert.equal(found, summary)
      assert.is(summary.sha256, machine.stateHash())
      assert.is(summary.crc32c, crc32c(bytes))
      assert.is(summary.fileBytes, bytes.length)
    }),
    { numRuns: 150 },
  )
})

test('the numbers of a file are those of its state', () => {
  const { summary } = snapshotOf(busyMachine())
  const { records, keys, liveKeys, versions, sessions, blocks } = summary
  assert.equal(
    { records, keys, liveKeys, versions, sessions, blocks },
    { records: 8, keys: 4, liveKeys: 3, versions: 9, sessions: 3, blocks: 1 },
  )
})

test('members with the same state write the same bytes', () => {
  assert.equal(snapshotOf(busyMachine()).bytes, snapshotOf(busyMachine()).bytes)
})

test('blocks hold whole records: as many as fit, or one that is longer', () => {
  const sizes = [BLOCK_BYTES / 2, BLOCK_BYTES / 2, 10, 3 * BLOCK_BYTES, 10]
  const records = [header, ...sizes.map((size, i) => keyOf(`k${i}`, size))]
  const { bytes, summary } = fileOf(records)
  assert.is(summary.blocks, 4)
  const { records: found } = whole(read(bytes, 100_000))
  assert.equal(found, records.map(hexOf))
})

test('whatever byte of a file is flipped, it is found, and no record before it is lost', () => {
  const { bytes } = snapshotOf(busyMachine())
  const { records } = whole(read(bytes))
  for (let at = 0; at < bytes.length; at++) {
    for (const mask of [1, 0x80, 0xff]) {
      const damaged = Buffer.from(bytes)
      damaged[at]! ^= mask
      const { kind, offset } = damage(read(damaged))
      assert.is(kind, at < 8 ? 'foreign' : 'damaged')
      assert.ok(offset <= at, `byte ${at} flipped, damage found at ${offset}`)
    }
  }
  assert.is(records.length, 8)
})

test('the damage is placed in the block that holds it, and the blocks before it are read', () => {
  const records = [header, ...Array.from({ length: 40 }, (_, i) => keyOf(`key${String(i).padStart(2, '0')}`, 20_000))]
  const { bytes, summary } = fileOf(records)
  assert.is(summary.blocks, 4)
  const third = HEADER_BYTES + 2 * BLOCK_HEADER_BYTES + blockLength(bytes, 0) + blockLength(bytes, 1)
  bytes[third + BLOCK_HEADER_BYTES + 5000]! ^= 4
  const found = damage(read(bytes, 1000))
  assert.is(found.message, `the checksum of block 2 does not match, at byte ${third}`)
})

function blockLength(bytes: Buffer, number: number): number {
  let at = HEADER_BYTES
  for (let i = 0; i < number; i++) at += BLOCK_HEADER_BYTES + bytes.readUInt32LE(at)
  return bytes.readUInt32LE(at)
}

test('a file that was cut anywhere ends too early, at its end', () => {
  const { bytes } = snapshotOf(busyMachine())
  for (let length = 0; length < bytes.length; length++) {
    assert.is(damage(read(bytes.subarray(0, length), 50)).message, `the file ends too early, at byte ${length}`)
  }
})

test('bytes after the end are found, at once or later', () => {
  const { bytes } = snapshotOf(busyMachine())
  for (const pieceBytes of [bytes.length, bytes.length + 1]) {
    const { message } = damage(read(Buffer.concat([bytes, Buffer.from([0])]), pieceBytes))
    assert.is(message, `bytes follow the end of the snapshot, at byte ${bytes.length}`)
  }
})

test('blocks that were swapped, doubled or left out are found though each is whole', () => {
  const records = [header, ...Array.from({ length: 40 }, (_, i) => keyOf(`key${String(i).padStart(2, '0')}`, 20_000))]
  const { bytes } = fileOf(records)
  const blocks: Buffer[] = []
  let at = HEADER_BYTES
  while (at < bytes.length - FOOTER_BYTES) {
    const end = at + BLOCK_HEADER_BYTES + bytes.readUInt32LE(at)
    blocks.push(bytes.subarray(at, end))
    at = end
  }
  const build = (order: number[]) => Buffer.concat([bytes.subarray(0, HEADER_BYTES), ...order.map((i) => blocks[i]!), bytes.subarray(at)])
  whole(read(build([0, 1, 2, 3])))
  assert.match(damage(read(build([0, 2, 1, 3]))).message, 'block 2 stands where block 1 should be')
  assert.match(damage(read(build([0, 0, 1, 2, 3]))).message, 'block 0 stands where block 1 should be')
  assert.match(damage(read(build([0, 1, 2]))).message, 'the footer counts something else')
})

test('a block that was exchanged for another one with right checksums is found by the hash of the state', () => {
  const { bytes } = fileOf([header, keyOf('a')])
  const end = bytes.length - FOOTER_BYTES
  bytes[end - 1]! ^= 1
  bytes.writeUInt32LE(crc32c(bytes.subarray(HEADER_BYTES + BLOCK_HEADER_BYTES, end)), HEADER_BYTES + 12)
  bytes.writeUInt32LE(crc32c(bytes.subarray(HEADER_BYTES, HEADER_BYTES + 16)), HEADER_BYTES + 16)
  assert.is(damage(read(bytes)).message, `the SHA-256 of the state does not match, at byte ${end}`)
})

test('a footer that counts something else is found, whichever number it is', () => {
  const { bytes } = snapshotOf(busyMachine())
  const footer = bytes.length - FOOTER_BYTES
  for (const at of [4, 8, 16, 24, 32, 40, 48]) {
    const changed = Buffer.from(bytes)
    changed[footer + at]! += 1
    changed.writeUInt32LE(crc32c(changed.subarray(footer, bytes.length - 4)), bytes.length - 4)
    assert.is(damage(read(changed)).message, `the footer counts something else than what stands before it, at byte ${footer}`)
  }
})

test('a block that claims too much is refused before it is waited for', () => {
  const { bytes } = snapshotOf(busyMachine())
  bytes.writeUInt32LE(0x7fffffff, HEADER_BYTES)
  assert.match(damage(read(bytes.subarray(0, 100))).message, 'the checksum of the header of block 0 does not match')
  bytes.writeUInt32LE(crc32c(bytes.subarray(HEADER_BYTES, HEADER_BYTES + 16)), HEADER_BYTES + 16)
  assert.match(damage(read(bytes.subarray(0, 100))).message, 'block 0 claims 8 records in 2147483647 bytes')
})

test('a file of a newer format says so, and is not called damaged', () => {
  const { bytes } = snapshotOf(busyMachine())
  bytes.writeUInt32LE(2, 8)
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 16)), 16)
  const { kind, message } = damage(read(bytes))
  assert.is(kind, 'version')
  assert.is(message, 'format version 2 is not known here, only 1, at byte 8')
})

test('records that are no state in canonical order are refused though every checksum is right', () => {
  const version = (mod: number, sub = 0) => ({ mod_revision: mod, sub_revision: sub, value: b('v') })
  const key = (name: string, ...versions: ReturnType<typeof version>[]): StateRecord => ({ key: { key: b(name), versions } })
  const session = (id: string, ...sequences: number[]): StateRecord => ({
    session: { client_id: id, answers: sequences.map((sequence) => ({ sequence, answer: {} })) },
  })
  const cases: [string, StateRecord[]][] = [
    ['the header of the state is missing', [key('a', version(2))]],
    ['the state has no header', []],
    ['the state has a second header', [header, header]],
    ['the revisions of the header contradict each other', [{ header: { revision: 3, compacted_revision: 4 } }]],
    ['a number of the header is out of range', [{ header: { revision: 2 ** 60 } }]],
    ['the keys are not in order', [header, key('b', version(2)), key('a', version(3))]],
    ['a key has no version', [header, key('a')]],
    ['the versions of a key are not in order', [header, key('a', version(3), version(3))]],
    ['the versions of a key are not in order', [header, key('a', version(3, 1)), key('a', version(3, 0))]],
    ['a version is newer than the state', [header, key('a', version(10))]],
    ['a key comes after the sessions', [header, session('c'), key('a', version(2))]],
    ['a session has no name', [header, session('')]],
    ['is there twice', [header, session('c'), session('d'), session('c')]],
    ['an answer of a session is there twice', [header, session('c', 1), session('c', 1)]],
    ['this is not a record of the state', [header, {}]],
  ]
  for (const [problem, records] of cases) assert.match(damage(read(fileOf(records).bytes)).message, problem)
  whole(
    read(
      fileOf([header, key('a', version(2), version(3)), key('a', version(3, 1)), key('b', version(3, 2)), session('c', 1), session('c', 2)])
        .bytes,
    ),
  )
})

test('a file on disk is read without a node', () => {
  const directory = mkdtempSync(join(tmpdir(), 'kv-snapshot-'))
  try {
    const path = join(directory, 'data')
    const machine = newMachine()
    for (let i = 0; i < 3000; i++) applyNext(machine, encode({ put: { key: b(`key/${i}`), value: Buffer.alloc(300, i) } }))
    const { bytes, summary } = snapshotOf(machine)
    writeFileSync(path, bytes)
    assert.equal(verifySnapshotFile(path), summary)
    assert.equal([...snapshotFileRecords(path)].map(hexOf), streamOf(machine.freeze()))
    bytes[500_000]! ^= 1
    writeFileSync(path, bytes)
    assert.throws(
      () => verifySnapshotFile(path),
      (error: unknown) => error instanceof SnapshotDamage && error.offset > 0 && error.offset <= 500_000,
    )
  } finally {
    rmSync(directory, { recursive: true })
  }
})

test('any bytes at all are answered, never with a crash', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (noise, behindHeader) => {
      const bytes = behindHeader ? Buffer.concat([snapshotOf(newMachine()).bytes.subarray(0, HEADER_BYTES), noise]) : Buffer.from(noise)
      assert.ok(read(bytes) instanceof SnapshotDamage)
    }),
    { numRuns: 300 },
  )
})

test.run()
