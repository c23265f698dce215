import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Configuration } from '../../../src/raft/configuration.js'
import { errorName } from '../../../src/raft/errors.js'
import { NodeBench, T } from '../../support/node-bench.js'

const test = suite('Timeouts')

const set = (bench: NodeBench, ...args: Parameters<NodeBench['node']['resetElectionTimeoutMs']>) => {
  const status = bench.node.resetElectionTimeoutMs(...args)
  bench.settle()
  return status.ok ? 'OK' : errorName(status.code)
}
const timing = (bench: NodeBench) => {
  const { electionTimeoutMs, heartbeatMs } = bench.node.status()
  return [electionTimeoutMs, heartbeatMs]
}

test('the election timeout and the drift together bound it, and their sum stays; both may be given at once', () => {
  const bench = NodeBench.follower(5, { maxClockDriftMs: 500 })
  assert.is(set(bench, 1501), 'EINVAL')
  assert.equal(timing(bench), [T, 100])
  assert.is(set(bench, 1500), 'OK')
  assert.equal([timing(bench), bench.impl.timeouts.maxClockDriftMs], [[1500, 150], 0])
  assert.is(set(bench, 50), 'OK')
  assert.equal([timing(bench), bench.impl.timeouts.maxClockDriftMs], [[50, 10], 1450])
  assert.is(set(bench, 3000, 200), 'OK')
  assert.equal([timing(bench), bench.impl.timeouts.maxClockDriftMs], [[3000, 300], 200])
  for (const bad of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) assert.is(set(bench, bad), 'EINVAL')
  assert.is(set(bench, 100, -1), 'EINVAL')
  assert.equal(timing(bench), [3000, 300])
})

test('a follower whose timeout is shortened gives its leader up by the new one', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  assert.is(set(bench, 200), 'OK')
  const after = bench.until('a pre-vote', () => bench.transport.open('preVote').length > 0)
  assert.ok(after >= 200 && after <= 301, `after ${after} ms`)
})

test('a leader sends heartbeats by the new timeout, and steps down by it', () => {
  const bench = NodeBench.leader(6)
  assert.is(set(bench, 200), 'OK')
  bench.take(2)
  bench.take(3)
  bench.advance(100)
  // One by the timer that was running, and then every 20 ms.
  bench.take(2)
  bench.advance(60)
  assert.is(bench.stream(2).unanswered.length, 3)
  bench.take(2)
  const after = bench.until('it steps down', () => bench.state === 'FOLLOWER')
  assert.ok(after <= 200, `after ${after} ms`)
})

test('a leader that was heard longer ago than a new timeout has that long from now to be heard', () => {
  const bench = NodeBench.leader(6)
  bench.take(2)
  bench.take(3)
  bench.advance(90)
  assert.is(set(bench, 50), 'OK')
  const after = bench.until('it steps down', () => bench.state === 'FOLLOWER')
  assert.ok(after >= 49, `after ${after} ms`)
})

test('a lease, and what is promised to a leader, keep to what the node was started with', () => {
  const options = { leaderLease: true, maxClockDriftMs: T / 10 }
  const leader = NodeBench.leader(6, options)
  assert.is(set(leader, 5 * T, 1), 'OK')
  leader.take(2)
  leader.advance(0.9 * T - 1)
  assert.is(leader.node.isLeaderLeaseValid(), true)
  leader.advance(1)
  assert.is(leader.node.isLeaderLeaseValid(), false)

  const follower = NodeBench.follower(5, options)
  follower.advance(T)
  follower.append(2, 5)
  assert.is(set(follower, 20), 'OK')
  follower.advance(0.9 * T)
  assert.is(follower.transport.open('preVote').length, 0)
  assert.is(follower.vote('requestVote', 3, 6, [9, 5]).response!.granted, false)
})

test('vote with a timeout sets it and campaigns at once; only a follower and a leader can be asked', () => {
  const bench = NodeBench.follower(5)
  bench.node.vote(bench.tell('too long'), 2 * T)
  assert.equal([bench.told.at(-1), timing(bench)], ['too long EINVAL', [T, 100]])
  assert.is(bench.transport.open('preVote').length, 0)
  bench.node.vote(bench.tell('vote'), 50)
  bench.settle()
  assert.equal([bench.told.at(-1), timing(bench)], ['vote OK', [50, 10]])
  assert.is(bench.transport.open('preVote').length, 2)

  bench.node.shutdown(bench.tell('shutdown'))
  bench.settle()
  bench.node.vote(bench.tell('vote'), 50)
  assert.equal([bench.told.at(-1), set(bench, 100)], ['vote EPERM', 'EPERM'])
})

test('a node that waits to be added does not campaign because its timeout was changed', () => {
  const bench = NodeBench.follower(1, { conf: Configuration.EMPTY })
  assert.is(set(bench, 100), 'OK')
  bench.advance(T)
  assert.equal(bench.events('prevote.started', 'election.started'), [])
})

test.run()
