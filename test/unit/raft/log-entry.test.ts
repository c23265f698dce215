import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ENTRY_HEADER_BYTES, EntryBatch, EntryType, type NewEntry } from '../../../src/raft/log-entry.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { batch, configuration, data, members, texts } from '../../support/entries.js'
import { checksum } from '../../support/fake-environment.js'

const hex = (text: string) => Buffer.from(text.replace(/\s/g, ''), 'hex')

const HELLO = hex('0000000000000001 02010000 00000005 9a71bb4c beb21d8d 68656c6c6f')
const HELLO_MURMUR = hex('0000000000000001 02000000 00000005 248bfa47 a0d2074f 68656c6c6f')
const NO_OP = hex('0000000000000001 01010000 00000000 00000000 2a174daa')
const NO_OP_MURMUR = hex('0000000000000001 01000000 00000000 00000000 cebaeca5')
const CONF_DATA = '0a12 3132372e302e302e313a383130303a303a30 0a12 3132372e302e302e313a383130313a303a30'
const CONF = hex(`0000000000000002 03010000 00000028 caf7e5d5 1e690392 ${CONF_DATA}`)
const CONF_MURMUR = hex(`0000000000000002 03000000 00000028 bb6f3618 26884620 ${CONF_DATA}`)

test("golden: braft's bytes of a task, a no-op and a configuration", () => {
  assert.is(batch(1, 1, ['hello']).bytes.toString('hex'), HELLO.toString('hex'))
  assert.is(batch(1, 1, [{ type: EntryType.NO_OP, data: Buffer.alloc(0) }]).bytes.toString('hex'), NO_OP.toString('hex'))
  assert.is(batch(1, 2, [configuration(members(8100, 8101))]).bytes.toString('hex'), CONF.toString('hex'))
})

test("golden: braft's bytes are read, with either checksum", () => {
  for (const all of [
    [HELLO, NO_OP, CONF],
    [HELLO_MURMUR, NO_OP_MURMUR, CONF_MURMUR],
  ]) {
    const { batch: read, problem } = EntryBatch.parse(logIndex(5), Buffer.concat(all), checksum)
    assert.is(problem, null)
    assert.equal(
      [5, 6, 7].map((index) => [read!.termAt(logIndex(index)), read!.typeAt(logIndex(index))]),
      [
        [1, EntryType.DATA],
        [1, EntryType.NO_OP],
        [2, EntryType.CONFIGURATION],
      ],
    )
    assert.is(read!.dataAt(logIndex(5)).toString(), 'hello')
    assert.is(read!.dataAt(logIndex(6)).length, 0)
    assert.equal(read!.lastId, { index: 7, term: 2 })
  }
})

test('each thing that can be wrong with an entry has its name, and what is before it is kept', () => {
  const flip = (at: number, value?: number) => {
    const bytes = Buffer.concat([NO_OP, HELLO])
    bytes[NO_OP.length + at] = value ?? bytes[NO_OP.length + at]! ^ 1
    return bytes
  }
  const cases: [string, Buffer][] = [
    ['short header', Buffer.concat([NO_OP, HELLO.subarray(0, 23)])],
    ['short data', Buffer.concat([NO_OP, HELLO.subarray(0, 28)])],
    ['header checksum', flip(3)],
    ['header checksum', flip(23)],
    ['checksum type', flip(9, 7)],
    ['data checksum', flip(26)],
    ['entry type', Buffer.concat([NO_OP, batch(1, 1, [{ type: 9 as EntryType, data: Buffer.alloc(0) }]).bytes])],
  ]
  for (const [name, bytes] of cases) {
    const { batch: read, goodBytes, problem } = EntryBatch.parse(logIndex(1), bytes, checksum)
    assert.is(problem, name)
    assert.is(goodBytes, NO_OP.length)
    assert.is(read?.count, 1)
  }
})

test('terms above 32 bits survive', () => {
  const term = 2 ** 40 + 7
  const { batch: read } = EntryBatch.parse(logIndex(1), batch(1, term, ['a']).bytes, checksum)
  assert.is(read!.termAt(logIndex(1)), term)
})

test('an index outside of the batch is an assertion', () => {
  const two = batch(5, 1, ['a', 'b'])
  assert.throws(() => two.termAt(logIndex(4)), /outside of the batch/)
  assert.throws(() => two.dataAt(logIndex(7)), /outside of the batch/)
  assert.throws(() => two.slice(logIndex(4), logIndex(5)), /outside of the batch/)
  assert.throws(() => two.slice(logIndex(6), logIndex(5)), /outside of the batch/)
  assert.throws(() => EntryBatch.concat([two, two]), /do not follow/)
  assert.throws(() => EntryBatch.encode(logIndex(1), asTerm(1), [], checksum), /empty batch/)
})

const entry: fc.Arbitrary<NewEntry> = fc.record({
  type: fc.constantFrom(EntryType.NO_OP, EntryType.DATA, EntryType.CONFIGURATION),
  data: fc.uint8Array({ maxLength: 40 }),
})
const entries = fc.array(entry, { minLength: 1, maxLength: 12 })

