import * as grpc from '@grpc/grpc-js'
import type { raftctl } from '../generated/raftctl.js'
import { decodeConfiguration } from '../raft/configuration.js'
import { ErrorCode, type Status } from '../raft/errors.js'
import { type EntryBatch, EntryType } from '../raft/log-entry.js'
import type { NodeStatus } from '../raft/node-status.js'
import { fromInt64, type LogIndex, logIndex } from '../raft/types.js'
import { configurationText } from './configuration-text.js'
import { failure } from './control-common.js'
import type { ControlHost, ControlledNode } from './control-host.js'
import type { CallFailure } from './grpc-call.js'

/** What one read brings at most, besides a single larger entry. */
export const READ_BYTES = 256 * 1024
export type LogRecordFields = raftctl.v1.LogRecord.$Properties

/** Of the entry types, on the wire. */
export const TYPE_NAMES: Readonly<Record<number, string>> = {
  [EntryType.DATA]: 'data',
  [EntryType.CONFIGURATION]: 'configuration',
  [EntryType.NO_OP]: 'no_op',
}

/** One entry as it goes out; `status` says what is committed and applied. */
export function recordOf(
  entry: { readonly batch: EntryBatch; readonly index: LogIndex },
  view: { readonly host: ControlHost; readonly status: NodeStatus; readonly withData: boolean },
): LogRecordFields {
  const { batch, index } = entry
  const { host, status, withData } = view
  const [type, term, data] = [batch.typeAt(index), batch.termAt(index), batch.dataAt(index)]
  const text = type === EntryType.DATA ? host.describeCommand(status.groupId, data) : null
  const configuration = type === EntryType.CONFIGURATION ? decodeConfiguration(data, { index, term }) : null
  return {
    ...{ index, term, type: TYPE_NAMES[type]!, bytes: data.length },
    operation: text?.operation ?? (configuration ? 'config' : type === EntryType.NO_OP ? 'no-op' : ''),
    summary: text?.summary ?? (configuration ? configurationText(configuration, (peer) => host.nameOf(peer)) : ''),
    ...(withData ? { data } : {}),
    committed: index <= status.committedIndex,
    applied: index <= status.appliedIndex,
    commit_index: status.committedIndex,
    ...(text?.timeMs == null ? {} : { time_ms: text.timeMs }),
  }
}

/** What a read of the log failed with, for whoever asked for entry `from`. */
export function readFailure(node: ControlledNode, from: LogIndex, status: Status): CallFailure & Error {
  const { firstIndex, lastId, peerId } = node.status()
  const there = lastId.index < firstIndex ? 'its log is empty' : `its log holds ${firstIndex} to ${lastId.index}`
  switch (status.code) {
    case ErrorCode.ELOGDELETED:
      return failure(grpc.status.OUT_OF_RANGE, 'E_COMPACTED', `entry ${from} was cut off on ${peerId.address}: ${there}`)
    case ErrorCode.ERANGE:
      return failure(grpc.status.OUT_OF_RANGE, 'E_NO_ENTRY', `there is no entry ${from} on ${peerId.address} yet: ${there}`)
    case ErrorCode.ECORRUPT:
      return failure(grpc.status.DATA_LOSS, 'E_CORRUPT', status.message)
    default:
      return failure(grpc.status.UNAVAILABLE, 'E_UNREACHABLE', `the log of ${peerId.address} cannot be read now: ${status.message}`, {
        retryable: true,
      })
  }
}

/** Where a request starts and ends; `to` is Infinity when it follows. Throws E_COMPACTED when the start is cut off. */
export function rangeOf(request: raftctl.v1.ReadLogRequest, node: ControlledNode): { from: LogIndex; to: number } {
  const { firstIndex, lastId, committedIndex } = node.status()
  const end = request.committed_only ? committedIndex : lastId.index
  const [from, to, last] = [request.from, request.to, request.last].map((value) => fromInt64(value)) as [number, number, number]
  const start = from > 0 ? from : last > 0 ? Math.max(firstIndex, end - last + 1) : request.follow ? end + 1 : firstIndex
  return { from: logIndex(start), to: to > 0 ? to : request.follow ? Infinity : end }
}
