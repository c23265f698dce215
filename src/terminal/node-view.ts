import * as format from './format.js'
import type { Output } from './output.js'
import { dotted } from './wrap.js'

interface NodePicture {
  readonly id: string
  readonly address: string
  readonly group: string
  readonly state: string
  readonly role: string | null
  readonly leader: boolean
  readonly kind: string
  readonly standing: string | null
  readonly term: number
  readonly votedFor: string | null
  readonly leaderId: string | null
  readonly leaderForMs: number | null
  readonly leaderContactMs: number | null
  readonly log: {
    readonly first: number
    readonly last: number
    readonly lastTerm: number
    readonly durable: number
    readonly bytes: number | null
  }
  readonly commit: number
  readonly applied: number
  readonly catchUp: { readonly by: string; readonly done: number; readonly total: number } | null
  readonly snapshot: {
    readonly index: number
    readonly term: number
    readonly bytes: number | null
    readonly ageMs: number | null
    readonly state: string
  } | null
  readonly timers: { readonly electionTimeoutMs: number; readonly heartbeatMs: number | null; readonly snapshotIntervalMs: number }
  readonly disk: { readonly dataDir: string | null; readonly dataBytes: number | null; readonly syncP99Ms: number | null }
  readonly writeStages: readonly { readonly stage: string; readonly p50Ms: number; readonly p99Ms: number }[]
  readonly machine: { readonly kind: string | null; readonly revision: number | null }
  readonly process: { readonly pid: number | null; readonly version: string | null; readonly uptimeMs: number | null }
  readonly peers: readonly {
    readonly id: string
    readonly match: number | null
    readonly next: number
    readonly inflight: number
    readonly state: string
    readonly lastContactMs: number | null
    readonly errors: number
    readonly lastError: string | null
  }[]
  readonly alarms: readonly string[]
  readonly error: string | null
  readonly settings: Readonly<Record<string, string>>
}

export const PEER_COLUMNS = {
  PEER: 'another member, as this leader sees it',
  MATCH: 'newest entry it is known to hold',
  NEXT: 'the entry it is sent next',
  INFLIGHT: 'requests on their way',
  STATE: 'probe, replicate, snapshot or blocked',
  CONTACT: 'since the newest request that it answered was sent',
  ERRORS: 'in a row, and the last of them',
}

/** One thing a line, then the peers. */
export function printNode(out: Output, node: NodePicture): void {
  const sign = node.state === 'ok' ? 'ok' : 'warning'
  const role = node.leader ? 'leader' : (node.role ?? 'not a member')
  const where = node.id === node.address ? '' : `  ${node.address}`
  out.line(`${out.symbol(sign)} ${node.id}${where}  ${role} of group ${node.group}  ${node.state}`)
  const rows = linesOf(node)
  const width = Math.max(...rows.map(([name]) => name.length))
  for (const [name, text] of rows) out.prose(`  ${name.padEnd(width)}  ${text}`, width + 4)
  if (node.peers.length > 0)
    out.table(
      [
        { name: 'peer', value: (row) => row.id },
        { name: 'match', value: (row) => format.count(row.match), align: 'right' },
        { name: 'next', value: (row) => format.count(row.next), align: 'right', priority: 1 },
        { name: 'inflight', value: (row) => format.count(row.inflight), align: 'right', priority: 3 },
        { name: 'state', value: (row) => row.state },
        { name: 'contact', value: (row) => format.duration(row.lastContactMs), align: 'right' },
        { name: 'errors', value: (row) => (row.errors === 0 ? '-' : `${row.errors}: ${row.lastError ?? ''}`), priority: 2 },
      ],
      node.peers,
    )
}

function bytes(value: number | null): string | null {
  return value === null ? null : format.bytes(value)
}

function stage({ stage, p50Ms, p99Ms }: NodePicture['writeStages'][number]): string {
  return `${stage} ${p50Ms.toFixed(1)}/${p99Ms.toFixed(1)}`
}

function linesOf(node: NodePicture): [string, string][] {
  const { log, snapshot, timers, disk, machine, process, catchUp } = node
  const since = node.leaderForMs === null ? '' : ` for ${format.duration(node.leaderForMs)}`
  const heard = node.leaderContactMs === null ? '' : `, heard ${format.duration(node.leaderContactMs)} ago`
  const interval = timers.snapshotIntervalMs === 0 ? 'on demand only' : `every ${format.duration(timers.snapshotIntervalMs)}`
  const sync = disk.syncP99Ms === null ? '' : ` · sync p99 ${disk.syncP99Ms.toFixed(1)} ms`
  const known = new Set(['group', 'data', 'election-timeout', 'snapshot-interval', 'cluster-id', 'name', 'listen'])
  const settings = Object.entries(node.settings).filter(([name, value]) => value !== '' && !known.has(name))
  return [
    ['term', node.kind === 'braft' ? `${node.term}` : `${node.term}, voted for ${node.votedFor ?? 'nobody'}`],
    ['leader', node.leaderId === null ? 'none known' : `${node.leaderId}${since}${heard}`],
    [
      'log',
      dotted([
        `${format.count(log.first)} to ${format.count(log.last)} (term ${log.lastTerm})`,
        `durable ${format.count(log.durable)}`,
        bytes(log.bytes),
      ]),
    ],
    ['commit', `${format.count(node.commit)} · applied ${format.count(node.applied)}`],
    ...(catchUp === null
      ? []
      : [['progress', `${catchUp.by} ${format.count(catchUp.done)} of ${format.count(catchUp.total)}`] as [string, string]]),
    [
      'snapshot',
      snapshot === null
        ? `none · ${interval}`
        : dotted([
            `${format.count(snapshot.index)} (term ${snapshot.term})`,
            bytes(snapshot.bytes),
            snapshot.ageMs === null ? null : `${format.duration(snapshot.ageMs)} old`,
            snapshot.state,
            interval,
          ]),
    ],
    [
      'timers',
      dotted([
        `election ${format.duration(timers.electionTimeoutMs)}`,
        timers.heartbeatMs === null ? null : `heartbeat ${format.duration(timers.heartbeatMs)}`,
      ]),
    ],
    ...(disk.dataDir === null ? [] : [['disk', `${disk.dataDir} · ${format.bytes(disk.dataBytes)}${sync}`] as [string, string]]),
    ...(node.writeStages.length === 0 ? [] : [['writes', `${dotted(node.writeStages.map(stage))} (p50/p99 ms)`] as [string, string]]),
    ...(machine.kind === null
      ? []
      : [
          ['machine', machine.revision === null ? machine.kind : `${machine.kind} at revision ${format.count(machine.revision)}`] as [
            string,
            string,
          ],
        ]),
    [
      'process',
      dotted([
        process.pid === null ? null : `pid ${process.pid}`,
        process.version,
        process.uptimeMs === null ? null : `up ${format.duration(process.uptimeMs)}`,
      ]),
    ],
    ...(settings.length === 0 ? [] : [['config', settings.map(([name, value]) => `${name}=${value}`).join(' ')] as [string, string]]),
    ...(node.standing === null || node.standing === 'member' ? [] : [['standing', node.standing] as [string, string]]),
    ...node.alarms.map((alarm): [string, string] => ['alarm', alarm]),
    ...(node.error === null ? [] : [['error', node.error] as [string, string]]),
  ]
}
