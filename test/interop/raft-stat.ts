import http from 'node:http'
import { isEmptyPeer } from '../../src/admin/node-report.js'
import { parseRaftStat, type RaftStat } from '../../src/rpc/raft-stat-text.js'

/** What a page `/raft_stat/<group>` says of its node; both kinds of member print it. */
export interface MemberStat extends RaftStat {
  readonly changing: boolean
}

/** Reads the page of one node of one group; whoever knows no leader names none. Throws when there is no node on it. */
export function memberStat(page: string): MemberStat {
  const [stat] = parseRaftStat(page)
  if (!stat) throw new Error(`a page without a node: ${JSON.stringify(page)}`)
  const leader = stat.leader === null || isEmptyPeer(stat.leader) ? null : stat.leader
  return { ...stat, leader, changing: stat.stage !== null && stat.stage !== 'none' }
}

/** Fetches and reads the page of a running member. Node's plain client sends no User-Agent, which asks braft for text. */
export async function raftStat(address: string, group: string, timeoutMs = 1000): Promise<MemberStat> {
  return memberStat(await fetchPage(`http://${address}/raft_stat/${group}`, timeoutMs))
}

export function fetchPage(url: string, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: false, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => (body += chunk))
      response.once('end', () => resolve(body))
      response.once('error', reject)
    })
    request.once('error', reject)
  })
}
