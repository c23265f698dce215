import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode } from '../../src/raft/errors.js'
import type { SimInode } from '../../src/testing/sim-inode.js'
import type { SimMember } from '../simulation/member.js'
import { PATHS } from '../simulation/storages.js'
import { scenario } from './scenario.js'

/** The files of a directory whose names match, in order of names. */
function files(member: SimMember, directory: string, name: RegExp): SimInode[] {
  const node = member.disk.lookup(directory)
  assert.ok(node?.isDirectory, `${directory} is missing`)
  return [...(node as { names: Map<string, SimInode> }).names]
    .filter(([key]) => name.test(key))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, inode]) => inode)
}

function flip(inode: SimInode, position: number): void {
  inode.corrupt(position, (byte) => byte ^ 0x40)
}

scenario(
  'H01 whatever a power loss leaves of the last write, the member starts with all it acknowledged',
  { size: 1, killedBy: 'torn-tail-accepted' },
  (story) => {
    const { cluster } = story
    const n1 = story.start().leader
    let torn = 0
    for (let round = 0; round < 60; round++) {
      const acked = story.write(1)
      story.propose(8, n1, 2000)
      story.wait(0.2 + (round % 7) * 0.1)
      cluster.crash(n1, { keep: 0.5 })
      if (cluster.counts.torn > torn) torn = cluster.counts.torn
      story.restart(n1).awaitLeader()
      assert.is(n1.failed, null)
      assert.ok(cluster.history.committed.has(acked[0]!.index))
    }
    assert.ok(torn > 5, `only ${torn} writes were torn`)
    story.expectConverged()
  },
)

scenario(
  'H02 damage below what was durable is no torn tail: the member says so, stops and does not vote',
  { size: 3, killedBy: 'bound-ignored' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(20)
    story.wait(story.T)
    const n3 = story.member('n3')
    cluster.kill(n3)
    const [segment] = files(n3, PATHS.log, /^log_inprogress/)
    flip(segment!, segment!.size - 5 * 40)

    story.restart(n3)
    story.await('it stops', () => n3.failed !== null)

    assert.is(n3.failed!.code, ErrorCode.ECORRUPT)
    assert.match(n3.failed!.message, /log_inprogress.*offset \d+.*index \d+.*Restore .* from a copy/)
    story.write(3)
    cluster.kill(story.member('n1'))
    story.wait(5 * story.T)
    assert.is(cluster.leader(), null, 'a damaged member voted')
  },
)

scenario(
  'H04 a sync that fails once, though the next would answer OK, is never acknowledged',
  { size: 3, killedBy: 'sync-result-ignored' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(3)
    const n2 = story.member('n2')
    n2.profile.writeErrorRate = 1
    const writes = story.propose(5)
    story.await('n2 gives up', () => n2.failed !== null)
    n2.profile.writeErrorRate = 0
    story.wait(3 * story.T)

    assert.is(n2.node!.status().state, 'ERROR')
    story.expectOutcome(writes, 'acked')
    cluster.crash(n2)
    story.restart(n2).expectConverged()
  },
)

scenario('H04 a leader whose disk fails stops leading, and what it had not acknowledged is unknown', { size: 3 }, (story) => {
  const { cluster } = story
  const n1 = story.start('n1').leader
  story.write(3)
  n1.profile.writeErrorRate = 1
  const writes = story.propose(5)
  story.await('n1 gives up', () => n1.failed !== null)
  story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n1, 8 * story.T)

  for (const write of writes) assert.is.not(write.outcome, 'pending')
  story.write(2)
  n1.profile.writeErrorRate = 0
  cluster.crash(n1)
  story.restart(n1).expectConverged()
})

scenario('H05 a full disk stops a follower, and it comes back whole when there is room', { size: 3 }, (story) => {
  const { cluster } = story
  story.start('n1').write(3)
  const n3 = story.member('n3')
  n3.disk.capacityBytes = n3.disk.usedBytes() + 100
  story.write(10)
  story.wait(story.T)
  story.write(10)
  n3.disk.capacityBytes = Infinity
  if (n3.failed) cluster.kill(n3)
  story.restart(n3).expectConverged()
})

