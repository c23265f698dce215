import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Done } from '../../../src/raft/closure.js'
import type { File, FileSystem } from '../../../src/raft/environment.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { checkEntryHeader, ENTRY_HEADER_BYTES } from '../../../src/raft/log-entry.js'
import { logIndex } from '../../../src/raft/types.js'
import { checksum } from '../../../src/storage/checksum.js'
import { END_MARK } from '../../../src/storage/end-mark.js'
import { FilledFile } from '../../../src/storage/filled-file.js'
import { batch } from '../../support/entries.js'
import { LOG, LogBench } from '../../support/log-bench.js'

const SEGMENT_BYTES = 8192
const PIECE_BYTES = SEGMENT_BYTES / 8
const OPEN = `${LOG}/log_inprogress_${'1'.padStart(20, '0')}`
const ENTRY_BYTES = ENTRY_HEADER_BYTES + 8

/** A log of `count` entries of 32 bytes, each of them a write. */
function filledLog(count: number, seed = 1): LogBench {
  const bench = new LogBench(SEGMENT_BYTES, seed)
  assert.is(bench.open().ok, true)
  appendTo(bench, 1, count)
  return bench
}

function appendTo(bench: LogBench, first: number, last: number): void {
  for (let i = first; i <= last; i++) assert.is(bench.append(batch(i, 1, [text(i)])).ok, true)
}

const text = (i: number) => `entry${String(i).padStart(3, '0')}`
const texts = (count: number) => Array.from({ length: count }, (_, i) => `${i + 1}:1:${text(i + 1)}`)

/** How many entries braft finds in an open segment; -1 where it does not start on it. It cuts off what it takes for a torn end. */
function countByBraft(bytes: Buffer): number {
  let count = 0
  for (let at = 0; at < bytes.length; count++) {
    if (bytes.length - at < ENTRY_HEADER_BYTES) break
    if (checkEntryHeader(bytes, at, checksum) !== null) return -1
    at += ENTRY_HEADER_BYTES + bytes.readUInt32BE(at + 12)
    if (at > bytes.length) break
  }
  return count
}

test('small writes go over zeros, and the end of the entries is marked', () => {
  const bench = filledLog(9)
  const filled = 8 * ENTRY_BYTES + PIECE_BYTES
  const bytes = bench.disk.bytesOf(OPEN)
  assert.is(bytes.length, filled, 'filled behind a quarter of a piece')
  assert.equal(bytes.subarray(9 * ENTRY_BYTES, 9 * ENTRY_BYTES + END_MARK.length), END_MARK)
  assert.is(
    bytes.subarray(9 * ENTRY_BYTES + END_MARK.length).every((byte) => byte === 0),
    true,
  )

  const before = bench.disk.operations.length
  appendTo(bench, 10, 12)
  assert.equal(bench.disk.operations.slice(before), Array(3).fill(`write ${OPEN}`))
  assert.is(bench.disk.bytesOf(OPEN).length, filled, 'the file does not grow')
  assert.equal(bench.contents(), texts(12))
})

test('zeros are added before they are used up, as far as the segment goes', () => {
  const bench = filledLog(200)
  assert.is(bench.disk.bytesOf(OPEN).length, 8 * ENTRY_BYTES + 7 * PIECE_BYTES)
  appendTo(bench, 201, 256)
  assert.is(bench.disk.bytesOf(OPEN).length, SEGMENT_BYTES)
  assert.equal(bench.contents(), texts(256))
})

test('a short log and large writes have no zeros behind them', () => {
  const bench = filledLog(7)
  assert.is(bench.disk.bytesOf(OPEN).length, 7 * ENTRY_BYTES)
  const large = new LogBench(SEGMENT_BYTES)
  large.open()
  for (let i = 1; i <= 4; i++) large.append(batch(i, 1, ['x'.repeat(PIECE_BYTES / 2)]))
  assert.is(large.disk.bytesOf(OPEN).length, 4 * (ENTRY_HEADER_BYTES + PIECE_BYTES / 2))
})

test('who seals or closes a segment leaves its entries alone in it', () => {
  const bench = filledLog(20)
  assert.is(bench.close().ok, true)
  assert.is(bench.disk.bytesOf(OPEN).length, 20 * ENTRY_BYTES)
  assert.is(bench.open().ok, true)
  assert.is(bench.recovery!.tornTail, null)
  appendTo(bench, 21, 260)
  const [sealed] = bench.disk.namesIn(LOG).filter((name) => /_\d+_\d+$/.test(name))
  const bytes = bench.disk.bytesOf(`${LOG}/${sealed}`)
  assert.is(bytes.length % ENTRY_BYTES, 0)
  assert.is(countByBraft(bytes), bytes.length / ENTRY_BYTES)
  assert.equal(bench.contents(), texts(260))
})

