import type { Done } from '../raft/closure.js'
import type { File, FileStat, FileSystem, OpenOptions } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { Scheduler } from './scheduler.js'
import type { SimDirectory, SimDisk, SimNode } from './sim-disk.js'
import type { SimInode } from './sim-inode.js'
import type { SimProcess } from './sim-process.js'
import type { SimRandom } from './sim-random.js'

/** How a disk behaves; changed by faults while it runs. */
export interface DiskProfile {
  /** Mean of any operation that need not reach the platter. */
  operationMs: number
  /** Mean of a sync or a synchronous write. */
  syncMs: number
  /** Nothing completes before this moment of virtual time, or nothing whose path matches `stalledPaths`. */
  stalledUntil: number
  stalledPaths?: RegExp
  /** Chance of EIO per write, per sync and per name change. */
  writeErrorRate: number
  syncErrorRate: number
  /** Chance of EIO per read; 0 when absent. */
  readErrorRate?: number
  /** Everything takes so many times as long; 1 when absent. */
  slowness?: number
}

/** An operation the kernel has taken and not answered. Its effect may come at any moment before the answer. */
interface Inflight {
  /** Null once it happened, or when only its completion makes it happen. */
  effect: (() => number) | null
  code: number
  /** Its process died before the answer. */
  abandoned: boolean
}

/**
 * The FileSystem port of one process over a SimDisk: latency, stalls, errors, and operations in flight.
 * An operation takes effect when it is issued or when it completes, by chance; when its process dies in between, it has
 * happened, happened in part (writes) or not.
 */
export class SimFileSystem implements FileSystem {
  readonly inflight = new Set<Inflight>()

  constructor(
    private readonly scheduler: Scheduler,
    private readonly process: SimProcess,
    private readonly disk: SimDisk,
    private readonly profile: DiskProfile,
    private readonly random: SimRandom,
  ) {
    process.onDeath.push(() => this.abandon())
  }

  /** Answers after the time that the disk takes, as all of these do. */
  open(path: string, options: OpenOptions, done: (status: Status, file?: File) => void): void {
    let inode: SimInode | null = null
    const effect = (): number => {
      const node = this.disk.lookup(path)
      if (node?.isDirectory) return ErrorCode.EIO
      if (node && options.exclusive) return ErrorCode.EEXIST
      if (!node && !options.create) return ErrorCode.ENOENT
      const opened = node ?? this.disk.create(path)
      if (typeof opened === 'number') return opened
      if (options.truncate && opened.size > 0) opened.truncate(0)
      inode = opened
      return ErrorCode.OK
    }
    this.run(
      'disk:open',
      path,
      { effect, late: !options.create, errorRate: options.create ? this.profile.writeErrorRate : 0 },
      (status) => {
        if (status.ok) done(status, new SimFile(this, inode!, path, options.dsync === true))
        else done(status)
      },
    )
  }

  /** ENOENT: there is nothing of that name. */
  stat(path: string, done: (status: Status, stat?: FileStat) => void): void {
    let node: SimNode | null = null
    this.run('disk:stat', path, { effect: () => ((node = this.disk.lookup(path)) ? 0 : ErrorCode.ENOENT), late: true }, (status) => {
      if (!status.ok) return done(status)
      const { size, isDirectory } = node!.isDirectory ? { size: 0, isDirectory: true } : { size: node!.size, isDirectory: false }
      done(status, { size, isDirectory, links: this.disk.linksOf(node!) })
    })
  }

  list(path: string, done: (status: Status, names?: string[]) => void): void {
    let names: string[] = []
    const effect = (): number => {
      const node = this.disk.lookup(path)
      if (!node?.isDirectory) return ErrorCode.ENOENT
      names = [...node.names.keys()].sort()
      return ErrorCode.OK
    }
    this.run('disk:list', path, { effect, late: true }, (status) => (status.ok ? done(status, names) : done(status)))
  }

  mkdir(path: string, done: Done): void {
    this.run('disk:mkdir', path, { effect: () => this.disk.mkdir(path), slow: true, late: true }, done)
  }

  /** What was called `to` is replaced. */
  rename(from: string, to: string, done: Done): void {
    this.run('disk:rename', to, { effect: () => this.disk.rename(from, to), errorRate: this.profile.writeErrorRate }, done)
  }

  /** A second name for the same file. */
  link(from: string, to: string, done: Done): void {
    this.run('disk:link', to, { effect: () => this.disk.link(from, to), errorRate: this.profile.writeErrorRate }, done)
  }

  unlink(path: string, done: Done): void {
    this.run('disk:unlink', path, { effect: () => this.disk.unlink(path), errorRate: this.profile.writeErrorRate }, done)
  }

  remove(path: string, done: Done): void {
    const effect = (): number => {
      this.disk.remove(path)
      return ErrorCode.OK
    }
    this.run('disk:remove', path, { effect, errorRate: this.profile.writeErrorRate }, done)
  }

  /** The names in that directory outlive a power loss from now on. */
  syncDir(path: string, done: Done): void {
    const effect = (): number => {
      const node = this.disk.lookup(path)
      if (!node?.isDirectory) return ErrorCode.ENOENT
      this.disk.syncDirectory(node as SimDirectory)
      return ErrorCode.OK
    }
    this.run('disk:sync-dir', path, { effect, slow: true, late: true, errorRate: this.profile.syncErrorRate }, done)
  }

  /** By the capacity that the disk was given. */
  statfs(path: string, done: (status: Status, space?: { freeBytes: number; totalBytes: number }) => void): void {
    this.run('disk:statfs', path, { effect: () => ErrorCode.OK, late: true }, (status) => {
      const total = this.disk.capacityBytes === Infinity ? 1e12 : this.disk.capacityBytes
      done(status, { totalBytes: total, freeBytes: Math.max(0, total - this.disk.usedBytes()) })
    })
  }

