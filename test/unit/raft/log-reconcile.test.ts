import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LogManager } from '../../../src/raft/log-manager.js'
import { logIndex } from '../../../src/raft/types.js'
import { batch, configuration, members, peer, texts } from '../../support/entries.js'
import { FakeEnvironment } from '../../support/fake-environment.js'
import { FakeLogStorage } from '../../support/fake-log-storage.js'

/** An entry of a leader's log: what it is follows from where it stands and its term, as in Raft. */
interface Entry {
  readonly term: number
  readonly isConfiguration: boolean
}

/** Leaders one after the other: each keeps some of the log before it and adds entries of its own term. */
function leaderLogs(plans: readonly { keep: number; add: readonly boolean[] }[]): Entry[][] {
  const logs: Entry[][] = []
  let before: Entry[] = []
  plans.forEach(({ keep, add }, i) => {
    const log = before.slice(0, Math.floor(keep * (before.length + 1)))
    for (const isConfiguration of add) log.push({ term: i + 1, isConfiguration })
    logs.push(log)
    before = log
  })
  return logs
}

function encode(log: readonly Entry[], first: number, last: number) {
  const parts = []
  for (let from = first; from <= last; ) {
    let to = from
    while (to < last && log[to]!.term === log[from - 1]!.term) to++
    const { term } = log[from - 1]!
    parts.push(
      batch(
        from,
        term,
        log.slice(from - 1, to).map((entry, i) => (entry.isConfiguration ? configuration(members(from + i, 1000)) : `${term}.${from + i}`)),
      ),
    )
    from = to + 1
  }
  return parts
}

/** What Raft §5.3 says about a batch whose predecessor matches. */
function accept(model: Entry[], log: readonly Entry[], first: number, last: number): Entry[] {
  for (let index = first; index <= last; index++) {
    if (index > model.length || model[index - 1]!.term !== log[index - 1]!.term)
      return [...model.slice(0, index - 1), ...log.slice(index - 1, last)]
  }
  return model
}

const plan = fc.record({ keep: fc.double({ min: 0, max: 1, noNaN: true }), add: fc.array(fc.boolean(), { minLength: 1, maxLength: 6 }) })
const step = fc.record({
  /** Messages of the newest leader mostly; delayed ones of the same term may repeat what was sent. */
  nextLeader: fc.boolean(),
  from: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  count: fc.integer({ min: 1, max: 5 }),
  diskSteps: fc.integer({ min: 0, max: 2 }),
  applied: fc.boolean(),
})

test('random leaders, lost, repeated and late batches: memory, disk and durable index agree with a model', () => {
  let truncations = 0
  let duplicates = 0
  const property = fc.property(fc.array(plan, { minLength: 1, maxLength: 5 }), fc.array(step, { maxLength: 40 }), (plans, steps) => {
    const environment = new FakeEnvironment()
    const disk = new FakeLogStorage()
    const errors: unknown[] = []
    const log = new LogManager({
      environment,
      origin: { groupId: 'g', peerId: peer(1) },
      storage: disk,
      initialConf: members(1),
      maxWriteBytes: 120,
      maxCacheBytes: 600,
      onError: (error) => errors.push(error),
    })
    log.init(() => {})
    disk.completeOne()

    const leaders = leaderLogs(plans)
    let leader = 0
    let model: Entry[] = []
    let promised = 0
    const open = new Set<number>()
    steps.forEach((s, i) => {
      if (s.nextLeader && leader + 1 < leaders.length) leader++
      const current = leaders[leader]!
      const matching = current.findIndex((entry, at) => model[at]?.term !== entry.term)
      const canStart = matching < 0 ? current.length : matching + 1
      const first = 1 + Math.floor(s.from * canStart)
      const last = Math.min(current.length, first + s.count - 1)
      if (first > last) return
      const known = model
      for (const part of encode(current, first, last)) {
        model = accept(model, current, part.firstIndex, part.lastIndex)
        open.add(i)
        log.reconcile(part, (status) => {
          open.delete(i)
          if (!status.ok) return
          assert.ok(log.durableIndex >= part.lastIndex, 'acknowledged before it was durable')
        })
      }
      if (model === known) duplicates++
      if (model.length < known.length) truncations++
      environment.executor.run()
      for (let n = 0; n < s.diskSteps; n++) {
        disk.completeOne()
        environment.executor.run()
      }

      assert.is(log.lastIndex, model.length)
      assert.equal(
        model.map((_, at) => log.termAt(logIndex(at + 1))),
        model.map((entry) => entry.term),
      )
      assert.is(log.configurations.last.id.index, model.findLastIndex((entry) => entry.isConfiguration) + 1)
      assert.ok(log.durableIndex <= log.lastIndex)
      const onDisk = disk.content.slice(0, log.durableIndex).map((text) => Number(text.split(':')[1]))
      assert.equal(
        onDisk,
        model.slice(0, log.durableIndex).map((entry) => entry.term),
        'durable means: on disk as it is here',
      )
      if (s.applied) {
        // What every leader from here on has may be applied: nobody will cut it.
        const safe = leaders.slice(leader).reduce((safe, l) => Math.min(safe, commonPrefix(model, l)), model.length)
        promised = Math.max(promised, safe)
        log.setCommitted(logIndex(promised))
        log.setApplied(logIndex(promised))
      }
    })

    do environment.executor.run()
    while (disk.completeOne())
    assert.is(open.size, 0, 'everybody was told')
    assert.equal(errors, [])
    assert.is(log.durableIndex, model.length)
    const expected = model.length > 0 ? encode(model, 1, model.length).flatMap(texts) : []
    assert.equal(disk.content, expected)
    let read: string[] = []
    while (read.length < model.length) {
      const from = read.length + 1
      log.read(logIndex(from), log.lastIndex, 100, (status, entries) => {
        assert.ok(status.ok)
        read = [...read, ...texts(entries)]
      })
      environment.executor.run()
      disk.completeOne()
      assert.ok(read.length >= from, 'a read answers at least one entry')
    }
    assert.equal(read, expected)
  })
  fc.assert(property, { numRuns: 400 })
  assert.ok(truncations > 20 && duplicates > 20, `the runs were not worth much: ${truncations} cuts, ${duplicates} duplicates`)
})

function commonPrefix(a: readonly Entry[], b: readonly Entry[]): number {
  let length = 0
  while (length < a.length && length < b.length && a[length]!.term === b[length]!.term) length++
  return length
}

test.run()
