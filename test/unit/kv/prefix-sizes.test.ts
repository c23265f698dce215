import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { canonicalRecords } from '../../../src/machines/kv/canonical.js'
import { PrefixCount, type PrefixOptions } from '../../../src/machines/kv/prefix-sizes.js'
import { b, encode } from './commands.js'
import { applyNext, newMachine } from './fakes.js'

function sizes(writes: readonly { key: string; value: string | null }[], options: PrefixOptions) {
  const machine = newMachine()
  for (const { key, value } of writes) {
    applyNext(machine, encode(value === null ? { delete_range: { key: b(key) } } : { put: { key: b(key), value: b(value) } }))
  }
  const count = new PrefixCount(options)
  for (const record of canonicalRecords(machine.freeze())) if (record) count.add(record)
  const { top, others, total } = count.finish()
  return { top: top.map((size) => ({ ...size, prefix: String(size.prefix) })), others, total }
}

const put = (key: string, value: string) => ({ key, value })

test('keys are added up by prefix, the largest first', () => {
  const writes = [
    put('users/1', 'aaaa'),
    put('users/2', 'aaaa'),
    put('jobs/1', 'b'),
    put('jobs/1', 'bb'),
    put('plain', 'c'),
    { key: 'users/2', value: null },
  ]
  assert.equal(sizes(writes, { depth: 1, top: 10 }), {
    top: [
      { prefix: 'users/', keys: 1, bytes: 11, historyBytes: 29 },
      { prefix: 'jobs/', keys: 1, bytes: 8, historyBytes: 15 },
      { prefix: '', keys: 1, bytes: 6, historyBytes: 6 },
    ],
    others: { keys: 0, bytes: 0, historyBytes: 0, prefixes: 0 },
    total: { keys: 3, bytes: 25, historyBytes: 50 },
  })
})

test('what does not fit into the top is added up as well', () => {
  const writes = [put('a/1', 'x'), put('b/1', 'xxx'), put('c/1', 'xx'), put('d/1', '')]
  const { top, others, total } = sizes(writes, { depth: 1, top: 2 })
  assert.equal(
    top.map(({ prefix }) => prefix),
    ['b/', 'c/'],
  )
  assert.equal(others, { keys: 2, bytes: 7, historyBytes: 7, prefixes: 2 })
  assert.is(total.keys, 4)
})

test('prefixes under which no more keys can come are not held', () => {
  const count = new PrefixCount({ depth: 2, top: 3 })
  const { open } = count as unknown as { open: Map<string, unknown> }
  for (let i = 0; i < 1000; i++) {
    count.add({ key: { key: b(`${i % 10}/${String(i).padStart(4, '0')}/x`), versions: [{ value: b('v') }] } })
    assert.ok(open.size <= 2, `${open.size} are open`)
  }
})

test('sums are those of a count that holds every prefix', () => {
  const key = fc.array(fc.constantFrom('a', 'b', 'a!', '/'), { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''))
  const write = fc.record({ key, value: fc.option(fc.string({ unit: 'binary-ascii', maxLength: 3 }), { nil: null }) })
  fc.assert(
    fc.property(fc.array(write, { maxLength: 40 }), fc.integer({ min: 1, max: 3 }), (writes, depth) => {
      const live = new Map<string, string>()
      const history = new Map<string, number>()
      const prefixOf = (k: string) =>
        k
          .split('/')
          .slice(0, -1)
          .slice(0, depth)
          .map((part) => `${part}/`)
          .join('')
      for (const { key, value } of writes) {
        if (value === null && !live.has(key)) continue
        history.set(prefixOf(key), (history.get(prefixOf(key)) ?? 0) + key.length + (value?.length ?? 0))
        if (value === null) live.delete(key)
        else live.set(key, value)
      }
      const { top, total } = sizes(writes, { depth, top: 1000 })
      assert.equal(
        Object.fromEntries(top.map(({ prefix, historyBytes }) => [prefix, historyBytes])),
        Object.fromEntries([...history].sort()),
      )
      assert.is(total.keys, live.size)
      assert.is(
        total.bytes,
        [...live].reduce((sum, [k, v]) => sum + k.length + v.length, 0),
      )
      assert.is(
        top.reduce((sum, { keys }) => sum + keys, 0),
        live.size,
      )
    }),
    { numRuns: 300 },
  )
})

test.run()
