import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { survey } from './discovery.js'
import type { DiskFigures } from './engines/engine.js'
import type { MemberRef } from './member-lookup.js'
import { type NodeRow, statusOf } from './status.js'

/** What the control service takes at most. */
const SAMPLES_MAX = 100
/** Of the election timeout: a leader whose disk takes as long as a heartbeat is waited for is late with all it does. */
const LIMIT_SHARE = 1 / 10

export interface DiskRow extends MemberRef {
  /** unknown: it could not be asked, or did not end in time. */
  readonly verdict: 'fast' | 'slow' | 'unknown'
  /** Of durable writes of 4 KiB, one after another, in milliseconds; null when unknown, as the four that follow. */
  readonly p50Ms: number | null
  readonly p99Ms: number | null
  /** What p99 is held against. */
  readonly limitMs: number | null
  readonly freeBytes: number | null
  readonly totalBytes: number | null
  /** Why it is unknown; null otherwise. */
  readonly reason: string | null
}

/** `data` of `check disk --json`. */
export interface DiskReport {
  readonly group: string
  /** Writes at each member. */
  readonly samples: number
  readonly fast: number
  readonly slow: number
  readonly unknown: number
  readonly members: readonly DiskRow[]
}

export interface DiskReading {
  readonly report: DiskReport
  readonly clusterId: string | null
  /** E_UNHEALTHY: a disk is slow. E_PARTIAL: none is, and not all could be asked. Null: all are fast. */
  readonly error: CliError | null
}

/**
 * How long a durable write takes on the disk of every member; one member after another, since several may share a disk.
 * `limitMs` null: a tenth of the election timeout of each member.
 */
export async function checkDisks(
  client: ClusterClient,
  { samples, limitMs }: { readonly samples: number; readonly limitMs: number | null },
): Promise<DiskReading> {
  if (samples > SAMPLES_MAX)
    throw new CliError('E_USAGE', `${samples} writes at each member are too many`, { hint: `At most ${SAMPLES_MAX}: a check is no load.` })
  const found = await survey(client)
  const { status, clusterId } = statusOf(found)
  const timeouts = new Map([...found.reports.values()].map(({ peerId, electionTimeoutMs }) => [peerId, electionTimeoutMs]))
  const members: DiskRow[] = []
  for (const row of status.nodes) {
    if (row.role === null || row.peerId === null) continue
    const limit = limitMs ?? (timeouts.get(row.peerId) ?? 0) * LIMIT_SHARE
    members.push(await check(client, { ...row, peerId: row.peerId }, samples, limit))
  }
  if (members.length === 0) throw new CliError('E_UNREACHABLE', 'no member is known here', { hint: 'raftctl status' })
  const count = (verdict: DiskRow['verdict']) => members.filter((row) => row.verdict === verdict).length
  const report: DiskReport = {
    group: status.group,
    samples,
    fast: count('fast'),
    slow: count('slow'),
    unknown: count('unknown'),
    members,
  }
  return { report, clusterId, error: errorOf(report) }
}

async function check(
  client: ClusterClient,
  { id, address, peerId, reachable }: NodeRow & { readonly peerId: string },
  samples: number,
  limitMs: number,
): Promise<DiskRow> {
  const about = { id, address, peerId }
  const figures = reachable ? await measured(client, address, samples) : 'it does not answer'
  if (typeof figures === 'string')
    return { ...about, verdict: 'unknown', p50Ms: null, p99Ms: null, limitMs: null, freeBytes: null, totalBytes: null, reason: figures }
  return { ...about, verdict: figures.p99Ms <= limitMs ? 'fast' : 'slow', ...figures, limitMs, reason: null }
}

async function measured(client: ClusterClient, endpoint: string, samples: number): Promise<DiskFigures | string> {
  try {
    return await client.engine.checkDisk({ endpoint, group: client.group, samples })
  } catch (thrown) {
    if (!(thrown instanceof CliError)) throw thrown
    const { reason } = thrown.details as { readonly reason?: string }
    return reason ?? thrown.message
  }
}

function errorOf({ members, slow, unknown }: DiskReport): CliError | null {
  const names = (verdict: DiskRow['verdict']) => members.filter((row) => row.verdict === verdict).map((row) => row.id)
  if (slow > 0) {
    const who = names('slow').join(', ')
    return new CliError('E_UNHEALTHY', `the ${slow === 1 ? 'disk of' : 'disks of'} ${who} ${slow === 1 ? 'is' : 'are'} slow`, {
      hint: 'Give the log a disk of its own, or a longer election timeout; until then let another member lead:  raftctl leader transfer',
      details: { slow: names('slow'), unknown: names('unknown') },
    })
  }
  if (unknown === 0) return null
  return new CliError('E_PARTIAL', `the disk of ${names('unknown').join(', ')} could not be measured`, {
    hint: 'Repeat it once they are back:  raftctl status',
    details: { unknown: names('unknown') },
  })
}
