import type { Done } from '../../src/raft/closure.js'
import type { File, FileStat, FileSystem, OpenOptions } from '../../src/raft/environment.js'
import { ErrorCode, Status } from '../../src/raft/errors.js'
import { type SimDirectory, SimDisk } from '../../src/testing/sim-disk.js'
import type { SimInode } from '../../src/testing/sim-inode.js'
import { SimRandom } from '../../src/testing/sim-random.js'
import type { ManualExecutor } from './fake-environment.js'

/** What the operation at which the machine stops has done: nothing, all, or, for a write, its first half. */
export type LastOperation = 'not done' | 'half done' | 'done'

/**
 * The FileSystem port over a simulated disk, for tests of the storage: it can lose power at any chosen operation, refuse an
 * operation, and remembers what was asked of it.
 */
export class CrashDisk implements FileSystem {
  /** Every change that was asked for, as `what name`. */
  readonly operations: string[] = []
  readonly disk: SimDisk
  private stopAt = Infinity
  private lastOperation: LastOperation = 'done'
  private stopped = false
  private refusals: { pattern: RegExp; code: ErrorCode; times: number }[] = []

  constructor(
    private readonly executor: ManualExecutor,
    seed = 1,
  ) {
    this.disk = new SimDisk(new SimRandom(seed))
  }

  /** Stops the machine at the n-th change from now on: nothing completes any more. */
  stopAtChange(n: number, lastOperation: LastOperation): void {
    this.stopAt = this.operations.length + n
    this.lastOperation = lastOperation
  }

  get hasStopped(): boolean {
    return this.stopped
  }

  /** Power loss and power on: what was not synced is there, torn or gone, by chance. */
  crash(keep = 0.5): void {
    this.disk.crash(keep)
    this.restart()
  }

  /** The process died, the machine did not: what was written stays readable, though nothing more is durable. */
  restart(): void {
    this.stopped = false
    this.stopAt = Infinity
  }

  /** Answers `code` to the next changes whose `what name` matches. */
  refuse(pattern: RegExp, code: ErrorCode, times = 1): void {
    this.refusals.push({ pattern, code, times })
  }

  /** The bytes of a file as readers see them. */
  bytesOf(path: string): Buffer {
    const node = this.disk.lookup(path)
    if (!node || node.isDirectory) throw new Error(`no file ${path}`)
    return node.read(0, node.size)
  }

  namesIn(path: string): string[] {
    const node = this.disk.lookup(path)
    return node?.isDirectory ? [...node.names.keys()].sort() : []
  }

  /** Puts a file on the disk, durably. */
  put(path: string, bytes: Uint8Array): void {
    const parent = path.slice(0, path.lastIndexOf('/'))
    this.disk.mkdir(parent)
    const inode = (this.disk.lookup(path) ?? this.disk.create(path)) as SimInode
    inode.truncate(0)
    inode.write(bytes, 0)
    inode.sync()
    this.disk.syncDirectory(this.disk.lookup(parent) as SimDirectory)
  }

  /** Removes a file or a tree, durably. */
  drop(path: string): void {
    this.disk.remove(path)
    this.disk.syncDirectory(this.disk.lookup(path.slice(0, path.lastIndexOf('/'))) as SimDirectory)
  }

  /** Turns over bits of one byte, durably. */
  flip(path: string, position: number, mask = 0x40): void {
    ;(this.disk.lookup(path) as SimInode).corrupt(position, (byte) => byte ^ mask)
  }

  open(path: string, options: OpenOptions, done: (status: Status, file?: File) => void): void {
    const node = this.disk.lookup(path)
    if (!node && !options.create) return this.answer(() => done(Status.error(ErrorCode.ENOENT, `${path} is missing`)))
    if (node && options.exclusive) return this.answer(() => done(Status.error(ErrorCode.EEXIST, `${path} exists`)))
    const ready = (status: Status) =>
      status.ok ? done(status, new CrashFile(this, this.disk.lookup(path) as SimInode, path, options.dsync === true)) : done(status)
    if (node && !options.truncate) return this.answer(() => ready(Status.OK))
    const effect = () => {
      if (!node) this.disk.create(path)
      else (node as SimInode).truncate(0)
      return 0
    }
    this.change(`create ${path}`, { effect }, ready)
  }

