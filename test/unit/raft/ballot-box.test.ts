import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BallotBox } from '../../../src/raft/ballot-box.js'
import type { ConfigurationEntry } from '../../../src/raft/configuration.js'
import { logIndex } from '../../../src/raft/types.js'
import { configurationAt, members, peer } from '../../support/entries.js'

function leading(firstPending: number): { box: BallotBox; committed: number[] } {
  const committed: number[] = []
  const box = new BallotBox((index) => committed.push(index))
  box.resetPending(logIndex(firstPending))
  return { box, committed }
}

const three = configurationAt(1, members(1, 2, 3))

test('an index commits when a majority holds it, and once', () => {
  const { box, committed } = leading(1)
  box.append(logIndex(1), logIndex(10), three)
  box.commitAt(logIndex(7), peer(1))
  assert.equal(committed, [])
  box.commitAt(logIndex(4), peer(2))
  assert.equal(committed, [4])
  box.commitAt(logIndex(9), peer(3))
  assert.equal(committed, [4, 7])
  box.commitAt(logIndex(9), peer(3))
  box.commitAt(logIndex(5), peer(2))
  assert.equal(committed, [4, 7], 'repeated and older acknowledgements change nothing')
  assert.is(box.lastCommittedIndex, 7)
  assert.is(box.pendingIndex, 8)
})

test('B13 a leader whose own disk is slowest commits by its followers', () => {
  const { box, committed } = leading(1)
  box.append(logIndex(1), logIndex(3), three)
  box.commitAt(logIndex(3), peer(2))
  box.commitAt(logIndex(3), peer(3))
  assert.equal(committed, [3])
})

test('B01 nothing from before this leadership commits by being counted (Raft figure 8)', () => {
  const { box, committed } = leading(11)
  box.append(logIndex(11), logIndex(12), three)
  for (const n of [1, 2, 3]) box.commitAt(logIndex(10), peer(n))
  assert.equal(committed, [], 'a majority holds 10, but it is of an old term')
  box.commitAt(logIndex(11), peer(1))
  box.commitAt(logIndex(11), peer(2))
  assert.equal(committed, [11], 'the first of this leadership takes all before it along')
})

test('an acknowledgement of what was never proposed is an assertion', () => {
  const { box } = leading(1)
  box.append(logIndex(1), logIndex(3), three)
  assert.throws(() => box.commitAt(logIndex(4), peer(2)), /never proposed/)
})

test('proposals must follow each other and belong to a leader', () => {
  const { box } = leading(5)
  assert.throws(() => box.append(logIndex(6), logIndex(6), three), /out of order/)
  box.append(logIndex(5), logIndex(6), three)
  assert.throws(() => box.append(logIndex(6), logIndex(7), three), /out of order/)
  assert.throws(() => box.append(logIndex(7), logIndex(7), configurationAt(7, members())), /empty configuration/)
  box.clearPending()
  assert.throws(() => box.append(logIndex(7), logIndex(7), three), /without leading/)
})

test('members outside of the configuration count for nothing', () => {
  const { box, committed } = leading(1)
  box.append(logIndex(1), logIndex(5), three)
  box.commitAt(logIndex(5), peer(1))
  box.commitAt(logIndex(5), peer(8))
  box.commitAt(logIndex(5), peer(9))
  assert.equal(committed, [])
})

test('a joint range needs both majorities (thesis 4.3)', () => {
  const { box, committed } = leading(1)
  box.append(logIndex(1), logIndex(4), configurationAt(1, members(4, 5, 6), members(1, 2, 3)))
  for (const n of [4, 5, 6]) box.commitAt(logIndex(4), peer(n))
  assert.equal(committed, [])
  box.commitAt(logIndex(3), peer(1))
  assert.equal(committed, [])
  box.commitAt(logIndex(2), peer(2))
  assert.equal(committed, [2])
})

test('each range is decided by its own configuration, and takes what is below along', () => {
  const { box, committed } = leading(1)
  box.append(logIndex(1), logIndex(4), configurationAt(1, members(1, 2, 3, 4, 5)))
  box.append(logIndex(5), logIndex(6), configurationAt(5, members(1, 2)))
  box.commitAt(logIndex(6), peer(1))
  box.commitAt(logIndex(5), peer(2))
  assert.equal(committed, [5])
  assert.is(box.pendingIndex, 6)
  box.commitAt(logIndex(6), peer(2))
  assert.equal(committed, [5, 6])
})

