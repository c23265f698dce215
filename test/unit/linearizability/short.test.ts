// What keeps the search short: without one of these tricks the history that goes with it takes more steps than anybody waits for.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkLinearizability } from '../../../src/admin/linearizability/check.js'
import { registerModel } from '../../../src/admin/linearizability/register-model.js'
import { cas, del, get, op, put, type RegisterOperation } from './histories.js'

const times = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i))

function judged(operations: readonly RegisterOperation[], expected: 'linearizable' | 'violation', stepsMax: number): void {
  const { verdict, steps } = checkLinearizability(operations, registerModel, { stepsMax })
  assert.is(verdict, expected, `after ${steps} steps`)
}

test('the same operations placed with the same state are not tried again', () => {
  const writes = times(9, (i) => op(`w${i}`, [1, 100], put(String(i))))
  judged([...writes, op('r', [101, 102], get('never'))], 'violation', 50_000)
})

test('what only looks is placed as soon as it fits', () => {
  const writes = times(4, (i) => op('w', [2 * i + 2, 100 + i], put(String(i))))
  const reads = times(60, (i) => op(`r${i}`, [1, 200], get(String(i % 4))))
  judged([...writes, ...reads, op('r', [201, 202], get('never'))], 'violation', 20_000)
})

test('what a reader must still find is not overwritten', () => {
  const writes = times(60, (i) => op(`w${i}`, [1, 100], put(String(i))))
  judged([...writes, op('r', [101, 102], get('7'))], 'linearizable', 5000)
})

test('writes without an answer that nobody could notice are left out', () => {
  const unknown = times(500, (i) => op(`u${i}`, [i], put(`u${i}`)))
  judged([...unknown, op('r', [1000, 1001], get('never'))], 'violation', 100)
})

test('writes without an answer are placed only before somebody who looks', () => {
  const unknown = times(6, (i) => op(`u${i}`, [1], put(`u${i}`)))
  const writes = times(12, (i) => op('a', [10 * i + 10, 10 * i + 11], put(`a${i}`)))
  judged([...unknown, ...writes, op('b', [900, 901], del(true)), op('b', [902, 903], del(true))], 'linearizable', 300)
  judged([...unknown, ...writes, op('b', [900, 901], del(true)), op('r', [902, 903], get('never'))], 'violation', 300)
})

test('chains of writes without an answer are found', () => {
  const chain = times(30, (i) => op(`u${i}`, [1], cas(i === 0 ? { absent: true } : { value: String(i - 1) }, String(i), true)))
  judged([...chain, op('r', [10, 11], get('29'))], 'linearizable', 2000)
  judged([...chain, op('r', [10, 11], get('29')), op('r', [12, 13], get('5'))], 'violation', 2000)
})

test.run()
