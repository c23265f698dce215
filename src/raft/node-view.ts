import type { NodeImpl } from './node-impl.js'
import type { NodeProgress, NodeStatus } from './node-status.js'

/** Where `node` stands now. */
export function progressOf(node: NodeImpl): NodeProgress {
  return {
    state: node.state,
    term: node.meta.term,
    lastId: node.log.lastId,
    durableIndex: node.log.durableIndex,
    committedIndex: node.ballotBox.lastCommittedIndex,
    appliedIndex: node.fsmCaller.appliedIndex,
  }
}

/** It is in read-only mode, or leads and takes no tasks for that reason (braft Node::readonly). */
export function isReadOnly({ readOnly, state }: NodeImpl): boolean {
  return readOnly.isOn || (state === 'LEADER' && readOnly.refusal !== null)
}

/** What `node` says of itself now. */
export function statusOf(node: NodeImpl): NodeStatus {
  const now = node.env.clock.now()
  const { configuration } = node
  const following = !node.leads() && !node.leaderId.isEmpty
  return {
    groupId: node.groupId,
    peerId: node.serverId,
    ...progressOf(node),
    readonly: isReadOnly(node),
    priority: node.precedence.own,
    witness: node.witness.isOne,
    votedFor: node.meta.votedFor,
    leaderId: node.leaderId,
    leaderContactMs: following ? Math.max(0, Math.round(now - node.stickiness.lastContactAt)) : null,
    leaderForMs: node.leaderSince === null ? null : Math.round(now - node.leaderSince),
    leaderReadyForMs: node.leaderReadySince === null ? null : now - node.leaderReadySince,
    lease: node.lease.status,
    configuration,
    configurationCommitted: !node.log.configurations.isByHand && configuration.id.index <= node.ballotBox.lastCommittedIndex,
    membership: node.membership.status(),
    firstIndex: node.log.firstIndex,
    pendingIndex: node.ballotBox.pendingIndex,
    pendingTasks: node.closures.length + node.applyQueue.length,
    writeLatency: node.writeLatency.status(),
    snapshotId: node.snapshots.lastId,
    snapshot: node.snapshots.progress,
    machineActivity: node.fsmCaller.activity,
    electionTimer: node.election.timerStatus('election'),
    voteTimer: node.election.timerStatus('vote'),
    snapshotTimer: node.snapshots.timerStatus,
    stepdownTimer: node.checkQuorum.status(),
    electionTimeoutMs: node.electionTimeoutMs,
    heartbeatMs: node.heartbeatMs,
    standing: node.identity?.standing ?? node.options.standing ?? 'founding',
    incarnation: node.identity?.incarnation ?? '',
    diskStalledForMs: node.disk.stalledForMs,
    error: node.error,
    peers: node.leads() ? node.replicators.status() : [],
  }
}
