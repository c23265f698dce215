import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkLinearizability } from '../../../src/admin/linearizability/check.js'
import { describeProblem, verdictLine } from '../../../src/admin/linearizability/picture.js'
import { registerModel } from '../../../src/admin/linearizability/register-model.js'
import { timelinePage } from '../../../src/admin/linearizability/timeline.js'
import { cas, get, op, put, type RegisterOperation } from './histories.js'

function problemOf(operations: readonly RegisterOperation[]) {
  const { problem } = checkLinearizability(operations, registerModel)
  assert.ok(problem)
  return problem
}

const staleRead = [
  op('c1', [1, 2], put('one', { revision: 2 }), { key: 'k/<7>' }),
  op('c2', [3, 4], cas({ value: 'one' }, 'two', true, { revision: 3 }), { key: 'k/<7>' }),
  op('c1', [4.5], put('three'), { key: 'k/<7>' }),
  op('c3', [5, 6], get('one', 2), { key: 'k/<7>' }),
  op('c2', [5.5, 7], get('two', 3), { key: 'k/<7>' }),
  op('c1', [8, 9], put('four', { revision: 4 }), { key: 'k/<7>' }),
]

test('the picture of a bad key: the longest order, and what cannot come next', () => {
  assert.is(
    describeProblem(problemOf(staleRead), registerModel),
    `
key k/<7> is not linearizable: of its 6 operations at most 1 can follow one another.
From the beginning:
  1  c1  put "one"@2  1.000 … 2.000  the key holds "one"@2
Then none of these can come next:
  c2  cas "one" to "two" → swapped@3  3.000 … 4.000  c3's get → "one"@2, called at 5.000, must find the key as it was before this
`.trim(),
  )
})

test('a long order is cut to its end', () => {
  const writes = Array.from({ length: 40 }, (_, i) => op('w', [i, i + 0.5], put(String(i))))
  const text = describeProblem(problemOf([...writes, op('r', [50, 51], get('never'))]), registerModel)
  assert.match(text, 'After 28 others:')
  assert.match(text, /29 {2}w {2}put "28"/)
  assert.not.match(text, 'put "27"')
  assert.match(text, /r {2}get → "never" {2}50.000 … 51.000 {2}the key holds "39"/)
})

test('what nobody knows is told as that', () => {
  const text = describeProblem(problemOf([op('a', [1], put('1')), op('b', [2, 3], get('2')), op('b', [4, 5], get('1'))]), registerModel)
  assert.match(text, /put "1" → \? +1.000 … no answer +nobody knows whether it took effect; if it did here, nothing fits after it/)
})

test('an order that the server told and nobody can keep is named', () => {
  const text = describeProblem(problemOf([op('a', [1, 2], put('1'), { order: 9 }), op('b', [3, 4], put('2'), { order: 8 })]), registerModel)
  assert.match(text, `the server put it at 9, after b's put "2" at 8`)
})

test('one line tells what was judged', () => {
  assert.is(verdictLine(checkLinearizability(staleRead, registerModel)), 'linearizable=no operations=6 keys=1 unknown=1 steps=2')
  assert.match(verdictLine(checkLinearizability([], registerModel)), 'linearizable=yes')
})

test('the page is whole in itself, draws every operation and escapes what it shows', () => {
  const page = timelinePage(problemOf(staleRead), registerModel)
  assert.is(page.match(/<rect /g)?.length, staleRead.length)
  assert.match(page, '<g class="stuck"><title>c2: cas &quot;one&quot; to &quot;two&quot;')
  assert.match(page, '1. put &quot;one&quot;@2')
  assert.not.match(page, 'k/<7>')
  assert.not.match(page, /<script|<link|src=|href=|url\(/)
})

test.run()
