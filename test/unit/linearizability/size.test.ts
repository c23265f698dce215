// A history of the size that a minute of real processes leaves: judged in seconds, good or bad.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkLinearizability } from '../../../src/admin/linearizability/check.js'
import { HistoryRecorder } from '../../../src/admin/linearizability/operation.js'
import { type Held, type RegisterAnswer, type RegisterCall, registerModel } from '../../../src/admin/linearizability/register-model.js'
import { SimRandom } from '../../../src/testing/sim-random.js'
import type { RegisterOperation } from './histories.js'

const OPERATIONS = 10_000
const KEYS = 20
const CLIENTS = 10

interface UnderWay {
  readonly at: number
  readonly run: () => void
}

/** Clients of a register that answers right: each has one operation under way, which takes effect at some time in between. */
function history(seed: number): RegisterOperation[] {
  const random = new SimRandom(seed)
  const registers = new Map<string, Held>()
  let now = 0
  let revision = 0
  const events: UnderWay[] = []
  const recorder = new HistoryRecorder<RegisterCall, RegisterAnswer>(() => now)
  const later = (afterMs: number, run: () => void) => events.push({ at: now + afterMs, run })
  let left = OPERATIONS

  const next = (client: string): void => {
    if (left-- <= 0) return
    const key = `k${random.below(KEYS)}`
    const value = `v${left}`
    const seen = registers.get(key)?.value ?? null
    const expected = seen === null ? ({ absent: true } as const) : { value: seen }
    const call: RegisterCall = random.pick([{ kind: 'get' }, { kind: 'put', value }, { kind: 'cas', expected, value }])
    const pending = recorder.begin(client, key, call)
    const lost = random.chance(0.02)
    later(random.exponential(5), () => {
      const before = registers.get(key) ?? registerModel.initial
      const answer = answerOf(before, call, revision + 1)
      const after = registerModel.step(before, call, answer)!
      if (after !== before) revision++
      if (!lost || random.chance(0.5)) registers.set(key, after)
      later(random.exponential(5), () => {
        if (!lost) pending.answered(answer)
        else if (call.kind === 'get') pending.failed()
        next(lost ? `${client}'` : client)
      })
    })
  }

  for (let i = 0; i < CLIENTS; i++) next(`c${i}`)
  while (events.length > 0) {
    events.sort((a, b) => b.at - a.at)
    const event = events.pop()!
    now = event.at
    event.run()
  }
  return recorder.operations()
}

function answerOf(before: Held, call: RegisterCall, revision: number): RegisterAnswer {
  if (call.kind === 'get') return { found: before }
  if (call.kind === 'put') return { revision }
  const done = registerModel.step(before, call, { done: true }) !== undefined
  return done ? { done, revision } : { done, found: before }
}

test(`${OPERATIONS} operations of ${CLIENTS} clients on ${KEYS} keys`, () => {
  const operations = history(1)
  assert.ok(operations.length > OPERATIONS * 0.98)
  const startedAt = performance.now()
  const result = checkLinearizability(operations, registerModel)
  console.log(
    `      ${result.operations} operations, ${result.unknown} unknown: ${result.steps} steps, ${Math.round(performance.now() - startedAt)} ms`,
  )
  assert.is(result.verdict, 'linearizable')
  assert.ok(result.unknown > 50)
  assert.ok(result.steps < 20 * OPERATIONS, `${result.steps} steps`)
})

test('the same with one answer spoilt', () => {
  const operations = history(2)
  const at = operations.findIndex(({ call, answer, calledAt }) => call.kind === 'get' && answer?.found?.value && calledAt > 100)
  const key = operations[at]!.key
  const first = operations.find((operation) => operation.key === key && operation.call.kind === 'put' && operation.answer !== null)!
  const spoilt = { ...operations[at]!, answer: { found: { value: (first.call as { value: string }).value } } }
  const startedAt = performance.now()
  const result = checkLinearizability(operations.with(at, spoilt), registerModel)
  console.log(`      ${result.steps} steps, ${Math.round(performance.now() - startedAt)} ms`)
  assert.is(result.verdict, 'violation')
  assert.is(result.problem?.key, key)
})

test.run()
