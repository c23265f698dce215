import { readFileSync } from 'node:fs'

/** What Linux says of a process; `start` in ticks since boot. */
export interface ProcessStat {
  readonly state: string
  readonly start: string
}

/**
 * What /proc says of process `pid`; null when it says nothing: no such process, not Linux, not visible to this user. A process that was killed and not yet reaped is gone once
 * its last thread is: until then one that waits for the disk keeps files and ports open, and its write may still land.
 */
export function processStat(pid: number): ProcessStat | 'gone' | null {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return null
  }
}

/** Fields 3, 20 and 22 of /proc/PID/stat, counted behind the name in parentheses, which may hold anything. */
export function parseStat(text: string): ProcessStat | 'gone' {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state, threads, start] = [fields[0]!, Number(fields[17]), fields[19]!]
  const isDead = state === 'Z' || state === 'X'
  return isDead && !(threads > 1) ? 'gone' : { state, start }
}
