import { CliError, isErrorCode } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { addressOf, type MembershipReport, type NodeFailure, type NodeReply, type NodeReport, peerKey } from './node-report.js'

/** Everything that could be learned by asking every member once. */
export interface Survey {
  readonly group: string
  /** By `peerKey`. */
  readonly reports: ReadonlyMap<string, NodeReport>
  /** Members and endpoints that did not answer, by address. */
  readonly failures: ReadonlyMap<string, NodeFailure>
  /** The newest configuration that anyone knows, committed ones before others; null when nobody knows one. */
  readonly membership: MembershipReport | null
  readonly clusterId: string | null
  /** Only the given endpoints were asked. */
  readonly direct: boolean
}

/**
 * Asks the given endpoints, then whoever they name, until there is nobody new: one endpoint is enough.
 * Throws E_CLUSTER_MISMATCH when those that answer are not the expected cluster, or not one cluster.
 */
export async function survey(client: ClusterClient): Promise<Survey> {
  const { endpoints, direct } = client.connection
  const replies: NodeReply[] = []
  const asked = new Set<string>()
  let wave = [...new Set(endpoints)]
  while (wave.length > 0) {
    for (const endpoint of wave) asked.add(endpoint)
    replies.push(...(await client.ask(wave)))
    wave = direct ? [] : unasked(replies, asked)
  }
  return assemble(replies, { group: client.group, direct })
}

/** Addresses of members nobody has answered for. */
function unasked(replies: readonly NodeReply[], asked: ReadonlySet<string>): string[] {
  const answered = new Set(replies.flatMap((reply) => ('report' in reply ? [peerKey(reply.report.peerId)] : [])))
  const members = replies.flatMap((reply) => ('report' in reply ? membersOf(reply.report.membership) : []))
  const addresses = members.filter((member) => !answered.has(peerKey(member.peerId))).map((member) => addressOf(member.peerId))
  return [...new Set(addresses)].filter((address) => !asked.has(address))
}

export function membersOf(membership: MembershipReport | null) {
  return membership === null ? [] : [...membership.members, ...membership.oldMembers]
}

export function assemble(replies: readonly NodeReply[], options: { readonly group: string; readonly direct: boolean }): Survey {
  const reports = new Map<string, NodeReport>()
  const failures = new Map<string, NodeFailure>()
  for (const reply of replies) {
    if ('report' in reply) reports.set(peerKey(reply.report.peerId), reply.report)
    else failures.set(reply.endpoint, reply.failure)
  }
  refuseStrangers(reports, failures)
  const memberships = [...reports.values()].flatMap(({ membership, term }) =>
    membership && membership.members.length > 0 ? [{ membership, term }] : [],
  )
  const newest = memberships.sort(
    (a, b) =>
      Number(b.membership.committed) - Number(a.membership.committed) ||
      b.membership.entryIndex - a.membership.entryIndex ||
      b.term - a.term,
  )[0]
  const clusterId = [...reports.values()].find((report) => report.clusterId !== null)?.clusterId ?? null
  return { ...options, reports, failures, membership: newest?.membership ?? null, clusterId }
}

function refuseStrangers(reports: ReadonlyMap<string, NodeReport>, failures: ReadonlyMap<string, NodeFailure>): void {
  const ids = new Map(
    [...reports.values()].flatMap((report) => (report.clusterId === null ? [] : [[report.clusterId, report.endpoint] as const])),
  )
  if (ids.size > 1) {
    const list = [...ids].map(([id, endpoint]) => `${endpoint} is of ${id}`).join(', ')
    throw new CliError('E_CLUSTER_MISMATCH', `the nodes that answer belong to different clusters: ${list}`, {
      hint: 'Give endpoints of one cluster only.',
      details: { clusters: Object.fromEntries(ids) },
    })
  }
  if (reports.size > 0) return
  const all = [...failures.values()]
  const decisive = all.find((failure) => failure.code !== 'E_UNREACHABLE' && isErrorCode(failure.code))
  if (decisive && isErrorCode(decisive.code)) {
    throw new CliError(
      decisive.code,
      decisive.message.startsWith(decisive.endpoint) ? decisive.message : `${decisive.endpoint}: ${decisive.message}`,
      {
        ...(decisive.hint === undefined ? {} : { hint: decisive.hint }),
        details: { nodes: all.map(({ hint: _, ...failure }) => failure) },
      },
    )
  }
}
