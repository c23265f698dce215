import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { RaftEvent } from '../../../src/raft/events.js'
import type { TimeoutNowResponse } from '../../../src/raft/messages.js'
import { asTerm } from '../../../src/raft/types.js'
import { batch, members, peer } from '../../support/entries.js'
import { NodeBench, T } from '../../support/node-bench.js'

const test = suite('SpaceWatch')

/** Time passes, and the followers answer what they are sent; those whose disk is short say so. */
function pass(bench: NodeBench, ms: number, ample: readonly number[], short: readonly number[] = []): void {
  for (let i = 0; i < ms; i += 10) {
    bench.advance(10)
    for (const n of ample) bench.stream(n).answerAll({ short: false })
    for (const n of short) bench.stream(n).answerAll({ short: true })
    for (const call of bench.transport.open('release')) call.finish(Status.OK, { term: asTerm(bench.term) })
    bench.settle()
  }
}

function eventsOf(bench: NodeBench, name: RaftEvent['name']): RaftEvent[] {
  return bench.environment.observer.events.filter((event) => event.name === name)
}

function handovers(bench: NodeBench): (readonly [number, string])[] {
  return eventsOf(bench, 'leader.handover').map(
    (event) => event.name === 'leader.handover' && ([event.target.port, event.reason] as const),
  ) as []
}

const asked = (bench: NodeBench) => [2, 3, 4, 5].filter((n) => bench.transport.open('timeoutNow', peer(n)).length > 0)

/** Whoever is asked to take over now declines. */
function decline(bench: NodeBench): number {
  const [n] = asked(bench)
  bench.transport.open('timeoutNow', peer(n!))[0]!.finish(Status.OK, { term: asTerm(bench.term), success: false })
  bench.settle()
  return n!
}

test('a leader whose disk runs short hands over at once to one that has space', () => {
  const bench = NodeBench.leader(6)
  pass(bench, 100, [3], [2])
  bench.node.setDiskSpace('short')
  assert.is(bench.state, 'LEADER', 'only one of two others takes entries')
  pass(bench, 200, [2, 3])

  assert.is(bench.state, 'TRANSFERRING')
  assert.equal(handovers(bench), [[2, 'its disk runs short; it holds the whole log, the most of 2 voters that answer']])
  assert.equal(asked(bench), [2])
  bench.transport.open('timeoutNow', peer(2))[0]!.finish(Status.OK, { term: asTerm(7), success: true })
  bench.settle()
  assert.equal([bench.state, bench.term], ['FOLLOWER', 7])
})

test('whoever is short itself is not asked, however much it holds', () => {
  const bench = NodeBench.leader(6, { conf: members(1, 2, 3, 4, 5) })
  bench.propose('a')
  pass(bench, 50, [2, 3])
  pass(bench, 150, [3, 4, 5], [2])
  bench.node.setDiskSpace('short')
  pass(bench, 50, [3, 4, 5], [2])
  assert.equal(asked(bench), [3])
})

test('who declines is passed over for the next; when nobody is left the leader leads on, says so, and asks again after 4 T', () => {
  const bench = NodeBench.leader(6)
  pass(bench, 50, [2, 3])
  bench.node.setDiskSpace('short')
  pass(bench, 50, [2, 3])
  const first = decline(bench)
  pass(bench, 150, [2, 3])
  const second = decline(bench)
  assert.equal([first, second].sort(), [2, 3])

  pass(bench, 3.9 * T, [2, 3])
  assert.is(bench.state, 'LEADER')
  assert.is(handovers(bench).length, 2)
  assert.is(eventsOf(bench, 'leader.short').length, 1)
  bench.propose('a')
  assert.is(bench.told.at(-1), 'a ENOSPC')
  bench.read('read')
  bench.take(2)
  assert.match(bench.told.at(-1)!, /^read OK/)

  pass(bench, 0.4 * T, [2, 3])
  assert.is(handovers(bench).length, 3)
})

