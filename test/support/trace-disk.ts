import type { Done } from '../../src/raft/closure.js'
import type { Executor, File, FileStat, FileSystem, OpenOptions } from '../../src/raft/environment.js'
import { ErrorCode, Status } from '../../src/raft/errors.js'

export const SECTOR_BYTES = 512

/** One version of one sector that was written and not synced: all of the sector as the page cache held it then. */
export interface SectorVersion {
  readonly sequence: number
  readonly bytes: Buffer
}

/** A size that a file took and that is not synced. */
export interface SizeVersion {
  readonly sequence: number
  readonly size: number
  /** False once a synchronous write behind that size has ended: then the size has gone on. */
  readonly mayStay: boolean
}

/** A file's bytes: what readers see, what is durable, and every version between. */
export interface TraceFileNode {
  readonly isDirectory: false
  content: Buffer
  durable: Buffer
  /** When each durable sector was written: a cut that came before it does not take it along. */
  readonly durableSince: Map<number, number>
  readonly sectors: Map<number, SectorVersion[]>
  sizes: SizeVersion[]
}

/** A directory: the names that readers see, and those that are durable. */
export interface TraceDirectory {
  readonly isDirectory: true
  readonly names: Map<string, TraceNode>
  readonly durable: Map<string, TraceNode>
}

export type TraceNode = TraceFileNode | TraceDirectory

/** A name takes another meaning; null: it is gone. */
export interface Assignment {
  readonly directory: TraceDirectory
  readonly name: string
  readonly node: TraceNode | null
}

/** A change of names that is not durable yet. A rename is one change of two names: both or none. */
export interface NameChange {
  readonly sequence: number
  readonly assignments: readonly Assignment[]
}

/** What lies on a disk that was just powered on: the bytes of every file by its path, and the directories. */
export type Image = ReadonlyMap<string, Buffer | 'directory'>

/**
 * The FileSystem port over a disk that forgets nothing: what readers see, what is durable, and what lies between, so that
 * every state that a power loss may leave can be told (crash-states.ts). Written apart from the simulator's disk, so that one
 * wrong idea of durability does not hide in both.
 *
 * `onPoint` runs whenever a power loss may leave what it could not before: an operation was taken, or its answer is due.
 */
export class TraceDisk implements FileSystem {
  root: TraceDirectory = { isDirectory: true, names: new Map(), durable: new Map() }
  pending: NameChange[] = []
  sequence = 0
  /** Every change and sync that was asked for, as `what path`. */
  readonly operations: string[] = []
  onPoint: (() => void) | null = null

  constructor(
    private readonly executor: Executor,
    image: Image = new Map(),
  ) {
    for (const [path, bytes] of image) {
      const { directory, name } = this.placeOf(path)!
      const node = bytes === 'directory' ? newDirectory() : newFile(bytes)
      directory.names.set(name, node)
      directory.durable.set(name, node)
    }
  }

  /** The same disk with all that is not synced, for another process: the one before was killed, the machine was not. */
  clone(executor: Executor): TraceDisk {
    const copies = new Map<TraceNode, TraceNode>()
    const copyOf = (node: TraceNode): TraceNode => {
      const known = copies.get(node)
      if (known) return known
      const copy: TraceNode = node.isDirectory ? newDirectory() : newFile(node.content)
      copies.set(node, copy)
      if (node.isDirectory) {
        const directory = copy as TraceDirectory
        for (const [name, below] of node.names) directory.names.set(name, copyOf(below))
        for (const [name, below] of node.durable) directory.durable.set(name, copyOf(below))
      } else {
        const file = copy as TraceFileNode
        file.durable = Buffer.from(node.durable)
        for (const [sector, since] of node.durableSince) file.durableSince.set(sector, since)
        for (const [sector, versions] of node.sectors) file.sectors.set(sector, [...versions])
        file.sizes = [...node.sizes]
      }
      return copy
    }
    const disk = new TraceDisk(executor)
    disk.root = copyOf(this.root) as TraceDirectory
    disk.pending = this.pending.map(({ sequence, assignments }) => ({
      sequence,
      assignments: assignments.map(({ directory, name, node }) => ({
        directory: copyOf(directory) as TraceDirectory,
        name,
        node: node && copyOf(node),
      })),
    }))
    disk.sequence = this.sequence
    return disk
  }

  lookup(path: string): TraceNode | null {
    if (path === '' || path === '/') return this.root
    const place = this.placeOf(path)
    return place?.directory.names.get(place.name) ?? null
  }

  open(path: string, options: OpenOptions, done: (status: Status, file?: File) => void): void {
    const place = this.placeOf(path)
    const node = this.lookup(path)
    const fail = (code: ErrorCode, what: string) => this.later(() => done(Status.error(code, `${path} ${what}`)))
    if (node?.isDirectory) return fail(ErrorCode.EIO, 'is a directory')
    if (node && options.exclusive) return fail(ErrorCode.EEXIST, 'exists')
    if (!place || (!node && !options.create)) return fail(ErrorCode.ENOENT, 'is missing')
    const file = node ?? newFile(Buffer.alloc(0))
    if (!node) this.change([{ ...place, node: file }], `create ${path}`)
    else if (options.truncate && file.content.length > 0) this.resize(file, 0, path)
    this.later(() => done(Status.OK, new TraceFile(this, file, path, options.dsync === true)))
  }

