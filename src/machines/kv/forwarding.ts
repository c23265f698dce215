import { raftctl } from '../../generated/kv.js'
import type { Clock } from '../../raft/environment.js'
import { ErrorCode, type Status } from '../../raft/errors.js'
import type { ReadMode } from '../../raft/messages.js'
import type { PeerId } from '../../raft/peer-id.js'
import type { Task } from '../../raft/raft.js'
import type { LogIndex } from '../../raft/types.js'
import { answerBy, type CallContext, type PendingCall, PendingCalls, type Reply } from './call.js'
import { GrpcStatus, KvFailure, TOO_LARGE } from './failure.js'
import type { Answer } from './sessions.js'
import { KvClosure, type KvStateMachine } from './state-machine.js'

/** What the service needs of a Raft node (src/raft/node.ts). */
export interface KvNode {
  readonly peerId: PeerId
  apply(task: Task): void
  /** Runs `done` with OK once this member applied everything a linearizable read must see. */
  readIndex(timeoutMs: number, done: (status: Status, index?: LogIndex) => void, mode: ReadMode): void
  /** PeerId.EMPTY when unknown. */
  leaderId(): PeerId
  isLeader(): boolean
}

/** A change, as it stands in the command and travels to the leader. */
export type Write = Pick<raftctl.kv.Command.$Properties, 'put' | 'delete_range' | 'txn' | 'compact'>

/** Carries a write to the leader. */
export interface LeaderCalls {
  /**
   * `done` runs exactly once, later, unless the call was cancelled. A failure with applied = no means that it never
   * reached the leader's log; anything that might have is unknown.
   */
  call(leader: PeerId, write: Write, context: CallContext & { readonly timeoutMs: number }, done: Reply<Answer>): { cancel(): void }
  close(): void
}

export interface WriteRouterOptions {
  readonly node: KvNode
  readonly machine: KvStateMachine
  readonly clock: Clock
  /** Wall time, for the leader's stamp. */
  readonly wallClockMs: () => number
  readonly leaderCalls: LeaderCalls
}

/** etcd's default. An entry has to fit, with others, into one message between members: one that does not would stop its group. */
export const ENTRY_BYTES_MAX = 1.5 * 1024 * 1024

/** The engine says with these that a task never entered the log. */
const NOT_TAKEN: ReadonlySet<number> = new Set([ErrorCode.EPERM, ErrorCode.EBUSY, ErrorCode.EAGAIN])
/** The same, and trying again soon is of no use here. */
const REFUSED: ReadonlySet<number> = new Set([ErrorCode.ENOSPC, ErrorCode.EREADONLY])

/**
 * Takes writes on any member: proposes them when it leads, else forwards them to the leader, one hop at most.
 *
 * Owns the writes that this member took and has not answered. A call is held until a leader is known; what was certainly
 * not applied is tried again here, and so is what may have been applied when the client named itself, since the machine
 * then answers from its table. Each reply runs exactly once, before the caller's deadline.
 */
export class WriteRouter {
  readonly pending: PendingCalls
  private readonly forwarded = new Set<WriteCall>()
  private readonly stopWatching: () => void
  /** On the clock: when this member, as leader, last acknowledged a write; null before the first. */
  lastAcknowledgedAt: number | null = null
  private closed = false

  constructor(readonly options: WriteRouterOptions) {
    this.pending = new PendingCalls(options.clock)
    this.stopWatching = options.machine.watchLeadership(() => this.onLeadership())
  }

  route(write: Write, context: CallContext, reply: Reply<Answer>): void {
    const full = this.closed ? stopping() : this.pending.checkRoom()
    if (full !== null) return reply(full, null)
    const call = new WriteCall(this, write, context, reply)
    this.pending.add(call)
    call.retry()
  }

  /** The node has stopped: takes nothing any more, and waits until what the leader was asked is answered. */
  drain(timeoutMs: number, done: () => void): void {
    this.closed = true
    this.pending.drain(timeoutMs, done)
  }

  /** Answers everything that is left; nothing is taken any more. */
  close(): void {
    this.closed = true
    this.stopWatching()
    this.pending.expireAll()
    this.options.leaderCalls.close()
  }

