import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode } from '../../../src/raft/errors.js'
import { batch, configuration, data, members } from '../../support/entries.js'
import { LOG, LogBench, SIDECAR } from '../../support/log-bench.js'

const OPEN = `${LOG}/log_inprogress_00000000000000000001`
const sealed = (first: number, last: number) => `${LOG}/log_${String(first).padStart(20, '0')}_${String(last).padStart(20, '0')}`

/** A closed log of three entries in its open segment; the stored durable length covers none but the first when `lazily`. */
function threeEntries(options: { lazily?: boolean } = {}): LogBench {
  const bench = new LogBench()
  bench.open()
  bench.append(batch(1, 1, ['first']))
  bench.clock.advance(100)
  const stored = bench.disk.bytesOf(SIDECAR)
  bench.append(batch(2, 1, ['second']))
  bench.append(batch(3, 2, ['third']))
  bench.close()
  if (options.lazily) bench.disk.put(SIDECAR, stored)
  return bench
}

function segments(): LogBench {
  const bench = new LogBench(60)
  bench.open()
  for (let first = 1; first <= 8; first++) bench.append(batch(first, 1, [`e${first}`]))
  bench.close()
  return bench
}

const snapshotOf = (bench: LogBench) =>
  bench.disk.namesIn(LOG).map((name) => `${name}:${bench.disk.bytesOf(`${LOG}/${name}`).toString('hex')}`)

/** Opening must refuse with ECORRUPT, name what the pattern says and how to mend it, and change nothing. */
function refuses(bench: LogBench, pattern: RegExp): void {
  const before = snapshotOf(bench)
  const status = bench.open()
  assert.is(status.code, ErrorCode.ECORRUPT, status.toString())
  assert.match(status.message, pattern)
  assert.match(status.message, 'Restore /data from a copy')
  assert.equal(snapshotOf(bench), before)
}

test('a last entry that was written in part, at every byte, is cut, reported and written over', () => {
  const whole = threeEntries().disk.bytesOf(OPEN)
  const start = 29 + 30
  for (let bytes = start + 1; bytes < whole.length; bytes++) {
    const bench = threeEntries({ lazily: true })
    bench.disk.put(OPEN, whole.subarray(0, bytes))
    assert.is(bench.open().toString(), 'OK')
    assert.is(bench.recovery!.tornTail?.offset, start)
    assert.is(bench.recovery!.tornTail?.bytes, bytes - start)
    assert.is(bench.recovery!.tornTail?.file, OPEN)
    bench.disk.crash(0)
    assert.is(bench.disk.bytesOf(OPEN).length, start, 'the cut is durable')
    bench.open()
    assert.is(bench.recovery!.tornTail, null)
    assert.is(bench.append(batch(3, 3, ['other'])).ok, true)
    assert.equal(bench.contents(), ['1:1:first', '2:1:second', '3:3:other'])
  }
})

test('a last entry with any bit turned over is cut when it was not known to be durable, and refused when it was', () => {
  const start = 29 + 30
  for (let at = start; at < start + 29; at++) {
    const torn = threeEntries({ lazily: true })
    torn.disk.flip(OPEN, at)
    assert.is(torn.open().toString(), 'OK', `byte ${at}`)
    assert.is(torn.log.lastLogIndex, 2)

    const rotten = threeEntries()
    rotten.disk.flip(OPEN, at)
    refuses(rotten, new RegExp(`log_inprogress_0*1 is damaged at offset ${start} \\(index 3\\): .*entries up to 3 were durable`))
  }
})

test('a bad entry below the durable length is corruption although good entries follow', () => {
  const bench = threeEntries({ lazily: true })
  bench.disk.flip(OPEN, 26)
  refuses(bench, /offset 0 \(index 1\): data checksum: entries up to 1 were durable/)
})

test('H13 a log that ends before the durable length is corruption', () => {
  const bench = threeEntries()
  bench.disk.put(OPEN, bench.disk.bytesOf(OPEN).subarray(0, 59))
  refuses(bench, /ends at index 2, but entries up to 3 were durable/)
  const missing = threeEntries()
  missing.disk.drop(OPEN)
  refuses(missing, /ends at index 0, but entries up to 3 were durable/)
})

test('zeros behind the last entry are cut', () => {
  for (const zeros of [1, 20, 24, 4096]) {
    const bench = threeEntries()
    bench.disk.put(OPEN, Buffer.concat([bench.disk.bytesOf(OPEN), Buffer.alloc(zeros)]))
    assert.is(bench.open().toString(), 'OK')
    assert.is(bench.log.lastLogIndex, 3)
    assert.is(bench.recovery!.tornTail?.bytes, zeros)
  }
})

