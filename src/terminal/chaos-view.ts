import type { Hue } from './colour.js'
import { count, duration, many } from './format.js'
import type { Output } from './output.js'

/** A line of the story as far as it is printed. */
export interface StoryPicture {
  readonly atMs: number
  readonly kind: 'fault' | 'heal' | 'event'
  readonly text: string
}

/** A report as far as it is printed. */
export interface ChaosPicture {
  readonly verdict: 'held' | 'broken' | 'unproved'
  readonly broken: readonly string[]
  readonly scenario: string | null
  readonly seed: number | null
  readonly faults: readonly { readonly text: string; readonly startedAtMs: number; readonly endedAtMs: number }[]
  readonly writes: {
    readonly acknowledged: number
    readonly refused: number
    readonly unknown: number
    readonly longestPauseMs: number
    readonly verified: number
    readonly lost: readonly { readonly key: string; readonly acknowledged: string; readonly found: string | null }[]
    readonly refusedButThere: readonly string[]
  } | null
  readonly history: {
    readonly verdict: 'linearizable' | 'violation' | 'undecided'
    readonly operations: number
    readonly problem: string | null
  } | null
  readonly convergence: { readonly converged: boolean; readonly afterMs: number; readonly leader: string | null }
  readonly agreement: { readonly equal: number; readonly different: number; readonly unknown: number } | null
}

/** A fault that is listed. */
export interface ListedPicture {
  readonly node: string
  readonly id: string
  readonly text: string
  readonly leftMs: number
}

const HUES: Record<StoryPicture['kind'], Hue | null> = { fault: 'yellow', heal: 'green', event: null }
/** A person wants to see some; a program gets all of them. */
const LOST_SHOWN = 20

/** `1.3 s   n2 elected after 1.3 s (term 4)` */
export function storyText({ atMs, kind, text }: StoryPicture, paint: (hue: Hue, text: string) => string): string {
  const hue = HUES[kind]
  return `${duration(atMs).padEnd(7)} ${hue === null ? text : paint(hue, text)}`
}

export function printChaos(out: Output, report: ChaosPicture): void {
  const { writes } = report
  const symbol = report.verdict === 'held' ? 'ok' : report.verdict === 'broken' ? 'failed' : 'warning'
  out.prose(`${out.symbol(symbol)} ${[titleOf(report), ...proofOf(report)].join(' · ')}`)
  if (report.verdict === 'unproved') out.note('nothing was written meanwhile (--writers 0), so nothing is proved')
  for (const text of report.broken) out.prose(`  ${out.paint('red', text)}`, 4)
  if (writes === null) return
  for (const { key, acknowledged, found } of writes.lost.slice(0, LOST_SHOWN))
    out.line(`  lost  ${key}  acknowledged ${JSON.stringify(acknowledged)}, ${found === null ? 'gone' : `now ${JSON.stringify(found)}`}`)
  if (writes.lost.length > LOST_SHOWN) out.note(`and ${writes.lost.length - LOST_SHOWN} more: --json lists all of them`)
  for (const key of writes.refusedButThere.slice(0, LOST_SHOWN)) out.line(`  there  ${key}  although its write was refused`)
}

function titleOf({ scenario, seed, faults }: ChaosPicture): string {
  if (scenario !== null) return `${scenario}${seed === null ? '' : ` (seed ${seed})`}: ${many(faults.length, 'fault')}`
  const [first] = faults
  if (first === undefined) return 'nothing was broken'
  const lasted = `${first.text} for ${duration(first.endedAtMs - first.startedAtMs)}`
  return faults.length === 1 ? lasted : `${many(faults.length, 'fault')} (${[...new Set(faults.map(({ text }) => text))].join(', ')})`
}

function proofOf({ writes, convergence, history, agreement }: ChaosPicture): string[] {
  const whole = convergence.converged ? `whole again after ${duration(convergence.afterMs)}` : 'not whole again'
  if (writes === null) return [whole]
  const { lost, verified, longestPauseMs } = writes
  return [
    `${count(lost.length)} acknowledged writes lost (verified ${count(verified)})`,
    `writes paused for ${duration(longestPauseMs)} at most`,
    ...(history === null || history.verdict === 'violation'
      ? []
      : [
          `${history.verdict === 'linearizable' ? 'linearizable' : 'linearizability undecided'} (${many(history.operations, 'operation')})`,
        ]),
    ...(agreement === null ? [] : [`${agreement.equal}/${agreement.equal + agreement.different + agreement.unknown} members equal`]),
    whole,
  ]
}

export function printFaults(out: Output, faults: readonly ListedPicture[]): void {
  if (faults.length === 0) return out.line('nothing is broken')
  out.table(
    [
      { name: 'node', value: (row) => row.node },
      { name: 'fault', value: (row) => row.text },
      { name: 'left', value: (row) => (row.leftMs > 0 ? duration(row.leftMs) : 'until healed'), align: 'right' },
      { name: 'id', value: (row) => row.id, wide: true },
    ],
    faults,
  )
}

export function printHealing(
  out: Output,
  clusters: readonly { readonly cluster: string; readonly healed: readonly ListedPicture[]; readonly unasked: readonly string[] }[],
): void {
  if (clusters.length === 0) return out.line('no local cluster runs')
  for (const { cluster, healed, unasked } of clusters) {
    if (healed.length === 0) out.line(`${cluster}: nothing was broken`)
    for (const { node, text } of healed)
      if (!unasked.includes(node)) out.line(`${out.symbol('ok')} ${cluster}: ${node} is healed (${text})`)
  }
}
