import { type EntryBatch, EntryType } from '../raft/log-entry.js'
import { type LogIndex, logIndex, plus } from '../raft/types.js'
import { firstIndexOf, lastIndexOf } from './data-check-log.js'
import { type GroupContents, readGroup } from './data-contents.js'
import type { DataDirectory } from './data-directory.js'
import type { Finding } from './data-findings.js'
import { findingsOf, settledLook } from './data-verify.js'
import { type CommandDecoder, entryKind, type LogFilter, type LogRange, type LogRow, passes, summarize } from './entry-summary.js'
import { rangeProblem } from './log-range.js'

/** `data` of `data log --json`. */
export interface DirectoryLog {
  readonly directory: string
  readonly group: string | null
  readonly pid: number | null
  readonly firstIndex: number
  /** One less than the first when the log is empty. */
  readonly lastIndex: number
  readonly entries: readonly LogRow[]
  /** What is wrong with the log: it ends what can be read. */
  readonly findings: readonly Finding[]
}

export interface DirectoryLogOptions extends LogRange {
  readonly filter: LogFilter
  readonly hex: boolean
  readonly decode: CommandDecoder | null
}

/** Reads entries of a directory's log. Throws E_COMPACTED or E_NO_ENTRY when the whole range is not there. */
export async function readDirectoryLog(directory: DataDirectory, options: DirectoryLogOptions): Promise<DirectoryLog> {
  const place = directory.groups[0]!
  const { log } = await settledLook(directory, () => {
    // What is in the snapshots is of no interest here.
    using contents = readGroup({ ...place, machine: null })
    const all = findingsOf(directory, contents)
    const findings = all.filter(({ severity, index }) => severity !== 'warning' && index !== null)
    const [firstIndex, lastIndex] = [firstIndexOf(contents), lastIndexOf(contents)]
    const problem = rangeProblem(options, { what: directory.path, firstIndex, lastIndex, command: `raftctl data log ${directory.path}` })
    const entries = problem ? [] : options.from === null ? newest(contents, options) : oldest(contents, options)
    const header = { directory: directory.path, group: place.group, pid: directory.holder?.pid ?? null }
    return { findings, log: { ...header, firstIndex, lastIndex, entries, findings, problem } }
  })
  const { problem, ...found } = log
  if (problem) throw problem
  return found
}

function oldest(contents: GroupContents, options: DirectoryLogOptions): LogRow[] {
  const rows: LogRow[] = []
  for (const row of rowsBetween(contents, logIndex(options.from!), logIndex(options.to ?? Number.MAX_SAFE_INTEGER), options))
    if (passes(row, options.filter)) rows.push(row)
  return rows
}

/** Backwards, a window at a time: the newest entries of a long log are at hand at once. */
function newest(contents: GroupContents, options: DirectoryLogOptions): LogRow[] {
  const first = firstIndexOf(contents)
  let end = logIndex(Math.min(options.to ?? Number.MAX_SAFE_INTEGER, lastIndexOf(contents)))
  let window = options.last
  let rows: LogRow[] = []
  while (end >= first && rows.length < options.last) {
    const start = logIndex(Math.max(first, end - window + 1))
    rows = [...[...rowsBetween(contents, start, end, options)].filter((row) => passes(row, options.filter)), ...rows]
    end = plus(start, -1)
    window = Math.max(window * 2, 1024)
  }
  return rows.slice(-options.last)
}

function* rowsBetween(contents: GroupContents, from: LogIndex, to: LogIndex, options: DirectoryLogOptions): Generator<LogRow> {
  const first = firstIndexOf(contents)
  for (const file of contents.segments) {
    if (file.segment.count === 0 || file.segment.lastIndex < from || file.segment.firstIndex > to) continue
    for (const batch of file.entries(from < first ? first : from, to)) yield* rowsOf(batch, options)
  }
}

export function* rowsOf(
  batch: EntryBatch,
  { decode, hex }: { readonly decode: CommandDecoder | null; readonly hex: boolean },
): Generator<LogRow> {
  for (let index = batch.firstIndex; index <= batch.lastIndex; index = plus(index, 1)) {
    const [term, type, data] = [batch.termAt(index), batch.typeAt(index), batch.dataAt(index)]
    const { operation, summary, timeMs } = summarize({ index, term, type, data }, decode)
    yield {
      ...{ index, term, type: entryKind(type), bytes: data.length, summary, timeMs },
      operation: type === EntryType.DATA && operation === 'data' ? null : operation,
      committed: null,
      applied: null,
      hex: hex ? data.toString('hex') : null,
    }
  }
}
