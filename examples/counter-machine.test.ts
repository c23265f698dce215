// How a state machine is tested without a process, a port or a second of waiting: a cluster in memory, in virtual time.
// A test of your own imports from 'raftctl/testing', and runs in whatever test runner you have.
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { TestCluster } from '../src/testing/index.js'
import { Counter, encodeAmount } from './counter-machine.js'

const test = suite('the counter of the examples')

function startedCluster(seed = 1): TestCluster<Counter> {
  return new TestCluster({ size: 3, seed, createMachine: () => new Counter() }).start()
}

test('every member comes to the same sum', () => {
  const cluster = startedCluster()
  for (const amount of [40n, 5n, -3n]) cluster.apply(encodeAmount(amount))
  cluster.expectSameState((counter) => `${counter.value}`)
  assert.is(cluster.member('n1').machine!.value, 42n)
})

test('what was acknowledged is read from the next leader when the first is gone', () => {
  const cluster = startedCluster()
  const first = cluster.awaitLeader()
  cluster.apply(encodeAmount(40n)).kill(first)
  cluster.apply(encodeAmount(2n))
  const second = cluster.awaitLeader()
  assert.is.not(second, first)
  assert.is(
    cluster.read(second, (counter) => counter.value),
    42n,
  )
})

test('a leader that is cut off has nothing acknowledged, and is level again when the others can be reached', () => {
  const cluster = startedCluster()
  const old = cluster.awaitLeader()
  cluster.isolate(old)
  const task = cluster.propose(encodeAmount(1n), old)
  cluster.awaitLeader({ not: old })
  cluster.apply(encodeAmount(10n)).heal()
  cluster.awaitConverged()
  assert.not(task.status?.ok)
  assert.equal(
    cluster.members.map((member) => member.machine!.value),
    [10n, 10n, 10n],
  )
})

test('a member that lost power comes back from its snapshot and the log behind it', () => {
  const cluster = startedCluster()
  cluster.apply(encodeAmount(40n)).awaitConverged()
  const [follower] = cluster.followers
  const upTo = cluster.snapshot(follower!)
  cluster.apply(encodeAmount(2n)).awaitConverged()
  cluster.crash(follower!)
  cluster.start(follower).awaitConverged()
  assert.is(follower!.node!.status().snapshotId.index, upTo)
  assert.is(follower!.machine!.value, 42n)
})

test('the sums agree whatever the network does, in fifty runs of other chance', () => {
  for (let seed = 1; seed <= 50; seed++) {
    const cluster = startedCluster(seed)
    cluster.awaitLeader()
    cluster.network.profile.lossRate = 0.1
    const tasks = Array.from({ length: 20 }, () => cluster.propose(encodeAmount(1n)))
    cluster.await('all are answered', () => tasks.every(({ status }) => status !== null))
    cluster.network.profile.lossRate = 0
    cluster.expectSameState((counter) => `${counter.value}`)
    const acknowledged = tasks.filter(({ status }) => status!.ok).length
    assert.ok(cluster.member('n1').machine!.value >= acknowledged, `seed ${seed}`)
  }
})

test.run()
