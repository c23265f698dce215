import { Configuration, ConfigurationEntry } from '../../src/raft/configuration.js'
import type { Status } from '../../src/raft/errors.js'
import { PeerId } from '../../src/raft/peer-id.js'
import type { SnapshotMeta, SnapshotReader, SnapshotWriter } from '../../src/raft/storage.js'
import { asTerm, logIndex } from '../../src/raft/types.js'
import { checksum } from '../../src/storage/checksum.js'
import { LocalSnapshotStorage } from '../../src/storage/snapshot.js'
import { SnapshotSeal } from '../../src/storage/snapshot-seal.js'
import { LogBench } from './log-bench.js'

export const SNAPSHOTS = '/data/snapshot'
export const SEAL = '/data/raftctl/snapshot.seal'

export function snapshotMeta(index: number, term = 2, peers = ['127.0.0.1:8100:0:0'], configIndex = index): SnapshotMeta {
  const lastIncluded = { index: logIndex(index), term: asTerm(term) }
  const conf = new Configuration(peers.map((text) => PeerId.parse(text)!))
  return {
    lastIncluded,
    configuration: new ConfigurationEntry(lastIncluded, conf, Configuration.EMPTY, [], logIndex(configIndex)),
  }
}

/** Snapshots on a simulated disk, with calls that run to their end. */
export class SnapshotBench extends LogBench {
  storage!: LocalSnapshotStorage

  /** A start of the process: the newest snapshot, or why there is none to be had; null when the machine stopped meanwhile. */
  start({ adopt = false } = {}): { status: Status; value: SnapshotMeta | null | undefined } | null {
    const { disk: fileSystem, executor } = this
    const seal = new SnapshotSeal({ fileSystem, checksum, path: SEAL })
    this.storage = new LocalSnapshotStorage({ fileSystem, executor, checksum, directory: SNAPSHOTS, seal, adopt })
    return this.tryCall<SnapshotMeta | null>((done) => this.storage.init(done))
  }

  create(resume: SnapshotMeta | null = null): SnapshotWriter {
    return this.call<SnapshotWriter>((done) => this.storage.create(resume, done)).value!
  }

  /** Writes a file where the machine would, without making it durable. */
  write(writer: SnapshotWriter, name: string, text: string): void {
    const path = `${writer.path}/${name}`
    const parent = path.slice(0, path.lastIndexOf('/'))
    this.tryCall<void>((done) => this.disk.mkdir(parent, done))
    this.tryCall<void>((done) =>
      this.disk.open(path, { write: true, create: true, truncate: true }, (status, file) => {
        if (!status.ok) return done(status)
        file!.write([Buffer.from(text)], 0, (written) => file!.close(() => done(written)))
      }),
    )
  }

  /** Saves a snapshot of these files; null when the machine stopped meanwhile. */
  save(meta: SnapshotMeta, files: Record<string, string>): Status | null {
    const created = this.tryCall<SnapshotWriter>((done) => this.storage.create(null, done))
    if (!created) return null
    const writer = created.value!
    for (const [name, text] of Object.entries(files)) {
      this.write(writer, name, text)
      writer.addFile(name)
    }
    return this.tryCall<void>((done) => this.storage.commit(writer, meta, done))?.status ?? null
  }

  openNewest(): { status: Status; value: SnapshotReader | undefined } {
    return this.call<SnapshotReader>((done) => this.storage.open(done))
  }

  /** What the newest snapshot holds, by name, after its checksums were found right; throws when they are not. */
  newest(): { index: number; files: Record<string, string> } | null {
    const { value: reader } = this.openNewest()
    if (!reader) return null
    const { status } = this.call<void>((done) => this.storage.verify(reader, done))
    if (!status.ok) throw new Error(status.toString())
    const files = Object.fromEntries(reader.files().map((name) => [name, this.disk.bytesOf(`${reader.path}/${name}`).toString()]))
    reader.close()
    this.executor.run()
    return { index: reader.meta.lastIncluded.index, files }
  }

  get names(): string[] {
    return this.disk.namesIn(SNAPSHOTS)
  }
}
