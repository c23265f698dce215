import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { EntryBatch } from '../../../src/raft/log-entry.js'
import type { LogRecovery } from '../../../src/raft/storage.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { checksum } from '../../../src/storage/checksum.js'
import { MemoryLogStorage } from '../../../src/storage/memory-log.js'
import { SimRandom } from '../../../src/testing/sim-random.js'
import { batch, configuration, data, members, texts } from '../../support/entries.js'
import { LOG, LogBench, SIDECAR } from '../../support/log-bench.js'

const name = (first: number, last?: number) =>
  last === undefined
    ? `log_inprogress_${String(first).padStart(20, '0')}`
    : `log_${String(first).padStart(20, '0')}_${String(last).padStart(20, '0')}`

/** A log of segments [1,3] [4,6] [7,9] and an open one from 10 to 11, two terms. */
function fourSegments(): LogBench {
  const bench = new LogBench(60)
  assert.is(bench.open().ok, true)
  for (let first = 1; first <= 11; first++) assert.is(bench.append(batch(first, first < 6 ? 1 : 2, [`e${first}`])).ok, true)
  assert.equal(bench.disk.namesIn(LOG), [name(1, 3), name(4, 6), name(7, 9), name(10), 'log_meta'])
  return bench
}

test('an empty directory becomes an empty log from index 1', () => {
  const bench = new LogBench()
  assert.is(bench.open().ok, true)
  assert.equal(bench.recovery, { firstIndex: 1, lastIndex: 0, configurations: [], tornTail: null })
  assert.is(bench.disk.bytesOf(`${LOG}/log_meta`).toString('hex'), '000000020801')
})

test('the bytes of an entry are those of braft', () => {
  const bench = new LogBench()
  bench.open()
  const conf = configuration(members(8100, 8101))
  bench.append(batch(1, 1, ['hello']), batch(2, 2, [conf]))
  assert.is(
    bench.disk.bytesOf(`${LOG}/${name(1)}`).toString('hex'),
    '000000000000000102010000000000059a71bb4cbeb21d8d68656c6c6f' +
      '00000000000000020301000000000028caf7e5d51e690392' +
      '0a123132372e302e302e313a383130303a303a300a123132372e302e302e313a383130313a303a30',
  )
  bench.close()
  bench.open()
  assert.equal(
    bench.recovery!.configurations.map((entry) => `${entry.id.index}:${entry.id.term}:${entry.conf}`),
    ['2:2:127.0.0.1:8100:0:0,127.0.0.1:8101:0:0'],
  )
})

test('what a cut of the start drops is removed beside what is written next; a cut of the end and the close wait for it', () => {
  const bench = fourSegments()
  let atAnswer: string[] = []
  bench.log.truncatePrefix(logIndex(10), () => {
    atAnswer = bench.disk.namesIn(LOG)
    bench.log.appendEntries([batch(12, 2, ['next'])], () => bench.disk.operations.push('appended'))
  })
  bench.executor.run()
  assert.ok(atAnswer.includes(name(7, 9)))
  assert.equal(bench.disk.namesIn(LOG), [name(10), 'log_meta'])
  const { operations } = bench.disk
  assert.ok(operations.indexOf('appended') < operations.lastIndexOf(`unlink ${LOG}/${name(7, 9)}`))

  for (const end of ['truncateSuffix', 'close'] as const) {
    const cut = fourSegments()
    const steps: string[] = []
    cut.log.truncatePrefix(logIndex(10), () => {
      const done = () => steps.push(`${cut.disk.namesIn(LOG).length}`)
      if (end === 'close') cut.log.close(done)
      else cut.log.truncateSuffix(logIndex(10), done)
    })
    cut.executor.run()
    assert.equal(steps, ['2'])
  }
})

