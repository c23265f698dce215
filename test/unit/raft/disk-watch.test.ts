import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { DiskWatch } from '../../../src/raft/disk-watch.js'
import { Status } from '../../../src/raft/errors.js'
import type { NodeImpl } from '../../../src/raft/node-impl.js'
import { ManualClock, ManualExecutor } from '../../support/fake-environment.js'
import { NodeBench, T } from '../../support/node-bench.js'

const test = suite('DiskWatch')

const said = (bench: NodeBench) => bench.events('disk.stalled', 'leader.stalled', 'disk.recovered')

/** A leader whose disk takes nothing any more, and who was just given something to write. */
function stalled(): NodeBench {
  const bench = NodeBench.leader(6)
  bench.held.log = true
  bench.propose('a')
  return bench
}

/** Time passes, and the followers answer what they are sent: all of it, or heartbeats only. */
function pass(bench: NodeBench, ms: number, ...takers: number[]): void {
  for (let i = 0; i < ms; i += 10) {
    bench.advance(10)
    for (const n of takers) bench.take(n)
  }
}

test('I01 a leader whose write is not done after an election timeout hands over to one of a quorum that holds more', () => {
  const bench = stalled()
  pass(bench, T - 20, 2, 3)
  assert.equal(said(bench), [])
  assert.is(bench.node.status().diskStalledForMs, null)

  pass(bench, 40, 2, 3)

  assert.equal(said(bench), ['disk.stalled', 'leader.stalled'])
  assert.is(bench.state, 'TRANSFERRING')
  pass(bench, 40, 2, 3)
  assert.is(bench.transport.open('timeoutNow').length, 1)
  assert.ok(bench.node.status().diskStalledForMs! >= T)
})

test('I01 it stays while nobody else has more on disk, and gives way once a quorum of the others has', () => {
  const bench = stalled()
  bench.take(2)
  const takeHeartbeats = (n: number) => {
    for (const { seq, request } of bench.stream(n).unanswered.filter((sent) => !sent.request.entries)) {
      const { term, prevLogIndex: lastLogIndex } = request
      bench.stream(n).answer(seq, Status.OK, { term, success: true, lastLogIndex, readonly: false, short: false, rebuilding: false })
    }
    bench.settle()
  }
  for (let i = 0; i < 3 * T; i += 10) {
    bench.advance(10)
    bench.take(2)
    takeHeartbeats(3)
  }
  assert.equal(said(bench), ['disk.stalled'])
  assert.is(bench.state, 'LEADER')

  pass(bench, T / 2, 2, 3)

  assert.is(bench.state, 'TRANSFERRING')
})

test('a write that began just after another is looked at again at a time that a clock can tell apart from now', () => {
  const executor = new ManualExecutor()
  const clock = new ManualClock(executor)
  const delays: number[] = []
  const watched = {
    now: () => clock.now(),
    schedule: (delayMs: number, fn: () => void, label: string) => {
      delays.push(delayMs)
      return clock.schedule(delayMs, fn, label)
    },
  }
  const node = { electionTimeoutMs: T, env: { clock: watched }, isActive: () => true, observe: () => {} }
  const watch = new DiskWatch(node as unknown as NodeImpl)
  const [first, second] = [watch.of('log'), watch.of('meta')]
  first.began()
  clock.advance(1e-9)
  second.began()
  first.ended()
  clock.advance(T)
  assert.equal(delays, [T, 1])
})

test('I01 a stall is told once, and so is its end', () => {
  const bench = NodeBench.leader(6)
  bench.held.log = true
  bench.propose('a')
  bench.advance(0.9 * T)
  bench.held.log = false
  bench.settle()
  assert.equal(said(bench), [])

  bench.held.log = true
  bench.propose('b')
  bench.advance(1.5 * T)
  bench.held.log = false
  bench.settle()

  assert.equal(said(bench), ['disk.stalled', 'disk.recovered'])
  assert.is(bench.node.status().diskStalledForMs, null)
})

test('I01 whose term and vote do not reach the disk in time does not campaign', () => {
  const bench = NodeBench.follower(5)
  bench.held.meta = true
  bench.append(2, 6)
  bench.advance(3 * T)
  assert.equal(said(bench), ['disk.stalled'])
  assert.equal(bench.events('prevote.started'), [])

  bench.held.meta = false
  bench.until('a pre-vote', () => bench.events('prevote.started').length > 0)
})

test('I01 refuses to take over while its disk stands still', () => {
  const bench = NodeBench.follower(5)
  bench.append(2, 5)
  bench.held.meta = true
  bench.held.log = true
  bench.append(3, 6)
  bench.advance(T + 10)
  const answered = bench.ask<{ success: boolean }>((answer) =>
    bench.impl.handleTimeoutNow(
      { groupId: 'g', serverId: bench.impl.leaderId, peerId: bench.impl.serverId, term: bench.impl.meta.term, oldLeaderSteppedDown: false },
      answer,
    ),
  )
  bench.held.meta = false
  bench.settle()
  assert.is(answered.response!.success, false)
  assert.is(bench.state, 'FOLLOWER')
})

test('I01 a process that stood still itself blames no disk', () => {
  const bench = stalled()
  bench.take(2)
  bench.take(3)
  bench.environment.clock.stall(3 * T)
  bench.held.log = false
  bench.settle()
  bench.advance(T / 2)
  assert.equal(said(bench), [])
})

test.run()
