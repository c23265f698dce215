import type { ClusterClient } from './cluster-client.js'
import { confirmationName } from './plan.js'
import { writePlan } from './plan-file.js'
import { plannedOutcome, type TransferOptions, type TransferOutcome, transfer } from './transfer.js'
import { leadsAlready, planTransfer, type TransferPlan, type TransferRequest } from './transfer-plan.js'

/** Everything that a command which hands leadership over does, by `request`. */
export function transferParts(client: ClusterClient, request: TransferRequest, options: TransferOptions) {
  return {
    draft: () => planTransfer(client, request),
    question: ({ action: { from, to } }: TransferPlan): string => `Hand leadership from ${from.id} to ${to.id}?`,
    name: confirmationName,
    save: writePlan,
    nothing: leadsAlready,
    outcome: plannedOutcome,
    execute: (plan: TransferPlan): Promise<TransferOutcome> => transfer(client, plan, options),
  }
}
