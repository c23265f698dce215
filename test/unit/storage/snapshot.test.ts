import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { braft } from '../../../src/generated/braft.js'
import { ConfigurationEntry } from '../../../src/raft/configuration.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { formatChecksum } from '../../../src/raft/snapshot-checksum.js'
import { SNAPSHOT_LIST, type SnapshotReader, type SnapshotWriter } from '../../../src/raft/storage.js'
import { crc32c } from '../../../src/storage/checksum.js'
import { frame } from '../../../src/storage/protobuf-file.js'
import { problemOfName, SNAPSHOT_LIST_CODEC } from '../../../src/storage/snapshot-list.js'
import { SimRandom } from '../../../src/testing/sim-random.js'
import { members } from '../../support/entries.js'
import { SEAL, SNAPSHOTS, SnapshotBench, snapshotMeta } from '../../support/snapshot-bench.js'

const FIXTURES = 'test/fixtures/braft/counter-4-peers'
const nameOf = (index: number) => `snapshot_${String(index).padStart(20, '0')}`

function started(): SnapshotBench {
  const bench = new SnapshotBench()
  assert.is(bench.start()!.status.toString(), 'OK')
  return bench
}

test('the list of files has the bytes that braft writes', () => {
  const list = { meta: snapshotMeta(1000, 2), files: new Map([['data', {}]]) }
  const golden = '0a1908e80710021a123132372e302e302e313a383130303a303a3012080a0464617461' + '1200'
  assert.is(Buffer.from(SNAPSHOT_LIST_CODEC.encode(list).finish()).toString('hex'), golden)
  const back = SNAPSHOT_LIST_CODEC.decode(Buffer.from(golden, 'hex'))
  assert.equal([...back.files.keys()], ['data'])
  assert.is(back.meta.configuration.conf.toString(), '127.0.0.1:8100:0:0')
})

test('what braft has no field for is kept in fields that it skips', () => {
  const file = { userMeta: Buffer.from('mine'), checksum: formatChecksum(7), size: 12 }
  const list = { meta: snapshotMeta(9, 2, ['10.0.0.1:1:0:0'], 4), files: new Map([['data', file]]) }
  const back = SNAPSHOT_LIST_CODEC.decode(Buffer.from(SNAPSHOT_LIST_CODEC.encode(list).finish()))
  assert.equal(back.files.get('data'), file)
  assert.is(back.meta.configuration.configIndex, 4)
})

for (const [node, index] of [
  ['n0', 31],
  ['n1', 79],
  ['n3', 79],
] as const) {
  test(`the snapshot that braft left on ${node} is read, and its list written back byte for byte`, () => {
    const bench = new SnapshotBench()
    const from = join(FIXTURES, node, 'data/snapshot', nameOf(index))
    for (const name of ['data', SNAPSHOT_LIST]) bench.disk.put(`${SNAPSHOTS}/${nameOf(index)}/${name}`, readFileSync(join(from, name)))
    assert.is(bench.start()!.value!.lastIncluded.index, index)
    const reader = bench.openNewest().value!
    assert.equal(reader.files(), ['data'])
    assert.is(reader.meta.configuration.conf.size, 3)
    assert.equal(reader.list(), readFileSync(join(from, SNAPSHOT_LIST)).subarray(4))
    assert.ok(bench.call<void>((done) => bench.storage.verify(reader, done)).status.ok)
  })
}

test('a committed snapshot survives a power loss whole, with sizes and checksums of files that had none', () => {
  const bench = started()
  assert.ok(bench.save(snapshotMeta(10), { data: 'state of ten', 'parts/a/1': 'one', 'parts/2': 'two' })!.ok)
  bench.disk.crash(0)
  assert.is(bench.start()!.value!.lastIncluded.index, 10)
  assert.equal(bench.newest(), { index: 10, files: { data: 'state of ten', 'parts/2': 'two', 'parts/a/1': 'one' } })
  const reader = bench.openNewest().value!
  assert.equal(reader.fileMeta('data'), { checksum: formatChecksum(crc32c(Buffer.from('state of ten'))), size: 12 })
  assert.equal(bench.names, [nameOf(10)])
})

