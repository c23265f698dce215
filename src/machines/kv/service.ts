import { createHash } from 'node:crypto'
import protobuf from 'protobufjs/minimal.js'
import type { etcdserverpb, raftctl } from '../../generated/kv.js'
import { ErrorCode, type Status } from '../../raft/errors.js'
import { fromInt64 } from '../../raft/types.js'
import { answerBy, type CallContext, type PendingCall, type Reply } from './call.js'
import { type Applied, GrpcStatus, KvFailure } from './failure.js'
import { heldByOthers, ledByBraft, noLeader, type Write, WriteRouter, type WriteRouterOptions } from './forwarding.js'
import { executeRange, executeTxn } from './operations.js'
import { checkDeleteRange, checkPut, checkRange, checkTxn, isReadOnly, isSerializable } from './validate.js'

type Header = etcdserverpb.ResponseHeader.$Properties
type RangeRequest = etcdserverpb.RangeRequest.$Properties
type TxnRequest = etcdserverpb.TxnRequest.$Properties

export interface KvServiceOptions extends WriteRouterOptions {
  /** 128 bits in hex; null while it is not known. */
  readonly clusterId: () => string | null
}

/**
 * etcd's key-value calls on one member, whatever carries them.
 *
 * Writes go through the router to the leader's log. A linearizable read waits until this member applied what the leader
 * had committed when the read arrived, and is then answered from here; a serializable one is answered at once.
 */
export class KvService {
  readonly router: WriteRouter
  private readonly closeListeners = new Set<() => void>()
  private ids: { clusterId: string; cluster: Header['cluster_id']; member: Header['member_id'] } | null = null

  constructor(private readonly options: KvServiceOptions) {
    this.router = new WriteRouter(options)
  }

  range(request: RangeRequest, context: CallContext, reply: Reply<etcdserverpb.RangeResponse.$Properties>): void {
    const problem = checkRange(request)
    if (problem !== null) return reply(problem, null)
    const { machine } = this.options
    this.read(request.serializable === true, context, reply, () => executeRange(machine.store, request))
  }

  put(request: etcdserverpb.PutRequest.$Properties, context: CallContext, reply: Reply<etcdserverpb.PutResponse.$Properties>): void {
    this.write(checkPut(request), { put: request }, context, 'put', reply)
  }

  deleteRange(
    request: etcdserverpb.DeleteRangeRequest.$Properties,
    context: CallContext,
    reply: Reply<etcdserverpb.DeleteRangeResponse.$Properties>,
  ): void {
    this.write(checkDeleteRange(request), { delete_range: request }, context, 'delete_range', reply)
  }

  /** A transaction that only reads does not go through the log, as in etcd. */
  txn(request: TxnRequest, context: CallContext, reply: Reply<etcdserverpb.TxnResponse.$Properties>): void {
    const problem = checkTxn(request)
    if (problem !== null || !isReadOnly(request)) return this.write(problem, { txn: request }, context, 'txn', reply)
    const { machine } = this.options
    this.read(isSerializable(request), context, reply, () => executeTxn(machine.store, null, request))
  }

  compact(
    request: etcdserverpb.CompactionRequest.$Properties,
    context: CallContext,
    reply: Reply<etcdserverpb.CompactionResponse.$Properties>,
  ): void {
    this.write(null, { compact: request }, context, 'compact', reply)
  }

  /** The node has stopped: `done` once the leader answered what it was asked through this member, or the time is over. */
  drain(timeoutMs: number, done: () => void): void {
    this.router.drain(timeoutMs, done)
  }

  /** Answers what is under way and takes nothing more. */
  close(): void {
    this.router.close()
    for (const listener of [...this.closeListeners]) listener()
  }

  /** `listener` runs when all is answered and nothing is taken any more; answers how to take that back. */
  onClose(listener: () => void): () => void {
    this.closeListeners.add(listener)
    return () => void this.closeListeners.delete(listener)
  }

