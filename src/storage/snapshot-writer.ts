import type { FileSystem } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { SnapshotFileMeta, SnapshotWriter } from '../raft/storage.js'
import { problemOfName } from './snapshot-list.js'

/** The files of a snapshot in the making (braft LocalSnapshotWriter): a list; whoever adds a file writes it. */
export class LocalSnapshotWriter implements SnapshotWriter {
  readonly listed: Map<string, SnapshotFileMeta>

  constructor(
    readonly fileSystem: FileSystem,
    readonly path: string,
    listed: ReadonlyMap<string, SnapshotFileMeta>,
  ) {
    this.listed = new Map(listed)
  }

  addFile(name: string, meta: SnapshotFileMeta = {}): Status {
    const problem = problemOfName(name)
    if (problem) return Status.error(ErrorCode.EINVAL, `the name "${name}" ${problem}`)
    if (this.listed.has(name)) return Status.error(ErrorCode.EEXIST, `${name} is listed already`)
    this.listed.set(name, meta)
    return Status.OK
  }

  removeFile(name: string): void {
    this.listed.delete(name)
  }

  files(): readonly string[] {
    return [...this.listed.keys()]
  }

  fileMeta(name: string): SnapshotFileMeta | null {
    return this.listed.get(name) ?? null
  }
}
