import type { Status } from '../../src/raft/errors.js'
import type { EntryBatch } from '../../src/raft/log-entry.js'
import type { LogRecovery, LogStorage } from '../../src/raft/storage.js'
import { logIndex, plus } from '../../src/raft/types.js'
import { checksum } from '../../src/storage/checksum.js'
import { DurableLength } from '../../src/storage/durable-length.js'
import { SegmentLogStorage } from '../../src/storage/log.js'
import { SYNC_IMMEDIATELY, type SyncPolicy } from '../../src/storage/log-sync.js'
import { SealFile } from '../../src/storage/seal-file.js'
import { CrashDisk } from './crash-disk.js'
import { texts } from './entries.js'
import { ManualClock, ManualExecutor } from './fake-environment.js'

export const LOG = '/data/log'
export const SIDECAR = '/data/raftctl/durable'
export const SEALS = '/data/raftctl/seals'

type Run<T> = (done: (status: Status, value?: T) => void) => void

/** A log on a simulated disk, with calls that run to their end. */
export class LogBench {
  readonly executor = new ManualExecutor()
  readonly clock = new ManualClock(this.executor)
  readonly disk: CrashDisk
  log!: LogStorage
  recovery: LogRecovery | undefined

  constructor(
    readonly maxSegmentBytes = 8 * 1024 * 1024,
    seed = 1,
  ) {
    this.disk = new CrashDisk(this.executor, seed)
  }

  /** Makes a new storage over the disk and opens it: a start of the process. */
  open(options: { integrity?: 'none'; adopt?: boolean; sync?: SyncPolicy } = {}): Status {
    const { disk: fileSystem, executor, clock } = this
    const integrity = options.integrity === 'none' ? null : new DurableLength({ fileSystem, clock, checksum, path: SIDECAR })
    const seals = options.integrity === 'none' ? null : new SealFile({ fileSystem, checksum, path: SEALS, adopt: options.adopt ?? false })
    const { maxSegmentBytes } = this
    const adopt = options.adopt ?? false
    const { sync = SYNC_IMMEDIATELY } = options
    this.log = new SegmentLogStorage({ fileSystem, executor, checksum, directory: LOG, integrity, seals, adopt, maxSegmentBytes, sync })
    return this.call<LogRecovery>((done) =>
      this.log.init((status, recovery) => {
        this.recovery = recovery
        done(status, recovery)
      }),
    ).status
  }

  /** Runs a call and everything that follows from it; throws when it was never answered. */
  call<T>(run: Run<T>): { status: Status; value: T | undefined } {
    const answer = this.tryCall(run)
    if (!answer) throw new Error('no answer')
    return answer
  }

  /** The same; null when the machine stopped before the answer. */
  tryCall<T>(run: Run<T>): { status: Status; value: T | undefined } | null {
    const answers: { status: Status; value: T | undefined }[] = []
    run((status, value) => answers.push({ status, value }))
    if (answers.length > 0) throw new Error('answered from inside the call')
    this.executor.run()
    if (answers.length > 1) throw new Error('answered twice')
    return answers[0] ?? null
  }

  append(...batches: EntryBatch[]): Status {
    return this.call<void>((done) => this.log.appendEntries(batches, done)).status
  }

  truncateSuffix(lastKept: number): Status {
    return this.call<void>((done) => this.log.truncateSuffix(logIndex(lastKept), done)).status
  }

  truncatePrefix(firstKept: number): Status {
    return this.call<void>((done) => this.log.truncatePrefix(logIndex(firstKept), done)).status
  }

  reset(next: number): Status {
    return this.call<void>((done) => this.log.reset(logIndex(next), done)).status
  }

  close(): Status {
    return this.call<void>((done) => this.log.close(done)).status
  }

  read(from: number, maxBytes = 1 << 20): { status: Status; value: EntryBatch | undefined } {
    return this.call<EntryBatch>((done) => this.log.getEntries(logIndex(from), maxBytes, done))
  }

  /** `index:term:data` of every entry in the log. */
  contents(): string[] {
    const found: string[] = []
    for (let index = this.log.firstLogIndex; index <= this.log.lastLogIndex; ) {
      const { status, value } = this.read(index, 1000)
      if (!status.ok) throw new Error(status.toString())
      found.push(...texts(value))
      index = plus(value!.lastIndex, 1)
    }
    return found
  }
}
