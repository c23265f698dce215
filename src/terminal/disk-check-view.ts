import * as format from './format.js'
import type { Output } from './output.js'

interface DiskPicture {
  readonly samples: number
  readonly fast: number
  readonly slow: number
  readonly unknown: number
  readonly members: readonly {
    readonly id: string
    readonly verdict: 'fast' | 'slow' | 'unknown'
    readonly p50Ms: number | null
    readonly p99Ms: number | null
    readonly limitMs: number | null
    readonly freeBytes: number | null
    readonly totalBytes: number | null
    readonly reason: string | null
  }[]
}

const WORDS = { fast: ['fast', 'green'], slow: ['SLOW', 'red'], unknown: ['UNKNOWN', 'yellow'] } as const

export function printDiskCheck(out: Output, { samples, fast, slow, unknown, members }: DiskPicture): void {
  const parts = [`${fast}/${members.length} fast`, ...(slow > 0 ? [`${slow} slow`] : []), ...(unknown > 0 ? [`${unknown} unknown`] : [])]
  const sign = slow > 0 ? 'failed' : unknown > 0 ? 'warning' : 'ok'
  const hue = slow > 0 ? 'red' : unknown > 0 ? 'yellow' : 'green'
  out.line(`${out.paint(hue, out.symbol(sign))} ${format.many(samples, 'durable write')} of 4 KiB at each member  ${parts.join(' · ')}`)
  const ms = (value: number | null) => (value === null ? format.UNKNOWN : `${format.milliseconds(value)} ms`)
  const bytes = (value: number | null) => (value === null ? format.UNKNOWN : format.bytes(value))
  out.table(
    [
      { name: 'node', value: (row) => row.id },
      { name: 'disk', value: (row) => out.paint(WORDS[row.verdict][1], WORDS[row.verdict][0]) },
      { name: 'p50', value: (row) => ms(row.p50Ms), align: 'right' },
      { name: 'p99', value: (row) => ms(row.p99Ms), align: 'right' },
      { name: 'limit', value: (row) => ms(row.limitMs), align: 'right', priority: 1 },
      { name: 'free', value: (row) => bytes(row.freeBytes), align: 'right', priority: 1 },
      { name: 'size', value: (row) => bytes(row.totalBytes), align: 'right', wide: true },
      ...(unknown > 0 ? [{ name: 'reason', value: (row: (typeof members)[number]) => row.reason ?? '', priority: 2 }] : []),
    ],
    members,
  )
}
