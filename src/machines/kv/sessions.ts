import type { raftctl } from '../../generated/kv.js'
import { assert } from '../../raft/errors.js'
import { fromInt64 } from '../../raft/types.js'
import { GrpcStatus, KvFailure } from './failure.js'

export type Answer = raftctl.kv.Answer.$Properties

/** Answers kept for one client above what it acknowledged. */
export const SESSION_ANSWERS_MAX = 1024
/** Sessions kept whatever their age. */
export const SESSIONS_KEPT = 4096
/** Sessions at most; no new one opens above it until an old one may go. */
export const SESSIONS_MAX = 65_536
/** No call may wait longer than this, so no retry comes later: a session idle for longer may be forgotten. */
export const CALL_TIMEOUT_MAX_MS = 600_000
export const CLIENT_ID_LENGTH_MAX = 64

export const SESSION_EXPIRED = new KvFailure(
  GrpcStatus.FAILED_PRECONDITION,
  'SESSION_EXPIRED',
  'the session of this client is not known: it may have been forgotten after a long silence; open a new one with sequence 1',
  'unknown',
)
export const ALREADY_ACKNOWLEDGED = new KvFailure(
  GrpcStatus.FAILED_PRECONDITION,
  'E_SEQUENCE_ACKNOWLEDGED',
  'this client said that it has the answer of this sequence number: it was forgotten and the command is not applied again',
  'unknown',
)
export const BAD_SESSION = new KvFailure(
  GrpcStatus.INVALID_ARGUMENT,
  'E_USAGE',
  'a client id has 1 to 64 characters, its sequence starts at 1 and is above what it acknowledges',
)
export const TOO_MANY_ANSWERS = new KvFailure(
  GrpcStatus.RESOURCE_EXHAUSTED,
  'E_SESSION_FULL',
  `this client left ${SESSION_ANSWERS_MAX} answers unacknowledged: acknowledge them before sending more`,
)
export const TOO_MANY_SESSIONS = new KvFailure(
  GrpcStatus.RESOURCE_EXHAUSTED,
  'E_SESSION_FULL',
  `${SESSIONS_MAX} clients have a session: wait until some are old enough to be forgotten`,
)

/** Who sent a command, and which of its commands it is. */
export interface SessionStamp {
  readonly clientId: string
  readonly sequence: number
  readonly acknowledgedThrough: number
}

/** What is remembered of one client. */
export interface Session {
  readonly clientId: string
  readonly acknowledgedThrough: number
  /** Leader-stamped time of its newest command. */
  readonly lastActiveMs: number
  /** By sequence, in the order in which they were applied. */
  readonly answers: ReadonlyMap<number, Answer>
}

/** The table at one moment: the sessions in order of eviction. */
export interface FrozenSessions {
  readonly nowMs: number
  readonly sessions: readonly Session[]
}

class OpenSession implements Session {
  lastActiveMs = 0

  constructor(
    readonly clientId: string,
    /** The table may change it in place as long as it was not frozen since. */
    readonly epoch: number,
    public acknowledgedThrough: number,
    readonly answers: Map<number, Answer>,
  ) {}
}

/**
 * Which commands were applied and what was answered, so that a retry never applies twice (Raft thesis §6.3).
 *
 * Owned by the key-value machine: it changes only with the log, so every member holds the same table. Kept in the order
 * of last use, which is also the order of eviction.
 *
 * Invariants
 * - A command of a session is applied at most once while the session lives.
 * - A session whose newest command is younger than CALL_TIMEOUT_MAX_MS, by the leaders' time, is never evicted.
 * - The time never runs back, whatever the leaders' clocks do.
 * - A session that was frozen does not change any more: its next command changes a copy.
 */
export class SessionTable {
  /** The newest leader-stamped time seen. */
  nowMs = 0
  private readonly sessions = new Map<string, OpenSession>()
  private epoch = 0

  constructor(contents: FrozenSessions = { nowMs: 0, sessions: [] }) {
    this.nowMs = contents.nowMs
    for (const session of contents.sessions) this.sessions.set(session.clientId, this.open(session))
  }

