import type { File } from '../../raft/environment.js'
import { ErrorCode, Status } from '../../raft/errors.js'
import type { SnapshotReader } from '../../raft/storage.js'
import { type Pace, runSliced } from './slices.js'
import { SnapshotDecoder } from './snapshot-decoder.js'
import { checksumName, SNAPSHOT_FILE, SnapshotDamage } from './snapshot-format.js'
import { RECORD_COST } from './snapshot-save.js'
import { type KvState, StateBuilder } from './state-builder.js'

const READ_BYTES = 256 * 1024

/**
 * Reads the state out of a snapshot's directory, in slices, and checks all of it. `done` runs once: with the state, or with
 * why there is none (ECORRUPT names file and offset).
 */
export class SnapshotLoad {
  private readonly decoder = new SnapshotDecoder()
  private readonly builder = new StateBuilder()
  private file: File | null = null
  private position = 0
  private stopped: Status | null = null

  constructor(
    private readonly pace: Pace,
    private readonly reader: SnapshotReader,
    private readonly done: (status: Status, state?: KvState) => void,
  ) {}

  private get path(): string {
    return `${this.reader.path}/${SNAPSHOT_FILE}`
  }

  start(): void {
    this.reader.fileSystem.open(this.path, {}, (status, file) => {
      if (!file) return this.done(status)
      this.file = file
      this.read()
    })
  }

  /** Ends it with `status` as soon as what is under way has ended. */
  stop(status: Status): void {
    this.stopped ??= status
  }

  private read(): void {
    this.file!.read(this.position, READ_BYTES, (status, bytes) => {
      if (!status.ok || this.stopped) return this.end(status.ok ? this.stopped! : status)
      this.position += bytes!.length
      if (bytes!.length === 0) return this.finish()
      runSliced(this.pace, this.decode(bytes!), (damage) => {
        if (damage || this.stopped) this.end(damage ?? this.stopped!)
        else this.read()
      })
    })
  }

  private *decode(bytes: Buffer): Generator<number, Status | null> {
    try {
      for (const record of this.decoder.push(bytes)) {
        this.builder.add(record)
        if (this.stopped) return null
        yield RECORD_COST + this.decoder.recordBytes
      }
      return null
    } catch (error) {
      return this.statusOf(error)
    }
  }

  private finish(): void {
    try {
      const { crc32c, fileBytes } = this.decoder.end()
      const listed = this.reader.fileMeta(SNAPSHOT_FILE)?.checksum
      if (listed?.startsWith('crc32c:') && listed !== checksumName(crc32c))
        throw new SnapshotDamage('damaged', fileBytes, `its checksum is ${checksumName(crc32c)}, but the snapshot lists ${listed}`)
    } catch (error) {
      return this.end(this.statusOf(error))
    }
    runSliced(this.pace, this.builder.finish(), (state) => this.end(this.stopped ?? Status.OK, state))
  }

  private statusOf(error: unknown): Status {
    if (!(error instanceof SnapshotDamage)) throw error
    const code = error.kind === 'version' ? ErrorCode.EINVAL : ErrorCode.ECORRUPT
    return Status.error(code, `${this.path}: ${error.message}`)
  }

  private end(status: Status, state?: KvState): void {
    this.file!.close(() => this.done(status, status.ok ? state : undefined))
  }
}