test('parse reads what encode wrote', () => {
  fc.assert(
    fc.property(entries, fc.nat(Number.MAX_SAFE_INTEGER), fc.integer({ min: 1, max: 1e12 }), (list, term, first) => {
      const written = EntryBatch.encode(logIndex(first), asTerm(term), list, checksum)
      const { batch: read, goodBytes, problem } = EntryBatch.parse(logIndex(first), written.bytes, checksum)
      assert.is(problem, null)
      assert.is(goodBytes, written.byteLength)
      assert.is(read!.count, list.length)
      list.forEach(({ type, data: bytes }, i) => {
        const index = logIndex(first + i)
        assert.is(read!.typeAt(index), type)
        assert.is(read!.termAt(index), term)
        assert.ok(read!.dataAt(index).equals(bytes))
        assert.is(read!.byteLengthAt(index), ENTRY_HEADER_BYTES + bytes.length)
      })
    }),
  )
})

test('slices share the bytes, and joined again they are the whole', () => {
  fc.assert(
    fc.property(entries, fc.array(fc.nat(12), { maxLength: 4 }), (list, cuts) => {
      const whole = EntryBatch.encode(logIndex(3), asTerm(1), list, checksum)
      const ends = [...new Set([...cuts.filter((cut) => cut > 0 && cut < list.length), list.length])].sort((a, b) => a - b)
      const parts = ends.map((end, i) => whole.slice(logIndex(3 + (ends[i - 1] ?? 0)), logIndex(2 + end)))
      for (const part of parts) {
        assert.is(part.bytes.buffer, whole.bytes.buffer)
        const inner = part.slice(part.lastIndex, part.lastIndex)
        assert.ok(inner.dataAt(part.lastIndex).equals(whole.dataAt(part.lastIndex)), 'a slice of a slice')
        assert.is(whole.offsetAt(part.firstIndex) + part.byteLength, whole.offsetAt(logIndex(part.lastIndex + 1)))
      }
      const joined = EntryBatch.concat(parts)
      assert.ok(joined.bytes.equals(whole.bytes))
      assert.equal(texts(joined), texts(whole))
    }),
  )
})

test('lastWithin is the furthest that fits, and never less than one', () => {
  fc.assert(
    fc.property(entries, fc.nat(11), fc.nat(400), (list, skip, maxBytes) => {
      const whole = EntryBatch.encode(logIndex(1), asTerm(1), list, checksum)
      const first = logIndex(1 + (skip % list.length))
      const last = whole.lastWithin(first, maxBytes)
      const size = (to: number) => whole.slice(first, logIndex(to)).byteLength
      assert.ok(last === first || size(last) <= maxBytes)
      if (last < whole.lastIndex) assert.ok(size(last + 1) > maxBytes)
    }),
  )
})

test('damage anywhere is found at its entry; what is before stays good', () => {
  fc.assert(
    fc.property(entries, fc.nat(), fc.integer({ min: 1, max: 255 }), (list, position, mask) => {
      const whole = EntryBatch.encode(logIndex(1), asTerm(1), list, checksum)
      const bytes = Buffer.from(whole.bytes)
      const at = position % bytes.length
      bytes[at]! ^= mask
      const { goodBytes, problem, batch: read } = EntryBatch.parse(logIndex(1), bytes, checksum)
      assert.ok(problem)
      assert.ok(goodBytes <= at && (read?.byteLength ?? 0) === goodBytes)
      const damaged = list.findIndex((_, i) => whole.offsetAt(logIndex(i + 2)) > at)
      assert.is(read?.count ?? 0, damaged)
    }),
    { numRuns: 500 },
  )
})

test('garbage never throws', () => {
  const framed = fc.tuple(fc.uint8Array({ maxLength: 60 }), fc.nat(0xffffffff)).map(([tail, length]) => {
    const header = Buffer.from(HELLO.subarray(0, 24))
    header.writeUInt32BE(length, 12)
    header.writeUInt32BE(checksum.crc32c(header.subarray(0, 20)), 20)
    return Buffer.concat([header, tail])
  })
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 100 }), framed), (bytes) => {
      const { goodBytes, problem } = EntryBatch.parse(logIndex(1), Buffer.from(bytes), checksum)
      assert.is(problem === null, goodBytes === bytes.length)
    }),
    { numRuns: 2000 },
  )
})

test('the data is copied once: what the caller changes later does not show', () => {
  const task = data('before')
  const written = batch(1, 1, [task])
  task.data.set(Buffer.from('after!'))
  assert.equal(texts(written), ['1:1:before'])
})

test('tasks are encoded as data entries, whatever array their bytes lie in', () => {
  const whole = Uint8Array.from({ length: 700 }, (_, i) => i)
  const arrays = [whole, whole.subarray(3, 40), whole.subarray(100, 500), Buffer.from(whole), new Uint8Array(0)]
  const tasks = arrays.map((bytes) => ({ data: bytes, type: EntryType.CONFIGURATION }))
  const entries = arrays.map((bytes): NewEntry => ({ data: Buffer.from(bytes), type: EntryType.DATA }))
  const encoded = EntryBatch.encodeData(logIndex(1), asTerm(7), tasks, checksum)
  assert.is(encoded.bytes.toString('hex'), EntryBatch.encode(logIndex(1), asTerm(7), entries, checksum).bytes.toString('hex'))
  assert.is(EntryBatch.parse(logIndex(1), encoded.bytes, checksum).problem, null)
})

test.run()
