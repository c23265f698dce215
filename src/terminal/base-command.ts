import { Command } from '@oclif/core'
import type { ArgInput, FlagInput, Input, OutputArgs, OutputFlags, ParserOutput } from '@oclif/core/interfaces'
import { styleOf } from './colour.js'
import { CliError } from './errors.js'
import type { Impact, MutationFlagValues } from './flags.js'
import { DEFAULT_WATCH, outputFlags } from './flags.js'
import { appendHistory } from './history.js'
import type { Envelope } from './json.js'
import { errorDocument, field, successDocument } from './json.js'
import { Output } from './output.js'
import type { Drafted } from './plan-decision.js'
import type { PlanPicture } from './plan-view.js'
import type { Question } from './prompt.js'
import { confirm, confirmByName, mayPrompt } from './prompt.js'
import type { ResultOptions } from './result.js'
import { Result } from './result.js'
import type { SettingLayers, SettingName } from './settings.js'
import { readSettings } from './settings.js'
import { asCliError, usageError } from './usage-error.js'

type FlagOutput = OutputFlags<FlagInput>
type ArgOutput = OutputArgs<ArgInput>

type OutputFlagValues = {
  json?: boolean
  field?: string
  columns?: string
  wide?: boolean
  'no-headers'?: boolean
  'no-color'?: boolean
  quiet?: boolean
  verbose?: boolean
  'no-input'?: boolean
}

/** How a plan is presented; `confirmPlan` says what each means. */
export interface PlanPresentation<P extends PlanPicture> {
  readonly question: string
  readonly name: string
  readonly production: boolean
  readonly replan?: () => Promise<Drafted<P>>
  /** `data` of the command while nothing was done. */
  readonly data: (plan: P) => unknown
  /** Saves the plan for --plan-out. */
  readonly save: (plan: P, file: string) => void
  /** 3 when a dry run answers that there is something to do. */
  readonly dryRunExitCode?: 0 | 3
}

/** Either a plan to execute now, or the answer of a command that was only asked for its plan. */
export type PlanDecision<P> = { readonly plan: P; readonly answer: null } | { readonly plan: null; readonly answer: Result }

/**
 * The base of every command. Owns what stdout, stderr and the exit code are.
 *
 * A command's `run` returns `this.result(data, render)` or throws; it prints nothing itself.
 *
 * Invariants
 * - The exit code is the same with and without --json, and it is set here only.
 * - With --json stdout is exactly one document, whatever happens (one per line while watching).
 * - Errors are never re-thrown to oclif, so nothing of its parse context leaks.
 */
export abstract class BaseCommand extends Command {
  static override enableJsonFlag = true
  static override baseFlags = outputFlags

  /** What it may change; read-only mode blocks all but `read`. */
  static impact: Impact = 'read'
  /** Shape of `data`, such as `raftctl.status/1`; a file of the same name stands in schemas/. */
  static schema = 'raftctl.error/1'
  /** Exit codes beyond 0, 1 and 2, for the help. */
  static exitCodes: readonly number[] = []
  /** What each column of the table says, for the help. */
  static outputColumns: Readonly<Record<string, string>> = {}
  /** Related commands, for the help. */
  static seeAlso: readonly string[] = []

  private readonly interruption = new AbortController()
  private readonly warnings: string[] = []
  private outputFlagValues: OutputFlagValues = {}
  private layers: SettingLayers = { directory: {}, user: {} }
  private printed = false
  private watching = false
  private terminalOutput: Output | null = null
  /** The plan that is being executed: a line of the history once it is known what became of it. */
  private executing: PlanPicture | null = null
  private readonly cleanups: (() => void)[] = []

  abstract override run(): Promise<Result>

  /** Aborts on SIGINT and SIGTERM, for what runs long. */
  protected get interrupted(): AbortSignal {
    return this.interruption.signal
  }

  protected get out(): Output {
    this.terminalOutput ??= this.createOutput()
    return this.terminalOutput
  }

  protected get typed(): typeof BaseCommand {
    return this.constructor as typeof BaseCommand
  }

  protected result<Data>(data: Data, render: ((out: Output) => void) | null = null, options: ResultOptions = {}): Result<Data> {
    return new Result(data, render, options)
  }

