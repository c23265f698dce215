import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, errorName, Status } from '../../../src/raft/errors.js'
import type { GetFileRequest } from '../../../src/raft/messages.js'
import type { NodeImpl } from '../../../src/raft/node-impl.js'
import { UNSYNCED_BYTES_MAX } from '../../../src/raft/paced-sync.js'
import { formatChecksum } from '../../../src/raft/snapshot-checksum.js'
import { SnapshotFetcher } from '../../../src/raft/snapshot-fetcher.js'
import { PIECE_BYTES, SnapshotFileCopy } from '../../../src/raft/snapshot-file-copy.js'
import { SnapshotThrottle } from '../../../src/raft/snapshot-throttle.js'
import type { SnapshotFileMeta } from '../../../src/raft/storage.js'
import { crc32c } from '../../../src/storage/checksum.js'
import { CrashDisk } from '../../support/crash-disk.js'
import { peer } from '../../support/entries.js'
import { FakeEnvironment } from '../../support/fake-environment.js'
import { ScriptedTransport } from '../../support/scripted-transport.js'

const ROOT = '/snapshot/temp'
const PATH = `${ROOT}/sub/data`

/** Bytes that differ from place to place. */
const content = (length: number) => Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 0xff))

class Bench {
  readonly transport = new ScriptedTransport()
  readonly environment = new FakeEnvironment({ transport: this.transport })
  readonly disk = new CrashDisk(this.environment.executor)
  readonly copy: SnapshotFileCopy
  readonly fetcher: SnapshotFetcher
  outcome: string | null = null
  readonly space = { isShort: false }
  meta: SnapshotFileMeta | null = null

  constructor(
    readonly source: Buffer,
    expected: SnapshotFileMeta = { checksum: formatChecksum(crc32c(source)), size: source.length },
    present: Buffer | null = null,
    prepare: (disk: CrashDisk) => void = () => {},
    bytesPerSecond = 0,
  ) {
    this.transport.clock = this.environment.clock
    if (present) this.disk.put(PATH, present)
    prepare(this.disk)
    const receiving = new SnapshotThrottle(this.environment.clock, bytesPerSecond)
    const node = {
      env: this.environment,
      electionTimeoutMs: 1000,
      groupId: 'g',
      serverId: peer(1),
      snapshots: { receiving },
      space: this.space,
    }
    const fetcher = new SnapshotFetcher(node as unknown as NodeImpl, peer(2), '7')
    this.fetcher = fetcher
    const options = { node: node as unknown as NodeImpl, fetcher, fileSystem: this.disk, root: ROOT, name: 'sub/data', expected }
    this.copy = new SnapshotFileCopy(options, (failure, meta) => {
      assert.is(this.outcome, null, 'ended twice')
      this.outcome = failure ? `${errorName(failure.status.code)}${failure.isLocal ? ' local' : ''}` : 'OK'
      this.meta = meta ?? null
    })
    this.copy.start()
    this.run()
  }

  run(): void {
    this.environment.executor.run()
  }

  get asked(): number[] {
    return this.transport.open('getFile').map((call) => call.request.offset)
  }

  /** Answers the request for `offset`: what is there, unless the test says otherwise. */
  give(offset: number, how: { bytes?: Buffer; crc32c?: number; eof?: boolean } = {}): void {
    const call = this.transport.open('getFile').find((open) => open.request.offset === offset)!
    const { count } = call.request as GetFileRequest
    const data = how.bytes ?? this.source.subarray(offset, offset + count)
    const eof = how.eof ?? offset + data.length >= this.source.length
    call.finish(Status.OK, { data, eof, crc32c: how.crc32c ?? crc32c(data) })
    this.run()
  }

  giveAll(): void {
    for (let count = 0; this.outcome === null && this.asked.length > 0; count++) {
      assert.ok(count < 1000, 'never ends')
      this.give(this.asked[0]!)
    }
  }

  get copied(): Buffer {
    return this.disk.bytesOf(PATH)
  }
}

test('a large file is synced on the way: never does the disk have to take in more at its end', () => {
  const bench = new Bench(content(UNSYNCED_BYTES_MAX + 3 * PIECE_BYTES))
  bench.giveAll()
  assert.is(bench.outcome, 'OK')
  const parts = bench.disk.operations.filter((operation) => /^(write|datasync) /.test(operation)).map(([letter]) => letter)
  const most = UNSYNCED_BYTES_MAX / PIECE_BYTES
  assert.equal(
    parts
      .join('')
      .split('d')
      .map((writes) => writes.length),
    [most, 3, 0],
  )
})