test('a power loss at any change leaves the old snapshot or the new one, whole, and never none', () => {
  let stops = 0
  for (const lastOperation of ['not done', 'half done', 'done'] as const) {
    for (let at = 1; ; at++) {
      const bench = started()
      bench.save(snapshotMeta(10), { data: 'ten' })
      bench.disk.stopAtChange(at, lastOperation)
      const saved = bench.save(snapshotMeta(20), { data: 'twenty', 'sub/x': 'more' })
      const stopped = bench.disk.hasStopped
      bench.disk.crash([0, 0.5, 1][at % 3])
      assert.is(bench.start()!.status.toString(), 'OK', `${lastOperation} at ${at}`)
      const found = bench.newest()!
      if (saved?.ok) assert.is(found.index, 20, `acknowledged, lost at ${at}`)
      if (found.index === 20) assert.equal(found.files, { data: 'twenty', 'sub/x': 'more' })
      else assert.equal(found, { index: 10, files: { data: 'ten' } })
      assert.equal(bench.names.filter((name) => name !== 'temp').length, 1, 'what is old was removed')
      if (!stopped) break
      stops++
    }
  }
  assert.ok(stops > 30, `${stops} stops`)
})

test('what was renamed by a process that was killed is made durable before it is relied upon', () => {
  const bench = started()
  bench.save(snapshotMeta(10), { data: 'ten' })
  bench.disk.stopAtChange(bench.disk.operations.length, 'done')
  const writer = bench.create()
  bench.write(writer, 'data', 'twenty')
  writer.addFile('data')
  bench.disk.refuse(new RegExp(`^syncDir ${SNAPSHOTS}$`), ErrorCode.EIO)
  bench.tryCall<void>((done) => bench.storage.commit(writer, snapshotMeta(20), done))
  bench.disk.restart()
  const seen = bench.start()!.value!.lastIncluded.index
  bench.disk.crash(0)
  assert.is(bench.start()!.value!.lastIncluded.index, seen)
})

test('a failed sync is a failure: nothing becomes visible, and after a failed rename nothing is written', () => {
  for (const what of [/^datasync .*temp\/data/, /^datasync .*__raft_snapshot_meta/, /^syncDir .*temp\/sub/, /^rename .*snapshot_/]) {
    const bench = started()
    bench.save(snapshotMeta(10), { data: 'ten' })
    bench.disk.refuse(what, ErrorCode.EIO)
    assert.is(bench.save(snapshotMeta(20), { data: 'twenty', 'sub/x': 'x' })!.code, ErrorCode.EIO, String(what))
    assert.is(bench.newest()!.index, 10)
    assert.equal(bench.names.includes(nameOf(20)), false)
  }
  const bench = started()
  bench.disk.refuse(new RegExp(`^syncDir ${SNAPSHOTS}$`), ErrorCode.ENOSPC)
  assert.is(bench.save(snapshotMeta(10), { data: 'ten' })!.code, ErrorCode.EIO, 'a full disk too leaves nothing to build on')
  const again = bench.call<unknown>((done) => bench.storage.create(null, done))
  assert.is(again.status.code, ErrorCode.EIO, 'carried on as if nothing had happened')
})

test('an older snapshot goes when nobody reads it, and the newest never', () => {
  const bench = started()
  bench.save(snapshotMeta(10), { data: 'ten' })
  const first = bench.openNewest().value!
  const second = bench.openNewest().value!
  bench.save(snapshotMeta(20), { data: 'twenty' })
  assert.equal(bench.names, [nameOf(10), nameOf(20)])
  first.close()
  first.close()
  bench.executor.run()
  assert.is(bench.disk.bytesOf(`${second.path}/data`).toString(), 'ten')
  second.close()
  bench.executor.run()
  assert.equal(bench.names, [nameOf(20)])
  assert.is(bench.save(snapshotMeta(20), { data: 'again' })!.code, ErrorCode.ESTALE)
  assert.is(bench.save(snapshotMeta(19), { data: 'older' })!.code, ErrorCode.ESTALE)
  assert.equal(bench.newest(), { index: 20, files: { data: 'twenty' } })
})

