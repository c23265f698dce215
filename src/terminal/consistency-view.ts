import * as format from './format.js'
import type { Output } from './output.js'

interface ConsistencyPicture {
  readonly index: number
  readonly equal: number
  readonly different: number
  readonly unknown: number
  readonly members: readonly {
    readonly id: string
    readonly verdict: 'equal' | 'different' | 'unknown'
    readonly sha256: string | null
    readonly keys: number | null
    readonly reason: string | null
  }[]
}

const WORDS = { equal: ['equal', 'green'], different: ['DIFFERENT', 'red'], unknown: ['UNKNOWN', 'yellow'] } as const
/** Enough of a hash to tell two apart by eye. */
const SHOWN = 12

export function printConsistency(out: Output, report: ConsistencyPicture): void {
  const { index, equal, different, unknown, members } = report
  const parts = [
    `${equal}/${members.length} equal`,
    ...(different > 0 ? [`${different} different`] : []),
    ...(unknown > 0 ? [`${unknown} unknown`] : []),
  ]
  const sign = different > 0 ? 'failed' : unknown > 0 ? 'warning' : 'ok'
  const hue = different > 0 ? 'red' : unknown > 0 ? 'yellow' : 'green'
  out.line(`${out.paint(hue, out.symbol(sign))} index ${format.count(index)}  ${parts.join(' · ')}`)
  const wide = (hash: string | null, all: boolean) => (hash === null ? format.UNKNOWN : all ? hash : `${hash.slice(0, SHOWN)}…`)
  out.table(
    [
      { name: 'node', value: (row) => row.id },
      { name: 'state', value: (row) => out.paint(WORDS[row.verdict][1], WORDS[row.verdict][0]) },
      { name: 'hash', value: (row) => wide(row.sha256, false) },
      { name: 'sha256', value: (row) => wide(row.sha256, true), wide: true },
      { name: 'keys', value: (row) => format.count(row.keys), align: 'right', priority: 1 },
      ...(unknown > 0 ? [{ name: 'reason', value: (row: (typeof members)[number]) => row.reason ?? '', priority: 2 }] : []),
    ],
    members,
  )
}
