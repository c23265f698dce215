import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Status } from '../../../src/raft/errors.js'
import { type LogIndex, logIndex } from '../../../src/raft/types.js'
import { WRITE_LATENCY_BOUNDS_MS, WriteLatency, type WriteStage } from '../../../src/raft/write-latency.js'
import { configurationAt, members, peer } from '../../support/entries.js'
import { NodeBench } from '../../support/node-bench.js'

const test = suite('WriteLatency')

/** What was measured of a stage, where all batches took the same: one number; null where none did. */
function took(bench: NodeBench, stage: WriteStage): number | null {
  return bench.node.status().writeLatency?.[stage]?.p50Ms ?? null
}

function stages(bench: NodeBench): (number | null)[] {
  return (['queue', 'append', 'replicate', 'commit', 'apply', 'total'] as const).map((stage) => took(bench, stage))
}

/** The machine is busy for that long with everything it is given at once. */
function slowMachine(bench: NodeBench, ms: number): void {
  const { take } = bench.machine
  bench.machine.take = (iterator) => {
    bench.environment.clock.stall(ms)
    take(iterator)
  }
}

test('a slow follower is replication: the leader has it on disk at once, and waits', () => {
  const bench = NodeBench.leader(6)
  bench.propose('a')
  bench.advance(30)
  assert.equal(stages(bench), [0, 0, null, null, null, null], 'nobody else has it')
  bench.take(2)
  assert.equal(stages(bench), [0, 0, 30, 30, 0, 30])
  bench.advance(50)
  bench.take(3)
  assert.is(took(bench, 'replicate'), 30, 'whoever comes later was not waited for')
})

test('what a later configuration committed is waited for no more from those whom its own one counts', () => {
  const clock = { now: () => 0, schedule: () => ({ cancel: () => {} }) }
  const held = new Map<string, LogIndex>([[peer(4).key, logIndex(1000)]])
  const latency = new WriteLatency(clock, peer(1), { matchIndex: (key) => held.get(key) })
  const joint = configurationAt(1, members(1, 4, 5), members(1, 2, 3))
  for (let index = 1; index <= 1000; index++) latency.onProposed(logIndex(index), 0, joint)
  latency.onDurable(logIndex(1000))
  latency.onCommitted(logIndex(1000))
  latency.onApplied(logIndex(1000))
  const { replicate, apply } = latency.status()!
  assert.equal([replicate?.count, apply?.count], [1000, 1000])
  latency.onProposed(logIndex(1001), 0, configurationAt(1, members(1, 4, 5)))
  held.set(peer(4).key, logIndex(1001))
  latency.onAcknowledged()
  assert.is(latency.status()!.replicate?.count, 1001, 'later ones are timed again')
})

test('a slow disk of the leader is its append: what two others hold is committed without it', () => {
  const bench = NodeBench.leader(6)
  bench.held.log = true
  bench.propose('a')
  bench.advance(10)
  bench.take(2)
  assert.equal(stages(bench), [0, null, 10, null, null, null], 'one other is all that lacks, besides the own disk')
  bench.advance(5)
  bench.take(3)
  assert.equal(stages(bench), [0, null, 10, 15, 0, 15])
  bench.advance(25)
  bench.held.log = false
  bench.settle()
  assert.equal(stages(bench), [0, 40, 10, 15, 0, 15])
})

test('where the disk of the leader decides, replication ends before the commit', () => {
  const bench = NodeBench.leader(6)
  bench.held.log = true
  bench.propose('a')
  bench.take(2)
  bench.advance(20)
  bench.held.log = false
  bench.settle()
  assert.equal(stages(bench), [0, 20, 0, 20, 0, 20])
})

test('a slow machine is the way from commit to applied', () => {
  const bench = NodeBench.leader(6)
  slowMachine(bench, 40)
  bench.propose('a')
  bench.advance(5)
  bench.take(2)
  assert.equal(stages(bench), [0, 0, 5, 5, 40, 45])
})

test('what waits while the process is busy waits in the queue', () => {
  const bench = NodeBench.leader(6)
  bench.node.apply({ data: Buffer.from('a'), done: bench.waiting('a') })
  bench.environment.clock.stall(7)
  bench.node.apply({ data: Buffer.from('b'), done: bench.waiting('b') })
  bench.settle()
  bench.take(2)
  assert.equal(stages(bench), [7, 0, 0, 0, 0, 7], 'since the oldest of the batch came')
  assert.is(bench.node.status().writeLatency!.queue!.count, 1, 'a batch counts once')
})