  /** Asks y/N, or throws E_NOT_CONFIRMED naming the flag that answers. */
  protected async confirmed(question: Question): Promise<void> {
    await confirm(question, this.promptRules())
  }

  protected async confirmedByName(question: Question, name: string): Promise<void> {
    await confirmByName(question, name, this.promptRules())
  }

  /**
   * What becomes of a plan by the flags: it is answered (--dry-run), saved (--plan-out), or shown, confirmed and handed back to
   * be executed. Throws what stands in its way, E_NOT_CONFIRMED when nobody agreed.
   */
  protected async decide<P extends PlanPicture>(
    { plan, refusal, awaited = null }: Drafted<P>,
    flags: MutationFlagValues,
    presentation: PlanPresentation<P>,
  ): Promise<PlanDecision<P>> {
    const { printPlan } = await import('./plan-view.js')
    const { data, save, dryRunExitCode = 0 } = presentation
    const answer = (error: CliError | null, exitCode: 0 | 3) =>
      this.result(data(plan), (out) => printPlan(out, plan), { error, exitCode, clusterId: plan.clusterId })
    if (flags['dry-run']) return { plan: null, answer: answer(refusal ?? awaited, dryRunExitCode) }
    const standing = refusal ?? (flags.wait ? null : awaited)
    if (standing) throw new CliError(standing.code, standing.message, { ...standing, data: data(plan) })
    if (flags['plan-out'] !== undefined) {
      save(plan, flags['plan-out'])
      this.out.note(`plan written; execute it within 5 minutes:  raftctl apply ${flags['plan-out']}`)
      return { plan: null, answer: answer(null, 0) }
    }
    const { confirmPlan, levelOf } = await import('./plan-decision.js')
    const show = (one: P) => printPlan(this.out.onStderr(), one)
    if (!this.jsonEnabled() && levelOf(plan.level, presentation.production) !== 'mild') show(plan)
    const agreed = await confirmPlan(plan, flags, { ...presentation, show }, this.promptRules())
    this.executing = agreed
    return { plan: agreed, answer: null }
  }

  /** Runs when the process is interrupted, before it ends: stop children, restore the terminal. Synchronous. */
  protected onInterrupt(cleanup: () => void): void {
    this.cleanups.push(cleanup)
  }

  /** What the envelope says about the cluster; ClusterCommand knows more. */
  protected envelope(): Envelope {
    return { schema: this.typed.schema, context: null, clusterId: null, warnings: this.warnings }
  }

  /** The value of a setting from `./raftctl.yaml`, then `~/.config/raftctl/config.yaml`. */
  protected setting(name: SettingName): string | undefined {
    return this.layers.directory[name] ?? this.layers.user[name]
  }

  /** Only the directory's file, which beats the selected context. */
  protected directorySetting(name: SettingName): string | undefined {
    return this.layers.directory[name]
  }

  override jsonEnabled(): boolean {
    const end = this.argv.indexOf('--')
    const words = end < 0 ? this.argv : this.argv.slice(0, end)
    return words.includes('--json') || isTrue(process.env.RAFTCTL_JSON) || isTrue(this.setting('json'))
  }

  override warn(input: Error | string): Error | string {
    const text = typeof input === 'string' ? input : input.message
    this.warnings.push(text)
    if (!this.jsonEnabled()) this.out.warning(text)
    return input
  }

  override async init(): Promise<void> {
    this.listenForSignals()
    this.layers = readSettings()
    await super.init()
  }

  protected override async parse<F extends FlagOutput, B extends FlagOutput, A extends ArgOutput>(
    options?: Input<F, B, A>,
    argv = this.argv,
  ): Promise<ParserOutput<F, B, A>> {
    const definition = options ?? (this.ctor as unknown as Input<F, B, A>)
    let parsed: ParserOutput<F, B, A>
    try {
      parsed = await super.parse(definition, watchWithValue(argv))
    } catch (thrown) {
      throw usageError(thrown, this.commandName, { ...definition.baseFlags, ...definition.flags })
    }
    this.outputFlagValues = parsed.flags as OutputFlagValues
    this.terminalOutput = null
    this.refuseWhenReadOnly(
      isTrue(process.env.RAFTCTL_READ_ONLY)
        ? 'RAFTCTL_READ_ONLY is set'
        : isTrue(this.setting('read-only'))
          ? 'read-only is set in the configuration'
          : null,
    )
    return parsed
  }

