import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type etcdserverpb, raftctl } from '../../../src/generated/kv.js'
import type { KvFailure } from '../../../src/machines/kv/failure.js'
import { encodeMark } from '../../../src/machines/kv/mark.js'
import { KvService } from '../../../src/machines/kv/service.js'
import { SLICE_BYTES, SLICE_STEPS } from '../../../src/machines/kv/slices.js'
import { KvStateMachine } from '../../../src/machines/kv/state-machine.js'
import type { StateHash } from '../../../src/machines/machine.js'
import { Configuration, ConfigurationEntry } from '../../../src/raft/configuration.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { UNSYNCED_BYTES_MAX } from '../../../src/raft/paced-sync.js'
import type { SnapshotFileMeta, SnapshotReader, SnapshotWriter } from '../../../src/raft/storage.js'
import { asTerm, type LogIndex, logIndex } from '../../../src/raft/types.js'
import { crc32c } from '../../../src/storage/checksum.js'
import { CrashDisk } from '../../support/crash-disk.js'
import { ManualExecutor } from '../../support/fake-environment.js'
import { b, encode, entry } from './commands.js'
import { applyNext, FakeClock, FakeLeaderCalls, FakeNode } from './fakes.js'
import { snapshotOf } from './snapshot-files.js'

/** A machine with a disk, and one directory of a snapshot on it. */
class Place {
  readonly executor = new ManualExecutor()
  readonly disk = new CrashDisk(this.executor)
  readonly machine = new KvStateMachine({ executor: this.executor })
  readonly listed = new Map<string, SnapshotFileMeta | undefined>()
  readonly file = '/snapshot/data'

  constructor() {
    this.disk.disk.mkdir('/snapshot')
  }

  get writer(): SnapshotWriter {
    const { listed } = this
    return {
      fileSystem: this.disk,
      path: '/snapshot',
      addFile: (name, meta) => {
        listed.set(name, meta)
        return Status.OK
      },
      removeFile: (name) => void listed.delete(name),
      files: () => [...listed.keys()],
      fileMeta: (name) => listed.get(name) ?? null,
    }
  }

  reader(index = 100): SnapshotReader {
    const lastIncluded = { index: logIndex(index), term: asTerm(7) }
    const configuration = new ConfigurationEntry(lastIncluded, Configuration.EMPTY)
    const { fileSystem, path, files, fileMeta } = this.writer
    return { fileSystem, path, files, fileMeta, meta: { lastIncluded, configuration }, list: () => Buffer.alloc(0), close: () => {} }
  }

  put(key: string, value: string): void {
    applyNext(this.machine, encode({ put: { key: b(key), value: b(value) } }))
  }

  save(): Status {
    return this.finished((done) => this.machine.onSnapshotSave(this.writer, done))
  }

  load(): Status {
    return this.finished((done) => this.machine.onSnapshotLoad(this.reader(), done))
  }

  hashAt(index: number): { status: Status; hash: StateHash | undefined } {
    let answer: { status: Status; hash: StateHash | undefined } | null = null
    this.machine.hashAt(logIndex(index), (status, hash) => {
      assert.is(answer, null, 'answered twice')
      answer = { status, hash }
    })
    assert.is(answer, null, 'answered from inside the call')
    this.executor.run(1e6)
    return answer!
  }

  private finished(start: (done: (status: Status) => void) => void): Status {
    const results: Status[] = []
    start((status) => results.push(status))
    assert.is(results.length, 0, 'done from inside the call')
    this.executor.run(1e6)
    assert.is(results.length, 1)
    return results[0]!
  }
}

const mark = (place: Place): LogIndex => logIndex(Number(applyNext(place.machine, encodeMark(1)).mark?.index))

