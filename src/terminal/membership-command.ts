import type { ProgressPicture } from './change-progress.js'
import { ClusterCommand } from './cluster-command.js'
import { CliError } from './errors.js'
import type { Impact, MutationFlagValues } from './flags.js'
import type { MembershipPlanPicture, MembershipResultPicture } from './membership-view.js'
import type { Drafted } from './plan-decision.js'
import type { Result } from './result.js'

/** How a change of members is planned and executed; the commands bring it. */
export interface MembershipParts<P extends MembershipPlanPicture, R extends MembershipResultPicture> {
  readonly draft: () => Promise<Drafted<P>>
  readonly question: (plan: P) => string
  readonly name: (plan: P) => string
  readonly save: (plan: P, file: string) => void
  /** The members are what was asked for. */
  readonly nothing: (plan: P) => boolean
  readonly execute: (plan: P, listener: (progress: ProgressPicture) => void) => Promise<R>
  readonly nameOf: (plan: P, peerId: string) => string
  /** 3: a dry run that finds something to do answers no. */
  readonly driftExitCode?: 0 | 3
  /** What follows the outcome on stderr: what there is to do about a member that is gone. */
  readonly epilogue: (plan: P) => readonly string[]
}

const GOES_ON = 'the leader goes on without this command: it commits the change, or gives it up. See which:  raftctl member list --watch'
const NOT_BEGUN = 'the change had not begun: the members are what they were. To be sure:  raftctl member list'

/** A command that changes the members: plan, question, progress, outcome. */
export abstract class MembershipCommand extends ClusterCommand {
  static override impact: Impact = 'membership'
  static override schema = 'raftctl.member.change/1'
  static override exitCodes = [4, 5, 6, 7, 8, 12, 13, 124]

  private lesson: string | null = null

  /** Says at the end, whichever it is, how the same is typed without being asked. */
  protected teach(command: string): void {
    this.lesson = command
  }

  protected override async finally(failure: Error | undefined): Promise<void> {
    this.sayLesson()
    await super.finally(failure)
  }

  private sayLesson(): void {
    if (this.lesson !== null) this.out.note(`next time:  raftctl ${this.lesson}`)
  }

  /** Throws E_USAGE with what is missing where nobody can be asked for it. */
  protected requirePrompt(missing: string): void {
    if (this.mayAsk) return
    throw new CliError('E_USAGE', `missing argument ${missing}, and nobody can be asked for it`, {
      hint: `raftctl ${this.commandName} --help`,
    })
  }

  protected async change<P extends MembershipPlanPicture, R extends MembershipResultPicture>(
    flags: MutationFlagValues,
    parts: MembershipParts<P, R>,
    first?: Drafted<P>,
  ): Promise<Result> {
    const drafted = first ?? (await parts.draft())
    const data = (plan: P) => ({ plan, executed: false, result: null })
    if (parts.nothing(drafted.plan))
      return this.result(data(drafted.plan), (out) => out.line('nothing to do: the members are what was asked for'), {
        clusterId: drafted.plan.clusterId,
      })
    const { plan, answer } = await this.decide(drafted, flags, {
      question: parts.question(drafted.plan),
      name: parts.name(drafted.plan),
      production: this.production,
      replan: parts.draft,
      data,
      save: parts.save,
      dryRunExitCode: parts.driftExitCode ?? 0,
    })
    if (answer) return answer
    return await this.executed(plan, parts)
  }

  /** Executes a plan that was agreed to. */
  protected async executed<P extends MembershipPlanPicture, R extends MembershipResultPicture>(
    plan: P,
    parts: Pick<MembershipParts<P, R>, 'execute' | 'nameOf' | 'epilogue'>,
  ): Promise<Result> {
    const { ChangeProgressView } = await import('./change-progress.js')
    const { printMembership, unverified } = await import('./membership-view.js')
    const view = new ChangeProgressView(this.out, { json: this.jsonEnabled(), nameOf: (peerId) => parts.nameOf(plan, peerId) })
    let begun = false
    this.onInterrupt(() => {
      view.end()
      this.out.note(begun ? GOES_ON : NOT_BEGUN)
      this.sayLesson()
    })
    try {
      const result = await parts.execute(plan, (progress) => {
        begun = progress.stage !== 'gates' && (progress.peerId === null || progress.lastIndex > 0)
        view.update(progress)
      })
      view.end()
      return this.result(
        { plan, executed: true, result },
        (out) => {
          printMembership(out, plan, result)
          for (const line of parts.epilogue(plan)) out.note(line)
        },
        { clusterId: plan.clusterId, warnings: unverified(result) },
      )
    } finally {
      view.end()
    }
  }
}
