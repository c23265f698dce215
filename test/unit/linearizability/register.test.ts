import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type CheckLimits, checkLinearizability } from '../../../src/admin/linearizability/check.js'
import { registerModel } from '../../../src/admin/linearizability/register-model.js'
import { cas, del, get, op, put, type RegisterOperation } from './histories.js'

function verdict(operations: readonly RegisterOperation[], limits?: CheckLimits): string {
  return checkLinearizability(operations, registerModel, limits).verdict
}

const good: Record<string, RegisterOperation[]> = {
  'nothing happened': [],
  'one after the other': [op('a', [1, 2], put('1')), op('b', [3, 4], get('1')), op('a', [5, 6], put('2')), op('b', [7, 8], get('2'))],
  'a read beside a write sees the value before': [op('a', [1, 2], put('1')), op('a', [3, 8], put('2')), op('b', [4, 5], get('1'))],
  'a read beside a write sees the value after': [op('a', [1, 2], put('1')), op('a', [3, 8], put('2')), op('b', [4, 5], get('2'))],
  'what ends at the moment at which another begins is beside it': [op('a', [1, 2], put('1')), op('b', [2, 3], get(null))],
  'writes beside each other take effect in the order that readers saw': [
    op('a', [1, 10], put('1')),
    op('b', [1, 10], put('2')),
    op('c', [2, 3], get('2')),
    op('c', [4, 5], get('1')),
  ],
  'a write without an answer took effect at once': [op('a', [1], put('1')), op('b', [2, 3], get('1'))],
  'a write without an answer took effect late': [
    op('a', [1], put('1')),
    op('b', [2, 3], put('2')),
    op('b', [4, 5], get('2')),
    op('b', [6, 7], get('1')),
  ],
  'a write without an answer never took effect': [op('a', [1], put('1')), op('b', [2, 3], get(null)), op('b', [4, 5], get(null))],
  'two writes without an answer, the second built on the first': [
    op('a', [1], put('1')),
    op('b', [2], cas({ value: '1' }, '2', true)),
    op('c', [3, 4], get('2')),
  ],
  'cas swaps what it expects': [
    op('a', [1, 2], cas({ absent: true }, '1', true)),
    op('a', [3, 4], cas({ value: '1' }, '2', true)),
    op('a', [5, 6], cas({ value: '1' }, '3', false, { found: { value: '2' } })),
    op('a', [7, 8], get('2')),
  ],
  'one of two cas beside each other swaps': [
    op('a', [1, 9], cas({ absent: true }, '1', true)),
    op('b', [1, 9], cas({ absent: true }, '2', false, { found: { value: '1' } })),
  ],
  'a cas by revision': [
    op('a', [1, 2], put('1', { revision: 7 })),
    op('b', [3, 4], cas({ revision: 7 }, '2', true, { revision: 9 })),
    op('b', [5, 6], cas({ revision: 7 }, '3', false, { found: { value: '2', revision: 9 } })),
  ],
  'a cas by the revision of a write without an answer, which a reader saw': [
    op('a', [1], put('1')),
    op('b', [2, 3], get('1', 5)),
    op('b', [4, 5], cas({ revision: 5 }, '2', true)),
  ],
  'delete, and nothing to delete': [
    op('a', [1, 2], put('1')),
    op('a', [3, 4], del(true)),
    op('b', [5, 6], get(null)),
    op('a', [7, 8], del(false)),
  ],
  'a delete found what a write without an answer wrote': [op('a', [1], put('1')), op('b', [2, 3], del(true)), op('b', [4, 5], get(null))],
  'keys do not touch each other': [
    op('a', [1, 2], put('1'), { key: 'x' }),
    op('a', [3, 4], put('2'), { key: 'y' }),
    op('b', [5, 6], get('1'), { key: 'x' }),
    op('b', [7, 8], get('2'), { key: 'y' }),
  ],
  'the order that the server told': [
    op('a', [1, 9], put('1'), { order: 2 }),
    op('b', [1, 9], put('2'), { order: 1 }),
    op('c', [10, 11], get('1')),
  ],
}