test('no name leaves the directory of a snapshot', () => {
  const bench = started()
  const writer = bench.create()
  const bad = ['', '.', '..', '../x', '/x', 'a/../../x', 'a//b', './data', 'a/.', 'x\0', SNAPSHOT_LIST, `${'n'.repeat(256)}`]
  for (const name of bad) {
    assert.is(writer.addFile(name).code, ErrorCode.EINVAL, JSON.stringify(name))
    const bytes = SNAPSHOT_LIST_CODEC.encode({ meta: snapshotMeta(1), files: new Map([[name, {}]]) }).finish()
    assert.is(bench.storage.decodeList(Buffer.from(bytes)), null, JSON.stringify(name))
  }
  for (const name of ['a', '..a', 'a/b..c', '.hidden', 'temp']) assert.is(problemOfName(name), null)
  assert.ok(writer.addFile('a').ok)
  assert.is(writer.addFile('a').code, ErrorCode.EEXIST)
  assert.is(bench.storage.decodeList(Buffer.from([0xff, 1])), null)
})

test('a copy that was interrupted goes on with the files that were complete, for the same snapshot only', () => {
  const bench = started()
  const writer = bench.create(snapshotMeta(30))
  bench.write(writer, 'a', 'complete')
  writer.addFile('a', { checksum: 'crc32c:00000001' })
  const checkpointed = bench.call<void>((done) =>
    bench.disk.open(`${writer.path}/a`, { write: true }, (_, file) =>
      file!.datasync(() => file!.close(() => bench.storage.checkpoint(writer, snapshotMeta(30), done))),
    ),
  )
  assert.ok(checkpointed.status.ok)
  bench.disk.crash(0)
  assert.is(bench.start()!.value, null)
  assert.equal(bench.names, ['copy'])
  assert.equal(bench.create(snapshotMeta(30)).files(), ['a'])
  assert.equal(bench.disk.namesIn(`${SNAPSHOTS}/copy`), [SNAPSHOT_LIST, 'a'])
  assert.equal(bench.create(snapshotMeta(31)).files(), [])
  assert.equal(bench.disk.namesIn(`${SNAPSHOTS}/copy`), [])
})

test('a save leaves the copy of a newer snapshot as it is, and takes one away that is of no more use', () => {
  const bench = started()
  const copy = bench.create(snapshotMeta(30))
  bench.call<void>((done) => bench.storage.checkpoint(copy, snapshotMeta(30), done))
  bench.save(snapshotMeta(20), { data: 'twenty' })
  assert.equal(bench.names, ['copy', nameOf(20)])
  bench.save(snapshotMeta(30), { data: 'thirty' })
  assert.equal(bench.names, [nameOf(30)])
})

test('what a crash left of a save or a copy goes where it is of no more use', () => {
  const bench = started()
  bench.write(bench.create(), 'half', 'x')
  assert.is(bench.start()!.value, null)
  assert.equal(bench.names, [], 'no list: nothing to go on with')
  const writer = bench.create(snapshotMeta(5))
  bench.call<void>((done) => bench.storage.checkpoint(writer, snapshotMeta(5), done))
  bench.disk.put(`${SNAPSHOTS}/${nameOf(9)}/${SNAPSHOT_LIST}`, bench.disk.bytesOf(`${SNAPSHOTS}/copy/${SNAPSHOT_LIST}`))
  assert.is(bench.start()!.status.code, ErrorCode.ECORRUPT, 'a list that speaks of another index')
})

test('what is in temp and not listed does not become part of a snapshot', () => {
  const bench = started()
  const writer = bench.create()
  for (const name of ['data', 'stray', 'sub/kept', 'sub/stray', 'gone/x']) bench.write(writer, name, name)
  writer.addFile('data')
  writer.addFile('sub/kept')
  bench.call<void>((done) => bench.storage.commit(writer, snapshotMeta(3), done))
  const path = `${SNAPSHOTS}/${nameOf(3)}`
  assert.equal([bench.disk.namesIn(path), bench.disk.namesIn(`${path}/sub`)], [[SNAPSHOT_LIST, 'data', 'sub'], ['kept']])
})

test('a file that is listed and was not written is no snapshot', () => {
  const bench = started()
  const writer = bench.create()
  writer.addFile('data')
  assert.is(bench.call<void>((done) => bench.storage.commit(writer, snapshotMeta(3), done)).status.code, ErrorCode.EINVAL)
  assert.ok(bench.call<void>((done) => bench.storage.discard(writer, done)).status.ok)
  assert.equal(bench.names, [])
})

