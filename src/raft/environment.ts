import type { Done } from './closure.js'
import type { ElectionGate } from './election-gate.js'
import type { Status } from './errors.js'
import type { RaftEvent } from './events.js'
import type { FailpointName } from './failpoints.js'
import type { Heartbeats } from './heartbeats.js'
import type { AppendEntriesRequest, AppendEntriesResponse, PeerCalls, PeerMethod } from './messages.js'
import type { PeerId } from './peer-id.js'

/**
 * The seams: everything the engine needs of the world. Production adapters live in src/rpc, src/storage and src/server;
 * the simulator has its own. Nothing below src/raft may reach a clock, a timer, a random number, a socket or a file
 * by any other way.
 *
 * Every callback enters the engine through `Executor.post` or from a handler that already runs there: one at a time,
 * never from inside the call that asked for it.
 */
export interface Environment {
  readonly clock: Clock
  readonly executor: Executor
  readonly random: Random
  readonly transport: Transport
  readonly checksum: Checksum
  readonly observer: Observer
  readonly failpoints: Failpoints
  /** Shared by the nodes of a process; without it, each holds its elections at once. */
  readonly elections?: ElectionGate
  /** Shared by the nodes of a process; without it, each has a timer of its own. */
  readonly heartbeats?: Heartbeats
}

/** Something that will be run once. */
export interface Timer {
  /** After this the callback does not run. Cancelling twice, or after it ran, is harmless. */
  cancel(): void
}

/** Time, as the engine knows it: it never goes back, and tells nothing of the date. */
export interface Clock {
  /** Monotonic milliseconds, possibly fractional; unrelated to wall time. */
  now(): number
  /** Runs `fn` once, not before `delayMs` have passed. `label` names the timer in traces. */
  schedule(delayMs: number, fn: () => void, label: string): Timer
}

/** Runs what is posted, one thing at a time, in order, never from inside `post`. Everything of a node runs there. */
export interface Executor {
  /** Runs `fn` later, in order of posting. */
  post(fn: () => void, label: string): void
}

/** All chance there is. A fork is a stream of its own, which does not depend on how much was drawn here. */
export interface Random {
  /** Uniform in [0, 2^32). */
  u32(): number
  /** Uniform in [0, n), n ≥ 1. */
  below(n: number): number
  /** Uniform in [0, 1). */
  unit(): number
  chance(p: number): boolean
  /** `n` random bytes in lower-case hex. */
  hex(bytes: number): string
  /** An independent stream: drawing from it does not shift this one. */
  fork(label: string): Random
}

/** A call under way. */
export interface Call {
  /** Gives up waiting; the completion does not run any more. The other side may still act. */
  cancel(): void
}

/** How a peer's process looks from here: does something accept at its address? */
export type DialResult = 'accepted' | 'refused' | 'unknown'

/** The way to the other members. Every `done` runs exactly once, later, on the executor, unless the call was cancelled. */
export interface Transport {
  /** One request, exactly one completion: the answer, an error of the peer, or ETIMEDOUT after `timeoutMs`. */
  call<M extends PeerMethod>(
    to: PeerId,
    method: M,
    request: PeerCalls[M]['request'],
    timeoutMs: number,
    done: (status: Status, response?: PeerCalls[M]['response']) => void,
  ): Call
  /** An ordered stream of append requests from `from` to `to` in a group. */
  openAppendStream(groupId: string, from: PeerId, to: PeerId, events: AppendStreamEvents): AppendStream
  /** Tries to connect and hangs up: 'refused' only when the other host says that nobody listens. */
  dial(to: PeerId, timeoutMs: number, done: (result: DialResult) => void): void
}

/** One ordered way for appends to one peer of one group. */
export interface AppendStream {
  /** Queues a request; its answer carries the same `seq`. Requests arrive in order or the stream breaks. */
  send(seq: number, request: AppendEntriesRequest): void
  /** No event follows. */
  close(): void
}

/** What comes back on it. */
export interface AppendStreamEvents {
  /** An answer or, without a response, the peer's refusal of that request. Heartbeats may be answered out of order. */
  answer(seq: number, status: Status, response?: AppendEntriesResponse): void
  /** The stream is unusable; what was sent and not answered may or may not have arrived. Once, and the last event. */
  broken(status: Status): void
}

/** The checksum of an entry (braft's checksum_type byte). */
export const ChecksumType = { MURMUR32: 0, CRC32C: 1 } as const
export type ChecksumType = (typeof ChecksumType)[keyof typeof ChecksumType]

/** The checksums of entries and files. */
export interface Checksum {
  /**
   * CRC-32C (Castagnoli) of the bytes in [from, to), all by default, as an unsigned number; `previous` is that of the bytes
   * before, 0 at the start.
   */
  crc32c(bytes: Uint8Array, previous?: number, from?: number, to?: number): number
  /** MurmurHash3_x86_32, seed 0, as an unsigned number. */
  murmur32(bytes: Uint8Array): number
  /** Which of them new entries of the log carry; every entry says which it has. */
  readonly ofEntries: ChecksumType
}

/** What is known of a path. */
export interface FileStat {
  readonly size: number
  readonly isDirectory: boolean
  /** Names that it has: who writes into a file with several changes what the others read. */
  readonly links: number
}

/**
 * Files with explicit durability. What was written is volatile until `datasync` (or at once on a `dsync` file); a
 * created, renamed or removed name is volatile until `syncDir` of its directory. Every `done` runs later, on the executor.
 * A missing file answers ENOENT, an existing one with `exclusive` EEXIST, a full disk ENOSPC, one that may not be used EACCES,
 * everything else EIO.
 */
export interface FileSystem {
  open(path: string, options: OpenOptions, done: (status: Status, file?: File) => void): void
  stat(path: string, done: (status: Status, stat?: FileStat) => void): void
  /** Names in a directory, sorted. */
  list(path: string, done: (status: Status, names?: string[]) => void): void
  /** Creates the directory and its parents; fine when it exists. The new names are made durable. */
  mkdir(path: string, done: Done): void
  rename(from: string, to: string, done: Done): void
  link(from: string, to: string, done: Done): void
  /** Removes a file. */
  unlink(path: string, done: Done): void
  /** Removes a file or a whole directory; fine when it is missing. */
  remove(path: string, done: Done): void
  syncDir(path: string, done: Done): void
  statfs(path: string, done: (status: Status, space?: { freeBytes: number; totalBytes: number }) => void): void
}

/** How a file is opened. Default: to read one that is there. */
export interface OpenOptions {
  readonly write?: boolean
  readonly create?: boolean
  readonly truncate?: boolean
  readonly exclusive?: boolean
  /** Every completed write is durable (O_DSYNC); name and truncation are not. */
  readonly dsync?: boolean
}

/** An open file. Every `done` runs later, on the executor. */
export interface File {
  /** Writes all of `buffers` at `position`; `done` is OK only when every byte was written. */
  write(buffers: readonly Uint8Array[], position: number, done: Done): void
  /** Reads up to `length` bytes; fewer only at the end of the file. */
  read(position: number, length: number, done: (status: Status, bytes?: Buffer) => void): void
  datasync(done: Done): void
  truncate(size: number, done: Done): void
  close(done: Done): void
}

/**
 * Named points in the code where a test may end or stop the process, or make the next step fail (failpoints.ts). Only the
 * points of the storage mind the answer. Production never fails at one.
 */
export interface Failpoints {
  hit(name: FailpointName): Status | null
}

/** Is told of each change of state of the nodes. It must be quick, and may not call them. */
export interface Observer {
  event(event: RaftEvent): void
}
