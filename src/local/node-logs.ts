import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { CliError } from '../terminal/errors.js'
import type { LocalNode } from './state-file.js'

/** One line of a node's log. */
export interface LogLine {
  readonly node: string
  /** Milliseconds since 1970; a line that is not a record has the time of the one before it, null when there is none. */
  readonly timeMs: number | null
  readonly level: string
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

export interface LogFilter {
  /** Nothing older than this many milliseconds. */
  readonly sinceMs: number | null
  /** This level and worse. */
  readonly level: string | null
  /** Only lines that match. */
  readonly pattern: RegExp | null
}

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const

const FOLLOW_MS = 100
const CHUNK_BYTES = 1 << 20
const LINE_FEED = 10

/** The logs of several nodes, merged in order of time. Remembers how far it has read. */
export class NodeLogs {
  private readonly readers: readonly LogReader[]

  constructor(nodes: readonly LocalNode[], filter: LogFilter) {
    this.readers = nodes.map((node) => new LogReader(node, filter))
  }

  /** What was written since the last call. */
  read(): LogLine[] {
    // A stable sort: lines of one node keep their order.
    return this.readers.flatMap((reader) => reader.read()).sort((a, b) => (a.timeMs ?? 0) - (b.timeMs ?? 0))
  }

  /** Yields new lines as they are written, until aborted. */
  async *follow(signal: AbortSignal): AsyncGenerator<LogLine> {
    while (!signal.aborted) {
      yield* this.read()
      await pause(FOLLOW_MS, undefined, { signal }).catch(() => {})
    }
  }
}

/** One file, line by line: half a line waits for its other half, a file that was replaced is read from its beginning. */
class LogReader {
  private position = 0
  private inode = 0
  private rest = Buffer.alloc(0)
  private lastTimeMs: number | null = null

  constructor(
    private readonly node: LocalNode,
    private readonly filter: LogFilter,
  ) {}

  read(): LogLine[] {
    const lines: LogLine[] = []
    for (const text of this.newLines()) {
      if (text.trim() === '') continue
      const line = parseLine(this.node.name, text, this.lastTimeMs)
      this.lastTimeMs = line.timeMs
      if (passes(line, text, this.filter)) lines.push(line)
    }
    return lines
  }

  private newLines(): string[] {
    const written = this.newBytes()
    const end = written.lastIndexOf(LINE_FEED) + 1
    if (end === 0) {
      this.rest = Buffer.concat([this.rest, written])
      return []
    }
    const whole = Buffer.concat([this.rest, written.subarray(0, end)])
    this.rest = Buffer.from(written.subarray(end))
    return whole.toString('utf8').split('\n')
  }

  private newBytes(): Buffer {
    const { ino, size } = statSync(this.node.logFile, { throwIfNoEntry: false }) ?? { ino: 0, size: 0 }
    if (ino !== this.inode || size < this.position) {
      this.position = 0
      this.rest = Buffer.alloc(0)
      this.inode = ino
    }
    if (size === this.position) return Buffer.alloc(0)
    const file = openSync(this.node.logFile, 'r')
    try {
      const chunks: Buffer[] = []
      while (this.position < size) {
        const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, size - this.position))
        const length = readSync(file, chunk, 0, chunk.length, this.position)
        if (length === 0) break
        chunks.push(chunk.subarray(0, length))
        this.position += length
      }
      return Buffer.concat(chunks)
    } finally {
      closeSync(file)
    }
  }
}

function parseLine(node: string, text: string, previousMs: number | null): LogLine {
  const record = parseRecord(text)
  if (record === null) return { node, timeMs: previousMs, level: 'error', message: text.trim(), fields: {} }
  const { time, level, msg, node: _node, pid: _pid, hostname: _hostname, ...fields } = record
  return { node, timeMs: timeOf(time) ?? previousMs, level: levelName(level), message: String(msg ?? ''), fields }
}

/** Null for what is no record: words of the runtime, or half a line because the process was killed while it wrote. */
function parseRecord(text: string): Record<string, unknown> | null {
  if (!text.startsWith('{')) return null
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return null
  }
}

function timeOf(time: unknown): number | null {
  const ms = typeof time === 'string' ? Date.parse(time) : time
  return typeof ms === 'number' && Number.isFinite(ms) ? ms : null
}

function levelName(level: unknown): string {
  return typeof level === 'number' ? (LOG_LEVELS[level / 10 - 1] ?? String(level)) : String(level ?? 'info')
}

function rank(level: string): number {
  return LOG_LEVELS.indexOf(level as (typeof LOG_LEVELS)[number])
}

function passes(line: LogLine, text: string, { sinceMs, level, pattern }: LogFilter): boolean {
  if (sinceMs !== null && (line.timeMs ?? 0) < Date.now() - sinceMs) return false
  if (level !== null && rank(line.level) < rank(level)) return false
  return pattern === null || pattern.test(text)
}

/** Reads `--grep`: throws E_USAGE when it is no regular expression. */
export function grepPattern(text: string | undefined): RegExp | null {
  if (text === undefined) return null
  try {
    return new RegExp(text, 'i')
  } catch (error) {
    throw new CliError('E_USAGE', `--grep: ${(error as Error).message}`, { hint: 'Give a regular expression.' })
  }
}
