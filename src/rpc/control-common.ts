import * as grpc from '@grpc/grpc-js'
import { PeerId } from '../raft/peer-id.js'
import type { ControlHost, ControlledNode } from './control-host.js'
import { toGrpcError } from './error-detail.js'
import type { CallFailure, UnaryCall, UnaryDone } from './grpc-call.js'

/** What the handlers of raftctl.v1.Control share: how they find their node, answer and refuse. */

export const DEFAULT_GROUP = 'kv'

type Failure = Error & CallFailure

/** The node of `group` in this process ('': the default group); throws E_NO_GROUP, or E_UNREACHABLE while it starts. */
export function nodeOf(host: ControlHost, group: string): ControlledNode {
  const node = host.nodes.nodesOf(group || DEFAULT_GROUP)[0]
  if (node) return node
  const all = host.nodes.all()
  if (all.length === 0) throw failure(grpc.status.UNAVAILABLE, 'E_UNREACHABLE', 'is starting', { retryable: true })
  const groups = [...new Set(all.map((n) => n.groupId))].join(', ')
  throw failure(
    grpc.status.NOT_FOUND,
    'E_NO_GROUP',
    `no group "${group || DEFAULT_GROUP}" on ${host.identity.peerId.address}; its groups: ${groups}`,
  )
}

/** The same, but only when it leads; the error says who does. */
export function leaderOf(host: ControlHost, group: string): ControlledNode {
  const node = nodeOf(host, group)
  if (node.isLeader()) return node
  throw failure(grpc.status.FAILED_PRECONDITION, 'E_NO_LEADER', `${node.peerId} does not lead`, {
    leader: node.leaderId(),
    retryable: !node.leaderId().isEmpty,
  })
}

/** A PeerId of a request; throws E_USAGE. */
export function peerOf(text: string): PeerId {
  const peer = PeerId.parse(text)
  if (!peer) throw usage(`"${text}" is no PeerId (host:port:idx:role)`)
  return peer
}

/** Runs `start` on the node's executor and waits for what it answers. */
export function onExecutor<T>(host: ControlHost, start: (done: (result: T) => void) => void): Promise<T> {
  return new Promise((resolve) => host.executor.post(() => start(resolve), 'control'))
}

/** A handler from a function that answers or throws what `failure` makes. */
export function unary<Q, R>(answer: (request: Q) => Promise<R>): (call: UnaryCall<Q>, done: UnaryDone<R>) => void {
  return (call, done) => {
    Promise.resolve()
      .then(() => answer(call.request))
      .then(
        (response) => done(null, response),
        (error: Failure | Error) => done(asFailure(error)),
      )
  }
}

/** What a handler threw, as the answer to its caller. */
export function asFailure(error: Failure | Error): Failure {
  return 'code' in error && typeof error.code === 'number'
    ? (error as Failure)
    : failure(grpc.status.INTERNAL, 'E_INTERNAL', error.message ?? '')
}

export interface FailureContext {
  readonly leader?: PeerId
  readonly retryable?: boolean
  readonly applied?: 'no' | 'unknown'
}

/** `name` is a code of docs/errors.md. */
export function failure(code: grpc.status, name: string, message: string, context: FailureContext = {}): Failure {
  const { leader, retryable = false, applied = 'no' } = context
  return toGrpcError(
    code,
    { code: name, leaderHint: leader && !leader.isEmpty ? leader.toString() : undefined, retryable, applied },
    message,
  )
}

export function usage(message: string): Failure {
  return failure(grpc.status.INVALID_ARGUMENT, 'E_USAGE', message)
}

export function unimplemented(what: string): Failure {
  return failure(grpc.status.UNIMPLEMENTED, 'E_UNSUPPORTED', `this version does not offer ${what}`)
}
