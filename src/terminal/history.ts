import { appendFileSync, mkdirSync } from 'node:fs'
import { userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { stateDirectory } from './paths.js'

/** What became of one mutation; a line of the history. */
export interface HistoryRecord {
  /** `member remove`. */
  readonly command: string
  /** `remove n3`. */
  readonly title: string
  readonly plan: string
  readonly context: string | null
  readonly clusterId: string | null
  readonly forced: boolean
  readonly reason: string | null
  /** `ok`, or the code of the error. */
  readonly outcome: string
  readonly exitCode: number
}

export function historyFile(): string {
  return join(stateDirectory(), 'history.jsonl')
}

/** Appends a line. The change itself is done by now: a history that cannot be written answers why instead of failing it. */
export function appendHistory(record: HistoryRecord, now: Date = new Date()): string | null {
  const line = JSON.stringify({ time: now.toISOString(), user: userName(), ...record })
  const file = historyFile()
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
    appendFileSync(file, `${line}\n`, { mode: 0o600 })
    return null
  } catch (error) {
    return `the history could not be written: ${(error as Error).message}`
  }
}

function userName(): string | null {
  try {
    return userInfo().username
  } catch {
    // A uid without an entry in the password file.
    return null
  }
}