test('a damaged snapshot says which file is damaged, and nothing is removed', () => {
  const damage: [string, (bench: SnapshotBench) => void, RegExp][] = [
    ['flipped', (bench) => bench.disk.flip(`${SNAPSHOTS}/${nameOf(20)}/data`, 1), /data is damaged: its checksum/],
    ['short', (bench) => bench.disk.put(`${SNAPSHOTS}/${nameOf(20)}/data`, Buffer.from('t')), /data is damaged: it has 1 bytes, 6/],
    ['missing', (bench) => bench.disk.drop(`${SNAPSHOTS}/${nameOf(20)}/data`), /data is damaged: it is missing/],
  ]
  for (const [what, harm, expected] of damage) {
    const bench = started()
    bench.save(snapshotMeta(20), { data: 'twenty' })
    harm(bench)
    bench.start()
    const reader = bench.openNewest().value as SnapshotReader
    const { status } = bench.call<void>((done) => bench.storage.verify(reader, done))
    assert.is(status.code, ErrorCode.ECORRUPT, what)
    assert.match(status.message, expected)
  }
  const bench = started()
  bench.save(snapshotMeta(10), { data: 'ten' })
  bench.disk.put(`${SNAPSHOTS}/${nameOf(20)}/data`, Buffer.from('no list'))
  const { status } = bench.start()!
  assert.is(status.code, ErrorCode.ECORRUPT)
  assert.match(status.message, `${nameOf(20)}/${SNAPSHOT_LIST} is missing`)
  assert.equal(bench.names, [nameOf(10), nameOf(20)])
})

test('H11 a list of files in which any bit was turned over is refused, with its term and members', () => {
  const list = `${SNAPSHOTS}/${nameOf(9)}/${SNAPSHOT_LIST}`
  const whole = () => {
    const bench = started()
    for (const index of [5, 9]) assert.is(bench.save(snapshotMeta(index), { data: `state ${index}` })!.toString(), 'OK')
    return bench
  }
  const { length } = whole().disk.bytesOf(list)
  for (let at = 0; at < length; at++) {
    for (const mask of [0x01, 0x10]) {
      const bench = whole()
      bench.disk.flip(list, at, mask)
      assert.is(bench.start()!.status.code, ErrorCode.ECORRUPT, `byte ${at} of ${length}`)
      assert.equal(bench.names, [nameOf(9)], 'nothing was removed')
    }
  }
})

test("a list that nobody vouches for is believed: it is braft's, or the record of it was damaged", () => {
  for (const spoil of ['missing', 'newest', 'both'] as const) {
    const bench = started()
    for (const index of [5, 9]) bench.save(snapshotMeta(index), { data: `state ${index}` })
    if (spoil === 'missing') bench.disk.drop(SEAL)
    else for (const at of spoil === 'both' ? [30, 4096 + 30] : [4096 + 30]) bench.disk.flip(SEAL, at)
    assert.is(bench.start()!.status.toString(), 'OK', spoil)
    assert.is(bench.newest()!.index, 9)
  }
})

test('without a snapshot there is none to open', () => {
  const bench = started()
  assert.is(bench.openNewest().status.code, ErrorCode.ENODATA)
  assert.is(bench.start()!.value, null)
  assert.is(Status.OK.ok, true)
})

/** A snapshot as braft leaves it: nothing in it is durable yet. */
function leftByBraft(bench: SnapshotBench, index: number): void {
  const path = { path: `${SNAPSHOTS}/${nameOf(index)}` } as SnapshotWriter
  const list = SNAPSHOT_LIST_CODEC.encode({ meta: snapshotMeta(index), files: new Map([['data', {}]]) }).finish()
  bench.write(path, 'data', `state of ${index}`)
  bench.write(path, SNAPSHOT_LIST, frame(list).toString('latin1'))
}

test('a snapshot that is taken over from braft is durable before it counts', () => {
  const bench = new SnapshotBench()
  leftByBraft(bench, 10)
  assert.is(bench.start({ adopt: true })!.value!.lastIncluded.index, 10)
  bench.disk.crash(0)
  assert.is(bench.start()!.value!.lastIncluded.index, 10)
  assert.equal(bench.newest(), { index: 10, files: { data: 'state of 10' } })
})

