import { CliError } from '../../terminal/errors.js'
import type { Failures, LatencyRow } from './meter.js'
import type { BenchOptions } from './options.js'
import type { AssertionRow, ComparisonRow } from './verdicts.js'

/** What a result depends on: only results of the same are compared. */
export type MeasuredWith = Pick<
  BenchOptions,
  'workload' | 'rate' | 'clients' | 'connections' | 'spread' | 'keys' | 'keyBytes' | 'valueBytes' | 'distribution' | 'read' | 'readShare'
>

/** `data` of `bench … --json`. */
export interface BenchReport {
  readonly group: string
  readonly measured: MeasuredWith
  readonly elapsedMs: number
  readonly operations: number
  readonly operationsPerSecond: number
  readonly results: readonly LatencyRow[]
  /** With a rate: operations that were due and never sent, since all clients were busy with others. */
  readonly notSent: number
  readonly errors: number
  readonly failures: readonly Failures[]
  /** By how much the term rose meanwhile; null when it could not be asked. */
  readonly elections: number | null
  /** The longest time without an answer. */
  readonly longestGapMs: number
  /** Of one core, that this client used: near 1 it is the client that was measured. */
  readonly clientCpu: number
  readonly environment: {
    readonly node: string
    readonly cpus: number
    readonly voters: number | null
    /** Before or after it, when fewest were. */
    readonly reachableVoters: number
  }
  /** What all keys begin with, and whether they are still there. */
  readonly prefix: string
  readonly kept: boolean
  /** How many were removed; null when that was not answered. */
  readonly removed: number | null
  readonly assertions: readonly AssertionRow[]
  readonly comparison: readonly ComparisonRow[]
}

/** What the figures say against what was asked of them, then whether the keys are where they should be; null when all is as demanded. */
export function verdictOf(
  { assertions, comparison, errors, operations, failures, kept, prefix }: BenchReport,
  keep: boolean,
): CliError | null {
  const missed = assertions.filter(({ holds }) => !holds)
  const worse = comparison.filter(({ verdict }) => verdict === 'worse')
  const parts = [
    ...missed.map(({ assertion, operation, value }) => `${operation}: ${assertion} does not hold (${value ?? 'no answer'})`),
    ...worse.map(({ operation, metric, before, now }) => `${operation} ${metric} was ${before} and is ${now}`),
  ]
  if (parts.length > 0)
    return new CliError('E_UNHEALTHY', parts.join(' · '), { hint: 'Run it again on a quiet machine before you believe it.' })
  const [first] = failures
  if (first !== undefined)
    return new CliError('E_PARTIAL', `${errors} of ${operations + errors} operations failed: ${first.code} ${first.message}`, {
      hint: 'Look at the members:  raftctl status',
    })
  if (keep || !kept) return null
  return new CliError('E_PARTIAL', 'the keys could not be removed', { hint: `Remove them:  raftctl kv del ${prefix} --prefix` })
}

export function measuredWith(options: BenchOptions): MeasuredWith {
  const { workload, rate, clients, connections, spread, keys, keyBytes, valueBytes, distribution, read, readShare } = options
  return { workload, rate, clients, connections, spread, keys, keyBytes, valueBytes, distribution, read, readShare }
}
