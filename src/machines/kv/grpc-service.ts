import { etcdserverpb } from '../../generated/kv.js'
import type { ReadMode } from '../../raft/messages.js'
import { toGrpcError } from '../../rpc/error-detail.js'
import { defineService, type Handlers, serverStream, unary } from '../../rpc/grpc.js'
import type { CallFailure, ServerCall, UnaryCall, UnaryDone } from '../../rpc/grpc-call.js'
import { MetadataKey } from '../../rpc/identity.js'
import type { CallContext, Reply } from './call.js'
import { GrpcStatus, KvFailure } from './failure.js'
import { KvService } from './service.js'
import { BAD_SESSION, isStamp, type SessionStamp } from './sessions.js'

/** etcd's service; what has no handler (RangeStream) answers UNIMPLEMENTED. */
export const Kv = defineService('etcdserverpb.KV', {
  Range: unary(etcdserverpb.RangeRequest, etcdserverpb.RangeResponse),
  RangeStream: serverStream(etcdserverpb.RangeRequest, etcdserverpb.RangeStreamResponse),
  Put: unary(etcdserverpb.PutRequest, etcdserverpb.PutResponse),
  DeleteRange: unary(etcdserverpb.DeleteRangeRequest, etcdserverpb.DeleteRangeResponse),
  Txn: unary(etcdserverpb.TxnRequest, etcdserverpb.TxnResponse),
  Compact: unary(etcdserverpb.CompactionRequest, etcdserverpb.CompactionResponse),
})

/** Metadata of a client's call. */
export const SessionKey = {
  clientId: 'raftctl-client-id',
  sequence: 'raftctl-sequence',
  acknowledgedThrough: 'raftctl-acknowledged-through',
  forwarded: 'raftctl-forwarded',
  /** lease: a linearizable read may go by the leader's lease. */
  read: 'raftctl-read',
} as const

/** Travels with a forwarded call. */
const PASSED_ON = ['authorization', 'token', MetadataKey.group, MetadataKey.clusterId]
const DEFAULT_GROUP = 'kv'
const STARTING = new KvFailure(GrpcStatus.UNAVAILABLE, 'E_NO_LEADER', 'this member is starting', 'no', true)

export interface KvServices {
  /** The key-value service of a group on this member, or which other machine runs it; null when it is not here. */
  readonly serviceOf: (groupId: string) => KvService | 'starting' | { readonly machine: string } | null
}

type UnaryHandler<Q, R> = (call: UnaryCall<Q>, done: UnaryDone<R>) => void
type Method<Q, R> = (service: KvService, request: Q, context: CallContext, reply: Reply<R>) => void

/** For `RpcServer.addGrpcService(Kv, kvHandlers(…))`; the server's call guard has checked the caller's cluster before. */
export function kvHandlers(options: KvServices): Handlers<typeof Kv.methods> {
  return {
    Range: handler(options, (service, request, context, reply) => service.range(request, context, reply)),
    Put: handler(options, (service, request, context, reply) => service.put(request, context, reply)),
    DeleteRange: handler(options, (service, request, context, reply) => service.deleteRange(request, context, reply)),
    Txn: handler(options, (service, request, context, reply) => service.txn(request, context, reply)),
    Compact: handler(options, (service, request, context, reply) => service.compact(request, context, reply)),
  }
}

function handler<Q, R>({ serviceOf }: KvServices, method: Method<Q, R>): UnaryHandler<Q, R> {
  return (call, done) => {
    const refuse = (failure: KvFailure) => done(grpcError(failure))
    const service = serviceFor(call, serviceOf)
    if (service instanceof KvFailure) return refuse(service)
    const session = sessionOf(call)
    if (session instanceof KvFailure) return refuse(session)
    const { deadline } = call
    const context: CallContext = {
      session,
      timeoutMs: Number.isFinite(deadline) ? Math.max(0, deadline - Date.now()) : null,
      forwarded: call.field(SessionKey.forwarded) === '1',
      readMode: readModeOf(call),
      metadata: passedOn(call),
      isCancelled: () => call.cancelled,
    }
    method(service, call.request, context, (failure, response) => {
      if (failure !== null) refuse(failure)
      else done(null, response as R)
    })
  }
}

/** The service of the group that the caller names, or why there is none. */
export function serviceFor(call: ServerCall, serviceOf: KvServices['serviceOf']): KvService | KvFailure {
  const group = decodeGroup(call.field(MetadataKey.group))
  const service = serviceOf(group)
  if (service === 'starting') return STARTING
  if (service === null) return new KvFailure(GrpcStatus.NOT_FOUND, 'E_NO_GROUP', `this member has no key-value group '${group}'`)
  return service instanceof KvService ? service : otherMachine(group, service.machine)
}

export function readModeOf(call: ServerCall): ReadMode {
  return call.field(SessionKey.read) === 'lease' ? 'lease' : 'confirmed'
}

function otherMachine(group: string, machine: string): KvFailure {
  const message = `group '${group}' runs the ${machine} machine, which has no keys`
  return new KvFailure(GrpcStatus.FAILED_PRECONDITION, 'E_OTHER_MACHINE', message, 'no')
}

export function grpcError(failure: KvFailure): CallFailure {
  const { code, leaderHint, retryable, applied } = failure
  return toGrpcError(failure.status, { code, leaderHint: leaderHint === '' ? undefined : leaderHint, retryable, applied }, failure.message)
}

/** Null when the client does not name itself. */
function sessionOf(call: ServerCall): SessionStamp | KvFailure | null {
  const clientId = call.field(SessionKey.clientId)
  if (clientId === undefined) return null
  const sequence = Number(call.field(SessionKey.sequence))
  const acknowledgedThrough = Number(call.field(SessionKey.acknowledgedThrough) ?? 0)
  const stamp = { clientId, sequence, acknowledgedThrough }
  return isStamp(stamp) ? stamp : BAD_SESSION
}

function decodeGroup(value: string | undefined): string {
  if (value === undefined) return DEFAULT_GROUP
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}

/** What of its metadata travels on when a call is forwarded. */
export function passedOn(call: ServerCall): Record<string, string> {
  const values: Record<string, string> = {}
  for (const key of PASSED_ON) {
    const value = call.field(key)
    if (value !== undefined) values[key] = value
  }
  return values
}
