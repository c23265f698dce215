import type { ComparableMachine, StateHash } from '../../../src/machines/machine.js'
import { AnswerClosure, type ServedNode } from '../../../src/machines/serving.js'
import { ClosureQueue } from '../../../src/raft/closure-queue.js'
import { Configuration, ConfigurationEntry } from '../../../src/raft/configuration.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import { BatchIterator } from '../../../src/raft/iterator.js'
import { EntryBatch } from '../../../src/raft/log-entry.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import type { Task } from '../../../src/raft/raft.js'
import type { SnapshotFileMeta, SnapshotReader, SnapshotWriter } from '../../../src/raft/storage.js'
import { asTerm, type LogIndex, logIndex } from '../../../src/raft/types.js'
import { checksum } from '../../../src/storage/checksum.js'
import { CrashDisk } from '../../support/crash-disk.js'
import { ManualExecutor } from '../../support/fake-environment.js'

const DIRECTORY = '/snapshot'

/** A machine of braft's examples on a simulated disk, with a log of its own. */
export class MachineBench<M extends ComparableMachine> {
  readonly executor = new ManualExecutor()
  readonly disk = new CrashDisk(this.executor)
  readonly machine: M
  private readonly closures = new ClosureQueue()
  private readonly iterator = new BatchIterator(this.closures)
  private readonly listed = new Map<string, SnapshotFileMeta>()
  private next = 1

  constructor(Machine: new (pace: { executor: ManualExecutor }) => M) {
    this.machine = new Machine({ executor: this.executor })
    this.disk.disk.mkdir(DIRECTORY)
  }

  /** Applies commands as they stand in a log, and answers what their proposer is told. */
  apply<A>(...commands: readonly Uint8Array[]): (A | null)[] {
    const answers: (A | null)[] = []
    const first = logIndex(this.next)
    const batch = EntryBatch.encodeData(
      first,
      asTerm(1),
      commands.map((data) => ({ data })),
      checksum,
    )
    this.closures.resetFirst(first)
    this.closures.push(commands.map((_, i) => new AnswerClosure<A>((status, answer) => (answers[i] = status.ok ? answer : null))))
    this.iterator.begin(batch, first, batch.lastIndex)
    this.machine.onApply(this.iterator)
    const failure = this.iterator.end(null)
    if (failure) throw new Error(failure.message)
    this.next += commands.length
    return answers
  }

  save(): Buffer {
    const status = this.finished((done) => this.machine.onSnapshotSave(this.writer, done))
    if (!status.ok) throw new Error(status.toString())
    return Buffer.from(this.disk.bytesOf(`${DIRECTORY}/data`))
  }

  load(data: Buffer): Status {
    this.disk.put(`${DIRECTORY}/data`, data)
    this.listed.set('data', {})
    return this.finished((done) => this.machine.onSnapshotLoad(this.reader, done))
  }

  /** The hash at a configuration that is committed now. */
  hash(): StateHash {
    const index = logIndex(this.next++)
    this.machine.onConfigurationCommitted(Configuration.EMPTY, index)
    return this.hashAt(index)
  }

  hashAt(index: LogIndex): StateHash {
    let found: StateHash | undefined
    this.machine.hashAt(index, (status, hash) => {
      if (!status.ok) throw new Error(status.toString())
      found = hash
    })
    this.executor.run()
    return found!
  }

  private finished(start: (done: (status: Status) => void) => void): Status {
    let outcome: Status | null = null
    start((status) => (outcome = status))
    this.executor.run()
    return outcome ?? Status.error(ErrorCode.EINVAL, 'it never ended')
  }

  private get writer(): SnapshotWriter {
    const { listed } = this
    return {
      fileSystem: this.disk,
      path: DIRECTORY,
      addFile: (name, meta = {}) => {
        listed.set(name, meta)
        return Status.OK
      },
      removeFile: (name) => void listed.delete(name),
      files: () => [...listed.keys()],
      fileMeta: (name) => listed.get(name) ?? null,
    }
  }

  private get reader(): SnapshotReader {
    const lastIncluded = { index: logIndex(100), term: asTerm(7) }
    const { fileSystem, path, files, fileMeta } = this.writer
    const meta = { lastIncluded, configuration: new ConfigurationEntry(lastIncluded, Configuration.EMPTY) }
    return { fileSystem, path, files, fileMeta, meta, list: () => Buffer.alloc(0), close: () => {} }
  }
}

/** A member of which the test decides whether it leads and what becomes of tasks and reads. */
export class OneNode implements ServedNode {
  leader = PeerId.parse('127.0.0.1:8100')!
  leads = true
  /** What becomes of a task; null commits it. */
  refuses: Status | null = null
  reads: Status = Status.OK
  readonly tasks: Task[] = []

  constructor(private readonly commit: (task: Task) => void) {}

  isLeader(): boolean {
    return this.leads
  }

  leaderId(): PeerId {
    return this.leader
  }

  apply(task: Task): void {
    this.tasks.push(task)
    if (this.refuses) task.done?.run(this.refuses)
    else this.commit(task)
  }

  readIndex(_timeoutMs: number, done: (status: Status) => void): void {
    done(this.reads)
  }
}
