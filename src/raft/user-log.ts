import { ErrorCode, Status } from './errors.js'
import { EntryType } from './log-entry.js'
import type { NodeImpl } from './node-impl.js'
import { type LogIndex, plus } from './types.js'

/** A task as it is in the log. */
export interface UserLog {
  readonly logIndex: LogIndex
  /** A view into what was read: copy what outlives the callback. */
  readonly logData: Buffer
}

export type UserLogDone = (status: Status, userLog?: UserLog) => void

/** How much of the log is looked through at a time. */
const READ_BYTES_MAX = 256 * 1024

/**
 * The first task at or behind `index` that was applied here; configurations in between are skipped (braft
 * NodeImpl::read_committed_user_log). What was applied when it was asked is the end of the search.
 */
export function readCommittedUserLog(node: NodeImpl, index: LogIndex, done: UserLogDone): void {
  const refuse = (code: ErrorCode, text: string) => node.env.executor.post(() => done(Status.error(code, text)), 'user-log.refused')
  if (node.state === 'UNINITIALIZED') return done(Status.error(ErrorCode.EAGAIN, 'the node is starting'))
  if (!Number.isSafeInteger(index) || index < 1) return refuse(ErrorCode.EINVAL, `there is no entry ${index}: the first one has index 1`)
  if (node.witness.refusal) return refuse(ErrorCode.EPERM, node.witness.refusal.message)
  const last = node.fsmCaller.appliedIndex
  if (index > last) return refuse(ErrorCode.ENOMOREUSERLOG, `entry ${index} is not applied yet, the last one that is has index ${last}`)
  search(node, index, last, done)
}

function search(node: NodeImpl, from: LogIndex, last: LogIndex, done: UserLogDone): void {
  node.log.readForOthers(from, last, READ_BYTES_MAX, (status, batch) => {
    if (!status.ok) return done(status)
    const { firstIndex, lastIndex } = batch!
    for (let index = firstIndex; index <= lastIndex; index = plus(index, 1))
      if (batch!.typeAt(index) === EntryType.DATA) return done(Status.OK, { logIndex: index, logData: batch!.dataAt(index) })
    if (lastIndex >= last) return done(Status.error(ErrorCode.ENOMOREUSERLOG, `no task lies between entry ${from} and entry ${last}`))
    search(node, plus(lastIndex, 1), last, done)
  })
}
