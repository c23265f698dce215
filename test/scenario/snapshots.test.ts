import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Done } from '../../src/raft/closure.js'
import type { Status } from '../../src/raft/errors.js'
import { InstallTasks } from '../../src/raft/install-tasks.js'
import type { AppendEntriesResponse, GetFileRequest, InstallSnapshotResponse } from '../../src/raft/messages.js'
import type { NodeImpl } from '../../src/raft/node-impl.js'
import type { SnapshotMeta, SnapshotWriter } from '../../src/raft/storage.js'
import type { LogIndex } from '../../src/raft/types.js'
import type { SimInode } from '../../src/testing/sim-inode.js'
import type { SimMember } from '../simulation/member.js'
import { FILLER_FILE, RegisterMachine, STATE_FILE } from '../simulation/register-machine.js'
import { PATHS } from '../simulation/storages.js'
import { change } from './changes.js'
import { type Story, scenario } from './scenario.js'

const impl = (member: SimMember): NodeImpl => member.node!.handler as NodeImpl
const MIB = 1024 * 1024
const TABLE = 'table'

/** Machines whose snapshots take a while to copy. */
const LARGE = { createMachine: (listener: ConstructorParameters<typeof RegisterMachine>[0]) => new RegisterMachine(listener, 8 * MIB) }

/** Takes a snapshot of a member's state and waits for what comes of it. */
function snapshot(story: Story, member: SimMember): { status: Status; meta: SnapshotMeta | null } {
  const outcome = { status: null as Status | null, meta: null as SnapshotMeta | null }
  member.run('story:snapshot', (node) => node.snapshot((status, meta) => Object.assign(outcome, { status, meta: meta ?? null })))
  story.await(`a snapshot of ${member.name}`, () => outcome.status !== null)
  return outcome as { status: Status; meta: SnapshotMeta | null }
}

/** Two snapshots with nothing in between: the log of this member is empty behind the second. */
function cutLog(story: Story, member: SimMember): number {
  const { status, meta } = snapshot(story, member)
  assert.ok(status.ok, String(status))
  snapshot(story, member)
  assert.is(member.node!.status().firstIndex, meta!.lastIncluded.index + 1)
  return meta!.lastIncluded.index
}

/** Names of events, each with its member. */
function eventsOf(story: Story): string[] {
  const names: string[] = []
  const { onEvent } = story.cluster
  story.cluster.onEvent = (member, event) => {
    names.push(`${member.name} ${event.name}`)
    onEvent(member, event)
  }
  return names
}

/** Requests of these methods as they leave. */
function requestsOf<R>(story: Story, method: string): { from: string; request: R }[] {
  const found: { from: string; request: R }[] = []
  const { invariants } = story.cluster
  const { requestSent } = invariants
  invariants.requestSent = (from, to, sent, request) => {
    if (sent === method) found.push({ from: from.name, request: request as R })
    requestSent.call(invariants, from, to, sent, request)
  }
  return found
}

/** It has applied, but for what is just under way, all that the leader has. */
function isLevel(story: Story, member: SimMember): boolean {
  const { appliedIndex, state } = member.node!.status()
  return state === 'FOLLOWER' && appliedIndex + 20 >= (story.leader.node!.status().appliedIndex as number)
}

/** n3 is down, the others write on, and the leader's log no longer holds what n3 needs. */
function leaveBehind(story: Story): { leader: SimMember; late: SimMember; cut: number } {
  const leader = story.start('n1').leader
  story.write(5)
  const late = story.member('n3')
  story.cluster.kill(late)
  story.write(20)
  return { leader, late, cut: cutLog(story, leader) }
}

scenario('G07 a follower that the log no longer serves is given a snapshot, goes on behind it, and can take over', { size: 3 }, (story) => {
  const events = eventsOf(story)
  const { leader, late, cut } = leaveBehind(story)
  story.restart(late)
  story.await('n3 has it', () => (late.node!.status().snapshotId.index as number) === cut)
  story.write(5)
  story.expectConverged()
  assert.ok(events.includes('n3 snapshot.installed'))
  leader.run('story:transfer', (node) => node.transferLeadershipTo(late.peerId, () => {}))
  story.await('n3 leads', () => story.cluster.leader() === late)
  story.write(3)
  story.expectConverged()
})

