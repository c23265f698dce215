import * as format from './format.js'
import { printFailures, printLimits, votersOf } from './load-view.js'
import type { Output } from './output.js'

interface PerfPicture {
  readonly load: string
  readonly rate: number
  readonly clients: number
  readonly connections: number
  readonly valueBytes: number
  readonly durationMs: number
  readonly elapsedMs: number
  readonly endedEarly: boolean
  readonly verdict: Verdict
  readonly checks: readonly Check[]
  readonly writes: number
  readonly notSent: number
  readonly failures: readonly { readonly code: string; readonly count: number; readonly message: string }[]
  readonly longestGapMs: number
  readonly clientCpu: number
  readonly voters: number | null
  readonly reachableVoters: number
  readonly keys: { readonly prefix: string; readonly removed: number | null; readonly left: number | null }
}

type Verdict = 'pass' | 'fail' | 'unknown'

interface Check {
  readonly check: string
  readonly verdict: Verdict
  readonly measured: number | null
  readonly limit: number
  readonly unit: 'percent' | 'ms' | 'count'
  readonly bound: 'at-least' | 'at-most'
  readonly flag: string
}

const WORDS = {
  pass: ['PASS', 'green', 'ok'],
  fail: ['FAIL', 'red', 'failed'],
  unknown: ['UNKNOWN', 'yellow', 'warning'],
} as const

export function printPerfCheck(out: Output, report: PerfPicture): void {
  const { load, rate, writes, elapsedMs, durationMs, endedEarly, verdict, checks } = report
  const [word, hue, sign] = WORDS[verdict]
  const lasted = endedEarly ? `${format.duration(elapsedMs)} of ${format.duration(durationMs)}, ended early` : format.duration(elapsedMs)
  out.line(
    `${out.paint(hue, `${out.symbol(sign)} ${word}`)}  load ${load}, ${format.count(rate)} writes/s: ${format.many(writes, 'write')} in ${lasted}`,
  )
  out.table(
    [
      { name: 'verdict', value: (row) => out.paint(WORDS[row.verdict][1], WORDS[row.verdict][0]) },
      { name: 'check', value: (row) => row.check.replace('-', ' ') },
      { name: 'measured', value: measuredOf, align: 'right' },
      { name: 'limit', value: (row) => `${sideOf(out, row)} ${figure(row.unit, row.limit)}`, align: 'right' },
      { name: 'flag', value: (row) => row.flag, priority: 1 },
    ],
    checks,
  )
  printFailures(out, report.failures)
  printLimits(out, report)
  out.line(around(out, report))
  out.line(keysAfter(report.keys))
}

function sideOf(out: Output, { bound }: Check): string {
  if (bound === 'at-least') return out.style.unicode ? '≥' : '>='
  return out.style.unicode ? '≤' : '<='
}

function measuredOf({ verdict, measured, limit, unit }: Check): string {
  if (verdict === 'fail' && unit === 'ms' && measured !== null) return `${format.millisecondsBeside(measured, limit)} ms`
  return figure(unit, measured)
}

function figure(unit: Check['unit'], value: number | null): string {
  if (value === null) return format.UNKNOWN
  return { percent: `${value}%`, ms: `${format.milliseconds(value)} ms`, count: format.count(value) }[unit]
}

function around(out: Output, { clients, connections, valueBytes, voters, reachableVoters, longestGapMs }: PerfPicture): string {
  const load = `${format.many(clients, 'client')} on ${format.many(connections, 'connection')} · values of ${format.bytes(valueBytes)}`
  return [load, ...votersOf(out, voters, reachableVoters), `longest gap ${format.duration(longestGapMs)}`].join(' · ')
}

function keysAfter({ removed, left }: PerfPicture['keys']): string {
  const gone = removed === null ? 'the removal of the keys was not answered' : `${format.many(removed, 'key')} removed`
  return `${gone}, ${left === null ? 'whether any are left is not known' : `${format.count(left)} left`}`
}
