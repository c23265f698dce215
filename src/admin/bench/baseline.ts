import { readFileSync } from 'node:fs'
import { CliError } from '../../terminal/errors.js'
import type { BenchReport, MeasuredWith } from './report.js'

/** A result that was kept by `--json`. */
export interface Baseline {
  readonly file: string
  readonly results: BenchReport['results']
  readonly measured: MeasuredWith
}

/** Reads it; throws E_USAGE with what is wrong with the file. */
export function readBaseline(file: string): Baseline {
  const refuse = (why: string): never => {
    throw new CliError('E_USAGE', `--compare: ${file} ${why}`, { hint: `Make one:  raftctl bench put --json > ${file}` })
  }
  let document: { schema?: unknown; ok?: unknown; error?: { code?: unknown }; data?: Partial<BenchReport> }
  try {
    document = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    return refuse((error as NodeJS.ErrnoException).code === 'ENOENT' ? 'does not exist' : `cannot be read: ${(error as Error).message}`)
  }
  const { results, measured } = document?.data ?? {}
  if (document?.schema !== 'raftctl.bench/1' || !Array.isArray(results) || results.length === 0 || typeof measured !== 'object')
    return refuse('holds no result of a bench')
  // One that was slower than was asked for has all its figures.
  if (document.ok !== true && document.error?.code !== 'E_UNHEALTHY') return refuse(`is of a run that failed (${document.error?.code})`)
  return { file, results, measured: measured as MeasuredWith }
}

/** Figures of different work are not compared: throws E_USAGE with what differs. */
export function checkComparable(baseline: Baseline, measured: MeasuredWith): void {
  const differs = (Object.keys(measured) as (keyof MeasuredWith)[]).find((name) => measured[name] !== baseline.measured[name])
  if (differs === undefined) return
  const { [differs]: before } = baseline.measured
  throw new CliError(
    'E_USAGE',
    `--compare: ${differs} was ${before ?? 'nothing'} in ${baseline.file} and is ${measured[differs] ?? 'nothing'} now`,
    {
      hint: 'Compare with a result of the same work.',
    },
  )
}