test('a state that was saved and loaded elsewhere is the same state, and goes on as the same state', () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 60 }), fc.array(entry, { maxLength: 30 }), (log, more) => {
      const place = new Place()
      for (const data of log) applyNext(place.machine, data)
      const hash = place.machine.stateHash()
      assert.is(place.save().toString(), 'OK')
      const original = new KvStateMachine({ executor: place.executor })
      for (const data of log) applyNext(original, data)

      applyNext(place.machine, encode({ put: { key: b('later'), value: b('not in the snapshot') } }))
      assert.is(place.load().toString(), 'OK')
      assert.is(place.machine.stateHash(), hash)
      for (const data of more) assert.equal(answer(place.machine, data), answer(original, data))
      assert.is(place.machine.stateHash(), original.stateHash())
    }),
    { numRuns: 100 },
  )
})

function answer(machine: KvStateMachine, data: Uint8Array): string {
  return Buffer.from(raftctl.kv.Answer.encode(applyNext(machine, data)).finish()).toString('hex')
}

test('compaction frees the history of a state that was loaded', () => {
  const place = new Place()
  for (let i = 0; i < 3000; i++) place.put(`k${i % 10}`, String(i))
  applyNext(place.machine, encode({ delete_range: { key: b('k0') } }))
  place.put('z', 'x')
  place.put('a', 'first in order of keys, newest in order of revisions')
  place.save()
  place.load()
  applyNext(place.machine, encode({ compact: { revision: place.machine.store.revision } }))
  for (let i = 0; i < 30; i++) place.put('z', 'x')
  const { store } = place.machine
  assert.is(store.get('k9')?.previous, null)
  assert.is((store as unknown as { keys: { size: number } }).keys.size, 11, 'a, z and nine keys; the deleted one is gone')
})

test('a save lists its file with the checksum of all its bytes', () => {
  const place = new Place()
  place.put('a', '1')
  place.save()
  const bytes = place.disk.bytesOf(place.file)
  assert.equal([...place.listed], [['data', { checksum: `crc32c:${crc32c(bytes).toString(16).padStart(8, '0')}` }]])
  assert.equal(bytes, snapshotOf(place.machine).bytes)
})

test('a large file is synced on the way: never does the disk have to take in more at its end', () => {
  const place = new Place()
  const valueBytes = 512 * 1024
  for (let i = 0; i < 19; i++) place.put(`k${i}`, 'v'.repeat(valueBytes))
  place.save()
  const changes = place.disk.operations.filter((operation) => /^(write|datasync) /.test(operation)).map(([letter]) => letter)
  const writes = changes
    .join('')
    .split('d')
    .map((between) => between.length)
  // Besides the values a header, the records before them and a footer.
  assert.is(writes.length, 2)
  assert.ok(Math.max(...writes) <= UNSYNCED_BYTES_MAX / valueBytes + 2, `${writes}`)
})

test('after a load the machine stands at the snapshot: index, term, and what its readers see', () => {
  const place = new Place()
  place.put('a', '1')
  place.save()
  place.put('a', '2')
  place.load()
  assert.is(place.machine.appliedIndex, 100)
  assert.is(place.machine.term, 7)
  assert.is(place.machine.store.get('a')?.value.toString(), '1')
})

test('whatever byte of the file is flipped, loading answers ECORRUPT and leaves the state as it was', () => {
  const place = new Place()
  for (let i = 0; i < 4; i++) applyNext(place.machine, encode({ client_id: 'c', sequence: i + 1, put: { key: b(`k${i}`), value: b('v') } }))
  place.save()
  place.put('kept', 'yes')
  const hash = place.machine.stateHash()
  const bytes = place.disk.bytesOf(place.file)
  for (let at = 0; at < bytes.length; at++) {
    const damaged = Buffer.from(bytes)
    damaged[at]! ^= 1 << (at % 8)
    place.disk.put(place.file, damaged)
    const status = place.load()
    assert.is(status.code, ErrorCode.ECORRUPT, `byte ${at}: ${status}`)
    assert.match(status.message, /^\/snapshot\/data: .*, at byte \d+$/)
  }
  assert.is(place.machine.stateHash(), hash)
  place.disk.put(place.file, bytes)
  assert.ok(place.load().ok)
})

