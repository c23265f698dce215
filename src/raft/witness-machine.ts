import type { Done } from './closure.js'
import type { Configuration } from './configuration.js'
import type { Executor } from './environment.js'
import { type RaftError, Status } from './errors.js'
import { type Iterator, type LeaderChange, StateMachine } from './raft.js'
import type { SnapshotReader, SnapshotWriter } from './storage.js'
import type { LogIndex } from './types.js'

/**
 * What a witness runs in place of the group's machine: tasks pass it by, and its snapshots have no files. All else that a machine is
 * told of the real one hears. Its leadership it does not hear of: a witness serves nobody in it.
 */
export class WitnessMachine extends StateMachine {
  constructor(
    private readonly real: StateMachine,
    private readonly executor: Executor,
  ) {
    super()
  }

  override onApply(iterator: Iterator): void {
    for (; iterator.valid(); iterator.next());
  }

  override onSnapshotSave(_writer: SnapshotWriter, done: Done): void {
    this.executor.post(() => done(Status.OK), 'witness.saved')
  }

  override onSnapshotLoad(_reader: SnapshotReader, done: Done): void {
    this.executor.post(() => done(Status.OK), 'witness.loaded')
  }

  override onConfigurationCommitted(configuration: Configuration, index: LogIndex): void {
    this.real.onConfigurationCommitted(configuration, index)
  }

  override onStartFollowing(change: LeaderChange): void {
    this.real.onStartFollowing(change)
  }

  override onStopFollowing(change: LeaderChange): void {
    this.real.onStopFollowing(change)
  }

  override onError(error: RaftError): void {
    this.real.onError(error)
  }

  override onShutdown(): void {
    this.real.onShutdown()
  }
}
