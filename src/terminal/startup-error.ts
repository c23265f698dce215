import { styleOf } from './colour.js'
import type { CliError } from './errors.js'
import { errorDocument } from './json.js'
import { errorLines } from './output.js'
import { asCliError } from './usage-error.js'

/** Whether a command line asks for JSON, before any command has looked at it. */
export function asksForJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--')
  return (end < 0 ? argv : argv.slice(0, end)).includes('--json') || /^(1|true|yes|on)$/i.test(process.env.RAFTCTL_JSON ?? '')
}

/** Prints an error that was raised before or outside a command, in the same voice, and returns the exit code. */
export async function reportStartupError(thrown: unknown, argv: readonly string[]): Promise<number> {
  const exit = thrown as { code?: string; oclif?: { exit?: number } }
  if (exit?.code === 'EEXIT') return exit.oclif?.exit ?? 0
  const error = asCliError(thrown)
  writeError(error, argv)
  return error.exitCode
}

export function writeError(error: CliError, argv: readonly string[]): void {
  if (asksForJson(argv)) {
    const document = errorDocument({ schema: '', context: null, clusterId: null, warnings: [] }, error, undefined)
    process.stdout.write(`${JSON.stringify(document, null, 2)}\n`)
  }
  const style = styleOf(process.stderr, { noColor: argv.includes('--no-color') })
  for (const line of errorLines(style, error)) process.stderr.write(`${line}\n`)
}
