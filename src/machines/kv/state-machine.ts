import { createHash } from 'node:crypto'
import { raftctl } from '../../generated/kv.js'
import type { Closure } from '../../raft/closure.js'
import { Status } from '../../raft/errors.js'
import { type Iterator, type LeaderChange, StateMachine } from '../../raft/raft.js'
import { fromInt64, type LogIndex, NO_INDEX, NO_TERM, type Term } from '../../raft/types.js'
import { GrpcStatus, KvFailure } from './failure.js'
import { type ByteString, bytesOf } from './keys.js'
import { executeDeleteRange, executePut, executeTxn } from './operations.js'
import { type Answer, type Session, SessionTable, stampOf } from './sessions.js'
import { KvStore } from './store.js'
import { checkDeleteRange, checkPut, checkTxn } from './validate.js'

type Command = raftctl.kv.Command.$Properties
type StateRecord = raftctl.kv.StateRecord.$Properties

/** A proposer's closure: the machine leaves its answer in it before it runs it with OK. */
export class KvClosure implements Closure {
  answer: Answer | null = null

  constructor(private readonly done: (status: Status, answer: Answer | null) => void) {}

  run(status: Status): void {
    this.done(status, this.answer)
  }
}

/**
 * The replicated key-value state: a multi-version store and the sessions of its clients.
 *
 * FSMCaller applies to it; KvService reads it between two batches. It has no clock, no randomness and looks at nothing
 * but the log: members that applied the same entries hold the same state and gave the same answers.
 */
export class KvStateMachine extends StateMachine {
  readonly store = new KvStore()
  readonly sessions = new SessionTable()
  /** Newest entry applied. */
  appliedIndex: LogIndex = NO_INDEX
  /** Newest term this member's state machine heard of. */
  term: Term = NO_TERM
  private readonly leadershipWatchers = new Set<() => void>()

  override onApply(iterator: Iterator): void {
    for (; iterator.valid(); iterator.next()) {
      const answer = this.applyCommand(iterator.data())
      this.appliedIndex = iterator.index()
      this.noteTerm(iterator.term())
      const done = iterator.done()
      if (done instanceof KvClosure) done.answer = answer
      done?.run(Status.OK)
    }
  }

  override onLeaderStart(term: Term): void {
    this.leadershipChanged(term)
  }

  override onLeaderStop(): void {
    this.leadershipChanged(this.term)
  }

  override onStartFollowing(change: LeaderChange): void {
    this.leadershipChanged(change.term)
  }

  override onStopFollowing(change: LeaderChange): void {
    this.leadershipChanged(change.term)
  }

  /** Tells `watcher` whenever this member leads, follows, or stopped to. Answers how to end it. */
  watchLeadership(watcher: () => void): () => void {
    this.leadershipWatchers.add(watcher)
    return () => this.leadershipWatchers.delete(watcher)
  }

  /** Applies one command as it stands in the log; what cannot be read is refused, the same way everywhere. */
  applyCommand(data: Uint8Array): Answer {
    const command = decodeCommand(data)
    if (command === null) return refusal(UNREADABLE)
    this.sessions.advance(fromInt64(command.leader_time_ms))
    const stamp = stampOf(command)
    if (stamp === null) return this.execute(command)
    const admitted = this.sessions.admit(stamp)
    if ('answer' in admitted) return admitted.answer
    if ('refused' in admitted) return refusal(admitted.refused)
    const answer = this.execute(command)
    this.sessions.remember(admitted.session, stamp.sequence, answer)
    return answer
  }

  /** The whole state in canonical order: nothing in it depends on the member. */
  *records(): Generator<StateRecord> {
    const { store, sessions } = this
    yield {
      header: { revision: store.revision, compacted_revision: store.compactedRevision, leader_time_ms: sessions.nowMs },
    }
    for (const versions of store.histories()) {
      yield {
        key: {
          key: bytesOf((versions[0] as { key: ByteString }).key),
          versions: versions.map((version) => ({
            mod_revision: version.modRevision,
            sub_revision: version.subRevision,
            deleted: version.deleted,
            create_revision: version.createRevision,
            version: version.version,
            value: bytesOf(version.value),
            lease: version.lease,
          })),
        },
      }
    }
    for (const session of sessions.all()) yield { session: sessionRecord(session) }
  }

  /** SHA-256 over the canonical records, each with its length before it. */
  stateHash(): string {
    const hash = createHash('sha256')
    for (const record of this.records()) {
      const bytes = raftctl.kv.StateRecord.encode(record).finish()
      const length = Buffer.alloc(4)
      length.writeUInt32LE(bytes.length)
      hash.update(length).update(bytes)
    }
    return hash.digest('hex')
  }

  /** Test fault (--enable-faults): silently changes one byte of this member's state. Answers the key, null without one. */
  flipByte(): Buffer | null {
    const key = this.store.flipByte()
    return key === null ? null : bytesOf(key)
  }

  private execute(command: Command): Answer {
    const { store } = this
    if (command.put || command.delete_range || command.txn) return this.write(command)
    if (!command.compact) return refusal(UNREADABLE)
    const problem = store.compact(fromInt64(command.compact.revision))
    return problem === null ? { compact: { header: { revision: store.revision } } } : refusal(problem)
  }

  private write(command: Command): Answer {
    const problem = command.put
      ? checkPut(command.put)
      : command.delete_range
        ? checkDeleteRange(command.delete_range)
        : checkTxn(command.txn ?? {})
    if (problem !== null) return refusal(problem)
    const transaction = this.store.begin()
    const answer = this.runWrite(command, transaction)
    if (answer instanceof KvFailure) {
      transaction.rollback()
      return refusal(answer)
    }
    transaction.end()
    return answer
  }

  private runWrite(command: Command, transaction: ReturnType<KvStore['begin']>): Answer | KvFailure {
    if (command.put) {
      const put = executePut(this.store, transaction, command.put)
      return put instanceof KvFailure ? put : { put }
    }
    if (command.delete_range) return { delete_range: executeDeleteRange(this.store, transaction, command.delete_range) }
    const txn = executeTxn(this.store, transaction, command.txn ?? {})
    return txn instanceof KvFailure ? txn : { txn }
  }

  private leadershipChanged(term: Term): void {
    this.noteTerm(term)
    for (const watcher of [...this.leadershipWatchers]) watcher()
  }

  private noteTerm(term: Term): void {
    if (term > this.term) this.term = term
  }
}

const UNREADABLE = new KvFailure(
  GrpcStatus.INVALID_ARGUMENT,
  'E_UNKNOWN_COMMAND',
  'the log entry is not a command that this version of the key-value machine knows',
)

function decodeCommand(data: Uint8Array): Command | null {
  try {
    return raftctl.kv.Command.decode(data)
  } catch {
    return null
  }
}

function refusal(failure: KvFailure): Answer {
  const { status, code, message, applied } = failure
  return { error: { status, code, message, applied } }
}

function sessionRecord(session: Session): raftctl.kv.SessionState.$Properties {
  return {
    client_id: session.clientId,
    acknowledged_through: session.acknowledgedThrough,
    last_active_ms: session.lastActiveMs,
    answers: [...session.answers].map(([sequence, answer]) => ({ sequence, answer })),
  }
}
