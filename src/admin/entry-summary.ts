import { decodeConfiguration } from '../raft/configuration.js'
import { EntryType } from '../raft/log-entry.js'
import type { LogIndex, Term } from '../raft/types.js'
import { configurationText } from '../rpc/configuration-text.js'

/** What a machine says about one of its commands. */
export interface CommandSummary {
  /** put, delete, txn, … */
  readonly operation: string
  readonly summary: string
  /** Wall clock of the leader that proposed it; null where the command carries none. */
  readonly timeMs: number | null
}

/** Null for bytes that are no command of the machine. */
export type CommandDecoder = (data: Buffer) => CommandSummary | null

export type EntryKind = 'data' | 'configuration' | 'no_op'

/** One entry of a log as the commands show it, from a node or from a directory. */
export interface LogRow {
  readonly index: number
  readonly term: number
  readonly type: EntryKind
  /** Bytes of its data, header left out. */
  readonly bytes: number
  readonly operation: string | null
  readonly summary: string
  readonly timeMs: number | null
  /** Null where it cannot be known: in a directory. */
  readonly committed: boolean | null
  readonly applied: boolean | null
  /** Its data in hex; null unless asked for. */
  readonly hex: string | null
}

export function entryKind(type: EntryType): EntryKind {
  return type === EntryType.DATA ? 'data' : type === EntryType.CONFIGURATION ? 'configuration' : 'no_op'
}

/** What stands in an entry, in one line. */
export function summarize(
  entry: { readonly index: LogIndex; readonly term: Term; readonly type: EntryType; readonly data: Buffer },
  decode: CommandDecoder | null,
): CommandSummary {
  if (entry.type === EntryType.NO_OP) return { operation: 'no-op', summary: '', timeMs: null }
  if (entry.type === EntryType.CONFIGURATION) {
    const configuration = decodeConfiguration(entry.data, { index: entry.index, term: entry.term })
    return { operation: 'config', summary: configuration ? configurationText(configuration, () => '') : 'no configuration', timeMs: null }
  }
  return decode?.(entry.data) ?? { operation: 'data', summary: '', timeMs: null }
}

/** Which rows are wanted; null takes all. */
export interface LogFilter {
  readonly types: ReadonlySet<EntryKind> | null
  readonly term: number | null
  readonly pattern: RegExp | null
}

export const EVERYTHING: LogFilter = { types: null, term: null, pattern: null }

export function isFiltering({ types, term, pattern }: LogFilter): boolean {
  return types !== null || term !== null || pattern !== null
}

export function passes(row: LogRow, { types, term, pattern }: LogFilter): boolean {
  if (types !== null && !types.has(row.type)) return false
  if (term !== null && row.term !== term) return false
  return pattern === null || pattern.test(`${row.operation ?? row.type} ${row.summary}`)
}

/** The part of a log that is asked for. */
export interface LogRange {
  /** Null: from the first entry, or the newest `last`. */
  readonly from: number | null
  /** Null: to the end. */
  readonly to: number | null
  /** How many of the newest, when there is no `from`. */
  readonly last: number
}
