import { plain, visibleWidth } from './colour.js'
import * as format from './format.js'
import type { Output } from './output.js'
import type { Column } from './table.js'

/** One entry as a table shows it. */
export interface LogRowPicture {
  readonly index: number
  readonly term: number
  readonly type: string
  readonly bytes: number
  readonly operation: string | null
  readonly summary: string
  readonly timeMs: number | null
  readonly committed: boolean | null
  readonly applied: boolean | null
  readonly hex: string | null
}

export const LOG_COLUMNS = {
  INDEX: 'its place in the log',
  TERM: 'term of the leader that proposed it',
  TYPE: 'what the state machine calls it; config and no-op are of Raft itself',
  SIZE: 'bytes of its data',
  SUMMARY: 'what it does, as far as it can be read',
  AGE: 'since its leader proposed it, by the clocks of both machines',
}

const SUMMARY_MIN = 20
const GAP = 2

/** Entries under headers. Where commitment is known, the line of the newest committed one says so and later ones are dimmed. */
export function printLog(out: Output, rows: readonly LogRowPicture[], nowMs: number): void {
  const commit = rows.findLast((row) => row.committed === true)
  const applied = rows.findLast((row) => row.applied === true)
  const hasTimes = rows.some((row) => row.timeMs !== null)
  const hasMarks = rows.some((row) => row.committed !== null)
  const dim = (row: LogRowPicture, text: string) => (row.committed === false ? out.paint('dim', text) : text)
  const before: Column<LogRowPicture>[] = [
    { name: 'index', value: (row) => dim(row, format.count(row.index)), align: 'right' },
    { name: 'term', value: (row) => dim(row, String(row.term)), align: 'right' },
    { name: 'type', value: (row) => dim(row, row.operation ?? row.type) },
    { name: 'size', value: (row) => dim(row, format.bytes(row.bytes)), align: 'right', priority: 2 },
  ]
  const behind: Column<LogRowPicture>[] = [
    ...(hasTimes
      ? [{ name: 'age', value: (row) => dim(row, age(row, nowMs)), align: 'right', priority: 1 } satisfies Column<LogRowPicture>]
      : []),
    ...(hasMarks ? [{ name: '', value: (row) => mark(out, row, { commit, applied }) } satisfies Column<LogRowPicture>] : []),
  ]
  const taken = [...before, ...behind].reduce((sum, column) => sum + widthOf(out, column, rows) + GAP, 0)
  const width = Math.max(SUMMARY_MIN, out.style.width - taken)
  const summary = (row: LogRowPicture) => (out.style.isTty && !out.isWide ? clipped(out, row.summary, width) : row.summary)
  const columns = [...before, { name: 'summary', value: (row: LogRowPicture) => dim(row, row.hex ?? summary(row)) }, ...behind]
  out.table(columns, rows)
}

function widthOf(out: Output, column: Column<LogRowPicture>, rows: readonly LogRowPicture[]): number {
  return Math.max(column.name.length, ...rows.map((row) => visibleWidth(plain(out.style, column.value(row)))))
}

export function age(row: LogRowPicture, nowMs: number): string {
  return row.timeMs === null ? '' : format.duration(Math.max(0, nowMs - row.timeMs))
}

function mark(
  out: Output,
  row: LogRowPicture,
  { commit, applied }: { commit: LogRowPicture | undefined; applied: LogRowPicture | undefined },
): string {
  if (row.committed === false) return out.paint('yellow', 'uncommitted')
  const says = [row === commit ? 'commit' : null, row === applied ? 'applied' : null].filter((word) => word !== null)
  return says.length === 0 ? '' : `← ${says.join(', ')}`
}

/** One line, cut with an ellipsis where it is too long. */
export function clipped(out: Output, text: string, width: number): string {
  const line = text.replaceAll(/\s+/g, ' ')
  const letters = [...line]
  const end = out.symbol('ellipsis')
  return letters.length <= width ? line : letters.slice(0, width - end.length).join('') + end
}

/** One entry as it comes: the columns of a table of which nobody knows the rest. */
export function printTailLine(out: Output, row: LogRowPicture & { readonly replaces: number | null }): void {
  const fields = [
    format.count(row.index).padStart(11),
    String(row.term).padStart(4),
    (row.operation ?? row.type).padEnd(8),
    format.bytes(row.bytes).padStart(8),
  ].join('  ')
  const notes = [row.committed === false ? 'uncommitted' : null, row.replaces === null ? null : `replaces the one of term ${row.replaces}`]
  const note = notes.filter((part) => part !== null).join(', ')
  const room = out.style.width - [...fields].length - 2 - (note === '' ? 0 : note.length + 2)
  const summary = out.style.isTty && !out.isWide ? clipped(out, row.summary, Math.max(SUMMARY_MIN, room)) : row.summary
  const line = `${fields}  ${summary}`.trimEnd()
  out.line(`${row.committed === false ? out.paint('dim', line) : line}${note === '' ? '' : `  ${out.paint('yellow', note)}`}`)
}

