import { Flags } from '@oclif/core'
import type { ChaosPicture, StoryPicture } from './chaos-view.js'
import { ClusterCommand } from './cluster-command.js'
import type { Connection } from './connection.js'
import { CliError } from './errors.js'
import { durationFlagOf, wholeNumberFlag } from './flags.js'
import type { Result } from './result.js'

/** For every command that breaks something and proves that nothing was lost. */
export const chaosFlags = {
  writers: wholeNumberFlag({ min: 0, description: 'clients that write meanwhile (default 4); 0 proves nothing' }),
  settle: durationFlagOf({ description: 'how long the cluster may take to be as before once it is healed (default 30s)' }),
  'allow-remote': Flags.boolean({ description: 'also a cluster that is not of this machine, if its nodes run with --enable-faults' }),
}

/** For the commands of one fault. */
export const faultFlags = {
  for: durationFlagOf({ description: 'after this time it heals by itself (default 60s, at most 1h)' }),
  every: durationFlagOf({ description: 'break it again so often, until --times or Ctrl-C' }),
  times: wholeNumberFlag({ min: 1, description: 'how often, with --every' }),
  ...chaosFlags,
}

export interface ChaosFlagValues {
  readonly writers?: number | undefined
  readonly settle?: number | undefined
  readonly 'allow-remote'?: boolean
}

export interface FaultFlagValues extends ChaosFlagValues {
  readonly for?: number | undefined
  readonly every?: number | undefined
  readonly times?: number | undefined
}

const FOR_MS = 60_000
const FOR_MAX_MS = 3_600_000
const SETTLE_MS = 30_000
const WRITERS = 4

/** What the flags and the person in front of the terminal say about a run. */
export interface ChaosSettings {
  readonly writers: number
  readonly settleMs: number
  /** Aborts at the first Ctrl-C. */
  readonly signal: AbortSignal
  readonly onStory: (line: StoryPicture) => void
}

export interface ChaosOutcome {
  readonly report: ChaosPicture
  /** Decides the exit code where 3 does not say it. */
  readonly error: CliError | null
  readonly clusterId: string | null
}

/**
 * A command that breaks something. Ctrl-C ends the fault early: everything is healed and verified, and the exit code is 130
 * unless something was found to be broken; a second one ends the command at once, and the faults heal by themselves.
 */
export abstract class ChaosCommand extends ClusterCommand {
  static override schema = 'raftctl.chaos.run/1'
  static override impact = 'data' as const
  static override exitCodes: readonly number[] = [3, 4, 5, 6, 7, 8, 10, 130, 143]

  private readonly ending = new AbortController()
  private ended: 'SIGINT' | 'SIGTERM' | null = null

  protected override get endsOnSignal(): boolean {
    return false
  }

  /** Where to; throws E_REMOTE for what is not of this machine unless that is allowed, and for production always. */
  protected target(flags: Parameters<ClusterCommand['connection']>[0] & ChaosFlagValues): Connection {
    const connection = this.connection(flags)
    const { context, endpoints } = connection
    const name = context?.name ?? endpoints.join(',')
    if (context?.env === 'production')
      throw new CliError('E_REMOTE', `${name} is marked as production: nothing there is broken on purpose`, {
        hint: 'Try it on a cluster of this machine:  raftctl cluster start',
      })
    if (!context?.playground && flags['allow-remote'] !== true)
      throw new CliError('E_REMOTE', `${name} is no local cluster: chaos breaks those of this machine only`, {
        hint: 'Start one:  raftctl cluster start\nOr, where the nodes run with --enable-faults and may be broken:  --allow-remote',
      })
    return connection
  }

  /** How often and for how long one fault comes; throws E_USAGE. */
  protected timing(flags: FaultFlagValues): { readonly forMs: number; readonly everyMs: number | null; readonly times: number | null } {
    const { for: forMs = FOR_MS, every: everyMs = null, times = null } = flags
    if (forMs <= 0 || forMs > FOR_MAX_MS)
      throw new CliError('E_USAGE', 'a fault lasts more than nothing and at most 1h', { hint: 'Write --for 30s.' })
    if (everyMs !== null && everyMs <= forMs)
      throw new CliError('E_USAGE', `--every must be longer than what it lasts (${forMs} ms)`, {
        hint: 'Give --every more, or --for less.',
      })
    if (times !== null && everyMs === null)
      throw new CliError('E_USAGE', '--times goes with --every', { hint: 'Write --every 60s --times 3.' })
    return { forMs, everyMs, times }
  }

  /** Runs it with what the flags say, tells the story as it happens, and answers what became of it. */
  protected async conduct(flags: ChaosFlagValues, run: (settings: ChaosSettings) => Promise<ChaosOutcome>): Promise<Result> {
    this.listenForEnd()
    const { storyText, printChaos } = await import('./chaos-view.js')
    const onStory = (line: StoryPicture) => {
      if (!this.jsonEnabled()) this.out.note(storyText(line, (hue, text) => this.out.onStderr().paint(hue, text)))
    }
    const { writers = WRITERS, settle: settleMs = SETTLE_MS } = flags
    const { report, error, clusterId } = await run({ writers, settleMs, signal: this.ending.signal, onStory })
    const broken = report.verdict === 'broken'
    return this.result(report, (out) => printChaos(out, report), {
      clusterId,
      error: error ?? (broken ? null : this.endedBy),
      exitCode: broken ? 3 : 0,
    })
  }

  private listenForEnd(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.on(signal, () => {
        if (this.ended !== null) process.exit(signal === 'SIGINT' ? 130 : 143)
        this.ended = signal
        if (process.stderr.isTTY) process.stderr.write('\n')
        this.out.note('healing; once more ends at once, and what is broken heals by itself')
        this.ending.abort()
      })
  }

  /** E_INTERRUPTED or E_TERMINATED when somebody ended it; null otherwise. */
  private get endedBy(): CliError | null {
    if (this.ended === null) return null
    return this.ended === 'SIGINT'
      ? new CliError('E_INTERRUPTED', 'ended early; everything is healed', { hint: '' })
      : new CliError('E_TERMINATED', 'ended early; everything is healed', { hint: '' })
  }
}
