import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Logger, pino } from 'pino'
import type { RaftEvent } from '../raft/events.js'
import { eventFields } from '../rpc/event-log.js'
import type { NodeConfiguration } from './configuration.js'
import type { StartError } from './start-error.js'

export type { Logger } from 'pino'

/**
 * The log of a node: JSON lines, one per event, on stderr or in the log file. The event's name is the message and public;
 * info is for changes an operator cares about. Lines are written at once: the last one before a crash is there.
 */
export function openLog({ name, logLevel, logFile }: Pick<NodeConfiguration, 'name' | 'logLevel' | 'logFile'>): Logger {
  if (logFile) makeDirectories(dirname(logFile))
  const destination = pino.destination({ dest: logFile ?? 2, sync: true })
  return pino(
    {
      level: logLevel,
      base: { node: name },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  )
}

/** One by one: Node's recursive mkdir never returns where the file system says ENOENT although the parent is there (/proc). */
function makeDirectories(path: string): void {
  const missing: string[] = []
  for (let at = path; !existsSync(at); at = dirname(at)) missing.unshift(at)
  for (const at of missing) mkdirSync(at)
}

const LEVELS: Partial<Record<RaftEvent['name'], 'info' | 'warn' | 'error'>> = {
  'node.started': 'info',
  'node.founded': 'info',
  'founding.waiting': 'warn',
  'founding.missed': 'warn',
  'node.rebuild-needed': 'error',
  'node.removed': 'error',
  'node.error': 'error',
  'node.stopped': 'info',
  'state.changed': 'info',
  'election.won': 'info',
  'leader.followed': 'info',
  'leader.lost': 'warn',
  'leader.handover': 'info',
  'node.stood-still': 'warn',
  'clock.went-back': 'warn',
  'disk.stalled': 'warn',
  'disk.recovered': 'info',
  'leader.stalled': 'warn',
  'leader.short': 'warn',
  'readonly.entered': 'warn',
  'readonly.left': 'info',
  'log.tail-cut': 'warn',
  'log.truncated': 'warn',
  'log.reset': 'warn',
  'snapshot.saved': 'info',
  'snapshot.sending': 'info',
  'snapshot.installed': 'info',
  'snapshot.failed': 'warn',
  'node.rebuilt': 'info',
  'member.settled': 'info',
  'configuration.committed': 'info',
  'configuration.stage': 'info',
  'configuration.reset': 'warn',
  'alarm.raised': 'error',
  'alarm.cleared': 'info',
  'peer.refused': 'warn',
  'peer.up': 'info',
  'peer.down': 'warn',
}

export function logEvent(log: Logger, event: RaftEvent): void {
  const level = LEVELS[event.name] ?? 'debug'
  if (log.isLevelEnabled(level)) log[level]({ group: event.groupId, ...eventFields(event) }, event.name)
}

/** The last line of a start that failed: a program that started the node reads it. */
export function logStartFailure(log: Logger, error: StartError, exitCode: number): void {
  log.fatal({ code: error.code, exitCode, hint: error.hint }, error.message)
}
