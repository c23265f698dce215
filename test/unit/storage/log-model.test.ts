import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { LogStorage } from '../../../src/raft/storage.js'
import { logIndex } from '../../../src/raft/types.js'
import { MemoryLogStorage } from '../../../src/storage/memory-log.js'
import { batch, texts } from '../../support/entries.js'
import { LogBench } from '../../support/log-bench.js'

type Action =
  | { readonly kind: 'append'; readonly sizes: readonly number[]; readonly batches: number }
  | { readonly kind: 'suffix' | 'prefix' | 'reset'; readonly at: number }
  | { readonly kind: 'reopen' | 'crash' | 'wait' }

const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      sizes: fc.array(fc.nat(60), { minLength: 1, maxLength: 8 }),
      batches: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constantFrom('suffix' as const, 'prefix' as const), at: fc.double({ min: 0, max: 1, noNaN: true }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset' as const), at: fc.double({ min: 0, max: 1.2, noNaN: true }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('reopen' as const, 'crash' as const, 'wait' as const) }) },
)

/** What a log must be: an array. */
class Model {
  first = 1
  term = 1
  entries: string[] = []

  get next(): number {
    return this.first + this.entries.length
  }
}

/** Does the same to the log and to the model. */
function perform(bench: LogBench, model: Model, step: Action): void {
  if (step.kind === 'append') {
    const batches = Array.from({ length: step.batches }, () => {
      const made = batch(
        model.next,
        ++model.term,
        step.sizes.map((size, i) => String.fromCharCode(97 + i).repeat(size)),
      )
      model.entries.push(...texts(made))
      return made
    })
    assert.is(bench.append(...batches).toString(), 'OK')
  } else if (step.kind === 'suffix') {
    const lastKept = model.first - 1 + Math.round(step.at * model.entries.length)
    assert.is(bench.truncateSuffix(lastKept).toString(), 'OK')
    model.entries.length = lastKept - model.first + 1
  } else if (step.kind === 'prefix') {
    const firstKept = model.first + Math.round(step.at * (model.entries.length + 2))
    assert.is(bench.truncatePrefix(firstKept).toString(), 'OK')
    model.entries.splice(0, firstKept - model.first)
    model.first = firstKept
  } else if (step.kind === 'reset') {
    const next = Math.max(1, Math.round(step.at * model.next))
    assert.is(bench.reset(next).toString(), 'OK')
    model.first = next
    model.entries = []
  } else if (step.kind === 'wait') {
    bench.clock.advance(60)
  }
}

function compare(log: LogStorage, bench: LogBench, model: Model): void {
  assert.equal([log.firstLogIndex, log.lastLogIndex + 1], [model.first, model.next])
  assert.equal(bench.contents(), model.entries)
  for (const entry of model.entries) {
    const [index, term] = entry.split(':').map(Number) as [number, number]
    assert.is(log.getTerm(logIndex(index)), term)
  }
  assert.is(log.getTerm(logIndex(model.next)), 0)
  assert.is(log.getTerm(logIndex(model.first - 1)), 0)
}

test('any row of changes, restarts and power losses leaves what an array would hold', () => {
  const property = fc.property(fc.array(action, { minLength: 1, maxLength: 25 }), fc.integer({ min: 1, max: 1e6 }), (steps, seed) => {
    const bench = new LogBench(150, seed)
    const model = new Model()
    assert.is(bench.open().toString(), 'OK')
    for (const step of steps) {
      perform(bench, model, step)
      if (step.kind === 'reopen') assert.is(bench.close().toString(), 'OK')
      if (step.kind === 'crash') bench.disk.crash()
      if (step.kind === 'reopen' || step.kind === 'crash') assert.is(bench.open().toString(), 'OK')
      compare(bench.log, bench, model)
    }
  })
  fc.assert(property, { numRuns: 300, seed: 20261122 })
})

test('the log in memory keeps the same contract', () => {
  const property = fc.property(fc.array(action, { minLength: 1, maxLength: 25 }), (steps) => {
    const bench = new LogBench()
    const model = new Model()
    bench.log = new MemoryLogStorage(bench.executor)
    for (const step of steps) {
      perform(bench, model, step)
      compare(bench.log, bench, model)
    }
  })
  fc.assert(property, { numRuns: 200, seed: 20261122 })
})

test.run()