  get size(): number {
    return this.sessions.size
  }

  get(clientId: string): Session | undefined {
    return this.sessions.get(clientId)
  }

  /** The table as it is now, whatever is answered and forgotten later. Costs a pointer per session. */
  freeze(): FrozenSessions {
    this.epoch++
    return { nowMs: this.nowMs, sessions: [...this.sessions.values()] }
  }

  /** Every command passes here first, with its stamp or without. */
  advance(leaderTimeMs: number): void {
    this.nowMs = Math.max(this.nowMs, leaderTimeMs)
    while (this.sessions.size > SESSIONS_KEPT && this.evictOldest()) {
      // The oldest one that is old enough went; look at the next.
    }
  }

  /**
   * What to do with a command: the answer it got before, why it is refused, or the session in which to apply it
   * (then `remember` its answer).
   */
  admit(stamp: SessionStamp): { answer: Answer } | { refused: KvFailure } | { session: Session } {
    const { clientId, sequence, acknowledgedThrough } = stamp
    if (!isStamp(stamp)) return { refused: BAD_SESSION }
    let session = this.sessions.get(clientId)
    if (session === undefined) {
      if (sequence !== 1) return { refused: SESSION_EXPIRED }
      if (this.sessions.size >= SESSIONS_MAX && !this.evictOldest()) return { refused: TOO_MANY_SESSIONS }
      session = new OpenSession(clientId, this.epoch, 0, new Map())
    }
    session = this.touch(session)
    this.acknowledge(session, acknowledgedThrough)
    const answer = session.answers.get(sequence)
    if (answer !== undefined) return { answer }
    if (sequence <= session.acknowledgedThrough) return { refused: ALREADY_ACKNOWLEDGED }
    if (session.answers.size >= SESSION_ANSWERS_MAX) return { refused: TOO_MANY_ANSWERS }
    return { session }
  }

  /** `session` is what `admit` just gave out. */
  remember(session: Session, sequence: number, answer: Answer): void {
    assert(session instanceof OpenSession && session.epoch === this.epoch, 'an answer to a session that was frozen since')
    session.answers.set(sequence, answer)
  }

  private open({ clientId, acknowledgedThrough, lastActiveMs, answers }: Session): OpenSession {
    const session = new OpenSession(clientId, this.epoch, acknowledgedThrough, new Map(answers))
    session.lastActiveMs = lastActiveMs
    return session
  }

  /** Makes it the newest; answers the one that may be changed. */
  private touch(known: OpenSession): OpenSession {
    const session = known.epoch === this.epoch ? known : this.open(known)
    session.lastActiveMs = this.nowMs
    this.sessions.delete(session.clientId)
    this.sessions.set(session.clientId, session)
    return session
  }

  private acknowledge(session: OpenSession, through: number): void {
    if (through <= session.acknowledgedThrough) return
    session.acknowledgedThrough = through
    for (const sequence of session.answers.keys()) {
      if (sequence <= through) session.answers.delete(sequence)
    }
  }

  /** False when even the oldest session is too young. */
  private evictOldest(): boolean {
    const [oldest] = this.sessions.values()
    if (oldest === undefined || this.nowMs - oldest.lastActiveMs <= CALL_TIMEOUT_MAX_MS) return false
    this.sessions.delete(oldest.clientId)
    return true
  }
}

export function isStamp({ clientId, sequence, acknowledgedThrough }: SessionStamp): boolean {
  if (clientId === '' || clientId.length > CLIENT_ID_LENGTH_MAX) return false
  return (
    Number.isSafeInteger(sequence) &&
    Number.isSafeInteger(acknowledgedThrough) &&
    acknowledgedThrough >= 0 &&
    acknowledgedThrough < sequence
  )
}

/** Reads the stamp of a decoded command; null when its client does not name itself. */
export function stampOf(command: raftctl.kv.Command.$Properties): SessionStamp | null {
  if (!command.client_id) return null
  return {
    clientId: command.client_id,
    sequence: fromInt64(command.sequence),
    acknowledgedThrough: fromInt64(command.acknowledged_through),
  }
}
