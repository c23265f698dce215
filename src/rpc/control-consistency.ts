import * as grpc from '@grpc/grpc-js'
import type { raftctl } from '../generated/raftctl.js'
import { ErrorCode, type Status } from '../raft/errors.js'
import { fromInt64, type LogIndex } from '../raft/types.js'
import { asFailure, failure, leaderOf, nodeOf, onExecutor, unary, unimplemented, usage } from './control-common.js'
import type { Control } from './control-definition.js'
import type { ControlHost, ControlledNode } from './control-host.js'
import type { Handlers } from './grpc.js'

type HashRequest = raftctl.v1.HashStateRequest
type HashResponse = raftctl.v1.HashStateResponse.$Properties

/** For a caller that set no deadline. */
const HASH_TIMEOUT_MS = 30_000
/** Left of the caller's deadline to say why there is no hash. */
const ANSWER_MS = 200

/** A mark in the log, and the hash of the state there: what members are compared by. */
export function consistencyHandlers(host: ControlHost): Pick<Handlers<(typeof Control)['methods']>, 'Mark' | 'HashState'> {
  return {
    Mark: unary((request) => mark(host, request.group)),
    HashState: (call, callback) => {
      hashState(host, call.request, restMs(call.deadline)).then(
        (response) => callback(null, response),
        (error: Error) => callback(asFailure(error)),
      )
    },
  }
}

async function mark(host: ControlHost, group: string): Promise<raftctl.v1.MarkResponse.$Properties> {
  const node = leaderOf(host, group)
  const { status, index } = await onExecutor<{ status: Status; index: LogIndex | null }>(host, (done) =>
    host.mark(node.groupId, (outcome, at) => done({ status: outcome, index: at ?? null })),
  )
  if (status.ok && index !== null) return { index }
  switch (status.code) {
    case ErrorCode.EPERM:
    case ErrorCode.EBUSY:
      throw failure(grpc.status.FAILED_PRECONDITION, 'E_NO_LEADER', status.message, { leader: node.leaderId(), retryable: true })
    case ErrorCode.EINVAL:
      throw unimplemented('a hash of the state of this machine')
    case ErrorCode.ENOSPC:
      throw failure(grpc.status.RESOURCE_EXHAUSTED, 'E_NO_SPACE', status.message)
  }
  throw failure(grpc.status.UNAVAILABLE, 'E_OUTCOME_UNKNOWN', `the mark may be in the log: ${status.message}`, { applied: 'unknown' })
}

async function hashState(host: ControlHost, request: HashRequest, timeoutMs: number): Promise<HashResponse> {
  const node = nodeOf(host, request.group)
  const index = fromInt64(request.mark) as LogIndex
  if (index === 0) throw usage('which mark? give the index that Mark answered')
  if (request.range_start.length > 0 || request.range_end.length > 0) throw unimplemented('hashes of a part of the state')
  const late = failure(grpc.status.DEADLINE_EXCEEDED, 'E_WAIT_TIMEOUT', behind(node, index), { retryable: true })
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject({ ...late, details: behind(node, index) }), timeoutMs)
    const settle = (then: () => void) => {
      clearTimeout(timer)
      then()
    }
    host.executor.post(() => {
      node.whenApplied(index, (applied) => {
        if (!applied.ok) return settle(() => reject(failure(grpc.status.UNAVAILABLE, 'E_UNHEALTHY', applied.message)))
        host.hashAt(node.groupId, index, (status, hash) =>
          settle(() => {
            if (status.ok) resolve({ mark: index, sha256: Buffer.from(hash!.sha256, 'hex'), keys: hash!.keys })
            else if (status.code === ErrorCode.EINVAL) reject(unimplemented('a hash of the state of this machine'))
            else reject(failure(grpc.status.NOT_FOUND, 'E_COMPACTED', status.message))
          }),
        )
      })
    }, 'control hash')
  })
}

function behind(node: ControlledNode, index: number): string {
  const { appliedIndex } = node.status()
  if (appliedIndex < index) return `${node.peerId} has applied ${appliedIndex}, and the mark is at ${index}`
  return `${node.peerId} has not hashed its state in time`
}

function restMs(deadline: Date | number): number {
  const at = typeof deadline === 'number' ? deadline : deadline.getTime()
  return Number.isFinite(at) ? Math.max(0, at - Date.now() - ANSWER_MS) : HASH_TIMEOUT_MS
}
