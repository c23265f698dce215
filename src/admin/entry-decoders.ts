import { example } from '../generated/braft.js'
import { describeCommand } from '../machines/kv/describe.js'
import { fromInt64 } from '../raft/types.js'
import { CliError } from '../terminal/errors.js'
import type { CommandDecoder, EntryKind, LogFilter } from './entry-summary.js'

/** `auto` takes the machine of the directory: kv for one of raftctl, none for one of braft. */
export const DECODERS = ['auto', 'kv', 'counter', 'none'] as const
export type DecoderName = (typeof DECODERS)[number]

export function decoderOf(name: DecoderName, kind: 'raftctl' | 'braft'): CommandDecoder | null {
  if (name === 'none' || (name === 'auto' && kind === 'braft')) return null
  return name === 'counter' ? decodeCounter : decodeKv
}

/** A command of the key-value machine. */
export function decodeKv(data: Buffer) {
  const { type, summary, timeMs } = describeCommand(data)
  return { operation: type, summary, timeMs }
}

/** A command of braft's counter example. */
function decodeCounter(data: Buffer) {
  try {
    const value = fromInt64(example.FetchAddRequest.decode(data).value)
    return { operation: 'add', summary: String(value), timeMs: null }
  } catch {
    return null
  }
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
