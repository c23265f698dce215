import type { ClusterStatus, NodeRow } from './status.js'

export interface AdviceOptions {
  /** Name of the local cluster behind the context; null when it is not one of this machine. */
  readonly playground: string | null
  /** Addresses whose process is frozen: they are not down, they only do not answer. */
  readonly paused?: ReadonlySet<string>
}

/** What an operator would type next, and why; null when nothing is amiss. */
export function advise(status: ClusterStatus, options: AdviceOptions): string | null {
  const members = status.nodes.filter((row) => row.role !== null)
  const with_ = (state: NodeRow['state']) => members.filter((row) => row.state === state)
  const paused = with_('DOWN').filter((row) => options.paused?.has(row.address))
  const down = with_('DOWN').filter((row) => !paused.includes(row))
  const tolerance = `${status.tolerates} more ${status.tolerates === 1 ? 'failure' : 'failures'} tolerated`
  if (down.length > 0) {
    const start =
      options.playground === null
        ? `start ${down.length === 1 ? 'it' : 'them'} again`
        : `raftctl cluster start --name ${options.playground}`
    return `${names(down)} ${are(down)} down, ${status.leaderConfirmed ? tolerance : 'nothing can be committed'} → ${start}`
  }
  if (paused.length > 0) {
    const resume = `raftctl cluster resume ${paused[0]!.id}${options.playground === null ? '' : ` --name ${options.playground}`}`
    return `${names(paused)} ${are(paused)} paused, ${status.leaderConfirmed ? tolerance : 'nothing can be committed'} → ${resume}`
  }
  const broken = with_('ERROR')
  if (broken.length > 0)
    return `${names(broken)} stopped taking part: ${broken[0]?.error?.message ?? 'see its log'} → ${logs(broken, options)}`
  const rebuilding = with_('REBUILDING')
  if (rebuilding.length > 0)
    return `${names(rebuilding)} ${are(rebuilding)} rebuilding and do not vote yet, ${tolerance} → raftctl status --watch`
  const cutOff = with_('CUT OFF')
  if (cutOff.length > 0)
    return `${names(cutOff)} answer here but the leader does not hear ${cutOff.length === 1 ? 'it' : 'them'} → check the network between the members`
  const short = members.filter((row) => row.alarms.includes('NOSPACE'))
  if (short.length > 0)
    return `${names(short)} ${are(short)} short of space, ${leadershipBy(status, short)} → free space on ${disksOf(short)}`
  const readonly = members.filter((row) => row.alarms.includes('READONLY'))
  if (readonly.some((row) => row.leader))
    return `${status.leader} leads and takes no writes: read-only mode → raftctl node status ${status.leader}`
  if (readonly.length > 0)
    return `${names(readonly)} ${are(readonly)} in read-only mode: writes do without ${readonly.length === 1 ? 'it' : 'them'}`
  const outside = status.nodes.find((row) => row.role === null && row.reachable && row.standing === 'rebuilding')
  if (outside && status.leaderConfirmed) return `${outside.id} waits to be added → raftctl member add ${outside.id}=${outside.address}`
  if (!status.leaderConfirmed && status.nodes.some((row) => row.reachable)) return 'no leader yet → raftctl wait leader'
  return null
}

/** What a short disk means for who leads. */
function leadershipBy(status: ClusterStatus, short: readonly NodeRow[]): string {
  const { leader } = status
  if (leader === null || !status.leaderConfirmed) return 'nobody leads'
  const led = short.find((row) => row.leader)
  if (!led) return `${leader} leads`
  return `${led.id} leads and refuses writes: too few others could take them`
}

function disksOf(rows: readonly NodeRow[]): string {
  return rows.length === 1 ? 'its disk' : 'their disks'
}

function logs(rows: readonly NodeRow[], options: AdviceOptions): string {
  return options.playground === null ? 'read the log of the node' : `raftctl cluster logs ${rows[0]?.id} --name ${options.playground}`
}

function names(rows: readonly NodeRow[]): string {
  const all = rows.map((row) => row.id)
  return all.length === 1 ? (all[0] as string) : `${all.slice(0, -1).join(', ')} and ${all.at(-1)}`
}

function are(rows: readonly NodeRow[]): string {
  return rows.length === 1 ? 'is' : 'are'
}
