import { EntryBatch } from '../../src/raft/log-entry.js'
import type { AppendEntriesRequest, AppendEntriesResponse } from '../../src/raft/messages.js'
import { checksum } from '../../src/storage/checksum.js'
import type { SimMember } from '../simulation/member.js'
import type { Story } from './scenario.js'

/** Collects what a member is sent, as it was sent. */
export function record(story: Story, to: SimMember): AppendEntriesRequest[] {
  const requests: AppendEntriesRequest[] = []
  const { invariants } = story.cluster
  const appendSent = invariants.appendSent.bind(invariants)
  invariants.appendSent = (from, address, request) => {
    if (address === to.peerId.address) requests.push(request)
    appendSent(from, address, request)
  }
  return requests
}

/** Hands a recorded request to a member; the answer is there once it was given. */
export function hand(story: Story, to: SimMember, request: AppendEntriesRequest): { answer: AppendEntriesResponse | null } {
  const { entries } = request
  const copy = {
    ...request,
    peerId: to.peerId,
    entries: entries && EntryBatch.parse(entries.firstIndex, Buffer.from(entries.bytes), checksum).batch,
  }
  const told: { answer: AppendEntriesResponse | null } = { answer: null }
  to.run('story:append', (node) => node.handler.handleAppendEntries(copy, (_, response) => Object.assign(told, { answer: response })))
  story.wait(0)
  return told
}

/** As `hand`, and waits: for a request that was long under way, or a late duplicate. */
export function deliver(story: Story, to: SimMember, request: AppendEntriesRequest): AppendEntriesResponse {
  const told = hand(story, to, request)
  story.await('the late append is answered', () => told.answer !== null)
  return told.answer!
}