scenario(
  'G01 a log that disagrees with the snapshot goes as a whole, and is not sent the same snapshot again',
  { size: 3, killedBy: 'conflicting-log-kept' },
  (story) => {
    const { cluster } = story
    const n3 = story.start('n3').leader
    story.write(5)
    cluster.isolate(n3)
    story.propose(40, n3)
    story.await('another leads', () => cluster.leader() !== null && cluster.leader() !== n3)
    const leader = story.awaitLeader()
    story.write(10, leader)
    const cut = cutLog(story, leader)
    assert.ok((n3.node!.status().lastId.index as number) > cut)
    const offers = requestsOf(story, 'installSnapshot')
    cluster.heal()
    story.expectConverged()
    assert.is(offers.length, 1)
    assert.is(n3.node!.status().snapshotId.index, cut)
    story.write(3)
    story.expectConverged()
  },
)

scenario(
  'G02 a snapshot that is older than what is committed, or here already, changes nothing',
  { size: 3, killedBy: 'older-snapshot-installed' },
  (story) => {
    const leader = story.start('n1').leader
    story.write(5)
    const old = snapshot(story, leader).meta!
    story.write(10)
    const follower = story.member('n2')
    story.await('n2 has applied it', () => follower.node!.status().appliedIndex === leader.node!.status().appliedIndex)
    const before = follower.node!.status()
    for (const meta of [old, old]) {
      const answers: { status: Status; response: InstallSnapshotResponse | null }[] = []
      const request = { groupId: impl(leader).groupId, serverId: leader.peerId, peerId: follower.peerId, term: before.term, meta }
      follower.run('story:install', () =>
        impl(follower).handleInstallSnapshot({ ...request, uri: `remote://${leader.peerId.address}/1` }, (status, response) =>
          answers.push({ status, response: response ?? null }),
        ),
      )
      story.await('an answer', () => answers.length > 0)
      assert.equal([answers[0]!.status.ok, answers[0]!.response?.success], [true, true], String(answers[0]!.status))
    }
    const after = follower.node!.status()
    assert.equal([after.firstIndex, after.lastId, after.snapshotId.index], [before.firstIndex, before.lastId, 0])
    story.write(2)
    story.expectConverged()
  },
)

scenario(
  'E08 a newcomer that answers is waited for, however long its snapshot takes, when nobody set a time',
  { size: 3, joiners: 1 },
  (story) => {
    const { leader } = story.start('n1')
    story.write(5)
    cutLog(story, leader)
    const n4 = story.member('n4')
    const shorten = (space: 'short' | 'ample') => n4.run('story:space', (node) => node.setDiskSpace(space))
    story.await('n4 is up', () => n4.node?.status().state === 'FOLLOWER')
    shorten('short')
    const record = change(story, story.members)
    story.wait(5 * story.T)
    assert.equal([record.outcome, n4.node!.status().standing], ['pending', 'rebuilding'])
    shorten('ample')
    story.await('the change is answered', () => record.outcome !== 'pending')
    assert.is(record.outcome, 'OK', `${record.status}`)
    story.write(3)
    story.expectConverged()
  },
)

scenario('G04 a crash at any point of an installation is repaired by the next start', { size: 3 }, (story) => {
  const { cluster } = story
  const { leader, late } = leaveBehind(story)
  let inTheMiddle = 0
  for (let i = 0; i < 40; i++) {
    story.restart(late)
    story.await('it is sent a snapshot', () => late.isUp && late.node!.status().snapshot.state === 'downloading', 40 * story.T)
    story.wait(0.4 * i)
    if (late.node!.status().snapshotId.index === 0) inTheMiddle++
    cluster.crash(late)
    story.write(3)
    cutLog(story, leader)
  }
  assert.ok(inTheMiddle > 5 && inTheMiddle < 40, `${inTheMiddle} crashes before it was there`)
  story.restart(late)
  story.expectConverged()
})

scenario('G05 a follower that restarts amid a copy goes on with what it has', { size: 3, ...LARGE }, (story) => {
  const { cluster } = story
  const { late } = leaveBehind(story)
  const asked = requestsOf<GetFileRequest>(story, 'getFile')
  const bytes = () => asked.filter(({ request }) => request.filename === FILLER_FILE).reduce((sum, { request }) => sum + request.count, 0)
  story.restart(late)
  story.await('half of it is there', () => (late.node?.status().snapshot.bytesDone ?? 0) > 4 * MIB)
  cluster.kill(late)
  const before = bytes()
  story.restart(late)
  story.expectConverged()
  assert.ok(before > 4 * MIB, `${before} bytes`)
  assert.ok(bytes() - before < 6 * MIB, `${bytes() - before} bytes were asked for after the restart`)
})

