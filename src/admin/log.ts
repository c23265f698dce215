import { crc32c } from '../storage/checksum.js'
import { CliError } from '../terminal/errors.js'
import type { ClusterClient } from './cluster-client.js'
import { survey } from './discovery.js'
import type { LogCall, SentEntry } from './engines/engine.js'
import { type LogFilter, type LogRange, type LogRow, passes } from './entry-summary.js'
import { firstWanted, rangeProblem } from './log-range.js'
import { chooseSource, findSource, type LogSource, sourcesOf } from './log-source.js'
import { statusOf } from './status.js'

/** `data` of `log show --json`. */
export interface LogExcerpt {
  readonly group: string
  /** Whose log it is. */
  readonly node: string
  readonly firstIndex: number
  readonly lastIndex: number
  readonly commitIndex: number
  readonly appliedIndex: number
  readonly entries: readonly LogRow[]
}

export interface ShowOptions extends LogRange {
  /** Name or address of the member to ask; null asks the leader. */
  readonly node: string | null
  readonly filter: LogFilter
  readonly hex: boolean
  readonly committedOnly: boolean
}

export interface Shown<T> {
  readonly data: T
  readonly clusterId: string | null
  readonly warnings: readonly string[]
}

const WINDOW = 1024

/** Reads a part of one member's log. Throws E_COMPACTED or E_NO_ENTRY when the whole range is not there. */
export async function showLog(client: ClusterClient, options: ShowOptions): Promise<Shown<LogExcerpt>> {
  const { source, found } = await findSource(client, options.node)
  const { firstIndex, lastIndex, commitIndex, appliedIndex, group } = source.report
  const extent = { what: source.id, firstIndex, lastIndex, command: 'raftctl log show' }
  const problem = rangeProblem(options, extent)
  if (problem) throw problem
  const entries = options.from === null ? await newest(client, source, options) : await oldest(client, source, options)
  const isCut = options.from !== null && options.from < firstIndex
  return {
    data: { group, node: source.id, firstIndex, lastIndex, commitIndex, appliedIndex, entries },
    clusterId: found.clusterId,
    warnings: isCut ? [`entries ${options.from} to ${firstIndex - 1} were cut; ${source.id} holds ${firstIndex} to ${lastIndex}`] : [],
  }
}

async function oldest(client: ClusterClient, source: LogSource, options: ShowOptions): Promise<LogRow[]> {
  const { firstIndex } = source.report
  return await rowsBetween(client, source, { from: firstWanted(options, firstIndex), to: options.to }, options)
}

/** Backwards, a window at a time: with filters more has to be read than is shown. */
async function newest(client: ClusterClient, source: LogSource, options: ShowOptions): Promise<LogRow[]> {
  const { firstIndex, lastIndex, commitIndex } = source.report
  let to = Math.min(options.to ?? Number.MAX_SAFE_INTEGER, options.committedOnly ? commitIndex : lastIndex)
  let window = options.last
  let rows: LogRow[] = []
  while (to >= firstIndex && rows.length < options.last) {
    const from = Math.max(firstIndex, to - window + 1)
    rows = [...(await rowsBetween(client, source, { from, to }, options)), ...rows]
    to = from - 1
    window = Math.max(window * 2, WINDOW)
  }
  return rows.slice(-options.last)
}

async function rowsBetween(
  client: ClusterClient,
  source: LogSource,
  range: { readonly from: number; readonly to: number | null },
  options: ShowOptions,
): Promise<LogRow[]> {
  const rows: LogRow[] = []
  for (const sent of await readAll(client, source, { ...range, committedOnly: options.committedOnly, withData: options.hex })) {
    const { data, commitIndex: _, ...row } = sent
    if (passes(row, options.filter)) rows.push(options.hex ? { ...row, hex: data.toString('hex') } : row)
  }
  return rows
}

type Part = Pick<LogCall, 'from' | 'to' | 'committedOnly' | 'withData'>

async function readAll(client: ClusterClient, { endpoint }: LogSource, part: Part): Promise<SentEntry[]> {
  const { group } = client
  const { timeoutMs } = client.connection
  const rows: SentEntry[] = []
  // The deadline is for the next entry, not for all of them.
  const silence = new AbortController()
  const fall = () => silence.abort()
  let timer = setTimeout(fall, timeoutMs)
  try {
    for await (const row of client.engine.readLog({ endpoint, group, follow: false, ...part }, silence.signal)) {
      rows.push(row)
      clearTimeout(timer)
      timer = setTimeout(fall, timeoutMs)
    }
  } finally {
    clearTimeout(timer)
  }
  if (silence.signal.aborted) throw new CliError('E_UNREACHABLE', `${endpoint} sent nothing for ${timeoutMs} ms`)
  return rows
}

/** What one member has at an index. */
export interface HolderRow {
  readonly node: string
  /** same: this very entry. other: another one. missing: nothing yet. compacted: cut off. DOWN: it does not answer. */
  readonly holds: 'same' | 'other' | 'missing' | 'compacted' | 'DOWN'
  readonly term: number | null
  readonly committed: boolean | null
  readonly applied: boolean | null
}

/** `data` of `log get --json`. */
export interface EntryView {
  readonly group: string
  readonly node: string
  readonly entry: LogRow
  /** CRC-32C of the data, in hex. */
  readonly crc32c: string
  readonly holders: readonly HolderRow[]
}

interface Held {
  readonly source: LogSource
  readonly entry: SentEntry | null
  readonly problem: CliError | null
}