const bad: Record<string, RegisterOperation[]> = {
  'a stale read': [op('a', [1, 2], put('1')), op('a', [3, 4], put('2')), op('b', [5, 6], get('1'))],
  'a lost write': [op('a', [1, 2], put('1')), op('b', [3, 4], get(null))],
  'a write that comes and goes': [op('a', [1, 9], put('1')), op('b', [2, 3], get('1')), op('b', [4, 5], get(null))],
  'two readers who see two orders': [
    op('a', [1, 20], put('1')),
    op('b', [1, 20], put('2')),
    op('c', [2, 3], get('1')),
    op('c', [6, 7], get('2')),
    op('d', [8, 9], get('1')),
  ],
  'a write applied twice': [op('a', [1, 2], put('1')), op('b', [3, 4], put('2')), op('c', [5, 6], get('2')), op('c', [7, 8], get('1'))],
  'a write without an answer applied twice': [
    op('a', [1], put('1')),
    op('b', [2, 3], get('1')),
    op('b', [4, 5], put('2')),
    op('b', [6, 7], get('2')),
    op('b', [8, 9], get('1')),
  ],
  'a value that nobody wrote': [op('a', [1, 2], put('1')), op('b', [3, 4], get('7'))],
  'a value read before it was written': [op('b', [1, 2], get('1')), op('a', [3, 4], put('1'))],
  'a write without an answer seen before it was called': [op('b', [1, 2], get('1')), op('a', [3], put('1'))],
  'a cas that swapped what was not there': [op('a', [1, 2], put('1')), op('b', [3, 4], cas({ value: '2' }, '3', true))],
  'a cas that did not swap what was there': [
    op('a', [1, 2], put('1')),
    op('b', [3, 4], cas({ value: '1' }, '2', false, { found: { value: '1' } })),
  ],
  'two cas that both swapped the same': [
    op('a', [1, 9], cas({ absent: true }, '1', true)),
    op('b', [1, 9], cas({ absent: true }, '2', true)),
  ],
  'a cas by revision that swapped another one': [
    op('a', [1, 2], put('1', { revision: 7 })),
    op('b', [3, 4], cas({ revision: 6 }, '2', true, { revision: 9 })),
  ],
  'a value read with a revision that did not write it': [op('a', [1, 2], put('1', { revision: 7 })), op('b', [3, 4], get('1', 8))],
  'a put that replaced what was long gone': [
    op('a', [1, 2], put('1')),
    op('a', [3, 4], put('2')),
    op('b', [5, 6], put('3', { found: { value: '1' } })),
  ],
  'a delete that found nothing, and there was something': [op('a', [1, 2], put('1')), op('b', [3, 4], del(false))],
  'a delete that did not delete': [op('a', [1, 2], put('1')), op('a', [3, 4], del(true)), op('b', [5, 6], get('1'))],
  'an order that goes against time': [op('a', [1, 2], put('1'), { order: 2 }), op('b', [3, 4], put('2'), { order: 1 })],
  'an order that goes against what a reader saw': [
    op('a', [1, 9], put('1'), { order: 2 }),
    op('b', [1, 9], put('2'), { order: 1 }),
    op('c', [10, 11], get('2')),
  ],
  'one bad key among good ones': [
    op('a', [1, 2], put('1'), { key: 'good' }),
    op('b', [3, 4], get('1'), { key: 'good' }),
    op('a', [1, 2], put('1'), { key: 'bad' }),
    op('b', [3, 4], get(null), { key: 'bad' }),
  ],
}

for (const [what, operations] of Object.entries(good)) {
  test(`linearizable: ${what}`, () => assert.is(verdict(operations), 'linearizable'))
}

for (const [what, operations] of Object.entries(bad)) {
  test(`not linearizable: ${what}`, () => assert.is(verdict(operations), 'violation'))
}

test('a key with too many operations is undecided, and a bad key beside it still bad', () => {
  const many = Array.from({ length: 11 }, (_, i) => op('a', [i, i + 0.5], put(String(i)), { key: 'many' }))
  const limits = { operationsPerKeyMax: 10 }
  const result = checkLinearizability(many, registerModel, limits)
  assert.is(result.verdict, 'undecided')
  assert.is(result.problem?.undecided, 'too many operations')
  assert.is(verdict([...many, ...bad['a lost write']!], limits), 'violation')
})

test('a search that takes too many steps, or too long, is undecided', () => {
  const blind = Array.from({ length: 24 }, (_, i) => op(`c${i}`, [1, 100], put(String(i))))
  const history = [...blind, op('r', [101, 102], get('0')), op('r', [103, 104], get('1'))]
  assert.is(verdict(history, { stepsMax: 10_000 }), 'undecided')
  assert.is(verdict(history, { expired: () => true }), 'undecided')
})

test('many writes without an answer do not multiply the search', () => {
  const unknown = Array.from({ length: 200 }, (_, i) => op(`u${i}`, [i], put(`u${i}`)))
  const reads = Array.from({ length: 200 }, (_, i) => [
    op('w', [200 + i, 200.2 + i], put(`w${i}`)),
    op('r', [200.4 + i, 200.6 + i], get(i % 3 === 0 ? `u${(i * 7) % 200}` : `w${i}`)),
  ]).flat()
  const result = checkLinearizability([...unknown, ...reads], registerModel)
  assert.is(result.verdict, 'linearizable')
  assert.ok(result.steps < 100_000, `${result.steps} steps`)
  const never = checkLinearizability([...unknown, ...reads, op('r', [500, 501], get('never'))], registerModel)
  assert.is(never.verdict, 'violation')
})

test.run()