/** A machine that keeps, besides its state, a table that never changes. */
class TableMachine extends RegisterMachine {
  override onSnapshotSave(writer: SnapshotWriter, done: Done): void {
    const path = `${writer.path}/${TABLE}`
    const { fileSystem } = writer
    fileSystem.open(path, { write: true, create: true }, (opened, file) => {
      if (!opened.ok) return done(opened)
      file!.write([Buffer.alloc(8 * MIB, 'row')], 0, (written) =>
        file!.close(() => (written.ok && writer.addFile(TABLE).ok ? super.onSnapshotSave(writer, done) : done(written))),
      )
    })
  }
}

scenario(
  'G05 of a snapshot that is copied, what the last one has already is linked, and the machine loads it; after a power loss too',
  { size: 3, createMachine: (listener) => new TableMachine(listener), node: { filterBeforeCopyRemote: true } },
  (story) => {
    const { cluster } = story
    const { leader, late } = leaveBehind(story)
    const asked = requestsOf<GetFileRequest>(story, 'getFile')
    const askedFor = (name: string) => asked.filter(({ request }) => request.filename === name).length
    story.restart(late)
    story.await('n3 has the first', () => late.node?.status().snapshotId.index !== 0 && isLevel(story, late))
    assert.ok(askedFor(TABLE) > 8, 'it had none before')
    cluster.kill(late)
    const [tables, states] = [askedFor(TABLE), askedFor(STATE_FILE)]
    story.write(20)
    const cut = cutLog(story, leader)
    const reused: number[] = []
    const { onEvent } = cluster
    cluster.onEvent = (member, event) => {
      if (event.name === 'snapshot.installed') reused.push(event.filesReused)
      onEvent(member, event)
    }
    story.restart(late)
    story.await('n3 has the next', () => late.node?.status().snapshotId.index === cut && isLevel(story, late))
    assert.equal([askedFor(TABLE), askedFor(STATE_FILE)], [tables, states + 1])
    assert.equal(reused, [2], 'the table, and an empty filler')
    cluster.crash(late)
    story.restart(late)
    story.expectConverged()
  },
)

scenario(
  'G06 what an earlier copy left is not believed: a spoilt part is noticed, and copied anew',
  { size: 3, ...LARGE, killedBy: 'copied-file-not-checked' },
  (story) => {
    const { cluster } = story
    const { late } = leaveBehind(story)
    story.restart(late)
    story.await('half of it is there', () => (late.node?.status().snapshot.bytesDone ?? 0) > 4 * MIB)
    cluster.kill(late)
    const part = late.disk.lookup(`${PATHS.snapshot}/copy/${FILLER_FILE}`) as SimInode
    part.corrupt(MIB, (byte) => byte ^ 1)
    story.restart(late)
    story.expectConverged()
  },
)

scenario('G06 a source whose disk reads other bytes than were written is refused, and a newer snapshot taken', { size: 3 }, (story) => {
  const { leader, late, cut } = leaveBehind(story)
  const events = eventsOf(story)
  const { readers } = impl(leader).snapshots
  const { read } = readers
  const spoilt = new Set<string>()
  readers.read = (id, name, offset, count, done) =>
    read.call(readers, id, name, offset, count, (status, piece) => {
      if (impl(leader).snapshots.lastId.index === cut) spoilt.add(id)
      if (!piece || name !== STATE_FILE || !spoilt.has(id)) return done(status, piece)
      const data = Buffer.from(piece.data)
      data[0]! ^= 1
      done(status, { ...piece, data })
    })
  story.restart(late)
  story.await('n3 refuses it', () => events.includes('n3 snapshot.failed'))
  assert.equal([late.node!.status().snapshotId.index, late.node!.status().appliedIndex], [0, 0])
  story.write(3)
  snapshot(story, leader)
  story.expectConverged()
})

scenario(
  'G07 a leader that is lost amid the copy leaves it to the next, which has a snapshot of its own',
  { size: 3, ...LARGE },
  (story) => {
    const { cluster } = story
    const { leader, late } = leaveBehind(story)
    const n2 = story.member('n2')
    story.await('n2 has applied it', () => n2.node!.status().appliedIndex === leader.node!.status().appliedIndex)
    cutLog(story, n2)
    story.restart(late)
    story.await('half of it is there', () => (late.node?.status().snapshot.bytesDone ?? 0) > 4 * MIB)
    cluster.isolate(leader)
    story.await('n3 goes on from n2', () => (late.node!.status().snapshotId.index as number) > 0)
    assert.is(story.awaitLeader(), n2)
    story.write(3, n2)
    cluster.heal()
    story.expectConverged()
  },
)