test('an open segment that a cut of the start drops is gone, durably, before another can be opened', () => {
  const bench = fourSegments()
  let atAnswer: string[] = []
  bench.log.truncatePrefix(logIndex(12), () => {
    bench.disk.crash(0)
    atAnswer = bench.disk.namesIn(LOG)
  })
  bench.executor.run()
  assert.is(atAnswer.includes(name(10)), false)
})

test('what cannot be removed makes the log unusable, and is said', () => {
  const bench = fourSegments()
  const said: string[] = []
  bench.log.onUnusable = (status) => said.push(status.message)
  bench.disk.refuse(/^unlink/, ErrorCode.EIO)
  assert.is(bench.truncatePrefix(10).ok, true)
  assert.is(said.length, 1)
  assert.match(said[0]!, /cannot remove what was cut off from the log in .data.log: /)
  assert.is(bench.append(batch(12, 2, ['x'])).code, ErrorCode.EIO)
  assert.is(bench.close().code, ErrorCode.EIO)
})

test('a log that failed is not closed while something of it is being removed', () => {
  const bench = new LogBench(60)
  bench.open()
  for (let first = 1; first <= 40; first++) bench.append(batch(first, 1, [`e${first}`]))
  let left: number | null = null
  bench.log.truncatePrefix(logIndex(40), () => {
    bench.disk.refuse(/^write/, ErrorCode.EIO)
    bench.log.appendEntries([batch(41, 2, ['x'])], () => bench.log.close(() => (left = bench.disk.namesIn(LOG).length)))
  })
  bench.executor.run()
  assert.is(left, 2)
})

test('appending a batch is one synced write, whatever it is made of', () => {
  const bench = new LogBench()
  bench.open()
  bench.append(batch(1, 1, ['first']))
  const before = bench.disk.operations.length
  assert.is(bench.append(batch(2, 1, ['a', 'b']), batch(4, 1, ['c']), batch(5, 2, ['d'])).ok, true)
  assert.equal(bench.disk.operations.slice(before), [`write ${LOG}/${name(1)}`])
  assert.equal(bench.contents(), ['1:1:first', '2:1:a', '3:1:b', '4:1:c', '5:2:d'])
})

test('more buffers than one write takes, and more bytes, go into several writes', () => {
  const bench = new LogBench()
  bench.open()
  const small = Array.from({ length: 1500 }, (_, i) => batch(i + 1, 1, ['x']))
  bench.append(batch(1, 1, ['x']))
  let before = bench.disk.operations.length
  assert.is(bench.append(...small.slice(1)).ok, true)
  assert.is(bench.disk.operations.length - before, 2)

  const large = batch(
    1501,
    1,
    Array.from({ length: 5 }, () => data('y'.repeat(400_000))),
  )
  before = bench.disk.operations.length
  assert.is(bench.append(large).ok, true)
  assert.is(bench.disk.operations.length - before, 2, 'one MiB and the rest of an entry, then the remainder')
  assert.is(bench.log.lastLogIndex, 1505)
  assert.is(texts(bench.read(1505).value)[0]!.length, '1505:1:'.length + 400_000)
})

test('a segment is sealed before the entry that finds it larger than the limit, not before', () => {
  const bench = fourSegments()
  assert.is(bench.disk.bytesOf(`${LOG}/${name(1, 3)}`).length, 78, 'two entries are 52 bytes, not more than 60')
  const single = new LogBench(52)
  single.open()
  for (let first = 1; first <= 4; first++) single.append(batch(first, 1, [`e${first}`]))
  assert.equal(single.disk.namesIn(LOG), [name(1, 3), name(4), 'log_meta'])
  const exact = new LogBench(52)
  exact.open()
  exact.append(batch(1, 1, ['e1', 'e2', 'e3', 'e4']))
  assert.equal(exact.disk.namesIn(LOG), [name(1, 3), name(4), 'log_meta'], '52 bytes are not more than 52')
})