  stat(path: string, done: (status: Status, stat?: FileStat) => void): void {
    const node = this.disk.lookup(path)
    const stat = node && { size: node.isDirectory ? 0 : node.size, isDirectory: node.isDirectory, links: this.disk.linksOf(node) }
    this.answer(() => (stat ? done(Status.OK, stat) : done(Status.error(ErrorCode.ENOENT, `${path} is missing`))))
  }

  list(path: string, done: (status: Status, names?: string[]) => void): void {
    const node = this.disk.lookup(path)
    const names = node?.isDirectory ? this.namesIn(path) : null
    this.answer(() => (names ? done(Status.OK, names) : done(Status.error(ErrorCode.ENOENT, `${path} is missing`))))
  }

  mkdir(path: string, done: Done): void {
    if (this.disk.lookup(path)?.isDirectory) return this.answer(() => done(Status.OK))
    this.change(`mkdir ${path}`, { effect: () => this.disk.mkdir(path) }, done)
  }

  rename(from: string, to: string, done: Done): void {
    this.change(`rename ${to}`, { effect: () => this.disk.rename(from, to) }, done)
  }

  link(from: string, to: string, done: Done): void {
    this.change(`link ${to}`, { effect: () => this.disk.link(from, to) }, done)
  }

  unlink(path: string, done: Done): void {
    this.change(`unlink ${path}`, { effect: () => this.disk.unlink(path) }, done)
  }

  remove(path: string, done: Done): void {
    const effect = () => {
      this.disk.remove(path)
      return 0
    }
    this.change(`remove ${path}`, { effect }, done)
  }

  syncDir(path: string, done: Done): void {
    const onComplete = () => this.disk.syncDirectory(this.disk.lookup(path) as SimDirectory)
    this.change(`syncDir ${path}`, { effect: () => 0, onComplete }, done)
  }

  statfs(_path: string, done: (status: Status, space?: { freeBytes: number; totalBytes: number }) => void): void {
    this.answer(() => done(Status.OK, { freeBytes: 1e9, totalBytes: 1e12 }))
  }

  /** Runs `fn` later, unless the machine has stopped. */
  answer(fn: () => void): void {
    this.executor.post(() => {
      if (!this.stopped) fn()
    }, 'crash-disk')
  }

  change(what: string, how: { effect: (share: number) => number; onComplete?: () => void }, done: Done): void {
    if (this.stopped) return
    this.operations.push(what)
    if (this.operations.length === this.stopAt) {
      this.stopped = true
      if (this.lastOperation !== 'not done') how.effect(this.lastOperation === 'done' ? 1 : 0.5)
      return
    }
    const refusal = this.refusals.find(({ pattern, times }) => times > 0 && pattern.test(what))
    if (refusal) {
      refusal.times--
      if (what.startsWith('write')) how.effect(0.5)
      return this.answer(() => done(Status.error(refusal.code, `${what} failed`)))
    }
    const code = how.effect(1)
    if (code === 0) how.onComplete?.()
    this.answer(() => done(code === 0 ? Status.OK : new Status(code, `${what} failed`)))
  }
}

class CrashFile implements File {
  private open = true

  constructor(
    private readonly disk: CrashDisk,
    private readonly inode: SimInode,
    private readonly path: string,
    private readonly dsync: boolean,
  ) {}

  write(buffers: readonly Uint8Array[], position: number, done: Done): void {
    this.expectOpen()
    const bytes = Buffer.concat(buffers)
    const effect = (share: number) => {
      this.inode.write(bytes.subarray(0, Math.floor(bytes.length * share)), position)
      return 0
    }
    this.disk.change(`write ${this.path}`, { effect, onComplete: () => this.dsync && this.inode.syncRange(position, bytes.length) }, done)
  }

  read(position: number, length: number, done: (status: Status, bytes?: Buffer) => void): void {
    this.expectOpen()
    const bytes = this.inode.read(position, length)
    this.disk.answer(() => done(Status.OK, bytes))
  }

  datasync(done: Done): void {
    this.expectOpen()
    this.disk.change(`datasync ${this.path}`, { effect: () => 0, onComplete: () => this.inode.sync() }, done)
  }

  truncate(size: number, done: Done): void {
    this.expectOpen()
    const effect = () => {
      this.inode.truncate(size)
      return 0
    }
    this.disk.change(`truncate ${this.path}`, { effect }, done)
  }

  close(done: Done): void {
    this.expectOpen()
    this.open = false
    this.disk.answer(() => done(Status.OK))
  }

  private expectOpen(): void {
    if (!this.open) throw new Error(`${this.path} was used after it was closed`)
  }
}
