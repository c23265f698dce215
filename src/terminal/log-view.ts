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
/** What the other columns take, with the gaps. */
const BESIDES = 52

/** Entries under headers. Where commitment is known, the line of the newest committed one says so and later ones are dimmed. */
export function printLog(out: Output, rows: readonly LogRowPicture[], nowMs: number): void {
  const commit = rows.findLast((row) => row.committed === true)
  const applied = rows.findLast((row) => row.applied === true)
  const width = Math.max(SUMMARY_MIN, out.style.width - BESIDES)
  const hasTimes = rows.some((row) => row.timeMs !== null)
  const hasMarks = rows.some((row) => row.committed !== null)
  const dim = (row: LogRowPicture, text: string) => (row.committed === false ? out.paint('dim', text) : text)
  const columns: Column<LogRowPicture>[] = [
    { name: 'index', value: (row) => dim(row, format.count(row.index)), align: 'right' },
    { name: 'term', value: (row) => dim(row, String(row.term)), align: 'right' },
    { name: 'type', value: (row) => dim(row, row.operation ?? row.type) },
    { name: 'size', value: (row) => dim(row, format.bytes(row.bytes)), align: 'right', priority: 2 },
    {
      name: 'summary',
      value: (row) => dim(row, row.hex ?? (out.style.isTty && !out.isWide ? clipped(out, row.summary, width) : row.summary)),
    },
    ...(hasTimes
      ? [{ name: 'age', value: (row) => dim(row, age(row, nowMs)), align: 'right', priority: 1 } satisfies Column<LogRowPicture>]
      : []),
    ...(hasMarks ? [{ name: '', value: (row) => mark(out, row, { commit, applied }) } satisfies Column<LogRowPicture>] : []),
  ]
  out.table(columns, rows)
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
