import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode } from '../../../src/raft/errors.js'
import { batch } from '../../support/entries.js'
import { LOG, LogBench, SEALS } from '../../support/log-bench.js'

const sealed = (first: number, last: number) => `${LOG}/log_${String(first).padStart(20, '0')}_${String(last).padStart(20, '0')}`
const LOG_META = `${LOG}/log_meta`
/** Header and two letters. */
const ENTRY_BYTES = 26

/** A closed log of 1-3, 4-6 and 7-8, the last of them open. */
function segments(): LogBench {
  const bench = new LogBench(2 * ENTRY_BYTES)
  bench.open()
  for (let first = 1; first <= 8; first++) bench.append(batch(first, 1, [`e${first}`]))
  bench.close()
  return bench
}

const namesOf = (bench: LogBench) => bench.disk.namesIn(LOG)

function refuses(bench: LogBench, pattern: RegExp): void {
  const before = namesOf(bench)
  const status = bench.open()
  assert.is(status.code, ErrorCode.ECORRUPT, status.toString())
  assert.match(status.message, pattern)
  assert.equal(namesOf(bench), before, 'nothing was changed')
}

test('H11 good entries in the wrong place of a sealed segment are refused', () => {
  const bench = segments()
  const bytes = bench.disk.bytesOf(sealed(4, 6))
  const entry = (n: number) => bytes.subarray(n * ENTRY_BYTES, (n + 1) * ENTRY_BYTES)
  bench.disk.put(sealed(4, 6), Buffer.concat([entry(1), entry(0), entry(2)]))
  refuses(bench, /log_0*4_0*6 holds other entries than when it was sealed/)
})

test('H11 good entries of another segment are refused in a sealed one', () => {
  const bench = segments()
  bench.disk.put(sealed(4, 6), bench.disk.bytesOf(sealed(1, 3)))
  refuses(bench, /log_0*4_0*6 holds other entries/)
})

test('H11 what a sealed segment held before it was cut and written anew is refused', () => {
  const bench = segments()
  const before = bench.disk.bytesOf(sealed(4, 6))
  bench.open()
  bench.truncateSuffix(4)
  for (let first = 5; first <= 8; first++) bench.append(batch(first, 2, [`E${first}`]))
  bench.close()
  assert.is(bench.open().toString(), 'OK')
  assert.equal(bench.contents().slice(3), ['4:1:e4', '5:2:E5', '6:2:E6', '7:2:E7', '8:2:E8'])
  bench.close()
  bench.disk.put(sealed(4, 6), before)
  refuses(bench, /log_0*4_0*6 holds other entries/)
})

test('H11 an entry of the same term and length in the wrong place is found when it is read', () => {
  const bench = segments()
  bench.open()
  const bytes = bench.disk.bytesOf(sealed(1, 3))
  bench.disk.put(
    sealed(1, 3),
    Buffer.concat([bytes.subarray(0, ENTRY_BYTES), bytes.subarray(0, ENTRY_BYTES), bytes.subarray(2 * ENTRY_BYTES)]),
  )
  const { status } = bench.read(1)
  assert.is(status.code, ErrorCode.ECORRUPT)
  assert.match(status.message, /offset 26 \(index 2\): another entry than was written/)
})

test('H13 a first index that nobody set is refused before a segment is deleted by it', () => {
  const bench = segments()
  bench.open()
  bench.truncatePrefix(2)
  bench.close()
  const meta = bench.disk.bytesOf(LOG_META)
  assert.is(meta.toString('hex'), '000000020802')
  bench.disk.flip(LOG_META, 5, 0x05)
  refuses(bench, /log_meta says that the log starts at 7; it was made to start at 2.*nothing was changed/)
  bench.disk.put(LOG_META, meta)
  assert.is(bench.open().toString(), 'OK')
})

test('power lost between the record of a first index and log_meta leaves the old start or the new one', () => {
  for (let at = 1; at <= 12; at++) {
    for (let seed = 1; seed <= 6; seed++) {
      const bench = new LogBench(2 * ENTRY_BYTES, seed)
      bench.open()
      for (let first = 1; first <= 8; first++) bench.append(batch(first, 1, [`e${first}`]))
      for (const start of [2, 5, 8]) {
        bench.disk.stopAtChange(at, 'half done')
        bench.tryCall<void>((done) => bench.log.truncatePrefix(start as never, done))
        bench.disk.crash()
        assert.is(bench.open().toString(), 'OK', `change ${at}, start ${start}`)
        assert.ok(bench.log.firstLogIndex <= start)
        assert.is(bench.contents().at(-1), '8:1:e8')
      }
    }
  }
})

test('records that are damaged, missing or left over vouch for nothing, and are made anew', () => {
  const whole = segments().disk.bytesOf(SEALS)
  for (const [what, bytes] of [
    ['missing', null],
    ['cut short', whole.subarray(0, 40)],
    ...Array.from({ length: whole.length }, (_, at) => {
      const copy = Buffer.from(whole)
      copy[at]! ^= 0x10
      return [`byte ${at}`, copy] as const
    }),
  ] as const) {
    const bench = segments()
    if (bytes === null) bench.disk.drop(SEALS)
    else bench.disk.put(SEALS, bytes)
    assert.is(bench.open().toString(), 'OK', what)
    assert.is(bench.contents().length, 8)
    bench.close()
    bench.disk.crash(0)
    bench.disk.put(sealed(4, 6), bench.disk.bytesOf(sealed(1, 3)))
    refuses(bench, /log_0*4_0*6 holds other entries/)
  }
})

test('of many segments that come and go only those that are there stay recorded', () => {
  const bench = new LogBench(ENTRY_BYTES - 1)
  bench.open()
  for (let first = 1; first <= 400; first++) bench.append(batch(first, 1, ['ee']))
  bench.truncatePrefix(390)
  assert.ok(bench.disk.bytesOf(SEALS).length > 390 * 32)
  bench.close()
  bench.open()
  assert.ok(bench.disk.bytesOf(SEALS).length < 15 * 32)
})

test('a directory that is taken over from braft brings no seals that count', () => {
  const bench = segments()
  bench.disk.put(sealed(4, 6), bench.disk.bytesOf(sealed(1, 3)))
  bench.disk.put(LOG_META, Buffer.from('000000020803', 'hex'))
  assert.is(bench.open({ adopt: true }).toString(), 'OK')
  bench.close()
  assert.is(bench.open().toString(), 'OK')
  assert.is(bench.log.firstLogIndex, 3)
})

test.run()
