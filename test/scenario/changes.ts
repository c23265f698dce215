import * as assert from 'uvu/assert'
import { Configuration } from '../../src/raft/configuration.js'
import { ErrorCode, errorName, Status } from '../../src/raft/errors.js'
import type { ChangeOptions } from '../../src/raft/membership.js'
import { logIndex } from '../../src/raft/types.js'
import type { SimMember } from '../simulation/member.js'
import type { Story } from './scenario.js'

/** A change of the members as its caller sees it: 'pending', 'OK' or the name of the error. */
export interface ChangeRecord {
  outcome: string
  status: Status
}

/** Asks `through` to make `members` the members, and does not wait. */
export function change(
  story: Story,
  members: readonly SimMember[],
  through: SimMember = story.leader,
  options: { catchupTimeoutMs?: number; expectConfigIndex?: number; learners?: readonly SimMember[] } = {},
): ChangeRecord {
  const record: ChangeRecord = { outcome: 'pending', status: Status.OK }
  const { catchupTimeoutMs, expectConfigIndex, learners } = options
  const changeOptions: ChangeOptions = {
    ...(catchupTimeoutMs === undefined ? {} : { catchupTimeoutMs }),
    ...(expectConfigIndex === undefined ? {} : { expectConfigIndex: logIndex(expectConfigIndex) }),
    ...(learners === undefined ? {} : { learners: learners.map((member) => member.peerId) }),
  }
  const conf = new Configuration(members.map((member) => member.peerId))
  through.run('story:change', (node) =>
    node.changePeers(conf, changeOptions, (status) => {
      assert.is(record.outcome, 'pending', 'a change was answered twice')
      record.outcome = status.ok ? 'OK' : errorName(status.code)
      record.status = status
    }),
  )
  return record
}

/** Changes the members and waits until that is done. `learners` are those who receive the log and count for nothing. */
export function changed(
  story: Story,
  members: readonly SimMember[],
  through: SimMember = story.leader,
  learners?: readonly SimMember[],
): void {
  const record = change(story, members, through, { catchupTimeoutMs: 20 * story.T, ...(learners ? { learners } : {}) })
  story.await('the change is answered', () => record.outcome !== 'pending', 30 * story.T)
  assert.is(record.outcome, 'OK', `${record.status}`)
}

/** n1,n2,…: who is a voter as far as `member` knows; with a bar before the old half while joint. */
export function votersOf(story: Story, member: SimMember): string {
  const { conf, old } = member.node!.status().configuration
  const names = (peers: Configuration) => story.members.filter((other) => peers.contains(other.peerId)).map((other) => other.name)
  return names(conf).join() + (old.isEmpty ? '' : `|${names(old).join()}`)
}

/** Waits until every running member of `members` knows just these voters. */
export function expectVoters(story: Story, members: readonly SimMember[]): void {
  const expected = members.map((member) => member.name).join()
  story.await(`the voters are ${expected}`, () => members.every((member) => !member.isUp || votersOf(story, member) === expected))
}

export { ErrorCode }