  private write<K extends 'put' | 'delete_range' | 'txn' | 'compact'>(
    problem: KvFailure | null,
    write: Write,
    context: CallContext,
    key: K,
    reply: Reply<NonNullable<raftctl.kv.Answer.$Properties[K]>>,
  ): void {
    if (problem !== null) return reply(problem, null)
    this.router.route(write, context, (failure, answer) => {
      if (failure !== null) return reply(failure, null)
      if (answer?.error) return reply(failureOf(answer.error), null)
      const response = answer?.[key]
      if (!response)
        return reply(new KvFailure(GrpcStatus.INTERNAL, 'E_INTERNAL', `the answer to ${key} is of another kind`, 'unknown'), null)
      reply(null, this.withHeader(response))
    })
  }

  private read<R extends { header?: Header | null }>(
    serializable: boolean,
    context: CallContext,
    reply: Reply<R>,
    execute: () => R | KvFailure,
  ): void {
    const finish = () => {
      const result = execute()
      if (result instanceof KvFailure) reply(result, null)
      else reply(null, this.withHeader(result))
    }
    const { peerId, leaderId } = this.options.node
    if (peerId.isWitness) return reply(heldByOthers(peerId, leaderId.call(this.options.node)), null)
    if (serializable) return finish()
    const full = this.router.pending.checkRoom()
    if (full !== null) return reply(full, null)
    new ReadCall(this.options, this.router, context, finish, (failure) => reply(failure, null)).start()
  }

  /** The answer itself may be kept in the session table: the header goes on a copy. */
  private withHeader<R extends { header?: Header | null }>(response: R): R {
    const { clusterId, node, machine } = this.options
    const id = clusterId() ?? ''
    if (this.ids?.clusterId !== id) {
      this.ids = { clusterId: id, cluster: hash64(`cluster ${id}`), member: hash64(`member ${id} ${node.peerId.key}`) }
    }
    const { cluster, member } = this.ids
    const revision = response.header?.revision ?? machine.store.revision
    return { ...response, header: { cluster_id: cluster, member_id: member, revision, raft_term: machine.term } }
  }
}

/** A linearizable read that waits for its index; asked again until it is confirmed or the time is over. */
class ReadCall implements PendingCall {
  readonly answerBy: number
  private settled = false

  constructor(
    private readonly options: KvServiceOptions,
    private readonly router: WriteRouter,
    private readonly context: CallContext,
    private readonly confirmed: () => void,
    private readonly failed: (failure: KvFailure) => void,
  ) {
    this.answerBy = answerBy(options.clock, context.timeoutMs)
  }

  start(): void {
    this.router.pending.add(this)
    this.retry()
  }

  retry(): void {
    if (this.settled) return
    const left = this.answerBy - this.options.clock.now()
    if (left <= 0 || this.context.isCancelled?.()) return this.expire()
    this.options.node.readIndex(left, (status) => this.onIndex(status), this.context.readMode ?? 'confirmed')
  }

  expire(): void {
    if (this.settled) return
    const leader = this.options.node.leaderId()
    const unconfirmed = `the leader ${leader.address} could not confirm with a quorum that it still leads; see \`raftctl status\``
    const failure = leader.isEmpty
      ? noLeader(leader)
      : new KvFailure(GrpcStatus.UNAVAILABLE, 'E_NO_QUORUM', unconfirmed, 'no', true, leader.toString())
    this.settle()
    this.failed(failure)
  }

  private onIndex(status: Status): void {
    if (this.settled) return
    if (status.ok) {
      this.settle()
      return this.confirmed()
    }
    if (status.code === ErrorCode.ENOMETHOD) {
      this.settle()
      return this.failed(ledByBraft(this.options.node.leaderId()))
    }
    if (status.code === ErrorCode.ESHUTDOWN || status.code === ErrorCode.ENODESHUTDOWN) return this.expire()
    this.router.pending.wait(this)
  }

  private settle(): void {
    this.settled = true
    this.router.pending.remove(this)
  }
}

function failureOf(error: raftctl.kv.AnswerError.$Properties): KvFailure {
  const applied: Applied = error.applied === 'yes' || error.applied === 'no' ? error.applied : 'unknown'
  return new KvFailure(fromInt64(error.status), error.code ?? '', error.message ?? '', applied)
}

/** etcd's ids have 64 bits, ours are longer. */
function hash64(text: string): Header['cluster_id'] {
  const digest = createHash('sha256').update(text).digest()
  return new protobuf.util.LongBits(digest.readUInt32LE(0), digest.readUInt32LE(4)).toLong(true) as unknown as Header['cluster_id']
}
