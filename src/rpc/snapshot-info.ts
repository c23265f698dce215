import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { raftctl } from '../generated/raftctl.js'
import { ErrorCode, type Status } from '../raft/errors.js'
import { SNAPSHOT_LIST, type SnapshotReader } from '../raft/storage.js'
import type { ControlledNode } from './control-host.js'
import type { OnExecutor } from './snapshot-archive-writer.js'

interface Known {
  readonly index: number
  readonly term: number
  readonly bytes: number
  readonly savedAtMs: number
  readonly path: string
  readonly checksum: string
}

/** What there is to say of the newest snapshot of each node. Sizes and times are looked up once per snapshot. */
export class SnapshotInfos {
  private readonly known = new WeakMap<ControlledNode, Known>()

  constructor(private readonly on: OnExecutor) {}

  /** Null when the node has none, or none that can be opened now. */
  async newest(node: ControlledNode): Promise<raftctl.v1.SnapshotInfo.$Properties | null> {
    const { index, term } = node.status().snapshotId
    if (index === 0) return null
    const known = this.known.get(node)
    if (known?.index === index && known.term === term) return infoOf(known)
    const opened = await openSnapshot(node, this.on)
    if (!opened.reader) return null
    try {
      const looked = await this.look(opened.reader)
      this.known.set(node, looked)
      return infoOf(looked)
    } finally {
      const { reader } = opened
      await this.on<void>((done) => done(reader.close()))
    }
  }

  private async look(reader: SnapshotReader): Promise<Known> {
    const { index, term } = reader.meta.lastIncluded
    const names = reader.files()
    const sizes = await Promise.all(names.map((name) => this.sizeOf(`${reader.path}/${name}`, reader)))
    const { mtimeMs } = await stat(join(reader.path, SNAPSHOT_LIST)).catch(() => ({ mtimeMs: Date.now() }))
    return {
      ...{ index, term, path: reader.path, savedAtMs: mtimeMs },
      bytes: sizes.reduce((sum, size) => sum + size, 0),
      checksum: names
        .map((name) => reader.fileMeta(name)?.checksum ?? '')
        .filter((checksum) => checksum !== '')
        .join(','),
    }
  }

  private sizeOf(path: string, { fileSystem }: SnapshotReader): Promise<number> {
    return this.on<number>((done) => fileSystem.stat(path, (status, found) => done(status.ok ? found!.size : 0)))
  }
}

export interface OpenedSnapshot {
  readonly status: Status
  /** Null unless the status is OK. To be closed on the executor. */
  readonly reader: SnapshotReader | null
}

export function openSnapshot(node: ControlledNode, on: OnExecutor): Promise<OpenedSnapshot> {
  return on<OpenedSnapshot>((done) => node.openSnapshot((status, reader) => done({ status, reader: reader ?? null })))
}

export function isMissing(status: Status): boolean {
  return status.code === ErrorCode.ENODATA || status.code === ErrorCode.ENOENT
}

function infoOf({ savedAtMs, ...known }: Known): raftctl.v1.SnapshotInfo.$Properties {
  return { ...known, age_ms: Math.max(0, Math.round(Date.now() - savedAtMs)) }
}
