import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KeySpace } from '../../../src/admin/bench/keys.js'
import { Load, type Operation } from '../../../src/admin/bench/load.js'
import { Meter } from '../../../src/admin/bench/meter.js'
import { compare, judge, parseAssertion } from '../../../src/admin/bench/verdicts.js'
import { RefusedError } from '../../../src/machines/kv/client.js'

const row = {
  operation: 'put',
  count: 10,
  perSecond: 1000,
  meanMs: 2,
  p50Ms: 2,
  p90Ms: 3,
  p99Ms: 8,
  p999Ms: 9,
  p9999Ms: 9,
  maxMs: 9,
} as const
const forEver = { durationMs: null, operations: null, rate: null, signal: new AbortController().signal }

/** Equal steps through [0, 1). */
function steps(count: number): () => number {
  let at = 0
  return () => (at++ % count) / count
}

test('keys are of one length, in order, and drawn evenly', () => {
  const keys = new KeySpace({ keys: 100, keyBytes: 12, prefix: 'b/', distribution: 'uniform' }, steps(1000))
  assert.is(`${keys.at(42)}`, 'b/0000000042')
  const drawn = new Map<string, number>()
  for (let i = 0; i < 1000; i++) drawn.set(`${keys.next()}`, (drawn.get(`${keys.next()}`) ?? 0) + 1)
  assert.is(drawn.size, 100)
})

test('with zipf the first key of a thousand gets an eighth, the first ten a third, and all may come', () => {
  const keys = new KeySpace({ keys: 1000, keyBytes: 6, prefix: '', distribution: 'zipf' }, steps(100_000))
  const drawn = new Array<number>(1000).fill(0)
  for (let i = 0; i < 100_000; i++) drawn[Number(`${keys.next()}`)]!++
  assert.ok(drawn[0]! > 12_000 && drawn[0]! < 14_500, `${drawn[0]}`)
  const ten = drawn.slice(0, 10).reduce((sum, count) => sum + count, 0)
  assert.ok(ten > 35_000 && ten < 43_000, `${ten}`)
  assert.ok(drawn.filter((count) => count > 0).length > 950)
})

test('what is not measured is forgotten; percentiles, failures and the longest gap are of the rest', () => {
  const meter = new Meter()
  meter.answered('put', 500, 0)
  meter.failure('E_BUSY', 'too much', 0)
  meter.start(1000)
  for (let i = 1; i <= 99; i++) meter.answered('put', 2, 1000 + i)
  meter.answered('put', 40, 1400)
  meter.failure('E_BUSY', 'too much', 1500)
  meter.failure('E_BUSY', 'again', 1500)
  const [put] = meter.rows()
  assert.equal([put?.count, put?.perSecond, put?.p50Ms, put?.p9999Ms], [100, 200, 2, 40.031])
  assert.equal([meter.gapMs, meter.elapsedMs, meter.errors], [301, 500, 2])
  assert.equal(meter.failures, [{ code: 'E_BUSY', count: 2, message: 'too much' }])
  assert.equal(meter.bars('put'), [
    { upToMs: 2, count: 99 },
    { upToMs: 5, count: 0 },
    { upToMs: 10, count: 0 },
    { upToMs: 20, count: 0 },
    { upToMs: 50, count: 1 },
  ])
  assert.equal(meter.bars('get'), [])
  meter.endAt(2400)
  assert.equal([meter.gapMs, meter.elapsedMs], [1000, 1400], 'nothing was answered at the end')
  assert.match(meter.percentileText('put'), /Value +Percentile +TotalCount/)
})

test('never more in flight than there are clients, and as many operations as were asked for', async () => {
  let flying = 0
  let most = 0
  let sent = 0
  const next = (): Operation => ({
    name: 'put',
    perform: async () => {
      most = Math.max(most, ++flying)
      sent++
      await null
      flying--
    },
  })
  const meter = new Meter()
  meter.start(0)
  await new Load({ ...forEver, clients: 4, operations: 50 }, next, meter).run()
  assert.equal([most, sent, meter.count], [4, 50, 50])
})

