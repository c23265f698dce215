import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { asTerm } from '../../../src/raft/types.js'
import { members, peer } from '../../support/entries.js'
import { NodeBench, T } from '../../support/node-bench.js'

const test = suite('LeaderLease')

const WITH = { leaderLease: true, maxClockDriftMs: T / 10 }

const state = (bench: NodeBench) => bench.node.getLeaderLeaseStatus().state

const readByLease = (bench: NodeBench, name: string) => {
  bench.node.readIndex(T, bench.tell(name), 'lease')
  bench.settle()
}

test('without the option there is no lease, and a read of mode lease asks the others', () => {
  const bench = NodeBench.leader(6)
  assert.equal(bench.node.getLeaderLeaseStatus(), { state: 'disabled', term: null, leaseEpoch: null })
  readByLease(bench, 'read')
  assert.not(bench.told.includes('read OK 1'))
  bench.take(2)
  assert.is(bench.told.at(-1), 'read OK 1')
})

test('D06 the drift allowed for must be above zero and below the election timeout', () => {
  for (const maxClockDriftMs of [0, -1, T, 2 * T]) {
    const bench = new NodeBench({ leaderLease: true, maxClockDriftMs }).init()
    assert.equal(bench.told, ['init EINVAL'])
    assert.is(bench.state, 'ERROR')
  }
  assert.equal(new NodeBench({ leaderLease: false, maxClockDriftMs: 0 }).init().told, ['init OK'])
})

test('it is not ready before an entry of the term is committed, and then valid for T less the drift after the newest request that a quorum answered was sent', () => {
  const bench = NodeBench.follower(5, WITH)
  bench.elect()
  assert.is(state(bench), 'not-ready')
  bench.take(2)
  const sentBefore = bench.now
  assert.equal(bench.node.getLeaderLeaseStatus(), { state: 'valid', term: 6, leaseEpoch: 1 })
  assert.ok(bench.node.isLeaderLeaseValid())
  readByLease(bench, 'read')
  assert.is(bench.told.at(-1), 'read OK 1')

  const ended = bench.until('its end', () => state(bench) === 'expired')
  assert.ok(ended >= 0.9 * T - 1 && bench.now <= sentBefore + 0.9 * T, `after ${ended} ms`)
  bench.take(3)
  assert.is(state(bench), 'valid', 'what was sent later was answered')
})

test('a read while it is expired asks the others', () => {
  const bench = NodeBench.leader(6, WITH)
  bench.until('its end', () => state(bench) === 'expired')
  readByLease(bench, 'read')
  assert.not(bench.told.includes('read OK 1'))
  bench.take(2)
  assert.is(bench.told.at(-1), 'read OK 1')
})

test('nobody who never answered counts, though its replicator is as young as the leadership', () => {
  const bench = NodeBench.follower(5, { ...WITH, conf: members(1, 2, 3, 4, 5) })
  bench.elect(2, 3)
  bench.take(2)
  assert.is(state(bench), 'not-ready')
  bench.take(3)
  assert.is(state(bench), 'valid')
})

test('who is alone always holds it', () => {
  const bench = new NodeBench({ ...WITH, conf: members(1) }).init()
  bench.until('it leads', () => bench.state === 'LEADER')
  bench.advance(3 * T)
  assert.is(state(bench), 'valid')
})

test('a follower with leases votes for nobody for T after it heard its leader, also where a candidate names that leader', () => {
  const bench = NodeBench.follower(5, WITH)
  bench.advance(T)
  bench.append(2, 5)
  bench.advance(T / 2)
  const disrupted = { peerId: peer(2), term: asTerm(5) }
  assert.is(bench.vote('requestVote', 3, 6, [9, 5], disrupted).response!.granted, false)
  assert.is(bench.term, 5)
  bench.advance(T / 2)
  assert.is(bench.vote('requestVote', 3, 6, [9, 5]).response!.granted, true)
})

test('its own vote is promised away as well', () => {
  const bench = NodeBench.follower(5, WITH)
  bench.advance(T)
  bench.append(2, 5)
  bench.node.vote(bench.tell('vote'))
  bench.advance(0.9 * T)
  assert.is(bench.transport.open('preVote').length, 0)
  bench.until('a pre-vote', () => bench.transport.open('preVote').length > 0, T / 2)
})

test('a member that was restarted promises anew; a new group does not wait', () => {
  const bench = NodeBench.follower(5, WITH)
  assert.is(bench.vote('requestVote', 3, 6, [9, 5]).response!.granted, false)
  bench.advance(T)
  assert.is(bench.vote('requestVote', 3, 6, [9, 5]).response!.granted, true)

  const fresh = new NodeBench(WITH).init()
  assert.is(fresh.vote('requestVote', 3, 2).response!.granted, true)
})

test('timeout_now frees its receiver, which names no disrupted leader and answers in the old term (braft)', () => {
  const bench = NodeBench.follower(5, WITH)
  bench.append(2, 5)
  const request = { groupId: 'g', serverId: peer(2), peerId: peer(1), term: asTerm(5), oldLeaderSteppedDown: false }
  const answered = bench.ask<{ term: number; success: boolean }>((answer) => bench.impl.handleTimeoutNow(request, answer))
  assert.equal(answered.response, { term: asTerm(5), success: true })
  assert.is(bench.state, 'CANDIDATE')
  assert.is(bench.transport.open('requestVote')[0]!.request.disruptedLeader, null)
})

test('of three members one that answers keeps the lease alive, nobody ends it, and a follower holds none', () => {
  const bench = NodeBench.follower(5, WITH)
  bench.append(2, 5)
  assert.is(state(bench), 'expired')
  bench.advance(T)
  bench.elect(2)
  for (let i = 0; i < 2 * T; i += 50) {
    bench.advance(50)
    bench.take(2)
  }
  assert.is(state(bench), 'valid')
  bench.advance(0.9 * T)
  assert.equal([state(bench), bench.node.isLeader()], ['expired', true])
})

test.run()