  noteForwarded(call: WriteCall): void {
    this.forwarded.add(call)
  }

  forget(call: WriteCall): void {
    this.forwarded.delete(call)
  }

  private onLeadership(): void {
    this.pending.retryWaiting()
    for (const call of [...this.forwarded]) call.leaderMayHaveChanged()
  }
}

/** One write on its way. */
class WriteCall implements PendingCall {
  readonly answerBy: number
  private target: PeerId | null = null
  private forwarding: { cancel(): void } | null = null
  private proposed = false
  private settled = false
  /** An attempt ended without saying whether it was applied. */
  private mayHaveApplied = false

  constructor(
    private readonly router: WriteRouter,
    private readonly write: Write,
    private readonly context: CallContext,
    private readonly reply: Reply<Answer>,
  ) {
    this.answerBy = answerBy(router.options.clock, context.timeoutMs)
  }

  retry(): void {
    if (this.settled) return
    if (this.context.isCancelled?.()) return this.fail(outcomeFailure(this.mayHaveApplied, this.context, 'the caller gave up'))
    const { node, clock } = this.router.options
    if (clock.now() >= this.answerBy) return this.expire()
    if (node.isLeader()) return this.propose()
    const leader = node.leaderId()
    if (this.context.forwarded) return this.fail(notLeader(leader))
    if (leader.isEmpty || leader.equals(node.peerId)) return this.router.pending.wait(this)
    this.forward(leader)
  }

  expire(): void {
    if (this.settled) return
    if (this.proposed || this.forwarding !== null) this.mayHaveApplied = true
    if (this.mayHaveApplied) {
      return this.fail(outcomeFailure(true, this.context, 'the deadline passed before the outcome was known', GrpcStatus.DEADLINE_EXCEEDED))
    }
    this.fail(noLeader(this.router.options.node.leaderId()))
  }

  /** The leader that it was forwarded to is not the leader any more: with a session it may ask the new one. */
  leaderMayHaveChanged(): void {
    const leader = this.router.options.node.leaderId()
    if (this.context.session === null || this.target === null || leader.isEmpty || leader.equals(this.target)) return
    this.forwarding?.cancel()
    this.forwardEnded()
    this.mayHaveApplied = true
    this.retry()
  }

  private propose(): void {
    const { node, wallClockMs } = this.router.options
    const data = encodeCommand(this.write, this.context, wallClockMs())
    if (data.length > ENTRY_BYTES_MAX) return this.fail(TOO_LARGE)
    this.proposed = true
    node.apply({ data, done: new KvClosure((status, answer) => this.onProposed(status, answer)) })
  }

  private onProposed(status: Status, answer: Answer | null): void {
    this.proposed = false
    if (this.settled) return
    if (status.ok && answer !== null) return this.acknowledge(answer)
    if (REFUSED.has(status.code)) return this.fail(new KvFailure(GrpcStatus.RESOURCE_EXHAUSTED, 'E_NO_SPACE', status.message))
    if (NOT_TAKEN.has(status.code)) {
      if (this.context.forwarded) return this.fail(notLeader(this.router.options.node.leaderId()))
      return this.router.pending.wait(this)
    }
    this.onUnknown(outcomeFailure(true, this.context, status.message))
  }

  private acknowledge(answer: Answer): void {
    this.router.lastAcknowledgedAt = this.router.options.clock.now()
    this.succeed(answer)
  }

  private forward(leader: PeerId): void {
    const { clock, leaderCalls } = this.router.options
    this.target = leader
    this.router.noteForwarded(this)
    const context = { ...this.context, timeoutMs: Math.max(1, this.answerBy - clock.now()) }
    this.forwarding = leaderCalls.call(leader, this.write, context, (failure, answer) => {
      this.forwardEnded()
      if (this.settled) return
      if (answer !== null) return this.succeed(answer)
      if (failure === null) return
      if (failure.code === 'E_UNSUPPORTED') return this.fail(ledByBraft(leader))
      if (failure.applied === 'unknown' && failure.retryable) return this.onUnknown(failure)
      if (failure.applied === 'no' && failure.retryable) return this.router.pending.wait(this)
      this.fail(failure)
    })
  }