test('a batch that spans segments is durable in each of them before it is acknowledged', () => {
  const bench = new LogBench(60)
  bench.open()
  assert.is(bench.append(batch(1, 1, ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7'])).ok, true)
  assert.equal(bench.disk.namesIn(LOG), [name(1, 3), name(4, 6), name(7), 'log_meta'])
  bench.disk.crash(0)
  assert.is(bench.open().ok, true)
  assert.is(bench.log.lastLogIndex, 7)
})

test('reads answer whole entries within the limit, at least one, and say when an index is not there', () => {
  const bench = fourSegments()
  assert.equal(texts(bench.read(2, 52).value), ['2:1:e2', '3:1:e3'])
  assert.equal(texts(bench.read(2, 51).value), ['2:1:e2'])
  assert.equal(texts(bench.read(2, 1).value), ['2:1:e2'])
  assert.equal(texts(bench.read(10).value), ['10:2:e10', '11:2:e11'])
  assert.is(bench.read(12).status.code, ErrorCode.ENOENT)
  assert.is(bench.read(0).status.code, ErrorCode.ENOENT)
  assert.equal(
    [0, 1, 5, 6, 11, 12].map((index) => bench.log.getTerm(logIndex(index))),
    [0, 1, 1, 2, 2, 0],
  )
})

test('a byte that rots in a sealed segment is found when it is read, with file, offset and index', () => {
  const bench = fourSegments()
  bench.disk.flip(`${LOG}/${name(4, 6)}`, 26 + 24)
  const { status, value } = bench.read(4)
  assert.is(value, undefined)
  assert.is(status.code, ErrorCode.ECORRUPT)
  assert.match(status.message, `${name(4, 6)} is damaged at offset 26 (index 5): data checksum`)
  assert.match(status.message, 'Restore /data from a copy')
  assert.is(bench.read(6).status.ok, true)
})

test('an entry that is whole, but not the one that was written there, is not taken', () => {
  const bench = fourSegments()
  const other = batch(5, 3, ['xx'])
  const path = `${LOG}/${name(4, 6)}`
  const bytes = bench.disk.bytesOf(path)
  bench.disk.put(path, Buffer.concat([bytes.subarray(0, 26), other.bytes, bytes.subarray(52)]))
  assert.match(bench.read(4).status.toString(), /ECORRUPT.*offset 26 \(index 5\): another entry/)
})

test('a reader follows a segment that is sealed under it', () => {
  const bench = new LogBench(60)
  bench.open()
  bench.append(batch(1, 1, ['e1', 'e2', 'e3']))
  let read: string[] = []
  bench.log.appendEntries([batch(4, 1, ['e4'])], () => undefined)
  bench.log.getEntries(logIndex(1), 1000, (status, found) => {
    assert.is(status.ok, true)
    read = texts(found)
  })
  bench.executor.run()
  assert.equal(read, ['1:1:e1', '2:1:e2', '3:1:e3'])
  assert.equal(bench.disk.namesIn(LOG), [name(1, 3), name(4), 'log_meta'])
})

test('cutting the start drops whole segments and keeps the one that holds the first kept entry', () => {
  const bench = fourSegments()
  assert.is(bench.truncatePrefix(5).ok, true)
  assert.equal(bench.disk.namesIn(LOG), [name(4, 6), name(7, 9), name(10), 'log_meta'])
  assert.is(bench.log.firstLogIndex, 5)
  assert.is(bench.read(4).status.code, ErrorCode.ENOENT)
  assert.is(bench.truncatePrefix(3).ok, true, 'back is no change')
  assert.is(bench.log.firstLogIndex, 5)
  bench.close()
  bench.open()
  assert.equal([bench.log.firstLogIndex, bench.log.lastLogIndex], [5, 11])
  assert.is(bench.contents()[0], '5:1:e5')
})

test('cutting the start beyond the end leaves an empty log that goes on there', () => {
  for (const first of [12, 50]) {
    const bench = fourSegments()
    assert.is(bench.truncatePrefix(first).ok, true)
    assert.equal(bench.disk.namesIn(LOG), ['log_meta'])
    bench.close()
    assert.is(bench.open().ok, true)
    assert.equal([bench.log.firstLogIndex, bench.log.lastLogIndex], [first, first - 1])
    assert.is(bench.append(batch(first, 3, ['next'])).ok, true)
    assert.equal(bench.contents(), [`${first}:3:next`])
  }
})

test('cutting the end works at every index, in a sealed segment as in the open one, and the log goes on from there', () => {
  for (let lastKept = 0; lastKept <= 11; lastKept++) {
    const bench = fourSegments()
    const kept = bench.contents().slice(0, lastKept)
    assert.is(bench.truncateSuffix(lastKept).ok, true)
    assert.is(bench.log.lastLogIndex, lastKept)
    assert.is(bench.append(batch(lastKept + 1, 4, ['new'])).ok, true)
    const expected = [...kept, `${lastKept + 1}:4:new`]
    assert.equal(bench.contents(), expected, `kept ${lastKept}`)
    bench.disk.crash(0)
    assert.is(bench.open().toString(), 'OK')
    assert.equal(bench.contents(), expected, `kept ${lastKept}, reopened`)
  }
})

test('cutting the end down to the start removes a segment of which only dropped entries would stay', () => {
  const bench = fourSegments()
  bench.truncatePrefix(5)
  assert.is(bench.truncateSuffix(4).ok, true)
  assert.equal(bench.disk.namesIn(LOG), ['log_meta'])
  assert.equal([bench.log.firstLogIndex, bench.log.lastLogIndex], [5, 4])
  bench.append(batch(5, 9, ['again']))
  bench.close()
  assert.is(bench.open().toString(), 'OK')
  assert.equal(bench.contents(), ['5:9:again'])
})

test('a reset forgets everything, forwards and backwards', () => {
  for (const next of [100, 5, 1]) {
    const bench = fourSegments()
    assert.is(bench.reset(next).ok, true)
    assert.equal([bench.log.firstLogIndex, bench.log.lastLogIndex], [next, next - 1])
    bench.close()
    assert.is(bench.open().toString(), 'OK')
    assert.equal(bench.contents(), [])
    assert.is(bench.append(batch(next, 7, ['new'])).ok, true)
    assert.equal(bench.contents(), [`${next}:7:new`])
  }
})

test('a failed write poisons the log: later changes fail with the first error although the disk works again', () => {
  for (const [pattern, code] of [
    [/^write .*log_inprogress/, ErrorCode.EIO],
    [/^write .*log_inprogress/, ErrorCode.ENOSPC],
    [/^rename .*log_0/, ErrorCode.EIO],
    [/^create .*log_inprogress/, ErrorCode.ENOSPC],
    [/^syncDir/, ErrorCode.EIO],
  ] as const) {
    const bench = fourSegments()
    bench.append(batch(12, 2, ['e12']))
    bench.disk.refuse(pattern, code)
    const failed = bench.append(batch(13, 2, ['a', 'b']))
    assert.is(failed.code, code, String(pattern))
    assert.match(failed.message, `cannot append to the log in ${LOG}`)
    assert.equal(bench.append(batch(bench.log.lastLogIndex + 1, 2, ['c'])), failed)
    assert.equal(bench.truncateSuffix(3), failed)
    assert.equal(bench.truncatePrefix(3), failed)
    assert.equal(bench.reset(30), failed)
    assert.is(bench.read(1).status.ok, true, 'what was there can be read')
    assert.equal(bench.close(), failed)
  }
})

test('a failed cut poisons the log too', () => {
  for (const pattern of [/^truncate/, /^datasync .*log_inprogress/, /^rename .*log_inprogress/, /^unlink/]) {
    const bench = fourSegments()
    bench.disk.refuse(pattern, ErrorCode.EIO)
    assert.is(bench.truncateSuffix(5).code, ErrorCode.EIO, String(pattern))
    assert.is(bench.append(batch(bench.log.lastLogIndex + 1, 9, ['z'])).code, ErrorCode.EIO)
  }
})

test('a failed write of the durable length, even a lazy one, is a failure of the disk, and is said at once', () => {
  const bench = new LogBench()
  bench.open()
  const said: Status[] = []
  bench.log.onUnusable = (status) => said.push(status)
  bench.append(batch(1, 1, ['a']))
  bench.disk.refuse(/durable/, ErrorCode.EIO)
  bench.clock.advance(100)
  bench.executor.run()
  assert.equal(
    said.map(({ code }) => code),
    [ErrorCode.EIO],
  )
  assert.match(said[0]!.message, 'cannot store how much is durable')
  const before = bench.disk.operations.length
  assert.is(bench.append(batch(2, 1, ['b'])).code, ErrorCode.EIO)
  assert.is(bench.disk.operations.length, before, 'nothing more is written')
})

test('the durable length is stored at most once in 100 ms, exactly when a segment is sealed and at the end', () => {
  const bench = new LogBench(60)
  bench.open()
  const stored = () => bench.disk.operations.filter((operation) => operation === `write ${SIDECAR}`).length
  bench.append(batch(1, 1, ['e1']))
  const atStart = stored()
  bench.append(batch(2, 1, ['e2']))
  bench.append(batch(3, 1, ['e3']))
  assert.is(stored(), atStart)
  bench.clock.advance(99)
  assert.is(stored(), atStart)
  bench.clock.advance(1)
  assert.is(stored(), atStart + 1)
  bench.clock.advance(1000)
  assert.is(stored(), atStart + 1, 'nothing new, nothing stored')
  bench.append(batch(4, 1, ['e4']))
  assert.is(stored(), atStart + 2, 'sealed')
  bench.close()
  assert.is(stored(), atStart + 4, 'closed')
})

test('the log in memory forgets the configurations that were cut', () => {
  const bench = new LogBench()
  bench.log = new MemoryLogStorage(bench.executor)
  bench.append(batch(1, 1, [configuration(members(1)), 'a', configuration(members(1, 2)), 'b']))
  bench.truncatePrefix(2)
  const found = bench.call<LogRecovery>((done) => bench.log.init(done)).value!
  assert.equal(
    found.configurations.map((entry) => entry.id.index),
    [3],
  )
  assert.equal([found.firstIndex, found.lastIndex], [2, 4])
})

test('a gap between the log and a batch is a programming error', () => {
  const bench = new LogBench()
  bench.open()
  assert.throws(() => bench.append(batch(2, 1, ['x'])), /append leaves a gap/)
})

test('entries with murmur checksums, which braft writes on other machines, are read', () => {
  const bench = new LogBench()
  bench.open()
  const hello = Buffer.concat([Buffer.from('00000000000000010200000000000005248bfa47a0d2074f', 'hex'), Buffer.from('hello')])
  const { batch: parsed } = EntryBatch.parse(logIndex(1), hello, checksum)
  assert.is(bench.append(parsed!).ok, true)
  assert.is(bench.append(EntryBatch.encode(logIndex(2), asTerm(1), [data('crc')], checksum)).ok, true)
  bench.close()
  assert.is(bench.open().ok, true)
  assert.equal(bench.contents(), ['1:1:hello', '2:1:crc'])
})

test('a joint configuration keeps both halves on disk, and the one before it comes back when it is cut', () => {
  const bench = new LogBench()
  bench.open()
  bench.append(batch(1, 1, [configuration(members(1, 2, 3)), 'a', configuration(members(3, 4), members(1, 2, 3))]))
  const found = () => bench.recovery!.configurations.map(({ id, conf, old }) => `${id.index} ${conf} | ${old}`)
  bench.close()
  assert.is(bench.open().ok, true)
  const [before, joint] = [`1 ${members(1, 2, 3)} | `, `3 ${members(3, 4)} | ${members(1, 2, 3)}`]
  assert.equal(found(), [before, joint])
  bench.truncateSuffix(2)
  bench.close()
  assert.is(bench.open().ok, true)
  assert.equal(found(), [before])
})

test('a limit of segments that makes no sense is refused before anything is opened', () => {
  for (const maxSegmentBytes of [-1, 0, 2 ** 31]) assert.throws(() => new LogBench(maxSegmentBytes).open(), /maxSegmentBytes out of range/)
})

test('a read waits while its segment gets another name, and takes it for lost only when nothing changes names', () => {
  for (const change of ['seals', 'reopens'] as const) {
    const bench = fourSegments()
    const { disk, executor, log } = bench
    const rename = disk.rename.bind(disk)
    const answers: (() => void)[] = []
    disk.rename = (from, to, done) => rename(from, to, (status) => answers.push(() => done(status)))
    if (change === 'seals') log.appendEntries([batch(12, 2, ['e12']), batch(13, 2, ['e13'])], () => {})
    else log.truncateSuffix(logIndex(8), () => {})
    executor.run()
    assert.is(answers.length, 1, change)
    const [from, expected] = change === 'seals' ? [10, ['10:2:e10', '11:2:e11', '12:2:e12']] : [7, ['7:2:e7', '8:2:e8']]
    const read: unknown[] = []
    log.getEntries(logIndex(from), 1 << 20, (status, value) => read.push(status.ok ? texts(value) : String(status)))
    for (let i = 0; i < 10; i++) executor.run()
    assert.equal(read, [], change)
    answers[0]!()
    executor.run()
    assert.equal(read, [expected], change)
  }
  const bench = fourSegments()
  bench.disk.drop(`${LOG}/${name(4, 6)}`)
  assert.match(String(bench.read(5).status), 'is missing')
})

test('a file that may not be opened stops the start and says so; nothing is changed, and once it may all is there', () => {
  for (const forbidden of ['log_meta', name(4, 6), name(10)]) {
    const bench = fourSegments()
    const before = [bench.disk.namesIn(LOG), bench.contents()]
    bench.close()
    const open = bench.disk.open.bind(bench.disk)
    bench.disk.open = (path, options, done) =>
      path.endsWith(forbidden)
        ? bench.executor.post(() => done(Status.error(ErrorCode.EACCES, `${path}: permission denied`)), 'refused')
        : open(path, options, done)

    const { code, message } = bench.open()
    assert.equal([code, message.includes(`${LOG}/${forbidden}`)], [ErrorCode.EACCES, true], `${forbidden}: ${message}`)

    bench.disk.open = open
    assert.is(bench.open().toString(), 'OK')
    assert.equal([bench.disk.namesIn(LOG), bench.contents()], before)
  }
})

test('wherever bytes of a sealed segment are overwritten, what is read is what was written or an error', () => {
  const random = new SimRandom(7)
  for (let round = 0; round < 60; round++) {
    const bench = fourSegments()
    const before = bench.contents()
    const path = `${LOG}/${[name(1, 3), name(4, 6), name(7, 9)][round % 3]}`
    const { length } = bench.disk.bytesOf(path)
    const from = random.below(length)
    // Not by the zero that leaves a byte as it is.
    for (let at = from; at < Math.min(length, from + 1 + random.below(20)); at++) bench.disk.flip(path, at, 1 + random.below(255))
    if (round % 2 === 0) {
      bench.close()
      const status = bench.open()
      assert.is(status.code, ErrorCode.ECORRUPT, `bytes from ${from} of ${path} went unnoticed: ${status}`)
      continue
    }
    let failed = 0
    for (let index = 1; index <= 11; index++) {
      const { status: read, value } = bench.read(index, 1)
      if (read.ok) assert.is(texts(value)[0], before[index - 1])
      else {
        assert.is(read.code, ErrorCode.ECORRUPT)
        failed++
      }
    }
    assert.ok(failed > 0, `bytes from ${from} of ${path} went unnoticed`)
  }
})

test.run()
