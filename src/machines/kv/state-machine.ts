import { raftctl } from '../../generated/kv.js'
import type { Closure, Done } from '../../raft/closure.js'
import { ErrorCode, Status } from '../../raft/errors.js'
import { type Iterator, type LeaderChange, StateMachine } from '../../raft/raft.js'
import type { SnapshotReader, SnapshotWriter } from '../../raft/storage.js'
import { fromInt64, type LogIndex, NO_INDEX, NO_TERM, type Term } from '../../raft/types.js'
import type { ComparableMachine, HashDone } from '../machine.js'
import type { FrozenState } from './canonical.js'
import { GrpcStatus, KvFailure } from './failure.js'
import { bytesOf } from './keys.js'
import { executeDeleteRange, executePut, executeTxn } from './operations.js'
import { type Answer, SessionTable, stampOf } from './sessions.js'
import type { Pace } from './slices.js'
import { SnapshotLoad } from './snapshot-load.js'
import { SnapshotSave } from './snapshot-save.js'
import type { KvState } from './state-builder.js'
import { StateHashes, summarize } from './state-hashes.js'
import { KvStore } from './store.js'
import { checkDeleteRange, checkPut, checkTxn } from './validate.js'

type Command = raftctl.kv.Command.$Properties

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
 * but the log: members that applied the same entries hold the same state and gave the same answers. The executor, and the
 * clock when there is one, only pace long work on copies of the state.
 *
 * Loading a snapshot replaces `store` and `sessions` in one step: nobody may hold on to them across an event.
 */
export class KvStateMachine extends StateMachine implements ComparableMachine {
  private state: KvState = { store: new KvStore(), sessions: new SessionTable() }
  private readonly hashes: StateHashes
  private readonly transfers = new Set<SnapshotSave | SnapshotLoad>()
  /** Newest entry applied. */
  appliedIndex: LogIndex = NO_INDEX
  /** Newest term this member's state machine heard of. */
  term: Term = NO_TERM
  private readonly leadershipWatchers = new Set<() => void>()

  constructor(private readonly pace: Pace) {
    super()
    this.hashes = new StateHashes(pace)
  }

  get store(): KvStore {
    return this.state.store
  }

  get sessions(): SessionTable {
    return this.state.sessions
  }

  override onApply(iterator: Iterator): void {
    for (; iterator.valid(); iterator.next()) {
      const answer = this.applyCommand(iterator.data(), iterator.index())
      this.appliedIndex = iterator.index()
      this.noteTerm(iterator.term())
      const done = iterator.done()
      if (done instanceof KvClosure) done.answer = answer
      done?.run(Status.OK)
    }
  }

  /** Writes the state of this moment as the one file `data`, in slices. ESHUTDOWN: the node stopped first. */
  override onSnapshotSave(writer: SnapshotWriter, done: Done): void {
    const state = this.freeze()
    const save = new SnapshotSave(this.pace, writer, state, (status) => {
      this.transfers.delete(save)
      state.store.release()
      done(status)
    })
    this.transfers.add(save)
    save.start()
  }

  /** Replaces the state, in one step and only when the whole file was read and checked. ECORRUPT: names the file and the offset. */
  override onSnapshotLoad(reader: SnapshotReader, done: Done): void {
    const load = new SnapshotLoad(this.pace, reader, (status, state) => {
      this.transfers.delete(load)
      if (state) {
        this.state = state
        this.appliedIndex = reader.meta.lastIncluded.index
        this.noteTerm(reader.meta.lastIncluded.term)
      }
      done(status)
    })
    this.transfers.add(load)
    load.start()
  }

  override onShutdown(): void {
    const status = Status.error(ErrorCode.ESHUTDOWN, 'the node is shut down')
    for (const transfer of this.transfers) transfer.stop(status)
    this.hashes.clear(status)
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

  /** Applies one command as it stands in the log at `index`; what cannot be read is refused, the same way everywhere. */
  applyCommand(data: Uint8Array, index: LogIndex): Answer {
    const command = decodeCommand(data)
    if (command === null) return refusal(UNREADABLE)
    if (command.mark) {
      this.hashes.add(index, this.freeze())
      return { mark: { index } }
    }
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

  /** The state as it is now, whatever is applied later. Whoever took it releases its store. */
  freeze(): FrozenState {
    return { store: this.store.freeze(), sessions: this.sessions.freeze() }
  }

  /**
   * The hash of the state at a mark that was applied here, as soon as it is there. ENOENT: no such mark, or one that was
   * forgotten since.
   */
  hashAt(markIndex: LogIndex, done: HashDone): void {
    this.hashes.get(markIndex, done)
  }

  /** SHA-256 over the canonical records, each with its length before it; at once, whatever it takes. */
  stateHash(): string {
    const state = this.freeze()
    const work = summarize(state)
    for (;;) {
      const step = work.next()
      if (!step.done) continue
      state.store.release()
      return step.value.sha256
    }
  }

  spoil(): boolean {
    return this.flipByte() !== null
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
