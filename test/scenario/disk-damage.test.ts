import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ErrorCode } from '../../src/raft/errors.js'
import type { SimDirectory, SimNode } from '../../src/testing/sim-disk.js'
import { SECTOR_BYTES, type SimInode } from '../../src/testing/sim-inode.js'
import type { SimMember } from '../simulation/member.js'
import { PATHS } from '../simulation/storages.js'
import { type Story, scenario } from './scenario.js'

const SEALED = /^log_\d/
/** With its headers an entry fills a sector: whole entries can be misplaced. */
const SECTOR_PADDING = SECTOR_BYTES - 24 - 8
const ALIGNED = { size: 3, maxSegmentBytes: 3 * SECTOR_BYTES - 1 }

function files(member: SimMember, directory: string, name: RegExp): SimInode[] {
  const node = member.disk.lookup(directory) as SimDirectory
  return [...node.names]
    .filter(([key]) => name.test(key))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, inode]) => inode as SimInode)
}

/** An entry of a sealed segment lands on its neighbour as well. */
function misplace(member: SimMember, segment: SimInode): void {
  assert.ok(segment.damage(1, segment.sector(0)), 'the entries are alike')
  member.wasDamaged = true
}

function stops(story: Story, member: SimMember, message: RegExp): void {
  story.await(`${member.name} stops`, () => member.failed !== null)
  assert.is(member.failed!.code, ErrorCode.ECORRUPT)
  assert.match(member.failed!.message, message)
}

/** What an operator does about a damaged disk. */
function replaceDisk(story: Story, member: SimMember): void {
  story.wipe(member).restart(member).awaitSettled(member).expectConverged()
}

/** n3 is far behind, and whoever leads has nothing of the log in memory any more. */
function behind(story: Story): { leader: SimMember; late: SimMember } {
  const late = story.start('n1').member('n3')
  story.cluster.kill(late)
  story.propose(12, story.leader, SECTOR_PADDING)
  story.await('they are committed', () => story.cluster.history.counts.acked >= 12)
  const others = story.followers.concat(story.leader)
  for (const member of others) story.cluster.kill(member)
  story.restart(...others)
  return { leader: story.awaitLeader(), late }
}

scenario(
  'H03 a last record that is bad and was durable is no torn end: nobody votes or leads with it before it is rebuilt',
  { size: 3, killedBy: 'bound-forgotten' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(5)
    story.wait(story.T)
    const n3 = story.member('n3')
    cluster.kill(n3)
    const [segment] = files(n3, PATHS.log, /^log_inprogress/)
    segment!.corrupt(segment!.size - 1, (byte) => byte ^ 1)
    story.restart(n3)
    stops(story, n3, /entries up to \d+ were durable/)
    cluster.kill(story.member('n1'))
    story.wait(5 * story.T)
    assert.is(cluster.leader(), null)
    story.restart(story.member('n1')).awaitLeader()
    replaceDisk(story, n3)
  },
)

scenario(
  'H11 good entries in the wrong place of a sealed segment are found at the start',
  { ...ALIGNED, killedBy: 'sealed-entries-not-checked' },
  (story) => {
    const { cluster } = story
    story.start('n1')
    story.propose(12, story.leader, SECTOR_PADDING)
    story.await('n3 has them', () => cluster.history.counts.acked >= 12).wait(story.T)
    const n3 = story.member('n3')
    cluster.kill(n3)
    misplace(n3, files(n3, PATHS.log, SEALED).at(-1)!)
    story.restart(n3)
    stops(story, n3, /holds other entries than when it was sealed/)
    story.write(3)
    replaceDisk(story, n3)
  },
)

scenario(
  'H11 good entries in the wrong place are not sent to a follower: the leader gives up, and another serves it',
  { ...ALIGNED, killedBy: 'read-entries-not-compared' },
  (story) => {
    const { leader, late } = behind(story)
    misplace(leader, files(leader, PATHS.log, SEALED).at(-1)!)
    story.restart(late)
    stops(story, leader, /another entry than was written/)
    story.await('another leads', () => story.cluster.leader() !== null && story.cluster.leader() !== leader, 8 * story.T)
    replaceDisk(story, leader)
  },
)

scenario(
  'H17 bits that turned over in a minority lose nothing that was acknowledged',
  { size: 5, maxSegmentBytes: 700, killedBy: 'data-checksum-ignored' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(60)
    const [n4, n5] = [story.member('n4'), story.member('n5')]
    for (const [at, member] of [n4, n5].entries()) {
      for (const segment of files(member, PATHS.log, SEALED)) segment.corrupt(segment.size - 1 - at, (byte) => byte ^ 1)
      member.wasDamaged = true
    }
    for (const member of story.members) cluster.crash(member)
    story.restart(...story.members).awaitLeader()
    story.write(3)
    // Their headers are good, so they may have started: what they read to apply it is not.
    for (const member of [n4, n5]) stops(story, member, /damaged at offset \d+ \(index \d+\): data checksum/)
    for (const member of [n4, n5]) story.wipe(member).restart(member)
    story.awaitSettled(n4, n5).expectConverged()
  },
)

