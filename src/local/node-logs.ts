import { createReadStream, existsSync, statSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { CliError } from '../terminal/errors.js'
import type { LocalNode } from './state-file.js'

/** One line of a node's log. */
export interface LogLine {
  readonly node: string
  /** Milliseconds since 1970; null for a line that is not a record. */
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

/** The lines of several nodes, in order of time. */
export async function readLogs(nodes: readonly LocalNode[], filter: LogFilter): Promise<LogLine[]> {
  const lines = (await Promise.all(nodes.map((node) => readLog(node, filter, 0)))).flatMap((read) => read.lines)
  return lines.sort((a, b) => (a.timeMs ?? 0) - (b.timeMs ?? 0))
}

/** Yields new lines as they are written, until aborted. */
export async function* followLogs(nodes: readonly LocalNode[], filter: LogFilter, signal: AbortSignal): AsyncGenerator<LogLine> {
  const positions = new Map(nodes.map((node) => [node.name, existsSync(node.logFile) ? statSync(node.logFile).size : 0]))
  while (!signal.aborted) {
    const fresh: LogLine[] = []
    for (const node of nodes) {
      const { lines, end } = await readLog(node, filter, positions.get(node.name)!)
      positions.set(node.name, end)
      fresh.push(...lines)
    }
    yield* fresh.sort((a, b) => (a.timeMs ?? 0) - (b.timeMs ?? 0))
    await pause(200, undefined, { signal }).catch(() => {})
  }
}

async function readLog(node: LocalNode, filter: LogFilter, from: number): Promise<{ lines: LogLine[]; end: number }> {
  if (!existsSync(node.logFile)) return { lines: [], end: 0 }
  const size = statSync(node.logFile).size
  const start = size < from ? 0 : from
  if (size === start) return { lines: [], end: start }
  const lines: LogLine[] = []
  const reader = createInterface({ input: createReadStream(node.logFile, { start, end: size - 1 }), crlfDelay: Number.POSITIVE_INFINITY })
  for await (const text of reader) {
    if (text.trim() === '') continue
    const line = parseLine(node.name, text)
    if (passes(line, text, filter)) lines.push(line)
  }
  return { lines, end: size }
}

function parseLine(node: string, text: string): LogLine {
  if (text.startsWith('{')) {
    try {
      const { time, level, msg, pid: _pid, hostname: _hostname, ...fields } = JSON.parse(text) as Record<string, unknown>
      return { node, timeMs: typeof time === 'number' ? time : typeof time === 'string' ? Date.parse(time) : null, level: levelName(level), message: String(msg ?? ''), fields }
    } catch {
      // Half a line: the process was killed while it wrote.
    }
  }
  return { node, timeMs: null, level: 'error', message: text, fields: {} }
}

function levelName(level: unknown): string {
  return typeof level === 'number' ? (LOG_LEVELS[level / 10 - 1] ?? String(level)) : String(level ?? 'info')
}

function passes(line: LogLine, text: string, { sinceMs, level, pattern }: LogFilter): boolean {
  if (sinceMs !== null && line.timeMs !== null && line.timeMs < Date.now() - sinceMs) return false
  if (level !== null && LOG_LEVELS.indexOf(line.level as (typeof LOG_LEVELS)[number]) < LOG_LEVELS.indexOf(level as (typeof LOG_LEVELS)[number])) return false
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
