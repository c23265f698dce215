import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Iterator, StateMachine } from '../../../src/raft/raft.js'
import { TestCluster } from '../../../src/testing/index.js'

let machines = 0

/** Counts tasks; the third machine that is made in a test counts them twice. */
class Counter extends StateMachine {
  count = 0
  private readonly each: number

  constructor(honest: boolean) {
    super()
    this.each = !honest && ++machines === 3 ? 2 : 1
  }

  onApply(iterator: Iterator): void {
    for (; iterator.valid(); iterator.next()) {
      if (iterator.data().length === 0) throw new Error('a task of nothing')
      this.count += this.each
    }
  }
}

function cluster(options: { seed?: number; honest?: boolean; joiners?: number } = {}): TestCluster<Counter> {
  const { honest = true, ...rest } = options
  return new TestCluster({ size: 3, ...rest, createMachine: () => new Counter(honest) }).start()
}

const task = Buffer.from('task')

test('the same seed is the same run, to the event; another is another', () => {
  const hashes = [1, 1, 2].map((seed) => {
    const one = cluster({ seed })
    one.apply(task).crash(one.awaitLeader())
    one.apply(task)
    return one.scheduler.traceHash
  })
  assert.is(hashes[0], hashes[1])
  assert.is.not(hashes[0], hashes[2])
})

test('machines that come to different states from one log are told apart', () => {
  machines = 0
  const dishonest = cluster({ honest: false })
  dishonest.apply(task)
  assert.throws(() => dishonest.expectSameState(({ count }) => `${count}`), /n3 and n1 applied the same log and differ: 2, 1/)
})

test('what waits in vain says how every member stands, and what happened last', () => {
  const split = cluster()
  const leader = split.awaitLeader()
  for (const follower of split.followers) split.kill(follower)
  split.run(5000)
  assert.throws(() => split.awaitLeader(), /a leader is ready: not within 20000 ms; n1 .* term \d+ last [\s\S]*\n *\d+\.\d{3} n\d/)
  assert.throws(() => split.apply(task, leader), /a task was answered EPERM/)
})

test('a machine that throws stops its node, and says why', () => {
  const failing = cluster()
  const leader = failing.awaitLeader()
  failing.propose(Buffer.alloc(0), leader)
  failing.await('it has failed', () => leader.failed !== null)
  assert.match(failing.describe(), 'a task of nothing')
})

test('members join, leave, are handed the leadership, lose their disk and are rebuilt', () => {
  const grown = cluster({ joiners: 1 })
  grown.apply(task).change(...grown.members)
  const [n1, n2, n3, n4] = grown.members
  grown.transfer(n4!).apply(task)
  assert.is(grown.leader(), n4)
  grown.wipe(n1!)
  grown.start(n1).apply(task).awaitConverged()
  assert.is(n1!.machine!.count, 3)
  grown.change(n2!, n3!, n4!)
  const { configuration } = n4!.node!.status()
  assert.is(configuration.conf.contains(n1!.peerId), false)
})

test('what a read sees was acknowledged before, also through a follower', () => {
  const read = cluster()
  read.apply(task).apply(task)
  for (const member of read.members)
    assert.is(
      read.read(member, ({ count }) => count),
      2,
    )
  const old = read.awaitLeader()
  read.isolate(old)
  read.awaitLeader({ not: old })
  read.apply(task)
  const { status } = read.ask(old, 'a read that nobody confirms', (node, done) => node.readIndex(1000, done))
  assert.not(status.ok)
  assert.is(old.machine!.count, 2)
})

test.run()