scenario('G07 an answer that is lost is asked for again, and takes the place of the one before', { size: 3, ...LARGE }, (story) => {
  const { cluster } = story
  const { leader, late } = leaveBehind(story)
  const offers = requestsOf<{ uri: string }>(story, 'installSnapshot')
  story.restart(late)
  story.await('half of it is there', () => (late.node?.status().snapshot.bytesDone ?? 0) > 4 * MIB)
  cluster.cut(leader, late)
  story.wait(story.T / 4)
  cluster.heal()
  story.expectConverged()
  assert.is(new Set(offers.map(({ request }) => request.uri)).size, 1, 'all under one address, so that the copy goes on')
})

const fullTasks = new InstallTasks(1)

scenario(
  'G10 a member whose process copies as many snapshots as it may is offered one again, now and then, and hears its leader meanwhile',
  { size: 3, node: { installTasks: fullTasks } },
  (story) => {
    const giveUp = fullTasks.begin()!
    const { leader, late } = leaveBehind(story)
    const offers = requestsOf(story, 'installSnapshot')
    const { term } = leader.node!.status()
    story.restart(late)
    story.await('n3 is up', () => late.node?.status().state === 'FOLLOWER')
    story.wait(30 * story.T)
    assert.ok(offers.length >= 7 && offers.length < 20, `${offers.length} offers in 30 T`)
    assert.equal([leader.node!.status().term, late.node!.status().state], [term, 'FOLLOWER'], 'it hears its leader and does not campaign')
    story.write(5)
    giveUp()
    story.expectConverged()
    assert.is(fullTasks.count, 0)
  },
)

/** A copy takes sixteen seconds, and a snapshot is taken every three. */
const SLOW_COPY = {
  createMachine: (listener: ConstructorParameters<typeof RegisterMachine>[0]) => new RegisterMachine(listener, MIB),
  snapshotIntervalMs: 3000,
  node: { snapshotThrottleBytesPerSecond: MIB / 16 },
}

/** Writes through whoever leads, all the time from now on. */
function keepWriting(story: Story, everyMs: number): void {
  const { cluster } = story
  cluster.scheduler.schedule(everyMs, null, 'story:write', () => {
    const leader = cluster.leader()
    if (leader) cluster.write(leader, 0)
    keepWriting(story, everyMs)
  })
}

/** n3 is told to start while the others go on to write and to take snapshots; answers how many it was offered. */
function catchUpAmidSnapshots(story: Story): { from: string; request: { meta: SnapshotMeta } }[] {
  const { cluster } = story
  story.start('n1').write(5)
  const late = story.member('n3')
  cluster.kill(late)
  keepWriting(story, 50)
  story.await('the log no longer serves n3', () => (story.leader.node!.status().firstIndex as number) > 10)
  const offers = requestsOf<{ meta: SnapshotMeta }>(story, 'installSnapshot')
  story.restart(late)
  return offers
}

scenario(
  'G08 a snapshot that takes longer to copy than many take to make is of use when it arrives: the log behind it is kept',
  { size: 3, ...SLOW_COPY, killedBy: 'log-not-held-for-a-copy' },
  (story) => {
    const { cluster } = story
    const offers = catchUpAmidSnapshots(story)
    const late = story.member('n3')
    story.await('n3 has caught up', () => isLevel(story, late), 40 * story.T)

    assert.ok(cluster.counts.snapshots > 12, `${cluster.counts.snapshots} snapshots`)
    assert.is(cluster.counts.installs, 1)
    assert.is(new Set(offers.map(({ request }) => request.meta.lastIncluded.index)).size, 1, 'one snapshot, offered until it was there')
    const held = story.leader.node!.status().firstIndex as number
    story.await('what was kept for it is cut', () => (story.leader.node!.status().firstIndex as number) > held, 8 * story.T)
    story.await('n3 is still level', () => isLevel(story, late))
  },
)

