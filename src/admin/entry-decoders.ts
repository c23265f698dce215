import { describerOf } from '../machines/describe.js'
import { MACHINES, type MachineKind } from '../machines/machine.js'
import { CliError } from '../terminal/errors.js'
import type { CommandDecoder, EntryKind, LogFilter } from './entry-summary.js'

/** `auto` takes the machine of the group: what its identity says, none for a directory of braft. */
export const DECODERS = ['auto', ...MACHINES, 'none'] as const
export type DecoderName = (typeof DECODERS)[number]

export function decoderOf(name: DecoderName, machine: MachineKind | null): CommandDecoder | null {
  const kind = name === 'auto' ? machine : name === 'none' ? null : name
  return kind && describerOf(kind)
}

const KINDS: Readonly<Record<string, EntryKind>> = {
  data: 'data',
  normal: 'data',
  config: 'configuration',
  configuration: 'configuration',
  noop: 'no_op',
  'no-op': 'no_op',
  no_op: 'no_op',
}

/** Reads `--type`, `--term` and `--grep`; throws E_USAGE. */
export function logFilter(flags: {
  readonly type?: string | undefined
  readonly term?: number | undefined
  readonly grep?: string | undefined
}): LogFilter {
  const types = flags.type?.split(',').map((text) => {
    const kind = KINDS[text.trim().toLowerCase()]
    if (kind) return kind
    throw new CliError('E_USAGE', `${JSON.stringify(text.trim())} is no type of log entry`, {
      hint: 'Types: data, config, noop; several with commas between.',
    })
  })
  return { types: types ? new Set(types) : null, term: flags.term ?? null, pattern: pattern(flags.grep) }
}

function pattern(text: string | undefined): RegExp | null {
  if (text === undefined) return null
  try {
    return new RegExp(text, 'i')
  } catch (error) {
    throw new CliError('E_USAGE', `--grep: ${(error as Error).message}`, { hint: 'Give a regular expression.' })
  }
}
