import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Configuration, ConfigurationEntry, decodeConfiguration, encodeConfiguration } from '../../../src/raft/configuration.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import { asTerm, logIndex } from '../../../src/raft/types.js'
import { configurationAt, members, peer } from '../../support/entries.js'

const id = { index: logIndex(7), term: asTerm(2) }

test('a majority of n is more than half', () => {
  assert.equal(
    [1, 2, 3, 4, 5, 6, 7].map((n) => members(...Array.from({ length: n }, (_, i) => i + 1)).quorum),
    [1, 2, 2, 3, 3, 4, 4],
  )
})

test('members are a set in order, whatever the role', () => {
  const conf = Configuration.parse('127.0.0.1:3,127.0.0.1:1, 127.0.0.1:2:0:1 ,127.0.0.1:1:0:1,')!
  assert.is(conf.size, 3)
  assert.ok(conf.contains(peer(1)))
  assert.ok(conf.equals(members(3, 2, 1)))
  assert.not.ok(conf.equals(members(1, 2)))
  assert.not.ok(conf.equals(members(1, 2, 4)))
  assert.is(members(2, 1).toString(), '127.0.0.1:1:0:0,127.0.0.1:2:0:0')
})

test('one bad member spoils the list', () => {
  assert.is(Configuration.parse('127.0.0.1:1,nonsense'), null)
  assert.is(Configuration.parse('127.0.0.1:1,0.0.0.0:0:0:0'), null)
  assert.is(Configuration.parse('')?.size, 0)
})

test('a quorum of a joint configuration is one of each half', () => {
  const entry = configurationAt(1, members(1, 2, 3), members(3, 4, 5))
  const granted = (...ports: number[]) => entry.hasQuorum((p) => ports.includes(p.port))
  assert.not.ok(granted(1, 2))
  assert.not.ok(granted(4, 5))
  assert.ok(granted(1, 2, 4, 5))
  assert.ok(granted(1, 3, 4), 'a member of both counts in both')
  assert.is(entry.voters.length, 5)
  assert.ok(entry.contains(peer(5)))
  assert.not.ok(entry.isStable)
})

test('nobody has a quorum of an empty configuration', () => {
  assert.not.ok(configurationAt(0, members()).hasQuorum(() => true))
})

test('decodes what it encoded, learners and the index of the change included', () => {
  const peers = fc.uniqueArray(fc.integer({ min: 1, max: 65535 }), { maxLength: 6 })
  const configIndex = fc.option(fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }))
  fc.assert(
    fc.property(peers, peers, peers, configIndex, (conf, old, learners, changedAt) => {
      const entry = { conf: members(...conf), old: members(...old), learners: learners.map(peer) }
      const read = decodeConfiguration(encodeConfiguration(entry, changedAt === null ? null : logIndex(changedAt)), id)
      assert.ok(read)
      assert.ok(read.conf.equals(entry.conf) && read.old.equals(entry.old))
      assert.equal(read.learners, entry.learners)
      assert.is(read.configIndex, changedAt ?? 7)
      assert.equal(read.id, id)
    }),
  )
})

test("braft's bytes: two members, peers only", () => {
  const bytes = encodeConfiguration({ conf: members(8100, 8101), old: Configuration.EMPTY, learners: [] })
  assert.is(bytes.toString('hex'), '0a123132372e302e302e313a383130303a303a300a123132372e302e302e313a383130313a303a30')
})

test('fields of a newer version are passed over', () => {
  const known = encodeConfiguration({ conf: members(1), old: Configuration.EMPTY, learners: [] })
  const unknown = Buffer.from([
    (9 << 3) | 2,
    1,
    0xff,
    (10 << 3) | 0,
    0x80,
    0x01,
    (11 << 3) | 5,
    1,
    2,
    3,
    4,
    (12 << 3) | 1,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
  ])
  const read = decodeConfiguration(Buffer.concat([unknown, known, unknown]), id)
  assert.is(read?.conf.size, 1)
})

test('what is cut short or no peer list is refused', () => {
  const bytes = encodeConfiguration({ conf: members(1), old: Configuration.EMPTY, learners: [] })
  for (let length = 1; length < bytes.length; length++)
    assert.is(decodeConfiguration(bytes.subarray(0, length), id), null, `${length} bytes`)
  assert.is(decodeConfiguration(Buffer.from([0x0a, 3, 65, 66, 67]), id), null)
  assert.is(decodeConfiguration(Buffer.from([0x0b]), id), null, 'a group')
  assert.is(decodeConfiguration(Buffer.from([(11 << 3) | 5, 1, 2]), id), null, 'a fixed field cut short')
})

test('garbage never throws', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      const read = decodeConfiguration(Buffer.from(bytes), id)
      assert.ok(read === null || read instanceof ConfigurationEntry)
    }),
    { numRuns: 2000 },
  )
})

test('a configuration of one prints as that one', () => {
  assert.is(new Configuration([PeerId.parse('n1:1')!]).toString(), 'n1:1:0:0')
})

test.run()
