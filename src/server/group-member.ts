import { closure } from '../raft/closure.js'
import type { Executor } from '../raft/environment.js'
import type { Status } from '../raft/errors.js'
import type { ReadMode } from '../raft/messages.js'
import type { Node } from '../raft/node.js'
import type { SnapshotMeta } from '../raft/storage.js'
import type { CommandText } from '../rpc/control-host.js'
import type { DirectoryLock } from '../storage/lock.js'
import type { NodeStorage } from '../storage/open-storage.js'

const DEFAULT_SNAPSHOT_INTERVAL_MS = 3_600_000

interface GroupMemberParts {
  readonly node: Node
  readonly executor: Executor
  readonly lock: DirectoryLock
  readonly directory: string
  readonly storage: NodeStorage
  readonly snapshotIntervalMs: number | undefined
  readonly describeCommand: ((data: Buffer) => CommandText | null) | undefined
}

/** What a question to a node was answered. */
export interface NodeAnswer<T> {
  readonly status: Status
  /** There when the status is OK. */
  readonly value: T | undefined
}

/** A member of a group that a RaftServer runs: its node, by promises. Nothing here throws: a Status says what came of it. */
export class GroupMember {
  constructor(private readonly parts: GroupMemberParts) {}

  /** What it is a thin wrapper of; asked on the executor (`ask`). */
  get node(): Node {
    return this.parts.node
  }

  /** Where the group keeps its files. */
  get directory(): string {
    return this.parts.directory
  }

  /** Where its log, votes, snapshots and identity are kept. */
  get storage(): NodeStorage {
    return this.parts.storage
  }

  /** How often a snapshot is taken; 0: only on demand. */
  get snapshotIntervalMs(): number {
    return this.parts.snapshotIntervalMs ?? DEFAULT_SNAPSHOT_INTERVAL_MS
  }

  /** Asks the node, on its executor: `member.ask((done) => node.snapshot(done))`. */
  ask<T>(question: (done: (status: Status, value?: T) => void) => void): Promise<NodeAnswer<T>> {
    return new Promise((resolve) => this.parts.executor.post(() => question((status, value) => resolve({ status, value })), 'ask'))
  }

  /** Proposes a task; resolves with what its closure was run with (Node.apply). */
  async apply(data: Uint8Array): Promise<Status> {
    return (await this.ask<void>((done) => this.node.apply({ data, done: closure(done) }))).status
  }

  /** OK once this member has applied all that a linearizable read must see; then read the machine (Node.readIndex). */
  async readIndex(timeoutMs: number, mode?: ReadMode): Promise<Status> {
    return (await this.ask((done) => this.node.readIndex(timeoutMs, done, mode))).status
  }

  /** Takes a snapshot; answers what it stands for (Node.snapshot). */
  snapshot(): Promise<NodeAnswer<SnapshotMeta>> {
    return this.ask<SnapshotMeta>((done) => this.node.snapshot(done))
  }

  /** One of the group's commands in words; null when nobody knows. */
  describeCommand(data: Buffer): CommandText | null {
    return this.parts.describeCommand?.(data) ?? null
  }

  /** For RaftServer: hands over, stops, and gives the directory back. */
  async stop(): Promise<void> {
    await this.ask<void>((done) => this.node.shutdown(done))
    await this.parts.lock.release()
  }
}
