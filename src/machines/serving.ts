import type { Closure } from '../raft/closure.js'
import type { Clock, Executor } from '../raft/environment.js'
import { ErrorCode, Status } from '../raft/errors.js'
import type { PeerId } from '../raft/peer-id.js'
import type { Task } from '../raft/raft.js'
import type { Reply } from '../rpc/service.js'

/** The part of a node that a service stands on. */
export interface ServedNode {
  isLeader(): boolean
  leaderId(): PeerId
  apply(task: Task): void
  readIndex(timeoutMs: number, done: (status: Status) => void): void
}

/** What the answers of braft's examples have in common: a member that does not lead names the one that does. */
export interface Answer {
  success: boolean
  redirect?: string
}

/** A proposer's closure: the machine leaves its answer in it before it runs it with OK. */
export class AnswerClosure<A> implements Closure {
  answer: A | null = null

  constructor(private readonly done: (status: Status, answer: A | null) => void) {}

  run(status: Status): void {
    this.done(status, this.answer)
  }
}

/** Gives a proposer what its command did, or nobody when it was proposed elsewhere. */
export function answer<A>(done: Closure | null, result: A): void {
  if (done instanceof AnswerClosure) done.answer = result
  done?.run(Status.OK)
}

export interface ServingOptions<M> {
  readonly machine: M
  readonly node: ServedNode
  readonly clock: Clock
  readonly executor: Executor
}

/** A read that the leader could not confirm in this time fails. */
const READ_TIMEOUT_MS = 1000
/** Refusals after which the caller should ask the leader: nothing was written. */
const ELSEWHERE: ReadonlySet<number> = new Set([ErrorCode.EPERM, ErrorCode.EBUSY])

/**
 * Serves calls as braft's examples do: the leader writes and reads, everybody else answers `success: false` and who leads.
 * Unlike there, a read is linearizable, and a write whose outcome is unknown fails instead of being redirected: whoever is
 * redirected tries again.
 */
export class Serving<M> {
  lastAcknowledgedAt: number | null = null

  constructor(private readonly options: ServingOptions<M>) {}

  get machine(): M {
    return this.options.machine
  }

  /** Puts a command into the log and answers what the machine made of it. */
  write<A extends Answer>(data: Uint8Array, reply: Reply<A | Answer>): void {
    const { node, clock, executor } = this.options
    const done = new AnswerClosure<A>((status, result) => {
      if (!status.ok) return this.fail(status, reply)
      this.lastAcknowledgedAt = clock.now()
      if (result === null) reply(Status.error(ErrorCode.EINTERNAL, 'the machine gave no answer'))
      else reply(Status.OK, result)
    })
    executor.post(() => (node.isLeader() ? node.apply({ data, done }) : this.redirect(reply)), 'serve write')
  }

  /** Answers `look` once this leader has confirmed that it leads and applied all that was acknowledged before the call. */
  read<A extends Answer>(look: () => { readonly answer: A; readonly attachment?: Buffer }, reply: Reply<A | Answer>): void {
    const { node, executor } = this.options
    executor.post(() => {
      if (!node.isLeader()) return this.redirect(reply)
      node.readIndex(READ_TIMEOUT_MS, (status) => {
        if (!status.ok) return this.fail(status, reply)
        const { answer: found, attachment } = look()
        reply(Status.OK, found, attachment)
      })
    }, 'serve read')
  }

  private fail(status: Status, reply: Reply<Answer>): void {
    if (ELSEWHERE.has(status.code) && !this.options.node.isLeader()) this.redirect(reply)
    else reply(status)
  }

  private redirect(reply: Reply<Answer>): void {
    const leader = this.options.node.leaderId()
    reply(Status.OK, leader.isEmpty ? { success: false } : { success: false, redirect: leader.toString() })
  }
}

/** The group is not open yet: there is nobody to name. */
export const STARTING: Answer = { success: false }
