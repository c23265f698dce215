import type { Closure } from './closure.js'
import { ErrorCode, Status } from './errors.js'
import { Gathering } from './gathering.js'
import { EntryBatch } from './log-entry.js'
import type { NodeImpl } from './node-impl.js'
import type { Task } from './raft.js'
import { type LogIndex, plus } from './types.js'

const BATCH_ENTRIES_MAX = 1024
const BATCH_BYTES_MAX = 512 * 1024
/** A request to a peer must hold an entry whole, and a torn write is recognised by how much one write can be. */
const ENTRY_BYTES_MAX = 1.5 * 1024 * 1024
const PENDING_TASKS_MAX = 65_536
const PENDING_BYTES_MAX = 64 * 1024 * 1024

/** A batch that is not committed yet. */
interface Proposed {
  readonly last: LogIndex
  readonly bytes: number
  readonly count: number
  readonly at: number
  /** When its tasks came, on average. */
  readonly cameAt: number
  /** Until it was durable here; null before. */
  durableMs: number | null
}

/**
 * Tasks on their way into the leader's log: everything queued in one turn becomes one batch, one disk write and one
 * request per follower. A batch is what came while the last one was on its way, and those who were answered by it (gathering.ts).
 */
export class ApplyQueue {
  private tasks: Task[] = []
  /** Data of all tasks that are not committed yet, queued here or already in the log. */
  private bytes = 0
  private readonly proposed: Proposed[] = []
  /** So many of the oldest of them are durable here. */
  private durableBatches = 0
  private readonly gathering: Gathering
  /** Of the tasks that are queued here. */
  private queuedBytes = 0
  private posted = false
  /** When the oldest of them came, and when all came, added up. */
  private queuedAt = 0
  private cameAtSum = 0

  constructor(private readonly node: NodeImpl) {
    this.gathering = new Gathering(node.env.clock, () => this.drain())
  }

  get length(): number {
    return this.tasks.length
  }

  push(task: Task): void {
    const { options, closures } = this.node
    const entryBytesMax = options.entryBytesMax ?? ENTRY_BYTES_MAX
    if (task.data.length > entryBytesMax) {
      return this.refuse(task, Status.error(ErrorCode.EINVAL, `an entry of ${task.data.length} bytes; at most ${entryBytesMax} are taken`))
    }
    const pending = this.tasks.length + closures.length
    if (pending >= (options.pendingTasksMax ?? PENDING_TASKS_MAX) || this.bytes >= (options.pendingBytesMax ?? PENDING_BYTES_MAX)) {
      return this.refuse(task, Status.error(ErrorCode.EBUSY, `${pending} tasks are waiting to be committed`))
    }
    const now = this.node.env.clock.now()
    if (this.tasks.length === 0) this.queuedAt = now
    this.tasks.push(task)
    this.cameAtSum += now
    this.queuedBytes += task.data.length
    this.bytes += task.data.length
    this.gathering.onTask()
    this.postDrain()
  }

  private postDrain(): void {
    if (this.posted) return
    this.posted = true
    this.node.env.executor.post(() => {
      this.posted = false
      this.drain()
    }, 'apply')
  }

  /** Everything up to `index` is committed and no longer held for its proposers. */
  onCommitted(index: LogIndex): void {
    let newest: Proposed | null = null
    let count = 0
    let batches = 0
    while (this.proposed.length > 0 && this.proposed[0]!.last <= index) {
      newest = this.proposed.shift()!
      this.bytes -= newest.bytes
      count += newest.count
      batches++
    }
    if (!newest) return
    this.durableBatches = Math.max(0, this.durableBatches - batches)
    const now = this.node.env.clock.now()
    this.gathering.onCommitted(count, now - newest.at, newest.durableMs, now - newest.cameAt)
    if (this.tasks.length > 0) this.postDrain()
  }

  /** Everything up to `index` is durable here. */
  onDurable(index: LogIndex): void {
    for (let batch = this.proposed[this.durableBatches]; batch && batch.last <= index; batch = this.proposed[++this.durableBatches])
      batch.durableMs = this.node.env.clock.now() - batch.at
  }

  /** Leadership is gone or never was: refuses what is queued and forgets what was proposed. */
  rejectAll(status: Status): void {
    this.proposed.length = 0
    this.durableBatches = 0
    this.gathering.reset()
    this.rejectQueued(status)
    this.bytes = this.tasks.reduce((sum, task) => sum + task.data.length, 0)
  }

  private rejectQueued(status: Status): void {
    const tasks = this.tasks
    this.tasks = []
    this.queuedBytes = 0
    this.cameAtSum = 0
    this.gathering.letGo()
    for (const task of tasks) this.bytes -= task.data.length
    for (const task of tasks) task.done?.run(status)
  }

  /** A refusal is told later, never from inside `apply`. */
  private refuse(task: Task, status: Status): void {
    if (task.done) this.node.env.executor.post(() => task.done!.run(status), 'apply.refused')
  }

  private drain(): void {
    const refusal = this.refusal()
    if (refusal) return this.rejectQueued(refusal)
    if (this.tasks.length === 0 || (!this.isFull && this.gathering.waits())) return
    const cameAt = this.cameAtSum / this.tasks.length
    while (this.tasks.length > 0) this.proposeBatch(cameAt)
    this.queuedBytes = 0
    this.cameAtSum = 0
    this.node.replicators.replicate()
  }

  private refusal(): Status | null {
    const { state, log, witness } = this.node
    if (witness.refusal) return witness.refusal
    if (log.failure) return Status.error(ErrorCode.EPERM, `the log failed: ${log.failure.message}`)
    if (state === 'LEADER' && this.node.space.isShort) return Status.error(ErrorCode.ENOSPC, 'the disk of the leader runs short')
    if (state === 'LEADER') return this.node.readOnly.refusal
    if (state === 'TRANSFERRING') return Status.error(ErrorCode.EBUSY, 'is transferring leadership')
    return Status.error(ErrorCode.EPERM, this.node.isActive() ? 'is not leader' : `node is in state ${state}`)
  }

  private get isFull(): boolean {
    return this.tasks.length >= BATCH_ENTRIES_MAX || this.queuedBytes >= BATCH_BYTES_MAX
  }

  private proposeBatch(cameAt: number): void {
    const { node } = this
    const entries: Task[] = []
    const closures: (Closure | null)[] = []
    let bytes = 0
    let taken = 0
    while (taken < this.tasks.length && entries.length < BATCH_ENTRIES_MAX && bytes < BATCH_BYTES_MAX) {
      const task = this.tasks[taken++]!
      if (task.expectedTerm !== undefined && task.expectedTerm !== node.meta.term) {
        this.bytes -= task.data.length
        this.refuse(task, Status.error(ErrorCode.EPERM, `the term is ${node.meta.term}, not ${task.expectedTerm}`))
        continue
      }
      bytes += task.data.length
      entries.push(task)
      closures.push(task.done)
    }
    this.tasks = taken === this.tasks.length ? [] : this.tasks.slice(taken)
    if (entries.length === 0) return
    const batch = EntryBatch.encodeData(plus(node.log.lastIndex, 1), node.meta.term, entries, node.env.checksum)
    this.proposed.push({ last: batch.lastIndex, bytes, count: entries.length, at: node.env.clock.now(), cameAt, durableMs: null })
    this.gathering.onProposed(entries.length)
    node.writeLatency.onProposed(batch.lastIndex, this.queuedAt, node.configuration)
    node.propose(batch)
    node.closures.push(closures)
  }
}
