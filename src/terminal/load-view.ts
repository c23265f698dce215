import * as format from './format.js'
import type { Output } from './output.js'

/** Above this share of a core the client is what was measured. */
const CLIENT_BOUND = 0.9

/** What failed, by its code. */
export function printFailures(
  out: Output,
  failures: readonly { readonly code: string; readonly count: number; readonly message: string }[],
): void {
  for (const { code, count, message } of failures)
    out.line(`${out.paint('red', out.symbol('failed'))} ${format.count(count)} × ${code}  ${message}`)
}

/** A cluster that lacks a member is faster or slower than it will be. */
export function votersOf(out: Output, voters: number | null, reachable: number): string[] {
  if (voters === null) return []
  return [reachable < voters ? out.paint('yellow', `${reachable} of ${voters} voters reachable`) : format.many(voters, 'voter')]
}

/** What of the figures is not the cluster's fault. */
export function printLimits(
  out: Output,
  load: { readonly clientCpu: number; readonly notSent: number; readonly clients: number; readonly rate: number | null },
): void {
  const { clientCpu, notSent, clients, rate } = load
  const sign = out.paint('yellow', out.symbol('warning'))
  if (clientCpu > CLIENT_BOUND)
    out.line(`${sign} this client used ${Math.round(clientCpu * 100)}% of a core: it is what was measured, not the cluster`)
  if (notSent > 0)
    out.line(
      `${sign} ${format.many(notSent, 'operation')} ${notSent === 1 ? 'was' : 'were'} due and not sent: ${format.many(clients, 'client')} cannot hold ${rate?.toLocaleString('en-US')}/s here`,
    )
}
