import type { Done } from '../../src/raft/closure.js'
import type { Executor, File, FileStat, FileSystem, OpenOptions } from '../../src/raft/environment.js'
import { ErrorCode, Status } from '../../src/raft/errors.js'
import type { SimDisk, SimNode } from '../../src/testing/sim-disk.js'
import { SimInode } from '../../src/testing/sim-inode.js'

/**
 * A disk's durable image as a FileSystem, so that a checker can open it with the real storage code. Changes are answered OK
 * and not made. Completions run from `drain`, never from inside the call.
 */
export class DurableFileSystem implements FileSystem {
  readonly executor: Executor = { post: (fn) => this.later(fn) }
  /** Every file and directory that was looked at: what was read stays true until one of them changes. */
  readonly visited = new Set<SimNode>()
  private readonly queue: (() => void)[] = []

  constructor(private readonly disk: SimDisk) {}

  /** Runs what was asked for, and what that asks for, until nothing is left. */
  drain(): void {
    for (let i = 0; i < this.queue.length; i++) this.queue[i]!()
    this.queue.length = 0
  }

  open(path: string, options: OpenOptions, done: (status: Status, file?: File) => void): void {
    const node = this.lookup(path)
    const inode = node && !node.isDirectory ? node : options.create ? new SimInode(0) : null
    this.later(() => (inode ? done(Status.OK, new DurableFile(this, inode)) : done(this.missing(path))))
  }

  stat(path: string, done: (status: Status, stat?: FileStat) => void): void {
    const node = this.lookup(path)
    this.later(() =>
      node
        ? done(Status.OK, { size: node.isDirectory ? 0 : node.durableSize, isDirectory: node.isDirectory, links: 1 })
        : done(this.missing(path)),
    )
  }

  list(path: string, done: (status: Status, names?: string[]) => void): void {
    const node = this.lookup(path)
    this.later(() => (node?.isDirectory ? done(Status.OK, [...node.durableNames.keys()].sort()) : done(this.missing(path))))
  }

  mkdir(_path: string, done: Done): void {
    this.later(() => done(Status.OK))
  }

  rename(_from: string, _to: string, done: Done): void {
    this.later(() => done(Status.OK))
  }

  link(_from: string, _to: string, done: Done): void {
    this.later(() => done(Status.OK))
  }

  unlink(_path: string, done: Done): void {
    this.later(() => done(Status.OK))
  }

  remove(_path: string, done: Done): void {
    this.later(() => done(Status.OK))
  }

  syncDir(_path: string, done: Done): void {
    this.later(() => done(Status.OK))
  }

  statfs(_path: string, done: (status: Status, space?: { freeBytes: number; totalBytes: number }) => void): void {
    this.later(() => done(Status.OK, { freeBytes: 0, totalBytes: 0 }))
  }

  later(fn: () => void): void {
    this.queue.push(fn)
  }

  lookup(path: string): SimNode | null {
    return this.disk.lookupDurable(path, this.visited)
  }

  private missing(path: string): Status {
    return Status.error(ErrorCode.ENOENT, `${path} is missing`)
  }
}

class DurableFile implements File {
  constructor(
    private readonly fileSystem: DurableFileSystem,
    private readonly inode: SimInode,
  ) {}

  write(_buffers: readonly Uint8Array[], _position: number, done: Done): void {
    this.fileSystem.later(() => done(Status.OK))
  }

  read(position: number, length: number, done: (status: Status, bytes?: Buffer) => void): void {
    const bytes = Buffer.from(this.inode.durableBytes().subarray(position, position + length))
    this.fileSystem.later(() => done(Status.OK, bytes))
  }

  datasync(done: Done): void {
    this.fileSystem.later(() => done(Status.OK))
  }

  truncate(_size: number, done: Done): void {
    this.fileSystem.later(() => done(Status.OK))
  }

  close(done: Done): void {
    this.fileSystem.later(() => done(Status.OK))
  }
}
