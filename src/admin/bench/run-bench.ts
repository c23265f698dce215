import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import type { Connection } from '../../terminal/connection.js'
import { CliError } from '../../terminal/errors.js'
import { ClusterClient } from '../cluster-client.js'
import { survey } from '../discovery.js'
import { KeyValueAdmin } from '../key-value.js'
import { statusOf } from '../status.js'
import { checkComparable, readBaseline } from './baseline.js'
import { Bench, type BenchWatch } from './bench.js'
import type { Bar, Meter, OperationName } from './meter.js'
import { type BenchOptions, checkBench } from './options.js'
import { type BenchReport, measuredWith, verdictOf } from './report.js'
import { compare, judge, parseAssertion } from './verdicts.js'

export interface BenchRequest extends BenchWatch {
  readonly assertions: readonly string[]
  /** A file with an earlier result; null: nothing is compared. */
  readonly baseline: string | null
  /** A share: figures closer than that are the same. */
  readonly tolerance: number
  /** The percentiles go there, in HdrHistogram's text. */
  readonly percentileFile: string | null
}

export interface BenchOutcome {
  readonly report: BenchReport
  /** What the figures say against what was asked of them; null when all is as demanded. */
  readonly error: CliError | null
  readonly clusterId: string | null
  readonly histograms: readonly { readonly operation: OperationName; readonly bars: readonly Bar[] }[]
}

/** Runs it against the cluster, and removes what it wrote. Throws for what cannot be run, and when nothing at all was answered. */
export async function runBench(connection: Connection, options: BenchOptions, request: BenchRequest): Promise<BenchOutcome> {
  checkBench(options)
  const assertions = request.assertions.map(parseAssertion)
  const measured = measuredWith(options)
  const baseline = request.baseline === null ? null : readBaseline(request.baseline)
  if (baseline) checkComparable(baseline, measured)
  using cluster = new ClusterClient(connection)
  const before = await look(cluster)
  if (before.error) throw before.error
  await refuseForeignKeys({ ...connection, group: cluster.group }, options)
  using bench = new Bench({ ...connection, group: cluster.group }, before.endpoints, options, request)
  const { meter, cpu, notSent } = await bench.measure().catch((error: unknown) => {
    throw bench.kept ? withKeysLeft(error, options.prefix) : error
  })
  const after = await look(cluster).catch(() => null)
  if (request.percentileFile !== null) savePercentiles(request.percentileFile, meter)
  const results = meter.rows()
  const elapsedMs = Math.round(meter.elapsedMs)
  const report: BenchReport = {
    group: cluster.group,
    measured,
    elapsedMs,
    operations: meter.count,
    operationsPerSecond: Math.round((meter.count * 1000) / Math.max(1, elapsedMs)),
    results,
    notSent,
    errors: meter.errors,
    failures: meter.failures,
    elections: after === null || after.term === null || before.term === null ? null : after.term - before.term,
    longestGapMs: Math.round(meter.gapMs),
    clientCpu: Math.round(cpu * 100) / 100,
    environment: { node: process.version, cpus: availableParallelism(), voters: before.voters },
    prefix: options.prefix,
    kept: bench.kept,
    assertions: judge(assertions, results),
    comparison: baseline ? compare(baseline.results, results, request.tolerance) : [],
  }
  const histograms = results.map(({ operation }) => ({ operation, bars: meter.bars(operation) }))
  return { report, error: verdictOf(report), clusterId: before.clusterId, histograms }
}

/** Members to connect to, the leader first. */
async function look(cluster: ClusterClient) {
  const { status, clusterId, error } = statusOf(await survey(cluster))
  const nodes = [...status.nodes].filter((node) => node.reachable).sort((a, b) => Number(b.leader) - Number(a.leader))
  return { endpoints: nodes.map((node) => node.address), term: status.term, voters: status.voters, clusterId, error }
}

/** What is under the prefix would be written over and removed. */
async function refuseForeignKeys(connection: Connection, { prefix }: BenchOptions): Promise<void> {
  using keyValue = new KeyValueAdmin(connection)
  const count = await keyValue.countPrefix(prefix)
  if (count > 0)
    throw new CliError(
      'E_EXISTS',
      `${count} ${count === 1 ? 'key begins' : 'keys begin'} with ${JSON.stringify(prefix)}, and the bench would remove them`,
      {
        hint: `Choose another --prefix, or remove them first:  raftctl kv del ${prefix} --prefix`,
      },
    )
}

/** It failed, and so did the removal of what it wrote. */
function withKeysLeft(error: unknown, prefix: string): unknown {
  if (!(error instanceof CliError)) return error
  const { code, message, hint, details, data } = error
  const left = `Keys of the bench may still be there; remove them:  raftctl kv del ${prefix} --prefix`
  return new CliError(code, message, { details, data, cause: error, hint: hint === '' ? left : `${hint}\n${left}` })
}

function savePercentiles(file: string, meter: Meter): void {
  const parts = meter.rows().map(({ operation }) => `# ${operation}, milliseconds\n${meter.percentileText(operation)}`)
  try {
    writeFileSync(file, parts.join('\n'))
  } catch (error) {
    throw new CliError('E_USAGE', `--hdr-out: ${(error as Error).message}`, { hint: 'Check the path.' })
  }
}