test('more bytes behind a bad entry than one write and what was filled ahead can leave are corruption', () => {
  const bench = threeEntries()
  const good = bench.disk.bytesOf(OPEN)
  const writeMax = 2.75 * 1024 * 1024
  bench.disk.put(OPEN, Buffer.concat([good, Buffer.alloc(writeMax)]))
  assert.is(bench.open().toString(), 'OK')
  bench.close()
  bench.disk.put(OPEN, Buffer.concat([good, Buffer.alloc(writeMax + 1)]))
  refuses(bench, /offset 88 \(index 4\): header checksum: 2883585 bytes follow, more than one write/)
})

test('an entry longer than usual that was written in part is still a torn tail', () => {
  const bench = threeEntries()
  const long = batch(4, 2, [data('l'.repeat(4 * 1024 * 1024))]).bytes
  bench.disk.put(OPEN, Buffer.concat([bench.disk.bytesOf(OPEN), long.subarray(0, long.length - 1)]))
  assert.is(bench.open().toString(), 'OK')
  assert.is(bench.recovery!.tornTail?.problem, 'short data')
})

test('H12 a length that was turned over reads no further than the file', () => {
  const bench = threeEntries()
  bench.disk.flip(OPEN, 12, 0x7f)
  refuses(bench, /offset 0 \(index 1\): header checksum/)
})

test('a good entry of a kind nobody knows, or of an older term, is never cut', () => {
  const unknown = threeEntries()
  unknown.disk.put(OPEN, Buffer.concat([unknown.disk.bytesOf(OPEN), batch(4, 2, [{ type: 9 as 2, data: Buffer.from('?') }]).bytes]))
  refuses(unknown, /index 4\): entry type: its checksums are right/)
  const older = threeEntries()
  older.disk.put(OPEN, Buffer.concat([older.disk.bytesOf(OPEN), batch(4, 1, ['stale']).bytes]))
  refuses(older, /index 4\): term went back: its checksums are right/)
})

test('a sealed segment must hold exactly the entries that its name promises', () => {
  const short = segments()
  short.disk.put(sealed(1, 3), short.disk.bytesOf(sealed(1, 3)).subarray(0, 52))
  refuses(short, /holds 2 entries, its name promises 3/)
  const long = segments()
  long.disk.put(sealed(1, 3), Buffer.concat([long.disk.bytesOf(sealed(1, 3)), batch(4, 1, ['xx']).bytes]))
  refuses(long, /holds 4 entries, its name promises 3/)
  const torn = segments()
  torn.disk.put(sealed(4, 6), torn.disk.bytesOf(sealed(4, 6)).subarray(0, 77))
  refuses(torn, /log_0*4_0*6 is damaged at offset 52 \(index 6\): short data/)
})

test('H13 holes, a second open segment and a lost start are refused', () => {
  const hole = segments()
  hole.disk.drop(sealed(4, 6))
  refuses(hole, /a segment is missing before .*log_inprogress_0*7: the log should go on at index 4/)
  const start = segments()
  start.disk.drop(sealed(1, 3))
  refuses(start, /a segment is missing before .*log_0*4_0*6: the log should go on at index 1/)
  const twice = segments()
  twice.disk.put(`${LOG}/log_inprogress_00000000000000000009`, Buffer.alloc(0))
  refuses(twice, /two open segments/)
  const end = segments()
  end.disk.drop(`${LOG}/log_inprogress_00000000000000000007`)
  refuses(end, /ends at index 6, but entries up to 8 were durable/)
})

test('segments without log_meta are never wiped, as braft does', () => {
  const bench = segments()
  bench.disk.drop(`${LOG}/log_meta`)
  refuses(bench, /log_meta is missing while .* holds 3 segments/)
})

test('an emptied log directory is not a new one', () => {
  const bench = segments()
  for (const name of bench.disk.namesIn(LOG)) bench.disk.drop(`${LOG}/${name}`)
  refuses(bench, /log_meta is missing, but this directory had a log with entries up to 8/)
})

test('a damaged log_meta is refused', () => {
  for (const bytes of ['', '0000', '0000000208', '00000002ffff', '000000020800']) {
    const bench = segments()
    bench.disk.put(`${LOG}/log_meta`, Buffer.from(bytes, 'hex'))
    refuses(bench, /log_meta/)
  }
})

test('leftovers are removed, files of others stay', () => {
  const bench = segments()
  bench.disk.put(`${LOG}/log_meta.tmp`, Buffer.from('half'))
  bench.disk.put(`${LOG}/notes`, Buffer.from('mine'))
  assert.is(bench.open().ok, true)
  assert.ok(!bench.disk.namesIn(LOG).includes('log_meta.tmp'))
  assert.ok(bench.disk.namesIn(LOG).includes('notes'))
})

test('a configuration that does not parse is refused although its checksum is right', () => {
  const bench = threeEntries()
  bench.disk.put(
    OPEN,
    Buffer.concat([bench.disk.bytesOf(OPEN), batch(4, 2, [{ ...configuration(members(1)), data: Buffer.from([0x0a, 0x05]) }]).bytes]),
  )
  refuses(bench, /configuration does not parse/)
})

