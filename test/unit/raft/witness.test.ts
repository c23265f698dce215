import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BallotBox } from '../../../src/raft/ballot-box.js'
import { Configuration } from '../../../src/raft/configuration.js'
import { ErrorCode, type Status } from '../../../src/raft/errors.js'
import { EntryBatch, EntryType } from '../../../src/raft/log-entry.js'
import type { NodeImpl } from '../../../src/raft/node-impl.js'
import { PeerId, PeerRole } from '../../../src/raft/peer-id.js'
import { logIndex } from '../../../src/raft/types.js'
import { roleProblem, witnessProblem } from '../../../src/raft/witness.js'
import { WitnessGate } from '../../../src/raft/witness-gate.js'
import { batch, configuration, configurationAt, members, peer, texts } from '../../support/entries.js'
import { checksum } from '../../support/fake-environment.js'
import { FakeLogStorage } from '../../support/fake-log-storage.js'
import { LogBench } from '../../support/log-bench.js'
import { NodeBench } from '../../support/node-bench.js'

const witness = (n: number) => new PeerId('127.0.0.1', n, 0, PeerRole.WITNESS)
const mixed = (data: readonly number[], witnesses: readonly number[]) => new Configuration([...data.map(peer), ...witnesses.map(witness)])

test('what witnesses alone acknowledged is not committed, in either half while the members change', () => {
  const committed: number[] = []
  const box = new BallotBox((index) => committed.push(index))
  box.resetPending(logIndex(1))
  box.append(logIndex(1), logIndex(9), configurationAt(1, mixed([1], [2, 3])))
  box.commitAt(logIndex(9), peer(2))
  box.commitAt(logIndex(9), peer(3))
  assert.equal(committed, [])
  box.commitAt(logIndex(4), peer(1))
  assert.equal(committed, [4])

  const joint: number[] = []
  const both = new BallotBox((index) => joint.push(index))
  both.resetPending(logIndex(1))
  both.append(logIndex(1), logIndex(9), configurationAt(1, members(1, 2, 3), mixed([4], [5, 6])))
  for (const n of [1, 2, 5, 6]) both.commitAt(logIndex(9), peer(n))
  assert.equal(joint, [])
  both.commitAt(logIndex(3), peer(4))
  assert.equal(joint, [3])
})

test('every quorum holds data, and a witness stands beside two members at least that do', () => {
  const may = (data: number, witnesses: number) => {
    const ports = Array.from({ length: data + witnesses }, (_, i) => i + 1)
    return witnessProblem(mixed(ports.slice(0, data), ports.slice(data))) === null
  }
  const allowed = [1, 2, 3, 4].map((data) => [0, 1, 2, 3].filter((witnesses) => may(data, witnesses)))
  assert.equal(allowed, [[0], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3]])
  assert.is(
    witnessProblem(mixed([1, 2], [3, 4, 5]))!.message,
    '127.0.0.1:3:0:1, 127.0.0.1:4:0:1, 127.0.0.1:5:0:1 are witnesses and 2 of 5 hold data: any 3 commit, and one of them must. ' +
      'Remove witnesses first, or add members that hold data first',
  )
  assert.is(roleProblem(mixed([1, 2], [3]), mixed([1, 2, 4], [3])), null)
  assert.match(
    roleProblem(mixed([1, 2], [3]), mixed([1, 2, 3], []))!.message,
    '127.0.0.1:3:0:0 is a witness and becomes no member that holds data',
  )
  assert.match(
    roleProblem(mixed([1, 2], [3]), mixed([1], [2, 3]))!.message,
    '127.0.0.1:2:0:1 is a member that holds data and becomes no witness',
  )
})

test('golden: a bare entry is one of braft without data, but for a bit that braft does not read', () => {
  const [conf, noOp] = [configuration(members(8100)), { type: EntryType.NO_OP, data: Buffer.alloc(0) }]
  const whole = EntryBatch.concat([batch(5, 1, ['hello', '', conf]), batch(8, 2, [noOp, 'x'])])
  const bare = whole.withoutData(checksum)
  assert.equal(
    texts(bare).filter((_, i) => i !== 2),
    ['5:1:', '6:1:', '8:2:', '9:2:'],
  )
  assert.equal(
    [5, 6, 7, 8, 9].map((index) => bare.isBareAt(logIndex(index))),
    [true, false, false, false, true],
  )
  assert.equal([whole.newestBare, bare.newestBare, bare.slice(logIndex(6), logIndex(8)).newestBare], [null, 9, null])
  assert.is(
    bare.slice(logIndex(5), logIndex(5)).bytes.toString('hex'),
    '0000000000000001' + '02010001' + '00000000' + '00000000' + '8dbbe7b2',
  )
  assert.equal(EntryBatch.parse(logIndex(5), bare.bytes, checksum).problem, null)
  assert.is(bare.dataAt(logIndex(7)).toString('hex'), whole.dataAt(logIndex(7)).toString('hex'), 'the members are said to witnesses too')
  assert.equal(bare.withoutData(checksum).bytes, bare.bytes)
})

