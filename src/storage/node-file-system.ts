import fs from 'node:fs'
import { lstat, readdir, rm, truncate, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Done } from '../raft/closure.js'
import type { Executor, File, FileStat, FileSystem, OpenOptions } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import { inSequence } from './steps.js'

/** The kernel takes at most this many buffers in one call (IOV_MAX). */
const BUFFERS_MAX = 1024
const FILE_MODE = 0o644
/** Of a file that is removed, so much at a time. */
const REMOVED_BYTES = 16 * 1024 * 1024
const LABEL = 'file-system'

const CODES: Record<string, ErrorCode> = {
  ENOENT: ErrorCode.ENOENT,
  EEXIST: ErrorCode.EEXIST,
  ENOSPC: ErrorCode.ENOSPC,
  EDQUOT: ErrorCode.ENOSPC,
  EACCES: ErrorCode.EACCES,
  EPERM: ErrorCode.EACCES,
  EROFS: ErrorCode.EACCES,
}

function toStatus(error: NodeJS.ErrnoException | null): Status {
  if (!error) return Status.OK
  return Status.error(CODES[error.code ?? ''] ?? ErrorCode.EIO, error.message)
}

/**
 * The real disk: node:fs with callbacks, every completion posted to the executor. A file opened with `dsync` carries
 * O_DSYNC where the platform has it; elsewhere each write is followed by fdatasync.
 */
export class NodeFileSystem implements FileSystem {
  constructor(private readonly executor: Executor) {}

  /** ENOENT, EEXIST, EACCES and whatever else the system says. */
  open(path: string, options: OpenOptions, done: (status: Status, file?: File) => void): void {
    fs.open(path, openFlags(options), FILE_MODE, (error, fd) => {
      const syncsItself = options.dsync === true && fs.constants.O_DSYNC === undefined
      this.post(() => (error ? done(toStatus(error)) : done(Status.OK, new NodeFile(fd, path, this.executor, syncsItself))))
    })
  }

  /** ENOENT: there is nothing of that name. */
  stat(path: string, done: (status: Status, stat?: FileStat) => void): void {
    fs.stat(path, (error, stat) =>
      this.post(() =>
        error ? done(toStatus(error)) : done(Status.OK, { size: stat.size, isDirectory: stat.isDirectory(), links: stat.nlink }),
      ),
    )
  }

  list(path: string, done: (status: Status, names?: string[]) => void): void {
    fs.readdir(path, (error, names) => this.post(() => (error ? done(toStatus(error)) : done(Status.OK, names.sort()))))
  }

  mkdir(path: string, done: Done): void {
    fs.mkdir(path, { recursive: true }, (error, firstMade) => {
      if (error || firstMade === undefined) return this.post(() => done(toStatus(error)))
      const parents: string[] = []
      const top = dirname(firstMade)
      for (let parent = dirname(path); ; parent = dirname(parent)) {
        parents.push(parent)
        if (parent === top || parent === dirname(parent)) break
      }
      inSequence(
        parents.map((parent) => (next: Done) => this.syncDir(parent, next)),
        done,
      )
    })
  }

  /** What was called `to` is replaced. The names are not durable before `syncDir`. */
  rename(from: string, to: string, done: Done): void {
    fs.rename(from, to, (error) => this.post(() => done(toStatus(error))))
  }

  /** A second name for the same file. EEXIST: it is taken. */
  link(from: string, to: string, done: Done): void {
    fs.link(from, to, (error) => this.post(() => done(toStatus(error))))
  }

  unlink(path: string, done: Done): void {
    fs.unlink(path, (error) => this.post(() => done(toStatus(error))))
  }

  remove(path: string, done: Done): void {
    cutLargeFiles(path)
      .catch(() => {})
      .then(() => rm(path, { recursive: true, force: true }))
      .then(
        () => this.post(() => done(Status.OK)),
        (error) => this.post(() => done(toStatus(error))),
      )
  }

  /** OK once the names in that directory are durable. */
  syncDir(path: string, done: Done): void {
    fs.open(path, 'r', (openError, fd) => {
      if (openError) return this.post(() => done(toStatus(openError)))
      fs.fsync(fd, (syncError) => fs.close(fd, (closeError) => this.post(() => done(toStatus(syncError ?? closeError)))))
    })
  }