test('what a killed process leaves is whole, for raftctl and for braft', () => {
  for (const count of [8, 9, 20, 100, 255]) {
    const bench = filledLog(count)
    assert.is(countByBraft(bench.disk.bytesOf(OPEN)), count)
    for (const adopt of [true, false]) {
      assert.is(bench.open({ adopt }).toString(), 'OK')
      assert.is(bench.recovery!.tornTail, null)
      assert.is(bench.disk.bytesOf(OPEN).length, count * ENTRY_BYTES, 'the zeros are cut off')
      assert.equal(bench.contents(), texts(count))
    }
  }
})

test('entries that are cut off are gone, and zeros follow the others again', () => {
  const bench = filledLog(60)
  assert.is(bench.truncateSuffix(40).ok, true)
  assert.is(bench.disk.bytesOf(OPEN).length, 40 * ENTRY_BYTES)
  appendTo(bench, 41, 50)
  assert.ok(bench.disk.bytesOf(OPEN).length > 50 * ENTRY_BYTES + END_MARK.length)
  bench.disk.crash(0)
  assert.is(bench.open().toString(), 'OK')
  assert.equal(bench.contents(), texts(50))
})

test('without power at any change, what was acknowledged is there and no more than was written', () => {
  for (let stop = 1; stop <= 60; stop++) {
    for (const lastOperation of ['not done', 'half done', 'done'] as const) {
      const bench = new LogBench(SEGMENT_BYTES, stop)
      bench.open()
      appendTo(bench, 1, 6)
      bench.disk.stopAtChange(stop, lastOperation)
      let acknowledged = 6
      while (!bench.disk.hasStopped) {
        const status = bench.tryCall<void>((done) => bench.log.appendEntries([batch(acknowledged + 1, 1, [text(acknowledged + 1)])], done))
        if (status?.status.ok) acknowledged++
      }
      bench.disk.crash()
      assert.is(bench.open().toString(), 'OK')
      const found = bench.contents()
      assert.ok(found.length >= acknowledged && found.length <= acknowledged + 1, `${found.length} of ${acknowledged}`)
      assert.equal(found, texts(found.length))
    }
  }
})

test('a process that is killed within a write leaves what raftctl cuts', () => {
  for (let seed = 1; seed <= 10; seed++) {
    const bench = filledLog(30, seed)
    const many = Array.from({ length: 20 }, (_, i) => text(31 + i))
    bench.disk.stopAtChange(1, 'half done')
    bench.tryCall<void>((done) => bench.log.appendEntries([batch(31, 1, many)], done))
    bench.disk.restart()
    assert.is(bench.open().toString(), 'OK')
    assert.is(bench.log.lastLogIndex, 40, 'the first half of the write: ten entries and a part of the next')
    assert.ok(bench.recovery!.tornTail)
    assert.equal(bench.contents(), texts(40))
  }
})

test('a mark of the end below what was durable is damage, and the file is left as it is', () => {
  const bench = filledLog(30)
  bench.clock.advance(200)
  const bytes = bench.disk.bytesOf(OPEN)
  END_MARK.copy(bytes, 10 * ENTRY_BYTES)
  bench.disk.put(OPEN, bytes)
  const status = bench.open()
  assert.is(status.code, ErrorCode.ECORRUPT)
  assert.match(status.message, /offset 320 \(index 11\): the mark of its end: entries up to 30 were durable/)
  assert.equal(bench.disk.bytesOf(OPEN), bytes)
})

test('a sealed segment has no mark and no zeros', () => {
  const bench = filledLog(260)
  bench.close()
  const sealed = `${LOG}/${bench.disk.namesIn(LOG).find((name) => /_\d+_\d+$/.test(name))}`
  bench.disk.put(sealed, Buffer.concat([bench.disk.bytesOf(sealed), END_MARK, Buffer.alloc(100)]))
  const status = bench.open()
  assert.is(status.code, ErrorCode.ECORRUPT)
  assert.match(status.message, /the mark of its end; nothing was changed/)
})

