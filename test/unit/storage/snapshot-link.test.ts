import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode } from '../../../src/raft/errors.js'
import { formatChecksum } from '../../../src/raft/snapshot-checksum.js'
import type { SnapshotFileMeta, SnapshotWriter } from '../../../src/raft/storage.js'
import { crc32c } from '../../../src/storage/checksum.js'
import { SNAPSHOTS, SnapshotBench, snapshotMeta } from '../../support/snapshot-bench.js'

const TABLE = 'part/table'
const TEXT = 'rows that stay '.repeat(100)
const LAST = `${SNAPSHOTS}/snapshot_00000000000000000003/${TABLE}`
const COPY = `${SNAPSHOTS}/copy/${TABLE}`
const SAME: SnapshotFileMeta = { checksum: formatChecksum(crc32c(Buffer.from(TEXT))), size: TEXT.length }

/** A member whose last snapshot ends at 3 and that copies the one of 7. */
class Bench extends SnapshotBench {
  readonly writer: SnapshotWriter

  constructor(own: SnapshotFileMeta = {}) {
    super()
    assert.ok(this.start()!.status.ok)
    const last = this.create()
    this.write(last, TABLE, TEXT)
    last.addFile(TABLE, own)
    assert.ok(this.call<void>((done) => this.storage.commit(last, snapshotMeta(3), done)).status.ok)
    this.writer = this.create(snapshotMeta(7))
  }

  reuse(expected: SnapshotFileMeta, name = TABLE) {
    const { status, value } = this.call<SnapshotFileMeta | null>((done) => this.storage.reuse(this.writer, name, expected, done))
    return status.ok ? value : status.code
  }

  isThere(path = COPY): boolean {
    return this.disk.disk.lookup(path) !== null
  }
}

test('a file of the last snapshot is linked when name, checksum and size are the same; nothing is written', () => {
  const bench = new Bench()
  const before = bench.disk.operations.length
  const userMeta = Buffer.from('of the source')
  assert.equal(bench.reuse({ ...SAME, userMeta }), { ...SAME, userMeta })
  assert.is(bench.disk.disk.lookup(COPY), bench.disk.disk.lookup(LAST), 'one file')
  assert.not(bench.disk.operations.slice(before).some((operation) => operation.startsWith('write')))
})

test('what is called otherwise, has another checksum or size, or none, is no file to link', () => {
  const cases: [SnapshotFileMeta, SnapshotFileMeta, string?][] = [
    [{}, SAME, 'other'],
    [{}, { ...SAME, checksum: formatChecksum(1) }],
    [{}, { ...SAME, size: TEXT.length + 1 }],
    [{}, {}],
    [{}, { size: TEXT.length }],
    [{ checksum: 'md5:1' }, { checksum: 'md5:2' }],
    [{ checksum: 'md5:1' }, {}],
  ]
  for (const [own, expected, name] of cases) {
    const bench = new Bench(own)
    assert.is(bench.reuse(expected, name), null, JSON.stringify([own, expected]))
    assert.not(bench.isThere())
  }
  assert.is(new Bench({ checksum: 'md5:1' }).reuse({ checksum: 'md5:1' })?.toString(), '[object Object]', 'as the machine says')
  const none = new SnapshotBench()
  none.start()
  const writer = none.create(snapshotMeta(7))
  assert.is(none.call<SnapshotFileMeta | null>((done) => none.storage.reuse(writer, TABLE, SAME, done)).value, null)
})

test('a file that is not any more what was written is not linked: the copy makes it good', () => {
  const bench = new Bench()
  bench.disk.flip(LAST, 700)
  assert.is(bench.reuse(SAME), null)
  assert.not(bench.isThere())
  const shorter = new Bench({ checksum: 'md5:1' })
  shorter.disk.put(LAST, Buffer.from('less'))
  assert.is(shorter.reuse({ checksum: 'md5:1' }), null)
})

test('what an earlier copy left under that name goes; where the disk makes no links the file is copied', () => {
  const bench = new Bench()
  bench.write(bench.writer, TABLE, 'half of the')
  assert.equal(bench.reuse(SAME), SAME)
  assert.is(bench.disk.bytesOf(COPY).toString(), TEXT)

  const without = new Bench()
  without.write(without.writer, TABLE, 'half of the')
  without.disk.refuse(/^link/, ErrorCode.EIO)
  assert.is(without.reuse(SAME), null)
  assert.not(without.isThere(), 'whoever copies it begins anew')

  const failing = new Bench()
  failing.disk.refuse(/^remove .*table/, ErrorCode.EIO)
  assert.is(failing.reuse(SAME), ErrorCode.EIO)
})

test('a snapshot with a linked file survives a power loss whole when the one that had it is gone', () => {
  for (let seed = 0; seed < 5; seed++) {
    const bench = new Bench()
    bench.writer.addFile(TABLE, bench.reuse(SAME) as SnapshotFileMeta)
    assert.ok(bench.call<void>((done) => bench.storage.commit(bench.writer, snapshotMeta(7), done)).status.ok)
    assert.not(bench.isThere(LAST))
    bench.disk.crash()
    bench.start()
    assert.equal(bench.newest(), { index: 7, files: { [TABLE]: TEXT } })
  }
})

test.run()
