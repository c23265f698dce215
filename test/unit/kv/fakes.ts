import type { CallContext, Reply } from '../../../src/machines/kv/call.js'
import type { KvFailure } from '../../../src/machines/kv/failure.js'
import type { KvNode, LeaderCalls, Write } from '../../../src/machines/kv/forwarding.js'
import type { Answer } from '../../../src/machines/kv/sessions.js'
import { KvClosure, KvStateMachine } from '../../../src/machines/kv/state-machine.js'
import type { Clock } from '../../../src/raft/environment.js'
import { ErrorCode, Status } from '../../../src/raft/errors.js'
import type { ReadMode } from '../../../src/raft/messages.js'
import { PeerId } from '../../../src/raft/peer-id.js'
import type { Task } from '../../../src/raft/raft.js'
import { type LogIndex, logIndex, plus } from '../../../src/raft/types.js'
import { ManualExecutor } from '../../support/fake-environment.js'

/** A machine whose long work waits until the executor is run, and a way to apply a command as the next entry. */
export function newMachine(executor = new ManualExecutor()): KvStateMachine {
  return new KvStateMachine({ executor })
}

export function applyNext(machine: KvStateMachine, data: Uint8Array): Answer {
  machine.appliedIndex = plus(machine.appliedIndex, 1)
  return machine.applyCommand(data, machine.appliedIndex)
}

/** Virtual time: timers run when the test advances it. */
export class FakeClock implements Clock {
  private time = 0
  private timers: { at: number; fn: () => void }[] = []

  now(): number {
    return this.time
  }

  schedule(delayMs: number, fn: () => void) {
    const timer = { at: this.time + delayMs, fn }
    this.timers.push(timer)
    return { cancel: () => void (this.timers = this.timers.filter((t) => t !== timer)) }
  }

  get pending(): number {
    return this.timers.length
  }

  advance(ms: number): void {
    const until = this.time + ms
    for (;;) {
      const next = this.timers.filter((t) => t.at <= until).sort((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.timers = this.timers.filter((t) => t !== next)
      this.time = Math.max(this.time, next.at)
      next.fn()
    }
    this.time = until
  }
}

export const peer = (port: number) => new PeerId('127.0.0.1', port)

/** A member of which the test decides what it leads, commits and confirms. */
export class FakeNode implements KvNode {
  leader = PeerId.EMPTY
  /** What `apply` does: commit at once, keep it, or end it with this status. */
  applies: 'commits' | 'holds' | Status = 'commits'
  /** The same for read index. */
  reads: 'confirms' | 'holds' | Status = 'confirms'
  readonly tasks: Task[] = []
  readonly heldReads: ((status: Status) => void)[] = []
  private onTask: (() => void) | null = null

  constructor(
    readonly machine: KvStateMachine,
    readonly peerId = peer(1),
  ) {}

  isLeader(): boolean {
    return this.leader.equals(this.peerId)
  }

  leaderId(): PeerId {
    return this.leader
  }

  readonly readModes: ReadMode[] = []

  /** Until `count` tasks were proposed here. */
  async asked(count = 1): Promise<void> {
    while (this.tasks.length < count) await new Promise<void>((resolve) => (this.onTask = resolve))
  }

  apply(task: Task): void {
    this.tasks.push(task)
    this.onTask?.()
    if (this.applies === 'commits') this.commit(task)
    else if (this.applies !== 'holds') task.done?.run(this.applies)
  }

  commit(task: Task): void {
    const answer = this.machine.applyCommand(task.data, logIndex(this.tasks.length))
    if (task.done instanceof KvClosure) task.done.answer = answer
    task.done?.run(Status.OK)
  }

  readIndex(_timeoutMs: number, done: (status: Status, index?: LogIndex) => void, mode: ReadMode): void {
    this.readModes.push(mode)
    if (this.reads === 'confirms') done(Status.OK)
    else if (this.reads === 'holds') this.heldReads.push((status) => done(status))
    else done(this.reads)
  }

  follow(leader: PeerId): void {
    this.leader = leader
    this.machine.onStartFollowing({ leaderId: leader, term: 1 as never, status: Status.OK })
  }

  lead(): void {
    this.leader = this.peerId
    this.machine.onLeaderStart(1 as never)
  }
}

export interface Forwarded {
  readonly leader: PeerId
  readonly write: Write
  readonly context: CallContext & { readonly timeoutMs: number }
  cancelled: boolean
  reply(failure: KvFailure | null, answer: Answer | null): void
}

/** Keeps what was forwarded for the test to answer. */
export class FakeLeaderCalls implements LeaderCalls {
  readonly calls: Forwarded[] = []
  closed = false

  call(leader: PeerId, write: Write, context: Forwarded['context'], done: Reply<Answer>) {
    const call: Forwarded = {
      leader,
      write,
      context,
      cancelled: false,
      reply: (failure, answer) => {
        if (!call.cancelled) done(failure, answer)
      },
    }
    this.calls.push(call)
    return { cancel: () => void (call.cancelled = true) }
  }

  close(): void {
    this.closed = true
  }
}

export const NOT_LEADER = Status.error(ErrorCode.EPERM, 'is not leader')
export const STEPPED_DOWN = Status.error(ErrorCode.EOUTCOMEUNKNOWN, 'leader stepped down')
