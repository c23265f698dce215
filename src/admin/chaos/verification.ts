import { setTimeout as pause } from 'node:timers/promises'
import type { KvClient } from '../../machines/kv/client.js'
import { CliError } from '../../terminal/errors.js'
import { urgent } from '../alarms.js'
import type { ClusterClient } from '../cluster-client.js'
import { checkConsistency } from '../consistency.js'
import { survey } from '../discovery.js'
import { checkLinearizability, type KeyProblem } from '../linearizability/check.js'
import { explain } from '../linearizability/explanation.js'
import { type RegisterAnswer, type RegisterCall, registerModel } from '../linearizability/register-model.js'
import { type ClusterStatus, type NodeRow, statusOf } from '../status.js'
import type { BackgroundWriter } from './writer.js'

/** An acknowledged write that does not read back as it was acknowledged. */
export interface LostWrite {
  readonly key: string
  readonly acknowledged: string
  /** What is there instead; null: nothing. */
  readonly found: string | null
}

export interface ReadBack {
  /** Acknowledged writes that read back as they were. */
  readonly verified: number
  readonly lost: readonly LostWrite[]
  /** Keys whose write was refused as not applied, and which are there. */
  readonly refusedButThere: readonly string[]
}

/** What the clients saw of the keys that they share. */
export interface HistoryVerdict {
  readonly verdict: 'linearizable' | 'violation' | 'undecided'
  readonly keys: number
  readonly operations: number
  readonly unknown: number
  /** The first bad key in words; null where nothing is bad. */
  readonly problem: string | null
}

export interface Convergence {
  readonly converged: boolean
  readonly afterMs: number
  /** What was missing in the end; null when nothing was. */
  readonly missing: string | null
  readonly leader: string | null
  readonly term: number | null
}

/** Whether all members held the same state at one place in the log. */
export interface Agreement {
  readonly index: number
  readonly equal: number
  readonly different: number
  readonly unknown: number
}

const PAGE = 1000
const POLL_MS = 100
/** Under load nobody is ever level: a member that misses no more than this keeps up. */
const LAG_MAX = 1000
const STEPS_MAX = 2_000_000

/**
 * Waits until one member leads, confirmed, and every one of `members` (by address) is sound and keeps up. A
 * member that stopped for good is given to `revive`, once.
 */
export async function awaitConvergence(
  client: ClusterClient,
  members: ReadonlySet<string>,
  options: { readonly withinMs: number; readonly signal: AbortSignal; readonly revive: (row: NodeRow) => Promise<void> },
): Promise<Convergence> {
  const startedAt = performance.now()
  const revived = new Set<string>()
  for (;;) {
    const { status } = statusOf(await survey(client))
    const missing = missingIn(status, members)
    const { leader, term } = status
    const afterMs = Math.round(performance.now() - startedAt)
    if (missing === null) return { converged: true, afterMs, missing, leader, term }
    for (const row of status.nodes) {
      if (row.raftState !== 'ERROR' || !members.has(row.address) || revived.has(row.address)) continue
      revived.add(row.address)
      await options.revive(row)
    }
    if (afterMs > options.withinMs || options.signal.aborted) return { converged: false, afterMs, missing, leader, term }
    await pause(POLL_MS)
  }
}

/** Null when nothing is missing. */
function missingIn(status: ClusterStatus, members: ReadonlySet<string>): string | null {
  if (!status.leaderConfirmed || status.leader === null) return 'there is no leader'
  for (const row of status.nodes) {
    if (!members.has(row.address)) continue
    if (!row.reachable) return `${row.id} does not answer (${row.error?.message ?? row.state})`
    if (row.state !== 'ok') return `${row.id} is ${row.state}`
    if (urgent(row.alarms).length > 0) return `${row.id} raised ${row.alarms.join(', ')}`
    if ((row.lag ?? 0) > LAG_MAX) return `${row.id} is ${row.lag} entries behind`
  }
  return null
}

/** Reads every key of the writers and holds it against what was acknowledged. Throws what the reads throw. */
export async function readBack(writer: BackgroundWriter, reader: KvClient): Promise<ReadBack> {
  const found = new Map<string, string>()
  let after: Buffer | null = null
  for (;;) {
    const options = { limit: PAGE, ...(after === null ? {} : { after }) }
    const page: Awaited<ReturnType<KvClient['list']>> = await reader.list(Buffer.from(writer.prefix), options)
    for (const { key, value } of page.items) found.set(key.toString(), value.toString())
    after = page.items.at(-1)?.key ?? null
    if (!page.more || after === null) break
  }
  const lost: LostWrite[] = []
  for (const [key, value] of writer.acknowledged)
    if (found.get(key) !== value) lost.push({ key, acknowledged: value, found: found.get(key) ?? null })
  const refusedButThere = [...writer.refused].filter((key) => found.has(key))
  return { verified: writer.acknowledged.size - lost.length, lost, refusedButThere }
}

export function judgeHistory(writer: BackgroundWriter): HistoryVerdict {
  const { verdict, keys, operations, unknown, problem } = checkLinearizability(writer.operations(), registerModel, { stepsMax: STEPS_MAX })
  return { verdict, keys, operations, unknown, problem: problem === null ? null : inWords(problem) }
}

function inWords(problem: KeyProblem<RegisterCall, RegisterAnswer>): string {
  if (problem.undecided !== null) return `${problem.key}: ${problem.undecided}`
  const [first] = explain(problem, registerModel).stuck
  if (first === undefined) return `${problem.key}: no order explains what its clients saw`
  const { client, call, answer } = first.operation
  return `${problem.key}: ${client}'s ${registerModel.describe(call, answer)} fits nowhere: ${first.why}`
}

/** Compares the states of all members. `error` is E_DIVERGED where they differ; null: nobody could be asked. */
export async function compareMembers(
  client: ClusterClient,
): Promise<{ readonly agreement: Agreement | null; readonly error: CliError | null }> {
  try {
    const { report, error } = await checkConsistency(client)
    const { index, equal, different, unknown } = report
    return { agreement: { index, equal, different, unknown }, error: error?.code === 'E_DIVERGED' ? error : null }
  } catch (thrown) {
    if (!(thrown instanceof CliError)) throw thrown
    return { agreement: null, error: null }
  }
}

/** The same term was won by two members: says which; null when none was. */
export function twoLeaders(wins: readonly { readonly term: number; readonly node: string }[]): string | null {
  const winners = new Map<number, string>()
  for (const { term, node } of wins) {
    const other = winners.get(term)
    if (other !== undefined && other !== node) return `term ${term} was won by ${other} and by ${node}`
    winners.set(term, node)
  }
  return null
}