  protected refuseWhenReadOnly(because: string | null): void {
    if (because === null || this.typed.impact === 'read') return
    throw new CliError(
      'E_READ_ONLY',
      `${this.commandName} changes ${this.typed.impact === 'unsafe' ? 'data' : this.typed.impact}, and ${because}`,
    )
  }

  protected get commandName(): string {
    return (this.id ?? '').replaceAll(':', ' ')
  }

  /** Repeats `once` until interrupted: a redrawn screen on a terminal, frames on a pipe, one document a line with --json. */
  protected async watch(intervalMs: number, once: () => Promise<Result>): Promise<never> {
    this.watching = true
    const { setTimeout: pause } = await import('node:timers/promises')
    for (;;) {
      let outcome: Result | CliError
      try {
        outcome = await once()
      } catch (thrown) {
        outcome = asCliError(thrown)
      }
      if (this.interrupted.aborted) break
      this.showFrame(outcome)
      await pause(intervalMs, undefined, { signal: this.interrupted }).catch(() => {})
      if (this.interrupted.aborted) break
    }
    throw new CliError('E_INTERRUPTED', 'interrupted', { hint: '' })
  }

  /** Prints `rows` as they come, until interrupted: lines for a person, one document a line with --json. */
  protected async stream<Row>(first: readonly Row[], rows: AsyncIterable<Row>, render: (row: Row, out: Output) => void): Promise<never> {
    this.watching = true
    const print = (row: Row) => {
      if (this.jsonEnabled()) process.stdout.write(`${JSON.stringify(row)}\n`)
      else render(row, this.out)
    }
    for (const row of first) print(row)
    for await (const row of rows) print(row)
    throw new CliError('E_INTERRUPTED', 'interrupted', { hint: '' })
  }

  protected override async _run<T>(): Promise<T> {
    let result: Result | undefined
    let failure: Error | undefined
    try {
      await this.init()
      result = await this.run()
      this.show(result)
    } catch (thrown) {
      failure = thrown as Error
      await this.catch(failure)
    } finally {
      await this.finally(failure)
    }
    return result as T
  }

  protected override async catch(thrown: Error & { oclif?: { exit?: number } }): Promise<void> {
    if ((thrown as { code?: string }).code === 'EEXIT') {
      process.exitCode = thrown.oclif?.exit ?? 0
      return
    }
    this.fail(asCliError(thrown))
  }

  /** The same error with what is known of where it happened. */
  protected advised(error: CliError): CliError {
    return error
  }

  private fail(raised: CliError): void {
    const error = this.advised(raised)
    process.exitCode = error.exitCode
    this.remember(error)
    const silent = error.code === 'E_INTERRUPTED' || error.code === 'E_TERMINATED'
    if (this.jsonEnabled()) {
      if (!this.printed && !(this.watching && silent)) this.print(errorDocument(this.envelope(), error))
    }
    if (!silent) this.out.error(error)
    if (error.code === 'E_INTERNAL' && this.outputFlagValues.verbose)
      process.stderr.write(`${(error.cause as Error | undefined)?.stack ?? error.stack}\n`)
  }

  private show(result: Result): void {
    const { exitCode = 0, warnings = [] } = result.options
    const error = result.options.error ? this.advised(result.options.error) : null
    this.remember(error)
    if (this.outputFlagValues.field !== undefined) process.stdout.write(`${field(result.data, this.outputFlagValues.field)}\n`)
    else if (this.jsonEnabled()) this.print(this.documentOf({ ...result, options: { ...result.options, error } }))
    else result.render?.(this.out)
    process.exitCode = error ? error.exitCode : exitCode
    if (!this.jsonEnabled()) for (const warning of warnings) this.out.warning(warning)
    if (error) this.out.error(error)
  }

  /** A plan that was executed leaves a line in the history, whatever became of it. */
  private remember(error: CliError | null): void {
    const plan = this.executing
    if (plan === null) return
    this.executing = null
    const { id, command, title, context, clusterId, forced, reason } = plan
    const outcome = error === null ? 'ok' : error.code
    const problem = appendHistory({ command, title, plan: id, context, clusterId, forced, reason, outcome, exitCode: error?.exitCode ?? 0 })
    if (problem !== null) this.warn(problem)
  }

