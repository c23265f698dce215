import { createRequire } from 'node:module'
import type { Style } from './colour.js'
import { paint, plain, visibleWidth } from './colour.js'
import { suggestion } from './did-you-mean.js'
import { CliError } from './errors.js'

/** A column of a table. Headers are printed in capitals. */
export interface Column<Row> {
  readonly name: string
  readonly value: (row: Row) => string
  /** Numbers stand on the right. */
  readonly align?: 'left' | 'right'
  /** Dropped first when the terminal is narrow: the highest number goes first; 0 (the default) stays. */
  readonly priority?: number
  /** Only shown with --wide or when named in --columns. */
  readonly wide?: boolean
}

export interface TableOptions {
  readonly style: Style
  readonly columns?: readonly string[]
  readonly wide?: boolean
  readonly noHeaders?: boolean
}

interface Drawn {
  readonly header: string
  readonly cells: readonly string[]
  readonly right: boolean
  readonly width: number
  readonly priority: number
}

const GAP = 2

/** Rows under headers, without borders. A terminal gets what fits its width; a pipe gets every column, aligned with spaces. */
export function renderTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[], options: TableOptions): string {
  const drawn = chosen(columns, options).map((column) => draw(column, rows, options))
  const fitting = options.style.isTty && !options.columns && !options.wide ? fit(drawn, options.style.width) : drawn
  return options.style.isTty ? withLibrary(fitting, rows.length, options) : withSpaces(fitting, rows.length, options)
}

function chosen<Row>(columns: readonly Column<Row>[], options: TableOptions): readonly Column<Row>[] {
  if (!options.columns) return columns.filter((column) => options.wide || !column.wide)
  return options.columns.map((name) => {
    const column = columns.find((candidate) => candidate.name.toLowerCase() === name.toLowerCase())
    if (column) return column
    const names = columns.map((candidate) => candidate.name.toLowerCase())
    throw new CliError('E_USAGE', `no column ${name}${suggestion(name, names)}`, { hint: `columns: ${names.join(',')}` })
  })
}

function draw<Row>(column: Column<Row>, rows: readonly Row[], options: TableOptions): Drawn {
  const header = column.name.toUpperCase()
  const cells = rows.map((row) => plain(options.style, column.value(row)))
  const headerWidth = options.noHeaders ? 0 : header.length
  const width = Math.max(headerWidth, ...cells.map(visibleWidth))
  return { header, cells, right: column.align === 'right', width, priority: column.priority ?? 0 }
}

/** Columns by their priority, each while there is room: one that is too wide does not keep narrower ones out. */
function fit(drawn: readonly Drawn[], width: number): readonly Drawn[] {
  const kept = new Set(drawn.filter(({ priority }) => priority === 0))
  let room = width + GAP - [...kept].reduce((sum, column) => sum + column.width + GAP, 0)
  for (const column of drawn.filter(({ priority }) => priority > 0).sort((a, b) => a.priority - b.priority)) {
    if (column.width + GAP > room) continue
    kept.add(column)
    room -= column.width + GAP
  }
  return drawn.filter((column) => kept.has(column))
}

function withSpaces(columns: readonly Drawn[], rowCount: number, options: TableOptions): string {
  const lines: string[] = []
  const line = (cellOf: (column: Drawn) => string) =>
    columns
      .map((column) => pad(cellOf(column), column.width, column.right))
      .join(' '.repeat(GAP))
      .trimEnd()
  if (!options.noHeaders) lines.push(line((column) => column.header))
  for (let row = 0; row < rowCount; row++) lines.push(line((column) => column.cells[row] as string))
  return lines.join('\n')
}

function pad(text: string, width: number, right: boolean): string {
  const fill = ' '.repeat(Math.max(0, width - visibleWidth(text)))
  return right ? fill + text : text + fill
}

type TableLibrary = new (options: object) => { push(row: readonly string[]): void; toString(): string }

const NO_BORDER = Object.fromEntries(
  [
    'top',
    'top-mid',
    'top-left',
    'top-right',
    'bottom',
    'bottom-mid',
    'bottom-left',
    'bottom-right',
    'left',
    'left-mid',
    'mid',
    'mid-mid',
    'right',
    'right-mid',
  ].map((part) => [part, '']),
)

function withLibrary(columns: readonly Drawn[], rowCount: number, options: TableOptions): string {
  const Table = createRequire(import.meta.url)('cli-table3') as TableLibrary
  const table = new Table({
    ...(options.noHeaders ? {} : { head: columns.map((column) => paint(options.style, 'dim', column.header)) }),
    colAligns: columns.map((column) => (column.right ? 'right' : 'left')),
    chars: { ...NO_BORDER, middle: ' '.repeat(GAP) },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  })
  for (let row = 0; row < rowCount; row++) table.push(columns.map((column) => column.cells[row] as string))
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
}
