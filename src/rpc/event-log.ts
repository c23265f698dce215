import type { RaftEvent } from '../raft/events.js'

/** An event with its place in this process and its wall time. */
export interface LoggedEvent {
  readonly seq: number
  /** Wall clock, for people. */
  readonly timeMs: number
  readonly event: RaftEvent
}

/** Happens at every write: measured, never listed. */
const ROUTINE: ReadonlySet<RaftEvent['name']> = new Set(['log.durable', 'commit.advanced', 'apply.advanced', 'meta.durable'])

/**
 * The newest events of the process, for `events` and for whoever waits for one.
 *
 * Invariant: `seq` grows by one per kept event; what is older than the capacity is gone.
 */
export class EventLog {
  private readonly events: LoggedEvent[] = []
  private readonly watchers = new Set<(event: RaftEvent) => void>()
  private readonly listeners = new Set<(event: LoggedEvent) => void>()
  private seq = 0

  constructor(private readonly capacity = 4096) {}

  /** Keeps an event, unless it is routine, and tells all who listen. */
  add(event: RaftEvent): void {
    for (const watcher of this.watchers) watcher(event)
    if (ROUTINE.has(event.name)) return
    const logged = { seq: ++this.seq, timeMs: Date.now(), event }
    this.events.push(logged)
    if (this.events.length > this.capacity * 2) this.events.splice(0, this.events.length - this.capacity)
    for (const listener of [...this.listeners]) listener(logged)
  }

  /** What is kept of the events after `seq`, oldest first. */
  since(seq: number): readonly LoggedEvent[] {
    return this.events.slice(-this.capacity).filter((event) => event.seq > seq)
  }

  /** Calls `listener` for every new event until the answer is called. */
  subscribe(listener: (event: LoggedEvent) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Calls `watcher` at once for every event, those that are never listed too: it must be quick. Answers how to end it. */
  watch(watcher: (event: RaftEvent) => void): () => void {
    this.watchers.add(watcher)
    return () => this.watchers.delete(watcher)
  }

  /** `done(true)` when `condition` holds, looked at now and after every event; `done(false)` after `timeoutMs`. */
  waitFor(condition: () => boolean, timeoutMs: number, done: (held: boolean) => void): void {
    if (condition()) return done(true)
    const finish = (held: boolean) => {
      clearTimeout(timer)
      unsubscribe()
      done(held)
    }
    const timer = setTimeout(() => finish(condition()), timeoutMs)
    const unsubscribe = this.subscribe(() => condition() && finish(true))
  }
}

/** An event's own fields: numbers as they are (milliseconds to a tenth), everything else as text. */
export function eventFields(event: RaftEvent): Record<string, string | number> {
  const fields: Record<string, string | number> = {}
  for (const [key, value] of Object.entries(event)) {
    if (key === 'name' || key === 'groupId' || key === 'peerId') continue
    fields[key] = typeof value === 'number' ? Math.round(value * 10) / 10 : String(value)
  }
  return fields
}
