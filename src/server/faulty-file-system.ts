import type { Done } from '../raft/closure.js'
import type { Executor, File, FileSystem, OpenOptions } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { Faults } from '../rpc/faults.js'

/** What a name costs on a disk that has only so much left. */
const NAME_BYTES = 4096

const FULL = Status.error(ErrorCode.ENOSPC, 'no space left on the disk, on purpose')

/** The same file system as the disk faults of the process let it be: slow, or full. Reads are as ever. */
export function faultyFileSystem(files: FileSystem, faults: Faults, executor: Executor): FileSystem {
  const late = <Result extends unknown[]>(done: (...result: Result) => void): ((...result: Result) => void) => {
    const delayMs = faults.disk?.delayMs() ?? 0
    return delayMs <= 0 ? done : (...result) => void setTimeout(() => executor.post(() => done(...result), 'slow disk'), delayMs)
  }
  const refuse = (done: (status: Status) => void) => executor.post(() => done(FULL), 'full disk')
  const hasRoom = (bytes: number) => faults.disk?.take(bytes) ?? true
  const slow = (act: (done: Done) => void) => (done: Done) => act(late(done))

  const faultyFile = (file: File): File => {
    const faulty: File = Object.create(file)
    faulty.write = (buffers, position, done) => {
      const bytes = buffers.reduce((sum, buffer) => sum + buffer.length, 0)
      if (hasRoom(bytes)) file.write(buffers, position, late(done))
      else refuse(done)
    }
    faulty.datasync = slow((done) => file.datasync(done))
    faulty.truncate = (size, done) => file.truncate(size, late(done))
    return faulty
  }

  const faulty: FileSystem = Object.create(files)
  faulty.open = (path, options, done) => {
    if (makesName(options) && !hasRoom(NAME_BYTES)) return refuse(done)
    files.open(
      path,
      options,
      late((status: Status, file?: File) => done(status, file && faultyFile(file))),
    )
  }
  faulty.mkdir = (path, done) => (hasRoom(NAME_BYTES) ? files.mkdir(path, late(done)) : refuse(done))
  faulty.link = (from, to, done) => (hasRoom(NAME_BYTES) ? files.link(from, to, late(done)) : refuse(done))
  faulty.rename = (from, to, done) => files.rename(from, to, late(done))
  faulty.unlink = (path, done) => files.unlink(path, late(done))
  faulty.remove = (path, done) => files.remove(path, late(done))
  faulty.syncDir = (path, done) => files.syncDir(path, late(done))
  faulty.statfs = (path, done) =>
    files.statfs(path, (status, space) => {
      const left = faults.disk?.freeBytes
      done(status, space && left != null ? { ...space, freeBytes: Math.min(space.freeBytes, left) } : space)
    })
  return faulty
}

function makesName({ create = false, exclusive = false }: OpenOptions): boolean {
  return create || exclusive
}