scenario(
  'G08 what is kept for a slow copy is bounded: the log is cut, and the next copy is of a newer snapshot',
  { size: 3, ...SLOW_COPY, node: { ...SLOW_COPY.node, heldLogBytesMax: 2000 } },
  (story) => {
    const offers = catchUpAmidSnapshots(story)
    const indexes = () => new Set(offers.map(({ request }) => request.meta.lastIncluded.index as number))
    story.await('another is offered', () => indexes().size > 1, 40 * story.T)
    const { firstIndex, snapshotId } = story.leader.node!.status()
    assert.ok((firstIndex as number) > Math.min(...indexes()) + 1, `the log starts at ${firstIndex}`)
    assert.ok((snapshotId.index as number) - (firstIndex as number) < 150, 'and reaches back no further than one snapshot')
  },
)

scenario(
  'G08 a snapshot that a member takes between two tries to send it one costs the copy nothing',
  { size: 3, ...SLOW_COPY, snapshotIntervalMs: 0, killedBy: 'copy-spoilt-by-a-save' },
  (story) => {
    const { cluster } = story
    const { leader } = story.start('n1')
    const late = story.member('n3')
    story.write(5)
    story.await('n3 has applied it', () => isLevel(story, late))
    cluster.isolate(late)
    story.wait(6 * story.T)
    story.write(20)
    cutLog(story, leader)
    cluster.heal()
    const done = () => late.node!.status().snapshot.bytesDone
    story.await('half of it is there', () => done() > MIB / 2)
    cluster.isolate(late)
    story.await('the copy is given up', () => late.node!.status().snapshot.state === 'idle')
    assert.ok(snapshot(story, late).status.ok, 'it saves its own')
    cluster.heal()
    story.await('it goes on', () => late.node!.status().snapshot.state === 'downloading' && done() > 0)
    assert.ok(done() > MIB / 2, `it goes on at ${done()} bytes`)
    story.expectConverged()
  },
)

scenario('G09 whatever is cut is in a snapshot, while all write, save, crash and come back', { size: 3 }, (story) => {
  const { cluster } = story
  story.start('n1')
  for (let i = 0; i < 20; i++) {
    story.write(4)
    const member = story.members[i % 3]!
    member.run('story:snapshot', (node) => node.snapshot(() => {}))
    if (i % 4 === 3) {
      story.wait(0.3 * i)
      cluster.crash(member)
      story.restart(member)
      story.awaitLeader()
    }
  }
  story.expectConverged()
  assert.ok(story.members.every((member) => (member.node!.status().firstIndex as number) > 1))
})

scenario('G10 a delivery that fails is tried again after a while, not in a tight loop', { size: 3, ...LARGE }, (story) => {
  const { late, leader } = leaveBehind(story)
  const offers = requestsOf(story, 'installSnapshot')
  late.disk.capacityBytes = late.disk.usedBytes() + MIB
  story.restart(late)
  story.wait(20 * story.T)
  assert.ok(offers.length >= 3 && offers.length <= 15, `${offers.length} offers in 20 election timeouts`)
  story.expectLeader(leader)
  assert.ok(late.isUp && !late.failed, String(late.failed))
  late.disk.capacityBytes = Infinity
  story.expectConverged()
})

scenario(
  'B05 entries that follow what was cut off here are taken: what is committed matches, and nothing is deleted',
  { size: 3, killedBy: 'compacted-previous-refused' },
  (story) => {
    const leader = story.start('n1').leader
    story.write(10)
    const follower = story.member('n2')
    story.await('n2 has applied it', () => follower.node!.status().appliedIndex === leader.node!.status().appliedIndex)
    const cut = cutLog(story, follower)
    const { log, groupId } = impl(leader)
    const entries = log.cached((cut - 3) as LogIndex, log.lastIndex, MIB)!
    const prevLogIndex = (cut - 4) as LogIndex
    const request = { groupId, serverId: leader.peerId, peerId: follower.peerId, term: leader.node!.status().term, entries, prevLogIndex }
    const answers: AppendEntriesResponse[] = []
    follower.run('story:append', () =>
      impl(follower).handleAppendEntries(
        { ...request, prevLogTerm: log.termAt(prevLogIndex), committedIndex: prevLogIndex },
        (_status, response) => answers.push(response!),
      ),
    )
    story.await('an answer', () => answers.length > 0)
    assert.is(answers[0]!.success, true)
    const { firstIndex, lastId } = follower.node!.status()
    assert.equal([firstIndex, lastId.index], [cut + 1, entries.lastIndex])
    story.write(2)
    story.expectConverged()
  },
)

test.run()
