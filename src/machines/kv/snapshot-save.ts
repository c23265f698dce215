import type { Done } from '../../raft/closure.js'
import type { File } from '../../raft/environment.js'
import type { Status } from '../../raft/errors.js'
import { PacedSync } from '../../raft/paced-sync.js'
import type { SnapshotWriter } from '../../raft/storage.js'
import { canonicalRecords, type FrozenState, type StateRecord } from './canonical.js'
import { type Pace, runSliced } from './slices.js'
import { SnapshotEncoder } from './snapshot-encoder.js'
import { checksumName, SNAPSHOT_FILE } from './snapshot-format.js'

/** Cost of a record besides its bytes. */
export const RECORD_COST = 32

/**
 * Writes a frozen state into a snapshot's directory and lists it there: a block, then the next one once that is written.
 * `done` runs once; the state is not needed any more then.
 */
export class SnapshotSave {
  private readonly encoder = new SnapshotEncoder()
  private readonly records: Iterator<StateRecord | null>
  private file: File | null = null
  private output: PacedSync | null = null
  private position = 0
  private stopped: Status | null = null

  constructor(
    private readonly pace: Pace,
    private readonly writer: SnapshotWriter,
    state: FrozenState,
    private readonly done: Done,
  ) {
    this.records = canonicalRecords(state)
  }

  start(): void {
    const path = `${this.writer.path}/${SNAPSHOT_FILE}`
    this.writer.fileSystem.open(path, { write: true, create: true, truncate: true }, (status, file) => {
      if (!file) return this.done(status)
      this.file = file
      this.output = new PacedSync(file)
      this.write([this.encoder.header()], () => this.next())
    })
  }

  /** Ends it with `status` as soon as what is under way has ended. */
  stop(status: Status): void {
    this.stopped ??= status
  }

  private next(): void {
    runSliced(this.pace, this.fill(), (buffers) => {
      if (this.stopped) return this.end(this.stopped)
      if (buffers) this.write(buffers, () => this.next())
      else this.finish()
    })
  }

  /** Encodes until a block is full; null when that was all. */
  private *fill(): Generator<number, Buffer[] | null> {
    for (let next = this.records.next(); !this.stopped; next = this.records.next()) {
      if (next.done) return null
      const before = this.encoder.streamBytes
      const block = next.value === null ? null : this.encoder.add(next.value)
      if (block) return [block]
      yield RECORD_COST + this.encoder.streamBytes - before
    }
    return null
  }

  private finish(): void {
    const { buffers, summary } = this.encoder.finish()
    this.write(buffers, () => this.end(this.writer.addFile(SNAPSHOT_FILE, { checksum: checksumName(summary.crc32c) })))
  }

  private write(buffers: readonly Buffer[], then: () => void): void {
    const position = this.position
    for (const buffer of buffers) this.position += buffer.length
    this.output!.write(buffers, position, (status) => {
      const failed = status.ok ? this.stopped : status
      if (failed) this.end(failed)
      else then()
    })
  }

  private end(status: Status): void {
    this.file!.close((closed) => this.done(status.ok ? closed : status))
  }
}
