/** What a member is doing, in one word; capitals ask for attention. */
export type NodeState =
  | 'ok'
  | 'DOWN'
  | 'unasked'
  | 'CUT OFF'
  | 'WRONG CLUSTER'
  | 'REBUILDING'
  | 'ERROR'
  | 'installing'
  | 'electing'
  | 'leaderless'
  | 'starting'
  | 'stopping'
  | 'outside'

/** What the state is told from. */
export interface StateFacts {
  readonly reachable: boolean
  /** False with --direct for everybody else. */
  readonly asked: boolean
  readonly errorCode: string | null
  readonly raftState: string | null
  readonly standing: string | null
  /** In the configuration. */
  readonly member: boolean
  /** It names a leader. */
  readonly following: boolean
  /** The leader, where it answers, heard from it lately. */
  readonly heard: boolean
  /** A snapshot is on its way to it, or being loaded. */
  readonly installing: boolean
}

const BY_RAFT_STATE: Readonly<Record<string, NodeState>> = {
  LEADER: 'ok',
  TRANSFERRING: 'ok',
  CANDIDATE: 'electing',
  UNINITIALIZED: 'starting',
  SHUTTING: 'stopping',
  SHUTDOWN: 'stopping',
}

export function stateOf(facts: StateFacts): NodeState {
  if (!facts.asked) return 'unasked'
  if (!facts.reachable) return facts.errorCode === 'E_CLUSTER_MISMATCH' ? 'WRONG CLUSTER' : 'DOWN'
  if (facts.raftState === 'ERROR' || facts.errorCode !== null) return 'ERROR'
  if (!facts.member) return 'outside'
  if (facts.standing === 'rebuilding') return 'REBUILDING'
  const own = BY_RAFT_STATE[facts.raftState ?? '']
  if (own !== undefined) return own
  if (!facts.following) return 'leaderless'
  if (!facts.heard) return 'CUT OFF'
  return facts.installing ? 'installing' : 'ok'
}
