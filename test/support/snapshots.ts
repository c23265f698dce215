import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { crc32c } from '@node-rs/crc32'
import { Configuration, ConfigurationEntry } from '../../src/raft/configuration.js'
import { PeerId } from '../../src/raft/peer-id.js'
import type { SnapshotReader } from '../../src/raft/storage.js'
import { asTerm, logIndex } from '../../src/raft/types.js'
import { EventLoopExecutor } from '../../src/server/executor.js'
import { NodeFileSystem } from '../../src/storage/node-file-system.js'

/** A snapshot as a state machine left it, in a temporary directory, and the reader that a storage would open on it. */
export class FakeSnapshot {
  readonly executor = new EventLoopExecutor()
  readonly path = mkdtempSync(join(tmpdir(), 'raftctl-snapshot-'))
  /** Readers that nobody has closed. */
  open = 0

  constructor(
    readonly contents: Readonly<Record<string, Buffer>>,
    private readonly index = 1200,
  ) {
    for (const [name, bytes] of Object.entries(contents)) this.write(name, bytes)
  }

  write(name: string, bytes: Buffer): void {
    const file = join(this.path, name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, bytes)
  }

  reader(): SnapshotReader {
    this.open++
    const voters = ['127.0.0.1:7001', '127.0.0.1:7002', '127.0.0.1:7003'].map((text) => PeerId.parse(text)!)
    const id = { index: logIndex(this.index), term: asTerm(8) }
    return {
      fileSystem: new NodeFileSystem(this.executor),
      path: this.path,
      meta: {
        lastIncluded: id,
        configuration: new ConfigurationEntry(id, new Configuration(voters), Configuration.EMPTY, [], logIndex(5)),
      },
      files: () => Object.keys(this.contents),
      fileMeta: (name) => ({ checksum: `crc32c:${crc32c(this.contents[name]!).toString(16).padStart(8, '0')}` }),
      list: () => Buffer.alloc(0),
      close: () => this.open--,
    }
  }

  onExecutor<T>(start: (done: (result: T) => void) => void): Promise<T> {
    return new Promise((resolve) => this.executor.post(() => start(resolve), 'test'))
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}
