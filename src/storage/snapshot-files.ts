import type { Done } from '../raft/closure.js'
import type { Checksum, File, FileSystem } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { formatChecksum, parseChecksum } from '../raft/snapshot-checksum.js'
import { SNAPSHOT_LIST, type SnapshotFileMeta } from '../raft/storage.js'
import { join, parentOf } from './paths.js'
import { forEachInOrder, inSequence } from './steps.js'

/** Read at a time while a file is checked: other work goes on in between. */
const SLICE_BYTES = 1024 * 1024

/** CRC-32C and length of a whole file, read in slices. */
export function checksumOfFile(
  fileSystem: FileSystem,
  checksum: Checksum,
  path: string,
  done: (status: Status, found?: { crc32c: number; size: number }) => void,
): void {
  fileSystem.open(path, {}, (opened, file) => {
    if (!opened.ok) return done(opened)
    checksumOf(file!, checksum, (status, found) =>
      file!.close((closed) => (status.ok && closed.ok ? done(Status.OK, found) : done(status.ok ? closed : status))),
    )
  })
}

function checksumOf(file: File, checksum: Checksum, done: (status: Status, found?: { crc32c: number; size: number }) => void): void {
  let crc32c = 0
  let size = 0
  const step = () =>
    file.read(size, SLICE_BYTES, (status, bytes) => {
      if (!status.ok) return done(status)
      crc32c = checksum.crc32c(bytes!, crc32c)
      size += bytes!.length
      if (bytes!.length < SLICE_BYTES) return done(Status.OK, { crc32c, size })
      step()
    })
  step()
}

/** Makes a listed file durable and answers what is to be known of it: its size, and a checksum where it has none. */
export function settleFile(
  fileSystem: FileSystem,
  checksum: Checksum,
  path: string,
  known: SnapshotFileMeta,
  done: (status: Status, meta?: SnapshotFileMeta) => void,
): void {
  fileSystem.open(path, { write: true }, (opened, file) => {
    if (!opened.ok) return done(opened)
    let meta = known
    inSequence(
      [
        (next) => file!.datasync(next),
        (next) =>
          known.checksum !== undefined && known.size !== undefined
            ? next(Status.OK)
            : checksumOf(file!, checksum, (status, found) => {
                if (status.ok) meta = { checksum: formatChecksum(found!.crc32c), ...known, size: found!.size }
                next(status)
              }),
      ],
      (status) => file!.close((closed) => (status.ok && closed.ok ? done(Status.OK, meta) : done(status.ok ? closed : status))),
    )
  })
}

/** Makes durable what somebody else wrote. ECORRUPT: it is missing. */
export function syncFile(fileSystem: FileSystem, path: string, done: Done): void {
  fileSystem.open(path, { write: true }, (opened, file) => {
    if (opened.code === ErrorCode.ENOENT) return done(Status.error(ErrorCode.ECORRUPT, `${path} is damaged: it is missing`))
    if (!opened.ok) return done(opened)
    file!.datasync((status) => file!.close((closed) => done(status.ok ? closed : status)))
  })
}

/** Every directory that holds one of the files, deepest first, without the root. */
export function directoriesOf(root: string, names: Iterable<string>): string[] {
  const found = new Set<string>()
  for (const name of names) {
    for (let directory = parentOf(join(root, name)); directory !== root; directory = parentOf(directory)) found.add(directory)
  }
  return [...found].sort((a, b) => b.length - a.length || (a < b ? -1 : 1))
}

/** Removes what is in `root` and not listed: the rest of an earlier try. */
export function removeUnlisted(fileSystem: FileSystem, root: string, names: ReadonlySet<string>, done: Done): void {
  const directories = new Set(directoriesOf(root, names))
  const sweep = (directory: string, swept: Done): void =>
    fileSystem.list(directory, (status, found) => {
      if (!status.ok) return swept(status)
      forEachInOrder(
        found!,
        (entry, next) => {
          const path = join(directory, entry)
          const name = path.slice(root.length + 1)
          if (names.has(name) || name === SNAPSHOT_LIST) next(Status.OK)
          else if (directories.has(path)) sweep(path, next)
          else fileSystem.remove(path, next)
        },
        swept,
      )
    })
  sweep(root, done)
}

/** ECORRUPT when a file is missing, shorter or longer than listed, or not what its checksum says. */
export function verifyFile(fileSystem: FileSystem, checksum: Checksum, path: string, meta: SnapshotFileMeta, done: Done): void {
  const expected = parseChecksum(meta.checksum)
  const damaged = (what: string) => done(Status.error(ErrorCode.ECORRUPT, `${path} is damaged: ${what}`))
  const judge = (status: Status, size: number, crc32c: number | null): void => {
    if (status.code === ErrorCode.ENOENT) return damaged('it is missing')
    if (!status.ok) return done(status)
    if (meta.size !== undefined && meta.size !== size) return damaged(`it has ${size} bytes, ${meta.size} were written`)
    if (crc32c !== null && crc32c !== expected) return damaged(`its checksum is ${formatChecksum(crc32c)}, not ${meta.checksum}`)
    done(Status.OK)
  }
  if (expected === null) return fileSystem.stat(path, (status, stat) => judge(status, stat?.size ?? 0, null))
  checksumOfFile(fileSystem, checksum, path, (status, found) => judge(status, found?.size ?? 0, found?.crc32c ?? null))
}
