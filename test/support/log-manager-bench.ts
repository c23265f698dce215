import * as assert from 'uvu/assert'
import { ErrorCode, type RaftError, type Status } from '../../src/raft/errors.js'
import type { EntryBatch } from '../../src/raft/log-entry.js'
import { LogManager, type LogManagerOptions } from '../../src/raft/log-manager.js'
import { logIndex } from '../../src/raft/types.js'
import { members, peer, texts } from './entries.js'
import { FakeEnvironment } from './fake-environment.js'
import { FakeLogStorage } from './fake-log-storage.js'

/** A log on a disk that works when told to. */
export class LogManagerBench {
  readonly environment = new FakeEnvironment()
  readonly errors: RaftError[] = []
  /** What the callers were told, in order. */
  readonly told: string[] = []
  readonly log: LogManager

  constructor(
    readonly disk = new FakeLogStorage(),
    options: Partial<LogManagerOptions> = {},
  ) {
    this.log = new LogManager({
      environment: this.environment,
      origin: { groupId: 'g', peerId: peer(1) },
      storage: disk,
      initialConf: members(1, 2, 3),
      onError: (error) => this.errors.push(error),
      ...options,
    })
    this.log.init((status) => assert.ok(status.ok))
    disk.completeOne()
    disk.calls.length = 0
  }

  tell(name: string): (status: Status) => void {
    return (status) => this.told.push(`${name} ${status.ok ? 'OK' : ErrorCode.ECANCELED === status.code ? 'ECANCELED' : status.code}`)
  }

  append(entries: EntryBatch): void {
    this.log.append(entries, this.tell(`${entries.lastIndex}`))
  }

  reconcile(entries: EntryBatch): void {
    this.log.reconcile(entries, this.tell(`${entries.lastIndex}`))
  }

  run(): void {
    this.environment.executor.run()
  }

  /** Lets the disk do one thing, and all that follows from it. */
  disk1(): void {
    this.run()
    assert.ok(this.disk.completeOne(), 'the disk has nothing to do')
    this.run()
  }

  /** Lets the disk catch up. */
  settle(): void {
    do this.run()
    while (this.disk.completeOne())
  }

  read(from: number, last: number, maxBytes = 1 << 20): { text: string[]; status: Status | null } {
    const result: { text: string[]; status: Status | null } = { text: [], status: null }
    this.log.read(logIndex(from), logIndex(last), maxBytes, (status, entries) => {
      result.status = status
      result.text = texts(entries)
    })
    return result
  }

  get content(): string[] {
    return texts(this.log.cached(this.log.firstIndex, this.log.lastIndex, 1 << 30))
  }
}
