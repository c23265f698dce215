import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Status } from '../../src/raft/errors.js'
import { type Iterator, StateMachine } from '../../src/raft/raft.js'
import type { SyncPolicy } from '../../src/storage/log-sync.js'
import { TestCluster } from '../../src/testing/test-cluster.js'

/** Remembers what it applied. */
class Words extends StateMachine {
  readonly words: string[] = []

  override onApply(iterator: Iterator): void {
    for (; iterator.valid(); iterator.next()) {
      this.words.push(iterator.data().toString())
      iterator.done()?.run(Status.OK)
    }
  }
}

const SEEDS = 5

/** Twenty writes are acknowledged, then all three members lose power in the same moment: how many of them are gone afterwards. */
function lostWithPower(seed: number, sync?: SyncPolicy): number {
  const cluster = new TestCluster({ size: 3, seed, createMachine: () => new Words(), ...(sync ? { sync } : {}) }).start()
  const acknowledged = Array.from({ length: 20 }, (_, i) => `word ${i}`)
  for (const word of acknowledged) cluster.apply(Buffer.from(word))
  for (const member of cluster.members) cluster.crash(member, { keep: 0 })
  for (const member of cluster.members) cluster.start(member)
  cluster.awaitLeader()
  cluster.apply(Buffer.from('after')).awaitConverged()
  const [, ...rest] = cluster.members
  const { words } = cluster.members[0]!.machine!
  for (const member of rest) assert.equal(member.machine!.words, words)
  return acknowledged.filter((word) => !words.includes(word)).length
}

test('C01 a group that loses power as a whole keeps every acknowledged write, unless it was started to risk them', () => {
  for (let seed = 1; seed <= SEEDS; seed++) assert.is(lostWithPower(seed), 0, `seed ${seed}`)
})

test('a group that never syncs loses what it acknowledged, and goes on without it', () => {
  for (let seed = 1; seed <= SEEDS; seed++) assert.is(lostWithPower(seed, { when: 'never' }), 20, `seed ${seed}`)
})

test('a group that syncs by bytes keeps what it synced and loses no more than what waited', () => {
  const losses = Array.from({ length: SEEDS }, (_, i) => lostWithPower(i + 1, { when: 'by-bytes', bytes: 200 }))
  assert.ok(
    losses.every((lost) => lost > 0 && lost < 7),
    `${losses}`,
  )
})

test('one member that loses power gets back what it lost from the others', () => {
  const cluster = new TestCluster({ size: 3, createMachine: () => new Words(), sync: { when: 'never' } }).start()
  for (let i = 0; i < 20; i++) cluster.apply(Buffer.from(`word ${i}`))
  const [follower] = cluster.followers
  cluster.crash(follower!, { keep: 0 })
  cluster.start(follower)
  cluster.awaitConverged()
  assert.is(follower!.machine!.words.length, 20)
})

test.run()
