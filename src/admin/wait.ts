import { setTimeout as pause } from 'node:timers/promises'
import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { survey } from './discovery.js'
import { type ClusterStatus, type NodeRow, statusOf } from './status.js'

/** A state of the cluster that can be waited for. */
export type Condition =
  | { readonly kind: 'leader'; readonly member: string | null }
  | { readonly kind: 'healthy' }
  | { readonly kind: 'reachable'; readonly member: string }
  | { readonly kind: 'caught-up'; readonly member: string }
  | { readonly kind: 'commit'; readonly index: number }

export const CONDITIONS = 'leader, leader=NAME, healthy, node=NAME:reachable, member=NAME:caught-up, commit>=N'

/** Reads a condition as it is typed; throws E_USAGE. */
export function parseCondition(text: string): Condition {
  const leader = /^leader(?:=(.+))?$/.exec(text)
  if (leader) return { kind: 'leader', member: leader[1] ?? null }
  if (text === 'healthy') return { kind: 'healthy' }
  const reachable = /^node=(.+):reachable$/.exec(text)
  if (reachable) return { kind: 'reachable', member: reachable[1] as string }
  const caughtUp = /^member=(.+):caught-up$/.exec(text)
  if (caughtUp) return { kind: 'caught-up', member: caughtUp[1] as string }
  const commit = /^commit>=(\d{1,15})$/.exec(text)
  if (commit) return { kind: 'commit', index: Number(commit[1]) }
  throw new CliError('E_USAGE', `${JSON.stringify(text)} is not a condition`, { hint: `conditions: ${CONDITIONS}` })
}

/** Whether the condition holds, and what there is to say about it. */
export interface Finding {
  readonly met: boolean
  readonly message: string
}

/** Pure. */
export function evaluate(condition: Condition, status: ClusterStatus): Finding {
  switch (condition.kind) {
    case 'leader':
      return leaderFinding(condition.member, status)
    case 'healthy':
      return {
        met: status.verdict === 'healthy',
        message: `${status.verdict}: ${status.reachableVoters}/${status.voters ?? '?'} voters reachable`,
      }
    case 'reachable': {
      const row = rowOf(condition.member, status)
      return {
        met: row?.reachable === true,
        message: `${condition.member} ${row ? (row.reachable ? 'answers' : `does not answer (${row.error?.message ?? row.state})`) : 'is not a member'}`,
      }
    }
    case 'caught-up':
      return caughtUpFinding(condition.member, status)
    case 'commit':
      return { met: status.leaderConfirmed && (status.commit ?? 0) >= condition.index, message: `commit ${status.commit ?? 'unknown'}` }
  }
}

function leaderFinding(member: string | null, status: ClusterStatus): Finding {
  if (!status.leaderConfirmed || status.leader === null) return { met: false, message: `no leader (term ${status.term ?? 'unknown'})` }
  const row = status.nodes.find((node) => node.leader)
  const wanted = member === null || status.leader === member || row?.address === member
  return { met: wanted, message: `leader ${status.leader} (term ${status.term})` }
}

function caughtUpFinding(member: string, status: ClusterStatus): Finding {
  const row = rowOf(member, status)
  if (!row) return { met: false, message: `${member} is not a member` }
  if (!row.reachable || row.lag === null) return { met: false, message: `${member} does not answer (${row.error?.message ?? row.state})` }
  const level = status.leaderConfirmed && row.state === 'ok' && row.lag === 0
  return { met: level, message: level ? `${member} is level at ${row.applied}` : `${member} is ${row.lag} entries behind (${row.state})` }
}

function rowOf(member: string, status: ClusterStatus): NodeRow | undefined {
  return status.nodes.find((row) => row.role !== null && (row.id === member || row.address === member))
}

export interface WaitOptions {
  readonly forMs: number
  readonly signal: AbortSignal
}

/** `data` of `wait --json`. */
export interface WaitOutcome {
  readonly condition: string
  readonly met: true
  readonly afterMs: number
  readonly message: string
  readonly leader: string | null
  readonly term: number | null
}

const POLL_MS = 100

/**
 * Looks at the cluster until the condition holds. Throws E_WAIT_TIMEOUT with what was missing, or E_UNREACHABLE when
 * nothing answered in all that time; what waiting cannot mend (another cluster, no access) is thrown at once.
 */
export async function waitFor(
  client: ClusterClient,
  text: string,
  options: WaitOptions,
): Promise<{ readonly outcome: WaitOutcome; readonly clusterId: string | null }> {
  const condition = parseCondition(text)
  const startedAt = performance.now()
  const elapsed = () => performance.now() - startedAt
  let everAnswered = false
  let last: Finding = { met: false, message: 'nothing answered' }
  let unreachable: CliError | null = null
  for (;;) {
    const found = await survey(client)
    const { status, clusterId, error } = statusOf(found)
    if (found.reports.size > 0) {
      everAnswered = true
      last = evaluate(condition, status)
      if (last.met)
        return {
          outcome: {
            condition: text,
            met: true,
            afterMs: Math.round(elapsed()),
            message: last.message,
            leader: status.leader,
            term: status.term,
          },
          clusterId,
        }
    } else unreachable = error
    if (options.signal.aborted || elapsed() + POLL_MS > options.forMs) break
    await pause(POLL_MS, undefined, { signal: options.signal }).catch(() => {})
  }
  if (!everAnswered && unreachable) throw unreachable
  throw new CliError('E_WAIT_TIMEOUT', `${text} did not hold within ${(options.forMs / 1000).toFixed(1)} s: ${last.message}`, {
    details: { condition: text, forMs: options.forMs, last: last.message },
  })
}
