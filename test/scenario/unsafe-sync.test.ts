import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Status } from '../../src/raft/errors.js'
import { type Iterator, StateMachine } from '../../src/raft/raft.js'
import type { SyncPolicy } from '../../src/storage/log-sync.js'
import type { GroupMember } from '../../src/testing/group-member.js'
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

type Member = GroupMember<Words>

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

/** Two members with data and a witness, n3, which holds no data and never leads; n1 leads. */
function witnessed() {
  const createMachine = () => new Words()
  const cluster = new TestCluster({ size: 3, witnesses: [3], createMachine, sync: { when: 'never' } }).start()
  const [n1, n2, n3] = ['n1', 'n2', 'n3'].map((name) => cluster.member(name)) as [Member, Member, Member]
  if (cluster.awaitLeader() !== n1) cluster.transfer(n1)
  return { cluster, n1, n2, n3 }
}

test('beside a witness a member that loses power gets back what it lost from the other', () => {
  const { cluster, n1, n2 } = witnessed()
  for (let i = 0; i < 20; i++) cluster.apply(Buffer.from(`word ${i}`))
  cluster.crash(n1, { keep: 0 })
  cluster.start(n1)
  cluster.awaitConverged()
  assert.equal([n1.machine!.words.length, n2.machine!.words.length], [20, 20])
})

test('a power loss while the other member is away costs what a witness cannot give back; it stops, and once restarted goes along', () => {
  const { cluster, n1, n2, n3 } = witnessed()
  cluster.kill(n2)
  cluster.run(cluster.electionTimeoutMs)
  for (let i = 0; i < 20; i++) cluster.apply(Buffer.from(`word ${i}`), n1)
  cluster.crash(n1, { keep: 0 })
  cluster.start(n1)
  cluster.start(n2)
  cluster.awaitLeader()
  cluster.apply(Buffer.from('after'))
  cluster.await('n3 stops', () => n3.failed !== null)
  assert.match(String(n3.failed), /ECORRUPT: the leader sent entry \d+ of term \d+, but \d+ of term \d+ is committed here/)

  cluster.kill(n3)
  cluster.start(n3)
  cluster.apply(Buffer.from('and on')).awaitConverged()
  for (const { machine } of [n1, n2]) assert.equal(machine!.words, ['after', 'and on'])
})

test.run()
