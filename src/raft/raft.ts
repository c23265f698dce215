import type { Closure, Done } from './closure.js'
import type { Configuration } from './configuration.js'
import { ErrorCode, type RaftError, Status } from './errors.js'
import type { PeerId } from './peer-id.js'
import type { SnapshotReader, SnapshotWriter } from './storage.js'
import type { LogIndex, Term } from './types.js'

/** Something to be written to the replicated log. */
export interface Task {
  /** What the state machine will be handed on every member. Must not change afterwards. */
  readonly data: Uint8Array
  /** Run once: with OK by the state machine when the task was applied, with an error when it was not taken or lost. */
  readonly done: Closure | null
  /** When given, the task is refused (EPERM) unless this is the leader's current term. */
  readonly expectedTerm?: Term
}

/**
 * The committed tasks that `StateMachine.onApply` must take, in order. Valid only during that call.
 *
 *     for (; iterator.valid(); iterator.next()) { ...iterator.data()...; iterator.done()?.run(Status.OK) }
 */
export interface Iterator {
  valid(): boolean
  next(): void
  index(): LogIndex
  term(): Term
  /** A view into the log's memory: copy what outlives the call. */
  data(): Buffer
  /** The proposer's closure when the task was proposed here in this leadership, else null. Whoever takes it must run it. */
  done(): Closure | null
  /** Stops the node: the last `ntail` tasks taken did not happen. Nothing is applied after it (braft). */
  setErrorAndRollback(ntail: number, status: Status): void
}

/** Whom this node follows from now on, or does not follow any more, and why (braft LeaderChangeContext). */
export interface LeaderChange {
  readonly leaderId: PeerId
  readonly term: Term
  readonly status: Status
}

/** The replicated state. Every method is called by FSMCaller, one at a time, in log order (braft StateMachine). */
export abstract class StateMachine {
  /** Must advance the iterator to its end. */
  abstract onApply(iterator: Iterator): void
  /**
   * Writes the state as of the last task applied into `writer` and adds its files there; then `done`, now or later. What is
   * written must be pinned down before this returns: tasks go on being applied meanwhile.
   */
  onSnapshotSave(_writer: SnapshotWriter, done: Done): void {
    done(Status.error(ErrorCode.EINVAL, 'this state machine takes no snapshots'))
  }
  /** Replaces the whole state by a snapshot's; then `done`, now or later. Nothing is applied before; a failure stops the node. */
  onSnapshotLoad(_reader: SnapshotReader, done: Done): void {
    done(Status.error(ErrorCode.EINVAL, 'this state machine loads no snapshots'))
  }
  /** This node leads in `term`, and the first entry of it is applied. */
  onLeaderStart(_term: Term): void {}
  /** It leads no more, with why. Tasks that were proposed and are not decided end with EOUTCOMEUNKNOWN. */
  onLeaderStop(_status: Status): void {}
  /** The members are these from the entry at `index` on. */
  onConfigurationCommitted(_configuration: Configuration, _index: LogIndex): void {}
  /** Another leads. */
  onStartFollowing(_change: LeaderChange): void {}
  /** That one leads no more, or is not heard any more; `status` says why. */
  onStopFollowing(_change: LeaderChange): void {}
  /** Called once; nothing is applied after it. */
  onError(_error: RaftError): void {}
  /** The last call. */
  onShutdown(): void {}
}