/** A file whose operations are answered by hand. */
function heldFile(end: number): { file: FilledFile; asked: string[]; answer: (status?: Status) => void } {
  const asked: string[] = []
  const waiting: Done[] = []
  const held = (who: string): File => ({
    write: (buffers, position, done) => {
      asked.push(`${who} ${position}..${position + Buffer.concat(buffers).length}`)
      waiting.push(done)
    },
    truncate: (size, done) => {
      asked.push(`cut ${size}`)
      waiting.push(done)
    },
    read: () => {},
    datasync: (done) => done(Status.OK),
    close: (done) => {
      asked.push(`close ${who}`)
      done(Status.OK)
    },
  })
  const fileSystem = {
    open: (_path: string, _options: object, done: (status: Status, file: File) => void) => done(Status.OK, held('zeros')),
  }
  const options = { fileSystem: fileSystem as unknown as FileSystem, path: OPEN, end, bytesMax: SEGMENT_BYTES }
  return { file: new FilledFile(held('entries'), options), asked, answer: (status = Status.OK) => waiting.shift()!(status) }
}

test('entries wait for zeros that are on their way to where they go, and so does the end of the file', () => {
  const { file, asked, answer } = heldFile(1000)
  const ended: string[] = []
  file.write([Buffer.alloc(100)], 1000, () => ended.push('first'))
  answer()
  assert.equal(asked.splice(0), ['entries 1000..1100', 'zeros 1100..2124'])
  file.write([Buffer.alloc(100)], 1100, () => ended.push('second'))
  assert.equal(asked, [], 'the second waits')
  answer()
  assert.equal(asked.splice(0), ['close zeros', 'entries 1100..1224'])
  answer()
  assert.equal(ended.splice(0), ['first', 'second'])

  file.write([Buffer.alloc(500)], 1200, () => ended.push('third'))
  answer()
  assert.equal(asked.splice(0), ['entries 1200..1724', 'zeros 2124..3148'])
  file.write([Buffer.alloc(400)], 1700, () => ended.push('fourth'))
  assert.equal(asked.splice(0), ['entries 1700..2124'], 'its mark still goes before the zeros')
  answer()
  answer()
  file.close(() => ended.push('closed'))
  assert.equal(asked.splice(0), ['close zeros', 'cut 2100'])
})

test('a file is not closed, and not cut, while zeros are on their way', () => {
  for (const end of ['close', 'truncate'] as const) {
    const { file, asked, answer } = heldFile(1000)
    file.write([Buffer.alloc(100)], 1000, () => {})
    answer()
    asked.splice(0)
    if (end === 'close') file.close(() => {})
    else file.truncate(1000, () => {})
    assert.equal(asked, [])
    answer()
    assert.equal(asked.splice(0), ['close zeros', end === 'close' ? 'cut 1100' : 'cut 1000'])
  }
})

test('after a write or a cut that failed a file is closed as it is', () => {
  for (const fail of [
    (file: FilledFile) => file.write([Buffer.alloc(100)], 1100, () => {}),
    (file: FilledFile) => file.truncate(1000, () => {}),
  ]) {
    const { file, asked, answer } = heldFile(1000)
    file.write([Buffer.alloc(100)], 1000, () => {})
    answer()
    answer()
    fail(file)
    answer(Status.error(ErrorCode.EIO, 'no'))
    asked.splice(0)
    file.close(() => {})
    assert.equal(asked, ['close entries'])
  }
})

test('what cannot be filled is written as before, and is not tried again', () => {
  const { file, asked, answer } = heldFile(1000)
  file.write([Buffer.alloc(100)], 1000, () => {})
  answer()
  answer(Status.error(ErrorCode.ENOSPC, 'full'))
  assert.equal(asked.splice(0), ['entries 1000..1100', 'zeros 1100..2124', 'close zeros'])
  for (let at = 1100; at < 3100; at += 200) {
    file.write([Buffer.alloc(200)], at, () => {})
    answer()
    const isMarked = at + 200 < 2124
    assert.equal(
      asked.splice(0),
      [`entries ${at}..${at + 200 + (isMarked ? END_MARK.length : 0)}`],
      'zeros may be there: the end is marked',
    )
  }
  file.close(() => {})
  assert.equal(asked, ['close entries'])
})

test('the log of a crash in the midst of a write over zeros is cut where its acknowledged entries end', () => {
  for (let seed = 1; seed <= 40; seed++) {
    const bench = filledLog(30, seed)
    bench.disk.stopAtChange(1, 'half done')
    const many = Array.from({ length: 40 }, (_, i) => text(31 + i))
    bench.tryCall<void>((done) => bench.log.appendEntries([batch(31, 1, many)], done))
    bench.disk.crash()
    assert.is(bench.open().toString(), 'OK')
    assert.ok(bench.log.lastLogIndex >= 30)
    assert.equal(bench.contents(), texts(bench.log.lastLogIndex - logIndex(1) + 1))
  }
})

test.run()
