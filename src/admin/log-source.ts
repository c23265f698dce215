import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { type Survey, survey } from './discovery.js'
import { findLeader, nameOf } from './leader-claims.js'
import { findMember } from './member-lookup.js'
import { type NodeReport, peerKey } from './node-report.js'
import { statusOf } from './status.js'

/** A member whose log is read, as it said of itself just now. */
export interface LogSource {
  readonly id: string
  /** Where it answers. */
  readonly endpoint: string
  readonly leads: boolean
  readonly report: NodeReport
}

/** Every member that answers, the leader first, then who knows most to be committed. Empty when none does. */
export function sourcesOf(found: Survey): LogSource[] {
  const claim = findLeader(found)
  const leads = (report: NodeReport) => claim?.confirmed === true && peerKey(report.peerId) === claim.leaderKey
  return [...found.reports.values()]
    .map((report) => ({ id: nameOf(found, report.peerId), endpoint: report.endpoint, leads: leads(report), report }))
    .sort((a, b) => Number(b.leads) - Number(a.leads) || b.report.commitIndex - a.report.commitIndex)
}

/** The member called `wanted`, else the leader, else who knows most; no leader is needed. Throws E_UNREACHABLE and E_NO_SUCH_NODE. */
export async function findSource(client: ClusterClient, wanted: string | null): Promise<{ source: LogSource; found: Survey }> {
  const found = await survey(client)
  return { source: chooseSource(found, wanted), found }
}

export function chooseSource(found: Survey, wanted: string | null): LogSource {
  const sources = sourcesOf(found)
  const { status, error } = statusOf(found)
  if (sources.length === 0 && error) throw error
  if (wanted === null) return sources[0]!
  const member = findMember(status, wanted)
  const chosen = sources.find(({ report }) => peerKey(report.peerId) === peerKey(member.peerId))
  if (chosen) return chosen
  throw new CliError('E_UNREACHABLE', `${member.id} does not answer: ${member.error?.message ?? member.state}`)
}
