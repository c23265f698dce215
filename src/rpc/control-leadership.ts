import * as grpc from '@grpc/grpc-js'
import type { raftctl } from '../generated/raftctl.js'
import { ErrorCode, type Status } from '../raft/errors.js'
import type { PeerId } from '../raft/peer-id.js'
import { failure, leaderOf, onExecutor, peerOf, unary } from './control-common.js'
import type { Control } from './control-definition.js'
import type { ControlHost, ControlledNode } from './control-host.js'
import type { Handlers } from './grpc.js'
import type { CallFailure } from './grpc-call.js'

type TransferResponse = raftctl.v1.TransferResponse.$Properties

const TRANSFER_TIMEOUT_MS = 10_000

/** Handing leadership over, to a member or away from one. */
export function leadershipHandlers(host: ControlHost): Pick<Handlers<(typeof Control)['methods']>, 'TransferLeader' | 'StepDown'> {
  return {
    TransferLeader: unary((request) => transfer(host, request, (node) => (request.target === '' ? null : targetOf(node, request.target)))),
    StepDown: unary((request) => transfer(host, request, (node) => successor(node, request.exclude))),
  }
}

function targetOf(node: ControlledNode, target: string): PeerId {
  const peer = peerOf(target)
  const { conf } = node.status().configuration
  if (conf.contains(peer)) return peer
  throw failure(grpc.status.NOT_FOUND, 'E_NO_SUCH_NODE', `${peer} is not a voter of group ${node.groupId}: ${conf}`)
}

/** The voter with the longest log that is not `exclude`; null lets the node choose. */
function successor(node: ControlledNode, exclude: string): PeerId | null {
  if (exclude === '') return null
  const excluded = peerOf(exclude)
  const { peers, configuration } = node.status()
  const fit = peers.filter(
    ({ peerId, consecutiveErrors, rebuilding, isShort, readonlyIndex }) =>
      consecutiveErrors === 0 &&
      !rebuilding &&
      !isShort &&
      readonlyIndex === 0 &&
      !peerId.equals(excluded) &&
      configuration.conf.contains(peerId),
  )
  fit.sort((a, b) => b.matchIndex - a.matchIndex)
  if (!fit[0]) throw failure(grpc.status.FAILED_PRECONDITION, 'E_NOT_CAUGHT_UP', `no voter besides ${excluded} is fit to lead`)
  return fit[0].peerId
}

/** Answers once the new leader is known here, with how long that took and how old the last acknowledgement is by then. */
async function transfer(
  host: ControlHost,
  { group, timeout_ms }: { readonly group: string; readonly timeout_ms: number },
  choose: (node: ControlledNode) => PeerId | null,
): Promise<TransferResponse> {
  const node = leaderOf(host, group)
  const before = node.status()
  const target = choose(node)
  const own = { old_leader: node.peerId.toString(), old_term: before.term }
  if (target?.equals(node.peerId)) return { ...own, new_leader: node.peerId.toString(), new_term: before.term, reason: 'leads already' }
  const startedAt = performance.now()
  const status = await onExecutor<Status>(host, (done) => node.transferLeadershipTo(target, done))
  if (!status.ok) throw transferFailure(status, node)
  const restMs = Math.max(0, (timeout_ms || TRANSFER_TIMEOUT_MS) - (performance.now() - startedAt))
  const known = () => !node.leaderId().isEmpty && !node.leaderId().equals(node.peerId)
  if (!(await new Promise<boolean>((resolve) => host.events.waitFor(known, restMs, resolve))))
    throw outcomeUnknown('leadership was given up, no new leader is known yet', node)
  const after = node.status()
  const pausedMs = performance.now() - startedAt
  return {
    ...own,
    new_leader: after.leaderId.toString(),
    new_term: after.term,
    paused_ms: pausedMs,
    reason: target ? 'as asked' : 'longest log of the voters that answer',
    ...lastAcknowledgement(host, node, (before.leaderForMs ?? 0) + pausedMs),
  }
}

/** Only what was acknowledged in the leadership that just ended. */
function lastAcknowledgement(host: ControlHost, node: ControlledNode, leadershipMs: number): Pick<TransferResponse, 'since_last_ack_ms'> {
  const sinceMs = host.sinceLastAckMs(node.groupId)
  return sinceMs === null || sinceMs > leadershipMs ? {} : { since_last_ack_ms: sinceMs }
}

function transferFailure(status: Status, node: ControlledNode): CallFailure & Error {
  const leader = node.leaderId()
  const refuse = (name: string, message = status.message, retryable = false) =>
    failure(grpc.status.FAILED_PRECONDITION, name, message, { leader, retryable })
  switch (status.code) {
    case ErrorCode.EBUSY:
      return refuse('E_CONFIG_PENDING', `leadership cannot be handed over now: ${status.message}`, true)
    case ErrorCode.ECATCHUP:
    case ErrorCode.EHOSTUNREACH:
      return refuse('E_NOT_CAUGHT_UP')
    case ErrorCode.ENOSPC:
      return refuse('E_NO_SPACE')
    case ErrorCode.EPERM:
      return refuse('E_NO_LEADER', status.message, true)
    case ErrorCode.EINVAL:
      return refuse('E_NO_SUCH_NODE')
    case ErrorCode.ERAFTTIMEDOUT:
      if (node.isLeader()) return refuse('E_WAIT_TIMEOUT', `${status.message}: ${node.peerId} leads on`)
  }
  return outcomeUnknown(`leadership was given up: ${status.message}`, node)
}

function outcomeUnknown(message: string, node: ControlledNode): CallFailure & Error {
  return failure(grpc.status.DEADLINE_EXCEEDED, 'E_OUTCOME_UNKNOWN', message, { leader: node.leaderId(), applied: 'unknown' })
}
