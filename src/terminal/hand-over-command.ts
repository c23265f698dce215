import { ClusterCommand } from './cluster-command.js'
import type { MutationFlagValues } from './flags.js'
import type { Drafted } from './plan-decision.js'
import type { PlanPicture } from './plan-view.js'
import type { Result } from './result.js'
import type { TransferPicture } from './transfer-view.js'

/** How leadership is planned to be handed over, and handed over; the commands bring it. */
interface HandOverParts<P extends PlanPicture, R extends TransferPicture> {
  readonly draft: () => Promise<Drafted<P>>
  readonly question: (plan: P) => string
  readonly name: (plan: P) => string
  readonly save: (plan: P, file: string) => void
  /** The successor leads already. */
  readonly nothing: (plan: P) => boolean
  /** What a plan that is not executed would do. */
  readonly outcome: (plan: P) => R
  readonly execute: (plan: P) => Promise<R>
}

/** A command that hands leadership over: plan, question where one is due, outcome. */
export abstract class HandOverCommand extends ClusterCommand {
  static override schema = 'raftctl.leader.transfer/1'
  static override impact = 'leadership' as const
  static override exitCodes = [4, 5, 6, 7, 8, 12, 13, 124]

  protected async handOver<P extends PlanPicture, R extends TransferPicture>(
    flags: MutationFlagValues,
    parts: HandOverParts<P, R>,
  ): Promise<Result> {
    const { printTransfer } = await import('./transfer-view.js')
    const told = (outcome: R, { clusterId }: P) => this.result(outcome, (out) => printTransfer(out, outcome), { clusterId })
    const drafted = await parts.draft()
    if (parts.nothing(drafted.plan)) return told(parts.outcome(drafted.plan), drafted.plan)
    const { plan, answer } = await this.decide(drafted, flags, {
      question: parts.question(drafted.plan),
      name: parts.name(drafted.plan),
      production: this.production,
      replan: parts.draft,
      data: parts.outcome,
      save: parts.save,
    })
    return answer ?? told(await parts.execute(plan), plan)
  }
}
