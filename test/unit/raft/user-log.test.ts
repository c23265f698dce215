import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, errorName } from '../../../src/raft/errors.js'
import { logIndex } from '../../../src/raft/types.js'
import { batch, configuration, members } from '../../support/entries.js'
import { FakeLogStorage } from '../../support/fake-log-storage.js'
import { NodeBench, T } from '../../support/node-bench.js'

const test = suite('user log')

/** What is read at `index`, as `4:b`, or the name of the error. */
function read(bench: NodeBench, index: number): string {
  const told: string[] = []
  bench.node.readCommittedUserLog(logIndex(index), (status, log) =>
    told.push(status.ok ? `${log!.logIndex}:${log!.logData}` : errorName(status.code)),
  )
  assert.equal(told, [], 'never from inside the call')
  bench.settle()
  assert.is(told.length, 1)
  return told[0]!
}

const three = configuration(members(1, 2, 3))

/** Entries 1 to 7, of which 6 are committed: c a c c b c, and a task that is not. */
function follower(): NodeBench {
  const bench = NodeBench.follower(5)
  bench.append(2, 5, { entries: batch(1, 5, [three, 'a', three, three, 'b', three, 'open']), committed: 6 })
  return bench
}

test('the first task at or behind an index is read, configurations are skipped', () => {
  const bench = follower()
  assert.equal(
    [1, 2, 3, 4, 5].map((index) => read(bench, index)),
    ['2:a', '2:a', '5:b', '5:b', '5:b'],
  )
})

test('nothing is read that is not applied, and there is no entry 0', () => {
  const bench = follower()
  assert.equal(
    [6, 7, 8, 1000].map((index) => read(bench, index)),
    Array(4).fill('ENOMOREUSERLOG'),
  )
  assert.equal(
    [0, -1, 1.5].map((index) => read(bench, index)),
    Array(3).fill('EINVAL'),
  )
  bench.append(2, 5, { prev: [7, 5], committed: 7 })
  assert.is(read(bench, 6), '7:open')
})

test('what was cut off at the front is said to be deleted', () => {
  const bench = follower()
  bench.impl.log.truncatePrefix(logIndex(3))
  bench.settle()
  assert.equal([read(bench, 2), read(bench, 3)], ['ELOGDELETED', '5:b'])
})

test('a long run of configurations is searched piece by piece', () => {
  const texts = [...Array(5_000).fill(three), 'z'.repeat(10)]
  const disk = new FakeLogStorage({ batches: [batch(1, 5, texts)] })
  const bench = NodeBench.follower(5, { disk })
  bench.append(2, 5, { prev: [texts.length, 5], committed: texts.length })
  bench.until('all is applied', () => bench.impl.fsmCaller.appliedIndex === texts.length, T)
  assert.is(read(bench, 1), `${texts.length}:${'z'.repeat(10)}`)
})

test('a node that is not started has none', () => {
  const told: number[] = []
  new NodeBench().node.readCommittedUserLog(logIndex(1), (status) => told.push(status.code))
  assert.equal(told, [ErrorCode.EAGAIN])
})

test.run()