interface EntryPicture {
  readonly node: string
  readonly entry: LogRowPicture
  readonly crc32c: string
  readonly holders: readonly {
    readonly node: string
    readonly holds: string
    readonly term: number | null
    readonly committed: boolean | null
    readonly applied: boolean | null
  }[]
}

const HEX_BYTES_MAX = 256
const BYTES_A_LINE = 16

/** Everything about one entry, its bytes, and who holds it. */
export function printEntry(out: Output, { node, entry, crc32c, holders }: EntryPicture, nowMs: number): void {
  const facts: [string, string][] = [
    ['entry', `${format.count(entry.index)} of term ${entry.term} on ${node}`],
    ['type', `${entry.operation ?? entry.type} (${entry.type})`],
    ['state', stateText(entry)],
    ['proposed', entry.timeMs === null ? 'unknown' : `${new Date(entry.timeMs).toISOString()} (${age(entry, nowMs)} ago)`],
    ['summary', entry.summary === '' ? '-' : entry.summary],
    ['data', `${format.bytes(entry.bytes)}, CRC-32C ${crc32c}`],
  ]
  for (const [word, text] of facts) out.line(`${word.padEnd(9)} ${text}`)
  for (const line of hexLines(entry.hex ?? '')) out.line(`  ${line}`)
  out.line()
  out.table(
    [
      { name: 'node', value: (row) => row.node },
      { name: 'holds', value: (row) => (row.holds === 'same' ? row.holds : out.paint('yellow', row.holds)) },
      { name: 'term', value: (row) => (row.term === null ? '-' : String(row.term)), align: 'right' },
      { name: 'state', value: (row) => (row.committed === null ? '-' : stateText(row)) },
    ],
    holders,
  )
}

function stateText({ committed, applied }: { readonly committed: boolean | null; readonly applied: boolean | null }): string {
  if (applied) return 'committed, applied'
  return committed ? 'committed' : 'uncommitted'
}

/** As hexdump shows them: offset, bytes, letters. */
function hexLines(hex: string): string[] {
  const bytes = Buffer.from(hex, 'hex')
  const lines: string[] = []
  for (let at = 0; at < Math.min(bytes.length, HEX_BYTES_MAX); at += BYTES_A_LINE) {
    const part = bytes.subarray(at, at + BYTES_A_LINE)
    const letters = [...part].map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('')
    const words = part.toString('hex').replace(/../g, '$& ').trimEnd()
    lines.push(`${at.toString(16).padStart(4, '0')}  ${words.padEnd(BYTES_A_LINE * 3 - 1)}  ${letters}`)
  }
  if (bytes.length > HEX_BYTES_MAX) lines.push(`and ${format.count(bytes.length - HEX_BYTES_MAX)} bytes more: --json holds them all`)
  return lines
}

interface StatisticsPicture {
  readonly node: string
  readonly firstIndex: number
  readonly lastIndex: number
  readonly commitIndex: number
  readonly entries: number
  readonly bytes: number | null
  readonly segments: number | null
  readonly rate: number
  readonly snapshotIndex: number | null
  readonly behindSnapshot: number
  readonly byType: readonly { readonly type: string; readonly entries: number; readonly bytes: number }[] | null
  readonly largest: readonly LogRowPicture[] | null
}

export function printStatistics(out: Output, stats: StatisticsPicture): void {
  const range =
    stats.entries === 0
      ? `empty, starts at ${format.count(stats.firstIndex)}`
      : `${format.count(stats.firstIndex)} to ${format.count(stats.lastIndex)}`
  const facts: [string, string][] = [
    ['log', `${range} on ${stats.node}, committed up to ${format.count(stats.commitIndex)}`],
    [
      'size',
      `${format.many(stats.entries, 'entry', 'entries')}${stats.bytes === null ? '' : `, ${format.bytes(stats.bytes)} in ${format.many(stats.segments ?? 0, 'segment')}`}`,
    ],
    ['rate', `${format.count(stats.rate)} entries/s`],
    [
      'snapshot',
      stats.snapshotIndex === null
        ? `none: a start applies all ${format.count(stats.entries)}`
        : `${format.count(stats.snapshotIndex)}: a start applies the ${format.count(stats.behindSnapshot)} behind it`,
    ],
  ]
  for (const [word, text] of facts) out.line(`${word.padEnd(9)} ${text}`)
  if (stats.entries === 0 || stats.byType === null || stats.largest === null) return
  out.line()
  out.table(
    [
      { name: 'type', value: (row) => row.type },
      { name: 'entries', value: (row) => format.count(row.entries), align: 'right' },
      { name: 'bytes', value: (row) => format.bytes(row.bytes), align: 'right' },
    ],
    stats.byType,
  )
  out.line()
  out.line('largest')
  const width = Math.max(SUMMARY_MIN, out.style.width - 40)
  out.table(
    [
      { name: 'index', value: (row) => format.count(row.index), align: 'right' },
      { name: 'type', value: (row) => row.operation ?? row.type },
      { name: 'size', value: (row) => format.bytes(row.bytes), align: 'right' },
      { name: 'summary', value: (row) => (out.style.isTty && !out.isWide ? clipped(out, row.summary, width) : row.summary) },
    ],
    stats.largest,
  )
}
