// What a benchmark tells: a table for a person, and all of it as JSON with what it was measured on.
import { writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release } from 'node:os'
import Table from 'cli-table3'

const PLAIN = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
}

export class Report {
  rows = []

  constructor(title, settings) {
    this.title = title
    this.settings = settings
    console.log(
      `${title}  ${Object.entries(settings)
        .map(([name, value]) => `${name}=${value}`)
        .join(' ')}`,
    )
  }

  /** `cells` by column, in order; numbers are written short. */
  row(cells) {
    this.rows.push(cells)
  }

  /** Prints the table, and writes the JSON where `file` is given, with what else is to be kept. */
  print(file, more = {}) {
    const columns = [...new Set(this.rows.flatMap((row) => Object.keys(row)))]
    const table = new Table({
      head: columns,
      chars: PLAIN,
      style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
      colAligns: columns.map((name) => (this.rows.every((row) => typeof (row[name] ?? 0) === 'number') ? 'right' : 'left')),
    })
    for (const row of this.rows) table.push(columns.map((name) => short(row[name])))
    console.log(table.toString())
    const { title, settings, rows } = this
    const machine = {
      node: process.version,
      cpu: cpus()[0]?.model ?? '',
      cpus: availableParallelism(),
      system: `${process.platform} ${release()}`,
    }
    if (file !== undefined)
      writeFileSync(file, `${JSON.stringify({ title, at: new Date().toISOString(), machine, settings, rows, ...more }, null, 2)}\n`)
  }
}

export function ratio(one, other) {
  return one === null || other === null || other === 0 ? null : Math.round((one / other) * 100) / 100
}

function short(value) {
  if (value === null || value === undefined) return '-'
  if (typeof value !== 'number') return String(value)
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US')
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