scenario(
  'G06 a leader does not send a snapshot that rotted since it was taken: it gives up, and another sends its own',
  { size: 3, killedBy: 'sent-snapshot-not-checked' },
  (story) => {
    const { cluster } = story
    const leader = story.start('n1').leader
    const late = story.member('n3')
    cluster.kill(late)
    story.write(20)
    story.snapshot(leader)
    story.write(5)
    story.snapshot(leader)
    const n2 = story.member('n2')
    const newest = leader.image.snapshotIndex
    const name = `${PATHS.snapshot}/snapshot_${String(newest).padStart(20, '0')}/state`
    ;(leader.disk.lookup(name) as SimInode).corrupt(3, (byte) => byte ^ 8)
    leader.wasDamaged = true
    leader.run('story:cut', (node) => node.snapshot(() => {}))
    story.restart(late)
    stops(story, leader, /snapshot.*state is damaged: its checksum is/)
    story.await('n2 leads', () => cluster.leader() === n2, 8 * story.T)
    replaceDisk(story, leader)
  },
)

scenario('B14 what a follower acknowledged is there after power is lost', { size: 3, killedBy: 'ack-before-sync' }, (story) => {
  const { cluster } = story
  story.start('n1')
  const n2 = story.member('n2')
  cluster.kill(story.member('n3'))
  for (let round = 0; round < 20; round++) {
    const acked = story.write(1).at(-1)!
    cluster.crash(n2, { keep: 0 })
    assert.ok(n2.image.log.lastIndex() >= acked.index, `round ${round}`)
    story.restart(n2)
    story.await('it follows', () => n2.node!.status().leaderId.equals(story.member('n1').peerId))
  }
  story.restart(story.member('n3')).expectConverged()
})

scenario('H16 one loses power while the others stand still in turn: no two lead, and nothing is lost', { size: 3 }, (story) => {
  const { cluster } = story
  story.start('n1')
  for (let round = 0; round < 9; round++) {
    story.write(3)
    const [a, b, c] = [0, 1, 2].map((i) => story.members[(round + i) % 3]!)
    story.propose(5)
    cluster.crash(a!, { keep: 0.5 })
    cluster.pause(b!)
    story.wait(story.T * 1.5)
    story.restart(a!)
    cluster.resume(b!)
    cluster.pause(c!)
    story.wait(story.T * 1.5)
    cluster.resume(c!)
    story.awaitLeader(40 * story.T)
  }
  story.expectConverged()
})

/** What lies durably under a directory, by path. */
function copyOf(member: SimMember, path: string): Map<string, Buffer> {
  const copy = new Map<string, Buffer>()
  const walk = (node: SimNode, at: string): void => {
    if (!node.isDirectory) copy.set(at, Buffer.from((node as SimInode).durableBytes()))
    else for (const [name, child] of (node as SimDirectory).durableNames) walk(child, `${at}/${name}`)
  }
  walk(member.disk.lookupDurable(path)!, path)
  return copy
}

function putBack(member: SimMember, copy: ReadonlyMap<string, Buffer>): void {
  for (const [path, bytes] of copy) {
    const parent = path.slice(0, path.lastIndexOf('/'))
    member.disk.mkdir(parent)
    member.disk.remove(path)
    const inode = member.disk.create(path) as SimInode
    inode.write(bytes, 0)
    inode.sync()
    member.disk.syncDirectory(member.disk.lookup(parent) as SimDirectory)
  }
}

scenario(
  'H14 a directory that is an older copy of itself is found by the leader that knows better, which gives it nothing',
  { size: 3 },
  (story) => {
    const { cluster } = story
    story.start('n1').write(5)
    const n3 = story.member('n3')
    story.wait(story.T)
    const old = copyOf(n3, '/data')
    story.write(10)
    story.wait(story.T)
    cluster.kill(n3)
    n3.disk.remove('/data')
    putBack(n3, old)
    story.restart(n3)
    const told = () => story.leader.node!.status().peers.find((peer) => peer.peerId.equals(n3.peerId))!.lastError
    story.await('n1 says so', () => /lost entries up to \d+ that it had acknowledged/.test(told()))
    const before = n3.node!.status().lastId.index
    story.write(3)
    story.wait(2 * story.T)
    assert.is(n3.node!.status().lastId.index, before)
    replaceDisk(story, n3)
  },
)

scenario(
  'H18 a log of a newer term than the record of terms: the member goes on above both and votes in neither again',
  { size: 3, killedBy: 'boot-term-of-the-record' },
  (story) => {
    const { cluster } = story
    story.start('n1').write(3)
    const n3 = story.member('n3')
    story.wait(story.T)
    const old = [...copyOf(n3, PATHS.raftMeta), ...copyOf(n3, PATHS.integrity)].filter(([path]) => /raft_meta$|meta\.[ab]$/.test(path))
    cluster.kill(story.member('n1'))
    story.awaitLeader()
    story.write(3)
    story.restart(story.member('n1')).expectConverged()
    const { term } = story.leader.node!.status()
    assert.is(n3.node!.status().lastId.term, term)
    cluster.kill(n3)
    // One of the slots may be newer than the copy.
    for (const slot of ['meta.a', 'meta.b']) n3.disk.remove(`${PATHS.integrity}/${slot}`)
    putBack(n3, new Map(old))
    assert.ok(n3.image.meta().term < term)
    story.restart(n3)
    story.await('it starts', () => n3.node!.status().state === 'FOLLOWER')
    assert.ok(n3.node!.status().term > term)
    story.expectConverged()
  },
)

test.run()
