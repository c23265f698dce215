import * as http from 'node:http'
import { Configuration } from '../raft/configuration.js'
import type { Call } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { PeerId } from '../raft/peer-id.js'
import type { MemberStanding } from '../raft/survey.js'
import { asTerm, logIndex } from '../raft/types.js'
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

/** What a page says of one node; null when it does not mention it, or not all of it. */
export function standingIn(page: string, peer: PeerId): MemberStanding | null {
  const lines = page.split(/\r?\n/)
  const at = lines.findIndex((line) => line === `peer_id: ${peer}` || line.startsWith(`peer_id: ${peer.key}:`))
  if (at < 0) return null
  const next = lines.findIndex((line, i) => i > at && line.startsWith('peer_id: '))
  const own = lines.slice(at, next < 0 ? undefined : next)
  const field = (name: string) => own.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
  const state = field('state')
  const term = /^\d+$/.exec(field('term') ?? '')
  const last = /^\(index=(\d+),term=(\d+)\)$/.exec(field('last_log_id') ?? '')
  const members = ['peers', 'new_peers', 'old_peers'].flatMap((name) => peersIn(field(name) ?? ''))
  if (!state || !term || !last || !ACTIVE.has(state) || members.includes(null)) return null
  return {
    term: asTerm(Number(term[0])),
    leads: state === 'LEADER',
    members: new Configuration(members as PeerId[]).peers,
    lastId: { index: logIndex(Number(last[1])), term: asTerm(Number(last[2])) },
  }
}

function peersIn(text: string): (PeerId | null)[] {
  return text
    .split(' ')
    .filter((peer) => peer !== '')
    .map((peer) => PeerId.parse(peer))
}

/** Others do not know yet, or not any more. */
const ACTIVE: ReadonlySet<string> = new Set(['LEADER', 'TRANSFERRING', 'CANDIDATE', 'FOLLOWER'])