test('a file that is whole but not the one that the snapshot lists is refused', () => {
  const place = new Place()
  place.put('a', '1')
  place.save()
  const other = new Place()
  other.put('a', '2')
  place.disk.put(place.file, snapshotOf(other.machine).bytes)
  const status = place.load()
  assert.is(status.code, ErrorCode.ECORRUPT)
  assert.match(status.message, 'but the snapshot lists crc32c:')
  assert.is(place.machine.store.get('a')?.value.toString(), '1')
})

test('a disk that fails ends a save or a load with its error, and nothing is listed', () => {
  for (const [pattern, code] of [
    [/^create/, ErrorCode.EACCES],
    [/^write/, ErrorCode.ENOSPC],
  ] as const) {
    const place = new Place()
    place.put('a', '1')
    place.disk.refuse(pattern, code)
    assert.is(place.save().code, code)
    assert.is(place.listed.size, 0)
    assert.ok(place.save().ok, 'the next one succeeds')
  }
  assert.is(new Place().load().code, ErrorCode.ENOENT)
})

test('200,000 keys are saved while everything else is served: slice by slice, and as of the moment it began', () => {
  const place = new Place()
  const { machine, executor } = place
  for (let i = 0; i < 200_000; i++) place.put(`key/${i}`, `value ${i}`)
  const expected = snapshotOf(machine).summary
  let saved: Status | null = null
  machine.onSnapshotSave(place.writer, (status) => (saved = status))
  let slices = 0
  let served = 0
  let wanted = 0
  while (saved === null) {
    if (executor.labels[0] === 'kv-slice') slices++
    wanted++
    executor.post(() => served++, 'a heartbeat')
    applyNext(machine, encode({ put: { key: b(`key/${wanted % 200_000}`), value: b('newer') } }))
    executor.runOne()
    executor.runOne()
  }
  assert.is((saved as Status).toString(), 'OK')
  assert.ok(slices >= expected.streamBytes / SLICE_BYTES, `${slices} slices`)
  assert.ok(slices >= expected.records / SLICE_STEPS, `${slices} slices`)
  assert.ok(wanted - served < 5, `${wanted - served} events wait`)
  const written = place.disk.bytesOf(place.file)
  assert.is(crc32c(written), expected.crc32c)

  let loaded: Status | null = null
  machine.onSnapshotLoad(place.reader(), (status) => (loaded = status))
  let loadSlices = 0
  while (loaded === null) {
    if (executor.labels[0] === 'kv-slice') loadSlices++
    assert.is(machine.store.get('key/1')?.value.toString(), 'newer', 'readers see the old state until the new one is whole')
    executor.runOne()
  }
  assert.ok(loadSlices >= expected.streamBytes / SLICE_BYTES, `${loadSlices} slices`)
  assert.is(machine.store.get('key/1')?.value.toString(), 'value 1')
  assert.is(machine.stateHash(), expected.sha256)
})

test('D10 a read that waits while a snapshot is installed is answered from the whole new state, a stale one from the whole old', () => {
  const leader = new Place()
  for (let i = 0; i < 3000; i++) leader.put(`key/${i}`, 'new')
  leader.save()
  const place = new Place()
  for (let i = 0; i < 3000; i++) place.put(`key/${i}`, 'old')
  place.disk.put(place.file, leader.disk.bytesOf(leader.file))
  const node = new FakeNode(place.machine)
  node.reads = 'holds'
  const service = new KvService({
    node,
    machine: place.machine,
    clock: new FakeClock(),
    wallClockMs: () => 1,
    leaderCalls: new FakeLeaderCalls(),
    clusterId: () => 'abc',
  })
  const reads: string[] = []
  const range = { key: b('key/'), range_end: b('key0') }
  const context = { session: null, timeoutMs: 1000, forwarded: false }
  const note = (name: string) => (failure: KvFailure | null, response: etcdserverpb.RangeResponse.$Properties | null) =>
    reads.push(`${name} ${failure?.code ?? [...new Set(response?.kvs?.map(({ value }) => String(value)))]}`)
  const txn = { success: [{ request_range: range }] }
  service.range(range, context, note('range'))
  service.txn(txn, context, (failure, response) => note('txn')(failure, response?.responses?.[0]?.response_range ?? null))

  let loaded: Status | null = null
  place.machine.onSnapshotLoad(place.reader(), (status) => (loaded = status))
  let stale = 0
  while (loaded === null) {
    if (stale++ % 50 === 0) service.range({ ...range, serializable: true }, context, note('stale'))
    place.executor.runOne()
  }
  assert.equal([...new Set(reads)], ['stale old'])
  for (const confirm of node.heldReads) confirm(Status.OK)
  assert.equal(reads.slice(-2), ['range new', 'txn new'])
})

