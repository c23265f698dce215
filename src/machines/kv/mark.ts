import { raftctl } from '../../generated/kv.js'

/** The data of a log entry at which every member remembers the state it has, for `KvStateMachine.hashAt`. */
export function encodeMark(leaderTimeMs: number): Uint8Array {
  return raftctl.kv.Command.encode({ leader_time_ms: leaderTimeMs, mark: {} }).finish()
}
