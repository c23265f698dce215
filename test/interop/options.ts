/** What `node scripts/interop.mjs` was asked for. */
export interface InteropOptions {
  /** Where braft's programs lie. */
  readonly braft: string
  readonly minutes: number
  readonly seed: number
  readonly keep: boolean
  readonly quiet: boolean
  /** In this order; all of them when none was named. */
  readonly scenarios: readonly string[]
}

export type Parsed = { readonly options: InteropOptions } | { readonly problem: string }

const MINUTES_DEFAULT = 10

export function parseOptions(args: readonly string[], known: readonly string[]): Parsed {
  let braft: string | null = null
  let minutes = MINUTES_DEFAULT
  let seed = 1
  let keep = false
  let quiet = false
  const scenarios: string[] = []
  for (let at = 0; at < args.length; at++) {
    const argument = args[at]!
    if (argument === '--braft') {
      const value = args[++at]
      if (!value || value.startsWith('-')) return { problem: '--braft takes a directory' }
      braft = value
    } else if (argument === '--minutes' || argument === '--seed') {
      const value = Number(args[++at])
      const good = argument === '--seed' ? Number.isSafeInteger(value) && value >= 0 : Number.isFinite(value) && value > 0
      if (!good)
        return { problem: `${argument} takes ${argument === '--seed' ? 'a whole number' : 'a number above 0'}, not "${args[at] ?? ''}"` }
      if (argument === '--seed') seed = value
      else minutes = value
    } else if (argument === '--keep') keep = true
    else if (argument === '--quiet') quiet = true
    else if (known.includes(argument)) scenarios.push(argument)
    else return { problem: `${argument.startsWith('-') ? 'there is no option' : 'there is no scenario'} ${argument}` }
  }
  if (braft === null) return { problem: '--braft is missing: the directory that holds the programs of braft' }
  return { options: { braft, minutes, seed, keep, quiet, scenarios: scenarios.length > 0 ? scenarios : known } }
}
