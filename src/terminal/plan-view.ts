import { visibleWidth as shown } from './colour.js'
import type { Impact } from './flags.js'
import type { Output } from './output.js'
import { wrap } from './wrap.js'

/** How much has to be said before a plan is executed: nothing, a yes, or the name of what is changed. */
export type ConfirmationLevel = 'mild' | 'moderate' | 'severe'

/** A plan as far as it is printed and confirmed. */
export interface PlanPicture {
  readonly id: string
  /** `member remove`: the command that made it. */
  readonly command: string
  /** `remove n3`. */
  readonly title: string
  readonly impact: Impact
  readonly level: ConfirmationLevel
  /** Null when endpoints were given instead. */
  readonly context: string | null
  readonly clusterId: string | null
  readonly before: VoterPicture | null
  readonly after: VoterPicture | null
  /** Lines that belong to no other part. */
  readonly facts: readonly string[]
  readonly gates: readonly GatePicture[]
  readonly warnings: readonly string[]
  readonly steps: readonly string[]
  /** A gate that does not hold is overridden. */
  readonly forced: boolean
  readonly reason: string | null
}

/** A set of voters and what it can bear. */
export interface VoterPicture {
  readonly voters: readonly { readonly id: string; readonly leader: boolean; readonly reachable: boolean; readonly note: string | null }[]
  readonly quorum: number
  readonly reachable: number
  readonly tolerates: number
}

export interface GatePicture {
  readonly gate: string
  readonly passed: boolean
  readonly message: string
}

const LABEL = 10
const GAP = '   '

/** The plan as a person reads it before agreeing; it breaks lines at the width of a terminal and never on a pipe. */
export function printPlan(out: Output, plan: PlanPicture): void {
  for (const line of planLines(plan, { width: out.style.isTty ? out.style.width : Number.POSITIVE_INFINITY, out })) out.line(line)
}

/** Exported for what prints a plan elsewhere than on stdout. */
export function planLines(plan: PlanPicture, { width, out }: { width: number; out: Pick<Output, 'paint' | 'symbol'> }): string[] {
  const headline = ['', `${out.paint('bold', 'Plan')}  ${plan.title}`, where(plan), `impact: ${plan.impact}`].filter((part) => part !== '')
  return [
    ...flow(headline, { width, indent: 0, hanging: 6 }),
    ...sides(plan, width),
    ...plan.facts.flatMap((fact) => wrap(`  ${fact}`, { width, hanging: 4 })),
    ...gates(plan, width, out),
    ...plan.warnings.flatMap((warning) => wrap(`  ${out.paint('yellow', '!')} ${warning}`, { width, hanging: 4 })),
    ...labelled(
      'steps',
      plan.steps.map((step, at) => `${at + 1} ${step}`),
      width,
    ),
    ...(plan.reason === null ? [] : labelled('reason', [plan.reason], width)),
  ]
}

function where({ context, clusterId }: PlanPicture): string {
  const cluster = clusterId === null ? null : `cluster ${shortId(clusterId)}`
  if (context === null) return cluster ?? ''
  return cluster === null ? `context ${context}` : `context ${context} (${cluster})`
}

/** `7f3a…c1`: enough of a cluster id to recognise it. */
export function shortId(clusterId: string): string {
  return clusterId.length <= 8 ? clusterId : `${clusterId.slice(0, 4)}…${clusterId.slice(-2)}`
}

/** Before and after stand under each other, column by column, where the width allows it. */
function sides(plan: PlanPicture, width: number): string[] {
  const rows = [
    ...(plan.before === null ? [] : [{ label: 'before', cells: cellsOf(plan.before) }]),
    ...(plan.after === null ? [] : [{ label: 'after', cells: cellsOf(plan.after) }]),
  ]
  const columns = rows[0]?.cells.map((_, at) => Math.max(...rows.map((row) => row.cells[at]!.length))) ?? []
  const aligned = rows.map(({ label, cells }) =>
    `  ${label.padEnd(LABEL - 2)}${cells.map((cell, at) => cell.padEnd(columns[at]!)).join(GAP)}`.trimEnd(),
  )
  if (aligned.every((line) => line.length <= width)) return aligned
  return rows.flatMap(({ label, cells }) => labelled(label, cells, width))
}

function cellsOf(side: VoterPicture): string[] {
  const { voters, quorum, reachable, tolerates } = side
  const down = voters.filter((voter) => !voter.reachable).map((voter) => (voter.note === null ? voter.id : `${voter.id} ${voter.note}`))
  return [
    `${voters.length} ${voters.length === 1 ? 'voter' : 'voters'}`,
    voters.map((voter) => `${voter.id}${voter.leader ? '*' : ''}`).join(' '),
    `quorum ${quorum}`,
    `reachable ${reachable}${down.length === 0 ? '' : ` (${down.join(', ')})`}`,
    reachable < quorum ? 'writes stop' : `tolerates ${tolerates} more ${tolerates === 1 ? 'failure' : 'failures'}`,
  ]
}

function gates(plan: PlanPicture, width: number, out: Pick<Output, 'paint' | 'symbol'>): string[] {
  const passed = plan.gates.filter((gate) => gate.passed).map((gate) => `${out.paint('green', out.symbol('ok'))} ${gate.message}`)
  const failed = plan.gates.filter((gate) => !gate.passed)
  return [
    ...(passed.length === 0 ? [] : flow(passed, { width, indent: 2, hanging: 4 })),
    ...failed.flatMap((gate) => wrap(`  ${out.paint('red', out.symbol('failed'))} ${gate.message}`, { width, hanging: 4 })),
  ]
}

function labelled(label: string, parts: readonly string[], width: number): string[] {
  if (parts.length === 0) return []
  const [first, ...rest] = flow(parts, { width, indent: LABEL, hanging: LABEL })
  return [`  ${label}`.padEnd(LABEL) + first!.slice(LABEL), ...rest]
}

interface FlowOptions {
  readonly width: number
  readonly indent: number
  readonly hanging: number
}

/** Puts `parts` one after the other with a gap, and on a new line when the next would not fit; a part too long is broken between words. */
function flow(parts: readonly string[], { width, indent, hanging }: FlowOptions): string[] {
  const lines: string[] = []
  let line = ''
  for (const part of parts) {
    const longer = line === '' ? `${' '.repeat(lines.length === 0 ? indent : hanging)}${part}` : `${line}${GAP}${part}`
    if (line === '' || shown(longer) <= width) {
      line = longer
      continue
    }
    lines.push(line)
    line = `${' '.repeat(hanging)}${part}`
  }
  if (line !== '') lines.push(line)
  return lines.flatMap((text) => wrap(text, { width, hanging }))
}
