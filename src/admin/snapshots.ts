import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { survey } from './discovery.js'
import type { SnapshotFacts } from './engines/snapshots.js'
import { findMember, type MemberRef, refOf } from './member-lookup.js'
import { type ClusterStatus, type NodeRow, statusOf } from './status.js'

/** What became of asking one member. */
export interface SnapshotRow extends MemberRef {
  /** Null when it has none, or when it could not be asked. */
  readonly snapshot: SnapshotFacts | null
  readonly error: { readonly code: string; readonly message: string } | null
}

/** `data` of `snapshot list --json`. */
export interface SnapshotList {
  readonly group: string
  readonly nodes: readonly SnapshotRow[]
}

/** `data` of `snapshot create --json`. */
export interface SnapshotsTaken {
  readonly group: string
  readonly nodes: readonly (SnapshotRow & { readonly tookMs: number | null })[]
}

export interface Reading<Data> {
  readonly data: Data
  readonly clusterId: string | null
  readonly error: CliError | null
}

/** Whom to ask: a member, everybody, or a healthy follower. */
export type Whom = { readonly member: string } | 'all' | 'auto'

/**
 * Has members take a snapshot each. Throws what the only one that was asked failed with; of several, E_PARTIAL stands beside
 * the rows.
 */
export async function takeSnapshots(client: ClusterClient, whom: Whom): Promise<Reading<SnapshotsTaken>> {
  const { status, clusterId } = await look(client)
  const members = chosen(status, whom)
  const { group } = client
  const { nodes, failed } = await each(
    members,
    (row) => client.engine.snapshots.take({ endpoint: row.address, group }),
    (ref, answer, error) => ({ ...ref, snapshot: answer?.snapshot ?? null, tookMs: answer?.tookMs ?? null, error }),
  )
  return { data: { group: status.group, nodes }, clusterId, error: partial(failed, 'took no snapshot') }
}

/** The snapshots of members; works without a leader. Errors as with `takeSnapshots`. */
export async function listSnapshots(client: ClusterClient, member: string | null): Promise<Reading<SnapshotList>> {
  const { status, clusterId } = await look(client)
  const members = chosen(status, member === null ? 'all' : { member })
  const { group } = client
  const { nodes, failed } = await each(
    members,
    (row) => client.engine.snapshots.list({ endpoint: row.address, group }),
    (ref, answer, error) => ({ ...ref, snapshot: answer?.[0] ?? null, error }),
  )
  return { data: { group: status.group, nodes }, clusterId, error: partial(failed, 'did not answer') }
}

/** Who is to send a snapshot, and which one. */
export interface SnapshotSource {
  readonly node: MemberRef
  readonly index: number
  readonly clusterId: string | null
}

export interface SourceOptions {
  readonly whom: Whom
  /** Take a snapshot first. */
  readonly fresh: boolean
  /** The copy that goes on is of this one; null: the newest. */
  readonly index: number | null
}

/** Throws E_NO_SNAPSHOT when the node, or nobody, has the one that is wanted. */
export async function snapshotSource(client: ClusterClient, options: SourceOptions): Promise<SnapshotSource> {
  const { status, clusterId } = await look(client)
  const { group } = client
  if (options.index !== null) return { ...holderOf(status, options.index, options.whom), clusterId }
  const [row] = chosen(status, options.whom)
  const snapshot = options.fresh
    ? (await client.engine.snapshots.take({ endpoint: row!.address, group })).snapshot
    : (await client.engine.snapshots.list({ endpoint: row!.address, group }))[0]
  if (!snapshot) throw new CliError('E_NO_SNAPSHOT', `${row!.id} has no snapshot`, { hint: `raftctl snapshot create --node ${row!.id}` })
  return { node: refOf(row!), index: snapshot.index, clusterId }
}

function holderOf(status: ClusterStatus, index: number, whom: Whom): Omit<SnapshotSource, 'clusterId'> {
  const holders = asked(status, whom).filter((row) => row.snapshot?.index === index)
  const holder = holders.find((row) => !row.leader) ?? holders[0]
  if (holder) return { node: refOf(holder), index }
  throw new CliError('E_NO_SNAPSHOT', `snapshot ${index}, of which a part is here, is on no member any more`, {
    hint: 'Save a newer one: the same command without --resume.',
    details: { index },
  })
}

async function look(client: ClusterClient): Promise<{ readonly status: ClusterStatus; readonly clusterId: string | null }> {
  const found = await survey(client)
  const { status, clusterId, error } = statusOf(found)
  if (found.reports.size === 0) throw error ?? new CliError('E_UNREACHABLE', 'nothing answers')
  return { status, clusterId }
}

type Member = NodeRow & { readonly peerId: string }

function chosen(status: ClusterStatus, whom: Whom): readonly Member[] {
  return whom === 'auto' ? [healthiest(status)] : asked(status, whom)
}

function asked(status: ClusterStatus, whom: Whom): readonly Member[] {
  if (typeof whom === 'object') return [findMember(status, whom.member)]
  return status.nodes.filter((row): row is Member => row.role !== null && row.peerId !== null)
}

/** The follower that is least behind, so that the leader has nothing to do with it; the leader when no follower is well. */
function healthiest(status: ClusterStatus): Member {
  const well = asked(status, 'all').filter((row) => row.reachable && row.state === 'ok')
  const followers = well.filter((row) => !row.leader).sort((a, b) => (a.lag ?? 0) - (b.lag ?? 0))
  const best = followers[0] ?? well[0] ?? asked(status, 'all').find((row) => row.reachable)
  if (best) return best
  throw new CliError('E_UNREACHABLE', 'no member is well enough to be asked', { hint: 'raftctl status' })
}

/** Of the only one that was asked the error itself is thrown; otherwise it stands in its row. */
async function each<T, R extends SnapshotRow>(
  members: readonly Member[],
  call: (row: Member) => Promise<T>,
  rowOf: (row: MemberRef, answer: T | null, error: SnapshotRow['error']) => R,
): Promise<{ readonly nodes: readonly R[]; readonly failed: readonly R[] }> {
  const nodes = await Promise.all(
    members.map(async (row) => {
      try {
        return rowOf(refOf(row), await call(row), null)
      } catch (thrown) {
        if (!(thrown instanceof CliError) || members.length === 1) throw thrown
        return rowOf(refOf(row), null, { code: thrown.code, message: thrown.message })
      }
    }),
  )
  return { nodes, failed: nodes.filter((row) => row.error !== null) }
}

function partial(failed: readonly SnapshotRow[], what: string): CliError | null {
  if (failed.length === 0) return null
  const names = failed.map((row) => row.id)
  const why = failed[0]!.error!.message.replace(`${names[0]}: `, '')
  return new CliError('E_PARTIAL', `${names.join(', ')} ${what}: ${why}`, { details: { failed: names } })
}
