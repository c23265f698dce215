import { setTimeout as pause } from 'node:timers/promises'
import { CliError } from '../terminal/errors.js'
import { ClusterClient } from './cluster-client.js'
import { survey } from './discovery.js'
import type { SentEntry } from './engines/engine.js'
import { type LogFilter, type LogRow, passes } from './entry-summary.js'
import { chooseSource, type LogSource, sourcesOf } from './log-source.js'

export interface TailOptions {
  /** First index; null begins with the newest `last`. */
  readonly from: number | null
  readonly last: number
  /** Name or address of the one member to read; null lets it change. */
  readonly node: string | null
  /** Also what is not committed yet. */
  readonly uncommitted: boolean
  readonly filter: LogFilter
}

/** One line of `log tail -f --json`. */
export interface TailRow extends LogRow {
  /** Who sent it. */
  readonly node: string
  /** Term of the uncommitted entry at this index that was shown before and is replaced by this one; null otherwise. */
  readonly replaces: number | null
}

/** How often it is asked whether the member that is read is still the one to read. */
const LOOK_MS = 1000
const RETRY_MS = 200
/** A member that does not answer this fast is not worth waiting for: another one may. */
const ANSWER_MS = 1000

/**
 * Follows the log of a cluster through changes of leaders and losses of members.
 *
 * Reads one member, the leader where there is one; when that ends, hangs or no longer leads, goes on at the next index on
 * another. Notes go to `note`: where it reads, and that nobody answers.
 *
 * Invariants
 * - Committed entries come in order, none twice, none left out: a gap is an error, never passed over.
 * - With `uncommitted`, an index comes again only when its entry was replaced by one of a newer term, and says so.
 */
export class LogTail implements Disposable {
  private readonly client: ClusterClient
  private readonly order: TailOrder
  /** Where the one member answers that may be read; null: any. */
  private only: string | null = null

  constructor(
    client: ClusterClient,
    private readonly options: TailOptions,
    private readonly signal: AbortSignal,
    private readonly note: (text: string) => void,
  ) {
    const { connection } = client
    this.client = new ClusterClient({ ...connection, timeoutMs: Math.min(connection.timeoutMs, ANSWER_MS) })
    this.order = new TailOrder(options.uncommitted)
  }

  [Symbol.dispose](): void {
    this.client[Symbol.dispose]()
  }

  /** Until aborted. Throws E_UNREACHABLE when nobody answers at first, E_COMPACTED when what comes next is nowhere any more. */
  async *rows(): AsyncGenerator<TailRow> {
    const compacted = new Set<string>()
    for (
      let source: LogSource | null = await this.first();
      source !== null && !this.signal.aborted;
      source = await this.another(compacted)
    ) {
      const before = this.order.next
      try {
        yield* this.read(source)
      } catch (thrown) {
        if (!(thrown instanceof CliError) || !PASSING.has(thrown.code)) throw thrown
        if (this.order.next > before) compacted.clear()
        if (thrown.code === 'E_COMPACTED') compacted.add(source.endpoint)
        this.note(`${source.id}: ${thrown.message}`)
      }
    }
  }

  private async first(): Promise<LogSource> {
    const source = chooseSource(await survey(this.client), this.options.node)
    const { firstIndex, lastIndex, commitIndex } = source.report
    const { from, last, uncommitted } = this.options
    const newest = uncommitted ? lastIndex : commitIndex
    if (from !== null && from < firstIndex)
      throw new CliError(
        'E_COMPACTED',
        `entries ${from} to ${firstIndex - 1} are gone from ${source.id}: its log holds ${firstIndex} to ${lastIndex}`,
      )
    this.order.begin(from ?? Math.max(firstIndex, newest - last + 1))
    this.only = this.options.node === null ? null : source.endpoint
    return source
  }