test('pieces are asked for a few ahead and may arrive in any order', () => {
  const bench = new Bench(content(6 * PIECE_BYTES + 5))
  assert.equal(
    bench.asked.map((offset) => offset / PIECE_BYTES),
    [0, 1, 2, 3],
  )
  bench.give(2 * PIECE_BYTES)
  assert.equal([bench.copy.position, bench.asked.length], [0, 3])
  bench.give(0)
  bench.give(PIECE_BYTES)
  assert.is(bench.copy.position, 3 * PIECE_BYTES)
  bench.giveAll()
  assert.is(bench.outcome, 'OK')
  assert.equal(bench.copied, bench.source)
  bench.disk.crash(0)
})

test('files of every size end where they end, also when nobody said how long they are', () => {
  for (const length of [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 4 * PIECE_BYTES, 5 * PIECE_BYTES]) {
    for (const expected of [undefined, {}]) {
      const bench = new Bench(content(length), expected)
      bench.giveAll()
      assert.is(bench.outcome, 'OK', `${length}`)
      assert.equal(bench.copied, bench.source)
      assert.equal(bench.meta, { checksum: formatChecksum(crc32c(bench.source)), size: length })
    }
  }
})

test('G06 a piece that arrives damaged is asked for again', () => {
  const bench = new Bench(content(2 * PIECE_BYTES))
  bench.give(0, { crc32c: 1 })
  assert.is(bench.copy.position, 0)
  bench.environment.clock.advance(1000)
  bench.giveAll()
  assert.equal([bench.outcome, bench.copied], ['OK', bench.source])
})

test('three failures in a row are made good by one piece that arrives; a fourth ends it', () => {
  const { fetcher, transport, environment } = new Bench(content(0))
  const outcomes: string[] = []
  const spoil = (times: number) => {
    for (let i = 0; i < times; i++) {
      transport.open('getFile')[0]!.finish(Status.error(ErrorCode.EHOSTDOWN, 'gone'))
      environment.clock.advance(1000)
    }
  }
  for (const call of transport.open('getFile')) call.finish(Status.error(ErrorCode.ENOENT, 'not this one'))
  for (let round = 0; round < 2; round++) {
    fetcher.fetch('f', 0, 5, (status) => outcomes.push(errorName(status.code)))
    spoil(3)
    const data = Buffer.from('piece')
    transport.open('getFile')[0]!.finish(Status.OK, { data, eof: true, crc32c: crc32c(data) })
  }
  assert.equal(outcomes, ['OK', 'OK'])
  fetcher.fetch('f', 0, 5, (status) => outcomes.push(errorName(status.code)))
  spoil(4)
  assert.equal(outcomes, ['OK', 'OK', 'EHOSTDOWN'])
})

test('a short piece is gone on from', () => {
  const bench = new Bench(content(2 * PIECE_BYTES))
  bench.give(0, { bytes: bench.source.subarray(0, 1000), eof: false })
  assert.ok(bench.asked.includes(1000))
  bench.give(1000)
  bench.giveAll()
  assert.equal([bench.outcome, bench.copied], ['OK', bench.source])
})

test('G06 a copy goes on behind what is there, and starts anew when that was spoilt, too long, or cannot be checked', () => {
  const source = content(3 * PIECE_BYTES)
  const half = source.subarray(0, PIECE_BYTES + 17)
  const good = new Bench(source, undefined, half)
  assert.is(good.asked[0], half.length)
  good.giveAll()
  assert.equal([good.outcome, good.copied], ['OK', source])

  const spoilt = new Bench(source, undefined, Buffer.alloc(half.length))
  assert.is(spoilt.asked[0], half.length)
  spoilt.giveAll()
  assert.equal([spoilt.outcome, spoilt.copied], ['OK', source])

  assert.is(new Bench(source, undefined, content(4 * PIECE_BYTES)).asked[0], 0)
  assert.is(new Bench(source, { size: source.length }, half).asked[0], 0)
  assert.is(new Bench(source, { checksum: 'md5:x' }, half).asked[0], 0)

  const whole = new Bench(source, undefined, source)
  whole.giveAll()
  assert.equal([whole.outcome, whole.copied], ['OK', source])
})

