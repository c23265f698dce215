// The search against the plainest one: every order of every subset.
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkLinearizability } from '../../../src/admin/linearizability/check.js'
import { type Held, type RegisterAnswer, type RegisterCall, registerModel } from '../../../src/admin/linearizability/register-model.js'
import type { RegisterOperation } from './histories.js'

/** Whether some order of all operations with an answer and some of the others is allowed and keeps time and the servers' order. */
function oracle(left: readonly RegisterOperation[], state: Held = registerModel.initial): boolean {
  if (left.every(({ answer }) => answer === null)) return true
  return left.some((operation) => {
    const others = left.filter((other) => other !== operation)
    if (others.some((other) => other.answeredAt < operation.calledAt)) return false
    if (operation.order !== null && others.some(({ order }) => order !== null && order < operation.order!)) return false
    const next = registerModel.step(state, operation.call, operation.answer)
    return next !== undefined && oracle(others, next)
  })
}

const value = fc.constantFrom('1', '2', '3')
const held = fc.option(value, { nil: null }).map((text) => ({ value: text }))
const revision = fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined })

const called: fc.Arbitrary<{ call: RegisterCall; answer: RegisterAnswer }> = fc.oneof(
  held.chain((found) => revision.map((number) => ({ call: { kind: 'get' as const }, answer: { found: seen(found, number) } }))),
  fc.record({
    call: fc.record({ kind: fc.constant('put' as const), value }),
    answer: fc.record({ found: held, revision: fc.integer({ min: 1, max: 3 }) }, { requiredKeys: [] }),
  }),
  fc.record({ call: fc.constant({ kind: 'delete' as const }), answer: fc.record({ done: fc.boolean() }, { requiredKeys: [] }) }),
  fc.record({
    call: fc.record({
      kind: fc.constant('cas' as const),
      expected: fc.oneof(
        fc.record({ value }),
        fc.constant({ absent: true as const }),
        fc.integer({ min: 0, max: 3 }).map((number) => ({ revision: number })),
      ),
      value,
    }),
    answer: fc.oneof(
      fc.constant<RegisterAnswer>({ done: true }),
      held.map((found): RegisterAnswer => ({ done: false, found })),
    ),
  }),
)

function seen(found: { value: string | null }, number: number | undefined): Held {
  return found.value === null ? found : { ...found, revision: number }
}

const operation: fc.Arbitrary<RegisterOperation> = fc
  .record({
    told: called,
    calledAt: fc.integer({ min: 0, max: 12 }),
    lasts: fc.integer({ min: 0, max: 8 }),
    unknown: fc.boolean(),
    order: fc.option(fc.integer({ min: 1, max: 6 }), { nil: null, freq: 3 }),
  })
  .map(({ told: { call, answer }, calledAt, lasts, unknown, order }) =>
    unknown && call.kind !== 'get'
      ? { client: 'c', key: 'x', call, calledAt, answer: null, answeredAt: Infinity, order: null }
      : { client: 'c', key: 'x', call, calledAt, answer, answeredAt: calledAt + lasts, order },
  )

test('it answers as the plainest search does', () => {
  const verdicts = { linearizable: 0, violation: 0 }
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 6 }), (operations) => {
      const expected = oracle(operations) ? 'linearizable' : 'violation'
      verdicts[expected]++
      assert.is(checkLinearizability(operations, registerModel).verdict, expected)
    }),
    { numRuns: 6000, seed: 1 },
  )
  assert.ok(verdicts.linearizable > 500 && verdicts.violation > 500, JSON.stringify(verdicts))
})

/** A real register, run by clients that overlap; some of what they did is left without an answer, or never happened. */
const run = fc
  .array(fc.record({ told: called, gap: fc.double({ min: 0, max: 3, noNaN: true }), fate: fc.integer({ min: 0, max: 9 }) }), {
    maxLength: 7,
  })
  .map((steps) => {
    let state = registerModel.initial
    let at = 0
    return steps.map(({ told: { call }, gap, fate }, i): RegisterOperation => {
      at += 1
      const answer = answerOf(state, call)
      if (fate !== 0) state = registerModel.step(state, call, answer) ?? state
      const unknown = fate <= 1 && call.kind !== 'get'
      const answeredAt = unknown ? Infinity : at + gap
      return { client: `c${i % 3}`, key: 'x', call, calledAt: at - gap, answer: unknown ? null : answer, answeredAt, order: null }
    })
  })

function answerOf(state: Held, call: RegisterCall): RegisterAnswer {
  switch (call.kind) {
    case 'get':
      return { found: state }
    case 'put':
      return {}
    case 'delete':
      return { done: state.value !== null }
    case 'cas': {
      const done = registerModel.step(state, call, { done: true }) !== undefined
      return done ? { done } : { done, found: state }
    }
  }
}

test('what a real register did is linearizable, and the plainest search agrees on every spoilt answer', () => {
  const verdicts = { linearizable: 0, violation: 0 }
  fc.assert(
    fc.property(run, fc.nat(), value, (operations, which, other) => {
      assert.is(checkLinearizability(operations, registerModel).verdict, 'linearizable')
      const spoilt = operations.map((one, at) =>
        at === which % operations.length && one.answer?.found ? { ...one, answer: { ...one.answer, found: { value: other } } } : one,
      )
      const expected = oracle(spoilt) ? 'linearizable' : 'violation'
      verdicts[expected]++
      assert.is(checkLinearizability(spoilt, registerModel).verdict, expected)
    }),
    { numRuns: 3000, seed: 2 },
  )
  assert.ok(verdicts.violation > 200, JSON.stringify(verdicts))
})

test.run()
