import * as format from './format.js'
import type { Output } from './output.js'
import type { Column } from './table.js'
import { dotted } from './wrap.js'

/** What the status of a cluster looks like, as far as it is printed. */
export interface StatusPicture {
  readonly verdict: 'healthy' | 'degraded' | 'no-quorum' | 'unknown'
  readonly leader: string | null
  readonly leaderForMs: number | null
  readonly term: number | null
  readonly commit: number | null
  readonly voters: number | null
  readonly reachableVoters: number
  readonly tolerates: number
  readonly nodes: readonly NodePicture[]
  readonly disagreements: readonly { readonly node: string; readonly leader: string; readonly term: number }[]
}

export interface NodePicture {
  readonly id: string
  readonly kind: string | null
  readonly address: string
  readonly role: string | null
  readonly leader: boolean
  readonly reachable: boolean
  readonly state: string
  readonly term: number | null
  readonly commit: number | null
  readonly applied: number | null
  readonly lag: number | null
  readonly match: number | null
  readonly catchUp: { readonly by: 'snapshot' | 'log'; readonly done: number; readonly total: number } | null
  readonly lastContactMs: number | null
  readonly log: { readonly first: number; readonly last: number } | null
  readonly snapshot: { readonly index: number } | null
  readonly dataBytes: number | null
  readonly version: string | null
  readonly error: { readonly stage: string | null; readonly message: string } | null
}

export interface StatusCaption {
  /** The context or the endpoints. */
  readonly title: string
  /** Entries a second since the frame before; null when there was none. */
  readonly commitRate: number | null
  readonly advice: string | null
}

const SIGNS = {
  healthy: ['healthy', 'green'],
  degraded: ['warning', 'yellow'],
  'no-quorum': ['failed', 'red'],
  unknown: ['warning', 'yellow'],
} as const

export const STATUS_COLUMNS = {
  NODE: 'name of the member, or its address',
  KIND: 'raftctl or braft, in a group of both',
  ROLE: 'leader, voter, learner or witness; - is not a member',
  STATE: 'ok, or what it is doing; capitals ask for attention',
  TERM: 'its current term',
  COMMIT: 'newest entry it knows to be committed',
  APPLIED: 'newest entry its state machine has applied',
  LAG: 'committed entries it has not applied; (last N) is what the leader knew',
  CONTACT: 'since the leader last heard from it; of a braft member: since it heard from the leader',
  SNAPSHOT: 'last entry in its newest snapshot',
  LOG: 'entries in its log',
  DATA: 'size of its data directory',
  PROGRESS: 'how far a member that is rebuilt, or is sent a snapshot, has come',
}

/** One headline, a row per member, who disagrees, and what to type next. */
export function printStatus(out: Output, status: StatusPicture, caption: StatusCaption): void {
  out.prose(headline(out, status, caption))
  if (status.nodes.some((row) => row.reachable)) out.table(columnsFor(out, status), status.nodes)
  for (const other of status.disagreements) out.line(`! ${other.node} thinks the leader is ${other.leader} (term ${other.term})`)
  if (caption.advice !== null) out.prose(`next: ${caption.advice}`, 6)
}

function headline(out: Output, status: StatusPicture, { title, commitRate }: StatusCaption): string {
  const [sign, hue] = SIGNS[status.verdict]
  const rate = commitRate === null || commitRate <= 0 ? '' : ` (+${format.count(commitRate)}/s)`
  const parts = [
    status.voters === null ? null : `${status.reachableVoters}/${status.voters} voters reachable`,
    status.leader === null ? null : `tolerates ${status.tolerates} more ${status.tolerates === 1 ? 'failure' : 'failures'}`,
    status.leader === null
      ? 'no leader'
      : `leader ${status.leader}${status.leaderForMs === null ? '' : ` for ${format.duration(status.leaderForMs)}`}`,
    status.term === null ? null : `term ${status.term}`,
    status.commit === null ? null : `commit ${format.count(status.commit)}${rate}`,
  ]
  const verdict = out.paint(hue, `${out.symbol(sign)} ${title}  ${status.verdict.toUpperCase()}`)
  return `${verdict}  ${dotted(parts)}`
}

function columnsFor(out: Output, status: StatusPicture): Column<NodePicture>[] {
  const problems = status.nodes.some((row) => row.error !== null)
  const kinds = new Set(status.nodes.flatMap(({ kind }) => (kind === null ? [] : [kind]))).size > 1
  const returning = status.nodes.some((row) => row.catchUp !== null)
  return [
    { name: 'node', value: (row) => row.id },
    { name: 'address', value: (row) => row.address, wide: true },
    ...(kinds ? [{ name: 'kind', value: (row) => row.kind ?? '-', priority: 2 } satisfies Column<NodePicture>] : []),
    { name: 'role', value: (row) => (row.leader ? 'leader' : (row.role ?? '-')) },
    { name: 'state', value: (row) => out.paint(row.state === 'ok' ? 'green' : /^[A-Z ]+$/.test(row.state) ? 'red' : 'yellow', row.state) },
    { name: 'term', value: (row) => format.count(row.term), align: 'right', priority: 3 },
    { name: 'commit', value: (row) => format.count(row.commit), align: 'right', priority: 2 },
    { name: 'applied', value: (row) => format.count(row.applied), align: 'right', priority: 4 },
    { name: 'lag', value: (row) => lag(row, status.commit) },
    { name: 'contact', value: (row) => format.duration(row.lastContactMs), align: 'right', priority: 5 },
    { name: 'snapshot', value: (row) => format.count(row.snapshot?.index), align: 'right', priority: 7 },
    {
      name: 'log',
      value: (row) => format.count(row.log === null ? null : Math.max(0, row.log.last - row.log.first + 1)),
      align: 'right',
      priority: 6,
    },
    { name: 'data', value: (row) => format.bytes(row.dataBytes), align: 'right', priority: 8 },
    { name: 'version', value: (row) => row.version ?? '-', priority: 9 },
    ...(returning ? [{ name: 'progress', value: progressText, priority: 1 } satisfies Column<NodePicture>] : []),
    ...(problems ? [{ name: 'error', value: errorText, priority: 1 } satisfies Column<NodePicture>] : []),
  ]
}

function lag(row: NodePicture, commit: number | null): string {
  if (row.leader) return '-'
  if (row.lag !== null) return format.count(row.lag)
  return row.match === null || commit === null ? '?' : `? (last ${format.count(Math.max(0, commit - row.match))})`
}

/** `snapshot 62% of 388 MB`, `log 998,120 of 1,284,511 (77%)`. */
function progressText({ catchUp }: NodePicture): string {
  if (catchUp === null) return ''
  const { by, done, total } = catchUp
  const percent = `${Math.floor((Math.min(done, total) * 100) / Math.max(1, total))}%`
  if (by === 'snapshot') return `snapshot ${percent} of ${format.bytes(total)}`
  return `log ${format.count(done)} of ${format.count(total)} (${percent})`
}

function errorText(row: NodePicture): string {
  if (row.error === null) return ''
  const where = row.id === row.address ? '' : ` ${row.address}`
  return `${row.error.stage === null ? '' : `${row.error.stage}: `}${row.error.message}${where}`
}
