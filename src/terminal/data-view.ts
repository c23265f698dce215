import type { Hue, SymbolName } from './colour.js'
import * as format from './format.js'
import type { Output } from './output.js'

interface FindingPicture {
  readonly severity: 'damage' | 'torn' | 'warning'
  readonly file: string
  readonly offset: number | null
  readonly index: number | null
  readonly problem: string
  readonly meaning: string
  readonly command: string | null
}

const SIGNS: Readonly<Record<FindingPicture['severity'], readonly [SymbolName, Hue]>> = {
  damage: ['failed', 'red'],
  torn: ['warning', 'yellow'],
  warning: ['warning', 'yellow'],
}

/** `✗ file  offset 4,122,880  index 1,284,471`, what is wrong there, what it means, and what to type. */
export function printFindings(out: Output, findings: readonly FindingPicture[], directory: string): void {
  for (const { severity, file, offset, index, problem, meaning, command } of findings) {
    const [sign, hue] = SIGNS[severity]
    const place = [
      relative(file, directory),
      offset === null ? null : `offset ${format.count(offset)}`,
      index === null ? null : `index ${format.count(index)}`,
    ].filter((part) => part !== null)
    out.line(`${out.paint(hue, `${out.symbol(sign)} ${severity === 'torn' ? 'torn tail' : severity}`)}  ${place.join('  ')}`)
    out.line(`  ${problem}`)
    out.line(`  ${meaning}`)
    if (command !== null) out.line(`  fix: ${command}`)
  }
}

export function relative(file: string, directory: string): string {
  return file.startsWith(`${directory}/`) ? file.slice(directory.length + 1) : file
}

interface GroupPicture {
  readonly group: string | null
  readonly machine: string | null
  readonly directory: string
  readonly verdict: 'ok' | 'torn' | 'damaged'
  readonly term: number | null
  readonly votedFor: string | null
  readonly log: {
    readonly first: number
    readonly last: number
    readonly entries: number
    readonly bytes: number
    readonly segments: readonly {
      readonly file: string
      readonly first: number
      readonly last: number
      readonly open: boolean
      readonly entries: number
      readonly bytes: number
    }[]
  }
  readonly durableIndex: number | null
  readonly snapshots: readonly {
    readonly path: string
    readonly index: number
    readonly term: number | null
    readonly files: number
    readonly bytes: number
  }[]
  readonly configuration: {
    readonly index: number
    readonly voters: readonly string[]
    readonly oldVoters: readonly string[]
    readonly learners: readonly string[]
  } | null
  readonly findings: readonly FindingPicture[]
}

export interface DirectoryPicture {
  readonly directory: string
  readonly kind: 'raftctl' | 'braft'
  readonly pid: number | null
  readonly verdict: 'ok' | 'torn' | 'damaged'
  readonly node: {
    readonly name: string | null
    readonly peerId: string
    readonly clusterId: string | null
    readonly standing: string
  } | null
  readonly names: Readonly<Record<string, string>>
  readonly groups: readonly GroupPicture[]
}

const VERDICTS = {
  ok: ['ok', 'green', 'sound'],
  torn: ['warning', 'yellow', 'TORN TAIL (a start cuts it)'],
  damaged: ['failed', 'red', 'DAMAGED'],
} as const

export function verdictText(out: Output, verdict: keyof typeof VERDICTS): string {
  const [sign, hue, words] = VERDICTS[verdict]
  return out.paint(hue, `${out.symbol(sign)} ${words}`)
}

/** Who the directory is, then each group: its log, its files, its members, and what is wrong. */
export function printDirectory(out: Output, view: DirectoryPicture): void {
  const { node } = view
  const who = node
    ? `node ${node.name ?? node.peerId} · cluster ${node.clusterId ?? 'unknown'} · ${node.standing}`
    : `written by ${view.kind === 'braft' ? 'braft' : 'a node that is not known'}`
  out.line(`${verdictText(out, view.verdict)}  ${view.directory}`)
  out.line(`${who} · ${view.pid === null ? 'not in use' : `in use by process ${view.pid}`}`)
  for (const group of view.groups) printGroup(out, group, view)
}

function printGroup(out: Output, group: GroupPicture, view: DirectoryPicture): void {
  const { log } = group
  const name = (peer: string) => view.names[peer.split(':').slice(0, -1).join(':')] ?? peer
  out.line()
  if (group.group !== null) out.line(`GROUP ${group.group}${group.machine === null || group.machine === 'kv' ? '' : ` (${group.machine})`}`)
  const facts: [string, string][] = [
    ['term', `${group.term ?? 'unknown'} · vote ${group.votedFor === null ? '-' : name(group.votedFor)}`],
    [
      'log',
      log.entries === 0
        ? `empty, starts at ${format.count(log.first)}`
        : `${format.count(log.first)} to ${format.count(log.last)} · ${format.many(log.entries, 'entry', 'entries')} · ${format.bytes(log.bytes)}`,
    ],
    ['durable', group.durableIndex === null ? 'not recorded' : `at least up to ${format.count(group.durableIndex)}`],
    ['members', group.configuration === null ? 'unknown' : membersText(group.configuration, name)],
    [
      'snapshot',
      group.snapshots
        .map((s) => `${format.count(s.index)} (term ${s.term ?? 'unknown'}, ${format.many(s.files, 'file')}, ${format.bytes(s.bytes)})`)
        .join(' · ') || 'none',
    ],
  ]
  for (const [word, text] of facts) out.line(`${word.padEnd(9)} ${text}`)
  if (log.segments.length > 0) out.line()
  out.table(
    [
      { name: 'segment', value: (row) => relative(row.file, group.directory) },
      { name: 'first', value: (row) => format.count(row.first), align: 'right' },
      { name: 'last', value: (row) => (row.entries === 0 ? '-' : format.count(row.last)), align: 'right' },
      { name: 'entries', value: (row) => format.count(row.entries), align: 'right', priority: 2 },
      { name: 'bytes', value: (row) => format.bytes(row.bytes), align: 'right', priority: 1 },
      { name: 'state', value: (row) => (row.open ? 'open' : 'sealed') },
    ],
    log.segments,
  )
  if (group.findings.length > 0) out.line()
  printFindings(out, group.findings, view.directory)
}

function membersText(configuration: NonNullable<GroupPicture['configuration']>, name: (peer: string) => string): string {
  const { voters, oldVoters, learners, index } = configuration
  const list = [...voters.map(name), ...learners.map((peer) => `+learner ${name(peer)}`)].join(' ')
  return `${list}${oldVoters.length > 0 ? ` (joint, from ${oldVoters.map(name).join(' ')})` : ''} · by entry ${format.count(index)}`
}
