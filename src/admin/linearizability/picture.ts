import type { CheckResult, KeyProblem } from './check.js'
import { explain } from './explanation.js'
import type { Model } from './model.js'
import { moment, type Operation } from './operation.js'

/** How much of the run before the trouble is shown. */
const PLACED_SHOWN = 12
const STUCK_SHOWN = 20

/** One line: what was judged and how it came out. */
export function verdictLine(result: CheckResult<unknown, unknown>): string {
  const { verdict, keys, operations, unknown, steps } = result
  const answer = { linearizable: 'yes', violation: 'no', undecided: 'undecided' }[verdict]
  return `linearizable=${answer} operations=${operations} keys=${keys} unknown=${unknown} steps=${steps}`
}

/** The trouble with a key for a person: how far an order goes, and what cannot come next. */
export function describeProblem<S, C, A>(problem: KeyProblem<C, A>, model: Model<S, C, A>): string {
  const { key, operations, longest, undecided } = problem
  if (undecided === 'too many operations') return `key ${key} is not judged: it has ${operations.length} operations`
  const { placed, stuck } = explain(problem, model)
  const start = Math.max(0, placed.length - PLACED_SHOWN)
  const lines = [
    undecided === null
      ? `key ${key} is not linearizable: of its ${operations.length} operations at most ${longest.length} can follow one another.`
      : `key ${key} is undecided, ${undecided}: of its ${operations.length} operations ${longest.length} were put in an order.`,
    start > 0 ? `After ${start} others:` : 'From the beginning:',
    ...table(
      placed
        .slice(start)
        .map(({ operation, after }, i) => [
          String(start + i + 1),
          operation.client,
          model.describe(operation.call, operation.answer),
          span(operation),
          `the key holds ${model.describeState(after)}`,
        ]),
    ),
    'Then none of these can come next:',
    ...table(
      stuck
        .slice(0, STUCK_SHOWN)
        .map(({ operation, why }) => [operation.client, model.describe(operation.call, operation.answer), span(operation), why]),
    ),
    ...(stuck.length > STUCK_SHOWN ? [`  and ${stuck.length - STUCK_SHOWN} more`] : []),
  ]
  return lines.join('\n')
}

export function span({ calledAt, answeredAt }: Operation<unknown, unknown>): string {
  return `${moment(calledAt)} … ${answeredAt === Infinity ? 'no answer' : moment(answeredAt)}`
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}`.trimEnd())
}