test('with a rate an operation that a stall holds up counts from when it was due', async () => {
  const STALL_MS = 100
  let sent = 0
  const next = (): Operation => ({
    name: 'put',
    perform: () => (sent++ === 0 ? new Promise((resolve) => setTimeout(resolve, STALL_MS)) : Promise.resolve()),
  })
  const meter = new Meter()
  meter.start(performance.now())
  await new Load({ ...forEver, clients: 1, rate: 1000, operations: 50 }, next, meter).run()
  // The last of them was due after 49 ms and could not be sent before the stall was over.
  assert.ok(meter.rows()[0]!.p50Ms! >= STALL_MS - 50, `${meter.rows()[0]!.p50Ms}`)
})

test('what was due by the end and could not be sent is counted; without a rate nothing is due', async () => {
  const ending = new AbortController()
  const next = (): Operation => ({ name: 'put', perform: () => new Promise((resolve) => setTimeout(resolve, 20)) })
  const run = async (own: { rate: number | null; durationMs: number | null; signal?: AbortSignal }) => {
    const load = new Load({ ...forEver, clients: 1, ...own }, next, new Meter())
    await load.run()
    return load.notSent
  }
  const stalled = await run({ rate: 1000, durationMs: 50 })
  // At most three were sent within 50 ms.
  assert.ok(stalled >= 47 && stalled <= 49, `${stalled}`)
  assert.is(await run({ rate: null, durationMs: 30 }), 0)
  setTimeout(() => ending.abort(), 10)
  const aborted = await run({ rate: 1000, durationMs: 60_000, signal: ending.signal })
  assert.ok(aborted > 0 && aborted < 10_000, `${aborted}: only what was due when it was ended`)
})

test('failures are counted by their code, and the end does not wait for a rate that is not due any more', async () => {
  const ending = new AbortController()
  const next = (): Operation => ({
    name: 'put',
    perform: () => {
      ending.abort()
      return Promise.reject(
        new RefusedError({ code: 'E_BUSY', message: 'too much', retryable: false, applied: 'no', leaderHint: '', status: 8 }),
      )
    },
  })
  const meter = new Meter()
  meter.start(0)
  const load = new Load({ ...forEver, clients: 2, rate: 0.001, signal: ending.signal }, next, meter)
  await load.run()
  assert.equal([meter.count, meter.failures], [0, [{ code: 'E_BUSY', count: 1, message: 'too much' }]])
  assert.instance(load.lastError, RefusedError)
})

test('an assertion is read, and judged for each kind of operation that it is about', () => {
  const [all, own] = [parseAssertion('p99<10ms'), parseAssertion('get.ops > 500')]
  assert.equal([all.metric, all.bound, all.least, own.operation, own.bound, own.least], ['p99', 10, false, 'get', 500, true])
  assert.is(parseAssertion('p99.9<1.5s').bound, 1500)
  assert.is(parseAssertion('p50<300us').bound, 0.3)
  assert.equal(judge([all], [row, { ...row, operation: 'get', p99Ms: 10 }]), [
    { assertion: 'p99<10ms', operation: 'put', value: 8, holds: true },
    { assertion: 'p99<10ms', operation: 'get', value: 10, holds: false },
  ])
  assert.equal(judge([own], [row]), [{ assertion: 'get.ops > 500', operation: 'get', value: null, holds: false }])
  for (const wrong of ['p98<10ms', 'p99<10', 'ops<fast', 'p99=10ms', '', 'del.p99<1ms'])
    assert.throws(() => parseAssertion(wrong), /is no assertion/)
})

test('a comparison is worse beyond the tolerance only, in either direction', () => {
  const verdicts = (now: Partial<typeof row>) => compare([row], [{ ...row, ...now } as typeof row], 0.1).map(({ verdict }) => verdict)
  assert.equal(verdicts({}), ['same', 'same', 'same'])
  assert.equal(verdicts({ perSecond: 890 as 1000, p99Ms: 8.7 as 8 }), ['worse', 'same', 'same'])
  assert.equal(verdicts({ perSecond: 1200 as 1000, p50Ms: 2.5 as 2, p99Ms: 7 as 8 }), ['better', 'worse', 'better'])
})

test.run()
