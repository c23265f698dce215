import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32c } from '@node-rs/crc32'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode } from '../../../src/raft/errors.js'
import {
  archiveBytes,
  BLOCK_BYTES,
  entryHeader,
  manifestBytes,
  readEntryHeader,
  type SnapshotManifest,
} from '../../../src/rpc/snapshot-archive.js'
import { ArchiveDamage, ArchiveReader } from '../../../src/rpc/snapshot-archive-reader.js'
import { type ArchiveError, ArchiveStream, describeFiles, type OnExecutor, writeArchive } from '../../../src/rpc/snapshot-archive-writer.js'
import { FakeSnapshot } from '../../support/snapshots.js'

const snapshots: FakeSnapshot[] = []
test.after(() => {
  for (const snapshot of snapshots) snapshot.remove()
})

const contents = { data: randomBytes(1500), 'more/empty': Buffer.alloc(0), 'more/block': randomBytes(BLOCK_BYTES) }

async function archived(files: Record<string, Buffer> = contents) {
  const snapshot = new FakeSnapshot(files)
  snapshots.push(snapshot)
  const on: OnExecutor = (start) => snapshot.onExecutor(start)
  const reader = snapshot.reader()
  const manifest: SnapshotManifest = {
    ...{ format: 'raftctl-snapshot', schemaVersion: 1, index: 1200, term: 8, clusterId: 'c1', group: 'kv', machine: 'kv' },
    members: [{ peerId: '127.0.0.1:7001:0:0', name: 'n1', role: 'voter' }],
    configIndex: 5,
    files: await describeFiles(reader, { on, crc32c }, () => false),
  }
  const pieces: Buffer[] = []
  for await (const piece of writeArchive(reader, manifest, on)) pieces.push(piece)
  return { snapshot, reader, on, manifest, bytes: Buffer.concat(pieces) }
}

function read(bytes: Buffer, pieceBytes = bytes.length) {
  const files = new Map<string, Buffer>()
  const ended: string[] = []
  const reader = new ArchiveReader({
    data: (file, piece) => files.set(file.name, Buffer.concat([files.get(file.name) ?? Buffer.alloc(0), piece])),
    end: (file) => ended.push(file.name),
  })
  for (let at = 0; at < bytes.length; at += pieceBytes) reader.push(bytes.subarray(at, at + pieceBytes))
  return { ...reader.end(), files, ended }
}

test('what is written reads back, in pieces of any size', async () => {
  const { bytes, manifest } = await archived()
  assert.is(bytes.length, archiveBytes(manifest))
  for (const pieceBytes of [1, 7, 512, 513, 4096, bytes.length]) {
    const back = read(bytes, pieceBytes)
    assert.equal(back.manifest, manifest)
    assert.equal(back.files.get('data'), contents.data)
    assert.equal(back.ended, ['data', 'more/block', 'more/empty'])
    assert.is(back.sha256, createHash('sha256').update(bytes).digest('hex'))
  }
})

test('the same snapshot gives the same bytes, and tar reads them', async () => {
  const first = await archived()
  const second = await archived()
  assert.ok(first.bytes.equals(second.bytes))
  const file = join(first.snapshot.path, 'saved.tar')
  writeFileSync(file, first.bytes)
  assert.is(execFileSync('tar', ['tf', file], { encoding: 'utf8' }), 'manifest.json\nfiles/data\nfiles/more/block\nfiles/more/empty\n')
  assert.equal(execFileSync('tar', ['xOf', file, 'files/data']), contents.data)
})

test('one flipped bit anywhere, a cut anywhere and anything that follows is damage', async () => {
  const { bytes } = await archived()
  for (let at = 0; at < bytes.length; at++) {
    const flipped = Buffer.from(bytes)
    flipped[at]! ^= 1 << (at % 8)
    assert.throws(
      () => read(flipped, 1000),
      (error: Error) => error instanceof ArchiveDamage,
      `the flip at ${at} went unseen`,
    )
  }
  for (let length = 0; length < bytes.length; length += 97) assert.throws(() => read(bytes.subarray(0, length)), /ends too early/)
  assert.throws(() => read(Buffer.concat([bytes, Buffer.alloc(1)])), /bytes follow/)
})

test('damage says where: the file and its first byte', async () => {
  const { bytes, manifest } = await archived()
  const data = bytes.indexOf(contents.data)
  bytes[data + 700]! ^= 1
  try {
    read(bytes)
    assert.unreachable()
  } catch (error) {
    assert.is((error as ArchiveDamage).offset, data)
    assert.match((error as Error).message, `the SHA-256 of data (1500 bytes) is `)
    assert.match((error as Error).message, `the manifest says ${manifest.files[0]!.sha256}, at byte ${data}`)
  }
})

test('what is no archive, or one of a newer raftctl, is told apart from damage', async () => {
  const kindOf = (bytes: Buffer) => {
    try {
      read(bytes)
      return null
    } catch (error) {
      return (error as ArchiveDamage).kind
    }
  }
  const { manifest } = await archived()
  const newer = manifestBytes({ ...manifest, schemaVersion: 2 })
  assert.is(kindOf(Buffer.concat([entryHeader('manifest.json', newer.length)!, newer])), 'version')
  assert.is(kindOf(randomBytes(2048)), 'foreign')
  assert.is(kindOf(Buffer.concat([entryHeader('other', 0)!, Buffer.alloc(1024)])), 'foreign')
})

test('a copy goes on at any offset with the bytes that are missing, and the hash of all of them', async () => {
  const { reader, manifest, on, bytes } = await archived()
  for (const offset of [0, 1, 511, 512, 2000, bytes.length - 1, bytes.length]) {
    const stream = new ArchiveStream(reader, manifest, on)
    const pieces: Buffer[] = []
    let next = offset
    let ended = false
    for await (const piece of stream.from(offset)) {
      assert.is(piece.offset, next)
      next += piece.bytes.length
      ended = piece.isLast
      pieces.push(piece.bytes)
    }
    assert.ok(ended)
    assert.ok(Buffer.concat(pieces).equals(bytes.subarray(offset)))
    assert.equal(stream.sha256, createHash('sha256').update(bytes).digest())
  }
})

test('a file that is not what the snapshot lists is not sent', async () => {
  const { snapshot, reader, on, manifest } = await archived()
  snapshot.write('data', randomBytes(1500))
  const failure = await describeFiles(reader, { on, crc32c }, () => false).then(
    () => null,
    (error: ArchiveError) => error,
  )
  assert.is(failure!.status.code, ErrorCode.ECORRUPT)
  assert.match(failure!.message, `${snapshot.path}/data is damaged`)
  snapshot.write('data', randomBytes(1499))
  try {
    for await (const _ of writeArchive(reader, manifest, on));
    assert.unreachable()
  } catch (error) {
    assert.match((error as ArchiveError).message, 'data has 1499 bytes, and had 1500')
  }
})

test('sizes beyond octal digits and long names are written as tar knows them, or refused', () => {
  const large = entryHeader('files/data', 2 ** 40 + 5)!
  assert.equal(readEntryHeader(large), { name: 'files/data', size: 2 ** 40 + 5 })
  const long = `files/${'d'.repeat(90)}/${'n'.repeat(90)}`
  assert.equal(readEntryHeader(entryHeader(long, 7)!), { name: long, size: 7 })
  assert.is(entryHeader(`files/${'n'.repeat(101)}`, 7), null)
})

test.run()