test('a leader alone replicates nothing', () => {
  const bench = new NodeBench({ conf: members(1) }).init()
  bench.until('a leader', () => bench.impl.leaderReady)
  assert.is(bench.node.status().writeLatency, null, 'the first entry of a term is no write')
  bench.held.log = true
  bench.propose('a')
  bench.advance(3)
  bench.held.log = false
  bench.settle()
  assert.equal(stages(bench), [0, 3, null, 3, 0, 3])
})

test('while joint both halves are waited for', () => {
  const bench = NodeBench.leader(6)
  bench.node.changePeers(members(1, 4), {}, () => {})
  bench.settle()
  bench.take(4)
  bench.advance(1)
  assert.is(bench.impl.configuration.isStable, false)
  bench.propose('a')
  bench.advance(4)
  bench.take(2)
  assert.is(took(bench, 'replicate'), null, 'the new half lacks a member')
  bench.advance(4)
  bench.take(4)
  assert.is(took(bench, 'replicate'), 8)
})

test('batches in flight each count from their own start', () => {
  const bench = NodeBench.leader(6)
  for (const name of ['a', 'b', 'c']) {
    bench.propose(name)
    bench.advance(10)
  }
  bench.take(2)
  const { replicate, commit, total } = bench.node.status().writeLatency!
  assert.equal([replicate!.count, replicate!.sumMs, replicate!.p50Ms, replicate!.p99Ms], [3, 60, 20, 30])
  assert.equal([commit!.sumMs, total!.sumMs], [60, 60])
  assert.is(bench.node.status().writeLatency!.append!.sumMs, 0)
})

test('many batches in flight are all counted, each once', () => {
  const bench = NodeBench.leader(6)
  bench.held.log = true
  for (let i = 0; i < 500; i++) bench.propose('a')
  bench.advance(2)
  bench.take(2)
  bench.take(3)
  bench.held.log = false
  bench.settle()
  const counts = () => Object.values(bench.node.status().writeLatency!).map(({ count, sumMs }) => [count, sumMs])
  assert.equal(counts(), [
    [500, 0],
    [500, 1000],
    [500, 1000],
    [500, 1000],
    [500, 0],
    [500, 1000],
  ])
  // Long enough for nobody to wait for those who were answered.
  bench.advance(100)
  bench.propose('b')
  bench.take(2)
  assert.equal(counts(), [
    [501, 0],
    [501, 1000],
    [501, 1000],
    [501, 1000],
    [501, 0],
    [501, 1000],
  ])
})

test('who steps down forgets what was under way, keeps its counts, and says nothing of now', () => {
  const bench = NodeBench.leader(6)
  bench.propose('a')
  bench.advance(10)
  bench.take(2)
  bench.propose('b')
  bench.impl.stepDown(bench.impl.meta.term, Status.error(1, 'a test'))
  const { commit, queue } = bench.node.status().writeLatency!
  assert.equal([queue!.count, commit!.count, commit!.p50Ms, commit!.p99Ms], [2, 1, null, null])
  bench.elect()
  bench.take(2)
  assert.is(bench.node.status().writeLatency!.commit!.count, 1, 'b was not proposed in this leadership')
  bench.propose('c')
  bench.advance(20)
  bench.take(2)
  assert.equal([took(bench, 'commit'), bench.node.status().writeLatency!.commit!.count], [20, 2])
})

test('durations fall into the class that ends at or above them', () => {
  const bench = NodeBench.leader(6)
  for (const [at, ms] of [1, 2, 3, 700].entries()) {
    bench.propose(`${at}`)
    bench.advance(ms)
    bench.take(2)
  }
  const { classes, count } = bench.node.status().writeLatency!.commit!
  const counted = classes.flatMap((number, at) => (number === 0 ? [] : [[WRITE_LATENCY_BOUNDS_MS[at] ?? Infinity, number]]))
  assert.equal(
    [counted, count],
    [
      [
        [1, 1],
        [2.5, 1],
        [5, 1],
        [1000, 1],
      ],
      4,
    ],
  )
})

test('percentiles are of the newest 256 batches', () => {
  const bench = NodeBench.leader(6)
  const write = (ms: number) => {
    bench.propose('a')
    bench.advance(ms)
    bench.take(2)
  }
  for (let i = 0; i < 5; i++) write(50)
  for (let i = 0; i < 251; i++) write(0)
  const { count, p50Ms, p99Ms } = bench.node.status().writeLatency!.commit!
  assert.equal([count, p50Ms, p99Ms], [256, 0, 50])
  for (let i = 0; i < 5; i++) write(0)
  const later = bench.node.status().writeLatency!.commit!
  assert.equal([later.count, later.p99Ms, later.sumMs], [261, 0, 250])
})

test.run()