  private forwardEnded(): void {
    this.target = null
    this.forwarding = null
    this.router.forget(this)
  }

  private onUnknown(failure: KvFailure): void {
    this.mayHaveApplied = true
    if (this.context.session === null || this.context.forwarded) return this.fail(failure)
    this.router.pending.wait(this)
  }

  private succeed(answer: Answer): void {
    this.settle()
    this.reply(null, answer)
  }

  private fail(failure: KvFailure): void {
    this.settle()
    const uncertain = this.mayHaveApplied && failure.applied === 'no' && failure.status !== GrpcStatus.INVALID_ARGUMENT
    this.reply(uncertain ? outcomeFailure(true, this.context, failure.message) : failure, null)
  }

  private settle(): void {
    this.settled = true
    this.forwarding?.cancel()
    this.forwardEnded()
    this.router.pending.remove(this)
  }
}

/** The bytes of the log entry; not copied out of their writer, since the log copies them. */
export function encodeCommand(write: Write, context: Pick<CallContext, 'session'>, leaderTimeMs: number): Uint8Array {
  const { session } = context
  const { put = null, delete_range = null, txn = null, compact = null } = write
  // Every field, in one order: what is not set is not written, and all commands are of one hidden class.
  const command = {
    client_id: session?.clientId ?? '',
    sequence: session?.sequence ?? 0,
    acknowledged_through: session?.acknowledgedThrough ?? 0,
    leader_time_ms: Math.floor(leaderTimeMs),
    put,
    delete_range,
    txn,
    compact,
  }
  return raftctl.kv.Command.encode(command).finish(true)
}

export function notLeader(leader: PeerId): KvFailure {
  const where = leader.isEmpty ? 'and knows of no leader' : `the leader is ${leader.address}`
  return new KvFailure(GrpcStatus.UNAVAILABLE, 'E_NOT_LEADER', `this member does not lead, ${where}`, 'no', true, hint(leader))
}

export function noLeader(leader: PeerId): KvFailure {
  const why = leader.isEmpty ? 'no leader is known' : `the leader ${leader.address} did not take the call`
  return new KvFailure(GrpcStatus.UNAVAILABLE, 'E_NO_LEADER', why, 'no', true, hint(leader))
}

/** A witness reads nothing, not even what may be old. */
export function heldByOthers(witness: PeerId, leader: PeerId): KvFailure {
  const whom = leader.isEmpty ? 'another member' : `the leader, ${leader.address}`
  const message = `${witness.address} is a witness and holds no keys: ask ${whom}`
  return new KvFailure(GrpcStatus.UNAVAILABLE, 'E_NOT_LEADER', message, 'no', true, hint(leader))
}

/** A braft leader takes no calls of the key-value service, and confirms no reads of others. */
export function ledByBraft(leader: PeerId): KvFailure {
  const remedy = 'hand leadership to a raftctl member (raftctl leader transfer), or read what this member holds (--read stale)'
  const message = `the leader ${leader.address} is a braft node, and serves no keys: ${remedy}`
  return new KvFailure(GrpcStatus.FAILED_PRECONDITION, 'E_MIXED', message, 'no', false, hint(leader))
}

function stopping(): KvFailure {
  return new KvFailure(GrpcStatus.UNAVAILABLE, 'E_NO_LEADER', 'this member is stopping: ask another one', 'no', true)
}

function outcomeFailure(
  mayHaveApplied: boolean,
  context: CallContext,
  message: string,
  status: number = GrpcStatus.UNAVAILABLE,
): KvFailure {
  if (!mayHaveApplied) return new KvFailure(GrpcStatus.UNAVAILABLE, 'E_NO_LEADER', message, 'no', true)
  const text = `the outcome is unknown, the write may have been applied: ${message}`
  return new KvFailure(status, 'E_OUTCOME_UNKNOWN', text, 'unknown', context.session !== null)
}

function hint(leader: PeerId): string {
  return leader.isEmpty ? '' : leader.toString()
}
