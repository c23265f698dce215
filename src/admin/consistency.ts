import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { survey } from './discovery.js'
import type { MemberRef } from './member-lookup.js'
import { type ClusterStatus, type NodeRow, statusOf } from './status.js'

export interface ConsistencyRow extends MemberRef {
  readonly role: string
  /** equal: as the majority of those that answered. different: not. unknown: it could not be asked, or not in time. */
  readonly verdict: 'equal' | 'different' | 'unknown'
  /** Of its state at the mark; null when unknown. */
  readonly sha256: string | null
  readonly keys: number | null
  /** Why it is unknown; null otherwise. */
  readonly reason: string | null
}

/** `data` of `check consistency --json`. */
export interface ConsistencyReport {
  readonly group: string
  /** Index of the mark at which states were compared. */
  readonly index: number
  readonly equal: number
  readonly different: number
  readonly unknown: number
  readonly members: readonly ConsistencyRow[]
}

export interface ConsistencyReading {
  readonly report: ConsistencyReport
  readonly clusterId: string | null
  /** E_DIVERGED, or E_PARTIAL when nothing differs and not everybody could be asked; null when all are equal. */
  readonly error: CliError | null
}

/**
 * Puts a mark into the log, waits for every member to apply it and compares what their machines hold there. Who cannot be
 * asked is unknown, never equal. Throws E_NO_LEADER or E_NO_QUORUM when no mark can be made.
 */
export async function checkConsistency(client: ClusterClient): Promise<ConsistencyReading> {
  const { status, clusterId } = await found(client)
  const index = await mark(client, status)
  const holdsData = (row: NodeRow) => row.role !== null && row.role !== 'witness'
  const members = status.nodes.filter((row): row is NodeRow & { peerId: string } => holdsData(row) && row.peerId !== null)
  const rows = judged(await Promise.all(members.map((row) => hashOf(client, row, index))))
  const count = (verdict: ConsistencyRow['verdict']) => rows.filter((row) => row.verdict === verdict).length
  const counts = { equal: count('equal'), different: count('different'), unknown: count('unknown') }
  const report: ConsistencyReport = { group: status.group, index, ...counts, members: rows }
  return { report, clusterId, error: errorOf(report) }
}

async function found(client: ClusterClient): Promise<{ readonly status: ClusterStatus; readonly clusterId: string | null }> {
  const { status, clusterId, error } = statusOf(await survey(client))
  if (error) throw error
  return { status, clusterId }
}

/** Leadership may move between looking and asking: then once more. A mark too many does no harm. */
async function mark(client: ClusterClient, status: ClusterStatus): Promise<number> {
  const { group } = client
  const { direct } = client.connection
  const ask = (leader: NodeRow | undefined) => {
    if (!leader) throw new CliError('E_NO_LEADER', 'no member that answers knows a leader')
    return client.engine.snapshots.mark({ endpoint: leader.address, group })
  }
  try {
    return await ask(leaderOf(status))
  } catch (thrown) {
    const again = thrown instanceof CliError && (thrown.code === 'E_NO_LEADER' || thrown.code === 'E_OUTCOME_UNKNOWN')
    if (!again || direct) throw thrown
    return ask(leaderOf((await found(client)).status))
  }
}

function leaderOf(status: ClusterStatus): NodeRow | undefined {
  return status.nodes.find((row) => row.id === status.leader)
}

type Asked = Omit<ConsistencyRow, 'verdict'>

async function hashOf(client: ClusterClient, row: NodeRow & { readonly peerId: string }, index: number): Promise<Asked> {
  const { id, address, peerId, role } = row
  const about = { id, address, peerId, role: role ?? 'voter' }
  try {
    const { sha256, keys } = await client.engine.snapshots.hash({ endpoint: address, group: client.group, mark: index })
    return { ...about, sha256, keys, reason: null }
  } catch (thrown) {
    if (!(thrown instanceof CliError)) throw thrown
    const { reason } = thrown.details as { readonly reason?: string }
    return { ...about, sha256: null, keys: null, reason: reason ?? thrown.message }
  }
}

/** The hash that more members have than any other is the right one; without such a hash all that answered differ. */
export function judged(rows: readonly Asked[]): ConsistencyRow[] {
  const votes = new Map<string, number>()
  for (const { sha256 } of rows) if (sha256 !== null) votes.set(sha256, (votes.get(sha256) ?? 0) + 1)
  const [first, second] = [...votes].sort(([, a], [, b]) => b - a)
  const right = first && (!second || first[1] > second[1]) ? first[0] : null
  return rows.map((row) => ({ ...row, verdict: row.sha256 === null ? 'unknown' : row.sha256 === right ? 'equal' : 'different' }))
}

function errorOf({ members, index, equal, different, unknown }: ConsistencyReport): CliError | null {
  const names = (verdict: ConsistencyRow['verdict']) => members.filter((row) => row.verdict === verdict).map((row) => row.id)
  const who = names('different').join(', ')
  if (different > 0) {
    const message =
      equal > 0
        ? `${who} ${different === 1 ? 'holds' : 'hold'} another state at ${index} than the ${equal} others that are equal`
        : `${who} hold different states at ${index}, and no majority says which is right`
    const keep = equal > 0 ? ` Then replace ${who}: it must not lead.` : ''
    return new CliError('E_DIVERGED', message, {
      hint: `Keep the directories of all members before anything else.${keep}`,
      details: { index, different: names('different'), unknown: names('unknown') },
    })
  }
  if (unknown === 0) return null
  return new CliError(
    'E_PARTIAL',
    `${names('unknown').join(', ')} could not be compared: ${equal}/${members.length} equal, ${unknown} unknown`,
    {
      hint: 'Repeat it once they are back:  raftctl status',
      details: { index, unknown: names('unknown') },
    },
  )
}