  /** How much space its file system has. */
  statfs(path: string, done: (status: Status, space?: { freeBytes: number; totalBytes: number }) => void): void {
    fs.statfs(path, (error, space) => {
      this.post(() =>
        error ? done(toStatus(error)) : done(Status.OK, { freeBytes: space.bavail * space.bsize, totalBytes: space.blocks * space.bsize }),
      )
    })
  }

  private post(fn: () => void): void {
    this.executor.post(fn, LABEL)
  }
}

/**
 * Before something is removed: cuts its large files down, from their ends. Whoever syncs meanwhile waits for all that the file system
 * gives back at once. Small files of a directory go first: without its list nobody takes what is left of a snapshot for one. Files
 * that have another name are left alone.
 */
async function cutLargeFiles(path: string): Promise<void> {
  const stat = await lstat(path)
  if (stat.isDirectory()) {
    const large: string[] = []
    for (const name of await readdir(path)) {
      const each = await lstat(join(path, name))
      if (each.isFile() && each.size <= REMOVED_BYTES) await unlink(join(path, name))
      else large.push(name)
    }
    for (const name of large) await cutLargeFiles(join(path, name))
  } else if (stat.isFile() && stat.nlink === 1) {
    for (let size = stat.size - REMOVED_BYTES; size > 0; size -= REMOVED_BYTES) await truncate(path, size)
  }
}

function openFlags(options: OpenOptions): number {
  const { O_RDONLY, O_RDWR, O_CREAT, O_TRUNC, O_EXCL, O_DSYNC } = fs.constants
  let flags = options.write ? O_RDWR : O_RDONLY
  if (options.create) flags |= O_CREAT
  if (options.truncate) flags |= O_TRUNC
  if (options.exclusive) flags |= O_EXCL
  if (options.dsync) flags |= O_DSYNC ?? 0
  return flags
}

/** One descriptor. The caller closes it exactly once, after its last operation has completed. */
class NodeFile implements File {
  constructor(
    private readonly fd: number,
    private readonly path: string,
    private readonly executor: Executor,
    private readonly syncsItself: boolean,
  ) {}

  write(buffers: readonly Uint8Array[], position: number, done: Done): void {
    const pending = buffers.filter((buffer) => buffer.length > 0)
    const finish = (error: NodeJS.ErrnoException | null) => {
      if (error || !this.syncsItself) return this.post(() => done(this.toStatus(error)))
      this.datasync(done)
    }
    const step = (at: number): void => {
      if (pending.length === 0) return finish(null)
      fs.writev(this.fd, pending.slice(0, BUFFERS_MAX), at, (error, written) => {
        if (error) return finish(error)
        if (written === 0) return finish(new Error('the disk took no bytes'))
        dropWritten(pending, written)
        step(at + written)
      })
    }
    step(position)
  }

  read(position: number, length: number, done: (status: Status, bytes?: Buffer) => void): void {
    const bytes = Buffer.allocUnsafe(length)
    const step = (filled: number): void => {
      if (filled === length) return this.post(() => done(Status.OK, bytes))
      fs.read(this.fd, bytes, filled, length - filled, position + filled, (error, count) => {
        if (error) return this.post(() => done(this.toStatus(error)))
        if (count === 0) return this.post(() => done(Status.OK, bytes.subarray(0, filled)))
        step(filled + count)
      })
    }
    step(0)
  }

  datasync(done: Done): void {
    fs.fdatasync(this.fd, (error) => this.post(() => done(this.toStatus(error))))
  }

  truncate(size: number, done: Done): void {
    fs.ftruncate(this.fd, size, (error) => this.post(() => done(this.toStatus(error))))
  }

  close(done: Done): void {
    fs.close(this.fd, (error) => this.post(() => done(this.toStatus(error))))
  }

  private toStatus(error: NodeJS.ErrnoException | null): Status {
    const status = toStatus(error)
    return status.ok ? status : new Status(status.code, `${this.path}: ${status.message}`)
  }

  private post(fn: () => void): void {
    this.executor.post(fn, LABEL)
  }
}

/** Takes `written` bytes off the front: a write may be short. */
function dropWritten(pending: Uint8Array[], written: number): void {
  let rest = written
  let whole = 0
  while (whole < pending.length && rest >= pending[whole]!.length) rest -= pending[whole++]!.length
  pending.splice(0, whole)
  if (rest > 0) pending[0] = pending[0]!.subarray(rest)
}
