import { randomBytes } from 'node:crypto'
import type { BenchProgressPicture } from './bench-progress.js'
import { ClusterCommand } from './cluster-command.js'
import type { Connection } from './connection.js'
import { CliError } from './errors.js'
import type { Output } from './output.js'
import type { Result } from './result.js'

/** Ends a load early, and hears how far it is. */
export interface LoadWatch {
  readonly signal: AbortSignal
  readonly onProgress: (progress: BenchProgressPicture) => void
}

interface LoadOutcome {
  readonly report: unknown
  readonly error: CliError | null
  readonly clusterId: string | null
}

/** What the keys of one run begin with, and no other's. */
export function ownPrefix(kind: 'bench' | 'check'): string {
  return `raftctl-${kind}/${randomBytes(3).toString('hex')}/`
}

/** The base of what puts load on a cluster. SIGINT ends the load: what was measured is printed, and the keys are removed. */
export abstract class LoadCommand extends ClusterCommand {
  static override impact = 'data' as const
  static override exitCodes: readonly number[] = [3, 4, 5, 6, 7, 8, 11, 12, 13, 130, 143]

  private readonly ending = new AbortController()
  private ended: 'SIGINT' | 'SIGTERM' | null = null

  protected override get endsOnSignal(): boolean {
    return false
  }

  /** A production context asks first. */
  protected async underLoad<Outcome extends LoadOutcome>(
    flags: Parameters<ClusterCommand['connection']>[0] & { readonly yes?: boolean },
    prefix: string,
    run: (connection: Connection, watch: LoadWatch) => Promise<Outcome>,
    print: (out: Output, outcome: Outcome) => void,
  ): Promise<Result> {
    const connection = this.connection(flags)
    if (this.production && !flags.yes) {
      const message = `${connection.context?.name} is marked as production, and this load slows it for everybody. Run it there?`
      await this.confirmed({ message, flag: '--yes' })
    }
    const { BenchProgressView } = await import('./bench-progress.js')
    const progress = new BenchProgressView(this.out, this.jsonEnabled())
    this.listenForEnd(prefix, progress)
    try {
      const outcome = await run(connection, { signal: this.ending.signal, onProgress: (now) => progress.update(now) })
      progress.end()
      const { report, error, clusterId } = outcome
      return this.result(report, (out) => print(out, outcome), { clusterId, error: this.endedBy(error) ?? error })
    } catch (error) {
      throw this.endedBy(error) ?? error
    } finally {
      progress.end()
    }
  }

  private listenForEnd(prefix: string, progress: { end(): void }): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const)
      process.on(signal, () => {
        // What is written beside a bar would be written over by it.
        progress.end()
        if (process.stderr.isTTY) process.stderr.write('\n')
        if (this.ended !== null) this.leave(prefix, signal)
        this.ended = signal
        this.ending.abort()
        if (!this.jsonEnabled())
          this.out.note('ending: what is on its way is waited for and the keys are removed; once more to leave them there')
      })
  }

  /** Asked a second time, while the keys may still be there. */
  private leave(prefix: string, signal: 'SIGINT' | 'SIGTERM'): never {
    this.ended = signal
    const hint = `Keys of this load may still be there; remove them:  raftctl kv del ${prefix} --prefix`
    if (!this.jsonEnabled()) this.out.note(hint)
    void this.catch(this.endedBy(new CliError('E_INTERRUPTED', 'ended early', { hint }))!)
    process.exit()
  }

  /** Whoever ended it knows why it did not come to its end; what is left behind is still said. */
  private endedBy(otherwise: unknown): CliError | null {
    if (this.ended === null) return null
    const hint = otherwise instanceof CliError ? otherwise.hint : ''
    return new CliError(this.ended === 'SIGINT' ? 'E_INTERRUPTED' : 'E_TERMINATED', 'ended early', { hint, cause: otherwise })
  }
}
