import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { HistoryRecorder } from '../../../src/admin/linearizability/operation.js'
import type { RegisterAnswer, RegisterCall } from '../../../src/admin/linearizability/register-model.js'

function recorder(times: readonly number[]) {
  const left = [...times]
  return new HistoryRecorder<RegisterCall, RegisterAnswer>(() => left.shift()!)
}

test('answers, failures and what never ended', () => {
  const history = recorder([1, 2, 3, 4, 5])
  const write = history.begin('a', 'x', { kind: 'put', value: '1' })
  const refused = history.begin('b', 'x', { kind: 'put', value: '2' })
  history.begin('c', 'y', { kind: 'delete' })
  write.answered({ revision: 7 }, 7)
  refused.failed()
  assert.equal(history.operations(), [
    { client: 'a', key: 'x', call: { kind: 'put', value: '1' }, calledAt: 1, answer: { revision: 7 }, answeredAt: 4, order: 7 },
    { client: 'c', key: 'y', call: { kind: 'delete' }, calledAt: 3, answer: null, answeredAt: Infinity, order: null },
  ])
})

test('what happens at the same time by the clock still happens one after the other', () => {
  const history = recorder([1e9, 1e9, 1e9, 1e9])
  history.begin('a', 'x', { kind: 'get' }).answered({ found: { value: null } })
  history.begin('b', 'x', { kind: 'get' }).answered({ found: { value: null } })
  const moments = history.operations().flatMap(({ calledAt, answeredAt }) => [calledAt, answeredAt])
  assert.is(new Set(moments).size, 4)
  assert.equal(
    [...moments].sort((a, b) => a - b),
    moments,
  )
})

test('an operation ends once', () => {
  const history = recorder([1, 2, 3, 4])
  const read = history.begin('a', 'x', { kind: 'get' })
  read.failed()
  read.answered({ found: { value: null } })
  assert.is(history.operations().length, 0)
})

test('an answer that comes later changes nothing that was handed out', () => {
  const history = recorder([1, 2])
  const write = history.begin('a', 'x', { kind: 'put', value: '1' })
  const [early] = history.operations()
  write.answered({ revision: 7 }, 7)
  assert.is(early!.answer, null)
  assert.is(early!.answeredAt, Infinity)
  assert.equal(history.operations()[0]!.answer, { revision: 7 })
})

test.run()
