import type { Done } from '../raft/closure.js'
import type { Checksum, FileSystem } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { decodeGroupRecord, encodeGroupRecord, type GroupRecord } from './group-record.js'
import { makeDirectory } from './make-directory.js'
import { groupDirectory } from './open-storage.js'
import { join } from './paths.js'
import { readWholeFile, replaceFile } from './protobuf-file.js'
import { forEachInOrder, inSequence, type Step } from './steps.js'

/** What a group's directory is called while it is deleted; no group is called so, for a dot in a name is written as %2E. */
const REMOVED = '.removed'

export function isRemoved(name: string): boolean {
  return name.endsWith(REMOVED)
}

/** What lies under one name below `groups`. */
export type FoundGroup = { readonly directory: string; readonly name: string } & (
  | { readonly record: GroupRecord }
  /** It has a past, but nobody created it at run time: it was started by its name. */
  | { readonly record: null; readonly problem: null }
  /** `isDamaged`: what lies there is not what was written; else the disk would not say. */
  | { readonly record: null; readonly problem: string; readonly isDamaged: boolean }
)

/**
 * The groups that were created while the process ran, as the disk has them: `<data>/groups/<name>/raftctl/group.json`.
 *
 * Whatever moment a process ends at, a later one finds a group whole or not at all:
 * - it is there from the moment its record is renamed into place; a directory without one promised nothing yet;
 * - it is gone from the moment its directory is renamed; what is left of that is deleted by whoever finds it.
 */
export class GroupDirectories {
  private readonly root: string

  constructor(
    private readonly fileSystem: FileSystem,
    private readonly checksum: Checksum,
    private readonly dataDirectory: string,
  ) {
    this.root = join(dataDirectory, 'groups')
  }

  of(group: string): string {
    return groupDirectory(this.dataDirectory, group)
  }

  /** OK: the group is there, also after a loss of power. */
  create(record: GroupRecord, done: Done): void {
    const { fileSystem, checksum } = this
    const directory = this.of(record.group)
    const steps: Step[] = [
      (next) => makeDirectory(fileSystem, this.root, next),
      (next) => makeDirectory(fileSystem, directory, next),
      (next) => makeDirectory(fileSystem, join(directory, 'raftctl'), next),
      (next) => replaceFile(fileSystem, recordPath(directory), encodeGroupRecord(record, checksum), next),
    ]
    inSequence(steps, done)
  }

  /** OK: the group is gone, also after a loss of power. Nothing may use its files any more. */
  remove(group: string, done: Done): void {
    const { fileSystem, root } = this
    const directory = this.of(group)
    const removed = `${directory}${REMOVED}`
    const steps: Step[] = [
      (next) => fileSystem.rename(directory, removed, (status) => next(status.code === ErrorCode.ENOENT ? Status.OK : status)),
      (next) => fileSystem.syncDir(root, next),
      (next) => fileSystem.remove(removed, next),
    ]
    inSequence(steps, done)
  }

  /** Everything below `groups`, by name. What was being removed is deleted on the way. */
  list(done: (status: Status, found?: FoundGroup[]) => void): void {
    const { fileSystem, root } = this
    fileSystem.list(root, (status, names) => {
      if (status.code === ErrorCode.ENOENT) return done(Status.OK, [])
      if (!status.ok) return done(status)
      const found: FoundGroup[] = []
      const look = (name: string, next: Done) => {
        // Renamed by a process that was killed, its name may not be durable yet: the group must not come back half deleted.
        if (isRemoved(name)) {
          const steps: Step[] = [(synced) => fileSystem.syncDir(root, synced), (removed) => fileSystem.remove(join(root, name), removed)]
          // What cannot be deleted now is no group either, and waits for the next start.
          return inSequence(steps, () => next(Status.OK))
        }
        this.look(name, (looked, group) => {
          if (group) found.push(group)
          next(looked)
        })
      }
      forEachInOrder(names!, look, (looked) => done(looked, looked.ok ? found : undefined))
    })
  }

  private look(encoded: string, done: (status: Status, found?: FoundGroup | null) => void): void {
    const { fileSystem, checksum, root } = this
    const directory = join(root, encoded)
    const name = decoded(encoded)
    if (name === null) return done(Status.OK, null)
    readWholeFile(fileSystem, recordPath(directory), (status, bytes) => {
      if (status.code === ErrorCode.ENOENT) return this.lookWithoutRecord({ directory, name }, done)
      if (!status.ok) return done(Status.OK, unreadable(directory, name, status))
      const record = decodeGroupRecord(bytes!, checksum)
      if (typeof record === 'string')
        return done(Status.OK, {
          directory,
          name,
          record: null,
          problem: `${recordPath(directory)} is damaged: ${record}`,
          isDamaged: true,
        })
      if (record.group !== name)
        return done(Status.OK, {
          directory,
          name,
          record: null,
          problem: `${recordPath(directory)} is that of group ${record.group}`,
          isDamaged: true,
        })
      // Renamed by a process that was killed, its name may not be durable yet; from here on it is relied upon.
      fileSystem.syncDir(join(directory, 'raftctl'), (named) =>
        done(Status.OK, named.ok ? { directory, name, record } : unreadable(directory, name, named)),
      )
    })
  }

  /** Either creating it came to nothing, or it was started by its name. */
  private lookWithoutRecord(at: { directory: string; name: string }, done: (status: Status, found?: FoundGroup | null) => void): void {
    const { fileSystem } = this
    fileSystem.list(at.directory, (status, names) => {
      if (status.code === ErrorCode.ENOENT || status.code === ErrorCode.EIO) return done(Status.OK, null)
      if (!status.ok) return done(Status.OK, unreadable(at.directory, at.name, status))
      const hasPast = names!.some((name) => name !== 'raftctl')
      done(Status.OK, hasPast ? { ...at, record: null, problem: null } : null)
    })
  }
}

/** It hinders no other group. */
function unreadable(directory: string, name: string, { message }: Status): FoundGroup {
  return { directory, name, record: null, problem: `${recordPath(directory)} cannot be read: ${message}`, isDamaged: false }
}

function recordPath(directory: string): string {
  return join(directory, 'raftctl', 'group.json')
}

function decoded(encoded: string): string | null {
  try {
    return decodeURIComponent(encoded)
  } catch {
    return null
  }
}
