import { CliError } from '../terminal/errors.js'
import type { LogRange } from './entry-summary.js'

/** What a log holds, and how it is shown. */
export interface LogExtent {
  /** A member, or a directory. */
  readonly what: string
  readonly firstIndex: number
  /** One less than the first when it is empty. */
  readonly lastIndex: number
  /** Shows it, with a range behind. */
  readonly command: string
}

/** Why nothing of a range is there: it was cut off, or does not exist yet; null when some of it is. */
export function rangeProblem({ from, to }: LogRange, { what, firstIndex, lastIndex, command }: LogExtent): CliError | null {
  const there = lastIndex < firstIndex ? 'its log is empty' : `its log holds ${firstIndex} to ${lastIndex}`
  const details = { firstIndex, lastIndex }
  if (to !== null && to < firstIndex)
    return new CliError('E_COMPACTED', `entries up to ${to} are gone from ${what}: ${there}`, {
      details,
      hint: `${command} --from ${firstIndex}`,
    })
  if (from !== null && from > lastIndex)
    return new CliError('E_NO_ENTRY', `there is no entry ${from} in ${what} yet: ${there}`, { details, hint: `${command} --last 20` })
  return null
}

/** Where to begin. */
export function firstWanted({ from }: LogRange, first: number): number {
  return Math.max(from ?? first, first)
}
