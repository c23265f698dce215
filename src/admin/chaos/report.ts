import type { CliError } from '../../terminal/errors.js'
import type { StoryLine } from './story.js'
import type { Agreement, Convergence, HistoryVerdict, ReadBack } from './verification.js'
import type { WriteTally } from './writer.js'

export interface FaultReport {
  readonly kind: string
  readonly text: string
  /** Since the run began. */
  readonly startedAtMs: number
  readonly endedAtMs: number
}

/** `data` of every command that breaks something, with --json. */
export interface ChaosReport {
  /** held: everything that was promised. broken: something was not. unproved: nothing was written, or it could not be read back. */
  readonly verdict: 'held' | 'broken' | 'unproved'
  /** What was not held; empty where everything was. */
  readonly broken: readonly string[]
  readonly scenario: string | null
  readonly seed: number | null
  readonly faults: readonly FaultReport[]
  readonly story: readonly StoryLine[]
  /** Null: nothing was written. */
  readonly writes: (WriteTally & ReadBack) | null
  /** Of the keys that the writers share; null: nothing was written. */
  readonly history: HistoryVerdict | null
  readonly convergence: Convergence
  /** Null: the members could not be compared. */
  readonly agreement: Agreement | null
}

export interface Findings extends Omit<ChaosReport, 'verdict' | 'broken'> {
  /** A term with two leaders; null: none. */
  readonly doubleLeaders: string | null
  /** Why the writes could not be read back; null: they were. */
  readonly problem: string | null
  /** E_DIVERGED; null: the members agree as far as they could be asked. */
  readonly diverged: CliError | null
}

/** Judges what was found. `error` only where another exit code than 3 says it better. */
export function reportOf(findings: Findings): { readonly report: ChaosReport; readonly error: CliError | null } {
  const { doubleLeaders, problem, diverged, ...rest } = findings
  const broken = brokenIn(findings)
  const verdict = broken.length > 0 ? 'broken' : rest.writes === null ? 'unproved' : 'held'
  return { report: { verdict, broken, ...rest }, error: diverged }
}

function brokenIn({ writes, history, convergence, doubleLeaders, problem, diverged }: Findings): string[] {
  const { converged, afterMs, missing } = convergence
  return [
    ...(writes !== null && writes.lost.length > 0 ? [`${writes.lost.length} acknowledged writes are lost`] : []),
    ...(writes !== null && writes.refusedButThere.length > 0 ? [`${writes.refusedButThere.length} refused writes were applied`] : []),
    ...(history?.verdict === 'violation' ? [`not linearizable: ${history.problem}`] : []),
    ...(doubleLeaders === null ? [] : [doubleLeaders]),
    ...(diverged === null ? [] : [diverged.message]),
    ...(converged ? [] : [`the cluster was not whole again ${Math.round(afterMs / 1000)} s after it was healed: ${missing}`]),
    ...(problem === null ? [] : [`the writes could not be read back: ${problem}`]),
  ]
}