  stat(path: string, done: (status: Status, stat?: FileStat) => void): void {
    const node = this.lookup(path)
    const stat = node && {
      size: node.isDirectory ? 0 : node.content.length,
      isDirectory: node.isDirectory,
      links: linksIn(this.root, node),
    }
    this.later(() => (stat ? done(Status.OK, stat) : done(missing(path))))
  }

  list(path: string, done: (status: Status, names?: string[]) => void): void {
    const node = this.lookup(path)
    const names = node?.isDirectory ? [...node.names.keys()].sort() : null
    this.later(() => (names ? done(Status.OK, names) : done(missing(path))))
  }

  mkdir(path: string, done: Done): void {
    const parents: TraceDirectory[] = []
    const parts = partsOf(path)
    parts.forEach((name, i) => {
      const directory = this.lookup(parts.slice(0, i).join('/')) as TraceDirectory
      if (directory.names.has(name)) return
      this.change([{ directory, name, node: newDirectory() }], `mkdir ${path}`)
      parents.push(directory)
    })
    this.finish(done, () => parents.forEach((directory) => this.persistNames(directory)), parents.length > 0)
  }

  rename(from: string, to: string, done: Done): void {
    const source = this.placeOf(from)
    const target = this.placeOf(to)
    const node = this.lookup(from)
    if (!source || !target || !node) return this.later(() => done(missing(from)))
    const replaced = this.lookup(to)
    if (replaced?.isDirectory && replaced.names.size > 0) return this.later(() => done(Status.error(ErrorCode.EIO, `${to} is not empty`)))
    this.change(
      [
        { ...source, node: null },
        { ...target, node },
      ],
      `rename ${to}`,
    )
    this.finish(done)
  }

  link(from: string, to: string, done: Done): void {
    const node = this.lookup(from)
    const target = this.placeOf(to)
    if (!node || !target) return this.later(() => done(missing(from)))
    if (this.lookup(to)) return this.later(() => done(Status.error(ErrorCode.EEXIST, `${to} exists`)))
    this.change([{ ...target, node }], `link ${to}`)
    this.finish(done)
  }

  unlink(path: string, done: Done): void {
    const place = this.placeOf(path)
    if (!place || !this.lookup(path)) return this.later(() => done(missing(path)))
    this.change([{ ...place, node: null }], `unlink ${path}`)
    this.finish(done)
  }

  remove(path: string, done: Done): void {
    const sweep = (at: string): void => {
      const node = this.lookup(at)
      if (!node) return
      if (node.isDirectory) for (const name of [...node.names.keys()].sort()) sweep(`${at}/${name}`)
      this.change([{ ...this.placeOf(at)!, node: null }], `remove ${at}`)
    }
    sweep(path)
    this.finish(done)
  }

  syncDir(path: string, done: Done): void {
    const node = this.lookup(path)
    this.operations.push(`syncDir ${path}`)
    if (!node?.isDirectory) return this.later(() => done(missing(path)))
    this.finish(done, () => this.persistNames(node))
  }

  statfs(_path: string, done: (status: Status, space?: { freeBytes: number; totalBytes: number }) => void): void {
    this.later(() => done(Status.OK, { freeBytes: 1e9, totalBytes: 1e12 }))
  }

  /** Notes a write; every sector that it touches has one more version. */
  write(file: TraceFileNode, bytes: Buffer, position: number, path: string): void {
    const before = file.content.length
    const end = position + bytes.length
    file.content = Buffer.concat([file.content, Buffer.alloc(Math.max(0, end - before))])
    bytes.copy(file.content, position)
    this.operations.push(`write ${path}`)
    this.sequence++
    if (end > before) file.sizes.push({ sequence: this.sequence, size: end, mayStay: true })
    for (const sector of sectorsOf(position, end)) {
      const version = { sequence: this.sequence, bytes: Buffer.from(sectorOf(file.content, sector)) }
      file.sectors.set(sector, [...(file.sectors.get(sector) ?? []), version])
    }
    this.onPoint?.()
  }

  resize(file: TraceFileNode, size: number, path: string): void {
    const before = file.content.length
    file.content = Buffer.concat([file.content.subarray(0, size), Buffer.alloc(Math.max(0, size - before))])
    this.operations.push(`truncate ${path}`)
    file.sizes.push({ sequence: ++this.sequence, size, mayStay: true })
    this.onPoint?.()
  }

  /** fdatasync: everything written until now, and the size. */
  sync(file: TraceFileNode): void {
    file.durable = Buffer.from(file.content)
    file.durableSince.clear()
    file.sectors.clear()
    file.sizes = []
  }

