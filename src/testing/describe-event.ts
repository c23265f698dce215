import type { RaftEvent } from '../raft/events.js'

/** What of an event belongs in the trace. */
export function describeEvent(event: RaftEvent): string | number {
  switch (event.name) {
    case 'state.changed':
      return `${event.from} → ${event.to} term ${event.term} ${event.reason.ok ? '' : event.reason}`
    case 'commit.advanced':
    case 'apply.advanced':
    case 'log.durable':
      return event.index
    case 'log.truncated':
      return String(event.lastKept)
    case 'node.error':
      return event.status.toString()
    case 'node.removed':
      return event.reason
    case 'vote.granted':
      return `${event.candidate} term ${event.term}`
    case 'meta.durable':
      return `term ${event.term} vote ${event.votedFor.key}`
    default:
      return 'term' in event ? `term ${event.term}` : ''
  }
}