test('where no quorum of the others takes entries the leader stays, and says why once', () => {
  const bench = NodeBench.leader(6, { conf: members(1, 2, 3, 4, 5) })
  pass(bench, 150, [2, 3], [4, 5])
  bench.node.setDiskSpace('short')
  pass(bench, 10 * T, [2, 3], [4, 5])
  assert.equal([bench.state, bench.term, handovers(bench)], ['LEADER', 6, []])
  const told = eventsOf(bench, 'leader.short').map((event) => event.name === 'leader.short' && event.reason)
  assert.equal(told, ['only 2 of 4 other voters answer and take entries'])

  pass(bench, 200, [2, 3, 4], [5])
  assert.is(handovers(bench).length, 1)
})

test('with space again a leader takes writes, and asks nobody any more', () => {
  const bench = NodeBench.leader(6)
  pass(bench, 150, [], [2, 3])
  bench.node.setDiskSpace('short')
  bench.node.setDiskSpace('ample')
  pass(bench, T, [2, 3])
  assert.equal(handovers(bench), [])
  bench.propose('a')
  pass(bench, 20, [2, 3])
  assert.is(bench.told.at(-1), 'a OK')
})

test('what is short declines to take over, and an operator is told so before writes stop', () => {
  const follower = NodeBench.follower(5)
  follower.append(2, 6)
  follower.node.setDiskSpace('short')
  const answered = follower.ask<TimeoutNowResponse>((answer) =>
    follower.impl.handleTimeoutNow(
      { groupId: 'g', serverId: peer(2), peerId: peer(1), term: asTerm(6), oldLeaderSteppedDown: false },
      answer,
    ),
  )
  assert.equal([answered.response!.success, follower.state], [false, 'FOLLOWER'])
  assert.is(follower.append(2, 6).response!.short, true)

  const leader = NodeBench.leader(6)
  pass(leader, 150, [3], [2])
  leader.node.transferLeadershipTo(peer(2), leader.tell('transfer'))
  leader.settle()
  assert.equal([leader.state, leader.told.at(-1)], ['LEADER', 'transfer ENOSPC'])
})

test('without a leader what is short lets the others campaign for 2 T, then campaigns itself', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 6)
  bench.node.setDiskSpace('short')
  bench.advance(3 * T - 50)
  assert.equal(bench.events('prevote.started'), [])
  bench.until('it campaigns', () => bench.events('prevote.started').length > 0, 1.5 * T)

  // A leader in between: the others have their 2 T again.
  bench.append(2, 7)
  const before = bench.events('prevote.started').length
  bench.advance(3 * T - 50)
  assert.is(bench.events('prevote.started').length, before)
})

test('who is alone has nobody to wait for', () => {
  const bench = new NodeBench({ conf: members(1) }).init()
  bench.node.setDiskSpace('short')
  bench.until('it leads', () => bench.state === 'LEADER', T)
})

test('a member that catches up does not keep the leadership where no writes are taken', () => {
  const bench = NodeBench.leader(6)
  pass(bench, 50, [2, 3])
  bench.node.changePeers(members(1, 2, 3, 4), {}, bench.tell('change'))
  pass(bench, 50, [2, 3])
  bench.node.setDiskSpace('short')
  pass(bench, 50, [2, 3])
  assert.is(bench.told.at(-1), 'change ENOSPC')
  assert.is(handovers(bench).length, 1)
})

test('a configuration in the log is committed before leadership moves', () => {
  const bench = NodeBench.leader(6, { conf: members(1, 2, 3, 4, 5) })
  pass(bench, 50, [2, 3, 4, 5])
  bench.node.changePeers(members(1, 2, 3, 4), {}, bench.tell('change'))
  bench.settle()
  bench.node.setDiskSpace('short')
  bench.advance(150)
  assert.equal(handovers(bench), [])
  pass(bench, 200, [2, 3, 4, 5])
  assert.is(bench.told.at(-1), 'change OK')
  assert.is(handovers(bench).length, 1)
})

test('entries of a leader are refused while short', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 6)
  bench.node.setDiskSpace('short')
  assert.is(bench.append(2, 6, { entries: batch(1, 6, ['x']) }).status!.code, ErrorCode.ENOSPC)
})

test.run()
