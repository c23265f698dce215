import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ConfigurationManager } from '../../../src/raft/configuration-manager.js'
import { logIndex } from '../../../src/raft/types.js'
import { configurationAt, members } from '../../support/entries.js'

const initial = configurationAt(0, members(1, 2, 3))

test('the initial configuration is in force until the log says otherwise', () => {
  const manager = new ConfigurationManager(initial)
  assert.is(manager.last, initial)
  assert.is(manager.at(logIndex(0)), initial)
  assert.is(manager.at(logIndex(1000)), initial)
})

test('at() answers the newest at or below an index', () => {
  const manager = new ConfigurationManager(initial)
  const [at5, at9] = [configurationAt(5, members(1, 2)), configurationAt(9, members(1))]
  manager.add(at5)
  manager.add(at9)
  assert.equal(
    [4, 5, 8, 9, 10].map((index) => manager.at(logIndex(index))),
    [initial, at5, at5, at9, at9],
  )
  assert.is(manager.last, at9)
})

test('a configuration at or below a known index is refused', () => {
  const manager = new ConfigurationManager(initial)
  manager.add(configurationAt(5, members(1)))
  assert.throws(() => manager.add(configurationAt(5, members(2))), /out of order/)
  assert.throws(() => manager.add(configurationAt(4, members(2))), /out of order/)
})

test('cutting the end of the log reverts to the configuration before (Raft 4.1)', () => {
  const manager = new ConfigurationManager(initial)
  const [at5, at9] = [configurationAt(5, members(1, 2)), configurationAt(9, members(1))]
  manager.add(at5)
  manager.add(at9)
  manager.truncateSuffix(logIndex(9))
  assert.is(manager.last, at9)
  manager.truncateSuffix(logIndex(8))
  assert.is(manager.last, at5)
  manager.truncateSuffix(logIndex(4))
  assert.is(manager.last, initial)
  manager.add(configurationAt(5, members(3)))
  assert.is(manager.last.conf.toString(), '127.0.0.1:3:0:0')
})

test('cutting the front keeps what is in force just below it', () => {
  const manager = new ConfigurationManager(initial)
  const [at5, at9, at20] = [configurationAt(5, members(1, 2)), configurationAt(9, members(1)), configurationAt(20, members(2))]
  for (const entry of [at5, at9, at20]) manager.add(entry)
  manager.truncatePrefix(logIndex(15))
  assert.is(manager.at(logIndex(15)), at9)
  assert.is(manager.at(logIndex(3)), at9, 'what is older is forgotten')
  assert.throws(() => manager.truncateSuffix(logIndex(8)), /base configuration/)
  manager.truncatePrefix(logIndex(20))
  assert.is(manager.at(logIndex(19)), at9, 'an entry at the first kept index is no base yet')
})

test("a snapshot's configuration replaces what it covers, an older one changes nothing", () => {
  const manager = new ConfigurationManager(initial)
  const [at5, at9] = [configurationAt(5, members(1, 2)), configurationAt(9, members(1))]
  manager.add(at5)
  manager.add(at9)
  const snapshot = configurationAt(7, members(1, 2, 4))
  manager.setSnapshot(snapshot)
  assert.is(manager.at(logIndex(8)), snapshot)
  assert.is(manager.last, at9)
  manager.setSnapshot(configurationAt(6, members(9)))
  assert.is(manager.at(logIndex(8)), snapshot)
})

test('an entry that opens a term repeats the members: it does not count as a change of them', () => {
  const manager = new ConfigurationManager(initial)
  manager.add(configurationAt(1, members(1, 2, 3)))
  assert.is(manager.last.configIndex, 1, 'the first entry of a log is the change, whatever the initial configuration was')
  manager.add(configurationAt(8, members(3, 2, 1)))
  assert.is(manager.last.id.index, 8)
  assert.is(manager.last.configIndex, 1)
  manager.add(configurationAt(9, members(1, 2, 3), members(1, 2)))
  assert.is(manager.last.configIndex, 9, 'joint')
  manager.add(configurationAt(10, members(1, 2)))
  assert.is(manager.last.configIndex, 10)
})

test('random adds and cuts agree with a plain list', () => {
  const operation = fc.oneof(
    fc.record({ kind: fc.constant('add' as const), by: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ kind: fc.constant('suffix' as const), by: fc.integer({ min: 0, max: 12 }) }),
    fc.record({ kind: fc.constant('prefix' as const), by: fc.integer({ min: 0, max: 12 }) }),
  )
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 30 }), (operations) => {
      const manager = new ConfigurationManager(initial)
      let model = [initial]
      let floor = 0
      for (const { kind, by } of operations) {
        const last = model.at(-1)!.id.index
        if (kind === 'add') {
          const entry = configurationAt(last + by, members(last + by))
          manager.add(entry)
          model.push(entry)
        } else if (kind === 'suffix') {
          const kept = Math.max(floor, model[0]!.id.index, last - by)
          manager.truncateSuffix(logIndex(kept))
          model = model.filter((entry) => entry.id.index <= kept)
        } else {
          const first = floor + by
          floor = first
          manager.truncatePrefix(logIndex(first))
          while (model.length > 1 && model[1]!.id.index < first) model.shift()
        }
        assert.is(manager.last, model.at(-1))
        for (let index = floor; index < floor + 15; index++) {
          const expected = model.filter((entry) => entry.id.index <= index).at(-1) ?? model[0]
          assert.is(manager.at(logIndex(index)), expected)
        }
      }
    }),
  )
})

test.run()
