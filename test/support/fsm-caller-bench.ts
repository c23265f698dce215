import { type Closure, closure } from '../../src/raft/closure.js'
import { ClosureQueue } from '../../src/raft/closure-queue.js'
import type { Configuration } from '../../src/raft/configuration.js'
import { type RaftError, Status } from '../../src/raft/errors.js'
import { FSMCaller, type FSMCallerOptions } from '../../src/raft/fsm-caller.js'
import type { NewEntry } from '../../src/raft/log-entry.js'
import { LogManager } from '../../src/raft/log-manager.js'
import { type Iterator, type LeaderChange, StateMachine } from '../../src/raft/raft.js'
import { type LogIndex, logIndex, NO_INDEX, NO_TERM, type Term } from '../../src/raft/types.js'
import { batch, members, peer } from './entries.js'
import { FakeEnvironment } from './fake-environment.js'
import { FakeLogStorage } from './fake-log-storage.js'

/** Writes down what it is told. */
export class RecordingMachine extends StateMachine {
  readonly told: string[] = []
  /** How a run of tasks is taken; the default takes all. */
  take: (iterator: Iterator) => void = (iterator) => {
    for (; iterator.valid(); iterator.next()) {
      this.told.push(`${iterator.index()}:${iterator.data().toString()}`)
      iterator.done()?.run(Status.OK)
    }
  }
  runs = 0

  override onApply(iterator: Iterator): void {
    this.runs++
    this.take(iterator)
  }
  override onLeaderStart(term: Term): void {
    this.told.push(`leader start ${term}`)
  }
  override onLeaderStop(status: Status): void {
    this.told.push(`leader stop ${status.code}`)
  }
  override onConfigurationCommitted(conf: Configuration, index: LogIndex): void {
    this.told.push(`${index}:configuration of ${conf.size}`)
  }
  override onStartFollowing(change: LeaderChange): void {
    this.told.push(`follow ${change.leaderId.port}`)
  }
  override onStopFollowing(change: LeaderChange): void {
    this.told.push(`unfollow ${change.leaderId.port}`)
  }
  override onError(error: RaftError): void {
    this.told.push(`error ${error.status.code}`)
  }
  override onShutdown(): void {
    this.told.push('shutdown')
  }
}

export class FSMCallerBench {
  readonly environment = new FakeEnvironment()
  readonly machine = new RecordingMachine()
  readonly closures = new ClosureQueue()
  readonly errors: RaftError[] = []
  /** What callers were told, in order. */
  readonly told: string[] = []
  readonly log: LogManager
  readonly caller: FSMCaller
  onConfiguration: (index: LogIndex) => void = () => {}

  constructor(
    entries: readonly (string | NewEntry)[],
    options: Partial<FSMCallerOptions> & { onDisk?: boolean; proposedHere?: boolean } = {},
    readonly disk = new FakeLogStorage(options.onDisk ? { batches: [batch(1, 1, entries)] } : {}),
  ) {
    const origin = { groupId: 'g', peerId: peer(1) }
    const { environment, machine, closures } = this
    this.log = new LogManager({ environment, origin, storage: disk, initialConf: members(1), onError: (error) => this.errors.push(error) })
    this.log.init(() => {})
    disk.completeOne()
    this.caller = new FSMCaller({
      environment,
      origin,
      fsm: machine,
      logManager: this.log,
      closures,
      onError: (error) => this.errors.push(error),
      onConfigurationApplied: (entry) => this.onConfiguration(entry.id.index),
      ...options,
    })
    this.caller.start({ index: NO_INDEX, term: NO_TERM })
    this.closures.resetFirst(logIndex(1))
    if (!options.onDisk && entries.length > 0) this.log.append(batch(1, 1, entries), () => {})
    if (options.proposedHere) this.closures.push(entries.map((_, i) => this.waiting(i + 1)))
    this.run()
  }

  /** Where each slice ended: index/term. */
  get applied(): string[] {
    return this.environment.events('apply.advanced').map(({ index }) => `${index}/${this.log.termAt(index)}`)
  }

  waiting(index: number): Closure {
    return closure((status) => this.told.push(`${index} ${status.ok ? 'OK' : status.code}`))
  }

  tell(name: string): (status: Status) => void {
    return (status) => this.told.push(`${name} ${status.ok ? 'OK' : status.code}`)
  }

  commit(index: number): void {
    this.caller.onCommitted(logIndex(index))
  }

  run(): void {
    this.environment.executor.run()
  }

  settle(): void {
    do this.run()
    while (this.disk.completeOne())
  }
}