  /** Somebody else to read, or the same one again; waits until somebody answers. Null once aborted. */
  private async another(compacted: ReadonlySet<string>): Promise<LogSource | null> {
    let told = false
    while (!this.signal.aborted) {
      await pause(RETRY_MS, undefined, { signal: this.signal }).catch(() => {})
      const sources = sourcesOf(await survey(this.client)).filter(({ endpoint }) => this.only === null || endpoint === this.only)
      const fit = sources.filter(({ endpoint, report }) => !compacted.has(endpoint) && report.error === null)
      if (fit[0]) return fit[0]
      if (sources.length > 0 && sources.every(({ endpoint }) => compacted.has(endpoint)))
        throw new CliError(
          'E_COMPACTED',
          `entry ${this.order.next} is gone from every member that answers; ${sources.map(({ id, report }) => `${id} holds ${report.firstIndex} to ${report.lastIndex}`).join(', ')}`,
        )
      if (!told) this.note('no member answers; trying again')
      told = true
    }
    return null
  }

  private async *read(source: LogSource): AsyncGenerator<TailRow> {
    const leaving = new AbortController()
    const watch = this.watch(source, leaving)
    const call = { endpoint: source.endpoint, group: this.client.group, from: this.order.next, to: null }
    this.order.connected()
    this.note(`reading ${source.id} from entry ${this.order.next}`)
    try {
      const entries = this.client.engine.readLog(
        { ...call, follow: true, committedOnly: !this.options.uncommitted, withData: false },
        AbortSignal.any([this.signal, leaving.signal]),
      )
      for await (const entry of entries) {
        const replaces = this.order.take(entry, source.id)
        if (replaces === 'seen') continue
        const { data: _data, commitIndex: _commitIndex, ...row } = entry
        if (passes(row, this.options.filter)) yield { ...row, node: source.id, replaces }
      }
    } finally {
      leaving.abort()
      await watch
    }
  }

  /** Leaves a member that does not answer any more, or that another one leads instead of. */
  private async watch(source: LogSource, leaving: AbortController): Promise<void> {
    const signal = AbortSignal.any([this.signal, leaving.signal])
    while (!signal.aborted) {
      await pause(LOOK_MS, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      const sources = sourcesOf(await survey(this.client))
      const answers = sources.some(({ endpoint }) => endpoint === source.endpoint)
      const other = this.only === null && sources.some(({ endpoint, leads }) => leads && endpoint !== source.endpoint)
      if (!answers || other) leaving.abort()
    }
  }
}

/** What a member may answer without the tail being over: another one may go on. */
const PASSING: ReadonlySet<string> = new Set(['E_UNREACHABLE', 'E_COMPACTED', 'E_NO_GROUP', 'E_CORRUPT', 'E_BUSY', 'E_NO_ENTRY'])

/**
 * What was shown and what comes next, whoever sends it.
 *
 * Invariant: every entry below `next` was shown. Above `floor` those that were shown may still be replaced; their terms are kept.
 */
export class TailOrder {
  /** Everything up to here is committed and was shown. */
  private floor = 0
  /** Term of what was shown last at each index above the floor. */
  private readonly terms = new Map<number, number>()
  /** Index that the member sent last; 0 before its first. */
  private sent = 0

  constructor(private readonly uncommitted: boolean) {}

  begin(from: number): void {
    this.floor = from - 1
  }

  /** Where to go on reading: what may have been replaced is read again. */
  get next(): number {
    return this.floor + 1
  }

  connected(): void {
    this.sent = 0
  }

  /** Null: show it. A term: show it, it replaces the entry of that term. 'seen': it was shown. Throws when something was left out. */
  take(entry: Pick<SentEntry, 'index' | 'term' | 'commitIndex'>, node: string): number | null | 'seen' {
    const expected = this.sent === 0 ? this.next : this.sent + 1
    if (entry.index > expected || (entry.index < expected && !this.uncommitted))
      throw new CliError(
        'E_INTERNAL',
        `${node} sent entry ${entry.index} where ${expected} comes next: entries were left out or come twice`,
      )
    this.sent = entry.index
    if (entry.index <= this.floor) return 'seen'
    const before = this.terms.get(entry.index)
    this.terms.set(entry.index, entry.term)
    this.settle(Math.min(entry.commitIndex, entry.index))
    if (before === undefined) return null
    return before === entry.term ? 'seen' : before
  }

  /** In the order of one member's log nothing up to `index` can be replaced any more. */
  private settle(index: number): void {
    for (; this.floor < index; this.floor++) this.terms.delete(this.floor + 1)
  }
}