test('a snapshot that is taken over from braft is vouched for from then on', () => {
  const bench = started()
  assert.ok(bench.save(snapshotMeta(10), { data: 'ours of ten' })!.ok)
  leftByBraft(bench, 10)
  assert.is(bench.start()!.status.code, ErrorCode.ECORRUPT, 'another list than was written')
  assert.is(bench.start({ adopt: true })!.status.toString(), 'OK')
  assert.is(bench.start()!.status.toString(), 'OK')
  const list = `${SNAPSHOTS}/${nameOf(10)}/${SNAPSHOT_LIST}`
  const other = { meta: snapshotMeta(10, 3), files: new Map([['data', {}]]) }
  bench.disk.put(list, frame(SNAPSHOT_LIST_CODEC.encode(other).finish()))
  assert.is(bench.start()!.status.code, ErrorCode.ECORRUPT)
})

test('a snapshot of braft that misses a file is not taken over', () => {
  const bench = new SnapshotBench()
  leftByBraft(bench, 10)
  bench.disk.drop(`${SNAPSHOTS}/${nameOf(10)}/data`)
  const refused = bench.start({ adopt: true })!.status
  assert.is(refused.code, ErrorCode.ECORRUPT)
  assert.match(refused.message, /snapshot_0*10\/data is damaged: it is missing/)
})

test('a snapshot of a joint configuration keeps both halves, also where a reader of braft looks for them', () => {
  const bench = started()
  const { lastIncluded } = snapshotMeta(10)
  const joint = new ConfigurationEntry(lastIncluded, members(8100, 8101), members(8100, 8102, 8103))
  assert.ok(bench.save({ lastIncluded, configuration: joint }, { data: 'state of ten' })!.ok)
  const { configuration } = bench.start()!.value!
  assert.equal([configuration.conf.toString(), configuration.old.toString()], [joint.conf.toString(), joint.old.toString()])
  const { meta } = braft.LocalSnapshotPbMeta.decode(bench.openNewest().value!.list())
  assert.equal(meta!.old_peers, ['127.0.0.1:8100:0:0', '127.0.0.1:8102:0:0', '127.0.0.1:8103:0:0'])
})

test('saves and readers at the same time: whoever opens finds the newest, whole, and keeps it until it closes', () => {
  let opened = 0
  let outlived = 0
  for (let seed = 1; seed <= 20; seed++) {
    const random = new SimRandom(seed)
    const bench = started()
    const textOf = (index: number) => `the state at ${index}`
    bench.save(snapshotMeta(1), { data: textOf(1), 'parts/1': textOf(1) })
    const held: SnapshotReader[] = []
    let [next, committed, isSaving] = [2, 1, false]

    const save = () => {
      const index = next++
      isSaving = true
      bench.storage.create(null, (created, writer) => {
        assert.ok(created.ok)
        for (const name of ['data', 'parts/1']) {
          bench.disk.disk.mkdir(`${writer!.path}/parts`)
          bench.disk.put(`${writer!.path}/${name}`, Buffer.from(textOf(index)))
          writer!.addFile(name)
        }
        bench.storage.commit(writer!, snapshotMeta(index), (status) => {
          assert.is(status.toString(), 'OK')
          committed = index
          isSaving = false
        })
      })
    }
    const open = () => {
      const since = committed
      bench.storage.open((status, reader) => {
        assert.ok(status.ok)
        assert.ok(reader!.meta.lastIncluded.index >= since, 'an older one than was committed')
        held.push(reader!)
        opened++
      })
    }
    const readAndClose = () => {
      const [reader] = held.splice(random.below(held.length), 1) as [SnapshotReader]
      const { index } = reader.meta.lastIncluded
      assert.equal(reader.files(), ['data', 'parts/1'])
      for (const name of reader.files()) assert.is(bench.disk.bytesOf(`${reader.path}/${name}`).toString(), textOf(index))
      if (index < committed) outlived++
      reader.close()
    }

    for (let step = 0; step < 600; step++) {
      const deed = random.below(12)
      if (deed === 0 && !isSaving) save()
      else if (deed === 1 && held.length < 4) open()
      else if (deed === 2 && held.length > 0) readAndClose()
      else bench.executor.runOne()
    }
    bench.executor.run()
    while (held.length > 0) readAndClose()
    bench.executor.run()
    assert.ok(committed > 5, `${committed} saves`)
    assert.equal(bench.names, [nameOf(committed)], 'what is old and read by nobody is gone')
  }
  assert.ok(opened > 200 && outlived > 50, `${opened} opened, ${outlived} outlived`)
})

test.run()