test('a configuration that rots in a sealed segment is found at the start', () => {
  const bench = new LogBench(20)
  bench.open()
  bench.append(batch(1, 1, [configuration(members(8100)), 'next']))
  bench.close()
  bench.disk.flip(sealed(1, 1), 24)
  refuses(bench, /log_0*1_0*1 is damaged at offset 0 \(index 1\): data checksum/)
})

test('without a stored durable length the distance from the end decides alone', () => {
  const bench = threeEntries()
  bench.disk.drop(SIDECAR)
  bench.disk.flip(OPEN, 26)
  assert.is(bench.open().toString(), 'OK')
  assert.is(bench.log.lastLogIndex, 0)
  assert.is(bench.recovery!.tornTail?.offset, 0)
})

test('segments of more than one read chunk are scanned whole, with entries across the borders', () => {
  const bench = new LogBench()
  bench.open()
  const entries = Array.from({ length: 50 }, (_, i) => data(String.fromCharCode(97 + (i % 26)).repeat(70_001 + i)))
  let next = 1
  for (const entry of entries) bench.append(batch(next++, 1, [entry]))
  bench.append(batch(next, 1, [data('z'.repeat(1_500_000))]))
  bench.close()
  assert.is(bench.open().toString(), 'OK')
  assert.is(bench.log.lastLogIndex, 51)
  assert.is(bench.read(51, 1).value!.dataAt(bench.log.lastLogIndex).length, 1_500_000)
  const path = `${LOG}/log_inprogress_00000000000000000001`
  bench.close()
  bench.disk.flip(path, 2_000_000)
  refuses(bench, /data checksum/)
})

test('a log that braft wrote last: what was promised before does not count, and counts again from then on', () => {
  const bench = threeEntries()
  // braft replaced the newest entries, which were not committed.
  bench.disk.put(OPEN, batch(1, 1, ['first']).bytes)
  refuses(bench, /entries up to 3 were durable/)
  assert.is(bench.open({ adopt: true }).toString(), 'OK')
  assert.equal(bench.contents(), ['1:1:first'])
  bench.append(batch(2, 5, ['after']))
  bench.close()
  assert.is(bench.open().toString(), 'OK')
  bench.close()
  bench.disk.put(OPEN, batch(1, 1, ['first']).bytes)
  refuses(bench, /entries up to 2 were durable/)
})

test('a log that braft wrote last: its end is cut where braft cuts it, and nowhere else', () => {
  const whole = threeEntries().disk.bytesOf(OPEN)
  const start = 29 + 30
  for (const bytes of [start + 1, start + 23, start + 24, whole.length - 1]) {
    const bench = threeEntries()
    bench.disk.put(OPEN, whole.subarray(0, bytes))
    assert.is(bench.open({ adopt: true }).toString(), 'OK', `${bytes}`)
    assert.is(bench.recovery!.tornTail?.offset, start)
    assert.equal(bench.contents(), ['1:1:first', '2:1:second'])
  }
  for (const at of [start + 3, start + 20, start + 25]) {
    const bench = threeEntries({ lazily: true })
    bench.disk.flip(OPEN, at)
    const before = snapshotOf(bench)
    const status = bench.open({ adopt: true })
    assert.is(status.code, ErrorCode.ECORRUPT)
    assert.match(status.message, /damaged at offset 59 \(index 3\): .*braft/)
    assert.equal(snapshotOf(bench), before)
  }
  const zeros = threeEntries()
  zeros.disk.put(OPEN, Buffer.concat([whole, Buffer.alloc(24)]))
  assert.is(zeros.open({ adopt: true }).code, ErrorCode.ECORRUPT)
})

test('what a killed process had written is made durable before it counts', () => {
  const bench = new LogBench()
  bench.open()
  bench.append(batch(1, 1, ['first']))
  bench.disk.stopAtChange(1, 'done')
  assert.is(
    bench.tryCall<void>((done) => bench.log.appendEntries([batch(2, 1, ['in flight'])], done)),
    null,
  )
  bench.disk.restart()
  assert.is(bench.open().toString(), 'OK')
  assert.equal(bench.contents(), ['1:1:first', '2:1:in flight'])
  bench.disk.crash(0)
  assert.is(bench.open().toString(), 'OK')
  assert.equal(bench.contents(), ['1:1:first', '2:1:in flight'])
})

test('a name that a killed process had made is made durable before entries under it count', () => {
  const bench = new LogBench()
  bench.open()
  bench.disk.stopAtChange(1, 'done')
  bench.tryCall<void>((done) => bench.log.appendEntries([batch(1, 1, ['lost'])], done))
  bench.disk.restart()
  assert.is(bench.open().toString(), 'OK')
  assert.is(bench.append(batch(1, 1, ['kept'])).ok, true)
  bench.disk.crash(0)
  assert.is(bench.open().toString(), 'OK')
  assert.equal(bench.contents(), ['1:1:kept'])
})

test.run()