test('a node that stops ends a save, a load and every wait for a hash', () => {
  const place = new Place()
  for (let i = 0; i < 5000; i++) place.put(`key/${i}`, 'v')
  place.save()
  const index = mark(place)
  const ended: string[] = []
  place.machine.onSnapshotSave(place.writer, (status) => ended.push(`save ${status.code}`))
  place.machine.onSnapshotLoad(place.reader(), (status) => ended.push(`load ${status.code}`))
  place.machine.hashAt(index, (status) => ended.push(`hash ${status.code}`))
  place.machine.onShutdown()
  place.executor.run()
  assert.equal(ended.sort(), [`hash ${ErrorCode.ESHUTDOWN}`, `load ${ErrorCode.ESHUTDOWN}`, `save ${ErrorCode.ESHUTDOWN}`])
  assert.is(place.machine.store.get('key/1')?.value.toString(), 'v')
})

test('a mark answers its index, changes nothing, and is hashed as of its place in the log', () => {
  const place = new Place()
  place.put('a', '1')
  const before = place.machine.stateHash()
  const index = mark(place)
  assert.is(index, 2)
  assert.is(place.machine.stateHash(), before)
  place.put('a', '2')
  place.put('b', '2')
  assert.equal(place.hashAt(index), { status: Status.OK, hash: { index, sha256: before, keys: 1 } })
  assert.is(place.hashAt(index).hash?.sha256, before, 'asked again')
})

test('a mark with a time and a client in it is a mark still', () => {
  const place = new Place()
  place.put('a', '1')
  const before = place.machine.stateHash()
  applyNext(place.machine, encode({ client_id: 'c', sequence: 1, leader_time_ms: 99, mark: {} }))
  assert.is(place.machine.stateHash(), before)
})

test('who asks for a hash while it is computed waits for it', () => {
  const place = new Place()
  for (let i = 0; i < 5000; i++) place.put(`key/${i}`, 'v')
  const first = mark(place)
  place.put('a', '1')
  const second = mark(place)
  const hashes: string[] = []
  for (const index of [second, first, first]) place.machine.hashAt(index, (_status, hash) => hashes.push(`${hash?.index} ${hash?.keys}`))
  place.executor.runOne()
  assert.equal(hashes, [])
  place.executor.run()
  assert.equal(hashes, [`${first} 5000`, `${first} 5000`, `${second} 5001`])
})

test('the last eight marks are remembered; others are unknown', () => {
  const place = new Place()
  const marks: LogIndex[] = []
  const waiting: string[] = []
  for (let i = 0; i < 9; i++) {
    place.put('a', String(i))
    const index = mark(place)
    marks.push(index)
    if (i === 0) place.machine.hashAt(index, (status) => waiting.push(`${status.code}`))
  }
  assert.is(place.hashAt(marks[0]!).status.code, ErrorCode.ENOENT)
  assert.equal(waiting, [`${ErrorCode.ENOENT}`], 'the one who waited was told')
  for (const index of marks.slice(1)) assert.ok(place.hashAt(index).status.ok)
  assert.is(place.hashAt(1).status.code, ErrorCode.ENOENT)
  const { frozen } = place.machine.store as unknown as { frozen: Set<unknown> }
  assert.is(frozen.size, 0, 'every state was let go')
})

test.run()