test('a log says after a restart that entries in it lack their data, until these are cut', () => {
  const bench = new LogBench(60)
  bench.open()
  bench.append(batch(1, 1, ['one', 'two']).withoutData(checksum), batch(3, 1, ['three']))
  bench.open()
  assert.equal([bench.recovery!.newestBare, bench.recovery!.lastIndex], [2, 3])
  bench.truncatePrefix(3)
  bench.open()
  assert.equal([bench.recovery!.newestBare, bench.recovery!.firstIndex], [undefined, 3])
})

test('a member that holds data does not start on the log of a witness', () => {
  const disk = new FakeLogStorage()
  const open = disk.init.bind(disk)
  disk.init = (done) => open((status, recovery) => done(status, { ...recovery!, lastIndex: logIndex(1), newestBare: logIndex(1) }))
  const bench = new NodeBench({ disk }).init()
  assert.equal([bench.told, bench.state], [['init ECORRUPT'], 'ERROR'])
})

test('a node does not start among members that say otherwise of it, or that cannot be a group', () => {
  for (const [conf, why] of [
    [mixed([2, 3], [1]), 'is a member that holds data, and a witness among the members'],
    [mixed([1], [2]), 'at least two must'],
  ] as const) {
    const bench = new NodeBench({ conf }).init()
    assert.equal(bench.told, ['init EINVAL'])
    assert.match(bench.impl.error!.status.message, why)
  }
})

test('entries without their data are not taken by a member that holds data, and end nothing', () => {
  const bench = NodeBench.follower()
  const { status } = bench.append(2, 5, { entries: batch(1, 5, ['a', 'b']).withoutData(checksum) })
  assert.equal([status!.code, status!.message], [ErrorCode.EREQUEST, 'entry 2 came without its data, as for a witness'])
  assert.equal([bench.state, bench.impl.log.lastIndex], ['FOLLOWER', 0])
  assert.is(bench.append(2, 5, { entries: batch(1, 5, ['a']) }).response!.success, true)
})

test('a witness is sent no more than members with data hold; the leader counts only while it is a member', () => {
  const lastSent = (conf: Configuration, matches: readonly [number, number]) => {
    const all = matches.map((matchIndex, at) => ({ peerId: peer(at + 2), matchIndex: logIndex(matchIndex), unansweredSince: null }))
    const node = {
      serverId: peer(1),
      configuration: configurationAt(1, conf),
      log: { lastIndex: logIndex(9), durableIndex: logIndex(8) },
      replicators: { all, isFit: () => true },
      ballotBox: { lastCommittedIndex: logIndex(5) },
      electionTimeoutMs: 1000,
    } as unknown as NodeImpl
    return new WitnessGate(node, witness(4)).last
  }
  const [with1, without1] = [mixed([1, 2, 3], [4, 5]), mixed([2, 3], [4])]
  assert.is(lastSent(with1, [7, 6]), 7)
  assert.is(lastSent(with1, [3, 0]), 8, 'who lacks what is committed is not waited for')
  assert.is(lastSent(without1, [7, 6]), 7)
  assert.is(lastSent(without1, [3, 0]), 3, 'nobody else could bring these members level')
})

test('a witness that leads never sends an entry without its data to a member with data', () => {
  const node = { options: { witnessToLeader: true }, env: { checksum }, witness: { isOne: true } } as NodeImpl
  const [whole, bare] = [batch(7, 1, ['a']), batch(7, 1, ['a']).withoutData(checksum)]
  const toData = new WitnessGate(node, peer(2))
  assert.equal([toData.sent(whole), new WitnessGate(node, witness(3)).sent(bare)], [whole, bare])
  const refused = toData.sent(bare) as Status
  assert.equal([refused.code, refused.message], [ErrorCode.ENODATA, 'entry 7 lacks its data in the log of this witness'])
})

test.run()
