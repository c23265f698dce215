import { CliError } from '../terminal/errors.js'

/**
 * `damage`: nothing that a crash leaves; a start refuses it, or would lose what was promised.
 * `torn`: the half-written end of the last write: a start cuts it, and nothing in it was acknowledged.
 * `warning`: worth knowing; a start goes on by itself.
 */
export type Severity = 'damage' | 'torn' | 'warning'

/** Something in a data directory that is not as it should be. */
export interface Finding {
  readonly severity: Severity
  /** What kind it is, in a word that stays: `bad-entry`, `missing-segment`, … */
  readonly kind: string
  /** Null in a directory of braft. */
  readonly group: string | null
  readonly file: string
  /** Byte in the file where it begins; null where it concerns the whole file. */
  readonly offset: number | null
  /** Index of the log entry; null where there is none. */
  readonly index: number | null
  readonly problem: string
  /** What follows from it. */
  readonly meaning: string
  /** What to type; null when nothing has to be done. */
  readonly command: string | null
}

/** ok, or the worst that was found; warnings leave it ok. */
export type Verdict = 'ok' | 'torn' | 'damaged'

export function verdictOf(findings: readonly Finding[]): Verdict {
  if (findings.some(({ severity }) => severity === 'damage')) return 'damaged'
  return findings.some(({ severity }) => severity === 'torn') ? 'torn' : 'ok'
}

/** What makes two findings of two looks the same. */
export function findingKey({ kind, file, offset, index }: Finding): string {
  return JSON.stringify([kind, file, offset, index])
}

/** E_CORRUPT when something is damaged; the rows stand beside it. */
export function damageError(directory: string, findings: readonly Finding[]): CliError | null {
  const damage = findings.filter(({ severity }) => severity === 'damage')
  const first = damage[0]
  if (!first) return null
  const where = [first.file, first.offset === null ? null : `offset ${first.offset}`, first.index === null ? null : `index ${first.index}`]
  const more = damage.length === 1 ? '' : ` (and ${damage.length - 1} more)`
  return new CliError(
    'E_CORRUPT',
    `${directory} is damaged: ${where.filter((part) => part !== null).join(', ')}: ${first.problem}${more}`,
    {
      hint: first.command === null ? '' : `fix:  ${first.command}`,
      details: { findings: damage.length },
    },
  )
}

/** What is worth a warning when nothing is damaged. */
export function tornWarning(directory: string, findings: readonly Finding[]): string[] {
  return findings
    .filter(({ severity }) => severity === 'torn')
    .map(
      ({ file, offset, index }) =>
        `${directory} ends in a torn tail: ${file}, offset ${offset}, index ${index}; a start cuts it, and nothing in it was acknowledged`,
    )
}
