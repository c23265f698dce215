import { Flags } from '@oclif/core'
import type { BenchPicture, HistogramPicture } from './bench-view.js'
import type { ClusterCommand } from './cluster-command.js'
import type { Connection } from './connection.js'
import type { CliError } from './errors.js'
import { bytesFlag, durationFlagOf, numberFlag, wholeNumberFlag } from './flags.js'
import { LoadCommand, type LoadWatch, ownPrefix } from './load-command.js'
import type { Result } from './result.js'

const DURATION_MS = 10_000
const WARMUP_MS = 1000

/** Of every workload. */
export const loadFlags = {
  duration: durationFlagOf({ description: 'how long it is measured (default 10s)' }),
  ops: wholeNumberFlag({ min: 1, description: 'how many operations are measured, instead of how long' }),
  rate: numberFlag({
    least: 0,
    most: 10_000_000,
    helpValue: '<n/s>',
    description: 'operations a second that are due whatever the answers do; each is timed from when it was due',
  }),
  clients: wholeNumberFlag({ min: 1, default: 64, description: 'operations in flight at most (default 64)' }),
  conns: wholeNumberFlag({ min: 1, default: 4, description: 'connections that they share (default 4)' }),
  spread: Flags.boolean({ description: 'connect to all members, not to the leader alone' }),
  'key-size': bytesFlag({ default: 32, description: 'bytes of a key (default 32B)' }),
  'value-size': bytesFlag({ default: 128, description: 'bytes of a value (default 128B)' }),
  prefix: Flags.string({ helpValue: '<text>', description: 'what every key begins with (default: one that nobody has)' }),
  yes: Flags.boolean({ char: 'y', description: 'do not ask; only a production context does' }),
  keep: Flags.boolean({ description: 'leave the keys there' }),
  assert: Flags.string({
    multiple: true,
    helpValue: '<what>',
    description: "exit 3 unless it holds: 'p99<20ms', 'ops>5000', 'get.p99.9<50ms'; may be repeated",
  }),
  compare: Flags.string({ helpValue: '<file>', description: 'exit 3 if ops, p50 or p99 are worse than in this result of --json' }),
  tolerance: numberFlag({
    least: 0,
    most: 100,
    default: 10,
    helpValue: '<percent>',
    description: 'how much worse is still the same for --compare (default 10)',
  }),
  histogram: Flags.boolean({ description: 'draw how the latencies are spread' }),
  'hdr-out': Flags.string({ helpValue: '<file>', description: 'write all percentiles, as plotters of HdrHistogram read them' }),
}

/** Of workloads that draw their keys. */
export const drawFlags = {
  keys: wholeNumberFlag({ min: 1, default: 10_000, description: 'how many keys there are (default 10000)' }),
  dist: Flags.option({ options: ['uniform', 'zipf'] as const, default: 'uniform', helpValue: 'uniform|zipf' })({
    description: 'whether all keys are as popular (default), or few are far more so',
  }),
  warmup: durationFlagOf({ description: 'how long the same load runs before it is measured (default 1s)' }),
}

export const readFlags = {
  read: Flags.option({
    options: ['linearizable', 'lease', 'stale'] as const,
    default: 'linearizable',
    helpValue: 'linearizable|lease|stale',
  })({ description: 'how fresh a read is (default linearizable); see `kv get`' }),
}

type FlagValues = {
  readonly duration?: number | undefined
  readonly ops?: number | undefined
  readonly rate?: number | undefined
  readonly clients: number
  readonly conns: number
  readonly spread?: boolean
  readonly 'key-size': number
  readonly 'value-size': number
  readonly prefix?: string | undefined
  readonly yes?: boolean
  readonly keep?: boolean
  readonly assert?: string[] | undefined
  readonly compare?: string | undefined
  readonly tolerance: number
  readonly histogram?: boolean
  readonly 'hdr-out'?: string | undefined
  readonly keys: number
  readonly dist?: 'uniform' | 'zipf'
  readonly warmup?: number | undefined
  readonly read?: 'linearizable' | 'lease' | 'stale'
}

function optionsOf(flags: FlagValues) {
  const { duration, ops = null, rate = null, clients, keys } = flags
  return {
    durationMs: ops === null ? (duration ?? DURATION_MS) : (duration ?? null),
    operations: ops,
    rate,
    clients,
    connections: Math.min(flags.conns, clients),
    spread: flags.spread === true,
    keys,
    keyBytes: flags['key-size'],
    valueBytes: flags['value-size'],
    distribution: flags.dist ?? ('uniform' as const),
    read: flags.read ?? ('linearizable' as const),
    readShare: 0,
    warmupMs: flags.warmup ?? WARMUP_MS,
    prefix: flags.prefix ?? ownPrefix('bench'),
    keep: flags.keep === true,
  }
}

type Options = ReturnType<typeof optionsOf>

export type RunBench<W> = (
  connection: Connection,
  options: Options & { readonly workload: W },
  request: {
    readonly assertions: readonly string[]
    readonly baseline: string | null
    readonly tolerance: number
    readonly percentileFile: string | null
  } & LoadWatch,
) => Promise<{
  readonly report: BenchPicture
  readonly error: CliError | null
  readonly clusterId: string | null
  readonly histograms: readonly HistogramPicture[]
}>

/** The base of `raftctl bench …`. */
export abstract class BenchCommand extends LoadCommand {
  static override schema = 'raftctl.bench/1'
  static override seeAlso = ['check perf', 'status', 'kv del']
  static override outputColumns = {
    OPERATION: 'put or get',
    COUNT: 'how many were answered',
    'OPS/S': 'how many a second',
    'MEAN, P50 … MAX': 'how long they took, in ms; with --rate from when each was due',
  }

  protected async measure<W extends string>(
    flags: FlagValues & Parameters<ClusterCommand['connection']>[0],
    workload: W,
    run: RunBench<W>,
    own: Partial<Options> = {},
  ): Promise<Result> {
    const options = { ...optionsOf(flags), ...own, workload }
    const request = {
      assertions: flags.assert ?? [],
      baseline: flags.compare ?? null,
      tolerance: flags.tolerance / 100,
      percentileFile: flags['hdr-out'] ?? null,
    }
    const { printBench } = await import('./bench-view.js')
    return this.underLoad(
      flags,
      options.prefix,
      (connection, watch) => run(connection, options, { ...request, ...watch }),
      (out, { report, histograms }) => printBench(out, report, flags.histogram ? histograms : []),
    )
  }
}
