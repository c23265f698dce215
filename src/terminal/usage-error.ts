import { didYouMean } from './did-you-mean.js'
import { CliError, isErrorCode } from './errors.js'

interface ParserError extends Error {
  /** UnexpectedArgsError: words. RequiredArgsError: definitions. */
  readonly args?: readonly (string | { readonly name?: string; readonly description?: string })[]
  /** NonExistentFlagsError: words. */
  readonly flags?: readonly string[]
}

export interface KnownFlag {
  readonly char?: string
}

/** What the parser of oclif threw, as a usage error that names the likely flag. */
export function usageError(thrown: unknown, command: string, knownFlags: Readonly<Record<string, KnownFlag>>): CliError {
  const error = thrown as ParserError
  const hint = `raftctl ${command} --help`
  if (error.flags && error.flags.length > 0) return unknownFlag(error.flags, command, Object.keys(knownFlags))
  if (error.args && error.args.length > 0) {
    const words = error.args.map((one) => (typeof one === 'string' ? one : (one.name ?? '').toUpperCase()))
    const missing = typeof error.args[0] !== 'string'
    const s = words.length === 1 ? '' : 's'
    return new CliError('E_USAGE', `${missing ? 'missing' : 'unexpected'} argument${s} ${words.join(', ')}`, { hint })
  }
  const own = thrown instanceof CliError ? thrown.hint : hint
  return new CliError('E_USAGE', cleaned(error.message), { hint: own })
}

function unknownFlag(flags: readonly string[], command: string, known: readonly string[]): CliError {
  const first = flags[0] as string
  const name = first.replace(/^-+/, '').replace(/=.*$/, '')
  const best = first.startsWith('--') ? didYouMean(name, known) : null
  const what = flags.length === 1 ? `unknown flag ${first}` : `unknown flags ${flags.join(', ')}`
  return new CliError('E_USAGE', `${what}${best ? `; did you mean --${best}?` : ''}`, {
    hint: `raftctl ${command} --help`,
    details: { flags, didYouMean: best === null ? null : `--${best}` },
  })
}

/** `Parsing --timeout \n\t"5" is not a duration\nSee more help with --help` → `--timeout: "5" is not a duration`. */
function cleaned(message: string): string {
  return message
    .replace(/\n?See more help with --help\s*$/, '')
    .replace(/^Parsing (--\S+)\s+/, '$1: ')
    .replace(/^The following errors? occurred:\s*/, '')
    .replace(/^Flag (--\S+) expects/, '$1 expects')
    .replace(/\s*\n\s*/g, ' · ')
    .trim()
}

/** Anything thrown, as an error of the registry. Code that may not know this folder throws errors with a `code` of the registry. */
export function asCliError(thrown: unknown): CliError {
  if (thrown instanceof CliError) return thrown
  const error = thrown as Partial<{
    name: string
    code: unknown
    message: string
    hint: string
    details: Record<string, unknown>
    data: unknown
  }>
  if (error?.name === 'ExitPromptError') return new CliError('E_INTERRUPTED', 'interrupted', { hint: '' })
  const message = error?.message || String(thrown)
  if (typeof error?.code === 'string' && isErrorCode(error.code)) {
    return new CliError(error.code, message, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(error.details === undefined ? {} : { details: error.details }),
      ...(error.data === undefined ? {} : { data: error.data }),
      cause: thrown,
    })
  }
  return new CliError('E_INTERNAL', message, { cause: thrown })
}
