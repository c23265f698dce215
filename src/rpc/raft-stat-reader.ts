import * as http from 'node:http'
import { Configuration } from '../raft/configuration.js'
import type { Call } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { PeerId } from '../raft/peer-id.js'
import type { MemberStanding } from '../raft/survey.js'
import { asTerm, logIndex } from '../raft/types.js'
import { parseRaftStat, type RaftStat, RaftStatError } from './raft-stat-text.js'
import { type Settle, type TimedCallContext, timedCall } from './timed-call.js'

/** A page is a few kilobytes; more than this is none. */
const PAGE_BYTES_MAX = 1024 * 1024

/** Asks a member of either kind for its standing: by the page that both have, `/raft_stat/<group>`. */
export function askStanding(
  context: TimedCallContext,
  groupId: string,
  target: { readonly peer: PeerId; readonly timeoutMs: number },
  done: (status: Status, standing?: MemberStanding) => void,
): Call {
  const { peer, timeoutMs } = target
  const start = (settle: Settle<MemberStanding>): Call => {
    const { host, port } = context.faults.dialTarget(peer)
    // Without a User-Agent the page is plain text.
    const path = `/raft_stat/${encodeURIComponent(groupId)}`
    const request = http.get({ host: host.replace(/^\[|\]$/g, ''), port, path, agent: false }, (response) => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        bytes += chunk.length
        if (bytes > PAGE_BYTES_MAX) request.destroy(new Error('the page never ends'))
      })
      response.on('end', () => {
        const standing = response.statusCode === 200 ? standingIn(Buffer.concat(chunks).toString(), peer) : null
        if (standing) settle(Status.OK, standing)
        else settle(Status.error(ErrorCode.EREQUEST, `the page of ${peer.address} says nothing of ${peer} in group ${groupId}`))
      })
    })
    request.on('error', (error) => settle(Status.error(ErrorCode.EHOSTDOWN, `${peer.address}: ${error.message}`)))
    return { cancel: () => request.destroy() }
  }
  return timedCall(context, { to: peer, label: 'standing', timeoutMs }, start, done)
}

/** What a page says of one node; null when it does not mention it, or the node does not run. */
export function standingIn(page: string, peer: PeerId): MemberStanding | null {
  const stat = nodesOn(page).find(({ peerId }) => PeerId.parse(peerId)?.equals(peer))
  if (!stat || !ACTIVE.has(stat.state)) return null
  const members = [...stat.peers, ...(stat.newPeers ?? []), ...(stat.oldPeers ?? [])].map((text) => PeerId.parse(text))
  if (members.includes(null)) return null
  return {
    term: asTerm(stat.term),
    leads: stat.state === 'LEADER',
    lastId: { index: logIndex(stat.lastIndex), term: asTerm(stat.lastTerm) },
    members: new Configuration(members as PeerId[]).peers,
    isChanging: stat.stage === 'stable' && (stat.oldPeers ?? stat.newPeers ?? []).join() === (stat.newPeers ?? []).join(),
  }
}

function nodesOn(page: string): readonly RaftStat[] {
  try {
    return parseRaftStat(page)
  } catch (error) {
    if (error instanceof RaftStatError) return []
    throw error
  }
}

/** Others do not know yet, or not any more. */
const ACTIVE: ReadonlySet<string> = new Set(['LEADER', 'TRANSFERRING', 'CANDIDATE', 'FOLLOWER'])
