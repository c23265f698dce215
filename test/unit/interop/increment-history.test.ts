import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Increment, IncrementHistory, judgeIncrements } from '../../interop/increment-history.js'
import { subsetOfSize } from '../../interop/subset.js'

/** A history told by hand: time passes only where the test says so. */
class Told {
  time = 0
  readonly history = new IncrementHistory(() => this.time)

  acknowledged(size: number, before: number): this {
    const increment = this.history.begin(1, 'n1', size)
    this.time += 1
    this.history.acknowledge(increment, BigInt(before))
    return this
  }

  unknown(size: number): this {
    const increment = this.history.begin(2, 'n1', size)
    this.time += 1
    this.history.leaveUnknown(increment, 'the connection was closed')
    return this
  }

  failed(size: number): this {
    this.history.fail(this.history.begin(3, 'n1', size), 'not connected')
    return this
  }

  later(ms: number): this {
    this.time += ms
    return this
  }

  judge(final: number) {
    const { lost, doubled, found, problems } = this.history.judge(BigInt(final))
    return { lost, doubled, found, problems: problems.length }
  }
}

test('increments that cover the counter once are fine', () => {
  assert.equal(new Told().acknowledged(10, 0).acknowledged(7, 10).acknowledged(5, 17).judge(22), {
    lost: 0,
    doubled: 0,
    found: 0,
    problems: 0,
  })
})

test('an increment without an answer may be there or not', () => {
  const told = () => new Told().acknowledged(10, 0).unknown(100)
  assert.equal(told().acknowledged(7, 10).judge(17), { lost: 0, doubled: 0, found: 0, problems: 0 })
  assert.equal(told().acknowledged(7, 110).judge(117), { lost: 0, doubled: 0, found: 1, problems: 0 })
  assert.equal(told().acknowledged(7, 10).judge(117), { lost: 0, doubled: 0, found: 1, problems: 0 })
})

test('two without an answer that fell into the same gap are found together', () => {
  const told = new Told().acknowledged(10, 0).unknown(100).unknown(1000).unknown(31).acknowledged(7, 1041)
  assert.equal(told.judge(1048), { lost: 0, doubled: 0, found: 2, problems: 0 })
})

test('an acknowledged increment that the end does not hold is lost', () => {
  assert.equal(new Told().acknowledged(10, 0).acknowledged(7, 10).judge(10), { lost: 1, doubled: 0, found: 0, problems: 1 })
})

test('an acknowledged increment whose place was given to another is lost', () => {
  assert.equal(new Told().acknowledged(10, 0).acknowledged(7, 10).acknowledged(5, 10).judge(17).lost, 1)
})

test('an acknowledged increment that counts twice is doubled', () => {
  assert.equal(new Told().acknowledged(10, 0).acknowledged(7, 10).acknowledged(5, 24).judge(29), {
    lost: 0,
    doubled: 1,
    found: 0,
    problems: 1,
  })
  assert.equal(new Told().acknowledged(10, 0).acknowledged(7, 10).judge(24), { lost: 0, doubled: 1, found: 0, problems: 1 })
})

test('one of unknown outcome that counts twice is doubled', () => {
  const told = new Told().acknowledged(10, 0).unknown(100).acknowledged(7, 110).acknowledged(5, 217)
  assert.equal(told.judge(222), { lost: 0, doubled: 1, found: 1, problems: 1 })
})

test('one that never left explains nothing', () => {
  assert.equal(new Told().acknowledged(10, 0).failed(100).acknowledged(7, 110).judge(117).doubled, 1)
})

test('one without an answer does not come minutes later, and not before it was sent', () => {
  const late = new Told().acknowledged(10, 0).unknown(100).later(120_000).acknowledged(7, 10)
  assert.equal(late.judge(117).doubled, 1)
  const early = new Told().acknowledged(10, 0).acknowledged(7, 110).later(10).unknown(100)
  assert.equal(early.judge(117).doubled, 1)
})

test('one that was answered before its predecessor was sent is out of order', () => {
  const told = new Told().acknowledged(10, 7).later(5).acknowledged(7, 0)
  assert.equal(told.judge(17), { lost: 0, doubled: 0, found: 0, problems: 1 })
})

test('no more problems are told than can be read', () => {
  const told = new Told()
  for (let i = 0; i < 40; i++) told.acknowledged(10 + i, 0)
  assert.ok(told.judge(10).problems <= 11)
})

test('a subset is found exactly when there is one', () => {
  const sizes = fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { maxLength: 9 })
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 200 }), (values, size) => {
      const items = values.map((value) => ({ size: value }))
      const found = subsetOfSize(items, size)
      if (found)
        assert.is(
          found.reduce((sum, item) => sum + item.size, 0),
          size,
        )
      assert.is(found !== null, sumsOf(values).has(size))
    }),
  )
})

test('too many candidates are no proof', () => {
  const items = Array.from({ length: 41 }, (_, at) => ({ size: at + 1 }))
  assert.is(subsetOfSize(items, 1), null)
})

/** A counter that behaves, and the bug that is put into it. */
interface Run {
  readonly sizes: readonly number[]
  /** Of the increment at the same place: 0 acknowledged, 1 without an answer and counted, 2 without an answer and not counted. */
  readonly fates: readonly number[]
  readonly victim: number
}

const run: fc.Arbitrary<Run> = fc.uniqueArray(fc.integer({ min: 2 ** 35, max: 2 ** 40 }), { minLength: 3, maxLength: 30 }).chain((sizes) =>
  fc.record({
    sizes: fc.constant(sizes),
    fates: fc.array(fc.constantFrom(0, 0, 0, 1, 2), { minLength: sizes.length, maxLength: sizes.length }),
    victim: fc.nat(sizes.length - 1),
  }),
)

/** `timesOf`: how often the machine counts the increment at a place that it should count once. */
function judged({ sizes, fates }: Run, timesOf: (at: number) => number) {
  let value = 0n
  const increments = sizes.map((size, at): Increment => {
    const before = value
    if (fates[at] !== 2) value += BigInt(size) * BigInt(timesOf(at))
    const outcome = fates[at] === 0 ? 'acknowledged' : 'unknown'
    return { client: 1, leader: 'n1', size, invokedAt: at, answeredAt: at + 0.5, outcome, before, reason: '', leaderLost: false }
  })
  return judgeIncrements(increments, value)
}

test('a counter that behaves is never blamed, one that loses or doubles an increment always is', () => {
  fc.assert(
    fc.property(run, (told) => {
      const good = judged(told, () => 1)
      assert.equal([good.lost, good.doubled, good.problems], [0, 0, []])
      assert.is(good.found, told.fates.filter((fate) => fate === 1).length)

      if (told.fates[told.victim] !== 0) return
      // What filled its place instead may leave a gap that nobody explains.
      const lost = judged(told, (at) => (at === told.victim ? 0 : 1))
      assert.ok(lost.lost + lost.doubled > 0)
      assert.is(judged(told, (at) => (at === told.victim ? 2 : 1)).doubled, 1)
    }),
  )
})

function sumsOf(values: readonly number[]): Set<number> {
  const sums = new Set([0])
  for (const value of values) for (const sum of [...sums]) sums.add(sum + value)
  return sums
}

test.run()