test('a file that another snapshot shares is not written into: the copy has one of its own', () => {
  const source = content(PIECE_BYTES + 17)
  for (const expected of [undefined, { size: source.length }]) {
    const shared = content(100).fill(7)
    const bench = new Bench(source, expected, shared, ({ disk }) => disk.link(PATH, '/snapshot/last'))
    assert.is(bench.asked[0], 0)
    bench.giveAll()
    assert.equal([bench.outcome, bench.copied], ['OK', source])
    assert.equal(bench.disk.bytesOf('/snapshot/last'), shared)
  }
})

test('a source whose file is not what its list says is refused', () => {
  const source = content(100)
  const other = new Bench(source, { checksum: formatChecksum(1), size: 100 })
  other.giveAll()
  assert.is(other.outcome, 'ECORRUPT')
  const longer = new Bench(source, { size: 99 })
  longer.giveAll()
  assert.is(longer.outcome, 'ECORRUPT')
})

test('the own disk that fails is told apart from the source', () => {
  const bench = new Bench(content(10))
  bench.disk.refuse(/^write/, ErrorCode.EIO)
  bench.giveAll()
  assert.is(bench.outcome, 'EIO local')
  const late = new Bench(content(10))
  late.disk.refuse(/^datasync/, ErrorCode.EIO)
  late.giveAll()
  assert.is(late.outcome, 'EIO local')
})

test('a cancelled copy ends once, also while the disk is at work, and answers that come late change nothing', () => {
  const bench = new Bench(content(2 * PIECE_BYTES))
  bench.copy.cancel()
  bench.copy.cancel()
  bench.run()
  assert.is(bench.outcome, 'ECANCELED')
  bench.giveAll()
  const busy = new Bench(content(2 * PIECE_BYTES))
  const call = busy.transport.open('getFile')[0]!
  const data = busy.source.subarray(0, PIECE_BYTES)
  call.finish(Status.OK, { data, eof: false, crc32c: crc32c(data) })
  busy.copy.cancel()
  assert.is(busy.outcome, null, 'the write is under way')
  busy.run()
  assert.is(busy.outcome, 'ECANCELED')
})

test('a copy that is cancelled ends once, wherever it is', () => {
  for (let steps = 0, isOver = false; !isOver; steps++) {
    const bench = new Bench(content(100))
    bench.transport.open('getFile')[0]!.finish(Status.OK, { data: bench.source, eof: true, crc32c: crc32c(bench.source) })
    for (let step = 0; step < steps; step++) bench.environment.executor.runOne()
    isOver = bench.outcome !== null
    if (!isOver) bench.copy.cancel()
    bench.run()
    assert.is(bench.outcome, isOver ? 'OK' : 'ECANCELED', `cancelled after ${steps} events`)
    assert.ok(steps < 50)
  }
})

test('a disk that runs short ends the copy; what is there stays', () => {
  const bench = new Bench(content(3 * PIECE_BYTES))
  bench.give(0)
  bench.space.isShort = true
  bench.giveAll()
  assert.equal([bench.outcome, bench.copied.length], ['ENOSPC local', PIECE_BYTES])
})

test('a copy takes as long as the rate of the receiving end makes it, whatever the source could give', () => {
  const source = Buffer.alloc(21 * PIECE_BYTES, content(1009))
  const copied = (bytesPerSecond: number): { ms: number; mostAtOnce: number } => {
    const bench = new Bench(source, undefined, null, undefined, bytesPerSecond)
    let mostAtOnce = 0
    for (let ms = 0; ; ms += 10) {
      let answered = 0
      for (; bench.asked.length > 0; answered++) bench.give(bench.asked[0]!)
      mostAtOnce = Math.max(mostAtOnce, answered)
      if (bench.outcome !== null) {
        assert.equal([bench.outcome, bench.copied.equals(source)], ['OK', true])
        return { ms, mostAtOnce }
      }
      assert.ok(ms < 100_000, 'never ends')
      bench.environment.clock.advance(10)
    }
  }
  // A tenth of a second's worth and one piece may be taken at once; the other twenty pieces come at the rate.
  const slow = copied(4 * PIECE_BYTES)
  assert.ok(slow.ms >= 4800 && slow.ms <= 5100, `${slow.ms} ms`)
  assert.is(slow.mostAtOnce, 1)
  const faster = copied(8 * PIECE_BYTES)
  assert.ok(faster.ms >= 2350 && faster.ms <= 2600, `${faster.ms} ms`)
  assert.is(copied(0).ms, 0, 'without a rate nothing waits')
})

test.run()
