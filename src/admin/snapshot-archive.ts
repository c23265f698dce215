import { PrefixCount, type PrefixOptions, type PrefixSizes } from '../machines/kv/prefix-sizes.js'
import { SnapshotDecoder } from '../machines/kv/snapshot-decoder.js'
import { SNAPSHOT_FILE, SnapshotDamage, type SnapshotSummary } from '../machines/kv/snapshot-format.js'
import { StateBuilder } from '../machines/kv/state-builder.js'
import { summarize } from '../machines/kv/state-hashes.js'
import type { ManifestFile, SnapshotManifest } from '../rpc/snapshot-archive.js'
import { ArchiveDamage, ArchiveReader } from '../rpc/snapshot-archive-reader.js'
import { CliError } from '../terminal/errors.js'

export interface ArchiveOptions {
  /** How a person knows the archive: its file, or the node that sends it. */
  readonly name: string
  /** Sum up keys by prefix. */
  readonly prefixes?: PrefixOptions
  /** Load the state into a machine beside everything else, and hash what it then holds. */
  readonly replay?: boolean
}

/** What a whole, good archive holds. */
export interface ArchiveContents {
  readonly manifest: SnapshotManifest
  readonly bytes: number
  /** Of the whole archive. */
  readonly sha256: string
  /** Of the key-value state; null for other machines, whose files are only checked as such. */
  readonly state: SnapshotSummary | null
  readonly prefixes: PrefixSizes | null
  /** Of the state that was loaded; null unless it was replayed. */
  readonly replayedHash: string | null
}

/**
 * Checks an archive while its bytes go by: every byte of the container, and of a key-value snapshot every block and record.
 * `push` the bytes in order, then `end`. Both throw E_CORRUPT with the offset, E_UNSUPPORTED for what a newer raftctl wrote.
 */
export class ArchiveCheck {
  private readonly reader: ArchiveReader
  private readonly prefixes: PrefixCount | null
  private decoder: SnapshotDecoder | null = null
  private builder: StateBuilder | null = null
  private state: SnapshotSummary | null = null

  constructor(private readonly options: ArchiveOptions) {
    this.prefixes = options.prefixes ? new PrefixCount(options.prefixes) : null
    this.reader = new ArchiveReader({
      data: (file, bytes) => this.decode(file, bytes),
      end: (file) => this.endFile(file),
    })
  }

  /** Null until it went by. */
  get manifest(): SnapshotManifest | null {
    return this.reader.manifest
  }

  push(bytes: Buffer): void {
    this.guarded(() => this.reader.push(bytes))
  }

  end(): ArchiveContents {
    return this.guarded(() => {
      const { manifest, sha256 } = this.reader.end()
      const prefixes = this.state && this.prefixes ? this.prefixes.finish() : null
      return { manifest, sha256, bytes: this.reader.offset, state: this.state, prefixes, replayedHash: this.replay() }
    })
  }

  private decode(file: ManifestFile, bytes: Buffer): void {
    if (this.reader.manifest?.machine !== 'kv' || file.name !== SNAPSHOT_FILE) return
    this.decoder ??= new SnapshotDecoder()
    if (this.options.replay) this.builder ??= new StateBuilder()
    for (const record of this.decoder.push(bytes)) {
      this.prefixes?.add(record)
      this.builder?.add(record)
    }
  }

  private endFile(file: ManifestFile): void {
    if (this.decoder && file.name === SNAPSHOT_FILE) this.state = this.decoder.end()
  }

  private replay(): string | null {
    if (!this.builder) return null
    const { store, sessions } = ended(this.builder.finish())
    const { sha256 } = ended(summarize({ store: store.freeze(), sessions: sessions.freeze() }))
    if (sha256 !== this.state?.sha256)
      throw new SnapshotDamage(
        'damaged',
        this.reader.offset,
        `loaded, the state hashes to ${sha256}, and the snapshot says ${this.state?.sha256}`,
      )
    return sha256
  }

  private guarded<T>(work: () => T): T {
    try {
      return work()
    } catch (thrown) {
      if (thrown instanceof ArchiveDamage || thrown instanceof SnapshotDamage) throw this.damaged(thrown)
      throw thrown
    }
  }

  private damaged(damage: ArchiveDamage | SnapshotDamage): CliError {
    const { name } = this.options
    const inside = damage instanceof SnapshotDamage && damage.kind !== 'version' ? `${SNAPSHOT_FILE} in ` : ''
    if (damage.kind === 'version')
      return new CliError('E_UNSUPPORTED', `${name} was written by a newer raftctl: ${damage.problem}`, {
        hint: 'Read it with that version.',
      })
    return new CliError('E_CORRUPT', `${inside}${name}: ${damage.message}`, {
      hint: 'Do not use it: save another with raftctl snapshot save.',
      details: { file: name, offset: damage.offset, problem: damage.problem },
    })
  }
}

function ended<T>(work: Generator<unknown, T>): T {
  for (;;) {
    const step = work.next()
    if (step.done) return step.value
  }
}
