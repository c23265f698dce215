import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Closure, closure } from '../../../src/raft/closure.js'
import { ClosureQueue } from '../../../src/raft/closure-queue.js'
import { logIndex } from '../../../src/raft/types.js'

const some = (): Closure => closure(() => {})

test('closures come out at their index, nulls included', () => {
  const queue = new ClosureQueue()
  const [a, b] = [some(), some()]
  queue.resetFirst(logIndex(10))
  queue.push([a, null, b])
  assert.is(queue.length, 3)
  assert.is(queue.pop(logIndex(9)), null, 'from before this leadership')
  assert.is(queue.pop(logIndex(10)), a)
  assert.is(queue.pop(logIndex(10)), null, 'each leaves once')
  assert.is(queue.pop(logIndex(11)), null)
  assert.is(queue.pop(logIndex(12)), b)
  assert.is(queue.length, 0)
})

test('a closure is never passed over', () => {
  const queue = new ClosureQueue()
  queue.resetFirst(logIndex(10))
  queue.push([some(), some()])
  assert.throws(() => queue.pop(logIndex(11)), /passed over/)
})

test('clear() hands back all that wait, in order, and later pops find nothing', () => {
  const queue = new ClosureQueue()
  const [a, b, c] = [some(), some(), some()]
  queue.resetFirst(logIndex(1))
  queue.push([a, null, b, c])
  queue.pop(logIndex(1))
  assert.equal(queue.clear(), [b, c])
  assert.equal(queue.clear(), [])
  assert.is(queue.pop(logIndex(2)), null)
})

test('a new leadership starts with an empty queue', () => {
  const queue = new ClosureQueue()
  assert.throws(() => queue.push([some()]), /before the first index/)
  queue.resetFirst(logIndex(1))
  queue.push([null])
  assert.throws(() => queue.resetFirst(logIndex(2)), /earlier leadership/)
  queue.clear()
  queue.resetFirst(logIndex(5))
  const a = some()
  queue.push([a])
  assert.is(queue.pop(logIndex(2)), null)
  assert.is(queue.pop(logIndex(5)), a)
})

test('random pushes, pops and clears agree with a map', () => {
  const operation = fc.oneof(
    { weight: 4, arbitrary: fc.array(fc.boolean(), { maxLength: 700 }) },
    { weight: 4, arbitrary: fc.integer({ min: 1, max: 900 }) },
    { weight: 1, arbitrary: fc.constant('clear' as const) },
  )
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 25 }), (operations) => {
      const queue = new ClosureQueue()
      queue.resetFirst(logIndex(1))
      const model = new Map<number, Closure | null>()
      let [first, next] = [1, 1]
      for (const op of operations) {
        if (op === 'clear') {
          assert.equal(
            queue.clear(),
            [...model.values()].filter((c) => c !== null),
          )
          model.clear()
          first = next
        } else if (typeof op === 'number') {
          for (let i = 0; i < op && first < next; i++, first++) {
            assert.is(queue.pop(logIndex(first)), model.get(first))
            model.delete(first)
          }
        } else {
          const closures = op.map((has) => (has ? some() : null))
          queue.push(closures)
          for (const c of closures) model.set(next++, c)
        }
        assert.is(queue.length, model.size)
      }
    }),
    { numRuns: 60 },
  )
})

test.run()