  private documentOf(result: Result): object {
    const { exitCode = 0, error = null, clusterId, warnings = [] } = result.options
    const own = this.envelope()
    const envelope = { ...own, warnings: [...own.warnings, ...warnings], ...(clusterId === undefined ? {} : { clusterId }) }
    return error ? errorDocument(envelope, error, result.data) : successDocument(envelope, exitCode, result.data)
  }

  private showFrame(outcome: Result | CliError): void {
    if (this.jsonEnabled()) {
      const document = outcome instanceof CliError ? errorDocument(this.envelope(), outcome) : this.documentOf(outcome)
      process.stdout.write(`${JSON.stringify(document)}\n`)
      return
    }
    let frame = ''
    const out = this.out.into((text) => {
      frame += typeof text === 'string' ? text : Buffer.from(text).toString('utf8')
    })
    const error = outcome instanceof CliError ? outcome : outcome.options.error
    if (!(outcome instanceof CliError)) {
      outcome.render?.(out)
      for (const warning of outcome.options.warnings ?? []) out.prose(`${out.paint('yellow', '!')} ${warning}`)
    }
    if (error) out.line(`${out.symbol('failed')} ${error.code}  ${error.message}`)
    if (!out.style.isTty) process.stdout.write(`${frame}\n`)
    else process.stdout.write(`\u001b[H${frame.replaceAll('\n', '\u001b[K\n')}\u001b[J`)
  }

  private print(document: object): void {
    this.printed = true
    process.stdout.write(`${this.watching ? JSON.stringify(document) : JSON.stringify(document, null, 2)}\n`)
  }

  private createOutput(): Output {
    const flags = this.outputFlagValues
    const noColor = flags['no-color'] === true || this.argv.includes('--no-color') || isTrue(this.setting('no-color'))
    return new Output({
      stdout: (text) => process.stdout.write(text),
      stderr: (text) => process.stderr.write(text),
      style: styleOf(process.stdout, { noColor }),
      errorStyle: styleOf(process.stderr, { noColor }),
      quiet: flags.quiet === true,
      verbose: flags.verbose === true,
      wide: flags.wide === true || isTrue(this.setting('wide')),
      noHeaders: flags['no-headers'] === true,
      ...(flags.columns === undefined ? {} : { columns: flags.columns.split(',').map((name) => name.trim()) }),
    })
  }

  /** A question may be asked here. */
  protected get mayAsk(): boolean {
    return mayPrompt(this.promptRules())
  }

  private promptRules() {
    return { json: this.jsonEnabled(), noInput: this.outputFlagValues['no-input'] === true }
  }

  /** A pipe that closed (`status | head -1`) ends us quietly; SIGINT is 130 and SIGTERM 143, after the cleanups. */
  private listenForSignals(): void {
    const onPipeError = (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0)
    }
    process.stdout.on('error', onPipeError)
    process.stderr.on('error', onPipeError)
    if (!this.endsOnSignal) return
    const end = (code: 'E_INTERRUPTED' | 'E_TERMINATED') => {
      this.interruption.abort()
      // The terminal shows ^C where the cursor was.
      if (process.stderr.isTTY) process.stderr.write('\n')
      for (const cleanup of this.cleanups) cleanup()
      this.fail(new CliError(code, code === 'E_INTERRUPTED' ? 'interrupted' : 'terminated', { hint: '' }))
      process.exit()
    }
    process.once('SIGINT', () => end('E_INTERRUPTED'))
    process.once('SIGTERM', () => end('E_TERMINATED'))
  }

  /** False for a command that stops by itself when asked to, as a server does: it then listens for signals on its own. */
  protected get endsOnSignal(): boolean {
    return true
  }
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && /^(1|true|yes|on)$/i.test(value)
}

/** `--watch` takes its value after `=` only; oclif wants every option to have one. */
function watchWithValue(argv: readonly string[]): string[] {
  const end = argv.indexOf('--')
  return argv.map((word, at) => (word === '--watch' && (end < 0 || at < end) ? `--watch=${DEFAULT_WATCH}` : word))
}
