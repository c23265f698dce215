import type { Connection } from '../terminal/connection.js'
import type { CliError } from '../terminal/errors.js'
import type { BenchWatch, KeysAfter } from './bench/bench.js'
import { type Measured, measureLoad } from './bench/measure.js'
import type { Failures } from './bench/meter.js'
import { PERF_LOADS, type PerfLoadName } from './perf-loads.js'
import { judgePerf, overall, type PerfCheck, type PerfFigures, type PerfThresholds, type PerfVerdict, perfError } from './perf-verdicts.js'

/** `data` of `check perf --json`. */
export interface PerfReport {
  readonly group: string
  readonly load: PerfLoadName
  /** Writes a second that were asked for. */
  readonly rate: number
  readonly clients: number
  readonly connections: number
  readonly valueBytes: number
  readonly durationMs: number
  /** How long it was measured: shorter when it was ended early. */
  readonly elapsedMs: number
  readonly endedEarly: boolean
  readonly verdict: PerfVerdict
  readonly checks: readonly PerfCheck[]
  /** That were answered. */
  readonly writes: number
  /** That were due and never sent, since all clients were busy with others. */
  readonly notSent: number
  readonly p50Ms: number | null
  readonly failures: readonly Failures[]
  readonly longestGapMs: number
  /** Of one core, that this client used: near 1 it is the client that was measured. */
  readonly clientCpu: number
  readonly voters: number | null
  /** Before or after it, when fewest were. */
  readonly reachableVoters: number
  readonly keys: KeysAfter & { readonly prefix: string }
}

export interface PerfReading {
  readonly report: PerfReport
  readonly clusterId: string | null
  /** E_UNHEALTHY: something fails. E_PARTIAL: nothing does, and not all is known or keys are left. Null: all passes. */
  readonly error: CliError | null
}

export interface PerfOptions {
  readonly load: PerfLoadName
  readonly durationMs: number
  /** What the keys begin with. */
  readonly prefix: string
  readonly thresholds: PerfThresholds
}

const VALUE_BYTES = 128
/** That the writes are spread over. */
const KEYS = 10_000
const KEY_BYTES = 32
/** Connections are made and code is warm before anything is judged. */
const WARMUP_MS = 1000

/** Puts a load on the cluster that is due at a rate, removes what it wrote, and holds what was seen against the thresholds. */
export async function checkPerf(
  connection: Connection,
  { load, durationMs, prefix, thresholds }: PerfOptions,
  watch: BenchWatch,
): Promise<PerfReading> {
  const { rate, clients, connections } = PERF_LOADS[load]
  const measured = await measureLoad(
    connection,
    {
      ...{ workload: 'put', durationMs, operations: null, rate, clients, connections, spread: false, keys: KEYS, keyBytes: KEY_BYTES },
      ...{ valueBytes: VALUE_BYTES, distribution: 'uniform', read: 'linearizable', readShare: 0, warmupMs: WARMUP_MS, prefix, keep: false },
    },
    watch,
  )
  const { meter, keys } = measured
  const checks = judgePerf(figuresOf(measured, rate), thresholds)
  const report: PerfReport = {
    ...{ group: measured.group, load, rate, clients, connections, valueBytes: VALUE_BYTES, durationMs },
    elapsedMs: Math.round(meter.elapsedMs),
    endedEarly: watch.signal.aborted,
    verdict: overall(checks),
    checks,
    writes: meter.count,
    notSent: measured.notSent,
    p50Ms: meter.rows()[0]?.p50Ms ?? null,
    failures: meter.failures,
    longestGapMs: Math.round(meter.gapMs),
    clientCpu: measured.clientCpu,
    voters: measured.voters,
    reachableVoters: measured.reachableVoters,
    keys: { prefix, ...keys },
  }
  return { report, clusterId: measured.clusterId, error: perfError(checks, report.keys) }
}

function figuresOf({ meter, elections }: Pick<Measured, 'meter' | 'elections'>, rate: number): PerfFigures {
  const [row] = meter.rows()
  const due = (rate * meter.elapsedMs) / 1000
  return {
    throughputPercent: due === 0 ? null : Math.min(100, Math.round((meter.count / due) * 1000) / 10),
    p99Ms: row?.p99Ms ?? null,
    slowestMs: row?.maxMs ?? null,
    failed: meter.errors,
    leaderChanges: elections,
  }
}