  /** For SimFile: as File.write. */
  write(file: SimFile, bytes: Buffer, position: number, done: Done): void {
    const { inode, dsync, path } = file
    let failure = 0
    if (this.random.chance(this.profile.writeErrorRate)) failure = ErrorCode.EIO
    const grows = Math.max(0, position + bytes.length - inode.size)
    if (this.disk.capacityBytes !== Infinity && grows > 0 && this.disk.usedBytes() + grows > this.disk.capacityBytes)
      failure = ErrorCode.ENOSPC
    const written = failure ? this.random.integer(0, bytes.length) : bytes.length
    const effect = (share = 1): number => {
      const count = Math.floor(written * share)
      inode.write(count === bytes.length ? bytes : bytes.subarray(0, count), position)
      return failure
    }
    this.run('disk:write', path, { effect, slow: dsync, partial: effect }, done, () => {
      if (!dsync) return
      if (failure === ErrorCode.EIO) inode.forget()
      else if (!failure) inode.syncRange(position, bytes.length)
    })
  }

  /** For SimFile: as File.read. */
  read(file: SimFile, position: number, length: number, done: (status: Status, bytes?: Buffer) => void): void {
    let bytes: Buffer | undefined
    const effect = (): number => {
      bytes = file.inode.read(position, length)
      return ErrorCode.OK
    }
    const errorRate = this.profile.readErrorRate ?? 0
    this.run('disk:read', file.path, { effect, late: true, errorRate }, (status) => (status.ok ? done(status, bytes) : done(status)))
  }

  /** For SimFile: as File.datasync. */
  datasync(file: SimFile, done: Done): void {
    const fails = this.random.chance(this.profile.syncErrorRate)
    const effect = (): number => {
      if (fails) file.inode.forget()
      else file.inode.sync()
      return fails ? ErrorCode.EIO : ErrorCode.OK
    }
    this.run('disk:datasync', file.path, { effect, slow: true, late: true, sync: true }, done)
  }

  /** For SimFile: as File.truncate. */
  truncate(file: SimFile, size: number, done: Done): void {
    const effect = (): number => {
      file.inode.truncate(size)
      return ErrorCode.OK
    }
    this.run('disk:truncate', file.path, { effect, errorRate: this.profile.writeErrorRate }, done)
  }

  /** For SimFile: as File.close. */
  close(file: SimFile, done: Done): void {
    this.run('disk:close', file.path, { effect: () => ErrorCode.OK, late: true }, done)
  }

  /** The process died: what it had asked for happened, in part or not at all; no sync is known to have ended. */
  private abandon(): void {
    for (const operation of this.inflight) {
      operation.abandoned = true
      if (operation.effect && this.random.chance(0.5)) operation.effect()
    }
    this.inflight.clear()
  }

  private run(
    label: string,
    path: string,
    how: {
      effect: () => number
      /** Takes part of its effect when its process dies. */
      partial?: (share: number) => number
      /** Takes as long as a sync. */
      slow?: boolean
      /** Always takes effect when it completes. */
      late?: boolean
      /** Is a sync: dying in between leaves it undone. */
      sync?: boolean
      errorRate?: number
    },
    done: Done,
    onComplete?: () => void,
  ): void {
    const { random, profile } = this
    const fails = how.errorRate !== undefined && how.errorRate > 0 && random.chance(how.errorRate)
    const effect = fails ? () => ErrorCode.EIO : how.effect
    const share = random.unit()
    const issued = how.sync || how.late ? null : how.partial ? () => how.partial!(share) : effect
    const operation: Inflight = { effect: issued, code: 0, abandoned: false }
    const early = !how.late && random.chance(0.5)
    if (early) {
      operation.code = effect()
      operation.effect = null
    }
    this.inflight.add(operation)
    const mean = (how.slow ? profile.syncMs : profile.operationMs) * (profile.slowness ?? 1)
    const complete = (): void => {
      if (operation.abandoned) return
      if (this.scheduler.now < profile.stalledUntil && (profile.stalledPaths?.test(path) ?? true)) {
        this.scheduler.schedule(profile.stalledUntil - this.scheduler.now + random.unit() * mean, null, label, complete)
        return
      }
      this.inflight.delete(operation)
      if (!early) operation.code = effect()
      onComplete?.()
      const status = operation.code === 0 ? Status.OK : new Status(operation.code, `${label.slice(5)} ${path} failed`)
      this.process.deliver(label, done, status)
    }
    this.scheduler.schedule(mean * 0.5 + random.exponential(mean * 0.5), null, label, complete)
  }
}

/** An open file of one process. */
class SimFile implements File {
  constructor(
    private readonly fileSystem: SimFileSystem,
    readonly inode: SimInode,
    readonly path: string,
    readonly dsync: boolean,
  ) {}

  write(buffers: readonly Uint8Array[], position: number, done: Done): void {
    this.fileSystem.write(this, buffers.length === 1 ? Buffer.from(buffers[0]!) : Buffer.concat(buffers), position, done)
  }

  read(position: number, length: number, done: (status: Status, bytes?: Buffer) => void): void {
    this.fileSystem.read(this, position, length, done)
  }

  datasync(done: Done): void {
    this.fileSystem.datasync(this, done)
  }

  truncate(size: number, done: Done): void {
    this.fileSystem.truncate(this, size, done)
  }

  close(done: Done): void {
    this.fileSystem.close(this, done)
  }
}