/** One entry, and who holds it. Throws E_COMPACTED, E_NO_ENTRY; E_DIVERGED when two members committed different ones. */
export async function getEntry(client: ClusterClient, index: number, wanted: string | null): Promise<Shown<EntryView>> {
  const found = await survey(client)
  const source = chooseSource(found, wanted)
  const held = await Promise.all(sourcesOf(found).map((one) => entryAt(client, one, index)))
  const own = held.find((one) => one.source.endpoint === source.endpoint)!
  const { firstIndex, lastIndex, group } = source.report
  if (own.entry === null) {
    const extent = { what: source.id, firstIndex, lastIndex, command: 'raftctl log show' }
    throw (
      own.problem ??
      rangeProblem({ from: index, to: index, last: 1 }, extent) ??
      new CliError('E_NO_ENTRY', `there is no entry ${index} on ${source.id}`)
    )
  }
  const { data, commitIndex: _, ...row } = own.entry
  const silent = statusOf(found)
    .status.nodes.filter((row) => row.role !== null && !row.reachable)
    .map(({ id }): HolderRow => ({ node: id, holds: 'DOWN', term: null, committed: null, applied: null }))
  const holders = [...held.map((one) => holderOf(one, own.entry!, index)), ...silent]
  const view = {
    group,
    node: source.id,
    entry: { ...row, hex: data.toString('hex') },
    crc32c: crc32c(data).toString(16).padStart(8, '0'),
    holders,
  }
  refuseDivergence(view, held)
  return { data: view, clusterId: found.clusterId, warnings: [] }
}

async function entryAt(client: ClusterClient, source: LogSource, index: number): Promise<Held> {
  try {
    const [entry] = await readAll(client, source, { from: index, to: index, committedOnly: false, withData: true })
    return { source, entry: entry ?? null, problem: null }
  } catch (thrown) {
    if (!(thrown instanceof CliError)) throw thrown
    return { source, entry: null, problem: thrown }
  }
}

function holderOf({ source, entry, problem }: Held, wanted: SentEntry, index: number): HolderRow {
  const nothing = { node: source.id, term: null, committed: null, applied: null }
  if (entry === null) {
    if (problem?.code === 'E_COMPACTED') return { ...nothing, holds: 'compacted', committed: true, applied: true }
    return { ...nothing, holds: problem === null || index > source.report.lastIndex ? 'missing' : 'DOWN' }
  }
  return {
    node: source.id,
    holds: isSame(entry, wanted) ? 'same' : 'other',
    term: entry.term,
    committed: entry.committed,
    applied: entry.applied,
  }
}

function isSame(a: SentEntry, b: SentEntry): boolean {
  return a.term === b.term && a.type === b.type && a.data.equals(b.data)
}

function refuseDivergence(view: EntryView, held: readonly Held[]): void {
  const committed = held.filter(({ entry }) => entry?.committed)
  const other = committed.find(({ entry }) => !isSame(entry!, committed[0]!.entry!))
  if (!other) return
  const [a, b] = [committed[0]!, other]
  throw new CliError(
    'E_DIVERGED',
    `entry ${view.entry.index} is committed on ${a.source.id} in term ${a.entry!.term} and on ${b.source.id} in term ${b.entry!.term}, and they differ`,
    { data: view },
  )
}

/** `data` of `log stats --json`. */
export interface LogStatistics {
  readonly group: string
  readonly node: string
  readonly firstIndex: number
  readonly lastIndex: number
  readonly commitIndex: number
  readonly entries: number
  /** Null, as everything besides the indexes, where the node does not say. */
  readonly bytes: number | null
  readonly segments: number | null
  readonly byType: readonly { readonly type: string; readonly entries: number; readonly bytes: number }[] | null
  /** Entries per second that were appended while this was asked. */
  readonly rate: number
  readonly snapshotIndex: number | null
  /** Entries that a start applies anew: those behind the snapshot. */
  readonly behindSnapshot: number
  readonly largest: readonly LogRow[] | null
}

const RATE_WINDOW_MS = 500

/** The log of one member in numbers. */
export async function logStatistics(client: ClusterClient, wanted: string | null): Promise<Shown<LogStatistics>> {
  const { source, found } = await findSource(client, wanted)
  const call = { endpoint: source.endpoint, group: client.group }
  const startedAt = performance.now()
  const first = await client.engine.nodeStatus(call)
  const count = await client.engine.countLog(call)
  const rest = RATE_WINDOW_MS - (performance.now() - startedAt)
  if (rest > 0) await new Promise((resolve) => setTimeout(resolve, rest))
  const second = await client.engine.nodeStatus(call)
  const seconds = (performance.now() - startedAt) / 1000
  const { group } = source.report
  const { entriesByType, bytesByType, snapshotIndex, ...numbers } = count
  return {
    data: {
      ...{ group, node: source.id, commitIndex: second.commitIndex },
      ...numbers,
      byType:
        entriesByType &&
        Object.keys(entriesByType)
          .sort()
          .map((type) => ({ type, entries: entriesByType[type] ?? 0, bytes: bytesByType?.[type] ?? 0 })),
      rate: Math.max(0, Math.round((second.lastIndex - first.lastIndex) / seconds)),
      snapshotIndex: snapshotIndex > 0 ? snapshotIndex : null,
      behindSnapshot: Math.max(0, count.lastIndex - snapshotIndex),
    },
    clusterId: found.clusterId,
    warnings: [],
  }
}