scenario(
  'H06 a batch across segments is there as a whole after power is lost',
  { size: 3, maxSegmentBytes: 600, killedBy: 'new-segment-name-not-synced' },
  (story) => {
    const { cluster } = story
    story.start('n1')
    for (let round = 0; round < 6; round++) {
      story.write(40)
      for (const member of story.members) cluster.crash(member, { keep: 0 })
      story.restart(...story.members).awaitLeader()
      story.expectConverged()
    }
    assert.ok(files(story.member('n1'), PATHS.log, /^log_\d/).length > 10, 'the log did not roll')
  },
)

scenario(
  'H08 no entry that was cut comes back, wherever power is lost during the cut',
  { size: 3, maxSegmentBytes: 200, killedBy: 'removed-segment-not-synced' },
  (story) => {
    const { cluster } = story
    let cutting: SimMember | null = null
    cluster.onEvent = (member, event) => {
      if (event.name === 'log.truncated') cutting = member
    }
    story.start('n1').write(4)
    for (let cut = 0; cut < 40; cut++) {
      const old = story.awaitLeader()
      cluster.isolate(old)
      story.propose(25, old)
      story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== old, 8 * story.T)
      story.write(3)
      cutting = null
      cluster.heal()
      story.await('the cut begins', () => cutting === old, 8 * story.T)
      cluster.run(cut * 0.15)
      cluster.crash(old, { keep: 0.5 })
      story.restart(old)
      story.await('it starts', () => old.failed !== null || old.node!.status().state === 'FOLLOWER')
      assert.is(old.failed, null)
      story.expectConverged()
    }
  },
)

scenario('H10 one damaged record of term and vote: the other one counts', { size: 3 }, (story) => {
  const { cluster } = story
  story.start('n1').write(3)
  const n3 = story.member('n3')
  const before = n3.image.meta()
  cluster.kill(n3)
  const [a] = files(n3, PATHS.integrity, /^meta\.[ab]$/)
  const bytes = a!.size
  assert.ok(bytes > 0)
  for (const inode of files(n3, PATHS.raftMeta, /^raft_meta$/)) for (let i = 0; i < inode.size; i++) inode.corrupt(i, () => 0)

  story.restart(n3)
  story.await('it takes part', () => n3.node!.status().state === 'FOLLOWER')

  assert.ok(n3.node!.status().term >= before.term, 'it forgot its term')
  story.expectConverged()
})

scenario('H10 every record of term and vote damaged: refused, never "term 0, no vote"', { size: 3 }, (story) => {
  const { cluster } = story
  story.start('n1').write(3)
  const n3 = story.member('n3')
  cluster.kill(n3)
  for (const inode of [...files(n3, PATHS.integrity, /^meta\.[ab]$/), ...files(n3, PATHS.raftMeta, /^raft_meta$/)]) {
    for (let i = 0; i < inode.size; i++) flip(inode, i)
  }

  story.restart(n3)
  story.await('it stops', () => n3.failed !== null)

  assert.is(n3.failed!.code, ErrorCode.ECORRUPT)
  story.write(2)
})

scenario('H15 a majority loses power at once: every acknowledged write survives', { size: 5 }, (story) => {
  const { cluster } = story
  story.start('n1')
  for (let round = 0; round < 10; round++) {
    story.write(10)
    story.propose(10)
    story.wait(0.5)
    for (const member of story.members.slice(round % 2, 3 + (round % 3))) cluster.crash(member, { keep: 0.3 })
    story.restart(...story.members).awaitLeader(40 * story.T)
  }
  story.expectConverged()
})

scenario('B13 a leader whose disk stands still does not keep its group from committing', { size: 3 }, (story) => {
  const { cluster } = story
  const n1 = story.start('n1').leader
  story.write(3)
  cluster.stallDisk(n1, 10 * story.T)

  const writes = story.propose(5)
  story.await('its followers make the quorum', () => writes.every((write) => write.outcome === 'acked'), 2 * story.T)

  story.wait(10 * story.T)
  story.expectConverged()
})

test.run()
