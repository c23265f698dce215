import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Status } from '../../src/raft/errors.js'
import type { SnapshotMeta } from '../../src/raft/storage.js'
import type { SimMember } from '../simulation/member.js'
import { type Story, scenario } from './scenario.js'

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

const eventsOf = (story: Story): string[] => {
  const names: string[] = []
  const { onEvent } = story.cluster
  story.cluster.onEvent = (member, event) => {
    names.push(`${member.name} ${event.name}`)
    onEvent(member, event)
  }
  return names
}

scenario('G07 a follower that the log no longer serves is given a snapshot, goes on behind it, and can take over', { size: 3 }, (story) => {
  const events = eventsOf(story)
  const leader = story.start('n1').leader
  story.write(5)
  const late = story.member('n3')
  story.cluster.kill(late)
  story.write(20)
  const cut = cutLog(story, leader)
  story.restart(late)
  story.await('n3 has it', () => late.isUp && (late.node!.status().snapshotId.index as number) === cut)
  story.write(5)
  story.expectConverged()
  assert.ok(events.includes('n3 snapshot.installed'))
  leader.run('story:transfer', (node) => node.transferLeadershipTo(late.peerId, () => {}))
  story.await('n3 leads', () => story.cluster.leader() === late)
  story.write(3)
  story.expectConverged()
})

test.run()
