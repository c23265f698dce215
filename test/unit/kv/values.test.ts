import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KvStore } from '../../../src/machines/kv/store.js'
import { Valued, Values } from '../../../src/machines/kv/values.js'
import { SimRandom } from '../../../src/testing/sim-random.js'

const CHUNK_BYTES = 256 * 1024

function held(values: Values, value: Uint8Array): Valued {
  const holder = new Valued()
  values.put(holder, value)
  return holder
}

test('values are what was put in, whatever is released and moved', () => {
  for (let seed = 1; seed <= 5; seed++) {
    const random = new SimRandom(seed)
    const values = new Values()
    const expected = new Map<Valued, Buffer>()
    let live = 0
    const longest = random.pick([10, 3000, 60_000])
    for (let step = 0; step < 6000; step++) {
      const target = random.chance(0.5) ? 500 : 20
      if (expected.size < target) {
        const value = Buffer.alloc(random.integer(0, longest), step)
        expected.set(held(values, value), value)
        live += value.length
      } else {
        const holder = random.pick([...expected.keys()])
        live -= expected.get(holder)!.length
        values.release(holder)
        assert.is(holder.value.length, 0)
        expected.delete(holder)
      }
      assert.ok(values.chunkBytes <= 2.5 * live + 3 * CHUNK_BYTES, `${values.chunkBytes} for ${live}`)
    }
    for (const [holder, value] of expected) assert.equal(holder.value, value)
  }
})

test('what is copied in does not change with what it was copied from', () => {
  const values = new Values()
  const source = Buffer.from('before')
  const holder = held(values, source)
  source.write('after')
  assert.is(String(holder.value), 'before')
})

test('a long value has memory of its own, which is gone with it', () => {
  const values = new Values()
  const long = held(values, Buffer.alloc(CHUNK_BYTES, 'l'))
  assert.is(values.chunkBytes, 0)
  assert.is(long.value.length, CHUNK_BYTES)
  values.release(long)
  assert.is(long.value.length, 0)
})

test('a value has room although what is left of a full chunk moved in before it', () => {
  const values = new Values()
  const random = new SimRandom(3)
  const kept: [Valued, number][] = []
  let counter = held(values, Buffer.from([0]))
  for (let i = 0; i < 3000; i++) {
    for (let overwritten = 0; overwritten < 20; overwritten++) {
      values.release(counter)
      counter = held(values, Buffer.from([overwritten]))
    }
    if (random.chance(0.3)) kept.push([held(values, Buffer.alloc(30_000, i)), i & 255])
    if (kept.length > 40) values.release(kept.shift()![0])
  }
  for (const [holder, fill] of kept) assert.is(holder.value.equals(Buffer.alloc(30_000, fill)), true)
})

test('holders whose values are gone are let go of, however short their values', () => {
  const values = new Values()
  const holders = Array.from({ length: 40_000 }, (_, i) => held(values, Buffer.alloc(1, i)))
  const chunks = new Set(holders.map(({ chunk }) => chunk!))
  assert.ok(chunks.size >= 40_000 / 4096, 'so that emptying one is not work for long')
  for (let i = 0; i < holders.length; i++) if (i % 3 !== 0) values.release(holders[i]!)
  const known = [...new Set(holders.map(({ chunk }) => chunk))].flatMap((chunk) => chunk?.holders ?? [])
  assert.ok(known.length <= 2 * Math.ceil(40_000 / 3), `${known.length}`)
  for (let i = 0; i < holders.length; i += 3) assert.is(holders[i]!.value[0], i & 255)
})

test('an empty value takes nothing', () => {
  const values = new Values()
  const holder = held(values, Buffer.alloc(0))
  assert.is(values.chunkBytes, 0)
  values.release(holder)
  assert.is(holder.value.length, 0)
})

const VALUE = Buffer.alloc(1000)
function put(store: KvStore, key: string, fill: number): void {
  const transaction = store.begin()
  transaction.put(key, VALUE.fill(fill), 0)
  transaction.end()
}
const values = (store: KvStore) => (store as unknown as { values: Values }).values

test('a store takes no more memory than it holds when its history is compacted, and a frozen one reads on', () => {
  const store = new KvStore()
  for (let i = 0; i < 2000; i++) put(store, `k${i % 100}`, i)
  assert.ok(values(store).chunkBytes >= 2_000_000)
  const frozen = store.freeze()
  assert.is(store.compact(store.revision), null)
  for (let i = 0; i < 500; i++) put(store, `k${i % 100}`, 7)
  const read = [...frozen.histories()]
  assert.is(read.length, 100)
  for (const versions of read) assert.is(versions!.length, 20)
  assert.is(read[0]!.at(-1)!.value[0], 1900 & 255)
  frozen.release()
  assert.is(store.compact(store.revision), null)
  for (let i = 0; i < 100; i++) put(store, `k${i}`, 8)
  assert.ok(values(store).chunkBytes <= 2 * 200_000 + 2 * CHUNK_BYTES, `${values(store).chunkBytes}`)
  for (let i = 0; i < 100; i++) assert.is(store.get(`k${i}`)!.value[999], 8)
})

test('what a transaction undoes takes no memory', () => {
  const store = new KvStore()
  for (let i = 0; i < 5000; i++) {
    const transaction = store.begin()
    transaction.put('k', VALUE, 0)
    transaction.rollback()
  }
  assert.ok(values(store).chunkBytes <= 2 * CHUNK_BYTES)
  assert.is(store.get('k'), null)
})

test.run()