test('B11 stepping down forgets acknowledgements; the next leadership starts above what is committed', () => {
  const { box, committed } = leading(1)
  box.append(logIndex(1), logIndex(9), three)
  box.commitAt(logIndex(9), peer(2))
  box.clearPending()
  assert.is(box.pendingIndex, 0)
  box.commitAt(logIndex(9), peer(3))
  assert.equal(committed, [], 'an acknowledgement for a leadership that is over')
  box.setLastCommitted(logIndex(4))
  assert.throws(() => box.resetPending(logIndex(4)), /within what is committed/)
  box.resetPending(logIndex(5))
  box.append(logIndex(5), logIndex(9), three)
  box.commitAt(logIndex(9), peer(3))
  assert.equal(committed, [4], 'what peer 2 held in the earlier leadership was another entry 9')
})

test('an acknowledgement that comes late takes nothing back', () => {
  const { box, committed } = leading(1)
  box.append(logIndex(1), logIndex(9), three)
  box.commitAt(logIndex(7), peer(2))
  box.commitAt(logIndex(3), peer(2))
  box.commitAt(logIndex(8), peer(3))
  assert.equal(committed, [7])
})

test('a follower takes the word of its leader, and never backwards', () => {
  const committed: number[] = []
  const box = new BallotBox((index) => committed.push(index))
  for (const index of [3, 3, 2, 5]) box.setLastCommitted(logIndex(index))
  assert.equal(committed, [3, 5])
  box.resetPending(logIndex(6))
  assert.throws(() => box.setLastCommitted(logIndex(7)), /a leader was told/)
})

test('what a removed member held is forgotten: it may come back with an empty log', () => {
  const { box, committed } = leading(1)
  box.append(logIndex(1), logIndex(9), three)
  box.commitAt(logIndex(9), peer(2))
  box.forget(peer(2))
  box.commitAt(logIndex(9), peer(3))
  assert.equal(committed, [])
  box.commitAt(logIndex(4), peer(2))
  assert.equal(committed, [4])
})

/** B12: what the rules say, counted entry by entry. */
class Oracle {
  committed: number
  private readonly configurations: ConfigurationEntry[] = []
  private readonly matched = new Map<string, number>()

  constructor(private readonly first: number) {
    this.committed = first - 1
  }

  append(count: number, configuration: ConfigurationEntry): void {
    for (let i = 0; i < count; i++) this.configurations.push(configuration)
  }

  get last(): number {
    return this.first + this.configurations.length - 1
  }

  forget(port: number): void {
    this.matched.delete(peer(port).key)
  }

  acknowledge(index: number, port: number): void {
    const { key } = peer(port)
    this.matched.set(key, Math.max(index, this.matched.get(key) ?? 0))
    for (let at = this.last; at > this.committed; at--) {
      const holds = (p: { key: string }) => (this.matched.get(p.key) ?? 0) >= at
      if (this.configurations[at - this.first]!.hasQuorum(holds)) {
        this.committed = at
        return
      }
    }
  }
}

test('B12 random proposals and acknowledgements agree with a naive oracle, joint configurations included', () => {
  const ports = fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 })
  const step = fc.oneof(
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('append' as const),
        count: fc.integer({ min: 1, max: 4 }),
        conf: ports,
        old: fc.option(ports),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('same' as const), count: fc.integer({ min: 1, max: 4 }) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('ack' as const),
        port: fc.integer({ min: 1, max: 7 }),
        back: fc.integer({ min: 0, max: 6 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('forget' as const), port: fc.integer({ min: 1, max: 7 }) }) },
  )
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 60 }), (first, steps) => {
      const { box, committed } = leading(first)
      const oracle = new Oracle(first)
      let configuration = three
      for (const s of steps) {
        if (s.kind === 'ack') {
          const index = oracle.last - s.back
          if (index < 1) continue
          if (index >= first) oracle.acknowledge(index, s.port)
          box.commitAt(logIndex(index), peer(s.port))
        } else if (s.kind === 'forget') {
          box.forget(peer(s.port))
          oracle.forget(s.port)
        } else {
          if (s.kind === 'append')
            configuration = configurationAt(oracle.last + 1, members(...s.conf), s.old ? members(...s.old) : undefined)
          box.append(logIndex(oracle.last + 1), logIndex(oracle.last + s.count), configuration)
          oracle.append(s.count, configuration)
        }
        assert.is(committed.at(-1) ?? first - 1, oracle.committed)
        assert.is(box.pendingIndex, oracle.committed + 1)
      }
      assert.equal(
        committed,
        [...new Set(committed)].sort((a, b) => a - b),
        'told once each, rising',
      )
    }),
    { numRuns: 500 },
  )
})

test('of four members three decide', () => {
  const { box, committed } = leading(1)
  box.append(logIndex(1), logIndex(100), configurationAt(1, members(1, 2, 3, 4)))
  box.commitAt(logIndex(100), peer(1))
  box.commitAt(logIndex(50), peer(2))
  assert.equal(committed, [])
  box.commitAt(logIndex(100), peer(3))
  assert.equal(committed, [50])
  box.commitAt(logIndex(100), peer(4))
  assert.equal(committed, [50, 100])
})

test.run()