  /** A synchronous write has ended: its range is durable and the file reaches to its end. A cut before it is not durable by that. */
  syncRange(file: TraceFileNode, position: number, length: number): void {
    const end = position + length
    const onlyGrew = file.sizes.every(({ size }, i) => size >= (file.sizes[i - 1]?.size ?? file.durable.length))
    file.durable = Buffer.concat([file.durable, Buffer.alloc(Math.max(0, end - file.durable.length))])
    for (const sector of sectorsOf(position, end)) {
      sectorOf(file.content, sector).copy(file.durable, sector * SECTOR_BYTES)
      file.durableSince.set(sector, this.sequence)
      file.sectors.delete(sector)
    }
    const left = onlyGrew ? file.sizes.filter(({ size }) => size > file.durable.length) : file.sizes
    file.sizes = left.map((version) => (version.size < end ? { ...version, mayStay: false } : version))
  }

  later(fn: () => void): void {
    this.executor.post(fn, 'trace-disk')
  }

  /** Answers later; what the operation makes durable is durable from then on, not before. */
  finish(done: Done, makeDurable?: () => void, isPoint = true): void {
    this.later(() => {
      makeDurable?.()
      if (makeDurable && isPoint) this.onPoint?.()
      done(Status.OK)
    })
  }

  private persistNames(directory: TraceDirectory): void {
    const later: NameChange[] = []
    for (const change of this.pending) {
      if (!change.assignments.some((assignment) => assignment.directory === directory)) later.push(change)
      else for (const { directory: of, name, node } of change.assignments) setName(of.durable, name, node)
    }
    this.pending = later
  }

  private change(assignments: readonly Assignment[], what: string): void {
    for (const { directory, name, node } of assignments) setName(directory.names, name, node)
    this.pending.push({ sequence: ++this.sequence, assignments })
    this.operations.push(what)
    this.onPoint?.()
  }

  private placeOf(path: string): { directory: TraceDirectory; name: string } | null {
    const parts = partsOf(path)
    const name = parts.pop()
    let directory: TraceNode | undefined = this.root
    for (const part of parts) directory = directory?.isDirectory ? directory.names.get(part) : undefined
    return name !== undefined && directory?.isDirectory ? { directory, name } : null
  }
}

function newFile(bytes: Buffer): TraceFileNode {
  const content = Buffer.from(bytes)
  return { isDirectory: false, content, durable: content, durableSince: new Map(), sectors: new Map(), sizes: [] }
}

function linksIn(directory: TraceDirectory, wanted: TraceNode): number {
  let sum = 0
  for (const node of directory.names.values()) sum += (node === wanted ? 1 : 0) + (node.isDirectory ? linksIn(node, wanted) : 0)
  return sum
}

function newDirectory(): TraceDirectory {
  return { isDirectory: true, names: new Map(), durable: new Map() }
}

export function setName(names: Map<string, TraceNode>, name: string, node: TraceNode | null): void {
  if (node) names.set(name, node)
  else names.delete(name)
}

function missing(path: string): Status {
  return Status.error(ErrorCode.ENOENT, `${path} is missing`)
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '')
}

function sectorsOf(from: number, to: number): number[] {
  const first = Math.floor(from / SECTOR_BYTES)
  return Array.from({ length: Math.max(0, Math.ceil(to / SECTOR_BYTES) - first) }, (_, i) => first + i)
}

export function sectorOf(bytes: Buffer, sector: number): Buffer {
  return bytes.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES)
}

class TraceFile implements File {
  private isOpen = true

  constructor(
    private readonly disk: TraceDisk,
    private readonly node: TraceFileNode,
    private readonly path: string,
    private readonly dsync: boolean,
  ) {}

  write(buffers: readonly Uint8Array[], position: number, done: Done): void {
    this.expectOpen()
    const bytes = Buffer.concat(buffers)
    this.disk.write(this.node, bytes, position, this.path)
    this.disk.finish(done, this.dsync ? () => this.disk.syncRange(this.node, position, bytes.length) : undefined)
  }

  read(position: number, length: number, done: (status: Status, bytes?: Buffer) => void): void {
    this.expectOpen()
    const bytes = Buffer.from(this.node.content.subarray(position, position + length))
    this.disk.later(() => done(Status.OK, bytes))
  }

  datasync(done: Done): void {
    this.expectOpen()
    this.disk.operations.push(`datasync ${this.path}`)
    this.disk.finish(done, () => this.disk.sync(this.node))
  }

  truncate(size: number, done: Done): void {
    this.expectOpen()
    this.disk.resize(this.node, size, this.path)
    this.disk.finish(done)
  }

  close(done: Done): void {
    this.expectOpen()
    this.isOpen = false
    this.disk.later(() => done(Status.OK))
  }

  private expectOpen(): void {
    if (!this.isOpen) throw new Error(`${this.path} was used after it was closed`)
  }
}
